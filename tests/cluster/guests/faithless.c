/* A name server that cannot be trusted when servers follow each other. Its last argument says what it does. It shows the loader
 * `nothing`, `another` one's port or a `dead` one; or it hands over what cannot be: `silence`, `noise`, no service (`null`), records
 * that are not there (`counts`), rights that are missing (`rights`), very much (`huge`), or its ports and no name (`empty`); or it ends
 * then (`perishes`), and its port for privileged servers before it (`robs`). As a successor it is `deaf`, `leaves` when it is told whom it follows, says something else then (`babbles`), or `drops` what it inherits. */
#include "guest.h"
#include "server.h"
#include "succession.h"
#include "succession_server.h"
#include "succession_user.h"

#define HUGE (1 << 20)
#define MANY 4000

static mach_port_t self, legacy, ports[MANY];
static u32 words[HUGE / 4];
static const char *does;

static boolean_t is(const char *what)
{
	return !strcmp(does, what);
}

static mach_port_t number(const char *digits)
{
	mach_port_t value = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++)
		value = 10 * value + *digits - '0';
	return value;
}

static void say_little(mach_port_t to, mach_msg_type_name_t right, mach_msg_id_t id)
{
	mach_msg_header_t message = { right, sizeof message, to, MACH_PORT_NULL, 0, id };

	mig_send(&message, 0, MACH_MSG_TIMEOUT_NONE);
}

kern_return_t do_succession_begin(mach_port_t at, mach_port_t successor)
{
	mach_port_t service = number(arg_value[3]);
	u32 n, bytes = is("empty") || is("rights") ? 16 : is("counts") ? 32 : is("huge") ? HUGE : 0, rights = is("empty") ? 1 : 0;

	ports[0] = number(arg_value[4]);
	if (is("robs"))
		mach_port_mod_refs(self, ports[0], MACH_PORT_RIGHT_RECEIVE, -1);
	if (is("robs") || is("perishes"))
		syscall_task_terminate(self);
	for (n = 0; n < 8 && is("counts"); n++)
		words[n] = ~0u;
	for (n = 0; n < MANY && is("huge"); n++, rights = n)
		mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &ports[n]);
	if (is("noise"))
		say_little(successor, MACH_MSG_TYPE_COPY_SEND, 4801);
	else if (!is("silence"))
		show("hands over", succession_inherit(successor, is("null") ? MACH_PORT_NULL : service, ports, rights, 0, 0, 0, 0,
			(vm_offset_t) words, bytes));
	syscall_mach_port_deallocate(self, successor);
	return KERN_SUCCESS;
}

kern_return_t do_succession_follow(mach_port_t at, mach_port_t predecessor)
{
	if (is("leaves"))
		syscall_task_terminate(self);
	if (!is("babbles"))
		return succession_ready(predecessor, legacy);
	say_little(predecessor, MACH_MSG_TYPE_MOVE_SEND_ONCE, 1);
	return KERN_SUCCESS;
}

kern_return_t do_succession_inherit(mach_port_t at, mach_port_t service, mach_port_array_t receives, mach_msg_type_number_t has_receives,
	mach_port_array_t sends, mach_msg_type_number_t has_sends, mach_port_array_t onces, mach_msg_type_number_t has_onces,
	vm_offset_t data, mach_msg_type_number_t size)
{
	return syscall_task_terminate(self);
}

int guest_main(void)
{
	mach_port_t shown[] = { MACH_PORT_NULL, MACH_PORT_NULL, MACH_PORT_NULL, device_master };

	self = mach_task_self();
	does = arg_value[arg_count - 1];
	if (is("deaf"))
		return 0;
	legacy = succession_start();
	if (is("nothing"))
		mach_ports_register(self, shown, 0);
	if (is("another"))
		mach_ports_register(self, shown, 4);
	if (is("dead"))
		mach_port_mod_refs(self, succession_control, MACH_PORT_RIGHT_RECEIVE, -1);
	for (;;)
		server_once(legacy ? legacy : succession_control, succession_server, 0);
}
