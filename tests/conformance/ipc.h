/*
 * What the modules about IPC, scheduling and exceptions share: ports, messages, and jobs, which are threads that make one call.
 * Jobs print nothing: each notes how its call ended, and the module's main thread prints the notes in their order.
 */
#ifndef IPC_H
#define IPC_H

#include "guest.h"

static mach_port_t self, quiet;

typedef struct {
	mach_msg_header_t h;
	u32 w[122];
} message_t;

#define CS MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0)
#define RPC MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE)
#define ONCE MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0)

/* Ports */

static mach_port_t port(void)
{
	mach_port_t p = 0;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p);
	return p;
}

static mach_port_t send_port(void)
{
	mach_port_t p = port();

	mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND);
	return p;
}

static mach_port_t port_set(void)
{
	mach_port_t p = 0;

	mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &p);
	return p;
}

static kern_return_t drop(mach_port_t name, int right)
{
	return mach_port_mod_refs(self, name, right, -1);
}

static void type(const char *what, mach_port_t name)
{
	mach_port_type_t t = 0;
	kern_return_t kr = mach_port_type(self, name, &t);

	say("  %s: type %x", what, kr ? kr : t);
	if (!kr && t & (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_DEAD_NAME)) {
		mach_port_urefs_t n = 0;

		mach_port_get_refs(self, name, t & MACH_PORT_TYPE_SEND ? MACH_PORT_RIGHT_SEND : MACH_PORT_RIGHT_DEAD_NAME, &n);
		say(" refs %u", n);
	}
	say("\n");
}

static void status(const char *what, mach_port_t name)
{
	mach_port_status_t s;
	kern_return_t kr = mach_port_get_receive_status(self, name, &s);

	say("  %s: %x", what, kr);
	if (!kr)
		say(" in a set %d seqno %u mscount %u qlimit %u messages %u send-once %u senders %d pd %d ns %d", s.mps_pset != 0, s.mps_seqno,
			s.mps_mscount, s.mps_qlimit, s.mps_msgcount, s.mps_sorights, s.mps_srights, s.mps_pdrequest, s.mps_nsrequest);
	say("\n");
}

static kern_return_t ask(mach_port_t name, int id, u32 sync, mach_port_t notify, mach_port_t *old)
{
	return mach_port_request_notification(self, name, id, sync, notify, MACH_MSG_TYPE_MAKE_SEND_ONCE, old);
}

/* Messages */

static message_t m;

static void fill(message_t *x, u32 bits, mach_port_t remote, mach_port_t local, u32 id)
{
	x->h.msgh_bits = bits;
	x->h.msgh_remote_port = remote;
	x->h.msgh_local_port = local;
	x->h.msgh_seqno = 0;
	x->h.msgh_id = id;
}

static u32 item(u32 name, u32 size, u32 number, u32 is_inline, u32 deallocate)
{
	return MIG_SHORT(name, size, number, is_inline, deallocate);
}

static mach_msg_return_t give(u32 size)
{
	return mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, 0, 0, 0);
}

static mach_msg_return_t send(mach_port_t to, u32 id)
{
	fill(&m, CS, to, 0, id);
	return give(24);
}

static mach_msg_return_t receive(mach_port_t from)
{
	fill(&m, 0x77777777, 7, 7, 7);
	m.h.msgh_size = 7;
	return mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, from, 0, 0);
}

/* Receives, and says what came: the notifications by their names. */
static mach_msg_return_t take(const char *what, mach_port_t from)
{
	mach_msg_return_t r = receive(from);

	say("%s -> %x", what, r);
	if (!r && m.h.msgh_id >= 64 && m.h.msgh_id <= 72) {
		say(" %s", (const char *[]) { "64", "port deleted", "msg accepted", "67", "68", "port destroyed", "no senders", "send once", "dead name" }[m.h.msgh_id - 64]);
		say(" bits %x size %u seqno %u", m.h.msgh_bits, m.h.msgh_size, m.h.msgh_seqno);
		if (m.h.msgh_size > 24)
			say(m.h.msgh_id == MACH_NOTIFY_NO_SENDERS ? " item %x count %u" : " item %x name %n", m.w[0], m.w[1]);
	} else if (!r)
		say(" id %d bits %x size %u seqno %u at %n reply %n", m.h.msgh_id, m.h.msgh_bits, m.h.msgh_size, m.h.msgh_seqno, m.h.msgh_local_port, m.h.msgh_remote_port);
	say("\n");
	return r;
}

static void take_all(const char *what, mach_port_t from)
{
	while (!take(what, from))
		;
}

/* The main thread sleeps, so that every other thread runs as far as it can. */
static void rest(void)
{
	message_t x;

	mach_msg(&x.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof x, quiet, 60, 0);
}

/* Jobs */

