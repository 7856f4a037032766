/*
 * Who runs next. Each play has up to four threads of one priority, each with a script; thread 0 starts, the others are held until it
 * resumes them, and the main thread sleeps. Printed is each command in the order in which they came to their ends, with its result.
 *
 * A command is a letter and a digit, the number of a thread or port:
 *   r s a k   resume, suspend, abort, terminate a thread
 *   > e h     thread_switch to a thread: plain, depressed, waiting 20 milliseconds; >- names none, >= no thread, and # the thread itself
 *   d D w     thread_switch to none: depressed for ever, depressed for 20 milliseconds, waiting 20 milliseconds
 *   x         thread_depress_abort of a thread
 *   y p       swtch, swtch_pri
 *   R T       receive at a port, receive within 10 milliseconds
 *   S         send to a port
 *   C c       call a port: in one go, and with a time-out for the answer
 *   A B       answer what was received, answer and receive again at a port
 *   i         a thread's current priority, depressed or not
 *   u         an undefined instruction, whose handler is whoever receives at port 0
 *   .         nothing
 */
#define JOBS 224
#include "ipc.h"
#include "cpu.h"

#define THREADS 4
static const char *script[THREADS];
static mach_port_t box[THREADS], answers[THREADS], thread_of[THREADS];

#define TRACES 200
static struct { int thread; char command, argument; u32 result; } traces[TRACES];
static volatile int trace_count;

kern_return_t depress_abort(mach_port_t thread);
TRAP(depress_abort, 76)

static u32 priority(thread_t thread)
{
	struct thread_basic_info info;
	mach_msg_type_number_t n = THREAD_BASIC_INFO_COUNT;

	return thread_info(thread, THREAD_BASIC_INFO, (thread_info_t) &info, &n) ? 0 : info.cur_priority;
}

static u32 command(int self_number, char c, char argument, message_t *x)
{
	int n = argument - '0';
	mach_port_t t = argument == '-' ? 0 : argument == '=' ? self : argument == '#' ? thread_of[self_number] : thread_of[n];
	u32 size = sizeof *x, r;

	switch (c) {
	case 'r': return thread_resume(t);
	case 's': return thread_suspend(t);
	case 'a': return thread_abort(t);
	case 'k': return thread_terminate(t);
	case '>': return thread_switch(t, SWITCH_OPTION_NONE, 0);
	case 'e': return thread_switch(t, SWITCH_OPTION_DEPRESS, 20);
	case 'h': return thread_switch(t, SWITCH_OPTION_WAIT, 20);
	case 'd': return thread_switch(0, SWITCH_OPTION_DEPRESS, 0);
	case 'D': return thread_switch(0, SWITCH_OPTION_DEPRESS, 20);
	case 'w': return thread_switch(0, SWITCH_OPTION_WAIT, 20);
	case 'x': return depress_abort(t);
	case 'y': return swtch();
	case 'p': return swtch_pri(0);
	case 'i': return priority(t);
	case 'u': asm volatile(ILLEGAL); return 0;
	case 'R': r = mach_msg(&x->h, MACH_RCV_MSG, 0, size, box[n], 0, 0); break;
	case 'T': r = mach_msg(&x->h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, size, box[n], 10, 0); break;
	case 'S': fill(x, CS, box[n], 0, 100 + self_number); return mach_msg(&x->h, MACH_SEND_MSG, 24, 0, 0, 0, 0);
	case 'C': fill(x, RPC, box[n], answers[self_number], 100 + self_number); r = mach_msg(&x->h, MACH_SEND_MSG | MACH_RCV_MSG, 24, size, answers[self_number], 0, 0); break;
	case 'c': fill(x, RPC, box[n], answers[self_number], 100 + self_number); r = mach_msg(&x->h, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24, size, answers[self_number], 1000, 0); break;
	case 'A': case 'B':
		if (x->h.msgh_id == 2400) {
			skip(x->w[1], ILLEGAL_SIZE);
			x->w[0] = item(2, 32, 1, 1, 0), x->w[1] = 0;
			fill(x, ONCE, x->h.msgh_remote_port, 0, 2500);
			return mach_msg(&x->h, MACH_SEND_MSG | (c == 'B' ? MACH_RCV_MSG : 0), 32, size, c == 'B' ? box[n] : 0, 0, 0);
		}
		fill(x, ONCE, x->h.msgh_remote_port, 0, 200 + self_number);
		r = mach_msg(&x->h, MACH_SEND_MSG | (c == 'B' ? MACH_RCV_MSG : 0), 24, size, c == 'B' ? box[n] : 0, 0, 0);
		return r ? r : c == 'B' ? x->h.msgh_id : 0;
	default: return 0;
	}
	return r ? r : x->h.msgh_id;
}

