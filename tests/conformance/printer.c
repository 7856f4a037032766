/*
 * The printer of a PC: how it opens, what it tells of itself and what it takes. Nothing comes out of it in QEMU, where the real kernel's
 * driver waits for ever once its queue is full: so little is written.
 */
#include "guest.h"
#include "drives.h"

static const char *const names[] = { "lpr0", "lpr", "lpr1", "lpr2", "lpr4294967296", "lp0", "lpr0a", "par0" };

static void write_inband(device_t device, const char *text, int size)
{
	int written = 55;
	kern_return_t result = device_write_inband(device, 0, 0, text, size, &written);

	say("  %d bytes -> %x %d\n", size, result, written);
}

int guest_main(void)
{
	static const u32 flavors[] = { 0, 1, 2, ('t' << 16) + 1, ('t' << 16) + 2, ('t' << 16) + 3, 0xffffffff };
	mach_msg_type_number_t size;
	mach_port_t pager;
	device_t printer;
	u32 i;

	say("-- names\n");
	for (i = 0; i < sizeof names / sizeof *names; i++)
		open(names[i], D_WRITE);
	say("-- modes\n");
	for (i = 0; i < 8; i++)
		open("lpr0", i);
	printer = open("lpr0", D_WRITE);
	say("-- status\n");
	for (i = 0; i < sizeof flavors / sizeof *flavors; i++) {
		kern_return_t result = device_get_status(printer, flavors[i], status, (size = 8, &size));

		say("  get %x -> %x", flavors[i], result);
		say(result ? "\n" : " count %u: %d %d %d %x\n", size, status[0], status[1], status[2], status[3]);
	}
	say("-- writes\n");
	write_inband(printer, "Printed.\n", 9), write_inband(printer, "", 0);
	say("-- what it does not do\n");
	show("map", device_map(printer, 1, 0, PAGE_SIZE, &pager, 0));
	show("filter", device_set_filter(printer, mach_reply_port(), MACH_MSG_TYPE_MAKE_SEND, 1, (short *) status, 2));
	return 0;
}
