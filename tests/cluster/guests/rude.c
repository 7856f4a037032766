/* What a guest without privileges may try on the Masix servers: `big NAME KB` sends a service so much memory, `unreg NAME`
 * unregisters a service that it looked up, `bomb` registers as essential and ends. */
#include "guest.h"
#include <masix.h>
#include "netname_user.h"
#include "acs_user.h"

typedef struct {
	mach_msg_header_t head;
	uint32_t word;
	uint16_t name, size;
	uint32_t number;
	vm_address_t address;
} big_t;

static big_t big;
static mach_port_t names;

static void fill(char *to, const char *from, u32 room)
{
	memset(to, 0, room);
	mig_strncpy(to, from, room);
}

static int number(const char *digits)
{
	int value = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++)
		value = 10 * value + *digits - '0';
	return value;
}

static mach_port_t look(const char *name)
{
	netname_name_t any, wanted;
	mach_port_t found = MACH_PORT_NULL;
	kern_return_t result = KERN_FAILURE;
	int tries;

	fill(any, "*", sizeof any);
	fill(wanted, name, sizeof wanted);
	for (tries = 0; tries < 20 && result; tries++) {
		if (tries)
			thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 100);
		result = netname_look_up(names, any, wanted, &found);
	}
	say("look up %s: %d, a right %d\n", name, result, found != MACH_PORT_NULL);
	flush();
	return found;
}

static void send_memory(mach_port_t to, u32 size)
{
	vm_address_t address = 0;

	show("vm_allocate", vm_allocate(mach_task_self(), &address, size, 1));
	big.head.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0) | MACH_MSGH_BITS_COMPLEX;
	big.head.msgh_size = sizeof big;
	big.head.msgh_remote_port = to;
	big.head.msgh_id = 6000;
#ifdef __m68k__
	big.word = 1 << 2; /* long form, out of line */
#else
	big.word = 1 << 29;
#endif
	big.name = MACH_MSG_TYPE_BYTE;
	big.size = 8;
	big.number = size;
	big.address = address;
	show("mach_msg", mach_msg(&big.head, MACH_SEND_MSG, sizeof big, 0, 0, 0, 0));
}

int guest_main(void)
{
	const char *what = arg_value[3];
	acs_name_t name;

	task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &names);
	if (strcmp(what, "big") == 0) {
		send_memory(look(arg_value[4]), number(arg_value[5]) * 1024);
	} else if (strcmp(what, "unreg") == 0) {
		mach_port_t right = look(arg_value[4]);

		fill(name, arg_value[4], sizeof name);
		show("acs_unregister", acs_unregister(names, name, right));
		look("far");
	} else {
		mach_port_t own = mach_reply_port(), registration;

		mach_port_insert_right(mach_task_self(), own, own, MACH_MSG_TYPE_MAKE_SEND);
		fill(name, "bomb", sizeof name);
		show("acs_register", acs_register(names, name, 1, own, &registration));
	}
	say("END\n");
	flush();
	task_terminate(mach_task_self());
	return 0;
}
