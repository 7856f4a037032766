/* What others see when tasks and threads end: in the middle of messages, calls, exceptions and sets; what becomes of their rights. */
#include "ipc.h"
#include "cpu.h"

static mach_port_t n, mine, old;

/* A new task has these names: its own port 900, the task of the module's port 901. */
static task_t task;
static thread_t thread;
static mach_port_t theirs;

static mach_port_t port_in(mach_port_t name)
{
	mach_port_t p = 0;
	mach_msg_type_name_t how;

	mach_port_allocate_name(task, MACH_PORT_RIGHT_RECEIVE, name);
	mach_port_extract_right(task, name, MACH_MSG_TYPE_MAKE_SEND, &p, &how);
	return p;
}

static void begins(const char *what, void (*entry)())
{
	say("-- %s\n", what), forget_names(), new_jobs();
	task = new_task(entry, 0, 0, &thread);
	theirs = port_in(900), mine = send_port();
	mach_port_insert_right(task, 901, mine, MACH_MSG_TYPE_COPY_SEND);
	shared[0] = 0x55;
}

static void runs(void)
{
	thread_resume(thread), rest();
}

static void ends(void)
{
	show("the task ends", task_terminate(task)), rest();
	take_all("notification", n);
}

/* What a new task's thread does. */

static message_t theirs_m;

static void receives(void)
{
	for (;;)
		shared[0] = mach_msg(&theirs_m.h, MACH_RCV_MSG, 0, sizeof theirs_m, 900, 0, 0);
}

static void receives_one(void)
{
	shared[0] = mach_msg(&theirs_m.h, MACH_RCV_MSG, 0, sizeof theirs_m, 900, 0, 0);
	for (;;)
		mach_msg(&theirs_m.h, MACH_RCV_MSG, 0, sizeof theirs_m, 902, 0, 0), thread_switch(0, SWITCH_OPTION_WAIT, 1000);
}

static void receives_and_ends(void)
{
	shared[0] = mach_msg(&theirs_m.h, MACH_RCV_MSG, 0, sizeof theirs_m, 900, 0, 0);
	shared[1] = syscall_task_terminate(mach_task_self());
}

static void sends(void)
{
	fill(&theirs_m, RPC | MACH_MSGH_BITS_COMPLEX, 901, 900, 1070);
	theirs_m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND, 32, 1, 1, 0), theirs_m.w[1] = 900;
	shared[0] = mach_msg(&theirs_m.h, MACH_SEND_MSG, 32, 0, 0, 0, 0);
	stay();
}

static void calls(void)
{
	fill(&theirs_m, RPC, 901, 900, 1071);
	shared[0] = mach_msg(&theirs_m.h, MACH_SEND_MSG | MACH_RCV_MSG, 24, sizeof theirs_m, 900, 0, 0);
	stay();
}

static void faults(void)
{
	asm volatile(ILLEGAL);
}

static void spins(void)
{
	for (;;)
		shared[0]++;
}

static void ends_itself(void)
{
	shared[0] = syscall_task_terminate(mach_task_self());
	for (;;)
		;
}

static void its_thread_ends(void)
{
	mig_forget_reply_port();
	shared[0] = thread_terminate(mach_thread_self());
	for (;;)
		;
}

static void threads_of(const char *what)
{
	thread_array_t list;
	mach_msg_type_number_t count = 0;
	kern_return_t kr = task_threads(task, &list, &count);

	say("  %s: %x", what, kr);
	if (!kr)
		say(" threads %u", count);
	say("\n");
}

