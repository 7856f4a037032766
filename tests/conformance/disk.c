/* A disk with a DOS partition table: its names, sizes, reads and writes, and what is refused. It needs the oracle's disk as hd0. */
#include "guest.h"
#include "cpu.h"
typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;
int write_trap(mach_port_t d, mach_port_t reply, u32 mode, u32 recnum, void *data, u32 count), writev_trap(mach_port_t d, mach_port_t reply, u32 mode, u32 recnum, void *vector, u32 count);
TRAP(write_trap, 40)
TRAP(writev_trap, 39)
static const char *const names[] = { "hd0", "hd0s1", "hd0s2", "hd0s3", "hd0s4", "hd0s5", "hd0s6", "hd0s7", "hd0s16", "hd0s63", "hd0s64", "hd0s999999999", "hd0s", "hd0s0", "hd0s01", "hd0a", "hd0s1a", "hd0s1b", "hd0s1a1", "hd0x", "hd0 ", "hd", "hd00", "hd01", "hd0s1s2", "HD0", "hd1", "hd1s1", "hd0s-1", "hd4", "hd9" };
static char page[1 << 20] __attribute__((aligned(PAGE_SIZE)));
static int status[DEV_STATUS_MAX];
static message_t m;
static mach_port_t self, reply;
static device_t open(const char *name, u32 mode) { mach_port_t d = 0; kern_return_t r = device_open(device_master, mode, name, &d); say("open %s mode %u -> %x %n\n", name, mode, r, d); return d; }
/* A disk's words are little-endian, whoever reads them. */
static u32 first(const unsigned char *p) { return p[0] | p[1] << 8 | p[2] << 16 | p[3] << 24; }
static u32 sum(const char *p, u32 n) { u32 s = 0, i; for (i = 0; i < n; i++) s = s * 31 + (unsigned char) p[i]; return s; }
static kern_return_t quiet(device_t d, u32 recnum, int count, u32 *got) { char *p = (char *) 0x77; u32 n = 77; kern_return_t r = device_read(d, 0, recnum, count, &p, &n); *got = 0; if (!r && n) { *got = sum(p, n); vm_deallocate(self, (vm_address_t) p, n); } return r; }
static void get(device_t d, u32 recnum, int count)
{
	char *p = (char *) 0x77; u32 n = 77, i, tail = 0; kern_return_t r = device_read(d, 0, recnum, count, &p, &n);
	say("  read %x count %d -> %x", recnum, count, r);
	if (!r) { say(" got %u", n); if (n) { for (i = n; i & (PAGE_SIZE - 1); i++) tail += p[i] != 0; say(" first %x sum %x offset %x tail %u", first((unsigned char *) p), sum(p, n), (u32) p & (PAGE_SIZE - 1), tail); vm_deallocate(self, (vm_address_t) p, n); } }
	say("\n");
}
static void put(device_t d, u32 recnum, char *from, int count) { int n = 77; kern_return_t r = device_write(d, 0, recnum, from, count, &n); say("  write %x count %d -> %x", recnum, count, r); if (!r) say(" wrote %d", n); say("\n"); }
static void info(const char *what, device_t d, u32 flavor, u32 room) { u32 n = room; kern_return_t r; status[0] = status[1] = 0; r = device_get_status(d, flavor, status, &n); say("  %s status %x room %u -> %x", what, flavor, room, r); if (!r) say(" count %u: %d %d", n, status[0], status[1]); say("\n"); }
static void poll(const char *what) { mach_msg_return_t r = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 200, reply, 1000, 0); say("%s: receive -> %x", what, r); if (!r) { say(" bits %x size %u id %d", m.h.msgh_bits, m.h.msgh_size, m.h.msgh_id); for (int i = 0; i < (m.h.msgh_size - 24) / 4; i++) if (i != 5) say(" %x", m.w[i]); } say("\n"); }
static void ask(device_t d, mach_port_t answer, u32 id, u32 recnum, int count)
{
	static const u32 item = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0); u32 size;
	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, answer ? MACH_MSG_TYPE_MAKE_SEND_ONCE : 0); m.h.msgh_remote_port = d; m.h.msgh_local_port = answer; m.h.msgh_id = id;
	m.w[0] = item; m.w[1] = 0; m.w[2] = item; m.w[3] = recnum; m.w[4] = item; m.w[5] = count; size = 48;
	if (id == 2802) { m.h.msgh_bits |= MACH_MSGH_BITS_COMPLEX; m.w[4] = MIG_LONG(0, 0); m.w[5] = MIG_LONG_NAME(MACH_MSG_TYPE_BYTE, 8); m.w[6] = count; m.w[7] = (u32) page; size = 56; }
	say("  ask %d", id); show("", mach_msg(&m.h, MACH_SEND_MSG, size, 0, 0, 0, 0));
}
int guest_main(void)
{
	int i, j, written; device_t d, p, e, hd; char in[128], *out; u32 n, a, b; kern_return_t r; mach_port_t pager;
	self = mach_task_self(); reply = mach_reply_port();
	say("-- names\n"); for (i = 0; i < sizeof names / sizeof *names; i++) open(names[i], D_READ | D_WRITE);
	say("-- modes\n"); for (i = 0; i < 16; i++) open("hd0s2", i); open("hd0s2", 0xffffffff);
	say("-- sizes\n"); for (i = 0; i < 7; i++) { d = 0; device_open(device_master, 1, names[i], &d); if (d) { info(names[i], d, 0, 2); info(names[i], d, 1, 2); } }
	hd = open("hd0", 3); for (i = 0; i < 4; i++) { info("hd0", hd, 0, i); info("hd0", hd, 1, i); } info("hd0", hd, 2, 4); info("hd0", hd, ('t' << 16) + 1, 4); info("hd0", hd, -1, 1024);
	for (i = 0; i < 3; i++) show("set status", device_set_status(hd, i, status, 2));
	say("-- what a disk does not do\n");
	n = 128; show("read inband", device_read_inband(hd, 0, 0, 128, in, &n)); show("write inband", device_write_inband(hd, 0, 0, in, 128, &written)); show("map", device_map(hd, 1, 0, PAGE_SIZE, &pager, 0)); show("map prot 8", device_map(hd, 8, 0, PAGE_SIZE, &pager, 0));
	show("filter", device_set_filter(hd, reply, MACH_MSG_TYPE_MAKE_SEND, 1, (short *) in, 2)); show("write trap", write_trap(hd, 0, 0, 0, page, 512)); show("writev trap", writev_trap(hd, 0, 0, 0, page, 1)); show("write trap with a reply port", write_trap(hd, reply, 0, 0, page, 512)); show("write trap of no device", write_trap(self, 0, 0, 0, page, 512));
	say("-- reads of the disk\n"); info("hd0", hd, 1, 2); u32 end = status[0];
	get(hd, 1, 512); get(hd, 2, 512); get(hd, 2, 1); get(hd, 2, 100); get(hd, 2, 511); get(hd, 2, 513); get(hd, 2, 1024); get(hd, 3, 4095); get(hd, 3, 4096); get(hd, 3, 4097); get(hd, 7, 65536); get(hd, 5, 70000); get(hd, 0, 262144); get(hd, 1, 300000); get(hd, 1, 1000000);
	get(hd, 2, 0); get(hd, 2, -1); get(hd, 2, 0x80000000); get(hd, end - 1, 512); get(hd, end - 1, 100); get(hd, end - 1, 513); get(hd, end - 3, 100000); get(hd, end, 512); get(hd, end, 1); get(hd, end, 0); get(hd, end + 1, 512); get(hd, end + 1, 0); get(hd, 0x7fffffff, 512); get(hd, 0x80000000, 512); flush(); get(hd, -1, 512); get(hd, -1, 0);
	say("-- reads of partitions\n");
	for (i = 1; i < 7; i++) { d = 0; if (device_open(device_master, 1, names[i], &d)) continue; say(" %s\n", names[i]); info(names[i], d, 1, 2); end = status[0]; get(d, 0, 4); get(d, 1, 512); get(d, 3, 5000); get(d, end - 1, 512); get(d, end - 1, 2048); get(d, end, 512); get(d, end + 1, 512); }
	say("-- writes\n");
	for (i = 0; i < sizeof page; i++) page[i] = i * 7 + (i >> 9);
	put(hd, 10, page, 512); get(hd, 9, 2048); put(hd, 20, page + 1, 512); get(hd, 19, 2048); put(hd, 30, page, 100); get(hd, 29, 2048); put(hd, 40, page + 3, 700); get(hd, 39, 2048); put(hd, 50, page + 4000, 1); get(hd, 50, 512);
	put(hd, 100, page + 5, 70000); get(hd, 99, 72000); put(hd, 300, page, 300000); get(hd, 299, 302000); put(hd, 1000, page + 511, 500001); get(hd, 999, 502000);
	put(hd, 60, page, 0); put(hd, 60, 0, 0); get(hd, 60, 512); end = 0; info("hd0", hd, 1, 2); end = status[0];
	put(hd, end - 1, page, 512); get(hd, end - 2, 1024); put(hd, end - 2, page + 9, 5000); get(hd, end - 2, 1024); put(hd, end, page, 512); put(hd, end, page, 0); put(hd, end + 1, page, 512); put(hd, 0x7fffffff, page, 512); put(hd, 0x80000000, page, 512);
	p = open("hd0s2", 3); put(p, 3, page + 77, 1000); get(p, 2, 3000); info("hd0s2", p, 1, 2); put(p, status[0] - 1, page, 4096); get(p, status[0] - 1, 4096); put(p, status[0], page, 1);
	get(hd, 4096 + 2, 3000); put(hd, 4096 + 10, page + 1000, 600); get(p, 9, 2000);
	for (i = 0; i < 4; i++) { d = open("hd0s1", i); put(d, 1, page + i, 512); get(d, 1, 512); }
	say("-- requests that are not waited for\n");
	ask(hd, reply, 2804, 1, 512); poll("read"); ask(hd, reply, 2804, 1, 0); poll("read"); ask(hd, reply, 2804, 1, -1); poll("read"); ask(hd, reply, 2802, 70, 512); poll("write"); ask(hd, reply, 2802, -1, 512); poll("write"); ask(hd, 0, 2802, 71, 1024); get(hd, 70, 2048); ask(hd, 0, 2804, 70, 512); ask(hd, reply, 2805, 70, 1); poll("read inband");
	ask(hd, reply, 2804, 2, 4096); ask(hd, reply, 2804, 3, 4096); ask(hd, reply, 2804, 4, 4096); poll("first"); poll("second"); poll("third"); poll("none");
	say("-- closing\n");
	d = open("hd0s5", 1); e = open("hd0s5", 1); show("close", device_close(d)); get(d, 0, 4); show("close", device_close(d)); for (i = 0; i < 9 && !device_close(d); i++) ; get(d, 0, 4); n = 2; show("status", device_get_status(d, 0, status, &n)); d = open("hd0s5", 1); get(d, 0, 4);
	d = open("hd0s6", 5); { mach_port_type_t t = 0; u32 refs = 0; mach_port_get_refs(self, d, MACH_PORT_RIGHT_SEND, &refs); say("refs %u\n", refs); show("destroy", mach_port_destroy(self, d)); } d = open("hd0s6", 5); get(d, 0, 4);
	ask(d, reply, 2804, 1, 4096); show("close", device_close(d)); poll("read under way"); get(d, 0, 4);
	ask(d = open("hd0s6", 4), reply, 2804, 1, 4096); show("destroy", mach_port_destroy(self, d)); poll("read under way"); d = open("hd0s6", 4); get(d, 0, 4);
	return 0;
}
