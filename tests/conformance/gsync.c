/* Waiting for words in memory: values, time-outs, order of wake-up, requeueing, other tasks, aborts, bad addresses. */
#include "guest.h"
#include "gnumach_user.h"

#define SHARED 1
#define QUAD 2
#define TIMED 4
#define BROADCAST 8
#define MUTATE 16

static mach_port_t self, quiet;
static char stacks[8][4096];
static volatile u32 words[16] __attribute__((aligned(64)));
static thread_t threads[8];
static volatile int done[8];
static volatile kern_return_t results[8];
static volatile int order;
static struct { task_t task; volatile u32 *address; u32 low, high, msec; int flags; } what[8];

static void rest(u32 ms)
{
	struct { mach_msg_header_t h; u32 w[30]; } m;

	mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, quiet, ms, 0);
}

static void waits(int i)
{
	results[i] = gsync_wait(what[i].task, (vm_address_t) what[i].address, what[i].low, what[i].high, what[i].msec, what[i].flags);
	done[i] = ++order;
	for (;;)
		thread_suspend(mach_thread_self());
}

#define WAITER(n) static void waiter_##n(void) { waits(n); }
WAITER(0) WAITER(1) WAITER(2) WAITER(3) WAITER(4) WAITER(5)
static void (*const waiters[])(void) = { waiter_0, waiter_1, waiter_2, waiter_3, waiter_4, waiter_5 };

static void start(int i, volatile u32 *address, u32 low, u32 msec, int flags)
{
	what[i].task = self;
	what[i].address = address;
	what[i].low = low;
	what[i].high = 0;
	what[i].msec = msec;
	what[i].flags = flags;
	done[i] = 0;
	threads[i] = start_thread(waiters[i], stacks[i], sizeof stacks[i]);
	rest(30);
}

static void end(int count)
{
	int i;

	rest(30);
	for (i = 0; i < count; i++) {
		say("  waiter %d: %d -> %x\n", i, done[i], done[i] ? results[i] : 0);
		thread_terminate(threads[i]);
	}
	order = 0;
}

static void state(thread_t t)
{
	struct thread_basic_info i;
	mach_msg_type_number_t n = THREAD_BASIC_INFO_COUNT;

	thread_info(t, THREAD_BASIC_INFO, (thread_info_t) &i, &n);
	say("  state %d\n", i.run_state);
}

/* gsync_wake and gsync_requeue are simple routines: their codes come where a reply is asked for. */
static kern_return_t asks(int id, task_t task, const u32 *args, u32 count)
{
	struct { mach_msg_header_t h; u32 w[20]; } m;
	mach_port_t reply = mach_reply_port();
	u32 i;

	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	m.h.msgh_remote_port = task;
	m.h.msgh_local_port = reply;
	m.h.msgh_id = id;
	for (i = 0; i < count; i++) {
		m.w[2 * i] = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
		if (id == 4206 && i == 2)
			m.w[2 * i] = MIG_SHORT(MACH_MSG_TYPE_BOOLEAN, 32, 1, 1, 0);
		m.w[2 * i] = id == 4206 && i == 2 ? MIG_SHORT(MACH_MSG_TYPE_BOOLEAN, 32, 1, 1, 0) : MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
		m.w[2 * i + 1] = args[i];
	}
	mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24 + 8 * count, sizeof m, reply, 100, 0);
	mach_port_mod_refs(self, reply, MACH_PORT_RIGHT_RECEIVE, -1);
	return m.h.msgh_id == id + 100 ? m.w[1] : 0xdead;
}

static void wake(const char *text, task_t task, volatile void *address, u32 value, int flags)
{
	u32 args[] = { (u32) address, value, flags };
	kern_return_t result;

	result = asks(4205, task, args, 3);
	rest(30);
	show(text, result);
}

static void requeue(const char *text, task_t task, volatile void *from, volatile void *to, int wake_one, int flags)
{
	u32 args[] = { (u32) from, (u32) to, wake_one, flags };
	kern_return_t result;

	result = asks(4206, task, args, 4);
	rest(30);
	show(text, result);
}

