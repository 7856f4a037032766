/* The host: what it tells of itself, its processors, its time, what stays in memory; who may ask for what. */
#include "guest.h"
static mach_port_t self, host, cpu, name_set, control_set;
static integer_t words[1024];
#define POISON 0x7777
static void poison(void) { int i; for (i = 0; i < 64; i++) words[i] = POISON; }
static int touched(void) { int i, n = 0; for (i = 0; i < 64; i++) n += words[i] != POISON; return n; }
static void rights(const char *what, mach_port_t name)
{
	mach_port_type_t type = 0;
	mach_port_urefs_t refs = 0;
	kern_return_t kr = mach_port_type(self, name, &type);

	mach_port_get_refs(self, name, MACH_PORT_RIGHT_SEND, &refs);
	say("  %s %n kr %x type %x refs %u\n", what, name, kr, type, refs);
}
static void host_facts(mach_port_t port, int flavor, u32 room)
{
	mach_msg_type_number_t n = room;
	kern_return_t kr;

	poison();
	kr = host_info(port, flavor, words, &n);
	say("host_info flavor %d room %u -> %x", flavor, room, kr);
	if (!kr)
		say(" count %u written %d", n, touched());
	say("\n");
}
static void processor_facts(mach_port_t port, int flavor, u32 room)
{
	mach_msg_type_number_t n = room;
	mach_port_t of = POISON;
	kern_return_t kr;

	poison();
	kr = processor_info(port, flavor, &of, words, &n);
	say("processor_info flavor %d room %u -> %x", flavor, room, kr);
	if (!kr)
		say(" count %u written %d host %d", n, touched(), of == host);
	say("\n");
}
static void information(void)
{
	static const u32 counts[] = { 5, 1, 2, 6 };
	int flavor, i;

	say("-- information\n");
	for (flavor = 1; flavor <= 4; flavor++) {
		u32 n = counts[flavor - 1];
		host_facts(host, flavor, 0);
		host_facts(host, flavor, n - 1);
		host_facts(host, flavor, n);
		if (flavor == 1)
			say("  cpus %d of %d memory %d pages %d type %d subtype %d\n", words[1], words[0], words[2] > 0x100000, words[2] & (PAGE_SIZE - 1), IS_CPU_TYPE(words[3]), words[4]);
		if (flavor == 2)
			say("  slot %d\n", words[0]);
		if (flavor == 3)
			say("  timeout %d quantum %d\n", words[0], words[1]);
		if (flavor == 4)
			for (i = 0; i < 3; i++)
				say("  load %d factor %d\n", words[i] >= 0, words[3 + i] >= 0);
		host_facts(host, flavor, n + 3);
		host_facts(host, flavor, 1024);
		host_facts(host, flavor, 5000);
	}
	for (flavor = -1; flavor <= 5; flavor += 2 + 2 * (flavor == 1))
		host_facts(host, flavor, 1024);
	host_facts(host, 0, 1024);
	for (flavor = 1; flavor <= 4; flavor++)
		host_facts(host_priv, flavor, 6);
	host_facts(self, 1, 5);
	host_facts(cpu, 1, 5);
	host_facts(name_set, 1, 5);
	host_facts(device_master, 1, 5);
	host_facts(mach_thread_self(), 1, 5);
}
static void version(void)
{
	static char text[512];
	static char boot[4096];
	int i;

	say("-- version and boot\n");
	show("version by the name port", host_kernel_version(host, text));
	text[12] = 0;
	say("  %s\n", text);
	show("version by the privileged port", host_kernel_version(host_priv, text));
	show("version of a task", host_kernel_version(self, text));
	boot[0] = 'x';
	show("boot information", host_get_boot_info(host_priv, boot));
	for (i = 0; i < 4096 && !boot[i]; i++)
		;
	say("  zeros %d\n", i);
	show("by the name port", host_get_boot_info(host, boot));
	show("of a processor", host_get_boot_info(cpu, boot));
}
static void processors(void)
{
	processor_array_t list = 0;
	mach_msg_type_number_t n = POISON;
	mach_port_t set = POISON, again = POISON;

	say("-- processors\n");
	show("by the name port", host_processors(host, &list, &n));
	show("of a task", host_processors(self, &list, &n));
	show("by the privileged port", host_processors(host_priv, &list, &n));
	cpu = list[0];
	say("  count %u offset %u\n", n, (u32) list & (PAGE_SIZE - 1));
	rights("processor", cpu);
	show("again", host_processors(host_priv, &list, &n));
	say("  same %d\n", list[0] == cpu);
	rights("processor", cpu);
	processor_facts(cpu, 1, 0);
	processor_facts(cpu, 1, 4);
	processor_facts(cpu, 1, 5);
	say("  type %d subtype %d running %d slot %d master %d\n", IS_CPU_TYPE(words[0]), words[1], words[2], words[3], words[4]);
	processor_facts(cpu, 1, 9);
	processor_facts(cpu, 0, 9);
	processor_facts(cpu, 2, 9);
	processor_facts(host, 1, 9);
	processor_facts(host_priv, 1, 9);
	processor_facts(self, 2, 0);
	rights("host", host);
	show("default set", processor_set_default(host, &name_set));
	show("its control port", host_processor_set_priv(host_priv, name_set, &control_set));
	show("start", processor_start(cpu));
	show("exit", processor_exit(cpu));
	show("control", processor_control(cpu, words, 5));
	show("control with nothing", processor_control(cpu, words, 0));
	show("start the host", processor_start(host_priv));
	show("exit the host", processor_exit(host_priv));
	show("control the host", processor_control(host_priv, words, 5));
	show("assign", processor_assign(cpu, control_set, 0));
	show("assign and wait", processor_assign(cpu, control_set, 1));
	show("assign to a name", processor_assign(cpu, name_set, 0));
	show("assign to nothing", processor_assign(cpu, 0, 0));
	show("assign a task", processor_assign(self, control_set, 0));
	show("assignment", processor_get_assignment(cpu, &set));
	say("  the default set %d\n", set == name_set);
	show("assignment of the host", processor_get_assignment(host_priv, &again));
	show("terminate a processor", task_terminate(cpu));
	rights("name of the set", name_set);
	rights("control of the set", control_set);
}
static int later(time_value_t *a, time_value_t *b) { return a->seconds != b->seconds ? a->seconds > b->seconds : a->microseconds > b->microseconds; }
static void wait(u32 ms) { mach_msg_header_t m; mach_msg(&m, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, mach_reply_port(), ms, 0); }
static void times(void)
{
	time_value_t t, u, set = { 1000000000, 250000 }, none = { 0, 0 }, old = { POISON, POISON };
	struct task_basic_info info;
	mach_msg_type_number_t n = TASK_BASIC_INFO_COUNT;
	task_t child;

	say("-- time\n");
	show("time", host_get_time(host, &t));
	say("  sane %d\n", t.seconds >= 0 && t.microseconds >= 0 && t.microseconds < 1000000);
	wait(100);
	show("time by the privileged port", host_get_time(host_priv, &u));
	say("  later %d microseconds of a tick %d\n", later(&u, &t), u.microseconds % 10000 == t.microseconds % 10000);
	show("time of a task", host_get_time(self, &t));
	task_create(self, 0, &child);
	show("set by the name port", host_set_time(host, set));
	show("set of a task", host_set_time(self, set));
	show("set", host_set_time(host_priv, set));
	show("time", host_get_time(host, &t));
	say("  seconds %d microseconds %d\n", t.seconds, t.microseconds >= 250000 && t.microseconds < 400000);
	wait(2000);
	host_get_time(host, &u);
	say("  later %d by %d\n", later(&u, &t), u.seconds - t.seconds >= 1 && u.seconds - t.seconds <= 4);
	show("created", task_info(child, TASK_BASIC_INFO, (task_info_t) &info, &n));
	say("  before it was set, in the new time %d\n", info.creation_time.seconds <= 1000000000 && info.creation_time.seconds > 999999000);
	host_set_time(host_priv, set);
	show("adjust by the name port", host_adjust_time(host, none, &old));
	show("adjust of a task", host_adjust_time(self, none, &old));
	show("adjust by nothing", host_adjust_time(host_priv, none, &old));
	say("  old %d %d\n", old.seconds, old.microseconds);
	u.seconds = 20; u.microseconds = 999999;
	show("adjust by 21 s", host_adjust_time(host_priv, u, &old));
	say("  old %d %d\n", old.seconds, old.microseconds);
	u.seconds = 0; u.microseconds = 400000;
	show("adjust by 0.4 s", host_adjust_time(host_priv, u, &old));
	say("  old %d rest %d\n", old.seconds, old.microseconds > 900000 && old.microseconds % 50 == 0);
	wait(300);
	u.seconds = -1; u.microseconds = 0;
	show("adjust by -1 s", host_adjust_time(host_priv, u, &old));
	say("  old %d less %d whole %d\n", old.seconds, old.microseconds < 400000 && old.microseconds > 390000, old.microseconds % 50 == 0);
	wait(300);
	show("adjust by nothing", host_adjust_time(host_priv, none, &old));
	say("  old %d less %d rest %d\n", old.seconds, old.microseconds > -1000000 && old.microseconds < -990000, old.microseconds % 50);
	task_terminate(child);
}
static void wiring(void)
{
	vm_address_t page = 0;
	mach_port_t set = 0;
	thread_t other;

	say("-- what stays\n");
	vm_allocate(self, &page, 2 * PAGE_SIZE, 1);
	show("wire", vm_wire(host_priv, self, page, PAGE_SIZE, VM_PROT_DEFAULT));
	show("wire by the name port", vm_wire(host, self, page, 2 * PAGE_SIZE, VM_PROT_READ));
	show("unwire", vm_wire(host, self, page, 2 * PAGE_SIZE, VM_PROT_NONE));
	show("unwire more than is wired", vm_wire(host_priv, self, page, 2 * PAGE_SIZE, VM_PROT_NONE));
	show("unwire once more", vm_wire(host_priv, self, page, PAGE_SIZE, VM_PROT_NONE));
	show("wire a hole", vm_wire(host_priv, self, 0x70000000, PAGE_SIZE, VM_PROT_READ));
	show("wire for what there is not", vm_wire(host_priv, self, page, PAGE_SIZE, 8));
	show("wire nothing", vm_wire(host_priv, self, page, 0, VM_PROT_READ));
	show("wire a thread's memory", vm_wire(host_priv, mach_thread_self(), page, PAGE_SIZE, VM_PROT_READ));
	show("wire no task's memory", vm_wire(host_priv, 0, page, PAGE_SIZE, VM_PROT_READ));
	show("wire by a task", vm_wire(self, self, page, PAGE_SIZE, VM_PROT_READ));
	show("wire by a processor", vm_wire(cpu, self, page, PAGE_SIZE, VM_PROT_READ));
	page = 0;
	vm_allocate(self, &page, 9 << 20, 1);
	show("wire much by the name port", vm_wire(host, self, page, 9 << 20, VM_PROT_READ));
	show("make a thread stay", thread_wire(host_priv, mach_thread_self(), 1));
	show("and no longer", thread_wire(host_priv, mach_thread_self(), 0));
	show("and no longer again", thread_wire(host_priv, mach_thread_self(), 0));
	show("by the name port", thread_wire(host, mach_thread_self(), 1));
	show("a task", thread_wire(host_priv, self, 1));
	show("nothing", thread_wire(host_priv, 0, 1));
	thread_create(self, &other);
	show("another thread", thread_wire(host_priv, other, 1));
	thread_terminate(other);
	show("a dead thread", thread_wire(host_priv, other, 1));
	show("restart by the name port", host_reboot(host, 0));
	show("restart by a task", host_reboot(self, 8));
	rights("self", self);
}
int guest_main(void)
{
	self = mach_task_self();
	host = mach_host_self();
	say("ports differ %d\n", host != host_priv);
	processors();
	information();
	version();
	times();
	wiring();
	rights("host", host);
	rights("privileged host", host_priv);
	return 0;
}
