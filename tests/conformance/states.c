/* Thread states: every flavor with every count, what may be set, what a thread does with it, and the FPU across switches. */
#include "guest.h"

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
	/* The kernel leaves the word of esp as it finds it. */
	if (flavor == i386_THREAD_STATE || flavor == i386_REGS_SEGS_STATE)
		state[7] = 0;
	if (!kr && shown)
		words(state, n);
}

/* What the thread says of itself when it next takes an exception; it is ended then. */
static void exception(const char *what, thread_t t)
{
	struct i386_thread_state s;
	mach_msg_type_number_t n = i386_THREAD_STATE_COUNT;
	message_t m;
	kern_return_t kr = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 100, 0);

	if (kr) {
		say("%s: %x stage %x\n", what, kr, stage);
	} else {
		thread_get_state(t, i386_REGS_SEGS_STATE, (thread_state_t) &s, &n);
		say("%s: exception %d code %x subcode %x stage %x\n", what, m.w[5], m.w[7], m.w[9], stage);
		say("  cs %x ss %x ds %x es %x fs %x gs %x efl %x\n", s.cs & 0xffff, s.ss & 0xffff, s.ds, s.es, s.fs, s.gs, s.efl);
	}
	thread_terminate(t);
	stage = 0;
}

/* Shows its segment registers and flags in an exception. */
extern char tells[];
asm(".globl tells\n"
    "tells:\n"
    "	xorl %eax,%eax\n"
    "	movw %ds,%ax\n"
    "	shll $16,%eax\n"
    "	movw %es,%ax\n"
    "	xorl %ebx,%ebx\n"
    "	movw %fs,%bx\n"
    "	shll $16,%ebx\n"
    "	movw %gs,%bx\n"
    "	pushfl\n"
    "	popl %ecx\n"
    "	movl $0x1f,%edx\n"
    "	movl %edx,%ds\n"
    "	movl %edx,%es\n"
    "	ud2\n");

static void told(const char *what, int flavor, void (*change)(struct i386_thread_state *))
{
	struct i386_thread_state s;
	mach_msg_type_number_t n = i386_THREAD_STATE_COUNT;
	message_t m;
	thread_t t;
	kern_return_t kr;

	thread_create(self, &t);
	thread_get_state(t, i386_REGS_SEGS_STATE, (thread_state_t) &s, &n);
	s.eip = (u32) tells;
	s.uesp = (u32) stacks[0] + 8000;
	change(&s);
	kr = thread_set_state(t, flavor, (thread_state_t) &s, n);
	say("%s: set %x", what, kr);
	thread_get_state(t, flavor, (thread_state_t) &s, &n);
	say(" cs %x ss %x ds %x es %x fs %x gs %x efl %x\n", s.cs, s.ss, s.ds, s.es, s.fs, s.gs, s.efl);
	if (!kr) {
		thread_resume(t);
		kr = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 100, 0);
		n = i386_THREAD_STATE_COUNT;
		if (kr) {
			say("  no exception: %x\n", kr);
		} else {
			thread_get_state(t, i386_REGS_SEGS_STATE, (thread_state_t) &s, &n);
			say("  exception %d code %x subcode %x", m.w[5], m.w[7], m.w[9]);
			if (s.eip == (u32) tells)
				say(" before its first instruction, cs %x ss %x ds %x es %x fs %x gs %x\n", s.cs & 0xffff, s.ss & 0xffff, s.ds, s.es,
					s.fs, s.gs);
			else
				say(" after %d bytes, saw ds es %x fs gs %x flags %x\n", s.eip - (u32) tells, s.eax, s.ebx, s.ecx);
		}
	}
	thread_terminate(t);
}

static void nothing(struct i386_thread_state *s) { }
static void all_flags(struct i386_thread_state *s) { s->efl = 0xfffdfeff & ~0x00040000; }
static void no_flags(struct i386_thread_state *s) { s->efl = 0; }
static void null_code(struct i386_thread_state *s) { s->cs = 0; }
static void null_stack(struct i386_thread_state *s) { s->ss = 0; }
static void kernel_code(struct i386_thread_state *s) { s->cs = 8; }
static void kernel_stack(struct i386_thread_state *s) { s->ss = 0x10; }
static void high_bits(struct i386_thread_state *s) { s->cs |= 0xabcd0000; s->ds |= 0x12340000; s->gs |= 0xffff0000; }
static void null_data(struct i386_thread_state *s) { s->ds = s->es = s->fs = s->gs = 0; }
static void code_as_data(struct i386_thread_state *s) { s->es = s->fs = 0x17; }
static void kernel_data(struct i386_thread_state *s) { s->fs = 0x10; s->gs = 0x13; }
static void absent_data(struct i386_thread_state *s) { s->fs = 0x27; s->gs = 0xffff; }
static void empty_data(struct i386_thread_state *s) { s->fs = 0xf; s->gs = 0x4b; }
static void absent_code(struct i386_thread_state *s) { s->cs = 0x27; }
static void absent_stack(struct i386_thread_state *s) { s->ss = 0x27; }
static void data_as_code(struct i386_thread_state *s) { s->cs = 0x1f; }
static void code_as_stack(struct i386_thread_state *s) { s->ss = 0x17; }
static void gate_as_code(struct i386_thread_state *s) { s->cs = 0x7; }
static void gate_as_data(struct i386_thread_state *s) { s->es = 0x7; s->fs = 0x23; }