int guest_main(void)
{
	vm_address_t page = 0, other = 0;
	volatile u32 *shared;
	task_t child;
	int i;

	self = mach_task_self();
	quiet = mach_reply_port();
	say("-- nobody waits\n");
	show("wait for another value", gsync_wait(self, (vm_address_t) words, 1, 0, 0, 0));
	show("wait for half another value", gsync_wait(self, (vm_address_t) words, 0, 1, 0, QUAD));
	show("wait with a time-out", gsync_wait(self, (vm_address_t) words, 0, 0, 20, TIMED));
	show("wait with no time", gsync_wait(self, (vm_address_t) words, 0, 0, 0, TIMED));
	show("odd address", gsync_wait(self, (vm_address_t) words + 1, 0, 0, 0, 0));
	show("nowhere", gsync_wait(self, 0x70000000, 0, 0, 0, 0));
	show("in the kernel", gsync_wait(self, BEYOND_USER, 0, 0, 0, 0));
	show("not a task", gsync_wait(mach_thread_self(), (vm_address_t) words, 0, 0, 0, 0));
	wake("wake", self, words, 0, 0);
	wake("wake and change", self, words, 77, MUTATE);
	say("  %d\n", words[0]);
	wake("wake an odd address", self, (char *) words + 2, 0, 0);
	wake("wake nowhere", self, (void *) 0x70000000, 0, 0);
	wake("change code", self, (void *) guest_main, 1, MUTATE);
	wake("wake in code", self, (void *) ((u32) guest_main & -4), 1, 0);
	wake("not a task", mach_thread_self(), words, 0, 0);
	requeue("requeue odd", self, (char *) words + 1, words, 0, 0);
	requeue("requeue nowhere", self, words, (void *) 0x70000000, 0, 0);
	requeue("not a task", mach_thread_self(), words, words, 0, 0);
	words[0] = 0;

	say("-- order\n");
	for (i = 0; i < 4; i++)
		start(i, words, 0, 0, 0);
	state(threads[0]);
	wake("wake one", self, words, 0, 0);
	wake("another", self, words, 0, 0);
	wake("all", self, words, 9, BROADCAST | MUTATE);
	say("  %d\n", words[0]);
	end(4);
	words[0] = 0;

	say("-- time-outs and aborts\n");
	start(0, words, 0, 100, TIMED);
	start(1, words, 0, 100, TIMED);
	wake("wake one", self, words, 0, 0);
	rest(150);
	end(2);
	start(0, words, 0, 0, 0);
	show("abort", thread_abort(threads[0]));
	end(1);
	start(0, words, 0, 0, 0);
	show("suspend", thread_suspend(threads[0]));
	wake("wake it", self, words, 0, 0);
	say("  %d\n", done[0]);
	show("resume", thread_resume(threads[0]));
	end(1);
	start(0, words, 0, 0, 0);
	show("terminate", thread_terminate(threads[0]));
	wake("wake nobody", self, words, 0, 0);

	say("-- two words\n");
	words[3] = 5;
	what[0].high = 5;
	show("other", gsync_wait(self, (vm_address_t) (words + 2), 0, 4, 20, QUAD | TIMED));
	show("same", gsync_wait(self, (vm_address_t) (words + 2), 0, 5, 20, QUAD | TIMED));

	say("-- requeue\n");
	for (i = 0; i < 4; i++)
		start(i, words + 4, 0, 0, 0);
	requeue("one", self, words + 4, words + 5, 0, 0);
	wake("wake there", self, words + 5, 0, 0);
	requeue("one of two, waking", self, words + 4, words + 5, 1, 0);
	wake("wake there", self, words + 5, 0, BROADCAST);
	wake("wake here", self, words + 4, 0, BROADCAST);
	end(4);
	for (i = 0; i < 4; i++)
		start(i, words + 4, 0, 0, 0);
	requeue("all, waking", self, words + 4, words + 5, 1, BROADCAST);
	wake("wake here", self, words + 4, 0, BROADCAST);
	wake("wake there", self, words + 5, 0, BROADCAST);
	end(4);

	start(0, words + 5, 0, 0, 0);
	start(1, words + 4, 0, 0, 0);
	start(2, words + 5, 0, 0, 0);
	start(3, words + 4, 0, 0, 0);
	requeue("among others", self, words + 4, words + 5, 0, BROADCAST);
	wake("wake all", self, words + 5, 0, BROADCAST);
	end(4);

	say("-- shared memory\n");
	vm_allocate(self, &page, PAGE_SIZE, TRUE);
	vm_inherit(self, page, PAGE_SIZE, VM_INHERIT_SHARE);
	shared = (volatile u32 *) page;
	*shared = 0;
	show("create", task_create(self, TRUE, &child));
	start(0, shared, 0, 0, SHARED);
	start(1, shared, 0, 0, 0);
	wake("the child's, not shared", child, shared, 0, 0);
	wake("the child's, shared", child, shared, 3, SHARED | MUTATE);
	say("  %d\n", *shared);
	wake("one's own", self, shared, 0, 0);
	end(2);
	show("wait in the child for another value", gsync_wait(child, page, 0, 0, 20, TIMED));
	show("wait in the child", gsync_wait(child, page, 3, 0, 20, TIMED));
	start(0, words, 0, 0, 0);
	show("terminate", task_terminate(child));
	wake("wake it", self, words, 0, 0);
	end(1);
	show("memory that goes away", vm_protect(self, page, PAGE_SIZE, FALSE, VM_PROT_READ));
	wake("change what cannot be written", self, shared, 1, MUTATE);
	start(0, shared, 3, 0, 0);
	show("deallocate", vm_deallocate(self, page, PAGE_SIZE));
	wake("wake", self, shared, 0, 0);
	show("abort", thread_abort(threads[0]));
	end(1);
	(void) other;
	return 0;
}