static void actor(int number)
{
	message_t x;
	const char *p;

	for (p = script[number]; *p; p += p[2] ? 3 : 2) {
		u32 r = command(number, p[0], p[1], &x);
		int i = trace_count++;

		traces[i].thread = number, traces[i].command = p[0], traces[i].argument = p[1], traces[i].result = r;
	}
	stay();
}

static void play(const char *what, const char *s0, const char *s1, const char *s2, const char *s3)
{
	int i;

	new_jobs();
	script[0] = s0, script[1] = s1, script[2] = s2, script[3] = s3;
	say("%s\n", what);
	for (i = 0; i < THREADS && script[i]; i++) {
		struct job *j = new_job();

		thread_suspend(j->thread), start(j, actor, (void *) i);
		thread_of[i] = j->thread, box[i] = send_port(), answers[i] = port();
		thread_set_special_port(j->thread, THREAD_EXCEPTION_PORT, box[0]);
		say("  %d: %s\n", i, script[i]);
	}
	thread_resume(thread_of[0]);
	rest(), rest(), rest(), rest();
	say("  =");
	for (i = 0; i < trace_count; i++) {
		say(" %d%c%c", traces[i].thread, traces[i].command, traces[i].argument);
		if (traces[i].result > 999)
			say(":%x", traces[i].result);
		else if (traces[i].result)
			say(":%u", traces[i].result);
	}
	say("\n");
	trace_count = 0;
}

/* Two threads that only count. */
static volatile u32 counts[2];

static void count(int i)
{
	for (;;)
		counts[i]++;
}

