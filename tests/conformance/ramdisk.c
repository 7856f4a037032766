/* Disks in memory, which the boot script makes: their names, sizes, reads and writes, in line and out, their memory mapped, and what is refused. It needs two of them. */
#include "guest.h"
#include "cpu.h"
static const char *const names[] = { "rd0", "rd1", "rd2", "rd3", "rd4", "rd9", "rd", "rd00", "rd01", "rd0s1", "rd0x", "rd1 ", "RD0", "rda", "rd-1" };
static char page[16384] __attribute__((aligned(PAGE_SIZE)));
static int status[DEV_STATUS_MAX];
static mach_port_t self;
static device_t open(const char *name, u32 mode) { mach_port_t d = 0; kern_return_t r = device_open(device_master, mode, name, &d); say("open %s mode %u -> %x %n\n", name, mode, r, d); return d; }
static u32 sum(const char *p, u32 n) { u32 s = 0, i; for (i = 0; i < n; i++) s = s * 31 + (unsigned char) p[i]; return s; }
static void get(device_t d, u32 recnum, int count)
{
	char *p = (char *) 0x77; u32 n = 77; kern_return_t r = device_read(d, 0, recnum, count, &p, &n);
	say("  read %x count %d -> %x", recnum, count, r);
	if (!r) { say(" got %u", n); if (n) { say(" sum %x offset %x", sum(p, n), (u32) p & (PAGE_SIZE - 1)); vm_deallocate(self, (vm_address_t) p, n); } }
	say("\n");
}
static void get_inband(device_t d, u32 recnum, int count) { static char in[1024]; u32 n = 128; kern_return_t r = device_read_inband(d, 0, recnum, count, in, &n); say("  read inband %x count %d -> %x", recnum, count, r); if (!r) say(" got %u sum %x", n, sum(in, n)); say("\n"); }
static void put(device_t d, u32 recnum, char *from, int count) { int n = 77; kern_return_t r = device_write(d, 0, recnum, from, count, &n); say("  write %x count %d -> %x", recnum, count, r); if (!r) say(" wrote %d", n); say("\n"); }
static void put_inband(device_t d, u32 recnum, char *from, int count) { int n = 77; kern_return_t r = device_write_inband(d, 0, recnum, from, count, &n); say("  write inband %x count %d -> %x", recnum, count, r); if (!r) say(" wrote %d", n); say("\n"); }
static void info(const char *what, device_t d, u32 flavor, u32 room) { u32 n = room; kern_return_t r; status[0] = status[1] = 0; r = device_get_status(d, flavor, status, &n); say("  %s status %x room %u -> %x", what, flavor, room, r); if (!r) say(" count %u: %d %d", n, status[0], status[1]); say("\n"); }
static mach_port_t map(device_t d, int prot, u32 offset, u32 size) { mach_port_t p = 0; kern_return_t r = device_map(d, prot, offset, size, &p, 0); say("  map prot %x offset %x size %x -> %x %n\n", prot, offset, size, r, p); return p; }
static char *see(mach_port_t pager, u32 offset, u32 size, int prot)
{
	vm_address_t a = 0; kern_return_t r = vm_map(self, &a, size, 0, 1, pager, offset, 0, prot, 3, VM_INHERIT_SHARE);
	say("  vm_map offset %x size %x prot %x -> %x", offset, size, prot, r); if (r) { say("\n"); return 0; }
	char *back = 0; u32 n = 0; r = vm_read(self, a, size, &back, &n); say(" read %x", r); if (!r) { say(" sum %x", sum(back, n)); vm_deallocate(self, (vm_address_t) back, n); } say("\n");
	return r ? 0 : (char *) a;
}
int guest_main(void)
{
	int i, written; device_t d, e, rd, small; char *a, *b; mach_port_t m, n;
	self = mach_task_self();
	say("-- names\n"); for (i = 0; i < sizeof names / sizeof *names; i++) open(names[i], D_READ | D_WRITE); for (i = 0; i < 8; i++) open("rd1", i);
	rd = open("rd0", 3); small = open("rd1", 3);
	say("-- sizes\n"); for (i = 0; i < 4; i++) { info("rd0", rd, 0, i); info("rd0", rd, 1, i); } info("rd1", small, 0, 2); info("rd1", small, 1, 2); info("rd0", rd, 2, 4); info("rd0", rd, -1, 4);
	for (i = 0; i < 3; i++) show("set status", device_set_status(rd, i, status, 2));
	say("-- reads\n");
	get(rd, 0, 512); get(rd, 1, 512); get(rd, 2, 1); get(rd, 2, 100); get(rd, 3, 513); get(rd, 5, 5000); get(rd, 0, 32768); get(rd, 0, 0); get(rd, 63, 512); get(rd, 63, 100); get(rd, 63, 513); get(rd, 62, 10000); get(rd, 64, 512); get(rd, 64, 0); get(rd, 65, 512); get(rd, 0x7fffff, 512); get(rd, 0x800000, 512); get(rd, 0x800001, 512); get(rd, -1, 512); get(rd, 0x80000000, 512);
	get(small, 0, 16284); get(small, 31, 412); get(small, 32, 1);
	get_inband(rd, 0, 128); get_inband(rd, 1, 100); get_inband(rd, 1, 0); get_inband(rd, 63, 128); get_inband(rd, 64, 1); get_inband(rd, 2, 1000); get_inband(rd, 2, -1);
	say("-- writes\n");
	for (i = 0; i < sizeof page; i++) page[i] = i * 7 + (i >> 9);
	put(rd, 10, page, 512); get(rd, 9, 2048); put(rd, 20, page + 1, 512); get(rd, 19, 2048); put(rd, 30, page, 100); get(rd, 29, 2048); put(rd, 40, page + 3, 700); get(rd, 39, 2048); put(rd, 5, page + 4000, 1); get(rd, 5, 512); put(rd, 0, page + 5, 9000); get(rd, 0, 32768);
	put(rd, 60, page, 0); put(rd, 63, page, 512); put(rd, 63, page + 9, 5000); get(rd, 62, 1024); put(rd, 64, page, 512); put(rd, 65, page, 512); put(rd, -1, page, 512); get(rd, 0, 32768);
	put_inband(rd, 7, page + 77, 128); get(rd, 7, 512); put_inband(rd, 7, page + 1, 5); get(rd, 7, 512); put_inband(rd, 7, page, 0); put_inband(rd, 64, page, 4); put_inband(rd, 63, page + 2, 128); get(rd, 0, 32768);
	d = open("rd1", D_READ); put(d, 1, page, 512); get(d, 0, 2048);
	show("filter", device_set_filter(rd, mach_reply_port(), MACH_MSG_TYPE_MAKE_SEND, 1, (short *) page, 2));
	say("-- memory\n");
	map(rd, 8, 0, 8192); map(rd, 0, 0, 0); m = map(rd, 3, 0, 32768); map(rd, 3, 0, 32768); map(rd, 1, 0, 8192); n = map(rd, 3, 8192, 8192); map(rd, 3, 7, 8192); map(rd, 3, 32768, 8192);
	a = see(m, 0, 32768, 3); if (a) { for (i = 0; i < 1000; i++) a[i * 7] = i * 3; get(rd, 0, 32768); put(rd, 3, page, 5000); say("  seen %x\n", sum(a, 32768)); }
	b = see(n, 0, 8192, 3); if (a && b) { b[17] = 42; b[5000] = 24; say("  both %d %d\n", a[8192 + 17], a[8192 + 5000]); a[8192 + 18] = 77; say("  and back %d\n", b[18]); get(rd, 16, 8192); }
	see(m, 16384, 16384, 1); see(m, 32768, 8192, 1);
	if (a) show("unmap", vm_deallocate(self, (vm_address_t) a, 32768)); get(rd, 0, 32768); if (b) { b[19] = 55; get(rd, 16, 512); show("unmap", vm_deallocate(self, (vm_address_t) b, 8192)); } get(rd, 16, 512); see(m, 0, 32768, 1);
	say("-- closing\n");
	show("close", device_close(rd)); get(rd, 0, 512); for (i = 0; i < 9 && !device_close(rd); i++) ; get(rd, 0, 512); rd = open("rd0", 3); get(rd, 0, 32768);
	return 0;
}
