/* Descriptor tables of a thread's own, and I/O ports: what is refused, what is given back, what a thread does with it. */
#include "guest.h"
#include "mach_i386_user.h"

typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;

static mach_port_t self, box;
static char stack1[8192];
static volatile u32 stage, value;
static descriptor_t table[300];

static void rest(void)
{
	for (;;)
		thread_switch(0, SWITCH_OPTION_WAIT, 1000);
}

static void describe(u32 base, u32 limit, u32 access, u32 flags, descriptor_t *d)
{
	d->low = limit & 0xffff | base << 16;
	d->high = base >> 16 & 0xff | access << 8 | limit & 0xf0000 | flags << 20 | base & 0xff000000;
}

static void set(const char *what, thread_t t, int selector, u32 access, u32 flags)
{
	descriptor_t d, *got = table;
	mach_msg_type_number_t n = 1;

	describe(0x12345678, 0x4321, access, flags, &d);
	say("%s: %x", what, i386_set_ldt(t, selector, &d, 1));
	/* A gate of the kernel's privilege is replaced by the traps' own, which differs from kernel to kernel. */
	if (!i386_get_ldt(t, selector, 1, &got, &n) && n && (got[0].low & 0xffff0000) != 0x00080000)
		say(" %x %x", got[0].low, got[0].high);
	say("\n");
}

static void local(void)
{
	static const u32 kinds[] = { 0x00, 0x01, 0x80, 0x81, 0x82, 0x84, 0x85, 0x89, 0x8c, 0x8d, 0xe0, 0xe2, 0xe4, 0xe5, 0xe9, 0xec, 0xee, 0xef,
		0x90, 0x92, 0x9a, 0xb2, 0xd2, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf6, 0xf8, 0xfa, 0xfc, 0xfe, 0xff, 0x72, 0x7a };
	mach_msg_type_number_t n;
	descriptor_list_t got;
	thread_t t, u;
	u32 i;

	thread_create(self, &t);
	n = 300;
	got = table;
	show("none", i386_get_ldt(t, 0, 10, &got, &n));
	say("  %u\n", n);
	for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		say("kind %x ", kinds[i]);
		set("", t, 0x2f, kinds[i], 0x4);
	}
	n = 300;
	got = table;
	show("table", i386_get_ldt(t, 0, 100, &got, &n));
	say("  %u\n", n);
	for (i = 0; i < n; i++)
		say("  %d: access %x flags %x\n", i, got[i].high >> 8 & 0xff, got[i].high >> 20 & 0xf);
	say("  code %x %x data %x %x\n", got[2].low, got[2].high & ~0x100, got[3].low, got[3].high & ~0x100);
	set("far behind", t, 40 << 3 | 7, 0xf2, 4);
	n = 300;
	got = table;
	show("table", i386_get_ldt(t, 0, 100, &got, &n));
	say("  %u\n", n);
	n = 300;
	show("part", i386_get_ldt(t, 38 << 3, 2, &got, &n));
	say("  %u\n", n);
	show("nothing wanted", i386_get_ldt(t, 0, 0, &got, &n));
	say("  %u\n", n);
	show("too many", i386_get_ldt(t, 0, 8192, &got, &n));
	show("below", i386_get_ldt(t, -8, 1, &got, &n));
	show("beyond", i386_get_ldt(t, 8192 << 3, 0, &got, &n));
	set("last", t, 8190 << 3, 0xf2, 4);
	set("behind the last", t, 8191 << 3, 0xf2, 4);
	set("outside", t, 8192 << 3, 0xf2, 4);
	set("negative", t, -8, 0xf2, 4);
	n = 300;
	got = table;
	show("more than fit in line", i386_get_ldt(t, 100 << 3, 290, &got, &n));
	say("  %u elsewhere %d first access %x\n", n, got != table, got[0].high >> 8 & 0xff);
	for (i = 0; i < 290; i++)
		describe(i, 0, 0xf2, 4, table + i);
	show("set as many", i386_set_ldt(t, 100 << 3, table, 290));
	describe(0, 0, 0x82, 4, table + 5);
	show("a bad one among good ones", i386_set_ldt(t, 100 << 3, table, 10));
	set("of nobody", self, 0x2f, 0xf2, 4);
	set("oneself, the default ones", mach_thread_self(), 0x1f, 0xf2, 4);
	thread_create(self, &u);
	set("below its own", u, 1 << 3, 0xf2, 4);
	n = 300;
	got = table;
	show("a short table", i386_get_ldt(u, 0, 100, &got, &n));
	say("  %u\n", n);
	thread_terminate(t);
	thread_terminate(u);
}