int guest_main(void)
{
	struct job *one, *two;
	u32 before;

	begin();
	say("-- starts\n");
	play("resumed in order", "r1 r2 r3 .0", ".1", ".1", ".1");
	play("the starter yields between", "r1 >- r2 >- r3 >- .0", ".1 .2", ".1 .2", ".1 .2");
	play("suspended and resumed once more", "r1 r2 r3 s1 r1 .0", ".1", ".1", ".1");
	play("terminated before it runs", "r1 r2 k1 .0 >- .1", ".1", ".1", 0);
	play("aborted before it runs", "r1 r2 a1 .0 >- .1", ".1", ".1", 0);
	play("aborted while it is held", "a1 .0 r1 .1", ".1", 0, 0);
	play("suspends itself", "r1 r2 s# .0", ".1 r0 .2 >- .3", ".1 >- .2", 0);
	play("suspends itself twice", "r1 s# .0 s# .1", ".1 s0 r0 >- .2 r0 >- .3 r0 .4", 0, 0);
	play("ends itself", "r1 r2 k# .0", ".1 r0 .2", ".1", 0);
	play("suspended in its turn", "r1 r2 s1 >- .0 r1 .1", ".1", ".1 r1 .2 >- .3", 0);
	say("-- thread_switch\n");
	play("to the last", "r1 r2 r3 >3 .0", ".1", ".1", ".1");
	play("to each in turn", "r1 r2 r3 >3 >2 >1 .0", ".1 >- .2", ".1 >- .2", ".1 >- .2");
	play("among themselves", "r1 r2 r3 .0", ">3 .1", ".1 >1 .2", ".1 >2 .2");
	play("to none", "r1 r2 >- .0 >- .1", ".1 >- .2", ".1 >- .2", 0);
	play("to itself, to a task", "r1 ># .0 >= .1", ".1 >- .2 >- .3", 0, 0);
	play("to one that is held", "r1 >2 .0", ".1", ".1", 0);
	play("to one that is suspended", "r1 r2 s2 >2 .0 r2 >2 .1", ".1", ".1", 0);
	play("to one that waits", "r1 r2 >- >1 .0 S1", "R1 .1", ".1", 0);
	play("to one that has ended", "r1 r2 k2 >2 .0", ".1", ".1", 0);
	play("alone", ">- y- p- ># d- D-", 0, 0, 0);
	say("-- depressed\n");
	play("for ever", "r1 r2 d- .0", ".1 >- .2 >- .3", ".1 >- .2 >- .3", 0);
	play("for a time", "r1 r2 D- .0", ".1 >- .2 >- .3", ".1 >- .2 >- .3", 0);
	play("to a thread", "r1 r2 e2 .0", ".1 >- .2", ".1 >- .2", 0);
	play("ended by another", "r1 r2 d- .0", ".1 i0 x0 i0 >- .2 >- .3", ".1 >- .2 >- .3", 0);
	play("ended by an abort", "r1 d- .0", ".1 a0 i0 >- .2 >- .3", 0, 0);
	play("ended by time, while others wait", "r1 D- .0", ".1 w- .2", 0, 0);
	play("two are depressed", "r1 r2 d- .0", ".1 d- .2", ".1 >- .2 >- .3", 0);
	play("suspended and resumed", "r1 r2 d- .0", ".1 s0 r0 i0 >- .2 >- .3", ".1 >- .2 >- .3", 0);
	play("switched to", "r1 r2 d- .0", ".1 >0 .2", ".1 >- .2 >- .3", 0);
	play("it calls and is called", "r1 r2 >- d- C1 .0", "R1 A1 .1", ".1 >- .2 >- .3 >- .4", 0);
	play("sent to while depressed", "r1 r2 d- R0 .0", ".1 S0 .2 >- .3", ".1 >- .2 >- .3", 0);
	play("of none", "x# x= x-", 0, 0, 0);
	say("-- waiting\n");
	play("a time", "r1 w- .0", ".1 >- .2 >- .3", 0, 0);
	play("and to a thread", "r1 r2 h2 .0", ".1 >- .2", ".1 >- .2", 0);
	play("aborted", "r1 w- .0", ".1 a0 .2 >- .3", 0, 0);
	play("switched to while it waits", "r1 w- .0", ".1 >0 .2", 0, 0);
	play("suspended while it waits", "r1 w- .0", ".1 s0 w- w- .2 r0 .3", 0, 0);
	say("-- swtch\n");
	play("two take turns", "r1 r2", ".1 y- .2 y- .3 y- .4", ".1 y- .2 y- .3 y- .4", 0);
	play("one of two ends", "r1 r2", ".1 y- .2 y- .3 y- .4", ".1", 0);
	play("swtch_pri gives way longer", "r1 r2", ".1 p- .2 p- .3", ".1 y- .2 y- .3 y- .4", 0);
	play("two with swtch_pri", "r1 r2", ".1 p- .2 p- .3", ".1 p- .2 p- .3", 0);
	say("-- wake-ups by messages\n");
	play("three wait at three ports", "r1 r2 r3 >- S3 S1 S2 .0", "R1 .1", "R2 .1", "R3 .1");
	play("three wait at one port", "r1 r2 r3 >- S0 S0 S0 .0", "R0 .1", "R0 .1", "R0 .1");
	play("the woken answers alone", "r1 r2 >- C1 .0", "R1 A1 .1", ">- .1 >- .2 >- .3", 0);
	play("the woken answers and waits", "r1 r2 >- C1 .0 C1 .1", "R1 B1 .1 B1 .2", ">- .1 >- .2 >- .3 >- .4", 0);
	play("called with a time-out", "r1 r2 >- c1 .0 c1 .1", "R1 B1 .1 B1 .2", ">- .1 >- .2 >- .3 >- .4", 0);
	play("the server does not wait yet", "r1 r2 C1 .0", ">- >- R1 B1", ".1 >- .2 >- .3", 0);
	play("a chain of calls", "r1 r2 r3 >- C1 .0", "R1 .1", "R2 B2", ">- .1 >- .2");
	play("two clients, one server", "r1 r2 r3 >- C1 .0", "R1 B1 B1", "C1 .1", ">- .1 >- .2 >- .3");
	play("a suspended server", "r1 r2 >- s1 C1 .0", "R1 B1 .1", ">- .1 r1 .2 >- .3", 0);
	play("a receiver whose time is over", "r1 r2 >- .0 w- w- S1", "T1 .1", ">- .1", 0);
	play("an aborted receiver", "r1 r2 >- a1 .0", "R1 .1", ">- .1 >- .2", 0);
	play("two senders that waited for room", "r1 r2 r3 S3 S3 S3 S3 S3 >- .0", "S3 .1", "S3 .1", ">- R3 R3 .1 >- .2");
	play("handed to, then a message", "r1 r2 >- h2 .0", "R1 .1", ".1 S1 .2 >- .3", 0);
	play("a sender that waited for room", "r1 S1 S1 S1 S1 S1 S1 .0", "R1 .1 R1 .2", 0, 0);
	say("-- exceptions\n");
	play("the handler waits", "r1 r2 R0 A0 .0", "u- .1", ".1 >- .2 >- .3", 0);
	play("the handler waits and goes on waiting", "r1 r2 R0 B0", "u- .1 u- .2", ".1 >- .2 >- .3", 0);
	play("the handler comes later", "r1 r2 >- >- R0 A0 .0", "u- .1", ".1 >- .2 >- .3 >- .4", 0);
	say("-- the quantum\n");
	new_jobs();
	one = start(new_job(), count, (void *) 0), two = start(new_job(), count, (void *) 1);
	rest(), rest(), rest(), rest(), rest();
	say("both ran %d\n", counts[0] && counts[1]);
	thread_suspend(two->thread), before = counts[1], rest(), say("one is suspended and stays %d\n", before == counts[1]);
	before = counts[0], rest(), say("the other goes on %d\n", before != counts[0]);
	say("its priority is worse %d\n", priority(one->thread) > 25);
	return 0;
}