static void counts(void)
{
	static const int flavors[] = { 0, 1, 2, 3, 4, 5, 6, 7, -1 };
	static const u32 sizes[] = { 4, 17, 30, 32, 2, 17, 8, 8, 8 };
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
			get(t, 1, 17, 1);
	}
	get(mach_thread_self(), 1, 17, 0);
	get(self, 1, 17, 0);
	thread_terminate(t);
	get(t, 1, 17, 0);
}

static void port_map(void)
{
	u32 state[32], i;
	mach_msg_type_number_t n = 2;
	thread_t t;

	thread_create(self, &t);
	for (i = 0; i < 32; i++)
		state[i] = 0;
	show("open all ports", thread_set_state(t, i386_ISA_PORT_MAP_STATE, state, 32));
	get(t, i386_ISA_PORT_MAP_STATE, 32, 1);
	state[0] = 0x1000;
	state[1] = 256;
	show("interrupt table", thread_set_state(t, i386_V86_ASSIST_STATE, state, 2));
	get(t, i386_V86_ASSIST_STATE, 2, 1);
	state[0] = 0xbffff800;
	show("at the end", thread_set_state(t, i386_V86_ASSIST_STATE, state, 2));
	state[1] = 257;
	show("beyond the end", thread_set_state(t, i386_V86_ASSIST_STATE, state, 2));
	state[0] = 0xc0000000;
	state[1] = 0;
	show("in the kernel", thread_set_state(t, i386_V86_ASSIST_STATE, state, 2));
	state[0] = 0x2000;
	state[1] = -1;
	show("fewer than none", thread_set_state(t, i386_V86_ASSIST_STATE, state, 2));
	state[1] = 0x20000000;
	show("so many that they wrap", thread_set_state(t, i386_V86_ASSIST_STATE, state, 2));
	get(t, i386_V86_ASSIST_STATE, 2, 1);
	thread_terminate(t);
}

/* The FPU */

static volatile double first, second;
static volatile u32 rounds;

static void sums(volatile double *sum, double step)
{
	u32 i;

	asm volatile("fninit");
	for (i = 0; i < 20; i++) {
		double here = i;
		asm volatile("fldl %0; fldl %1; fmulp; faddl %2; fstpl %2" : : "m"(here), "m"(step), "m"(*sum) : "memory");
		asm volatile("fldl %0" :: "m"(step));
		thread_switch(0, SWITCH_OPTION_NONE, 0);
		asm volatile("fstpl %0" : "=m"(here));
		if (here != step)
			stage = 0xbad;
	}
	rounds++;
	rest();
}

static void sums_first(void) { sums(&first, 0.5); }
static void sums_second(void) { sums(&second, -3.25); }

static void traps_with_pi(void)
{
	asm volatile("fninit; fldpi; ud2; fistpl %0" : "=m"(stage));
	rest();
}

static void divides(void)
{
	static short control = 0x37b;

	asm volatile("fninit; fldcw %0; fldz; fld1; fdiv %%st(1),%%st; fwait" :: "m"(control));
	stage = 1;
	rest();
}

static void shows_control(void)
{
	short control = 0;

	asm volatile("fld1; fstp %%st; fnstcw %0" : "=m"(control));
	stage = 0x10000 | (unsigned short) control;
	rest();
}

static void floating(void)
{
	struct i386_thread_state s;
	u32 state[30];
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
	a = start_thread(traps_with_pi, stacks[0], sizeof stacks[0]);
	kr = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 100, 0);
	n = 30;
	show("pi: state", thread_get_state(a, i386_FLOAT_STATE, state, &n));
	/* Where the last instruction was: some processors keep it, some do not. */
	state[5] = state[6] = state[7] = state[8] = 0;
	words(state, 14);
	say("  exception %d code %x\n", m.w[5], m.w[7]);
	n = i386_THREAD_STATE_COUNT;
	thread_get_state(a, i386_REGS_SEGS_STATE, (thread_state_t) &s, &n);
	s.eip += 2;
	thread_set_state(a, i386_REGS_SEGS_STATE, (thread_state_t) &s, n);
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
	a = start_thread(divides, stacks[0], sizeof stacks[0]);
	exception("division by zero", a);

	a = start_thread(shows_control, stacks[0], sizeof stacks[0]);
	wait(20);
	say("a thread's first control word: %x\n", stage);
	thread_terminate(a);
	{ short control = 0x27f; asm volatile("fninit; fldcw %0" :: "m"(control)); }
	stage = 0;
	a = start_thread(shows_control, stacks[0], sizeof stacks[0]);
	wait(20);
	say("where its maker had another: %x\n", stage);
	thread_terminate(a);
	thread_create(self, &a);
	get(a, i386_FLOAT_STATE, 30, 0);
	state[1] = 0;
	show("no state", thread_set_state(a, i386_FLOAT_STATE, state, 30));
	get(a, i386_FLOAT_STATE, 30, 1);
	thread_terminate(a);
}