static void global(void)
{
	thread_t t;
	descriptor_t d, got = { 0 };
	int selector = -1, i;

	thread_create(self, &t);
	describe(0x1000, 0xfffff, 0xf2, 0xc, &d);
	for (i = 0; i < 3; i++) {
		say("new: %x", i386_set_gdt(t, &selector, d));
		say(" %x\n", selector);
		selector = -1;
	}
	for (i = 0x43; i < 0x60; i += 4) {
		selector = i;
		say("%x: %x", i, i386_set_gdt(t, &selector, d));
		say(" get %x %x %x\n", i386_get_gdt(t, i, &got), got.low, got.high);
	}
	selector = 0x4b;
	show("kernel's privilege", i386_set_gdt(t, &selector, (describe(0, 0, 0x92, 4, &d), d)));
	show("a gate", i386_set_gdt(t, &selector, (describe(0, 0, 0xec, 4, &d), d)));
	show("a long one", i386_set_gdt(t, &selector, (describe(0, 0, 0xfa, 2, &d), d)));
	show("still", i386_get_gdt(t, selector, &got));
	say("  %x %x\n", got.low, got.high);
	show("absent", i386_set_gdt(t, &selector, (describe(7, 7, 0x72, 4, &d), d)));
	show("gone", i386_get_gdt(t, selector, &got));
	say("  %x %x\n", got.low, got.high);
	selector = -1;
	show("new again", i386_set_gdt(t, &selector, (describe(0, 0, 0xf2, 4, &d), d)));
	say("  %x\n", selector);
	show("of nobody", i386_set_gdt(self, &selector, d));
	show("of nobody", i386_get_gdt(self, selector, &got));
	thread_terminate(t);
}

static char text[16] = "abcdefghijklmno";

/* Uses a segment of its own for data, once by the local table and once by the global one. */
static void uses(void)
{
	u32 got;

	asm volatile("movw %w1,%%fs; movzbl %%fs:3,%0; movb $'X',%%fs:4" : "=r"(got) : "r"(value) : "memory");
	stage = got;
	rest();
}

static void sees(const char *what)
{
	message_t m;

	stage = 0;
	if (mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0))
		say("%s: saw %c text %s\n", what, stage ? stage : '-', text);
	else
		say("%s: exception %d code %x subcode %x text %s\n", what, m.w[5], m.w[7], m.w[9], text);
	text[4] = 'e';
}

static void own_segments(void)
{
	descriptor_t d, *got = &d;
	mach_msg_type_number_t n = 1;
	int selector = -1;
	thread_t t;

	describe((u32) text, 9, 0xf2, 4, &d);
	value = 0x2f;
	thread_create(self, &t);
	set_entry(t, uses, (vm_address_t) stack1 + sizeof stack1);
	show("local", i386_set_ldt(t, value, &d, 1));
	thread_resume(t);
	sees("local");
	i386_get_ldt(t, value, 1, &got, &n);
	say("  access %x\n", d.high >> 8 & 0xff);
	thread_terminate(t);
	thread_create(self, &t);
	set_entry(t, uses, (vm_address_t) stack1 + sizeof stack1);
	thread_resume(t);
	sees("another thread");
	thread_terminate(t);
	thread_create(self, &t);
	set_entry(t, uses, (vm_address_t) stack1 + sizeof stack1);
	describe((u32) text, 9, 0xf2, 4, &d);
	show("global", i386_set_gdt(t, &selector, d));
	value = selector;
	thread_resume(t);
	sees("global");
	thread_terminate(t);
	thread_create(self, &t);
	set_entry(t, uses, (vm_address_t) stack1 + sizeof stack1);
	describe((u32) text, 9, 0xf0, 4, &d);
	i386_set_gdt(t, &selector, d);
	thread_resume(t);
	sees("not writable");
	thread_terminate(t);
	thread_create(self, &t);
	set_entry(t, uses, (vm_address_t) stack1 + sizeof stack1);
	describe((u32) text, 9, 0x72, 4, &d);
	value = 0x2f;
	show("not present", i386_set_ldt(t, value, &d, 1));
	thread_terminate(t);
	thread_create(self, &t);
	set_entry(t, uses, (vm_address_t) stack1 + sizeof stack1);
	show("a table without its code", i386_set_ldt(t, 8, &d, 0));
	thread_resume(t);
	sees("without its code");
	thread_terminate(t);
	describe((u32) text, 9, 0xf2, 4, &d);
	show("oneself", i386_set_ldt(mach_thread_self(), 0x2f, &d, 1));
	asm volatile("movw %w1,%%fs; movzbl %%fs:2,%0" : "=r"(selector) : "r"(0x2f));
	say("  saw %c\n", selector);
	selector = -1;
	show("oneself", i386_set_gdt(mach_thread_self(), &selector, d));
	asm volatile("movw %w1,%%gs; movzbl %%gs:1,%0" : "=r"(n) : "r"(selector));
	say("  saw %c\n", n);
	asm volatile("movw %w0,%%fs; movw %w0,%%gs" :: "r"(0x1f));
}

static void reads_port(void)
{
	u32 got;

	asm volatile("xorl %0,%0; movl %1,%%edx; inb %%dx,%b0" : "=&a"(got) : "m"(value) : "edx");
	stage = got;
	asm volatile("movl %0,%%edx; inw %%dx,%%ax" :: "m"(value) : "eax", "edx");
	stage |= 0x10000;
	rest();
}

