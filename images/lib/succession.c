/* A server's successor, and the server that it follows, as the loader of a node knows them. */
#include "guest.h"
#include "server.h"
#include "succession.h"
#include "succession_user.h"

mach_port_t succession_control;

/* Puts a port of the task's own into the last of its registered ports; the name of the one that was there. */
static mach_port_t show_loader(mach_port_t port)
{
	mach_port_t self = mach_task_self(), before;
	mach_port_array_t ports;
	mach_msg_type_number_t count, n;

	if (mach_ports_lookup(self, &ports, &count) || !count)
		return MACH_PORT_NULL;
	before = ports[count - 1];
	mach_port_insert_right(self, port, port, MACH_MSG_TYPE_MAKE_SEND);
	ports[count - 1] = port;
	mach_ports_register(self, ports, count);
	ports[count - 1] = before;
	syscall_mach_port_deallocate(self, port);
	for (n = 0; n < count; n++)
		if (IS_LIVING(ports[n]))
			syscall_mach_port_deallocate(self, ports[n]);
	syscall_vm_deallocate(self, (vm_address_t) ports, count * sizeof *ports);
	return before;
}

mach_port_t succession_start(void)
{
	mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &succession_control);
	return show_loader(succession_control);
}

kern_return_t succession_ready(mach_port_t predecessor, mach_port_t legacy)
{
	mach_port_t self = mach_task_self(), previous;

	mach_port_insert_right(self, legacy, legacy, MACH_MSG_TYPE_MAKE_SEND);
	if (succession_begin(predecessor, legacy))
		syscall_mach_port_deallocate(self, legacy);
	return mach_port_request_notification(self, legacy, MACH_NOTIFY_NO_SENDERS, 0, legacy, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
}

void succession_stay(void)
{
	show_loader(succession_control);
}
