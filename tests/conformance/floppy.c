/*
 * A floppy of 1.44 MB in a PC's drive: its names, sizes and reads. It needs the oracle's floppy as fd0. Writes end the real
 * kernel, and a read of 64 KiB is never answered.
 */
#include "guest.h"
#include "drives.h"

static const char *const names[] = { "fd0", "fd0s0", "fd0s1", "fd0s4", "fd0s63", "fd0s64", "fd0a", "fd", "floppy" };

int guest_main(void)
{
	static char data[128];
	mach_msg_type_number_t size = 128;
	mach_port_t pager;
	device_t floppy;
	u32 i, end;
	int written = 0;

	say("-- names\n");
	for (i = 0; i < sizeof names / sizeof *names; i++)
		open(names[i], D_READ);
	say("-- modes\n");
	for (i = 0; i < 8; i++)
		open("fd0", i);
	floppy = open("fd0", D_READ);
	say("-- sizes\n");
	for (i = 0; i < 4; i++)
		info(floppy, i, 2);
	info(floppy, 0, 1), info(floppy, 1, 3), info(open("fd0s1", D_READ), 0, 2);
	show("set status", device_set_status(floppy, 0, status, 2));
	device_get_status(floppy, 1, status, (size = 2, &size)), end = status[0];
	say("-- reads\n");
	get(floppy, 0, 512), get(floppy, 1, 512), get(floppy, 5, 2048), get(floppy, 6, 100), get(floppy, 7, 5000);
	get(floppy, 2, 0), get(floppy, 2, -1), get(floppy, end - 1, 512), get(floppy, end - 1, 513);
	get(floppy, end, 512), get(floppy, end, 0), get(floppy, end + 1, 512), get(floppy, 0x7fffffff, 512);
	say("-- what a floppy does not do\n");
	show("write inband", device_write_inband(floppy, 0, 0, data, 128, &written));
	size = 128, show("read inband", device_read_inband(floppy, 0, 0, 128, data, &size));
	show("map", device_map(floppy, 1, 0, PAGE_SIZE, &pager, 0));
	return 0;
}