static void rights(void)
{
	mach_port_t p[4], q;
	mach_msg_type_name_t how;
	task_t other;
	int i;

	begins("the order of a task's notifications", receives);
	for (i = 0; i < 4; i++)
		p[i] = port_in(913 - i), ask(p[i], MACH_NOTIFY_DEAD_NAME, 0, n, &old), type("a port of its", p[i]);
	ask(thread, MACH_NOTIFY_DEAD_NAME, 0, n, &old), ask(task, MACH_NOTIFY_DEAD_NAME, 0, n, &old), type("the thread", thread), type("the task", task);
	mach_port_insert_right(task, 905, n, MACH_MSG_TYPE_MAKE_SEND_ONCE), mach_port_insert_right(task, 920, n, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	q = port(), mach_port_insert_right(task, 911 + 100, q, MACH_MSG_TYPE_MAKE_SEND), ask(q, MACH_NOTIFY_NO_SENDERS, 0, n, &old);
	q = port(), mach_port_insert_right(task, 904, q, MACH_MSG_TYPE_MAKE_SEND), ask(q, MACH_NOTIFY_NO_SENDERS, 0, n, &old), mach_port_insert_right(task, 903, mine, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	runs(), ends(), take_all("mine", mine), type("a port of its", p[0]), type("the thread", thread), type("the task", task);

	begins("rights that the kernel held for it", receives);
	q = port(), mach_port_insert_right(self, q, q, MACH_MSG_TYPE_MAKE_SEND), task_set_special_port(task, TASK_BOOTSTRAP_PORT, q), task_set_special_port(task, TASK_EXCEPTION_PORT, q), mach_ports_register(task, &q, 1), thread_set_special_port(thread, THREAD_EXCEPTION_PORT, q);
	ask(q, MACH_NOTIFY_NO_SENDERS, 0, n, &old), drop(q, MACH_PORT_RIGHT_SEND), take_all("not yet", n), show("the thread ends", thread_terminate(thread)), take_all("not yet", n), ends();

	begins("a child of it lives on", receives);
	show("create", task_create(task, TRUE, &other)), q = port(), mach_port_insert_right(other, 950, q, MACH_MSG_TYPE_MAKE_SEND), ask(q, MACH_NOTIFY_NO_SENDERS, 0, n, &old);
	ends(), show("suspend the child", task_suspend(other)), show("terminate the child", task_terminate(other)), take_all("notification", n);

	begins("a request of its own", receives);
	mach_port_insert_right(task, 930, mine, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	mach_port_insert_right(task, 931, n, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	show("extract a send-once right", mach_port_extract_right(task, 931, MACH_MSG_TYPE_MOVE_SEND_ONCE, &q, &how));
	show("ask in it", mach_port_request_notification(task, 930, MACH_NOTIFY_DEAD_NAME, 0, q, MACH_MSG_TYPE_MOVE_SEND_ONCE, &old));
	ends(), take_all("mine", mine);

	begins("a port-destroyed request", receives);
	show("ask in it", mach_port_request_notification(task, 900, MACH_NOTIFY_PORT_DESTROYED, 0, n, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old));
	send(theirs, 1), send(theirs, 2);
	ends(), type("it comes here", theirs), status("it", theirs), take_all("its messages", theirs);
}

static void messages(void)
{
	mach_port_t p, q;
	int i;

	begins("messages in its queue", receives);
	p = send_port(), q = send_port(), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old);
	fill(&m, RPC, theirs, n, 1), show("with a reply right", give(24));
	fill(&m, CS | MACH_MSGH_BITS_COMPLEX, theirs, 0, 2), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0), m.w[1] = p, show("with a receive right", give(32));
	fill(&m, CS | MACH_MSGH_BITS_COMPLEX, theirs, 0, 3), m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 2, 1, 0), m.w[1] = n, m.w[2] = n, show("with two send-once rights", give(36));
	for (i = 0; i < 5; i++)
		send(p, i);
	sender(p, 80, 0, 0, 0), report();
	ends(), report(), type("p", p), type("theirs", theirs);

	begins("a sender at its full queue", receives);
	for (i = 0; i < 5; i++)
		send(theirs, i);
	sender(theirs, 81, 0, 0, 0), sender(theirs, 82, MACH_SEND_TIMEOUT, 60000, 0), report(), ends(), report();

	begins("it waits to send", sends);
	for (i = 0; i < 5; i++)
		send(mine, i);
	ask(theirs, MACH_NOTIFY_DEAD_NAME, 0, n, &old), runs(), say("  there: %x\n", shared[0]), ends(), take_all("mine", mine);

	begins("its message waits here", sends);
	runs(), say("  there: %x\n", shared[0]), status("mine", mine), ends(), take("mine", mine), say("  reply %n body %n\n", m.h.msgh_remote_port, m.w[1]);

	begins("its message came here", sends);
	runs(), take("mine", mine), p = m.h.msgh_remote_port, q = m.w[1], type("reply", p), type("body", q), say("  the same as theirs %d\n", q == theirs);
	ends(), type("reply", p), type("body", q), fill(&m, ONCE, p, 0, 5), show("answer", give(24));
}

static void rpcs(void)
{
	struct job *j;
	mach_port_t p;

	begins("it waits for an answer", calls);
	runs(), take("mine", mine), p = m.h.msgh_remote_port, ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), ends(), type("reply", p);
	fill(&m, ONCE, p, 0, 5), show("answer", give(24)), take_all("notification", n);

	begins("its thread ends, waiting for an answer", calls);
	runs(), take("mine", mine), old = m.h.msgh_remote_port, show("the thread ends", thread_terminate(thread)), threads_of("the task"), type("reply", old);
	fill(&m, ONCE, old, 0, 5), show("answer", give(24)), ends();

	begins("a caller, its call in the queue", receives);
	j = new_job(), fill(&j->m, RPC, theirs, n, 6), j->option = MACH_SEND_MSG | MACH_RCV_MSG, j->send_size = 24, j->from = n, j->timeout = 0, go(j), report();
	show("the task ends", task_terminate(task)), report();

	begins("a caller, its call received", receives);
	runs(), j = new_job(), fill(&j->m, RPC, theirs, n, 7), j->option = MACH_SEND_MSG | MACH_RCV_MSG, j->send_size = 24, j->from = n, go(j), report(), say("  there: %x\n", shared[0]);
	show("the task ends", task_terminate(task)), report();

	begins("the server ends itself", receives_and_ends);
	runs(), j = new_job(), fill(&j->m, RPC, theirs, n, 8), j->option = MACH_SEND_MSG | MACH_RCV_MSG, j->send_size = 24, j->from = n, go(j), report(), say("  there: %x\n", shared[0]), type("the task", task);
	take_all("notification", n);

	begins("the server's thread ends", receives_one);
	runs(), j = new_job(), fill(&j->m, RPC, theirs, n, 9), j->option = MACH_SEND_MSG | MACH_RCV_MSG, j->send_size = 24, j->from = n, go(j), report();
	show("the thread ends", thread_terminate(thread)), report(), show("the task ends", task_terminate(task)), report();
}