static void port(const char *what)
{
	thread_t t = start_thread(reads_port, stack1, sizeof stack1);
	message_t m;

	stage = 0;
	if (mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0))
		say("%s: read %x\n", what, stage);
	else
		say("%s: read %x exception %d code %x subcode %x\n", what, stage, m.w[5], m.w[7], m.w[9]);
	thread_terminate(t);
}

static void map(void)
{
	u32 state[32];
	mach_msg_type_number_t n = 32;
	thread_t t;

	thread_create(self, &t);
	show("map", thread_get_state(t, i386_ISA_PORT_MAP_STATE, state, &n));
	say("  %x %x %x %x %x\n", state[0], state[23], state[24], state[25], state[31]);
	thread_terminate(t);
}

static void ports(void)
{
	mach_port_t one = 0, two = 0, gone;
	task_t child;
	thread_t t;
	u32 state[32];
	mach_msg_type_number_t n = 32;

	show("by no master", i386_io_perm_create(host_priv, 0x300, 0x300, &one));
	show("backwards", i386_io_perm_create(device_master, 0x301, 0x300, &one));
	show("one port", i386_io_perm_create(device_master, 0x300, 0x300, &one));
	show("many", i386_io_perm_create(device_master, 0x301, 0x33f, &two));
	show("all", i386_io_perm_create(device_master, 0, 0xffff, &gone));
	show("bus configuration twice", i386_io_perm_create(device_master, 0xcf8, 0xcff, &gone));
	map();
	value = 0x300;
	port("closed");
	show("withdraw before", i386_io_perm_modify(self, one, FALSE));
	show("open", i386_io_perm_modify(self, one, TRUE));
	map();
	port("one open");
	show("open more", i386_io_perm_modify(self, two, TRUE));
	map();
	port("all open");
	value = 0x33f;
	port("half open");
	show("in a child", task_create(self, FALSE, &child));
	thread_create(child, &t);
	thread_get_state(t, i386_ISA_PORT_MAP_STATE, state, &n);
	say("  %x\n", state[24]);
	task_terminate(child);
	show("close", i386_io_perm_modify(self, two, FALSE));
	map();
	show("close again", i386_io_perm_modify(self, two, FALSE));
	show("not a task", i386_io_perm_modify(mach_thread_self(), one, TRUE));
	show("drop it", mach_port_deallocate(self, one));
	value = 0x300;
	port("still open");
}

/* The port that stands for I/O ports is a device's to the real kernel, and one that can nothing. */
static void as_device(void)
{
	static char data[64];
	mach_msg_type_number_t size = sizeof data;
	mach_port_t ports = 0, pager = 0, other = 0, receiver = 0;
	message_t m = { 0 };
	char *got = 0;
	int status[4] = { 0 }, written = -1;
	u32 id;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &receiver);
	show("made", i386_io_perm_create(device_master, 0x300, 0x300, &ports));
	show("opened", device_open(ports, D_READ, "time", &other));
	show("closed", device_close(ports)), show("again", device_close(ports));
	show("read", device_read(ports, 0, 0, 4, &got, &size));
	size = sizeof data, show("read in band", device_read_inband(ports, 0, 0, 4, data, &size));
	show("written", device_write(ports, 0, 0, data, 4, &written)), show("nothing written", device_write(ports, 0, 0, data, 0, &written));
	show("written in band", device_write_inband(ports, 0, 0, data, 4, &written));
	size = 4, show("status", device_get_status(ports, 0, status, &size)), show("set status", device_set_status(ports, 0, status, 1));
	show("mapped", device_map(ports, 1, 0, PAGE_SIZE, &pager, 0));
	show("filter", device_set_filter(ports, receiver, MACH_MSG_TYPE_MAKE_SEND, 0, 0, 0));
	show("interrupt", device_intr_register(ports, 5, 0, receiver, MACH_MSG_TYPE_MAKE_SEND)), show("acknowledged", device_intr_ack(ports, receiver, MACH_MSG_TYPE_MAKE_SEND));
	for (id = MACH_NOTIFY_PORT_DELETED; id <= MACH_NOTIFY_DEAD_NAME; id++) {
		/* A no-senders notification would be believed: it ends the port, and the real kernel at its next use. */
		if (id == MACH_NOTIFY_NO_SENDERS)
			continue;
		m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0), m.h.msgh_remote_port = ports, m.h.msgh_id = id;
		say("notification %u", id), show("", mach_msg(&m.h, MACH_SEND_MSG, 32, 0, 0, 0, 0));
	}
	show("used", i386_io_perm_modify(self, ports, TRUE)), show("withdrawn", i386_io_perm_modify(self, ports, FALSE));
}

int guest_main(void)
{
	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
	task_set_special_port(self, TASK_EXCEPTION_PORT, box);
	say("-- local tables\n");
	local();
	say("-- global table\n");
	global();
	say("-- use\n");
	own_segments();
	say("-- ports\n");
	ports();
	say("-- ports as a device\n");
	as_device();
	return 0;
}
