/* Processor sets: the default one, what it tells, whose it is, which policies and priorities it allows; assignments. */
#include "guest.h"
#include "mach_debug_user.h"
static mach_port_t self, me, host, cpu, name, set;
static integer_t words[64];
#define POISON 0x7777
static void rights(const char *what, mach_port_t port)
{
	mach_port_type_t type = 0;
	mach_port_urefs_t refs = 0;
	kern_return_t kr = mach_port_type(self, port, &type);

	mach_port_get_refs(self, port, MACH_PORT_RIGHT_SEND, &refs);
	say("  %s %n kr %x type %x refs %u\n", what, port, kr, type, refs);
}
static kern_return_t facts(const char *what, mach_port_t port, int flavor, u32 room)
{
	mach_msg_type_number_t n = room;
	mach_port_t of = POISON;
	kern_return_t kr = processor_set_info(port, flavor, &of, words, &n);

	say("%s flavor %d room %u -> %x", what, flavor, room, kr);
	if (!kr)
		say(" count %u host %d", n, of == host);
	say("\n");
	return kr;
}
static void allowed(void)
{
	if (!facts("info", set, 2, 2))
		say("  policies %d max priority %d\n", words[0], words[1]);
}
static void basics(void)
{
	mach_port_t got = POISON;
	processor_set_name_array_t sets;
	mach_msg_type_number_t n = POISON;

	say("-- names\n");
	show("default", processor_set_default(host, &name));
	show("default by the privileged port", processor_set_default(host_priv, &got));
	say("  same %d\n", got == name);
	show("default of a task", processor_set_default(self, &got));
	show("all", host_processor_sets(host, &sets, &n));
	say("  count %u the default %d\n", n, sets[0] == name);
	show("all by the privileged port", host_processor_sets(host_priv, &sets, &n));
	show("all of a task", host_processor_sets(self, &sets, &n));
	rights("name", name);
	show("control by the name port", host_processor_set_priv(host, name, &set));
	show("control of a task", host_processor_set_priv(self, name, &set));
	show("control of nothing", host_processor_set_priv(host_priv, 0, &set));
	show("control of the host", host_processor_set_priv(host_priv, host, &set));
	show("control", host_processor_set_priv(host_priv, name, &set));
	show("control of the control", host_processor_set_priv(host_priv, set, &got));
	say("  same %d other than the name %d\n", got == set, set != name);
	rights("control", set);
	show("create", processor_set_create(host, &got, &got));
	show("create by the privileged port", processor_set_create(host_priv, &got, &got));
	show("create of a task", processor_set_create(self, &got, &got));
	show("destroy", processor_set_destroy(set));
	show("destroy a name", processor_set_destroy(name));
	show("destroy a task", processor_set_destroy(self));
	rights("control", set);
}
static void information(void)
{
	task_t child;
	thread_t t;
	int tasks, threads;

	say("-- information\n");
	facts("info", name, 1, 4);
	facts("info", name, 1, 5);
	say("  processors %d\n", words[0]);
	tasks = words[1], threads = words[2];
	say("  tasks %d threads %d load %d factor %d\n", tasks > 1, threads > 0, words[3] >= 0, words[4] >= 0);
	task_create(self, 0, &child);
	thread_create(child, &t);
	thread_create(child, &t);
	facts("info", set, 1, 64);
	say("  tasks %d threads %d more\n", words[1] - tasks, words[2] - threads);
	thread_terminate(t);
	thread_switch(0, SWITCH_OPTION_WAIT, 50);
	facts("info", set, 1, 5);
	say("  tasks %d threads %d more\n", words[1] - tasks, words[2] - threads);
	task_terminate(child);
	thread_switch(0, SWITCH_OPTION_WAIT, 50);
	facts("info", set, 1, 5);
	say("  tasks %d threads %d more\n", words[1] - tasks, words[2] - threads);
	facts("info", name, 2, 1);
	facts("info", name, 2, 2);
	say("  policies %d max priority %d\n", words[0], words[1]);
	facts("info", name, 2, 9);
	facts("info", name, 0, 9);
	facts("info", name, 3, 9);
	facts("info of the host", host_priv, 1, 9);
	facts("info of a processor", cpu, 1, 9);
}
static int place(mach_port_t what, mach_port_t *list, u32 n)
{
	u32 i;

	for (i = 0; i < n && list[i] != what; i++)
		;
	return i < n ? (int) i : -1;
}
static void members(void)
{
	task_array_t tasks = 0;
	thread_array_t threads = 0;
	mach_msg_type_number_t n = POISON, m = POISON;
	task_t child;
	thread_t a, b;
	int mine;

	say("-- tasks and threads\n");
	show("tasks by the name", processor_set_tasks(name, &tasks, &n));
	show("threads by the name", processor_set_threads(name, &threads, &n));
	show("tasks of the host", processor_set_tasks(host_priv, &tasks, &n));
	show("tasks", processor_set_tasks(set, &tasks, &n));
	mine = place(self, tasks, n);
	say("  the kernel's first %d then this one %d of %u\n", mine > 0, mine, n);
	task_create(self, 0, &child);
	thread_create(self, &a);
	thread_create(child, &b);
	show("tasks", processor_set_tasks(set, &tasks, &m));
	say("  more %d the new one last %d this one where it was %d\n", m - n, tasks[m - 1] == child, place(self, tasks, m) == mine);
	rights("child", child);
	show("threads", processor_set_threads(set, &threads, &m));
	say("  the new ones last %d %d this one before %d\n", threads[m - 2] == a, threads[m - 1] == b, place(me, threads, m) == (int) m - 3);
	rights("thread", b);
	facts("info", name, 1, 5);
	say("  as many %d\n", words[2] == (int) m);
	thread_terminate(a);
	task_terminate(child);
	rights("child", child);
}
static void policies(void)
{
	static const int values[] = { 0, 2, 3, 4, -1, 1 };
	u32 i;

	say("-- policies\n");
	for (i = 0; i < 6; i++) {
		say("policy %d\n", values[i]);
		show("  enable", processor_set_policy_enable(set, values[i]));
		allowed();
		show("  disable", processor_set_policy_disable(set, values[i], 0));
		allowed();
		show("  enable", processor_set_policy_enable(set, values[i]));
		show("  disable and change threads", processor_set_policy_disable(set, values[i], 1));
		allowed();
	}
	show("enable by the name", processor_set_policy_enable(name, 2));
	show("disable by the name", processor_set_policy_disable(name, 2, 0));
	show("enable of the host", processor_set_policy_enable(host_priv, 2));
	show("enable twice", processor_set_policy_enable(set, 2) | processor_set_policy_enable(set, 2));
	allowed();
	show("disable once", processor_set_policy_disable(set, 2, 0));
	allowed();
}
static int priority(thread_t t, int which)
{
	mach_msg_type_number_t n = 8;
	thread_info(t, 2, words, &n);
	return words[which];
}
static void priorities(void)
{
	thread_t t, u;

	say("-- priorities\n");
	thread_create(self, &t);
	say("max %d base %d\n", priority(t, 3), priority(t, 2));
	show("max priority -1", processor_set_max_priority(set, -1, 0));
	show("max priority 64", processor_set_max_priority(set, 64, 0));
	show("max priority by the name", processor_set_max_priority(name, 30, 0));
	show("max priority of the host", processor_set_max_priority(host_priv, 30, 0));
	show("max priority 40", processor_set_max_priority(set, 40, 0));
	allowed();
	say("  max %d base %d\n", priority(t, 3), priority(t, 2));
	thread_create(self, &u);
	say("  a new thread's max %d base %d\n", priority(u, 3), priority(u, 2));
	show("max priority 45 for all", processor_set_max_priority(set, 45, 1));
	say("  max %d base %d\n", priority(t, 3), priority(t, 2));
	say("  max %d base %d\n", priority(u, 3), priority(u, 2));
	say("  of this one max %d base %d\n", priority(me, 3), priority(me, 2));
	show("max priority 10 for all", processor_set_max_priority(set, 10, 1));
	say("  max %d base %d\n", priority(t, 3), priority(t, 2));
	thread_terminate(u);
	thread_create(self, &u);
	say("  a new thread's max %d base %d\n", priority(u, 3), priority(u, 2));
	show("max priority 0", processor_set_max_priority(set, 0, 0));
	show("max priority 63", processor_set_max_priority(set, 63, 0));
	allowed();
	show("max priority 25", processor_set_max_priority(set, 25, 0));
	show("this one back", thread_max_priority(me, set, 25) | thread_priority(me, 25, 0));
	thread_terminate(t);
	thread_terminate(u);
}
static void assignments(void)
{
	mach_port_t got = POISON;
	task_t child;
	thread_t t;

	say("-- assignments\n");
	task_create(self, 0, &child);
	thread_create(child, &t);
	show("task", task_get_assignment(child, &got));
	say("  default %d\n", got == name);
	show("thread", thread_get_assignment(t, &got));
	say("  default %d\n", got == name);
	rights("name", name);
	show("task of a thread", task_get_assignment(t, &got));
	show("thread of a task", thread_get_assignment(child, &got));
	show("assign the task", task_assign(child, set, 0));
	show("assign the task with threads", task_assign(child, set, 1));
	show("assign the task to a name", task_assign(child, name, 0));
	show("assign the task to nothing", task_assign(child, 0, 0));
	show("assign a thread as task", task_assign(t, set, 0));
	show("assign the thread", thread_assign(t, set));
	show("assign the thread to the host", thread_assign(t, host));
	show("assign the host", thread_assign(host, set));
	show("default for the task", task_assign_default(child, 1));
	show("default for the thread", thread_assign_default(t));
	show("default for the host", task_assign_default(host, 1));
	show("default for the host", thread_assign_default(host));
	rights("control", set);
	task_terminate(child);
	show("task when it is dead", task_get_assignment(child, &got));
	show("thread when it is dead", thread_get_assignment(t, &got));
	show("a receive right's port", task_get_assignment(0, &got));
}
static void object(const char *what, mach_port_t port)
{
	unsigned type = POISON;
	vm_offset_t address = 0;

	show(what, mach_port_kernel_object(self, port, &type, &address));
	say("  type %d address %d\n", type, address != 0);
}
static void debuggers(void)
{
	unsigned total = 0;
	vm_size_t space = 9, resident = 9, used = 9;
	vm_offset_t stack = 9;

	say("-- what debuggers see\n");
	object("processor", cpu);
	object("control", set);
	object("name", name);
	show("stacks", processor_set_stack_usage(set, &total, &space, &resident, &used, &stack));
	say("  each %d resident %d used %d at %d\n", space / total, resident == space, used, stack);
	show("stacks by the name", processor_set_stack_usage(name, &total, &space, &resident, &used, &stack));
	show("stacks of the host", processor_set_stack_usage(host_priv, &total, &space, &resident, &used, &stack));
}
int guest_main(void)
{
	processor_array_t list = 0;
	mach_msg_type_number_t n = 0;

	self = mach_task_self();
	me = mach_thread_self();
	host = mach_host_self();
	host_processors(host_priv, &list, &n);
	cpu = list[0];
	basics();
	information();
	members();
	policies();
	priorities();
	assignments();
	debuggers();
	return 0;
}
