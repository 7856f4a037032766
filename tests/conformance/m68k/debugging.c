/* An m68k has no debug registers: a debugger sets breakpoints, and traces by the status register's bits, after each instruction or each change of flow. */
#include "cpu.h"

typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;

static mach_port_t self, box;
static char stack1[8192];
volatile u32 steps;

static void rest(void)
{
	for (;;)
		thread_switch(0, SWITCH_OPTION_WAIT, 1000);
}

/* Places by their names: a to j, each at an instruction. */
extern char place_a[], place_b[], place_c[], place_d[], place_e[], place_f[], place_g[], place_h[], place_i[], place_j[];
asm("	.globl place_a, place_b, place_c, place_d, place_e, place_f, place_g, place_h, place_i, place_j\n"
    "place_a:	moveq	#1,%d0\n"
    "place_b:	move.l	%d0,steps\n"
    "place_c:	bra.s	place_e\n"
    "place_d:	moveq	#9,%d0\n"
    "place_e:	cmp.l	%d0,%d0\n"
    "place_f:	bne.s	place_d\n"
    "place_g:	bsr.s	place_j\n"
    "place_h:	moveq	#2,%d0\n"
    "place_i:	bra.s	place_i\n"
    "place_j:	rts\n");

static char place(u32 pc)
{
	char *const places[] = { place_a, place_b, place_c, place_d, place_e, place_f, place_g, place_h, place_i, place_j };
	int i;

	for (i = 0; i < 10; i++)
		if ((u32) places[i] == pc)
			return 'a' + i;
	return '?';
}

static void answer(message_t *m)
{
	message_t r;

	r.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0);
	r.h.msgh_remote_port = m->h.msgh_remote_port;
	r.h.msgh_local_port = 0;
	r.h.msgh_id = m->h.msgh_id + 100;
	r.w[0] = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
	r.w[1] = 0;
	mach_msg(&r.h, MACH_SEND_MSG, 32, 0, 0, 0, 0);
}

/* Lets a thread walk with the status register given, and tells of each stop; after STOPS of them it is traced no longer. */
static void walk(const char *what, u32 sr, int stops)
{
	registers_t s;
	message_t m;
	thread_t t;
	int i;

	say("%s\n", what);
	steps = 0;
	thread_create(self, &t);
	set_entry(t, (void (*)(void)) place_a, (vm_address_t) stack1 + sizeof stack1);
	get_registers(t, &s);
	s.frame.sr = sr;
	show("  set", set_registers(t, &s));
	thread_resume(t);
	for (i = 0; i < stops; i++) {
		if (mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0))
			break;
		get_registers(t, &s);
		say("  exception %d code %x subcode %x before %c sr %x frame %x steps %d\n", m.w[5], m.w[7], m.w[9], place(PC(s)), s.frame.sr & 0xff00,
			s.frame.format_vector, steps);
		if (i == stops - 1) {
			s.frame.sr = 0;
			set_registers(t, &s);
		}
		answer(&m);
	}
	if (mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0))
		say("  goes on, steps %d\n", steps);
	thread_terminate(t);
}

/* The same with a breakpoint in the place of an instruction, which is mended when it is met. */
static void walk_to(const char *what, char *where)
{
	vm_address_t text = (vm_address_t) where & -PAGE_SIZE;
	unsigned short kept = *(unsigned short *) where;
	registers_t s;
	message_t m;
	thread_t t;

	say("%s\n", what);
	show("  writable", vm_protect(self, text, 2 * PAGE_SIZE, FALSE, VM_PROT_ALL));
	*(unsigned short *) where = 0x4e4f;
	steps = 0;
	t = start_thread((void (*)(void)) place_a, stack1, sizeof stack1);
	if (!mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0)) {
		get_registers(t, &s);
		say("  exception %d code %x subcode %x pc +%d steps %d\n", m.w[5], m.w[7], m.w[9], PC(s) - (u32) where, steps);
		*(unsigned short *) where = kept;
		skip(t, -2);
		answer(&m);
	}
	if (mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0)) {
		get_registers(t, &s);
		say("  goes on, steps %d\n", steps);
	}
	thread_terminate(t);
}

int guest_main(void)
{
	u32 state[8] = { 0 };
	mach_msg_type_number_t n = 8;
	thread_t t;

	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
	task_set_special_port(self, TASK_EXCEPTION_PORT, box);
	say("-- debug registers\n");
	thread_create(self, &t);
	show("set", thread_set_state(t, 6, state, 8));
	show("get", thread_get_state(t, 6, state, &n));
	thread_terminate(t);
	say("-- stops\n");
	walk("none", 0, 0);
	walk("each instruction", 0x8000, 7);
	walk("each change of flow", 0x4000, 3);
	walk("one step", 0x8000, 1);
	say("-- breakpoints\n");
	walk_to("the first", place_a);
	walk_to("behind a call", place_h);
	return 0;
}
