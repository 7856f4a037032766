/* What a guest without privileges may try on the Masix servers: `big NAME KB` sends a service so much memory, `unreg NAME`
 * unregisters a service that it looked up, `bomb` registers as essential and ends, `hoard` takes all of the name server's room that
 * it gets: names, look-ups that wait, watchers. */
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

/* A request that nobody waits for: of a name, or with a right. */
typedef struct {
	mach_msg_header_t head;
	u32 type;
	union {
		acs_name_t name;
		mach_port_t right;
	} of;
} asked_t;

static asked_t asked;

/* Sends the name server so many requests at once; how many of them it refuses for want of room. */
static int refused(int count, mach_msg_id_t id, mach_msg_size_t size, u32 type)
{
	struct {
		mach_msg_header_t head;
		u32 code_type;
		kern_return_t code;
		u32 more[16];
	} answer;
	mach_port_t reply;
	int n, codes = 0;

	mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &reply);
	for (n = 0; n < count; n++) {
		memset(&asked, 0, sizeof asked);
		asked.head.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		asked.head.msgh_size = offsetof(asked_t, of) + size;
		asked.head.msgh_remote_port = names;
		asked.head.msgh_local_port = reply;
		asked.head.msgh_id = id;
		asked.type = type;
		if (size == sizeof(acs_name_t)) {
			fill(asked.of.name, "nowhere", sizeof asked.of.name);
			asked.of.name[7] = 'a' + n;
		} else {
			asked.head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
			mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &asked.of.right);
		}
		mach_msg(&asked.head, MACH_SEND_MSG, asked.head.msgh_size, 0, 0, 0, 0);
	}
	while (mach_msg(&answer.head, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof answer, reply, 100, 0) == MACH_MSG_SUCCESS)
		codes += answer.code == KERN_RESOURCE_SHORTAGE;
	return codes;
}

static void hoard(void)
{
	mach_port_t own = mach_reply_port(), registration;
	kern_return_t result = KERN_SUCCESS;
	acs_name_t name;
	int count = 0, place;

	mach_port_insert_right(mach_task_self(), own, own, MACH_MSG_TYPE_MAKE_SEND);
	fill(name, "hoard 0000", sizeof name);
	while (!(result = acs_register(names, name, 0, own, &registration))) {
		count++;
		for (place = 9; ++name[place] > '9'; place--)
			name[place] = '0';
	}
	say("names: %d, then %d\n", count, result);
	say("look-ups refused: %d\n", refused(20, 5001, sizeof(acs_name_t), MIG_SHORT(MACH_MSG_TYPE_STRING_C, 8, sizeof(acs_name_t), 1, 0)));
	say("watchers refused: %d\n", refused(5, 5004, sizeof(mach_port_t), MIG_SHORT(MACH_MSG_TYPE_MAKE_SEND, 32, 1, 1, 0)));
	flush();
	thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 2000);
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
	} else if (strcmp(what, "hoard") == 0) {
		hoard();
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
