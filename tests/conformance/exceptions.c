/* Exceptions: what each is told as, who is told, and what becomes of threads whose handlers answer rightly, wrongly or never. */
#include "ipc.h"
#include "causes.h"

static mach_port_t box, other;
static vm_address_t page;
static volatile u32 stage;

/* Takes an exception out of PORT's queue and says what it tells. The reply right is left in M. */
static mach_msg_return_t catch(const char *what, mach_port_t from)
{
	mach_msg_return_t r;

	rest();
	r = receive(from);
	say("%s: %x", what, r);
	if (!r && m.h.msgh_id == 2400)
		say(" exception %d code %d subcode %x seqno %u", m.w[5], m.w[7], m.w[9], m.h.msgh_seqno);
	else if (!r)
		say(" id %d", m.h.msgh_id);
	say("\n");
	return r;
}

static void all_causes(void)
{
	u32 i;

	say("-- causes\n");
	for (i = 0; i < sizeof causes / sizeof causes[0]; i++) {
		struct job *j = &pool[0];
		u32 top = ((u32) j->stack + sizeof j->stack - 64) & -16;

		thread_terminate(j->thread), mach_port_deallocate(self, j->thread), thread_create(self, &j->thread);
		start(j, (void (*)()) causes[i].code, 0);
		if (!catch(causes[i].name, box)) {
			mach_port_t reply = m.h.msgh_remote_port;

			if (m.w[3] != self || m.w[1] != j->thread)
				say("  of another thread or task\n");
			mach_port_mod_refs(self, m.w[1], MACH_PORT_RIGHT_SEND, -1);
			say_place(j->thread, causes[i].code, top, m.w[7]);
			thread_terminate(j->thread), mach_port_deallocate(self, reply);
		}
	}
	thread_create(self, &pool[0].thread);
	/* How many causes there are differs from machine to machine; what follows does not. */
	mach_port_set_seqno(self, box, 72);
}

/* A thread that meets an undefined instruction, and goes on once that is skipped. */
static void victim_code(int number)
{
	asm volatile(ILLEGAL);
	note("went on");
	stay();
}

static struct job *victim(void)
{
	struct job *j = new_job();

	return start(j, victim_code, j);
}

static mach_port_t reply_to;

/* Answers to REPLY_TO with a message of SIZE bytes. */
static mach_msg_return_t answer_as(const char *what, u32 bits, mach_port_t local, u32 id, u32 size, u32 descriptor, u32 code)
{
	message_t r;

	fill(&r, bits, reply_to, local, id);
	r.w[0] = descriptor, r.w[1] = code, r.w[2] = item(2, 32, 0, 1, 0);
	return show(what, mach_msg(&r.h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, 0, 0, 0));
}

static mach_msg_return_t answer(const char *what, kern_return_t code)
{
	return answer_as(what, ONCE, 0, 2500, 32, item(2, 32, 1, 1, 0), code);
}

/* A victim whose own port's handler has its message now. */
static struct job *caught(const char *what)
{
	struct job *j;

	new_jobs(), j = new_job();
	show(what, thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, other));
	start(j, victim_code, j);
	catch("  the thread's port", other), reply_to = m.h.msgh_remote_port;
	return j;
}

static void task_s_turn(struct job *j)
{
	if (!catch("  the task's port", box))
		reply_to = m.h.msgh_remote_port, skip(j->thread, ILLEGAL_SIZE), answer("  mended", 0), report();
	else
		report();
}

