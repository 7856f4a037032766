/* Subsystem mach_i386, which an m68k kernel does not know: whoever is asked, with whatever. */
#include "guest.h"
#include "mach_i386_user.h"

static void routines(const char *what, mach_port_t thread, mach_port_t master, mach_port_t task)
{
	descriptor_t table[4] = { 0 }, *got = table, one = { 0 };
	mach_msg_type_number_t n = 4;
	mach_port_t permission = 0;
	int selector = -1;

	say("-- %s\n", what);
	show("i386_set_ldt", i386_set_ldt(thread, 0x2f, table, 4));
	show("i386_get_ldt", i386_get_ldt(thread, 0, 4, &got, &n));
	show("i386_io_perm_create", i386_io_perm_create(master, 0x300, 0x300, &permission));
	show("i386_io_perm_modify", i386_io_perm_modify(task, master, TRUE));
	show("i386_set_gdt", i386_set_gdt(thread, &selector, one));
	show("i386_get_gdt", i386_get_gdt(thread, 0x4b, &one));
}

int guest_main(void)
{
	routines("the ports that an i386 is asked by", mach_thread_self(), device_master, mach_task_self());
	routines("others", host_priv, host_priv, host_priv);
	return 0;
}