static void sets_and_exceptions(void)
{
	mach_port_t box = send_port(), s, reply, its_thread, its_task;

	begins("it waits at a set", receives);
	mach_port_mod_refs(task, 900, MACH_PORT_RIGHT_RECEIVE, -1), mach_port_allocate_name(task, MACH_PORT_RIGHT_PORT_SET, 902), theirs = port_in(910), mach_port_move_member(task, 910, 902), mach_port_rename(task, 900, 899), mach_port_rename(task, 902, 900);
	ask(theirs, MACH_NOTIFY_DEAD_NAME, 0, n, &old), runs(), show("send", send(theirs, 1)), rest(), say("  there: %x\n", shared[0]), show("suspend", task_suspend(task)), show("send", send(theirs, 2)), ends(), type("theirs", theirs);

	begins("its exception waits in a queue", faults);
	task_set_special_port(task, TASK_EXCEPTION_PORT, box), runs(), status("box", box), ends(), take("box", box), say("  thread %n task %n\n", m.w[1], m.w[3]), type("reply", m.h.msgh_remote_port), show("drop it", mach_port_deallocate(self, m.h.msgh_remote_port));

	begins("its exception came here", faults);
	task_set_special_port(task, TASK_EXCEPTION_PORT, box), runs(), take("box", box), reply = m.h.msgh_remote_port, its_thread = m.w[1], its_task = m.w[3], ask(reply, MACH_NOTIFY_DEAD_NAME, 0, n, &old);
	ends(), type("reply", reply), type("thread", its_thread), type("task", its_task), fill(&m, ONCE, reply, 0, 2500), m.w[0] = item(2, 32, 1, 1, 0), m.w[1] = 0, show("answer", give(32)), take_all("notification", n);

	begins("its own exception port", faults);
	task_set_special_port(task, TASK_EXCEPTION_PORT, theirs), ask(task, MACH_NOTIFY_DEAD_NAME, 0, n, &old), runs(), take_all("it waits", n), ends();

	begins("a set of ours has its messages", sends);
	s = port_set(), mach_port_move_member(self, mine, s), runs(), ends(), take("from the set", s);
}

static void self_made(void)
{
	begins("it ends itself", ends_itself);
	ask(task, MACH_NOTIFY_DEAD_NAME, 0, n, &old), ask(thread, MACH_NOTIFY_DEAD_NAME, 0, n, &old), runs(), take_all("notification", n), say("  there: %x\n", shared[0]), threads_of("the task");

	begins("its only thread ends itself", its_thread_ends);
	ask(thread, MACH_NOTIFY_DEAD_NAME, 0, n, &old), runs(), take_all("notification", n), say("  there: %x\n", shared[0]), threads_of("the task");
	show("another thread", thread_create(task, &thread)), threads_of("the task"), ends();

	begins("it spins", spins);
	runs(), show("the thread ends", thread_terminate(thread)), shared[0] = 7, rest(), say("  still %u\n", shared[0]), threads_of("the task"), ends();

	begins("it is suspended", spins);
	show("suspend", task_suspend(task)), show("suspend its thread", thread_suspend(thread)), runs(), ends(), show("resume", task_resume(task)), show("resume its thread", thread_resume(thread));

	begins("one of two threads", spins);
	show("another thread", thread_create(task, &old)), threads_of("the task"), show("it ends", thread_terminate(old)), show("it ends again", thread_terminate(old)), threads_of("the task"), type("it", old), ends();
}