static void answers(void)
{
	struct job *j;

	say("-- answers\n");
	new_jobs(), j = victim(), catch("the task's port alone", box), reply_to = m.h.msgh_remote_port, answer("success, unmended", 0), catch("again", box);
	reply_to = m.h.msgh_remote_port, skip(j->thread, ILLEGAL_SIZE), answer("success, mended", 0), report();
	answer("twice", 0);
	j = caught("success"), skip(j->thread, ILLEGAL_SIZE), answer("mended", 0), report(), catch("the task's port", box);
	j = caught("failure"), answer("KERN_FAILURE", KERN_FAILURE), task_s_turn(j);
	j = caught("wrong id"), answer_as("id 2501", ONCE, 0, 2501, 32, item(2, 32, 1, 1, 0), 0), task_s_turn(j);
	j = caught("wrong item"), answer_as("8 bits", ONCE, 0, 2500, 32, item(2, 8, 1, 1, 0), 0), task_s_turn(j);
	j = caught("wrong type"), answer_as("a byte's", ONCE, 0, 2500, 32, item(9, 32, 1, 1, 0), 0), task_s_turn(j);
	j = caught("too short"), answer_as("28 bytes", ONCE, 0, 2500, 28, item(2, 32, 1, 1, 0), 0), task_s_turn(j);
	j = caught("shortest"), answer_as("24 bytes", ONCE, 0, 2500, 24, 0, 0), task_s_turn(j);
	j = caught("too long"), answer_as("36 bytes", ONCE, 0, 2500, 36, item(2, 32, 1, 1, 0), 0), task_s_turn(j);
	j = caught("complex, but only said so"), skip(j->thread, ILLEGAL_SIZE), answer_as("complex", ONCE | MACH_MSGH_BITS_COMPLEX, 0, 2500, 32, item(2, 32, 1, 1, 0), 0), report(), catch("  the task's port", box);
	j = caught("a right in it"), answer_as("complex", ONCE | MACH_MSGH_BITS_COMPLEX, 0, 2500, 32, item(MACH_MSG_TYPE_MAKE_SEND, 32, 1, 1, 0), quiet), task_s_turn(j);
	j = caught("a reply port in it"), answer_as("with a local port", MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, MACH_MSG_TYPE_MAKE_SEND_ONCE), quiet, 2500, 32, item(2, 32, 1, 1, 0), 0), take("  it is spent", quiet), task_s_turn(j);
	j = caught("another bit in the header"), answer_as("bit 16", ONCE | 0x10000, 0, 2500, 32, item(2, 32, 1, 1, 0), 0), task_s_turn(j);
	j = caught("MIG_NO_REPLY"), answer("-305", MIG_NO_REPLY), task_s_turn(j);
	j = caught("the right is dropped"), show("drop", mach_port_deallocate(self, reply_to)), task_s_turn(j);
	j = caught("the right is sent away"), fill(&m, MACH_MSGH_BITS_COMPLEX | MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0), quiet, 0, 5), m.w[0] = item(MACH_MSG_TYPE_MOVE_SEND_ONCE, 32, 1, 1, 0), m.w[1] = reply_to;
	show("send", give(32)), receive(quiet), reply_to = m.w[1], skip(j->thread, ILLEGAL_SIZE), answer("used where it arrives", 0), report();
	j = caught("the state is changed"), set_entry(j->thread, (void (*)()) stay, (vm_address_t) j->stack + sizeof j->stack), answer("elsewhere", 0), report(), catch("  the task's port", box);
	say("-- a thread's port that is none\n");
	new_jobs(), j = new_job(), show("null", thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, MACH_PORT_NULL)), start(j, victim_code, 0), task_s_turn(j);
	new_jobs(), j = new_job(), show("dead", thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, MACH_PORT_DEAD)), start(j, victim_code, 0), task_s_turn(j);
	new_jobs(), j = new_job(), stage = send_port(), show("one that dies", thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, stage)), drop(stage, MACH_PORT_RIGHT_RECEIVE), start(j, victim_code, 0), task_s_turn(j);
	new_jobs(), j = new_job(), show("the task's own", thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, self)), start(j, victim_code, 0), task_s_turn(j);
	new_jobs(), j = new_job(), show("the thread's own", thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, j->thread)), start(j, victim_code, 0), task_s_turn(j);
	new_jobs(), j = new_job(), show("the host's", thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, host_priv)), start(j, victim_code, 0), task_s_turn(j);
}