/* Tells what the FPU has at its first use, and stays until it is told again. */
static volatile u32 control_word, status_word;
static void shows_again(void)
{
	short control, status;

	for (;;) {
		asm volatile("fnstcw %0; fnstsw %1" : "=m"(control), "=m"(status));
		control_word = (unsigned short) control, status_word = (unsigned short) status, stage++;
		thread_suspend(mach_thread_self());
	}
}

static void set_and_look(const char *what, thread_t t, u32 *state)
{
	say("%s\n", what);
	show("  set", thread_set_state(t, i386_FLOAT_STATE, state, 30));
	get(t, i386_FLOAT_STATE, 30, 1);
}

static void runs_on(thread_t t)
{
	mach_msg_type_number_t n = 30;
	u32 state[30];

	thread_resume(t), wait(20);
	say("  uses it: stage %d control %x status %x\n", stage, control_word, status_word);
	thread_get_state(t, i386_FLOAT_STATE, state, &n);
	say("  initialized %d control %x status %x tags %x\n", state[1], state[2], state[3], state[4]);
}

static void set_floating(void)
{
	u32 state[30] = { 0, 1, 0x27f, 0x1900, 0x1234, 0x11111111, 0x22222222, 0x33333333, 0x44444444 }, i;
	thread_t t, u;

	for (i = 9; i < 30; i++)
		state[i] = 0x01010101 * i;
	stage = 0;
	t = start_thread(shows_again, stacks[0], sizeof stacks[0]);
	wait(20), thread_suspend(t), thread_resume(t);
	get(t, i386_FLOAT_STATE, 30, 0);
	runs_on(t), set_and_look("set, when it was used", t, state), runs_on(t);
	state[4] = 0, state[3] = 0x4000, set_and_look("set, with other tags", t, state), set_and_look("and again", t, state), runs_on(t);
	state[1] = 0, set_and_look("set, not initialized", t, state), runs_on(t);
	state[1] = 7, state[0] = 9, state[29] = 5, set_and_look("set, by other words", t, state), runs_on(t), thread_terminate(t);
	thread_create(self, &t), set_entry(t, shows_again, (vm_address_t) stacks[0] + sizeof stacks[0]);
	state[4] = 0x5555, set_and_look("set, when it was never used", t, state), runs_on(t), thread_terminate(t);
	thread_create(self, &t), state[4] = 0xaaaa;
	for (i = 9; i < 29; i++)
		state[i] = i < 15 ? 0 : i < 20 ? 0xffffffff : 0x80000000;
	set_and_look("set to nothing, infinities and the least", t, state);
	show("of the thread itself", thread_set_state(mach_thread_self(), i386_FLOAT_STATE, state, 30));
	thread_terminate(t);
}

int guest_main(void)
{
	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
	task_set_special_port(self, TASK_EXCEPTION_PORT, box);
	say("-- counts\n");
	counts();
	say("-- flags and selectors\n");
	told("as it is", 5, nothing);
	told("all flags", 5, all_flags);
	told("all flags, flavor 1", 1, all_flags);
	told("no flags", 5, no_flags);
	told("null code", 5, null_code);
	told("null code, flavor 1", 1, null_code);
	told("null stack", 5, null_stack);
	told("kernel's code", 5, kernel_code);
	told("kernel's stack", 5, kernel_stack);
	told("high bits", 5, high_bits);
	told("null data", 5, null_data);
	told("null data, flavor 1", 1, null_data);
	told("code as data", 5, code_as_data);
	told("kernel's data", 5, kernel_data);
	told("absent data", 5, absent_data);
	told("empty data", 5, empty_data);
	told("gate as data", 5, gate_as_data);
	told("absent code", 5, absent_code);
	told("absent stack", 5, absent_stack);
	told("data as code", 5, data_as_code);
	told("code as stack", 5, code_as_stack);
	told("gate as code", 5, gate_as_code);
	say("-- ports and interrupts\n");
	port_map();
	say("-- floating point\n");
	floating();
	say("-- floating point that is set\n");
	set_floating();
	return 0;
}