static void codes(void)
{
	struct task_basic_info info;
	registers_t s;
	mach_msg_type_number_t count = TASK_BASIC_INFO_COUNT;
	vm_address_t address = 0;
	mach_port_t p = 0, q;
	mach_port_name_array_t names;
	mach_port_type_array_t types;
	mach_msg_type_name_t how;
	thread_t second;

	begins("what is answered for the dead", spins);
	show("task_terminate", task_terminate(task));
	type("the task", task), type("the thread", thread);
	show("task_terminate", task_terminate(task)), show("task_suspend", task_suspend(task)), show("task_create", task_create(task, FALSE, &p)), show("thread_create", thread_create(task, &second));
	show("task_info", task_info(task, TASK_BASIC_INFO, (task_info_t) &info, &count)), show("vm_allocate", vm_allocate(task, &address, PAGE_SIZE, TRUE)), show("mach_port_allocate", mach_port_allocate(task, MACH_PORT_RIGHT_RECEIVE, &p));
	show("mach_port_names", mach_port_names(task, &names, &count, &types, &count)), show("mach_port_insert_right", mach_port_insert_right(task, 5, mine, MACH_MSG_TYPE_COPY_SEND)), type("mine", mine);
	show("mach_port_insert_right, moved", mach_port_insert_right(task, 5, mine, MACH_MSG_TYPE_MOVE_SEND)), type("mine", mine);
	show("task_get_special_port", task_get_special_port(task, TASK_BOOTSTRAP_PORT, &p)), show("thread_resume", thread_resume(thread)), count = GENERAL_STATE_COUNT, show("thread_get_state", thread_get_state(thread, GENERAL_STATE, (thread_state_t) &s, &count)), show("thread_abort", thread_abort(thread));
	p = 0, show("trap task_terminate", syscall_task_terminate(task)), show("trap task_suspend", syscall_task_suspend(task)), show("trap vm_allocate", syscall_vm_allocate(task, &address, PAGE_SIZE, TRUE)), show("trap mach_port_allocate", syscall_mach_port_allocate(task, MACH_PORT_RIGHT_RECEIVE, &p)), show("trap task_create", syscall_task_create(task, FALSE, &p));
	show("thread_switch", thread_switch(thread, SWITCH_OPTION_NONE, 0)), show("its port as an exception port", task_set_special_port(self, TASK_EXCEPTION_PORT, task)), show("deallocate the task", mach_port_deallocate(self, task)), show("deallocate the thread", mach_port_deallocate(self, thread));

	say("-- a call on a task that ends while the call waits in a port of ours\n");
	task = new_task(spins, 0, 0, &thread), q = send_port(), show("its port is ours", task_set_special_port(task, TASK_KERNEL_PORT, q)), show("get it", task_get_special_port(task, TASK_KERNEL_PORT, &p)), say("  ours %d\n", p == q);
	ask(q, MACH_NOTIFY_NO_SENDERS, 0, n, &old), mach_port_mod_refs(self, q, MACH_PORT_RIGHT_SEND, -2), take_all("it holds one", n), show("terminate", task_terminate(task)), take_all("it holds none", n);
	say("-- a message to a dead task's port, and with it\n");
	task_create(self, FALSE, &task), task_create(self, FALSE, &p), fill(&m, MACH_MSGH_BITS_COMPLEX | MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0), quiet, 0, 1), m.w[0] = item(MACH_MSG_TYPE_COPY_SEND, 32, 2, 1, 0), m.w[1] = task, m.w[2] = p;
	show("send both", give(36)), show("one ends", task_terminate(task)), receive(quiet), say("  one %n other the same %d\n", m.w[1], m.w[2] == p), show("the other ends", task_terminate(p));
}

int guest_main(void)
{
	begin(), share();
	n = port(), mach_port_set_qlimit(self, n, 16);
	rights();
	messages();
	rpcs();
	sets_and_exceptions();
	self_made();
	codes();
	return 0;
}