static void waits(void)
{
	struct job *j, *h;
	mach_port_t p, s;
	int i;

	say("-- a thread that waits for its handler\n");
	j = caught("abort"), show("abort it", thread_abort(j->thread)), answer("a late answer", 0), catch("once more", other), reply_to = m.h.msgh_remote_port;
	skip(j->thread, ILLEGAL_SIZE), show("abort it mended", thread_abort(j->thread)), report(), answer("a late answer", 0), mach_port_deallocate(self, reply_to);
	j = caught("suspend"), show("suspend it", thread_suspend(j->thread)), skip(j->thread, ILLEGAL_SIZE), answer("mended", 0), report(), show("resume", thread_resume(j->thread)), report();
	j = caught("suspend, failure"), show("suspend it", thread_suspend(j->thread)), answer("KERN_FAILURE", KERN_FAILURE), catch("the task's port", box), show("resume", thread_resume(j->thread)), task_s_turn(j);
	j = caught("terminate with an answer"), thread_suspend(j->thread), answer("KERN_FAILURE", KERN_FAILURE), show("terminate it", thread_terminate(j->thread)), catch("the task's port", box), type("the thread", m.w[1]);
	j = caught("abort with an answer"), thread_suspend(j->thread), answer("KERN_FAILURE", KERN_FAILURE), show("abort it", thread_abort(j->thread)), catch("the task's port", box), skip(j->thread, ILLEGAL_SIZE), show("resume it", thread_resume(j->thread)), report();
	j = caught("terminate"), show("terminate it", thread_terminate(j->thread)), type("the reply right", reply_to), answer("a late answer", 0), mach_port_deallocate(self, reply_to);
	j = caught("the port is changed"), show("null now", thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, MACH_PORT_NULL)), answer("KERN_FAILURE", KERN_FAILURE), task_s_turn(j);
	j = caught("the task's port is changed"), p = send_port(), show("another", task_set_special_port(self, TASK_EXCEPTION_PORT, p)), answer("KERN_FAILURE", KERN_FAILURE), catch("the new one", p), reply_to = m.h.msgh_remote_port, skip(j->thread, ILLEGAL_SIZE), answer("mended", 0), report();
	show("the old one", task_set_special_port(self, TASK_EXCEPTION_PORT, box)), catch("nothing there", box);
	new_jobs(), p = send_port(), j = new_job(), thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, p), start(j, victim_code, 0), rest(), show("the port dies with the message", drop(p, MACH_PORT_RIGHT_RECEIVE)), task_s_turn(j);
	new_jobs(), p = send_port(), j = new_job(), thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, p), start(j, victim_code, 0), catch("received", p), reply_to = m.h.msgh_remote_port, show("the port dies after", drop(p, MACH_PORT_RIGHT_RECEIVE)), skip(j->thread, ILLEGAL_SIZE), answer("mended", 0), report();
	say("-- queues\n");
	new_jobs(), p = send_port(), mach_port_set_qlimit(self, p, 1), mach_port_set_seqno(self, p, 30);
	for (i = 0; i < 3; i++)
		thread_set_special_port(jobs[i].thread, THREAD_EXCEPTION_PORT, p), victim(), rest();
	status("three in a queue of one", p);
	for (i = 0; i < 3; i++)
		catch("one", p), say("  job %d\n", m.w[1] == jobs[0].thread ? 0 : m.w[1] == jobs[1].thread ? 1 : 2), skip(m.w[1], ILLEGAL_SIZE), reply_to = m.h.msgh_remote_port, answer("mended", 0), report();
	say("-- a handler that waits already\n");
	new_jobs(), p = send_port(), mach_port_set_seqno(self, p, 40), h = receiver(p, 0), j = new_job(), thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, p), start(j, victim_code, 0), report();
	status("its port", p), reply_to = h->m.h.msgh_remote_port, skip(j->thread, ILLEGAL_SIZE), answer("mended", 0), report();
	s = port_set(), mach_port_move_member(self, p, s), h = receiver(s, 0), j = new_job(), thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, p), start(j, victim_code, 0), say("at a set\n"), report();
	status("its port", p), reply_to = h->m.h.msgh_remote_port, skip(j->thread, ILLEGAL_SIZE), answer("mended", 0), report();
	new_jobs(), h = new_job(), h->option = MACH_RCV_MSG, h->from = s, h->m.h.msgh_size = 1, start(h, work, h), rest();
	j = new_job(), thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, p), start(j, victim_code, 0), report(), reply_to = h->m.h.msgh_remote_port, skip(j->thread, ILLEGAL_SIZE), answer("mended", 0), report(), status("its port", p);
}

/* A handler's thread that has too little room. */
static void small(u32 option)
{
	struct note *n;
	static message_t x;

	x.h.msgh_size = 1;
	stage = mach_msg(&x.h, MACH_RCV_MSG | option, 0, 40, other, 0, 0);
	n = note(stage == MACH_RCV_TOO_LARGE ? x.h.msgh_size == 64 ? "too large, 64 bytes" : "too large" : "received");
	stay();
}

static void rooms(void)
{
	struct job *j, *h;

	say("-- a handler with too little room\n");
	new_jobs(), h = start(new_job(), small, 0), rest(), j = new_job(), thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, other), start(j, victim_code, 0), report(), task_s_turn(j);
	new_jobs(), h = start(new_job(), small, (void *) MACH_RCV_LARGE), rest(), j = new_job(), thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, other), start(j, victim_code, 0), report(), catch("it is still there", other), reply_to = m.h.msgh_remote_port, skip(j->thread, ILLEGAL_SIZE), answer("mended", 0), report();
}

