/* Debug registers: what may be set, and what a breakpoint or a watched word does to a thread. */
#include "guest.h"

typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;

static mach_port_t self, box;
static char stack1[8192], stack2[8192];
volatile u32 watched[4], steps;

static void rest(void)
{
	for (;;)
		thread_switch(0, SWITCH_OPTION_WAIT, 1000);
}

extern char here[], there[];
static void walks(void)
{
	asm volatile("movl $1,steps\n"
		"	.globl here, there\n"
		"here:	movl $2,steps\n"
		"	movl watched,%%eax\n"
		"	movl %%eax,watched+4\n"
		"	movb $1,watched+9\n"
		"	movl watched+8,%%eax\n"
		"	movw $3,watched+12\n"
		"there:	movl $3,steps\n" ::: "eax", "memory");
	rest();
}

static void registers(const char *what, thread_t t)
{
	u32 state[8], i;
	mach_msg_type_number_t n = 8;

	show(what, thread_get_state(t, i386_DEBUG_STATE, state, &n));
	say("  ");
	for (i = 0; i < 8; i++)
		say(" %x", state[i]);
	say("\n");
}

static void refused(const char *what, u32 address, u32 control)
{
	u32 state[8] = { 0 };
	thread_t t;

	thread_create(self, &t);
	state[3] = address;
	state[7] = control;
	state[4] = 0x44;
	state[5] = 0x55;
	state[6] = 0x66;
	show(what, thread_set_state(t, i386_DEBUG_STATE, state, 8));
	registers("  get", t);
	thread_terminate(t);
}

/* Lets a thread walk with the debug registers given, and tells of each stop. */
static void walk(const char *what, u32 dr0, u32 dr1, u32 dr7)
{
	u32 state[8] = { dr0, dr1, 0, 0, 0, 0, 0, dr7 };
	struct i386_thread_state s;
	mach_msg_type_number_t n;
	message_t m, r;
	thread_t t;
	u32 i;

	say("%s\n", what);
	watched[0] = watched[1] = watched[2] = watched[3] = steps = 0;
	thread_create(self, &t);
	set_entry(t, walks, (vm_address_t) stack1 + sizeof stack1);
	show("  set", thread_set_state(t, i386_DEBUG_STATE, state, 8));
	thread_resume(t);
	for (i = 0; i < 6; i++) {
		if (mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0))
			break;
		n = i386_THREAD_STATE_COUNT;
		thread_get_state(t, i386_REGS_SEGS_STATE, (thread_state_t) &s, &n);
		say("  exception %d code %x subcode %x here +%d steps %d watched %x %x %x %x efl %x\n", m.w[5], m.w[7], m.w[9],
			s.eip - (u32) here, steps, watched[0], watched[1], watched[2], watched[3], s.efl);
		registers("  registers", t);
		if (s.eip == (u32) here || s.eip == (u32) there) {
			state[7] = 0;
			thread_set_state(t, i386_DEBUG_STATE, state, 8);
		}
		r.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0);
		r.h.msgh_remote_port = m.h.msgh_remote_port;
		r.h.msgh_local_port = 0;
		r.h.msgh_id = m.h.msgh_id + 100;
		r.w[0] = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
		r.w[1] = 0;
		mach_msg(&r.h, MACH_SEND_MSG, 32, 0, 0, 0, 0);
	}
	say("  steps %d\n", steps);
	thread_terminate(t);
}

/* A thread's own state, while it runs. */
static void own(void)
{
	u32 state[32] = { 0x1000, 0x2000, 0x3000, 0xbfffffff, 4, 5, 6, 0 };
	mach_msg_type_number_t n = 7;
	thread_t me = mach_thread_self();
	int flavor;

	registers("get", me);
	show("set", thread_set_state(me, i386_DEBUG_STATE, state, 8)), registers("get", me);
	show("too few words", thread_set_state(me, i386_DEBUG_STATE, state, 7));
	show("too little room", thread_get_state(me, i386_DEBUG_STATE, state, &n));
	state[0] = 0xc0000000, show("in the kernel", thread_set_state(me, i386_DEBUG_STATE, state, 8)), registers("get", me);
	for (flavor = 0; flavor < 8; flavor++) {
		say("flavor %d", flavor), n = 32;
		if (flavor != i386_DEBUG_STATE)
			say(": get %x set %x", thread_get_state(me, flavor, state, &n), thread_set_state(me, flavor, state, 32));
		say("\n");
	}
	memset(state, 0, sizeof state), show("no addresses", thread_set_state(me, i386_DEBUG_STATE, state, 8)), registers("get", me);
}

/* Sets a breakpoint for itself, and walks into it. */
static void breaks_itself(void)
{
	u32 state[8] = { (u32) here, 0, 0, 0, 0, 0, 0, 1 };

	thread_set_state(mach_thread_self(), i386_DEBUG_STATE, state, 8);
	walks();
}

static void own_breakpoint(void)
{
	message_t m;
	thread_t t;

	steps = 0, t = start_thread(breaks_itself, stack1, sizeof stack1);
	show("it breaks itself", mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0));
	say("  exception %d code %x steps %d\n", m.w[5], m.w[7], steps);
	registers("  registers", t);
	thread_terminate(t);
}

static void counts(void) { for (;;) steps++; }

int guest_main(void)
{
	u32 state[8] = { 0 };
	thread_t t;

	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
	task_set_special_port(self, TASK_EXCEPTION_PORT, box);
	say("-- what may be set\n");
	refused("an address", 0x1000, 0);
	refused("the last", 0xbfffffff, 0xffffffff);
	refused("in the kernel", 0xc0000000, 0);
	refused("at the very end", 0xffffffff, 0);
	say("-- its own\n");
	own(), own_breakpoint();
	say("-- stops\n");
	walk("none", 0, 0, 0);
	walk("an address, not enabled", (u32) here, 0, 0);
	walk("a breakpoint", (u32) here, 0, 1);
	walk("a second one, global", 0, (u32) there, 8);
	walk("a word written", (u32) &watched[1], 0, 0x000d0001);
	walk("a word written, one byte of four", (u32) &watched[2], 0, 0x000d0001);
	walk("a word read", (u32) &watched[0], 0, 0x000f0001);
	walk("a word read and written", (u32) &watched[2], 0, 0x000f0001);
	walk("a byte beside the one written", (u32) &watched[2], 0, 0x00010001);
	walk("two at once", (u32) &watched[1], (u32) there, 0x000d0009);
	walk("I/O", (u32) &watched[1], 0, 0x000e0001);
	say("-- another thread does not stop\n");
	steps = 0;
	thread_create(self, &t);
	set_entry(t, counts, (vm_address_t) stack2 + sizeof stack2);
	state[0] = (u32) &watched[3];
	state[7] = 0xd0001;
	show("set", thread_set_state(t, i386_DEBUG_STATE, state, 8));
	thread_resume(t);
	thread_switch(0, SWITCH_OPTION_WAIT, 50);
	watched[3] = 5;
	say("counts %d\n", steps > 0);
	thread_terminate(t);
	return 0;
}
