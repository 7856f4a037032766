/* Thread states of the m68k: every flavor with every count, what may be set, what a thread does with it, and the FPU across switches. */
#include "cpu.h"

typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;

static mach_port_t self, box;
static char stacks[4][8192];
static volatile u32 stage;

static void wait(u32 ms)
{
	message_t m;

	mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, ms, 0);
}

static void rest(void)
{
	for (;;)
		thread_switch(0, SWITCH_OPTION_WAIT, 1000);
}

static void words(const u32 *state, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++)
		say("%s%x", i % 8 ? " " : i ? "\n    " : "    ", state[i]);
	if (count)
		say("\n");
}

static void get(thread_t t, int flavor, u32 room, int shown)
{
	static u32 state[256];
	mach_msg_type_number_t n = room;
	kern_return_t kr = thread_get_state(t, flavor, state, &n);

	say("  flavor %d room %u -> %x", flavor, room, kr);
	if (!kr)
		say(" count %u", n);
	say("\n");
	if (!kr && shown)
		words(state, n);
}

static void counts(void)
{
	static const int flavors[] = { 0, 1, 2, 3, 4, 5, 6, 7, -1 };
	static const u32 sizes[] = { 3, 16, 27, 2, 2, 17, 8, 8, 8 };
	static u32 state[64];
	thread_t t;
	u32 i;

	thread_create(self, &t);
	for (i = 0; i < sizeof flavors / sizeof *flavors; i++) {
		get(t, flavors[i], sizes[i] - 1, 0);
		get(t, flavors[i], sizes[i], 1);
		get(t, flavors[i], 200, 0);
		say("  set one word too few -> %x", thread_set_state(t, flavors[i], state, sizes[i] - 1));
		say(" as many as there are -> %x", thread_set_state(t, flavors[i], state, sizes[i]));
		say(" more -> %x\n", thread_set_state(t, flavors[i], state, sizes[i] + 9));
		if (flavors[i] == 1)
			get(t, 1, 16, 1);
	}
	get(mach_thread_self(), 1, 16, 0);
	get(self, 1, 16, 0);
	thread_terminate(t);
	get(t, 1, 16, 0);
}

/* Takes an exception with all its registers as they were set, but for the status register, which it shows in d0. */
extern char tells[];
asm(".globl tells\n"
    "tells:\n"
    "	move.w %ccr,%d0\n"
    "	illegal\n");

static void told(const char *what, u32 sr)
{
	registers_t s;
	message_t m;
	thread_t t;
	kern_return_t kr;
	u32 i;

	thread_create(self, &t);
	get_registers(t, &s);
	for (i = 0; i < 8; i++)
		s.state.d[i] = 0xd0000000 + i, s.state.a[i] = 0xa0000000 + i;
	SP(s) = (u32) stacks[0] + 8000;
	PC(s) = (u32) tells;
	s.frame.sr = sr;
	s.frame.format_vector = 0x7008;
	kr = set_registers(t, &s);
	say("%s: set %x", what, kr);
	get_registers(t, &s);
	say(" sr %x frame %x\n", s.frame.sr, s.frame.format_vector);
	thread_resume(t);
	if (!mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 100, 0)) {
		get_registers(t, &s);
		say("  exception %d code %x subcode %x after %d bytes, sr %x frame %x\n", m.w[5], m.w[7], m.w[9], PC(s) - (u32) tells, s.frame.sr, s.frame.format_vector);
		SP(s) -= (u32) stacks[0];
		words((u32 *) &s.state, 16);
	} else
		say("  no exception\n");
	thread_terminate(t);
}

/* The FPU */

static volatile double first, second;
static volatile u32 rounds;

static void sums(volatile double *sum, double step)
{
	u32 i;

	for (i = 0; i < 20; i++) {
		double here = i, kept;

		*sum += here * step;
		asm volatile("fmove.d %0,%%fp6" :: "m"(step) : "fp6");
		thread_switch(0, SWITCH_OPTION_NONE, 0);
		asm volatile("fmove.d %%fp6,%0" : "=m"(kept));
		if (kept != step)
			stage = 0xbad;
	}
	rounds++;
	rest();
}

static void sums_first(void) { sums(&first, 0.5); }
static void sums_second(void) { sums(&second, -3.25); }

static const u32 one[3] = { 0x3fff0000, 0x80000000, 0 };

static void traps_with_numbers(void)
{
	asm volatile("moveq #0x10,%%d0; fmove.l %%d0,%%fpcr; fmovem.x %0,%%fp0; fmove.l #-5,%%fp7; illegal; fmove.l %%fp0,stage" :: "m"(one) : "d0", "fp0", "fp7", "memory");
	rest();
}

static void shows_control(void)
{
	u32 control = 0;

	asm volatile("fmove.l %%fpcr,%0" : "=d"(control));
	stage = 0x10000 | control;
	rest();
}

static void floating(void)
{
	static u32 state[27];
	mach_msg_type_number_t n;
	message_t m, r;
	thread_t a, b;
	kern_return_t kr;

	a = start_thread(sums_first, stacks[0], sizeof stacks[0]);
	b = start_thread(sums_second, stacks[1], sizeof stacks[1]);
	while (rounds < 2)
		wait(20);
	say("two sums at once: %d %d stage %x\n", (int) (first * 100), (int) (second * 100), stage);
	thread_terminate(a);
	thread_terminate(b);

	stage = 0;
	a = start_thread(traps_with_numbers, stacks[0], sizeof stacks[0]);
	kr = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 100, 0);
	n = 27;
	show("numbers: state", thread_get_state(a, m68k_FLOAT_STATE, state, &n));
	words(state, 3);
	words(state + 21, 4);
	say("  exception %d code %x\n", m.w[5], m.w[7]);
	/* 10 instead of 1 */
	state[0] = 0x40020000;
	state[1] = 0xa0000000;
	show("  another number", thread_set_state(a, m68k_FLOAT_STATE, state, 27));
	skip(a, ILLEGAL_SIZE);
	r.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0);
	r.h.msgh_remote_port = m.h.msgh_remote_port;
	r.h.msgh_local_port = 0;
	r.h.msgh_id = m.h.msgh_id + 100;
	r.w[0] = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
	r.w[1] = 0;
	show("  answer", mach_msg(&r.h, MACH_SEND_MSG, 32, 0, 0, 0, 0));
	wait(20);
	say("  it stored %d\n", stage);
	thread_terminate(a);

	stage = 0;
	a = start_thread(shows_control, stacks[0], sizeof stacks[0]);
	wait(20);
	say("a thread's first control word: %x\n", stage);
	thread_terminate(a);
	asm volatile("fmove.l %0,%%fpcr" :: "d"(0x30));
	stage = 0;
	a = start_thread(shows_control, stacks[0], sizeof stacks[0]);
	wait(20);
	say("where its maker had another: %x\n", stage);
	thread_terminate(a);
}

int guest_main(void)
{
	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
	task_set_special_port(self, TASK_EXCEPTION_PORT, box);
	say("-- counts\n");
	counts();
	say("-- the status register\n");
	told("as it is", 0);
	told("condition codes", 0x1f);
	told("supervisor and interrupts", 0x3700);
	told("all but tracing", 0x3fff);
	told("tracing", 0x8015);
	say("-- floating point\n");
	floating();
	return 0;
}