struct job {
	u32 option, send_size, timeout;
	mach_port_t from, notify;
	message_t m;
	mach_msg_return_t result;
	thread_t thread;
	char stack[4096];
};

#ifndef JOBS
#define JOBS 64
#endif
static struct job pool[JOBS], *jobs = pool;
static int job_count;

#define NOTES 64
static struct note {
	const char *what;
	int job;
	mach_msg_return_t result;
	mach_msg_header_t h;
} notes[NOTES];
static volatile int note_count;

static struct note *note(const char *what)
{
	struct note *n = &notes[note_count++];

	n->what = what;
	return n;
}

static void stay(void)
{
	message_t x;

	for (;;)
		mach_msg(&x.h, MACH_RCV_MSG, 0, sizeof x, quiet, 0, 0);
}

static void work(struct job *j)
{
	struct note *n;

	j->result = mach_msg(&j->m.h, j->option, j->send_size, sizeof j->m, j->from, j->timeout, j->notify);
	n = note(0);
	n->job = j - jobs;
	n->result = j->result;
	n->h = j->m.h;
	stay();
}

/* Prints the notes since the last call, each job by its number since the last `new_jobs`. */
static void report(void)
{
	int i;

	rest();
	if (!note_count)
		say("  nobody\n");
	for (i = 0; i < note_count; i++) {
		struct note *n = &notes[i];

		if (n->what)
			say("  %s\n", n->what);
		else {
			say("  job %d -> %x", n->job, n->result);
			if (!n->result)
				say(" id %d bits %x size %u seqno %u", n->h.msgh_id, n->h.msgh_bits, n->h.msgh_size, n->h.msgh_seqno);
			say("\n");
		}
	}
	note_count = 0;
}

static struct job *new_job(void)
{
	return &jobs[job_count++];
}

/* A job's thread begins with ENTRY(ARGUMENT). */
static struct job *start(struct job *j, void (*entry)(), void *argument)
{
	((void **) (((vm_address_t) j->stack + sizeof j->stack - 64) & -16))[1] = argument;
	set_entry(j->thread, entry, (vm_address_t) j->stack + sizeof j->stack);
	thread_resume(j->thread);
	return j;
}

/* Starts a job that was filled in, and lets it run until it blocks. */
static struct job *go(struct job *j)
{
	start(j, work, j);
	rest();
	return j;
}

static struct job *receiver(mach_port_t from, u32 timeout)
{
	struct job *j = new_job();

	j->option = MACH_RCV_MSG | (timeout ? MACH_RCV_TIMEOUT : 0);
	j->from = from;
	j->timeout = timeout;
	return go(j);
}

static struct job *sender(mach_port_t to, u32 id, u32 option, u32 timeout, mach_port_t notify)
{
	struct job *j = new_job();

	fill(&j->m, CS, to, 0, id);
	j->option = MACH_SEND_MSG | option;
	j->send_size = 24;
	j->timeout = timeout;
	j->notify = notify;
	return go(j);
}

/* Ends all jobs; the next one is number 0 again. */
static void new_jobs(void)
{
	int i;

	for (i = 0; i < job_count; i++)
		thread_terminate(jobs[i].thread);
	jobs += job_count;
	job_count = 0;
}

/* Makes the threads of all jobs, which may be started at once: the newer of two has the worse priority. */
static void make_jobs(void)
{
	int i;

	self = mach_task_self();
	quiet = port();
	for (i = 0; i < JOBS; i++)
		thread_create(self, &pool[i].thread);
}

/* As `make_jobs`, and waits until all the threads are equals: a new thread's priority gets better with every second. */
static void begin(void)
{
	message_t x;

	make_jobs();
	mach_msg(&x.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof x, quiet, 6500, 0);
}

/* Other tasks */

#define SHARED_PAGES 8
/* Memory that this task and those made of it share, before it the stacks of their threads. */
static volatile u32 *shared;

static void share(void)
{
	vm_address_t address = 0;

	vm_allocate(self, &address, SHARED_PAGES * PAGE_SIZE, TRUE);
	vm_inherit(self, address, SHARED_PAGES * PAGE_SIZE, VM_INHERIT_SHARE);
	shared = (u32 *) (address + (SHARED_PAGES - 1) * PAGE_SIZE);
}

/* A task with this one's memory and a thread that begins with ENTRY(ARGUMENT) on the stack of that number, held until it is resumed. */
static task_t new_task(void (*entry)(), u32 argument, int stack, thread_t *thread)
{
	task_t task;
	vm_address_t top = (vm_address_t) shared - stack * PAGE_SIZE;

	task_create(self, TRUE, &task);
	thread_create(task, thread);
	((u32 *) ((top - 64) & -16))[1] = argument;
	set_entry(*thread, entry, top);
	return task;
}

#endif
