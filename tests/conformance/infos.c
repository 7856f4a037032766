/* What task_info and thread_info tell: every flavor, in little room and much, of whom; events that are counted; times. */
#include "guest.h"
static mach_port_t self, me, host, box;
static integer_t words[64];
#define POISON 0x7777
typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;
static message_t m;
static int touched(void) { int i, n = 0; for (i = 0; i < 64; i++) n += words[i] != POISON; return n; }
static void poison(void) { int i; for (i = 0; i < 64; i++) words[i] = POISON; }
static void of_task(const char *what, mach_port_t t, int flavor, u32 room)
{
	mach_msg_type_number_t n = room;
	kern_return_t kr;

	poison();
	kr = task_info(t, flavor, words, &n);
	say("%s flavor %d room %u -> %x", what, flavor, room, kr);
	if (!kr)
		say(" count %u written %d", n, touched());
	say("\n");
}
static void of_thread(const char *what, mach_port_t t, int flavor, u32 room)
{
	mach_msg_type_number_t n = room;
	kern_return_t kr;

	poison();
	kr = thread_info(t, flavor, words, &n);
	say("%s flavor %d room %u -> %x", what, flavor, room, kr);
	if (!kr)
		say(" count %u written %d", n, touched());
	say("\n");
}
static void rooms(void)
{
	static const u32 task_counts[] = { 10, 7, 4 }, thread_counts[] = { 13, 8 };
	int flavor, n;

	say("-- room\n");
	for (flavor = 1; flavor <= 3; flavor++)
		for (n = -3; n <= 2; n++)
			of_task("task", self, flavor, task_counts[flavor - 1] + n);
	of_task("task", self, 0, 64);
	of_task("task", self, 4, 64);
	of_task("task", self, -1, 64);
	of_task("thread as task", me, 1, 64);
	for (flavor = 1; flavor <= 2; flavor++)
		for (n = -2; n <= 2; n++)
			of_thread("thread", me, flavor, thread_counts[flavor - 1] + n);
	of_thread("thread", me, 0, 64);
	of_thread("thread", me, 3, 64);
	of_thread("task as thread", self, 1, 64);
}
struct events { integer_t faults, zero_fills, reactivations, pageins, cow_faults, sent, received; } before, after;
static void mark(struct events *e) { mach_msg_type_number_t n = 7; task_info(self, 2, (task_info_t) e, &n); }
static void counted(const char *what)
{
	mark(&after);
	say("%s: zero-filled %d reactivated %d paged in %d copied %d sent %d received %d faults at least those %d\n", what, after.zero_fills - before.zero_fills, after.reactivations - before.reactivations, after.pageins - before.pageins, after.cow_faults - before.cow_faults, after.sent - before.sent, after.received - before.received, after.faults - before.faults >= after.zero_fills - before.zero_fills + after.cow_faults - before.cow_faults);
	mark(&before);
}
static void header(u32 id) { m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0); m.h.msgh_size = 24; m.h.msgh_remote_port = box; m.h.msgh_local_port = 0; m.h.msgh_id = id; }
static void events(void)
{
	vm_address_t page = 0, copy = 0;
	task_t child;
	mach_port_t once = 0;
	int i;
	volatile char *p;

	say("-- events\n");
	box = mach_reply_port();
	header(0);
	mark(&before);
	counted("warm");
	counted("nothing");
	vm_allocate(self, &page, 8 * PAGE_SIZE, 1);
	counted("memory allocated");
	for (i = 0; i < 8; i++)
		*(volatile char *) (page + i * PAGE_SIZE) = 1;
	counted("eight pages written");
	for (i = 0; i < 8; i++)
		*(volatile char *) (page + i * PAGE_SIZE) = 1;
	counted("written again");
	task_create(self, 1, &child);
	counted("forked");
	for (i = 0; i < 8; i++)
		*(volatile char *) (page + i * PAGE_SIZE) = 1;
	counted("eight pages written again");
	task_terminate(child);
	vm_deallocate(self, page, 8 * PAGE_SIZE);
	counted("given back");
	header(1);
	mach_msg_trap(&m.h, MACH_SEND_MSG, 24, 0, 0, 0, 0);
	counted("a message sent");
	mach_msg_trap(&m.h, MACH_RCV_MSG, 0, sizeof m, box, 0, 0);
	counted("and received");
	header(1);
	mach_msg_trap(&m.h, MACH_SEND_MSG | MACH_RCV_MSG, 24, sizeof m, box, 0, 0);
	counted("sent and received in one");
	for (i = 0; i < 3; i++)
		header(1), mach_msg_trap(&m.h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, 24, 0, 0, 0, 0);
	counted("three sent");
	mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 0, 0);
	counted("one received");
	mach_msg_trap(&m.h, MACH_RCV_MSG, 0, 8, box, 0, 0);
	counted("one too large");
	mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_LARGE, 0, 8, box, 0, 0);
	counted("one too large that stays");
	mach_port_mod_refs(self, box, MACH_PORT_RIGHT_RECEIVE, -1);
	counted("port dropped");
	mach_msg_trap(&m.h, MACH_SEND_MSG, 24, 0, 0, 0, 0);
	counted("to a dead name");
	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
	m.h.msgh_size = 24;
	m.h.msgh_remote_port = self;
	m.h.msgh_local_port = 0;
	m.h.msgh_id = 3201;
	mach_msg_trap(&m.h, MACH_SEND_MSG, 24, 0, 0, 0, 0);
	counted("to the kernel, no reply");
	box = mach_reply_port();
	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	m.h.msgh_size = 24;
	m.h.msgh_remote_port = self;
	m.h.msgh_local_port = box;
	m.h.msgh_id = 1;
	mach_msg_trap(&m.h, MACH_SEND_MSG, 24, 0, 0, 0, 0);
	counted("to the kernel");
	mach_msg_trap(&m.h, MACH_RCV_MSG, 0, sizeof m, box, 0, 0);
	counted("its reply");
	mach_port_insert_right(self, 999, box, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	mach_port_deallocate(self, 999);
	counted("a notification waits");
	mach_msg_trap(&m.h, MACH_RCV_MSG, 0, sizeof m, box, 0, 0);
	counted("and received");
	task_create(self, 0, &child);
	of_task("of a new task", child, 2, 7);
	for (i = 0; i < 7; i++)
		say("  %d\n", words[i]);
	task_terminate(child);
}
static char stack[8192];
static volatile u32 count;
static void spin(void) { for (;;) count++; }
static void sleep(void) { for (;;) thread_switch(0, SWITCH_OPTION_WAIT, 100000); }
static u32 micro(integer_t *t) { return t[0] * 1000000 + t[1]; }
static void wait(u32 ms) { thread_switch(0, SWITCH_OPTION_WAIT, ms); }
static void times(void)
{
	thread_t t;
	u32 user, all;
	time_value_t now;

	say("-- times\n");
	t = start_thread(spin, stack, sizeof stack);
	wait(500);
	thread_suspend(t);
	of_thread("spun", t, 1, 13);
	user = micro(words);
	say("  user %d system %d usage %d state %d suspended %d base %d current is worse %d\n", user > 200000 && user < 700000, micro(words + 2) < 100000, words[4] > 0 && words[4] <= 1000, words[7], words[9], words[5], words[6] > words[5]);
	host_get_time(host, &now);
	say("  created a while ago %d\n", now.seconds - words[11] <= 5 && now.seconds >= words[11]);
	of_task("its task", self, 3, 4);
	all = micro(words);
	say("  counts it %d\n", all >= user);
	of_task("its task", self, 1, 10);
	say("  counts only threads that have ended %d\n", micro(words + 4) < user);
	thread_terminate(t);
	wait(50);
	of_task("when it has ended", self, 1, 10);
	say("  counts it %d suspended %d base %d\n", micro(words + 4) >= user, words[0], words[1]);
	of_task("when it has ended", self, 3, 4);
	say("  counts it no longer %d\n", micro(words) < user);
	t = start_thread(sleep, stack, sizeof stack);
	wait(50);
	of_thread("sleeps", t, 1, 13);
	say("  user %d state %d flags %d\n", micro(words) < 20000, words[7], words[8]);
	thread_terminate(t);
	thread_create(self, &t);
	of_thread("new", t, 1, 13);
	say("  user %d system %d usage %d state %d flags %d suspended %d slept %d\n", micro(words), micro(words + 2), words[4], words[7], words[8], words[9], words[10]);
	thread_terminate(t);
	of_thread("this one", me, 1, 13);
	say("  state %d flags %d suspended %d slept %d\n", words[7], words[8], words[9], words[10]);
}
int guest_main(void)
{
	self = mach_task_self();
	me = mach_thread_self();
	host = mach_host_self();
	rooms();
	events();
	times();
	return 0;
}
