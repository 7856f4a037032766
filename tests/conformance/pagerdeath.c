/* Managers that die or never answer, and faulting threads and memory that end while they wait. */
#include "pagers.h"

static void dead_ports(void)
{
	struct object *o;
	vm_address_t a = 0;
	mach_port_t port = new_port();

	say("-- a manager that was dead\n");
	show("map null", vm_map(self, &a, PAGE, 0, 1, 0, 3 * PAGE, 0, 3, 7, VM_INHERIT_COPY));
	reads("read", 0, a); writes("write", 0, a, 1); show("unmap", vm_deallocate(self, a, PAGE));
	mach_port_mod_refs(self, port, MACH_PORT_RIGHT_RECEIVE, -1);
	a = 0; show("map a dead name", vm_map(self, &a, PAGE, 0, 1, port, 0, 0, 3, 7, VM_INHERIT_COPY));
	show("map a dead name by the trap", syscall_vm_map(self, (a = 0, &a), PAGE, 0, 1, port, 0, 0, 3, 7, VM_INHERIT_COPY));
	a = 0; show("map the name port of the task", vm_map(self, &a, PAGE, 0, 1, self, 0, 0, 3, 7, VM_INHERIT_COPY));
	a = 0; show("map the host", vm_map(self, &a, PAGE, 0, 1, mach_host_self(), 0, 0, 3, 7, VM_INHERIT_COPY));
	o = new_object(MEMORY_OBJECT_COPY_DELAY);
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY);
	a = 0; show("map the control port", vm_map(self, &a, PAGE, 0, 1, o->control, 0, 0, 3, 7, VM_INHERIT_COPY));
	a = 0; show("map the name port", vm_map(self, &a, PAGE, 0, 1, o->name, 0, 0, 3, 7, VM_INHERIT_COPY));
	serve(QUIET);
}

static void died(struct object *o)
{
	show("the manager's port is destroyed", mach_port_mod_refs(self, o->port, MACH_PORT_RIGHT_RECEIVE, -1));
	serve(QUIET);
}

static void dies(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a, b;
	mach_port_type_t type = 0;

	say("-- a manager that dies\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	reads("read page 0", 0, a); writes("write page 1", 0, a + PAGE, 0x11);
	supply_words(o->control, 5 * PAGE, &o->store[5], 1, VM_PROT_ALL, 0, 0);
	o->silent = 1;
	begin(0, do_read, a + 2 * PAGE, 0, 0, 0); finish("read page 2", 0);
	new_hand(1, self); begin(1, do_write, a + 2 * PAGE, 2, 0, 0); finish("write page 2", 1);
	new_hand(2, self); begin(2, do_read, a + 5 * PAGE, 0, 0, 0); finish("read page 5", 2);
	died(o);
	finish("read page 2", 0); finish("write page 2", 1); finish("read page 5", 2);
	reads("read page 0", 0, a); reads("read page 1", 0, a + PAGE); writes("write page 1", 0, a + PAGE, 0x12);
	reads("read page 3", 0, a + 3 * PAGE);
	mach_port_type(self, o->control, &type); say("the control port's name: %x\n", type);
	mach_port_type(self, o->name, &type); say("the name port's name: %x\n", type);
	begin(0, do_vm_read, a, 2 * PAGE, 0, 0); finish("vm_read of what is there", 0); b = hands[0].c;
	writes("write page 0", 0, a, 0x10); reads("read the copy", 0, b); reads("read the copy's page 1", 0, b + PAGE);
	begin(0, do_vm_read, a, 4 * PAGE, 0, 0); finish("vm_read of more", 0);
	reads("read its page 3", 0, hands[0].c + 3 * PAGE);
	unmap("unmap", a, 8);

	say("-- before it was ready\n");
	o = new_object(MEMORY_OBJECT_COPY_DELAY); o->unready = 1;
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY);
	begin(0, do_read, a, 0, 0, 0); finish("read page 0", 0);
	begin(1, do_map, o->port, PAGE, 0, 1 | VM_INHERIT_COPY << 1); finish("map a copy", 1);
	died(o);
	finish("read page 0", 0); finish("map a copy", 1);
	unmap("unmap", a, 4);

	say("-- with init unread\n");
	o = new_object(MEMORY_OBJECT_COPY_DELAY);
	a = 0; show("map", vm_map(self, &a, PAGE, 0, 1, o->port, 0, 0, 3, 7, VM_INHERIT_COPY));
	died(o);
	reads("read", 0, a); unmap("unmap", a, 1);
}

/* What becomes of a hand that waits in vain. */
static void state_of(const char *what, mach_port_t thread)
{
	struct thread_basic_info info;
	mach_msg_type_number_t count = THREAD_BASIC_INFO_COUNT;
	kern_return_t result = thread_info(thread, THREAD_BASIC_INFO, (thread_info_t) &info, &count);

	say("%s: %x", what, result);
	if (!result)
		say(" run state %d suspended %d", info.run_state, info.suspend_count);
	say("\n");
}

static void never_answered(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;
	mach_port_t thread, child;

	say("-- a manager that never answers\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	o->silent = 1;
	begin(0, do_read, a, 0, 0, 0); finish("read page 0", 0);
	thread = hands[0].thread;
	state_of("the thread", thread);
	show("suspend", thread_suspend(thread)); state_of("the thread", thread);
	show("resume", thread_resume(thread)); state_of("the thread", thread);
	show("abort", thread_abort(thread)); serve(QUIET); state_of("the thread", thread); finish("read page 0", 0);
	supply(o, 0, 1); finish("read page 0", 0);
	begin(0, do_write, a + PAGE, 1, 0, 0); finish("write page 1", 0);
	show("terminate the thread", thread_terminate(hands[0].thread)); serve(QUIET); state_of("the thread", hands[0].thread);
	new_hand(0, self);
	begin(0, do_read, a + PAGE, 0, 0, 0); finish("read page 1 by another", 0);
	supply(o, 1, 1); finish("read page 1", 0);
	o->unready = 0; o->silent = 0;
	begin(0, do_task_create, 0, 0, 0, 0); finish("task_create", 0); child = hands[0].b;
	new_hand(1, child); o->silent = 1;
	begin(1, do_read, a + 2 * PAGE, 0, 0, 0); finish("child reads page 2", 1);
	show("terminate the child", task_terminate(child)); serve(5 * QUIET);
	begin(0, do_read, a + 2 * PAGE, 0, 0, 0); finish("read page 2", 0);
	supply(o, 2, 1); finish("read page 2", 0);
	begin(0, do_read, a + 3 * PAGE, 0, 0, 0); finish("read page 3", 0);
	show("the memory goes", vm_deallocate(self, a + 3 * PAGE, PAGE)); serve(QUIET);
	finish("read page 3", 0);
	supply(o, 3, 1); finish("read page 3", 0);
	new_hand(1, self);
	begin(1, do_write, a + 4 * PAGE, 4, 0, 0); finish("write page 4", 1);
	show("the memory is write-protected", vm_protect(self, a + 4 * PAGE, PAGE, 0, 1));
	supply(o, 4, 1); finish("write page 4", 1);
	begin(1, do_write, a + 5 * PAGE, 5, 0, 0); finish("write page 5", 1);
	show("all memory goes", vm_deallocate(self, a, 8 * PAGE)); serve(QUIET); finish("write page 5", 1);
	supply(o, 5, 1); finish("write page 5", 1);
	serve(QUIET);
}

int guest_main(void)
{
	start_pagers();
	dead_ports();
	dies();
	never_answered();
	return 0;
}