/* In another task: handles one exception from its port 900, by skipping the instruction, and counts in shared memory. */
static void handler_there(u32 mode)
{
	static message_t x;

	mig_forget_reply_port();
	for (;;) {
		shared[0] = mach_msg(&x.h, MACH_RCV_MSG, 0, sizeof x, 900, 0, 0);
		shared[1] = x.w[5], shared[2] = x.w[1] != MACH_PORT_NULL, shared[3] = x.w[3] != mach_task_self();
		if (mode == 1)
			task_terminate(mach_task_self());
		shared[4] = skip(x.w[1], ILLEGAL_SIZE);
		fill(&x, ONCE, x.h.msgh_remote_port, 0, 2500), x.w[0] = item(2, 32, 1, 1, 0), x.w[1] = 0;
		shared[5] = mach_msg(&x.h, MACH_SEND_MSG, 32, 0, 0, 0, 0);
	}
}

static mach_port_t port_of(task_t task, mach_port_t name)
{
	mach_port_t p = 0;
	mach_msg_type_name_t how;

	mach_port_allocate_name(task, MACH_PORT_RIGHT_RECEIVE, name);
	mach_port_extract_right(task, name, MACH_MSG_TYPE_MAKE_SEND, &p, &how);
	return p;
}

static void tasks(void)
{
	struct job *j;
	task_t task;
	thread_t thread;
	mach_port_t p, n = port(), old;
	int mode;

	for (mode = 0; mode < 2; mode++) {
		say(mode ? "-- a handler in a task that dies\n" : "-- a handler in another task\n");
		new_jobs(), j = new_job(), task = new_task(handler_there, mode, 0, &thread), p = port_of(task, 900), thread_resume(thread), rest();
		thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, p), start(j, victim_code, 0), report();
		say("  there: %x exception %d thread %d task %d", shared[0], shared[1], shared[2], shared[3]);
		if (!mode)
			say(" state %x answer %x", shared[4], shared[5]);
		say("\n"), type("its port", p);
		if (mode)
			task_s_turn(j);
		else
			show("terminate it", task_terminate(task));
	}
	say("-- a task's own exceptions\n");
	task = new_task(victim_code, 0, 0, &thread), thread_resume(thread), catch("its port is inherited", box), say("  thread %d task %d\n", m.w[1] == thread, m.w[3] == task);
	reply_to = m.h.msgh_remote_port, show("suspend it", task_suspend(task)), answer("unmended", 0), catch("nothing yet", box), show("resume it", task_resume(task)), catch("again", box), reply_to = m.h.msgh_remote_port;
	ask(task, MACH_NOTIFY_DEAD_NAME, 0, n, &old), answer("KERN_FAILURE", KERN_FAILURE), rest(), take("it has ended", n);
	task = new_task(victim_code, 0, 0, &thread), show("no port", task_set_special_port(task, TASK_EXCEPTION_PORT, MACH_PORT_NULL)), ask(task, MACH_NOTIFY_DEAD_NAME, 0, n, &old), thread_resume(thread), rest(), take("it has ended", n);
	task = new_task(victim_code, 0, 0, &thread), p = send_port(), show("a dead port", task_set_special_port(task, TASK_EXCEPTION_PORT, p)), drop(p, MACH_PORT_RIGHT_RECEIVE), ask(task, MACH_NOTIFY_DEAD_NAME, 0, n, &old), thread_resume(thread), rest(), take("it has ended", n);
	task = new_task(victim_code, 0, 0, &thread), p = port_of(task, 900), show("a port of its own", task_set_special_port(task, TASK_EXCEPTION_PORT, p)), thread_resume(thread), rest(), ask(task, MACH_NOTIFY_DEAD_NAME, 0, n, &old), take("it waits", n), show("its port dies", mach_port_mod_refs(task, 900, MACH_PORT_RIGHT_RECEIVE, -1)), rest(), take("it has ended", n);
	task = new_task(victim_code, 0, 0, &thread), show("another name for the task", task_set_special_port(task, TASK_KERNEL_PORT, other)), show("another for the thread", thread_set_special_port(thread, THREAD_KERNEL_PORT, quiet)), thread_resume(thread), catch("told", box), say("  thread %d task %d\n", m.w[1] == thread, m.w[3] == other), type("the thread", m.w[1]);
	show("terminate it", task_terminate(task)), type("the reply right", m.h.msgh_remote_port);
}

int guest_main(void)
{
	make_jobs(), share();
	box = send_port(), other = send_port();
	task_set_special_port(self, TASK_EXCEPTION_PORT, box);
	all_causes();
	answers();
	waits();
	rooms();
	tasks();
	return 0;
}
