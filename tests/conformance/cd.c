/* A CD of 2048-byte blocks in a drive: its name, sizes, reads, and that nothing writes it. It needs the oracle's CD as hd2. */
#include "guest.h"
#include "drives.h"

static char data[65536];

static const char *const names[] = { "hd2", "hd2s0", "hd2s1", "hd2s2", "hd2a", "hd2s1a", "cd0" };

static void put(device_t device, u32 record, int count)
{
	int written = -1;
	kern_return_t result = device_write(device, 0, record, data, count, &written);

	say("  write %x count %d -> %x written %d\n", record, count, result, written);
}

int guest_main(void)
{
	mach_msg_type_number_t size = 128;
	mach_port_t pager;
	device_t cd;
	u32 i, end;
	int written = 0;

	say("-- names\n");
	for (i = 0; i < sizeof names / sizeof *names; i++)
		open(names[i], D_READ);
	say("-- modes\n");
	for (i = 0; i < 8; i++)
		open("hd2", i);
	cd = open("hd2", D_READ);
	say("-- sizes\n");
	for (i = 0; i < 4; i++)
		info(cd, i, 2);
	info(cd, 0, 1), info(cd, 1, 3);
	show("set status", device_set_status(cd, 0, status, 2));
	device_get_status(cd, 1, status, (size = 2, &size)), end = status[0];
	say("-- reads\n");
	get(cd, 0, 512), get(cd, 1, 512), get(cd, 3, 512), get(cd, 4, 2048), get(cd, 5, 2048), get(cd, 6, 100), get(cd, 7, 5000);
	get(cd, 0, 65536), get(cd, 2, 0), get(cd, 2, -1), get(cd, end - 1, 512), get(cd, end - 1, 513), get(cd, end - 5, 10000);
	get(cd, end, 512), get(cd, end, 0), get(cd, end + 1, 512), get(cd, 0x7fffffff, 512), get(cd, -1, 512);
	say("-- what a CD does not do\n");
	show("write", device_write(cd, 0, 0, data, 512, &written)), show("write of nothing", device_write(cd, 0, 0, data, 0, &written));
	show("write inband", device_write_inband(cd, 0, 0, data, 128, &written));
	size = 128, show("read inband", device_read_inband(cd, 0, 0, 128, data, &size));
	show("map", device_map(cd, 1, 0, PAGE_SIZE, &pager, 0));
	get(cd, 0, 2048);
	cd = open("hd2", D_WRITE), get(cd, 0, 512);
	say("-- writes, opened for writing\n");
	put(cd, 0, 0), put(cd, 0, 1), put(cd, 0, 512), put(cd, 0, 65536);
	put(cd, 1, 512), put(cd, 2, 1536), put(cd, 3, 4096), put(cd, 5, 4608), put(cd, 8, 5000), put(cd, 17, 32768);
	put(cd, end - 1, 512), put(cd, end - 3, 4096), put(cd, end, 512), put(cd, end + 1, 512), put(cd, -1, 512), put(cd, 0, -1);
	get(cd, 0, 512);
	return 0;
}
