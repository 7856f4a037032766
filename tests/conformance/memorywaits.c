/* Each way to wait in the kernel for memory, and to give way: a manager answers late, and threads call swtch for long. */
#include "pagers.h"
#include "emulation.h"

/* What the threads use, a page each. Behind these is one that is there: an m68k pushes a trap's number itself. */
enum { ARRAY, MESSAGE, STACK, THERE, REQUEST, WORD, PAGES_USED };
/* The end of the page STACK, as emulation.h has it. */
#define TOP 0x70000000
/* ms for which the manager does not answer. */
#define LATE 120
#define ROUNDS 3
#define TURNS 4000

static char stacks[2][4096] __attribute__((aligned(16)));
static volatile u32 result, came;
static volatile int turned;

/* Sends the rights whose names lie at a to port c. */
static u32 do_send_rights(struct hand *hand)
{
	message_t m;

	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0) | MACH_MSGH_BITS_COMPLEX;
	m.h.msgh_size = 32; m.h.msgh_remote_port = hand->c; m.h.msgh_local_port = 0; m.h.msgh_id = 78;
	m.w[0] = MIG_SHORT(MACH_MSG_TYPE_COPY_SEND, 32, 2, 0, 0); m.w[1] = hand->a;
	return mach_msg_trap(&m.h, MACH_SEND_MSG, 32, 0, 0, 0, 0);
}

/* Receives at a from port c, and tells the message's number. */
static u32 do_receive(struct hand *hand)
{
	mach_msg_header_t *m = (mach_msg_header_t *) hand->a;
	u32 code = mach_msg_trap(m, MACH_RCV_MSG, 0, PAGE, hand->c, 0, 0);

	return code ? code : m->msgh_id;
}

/* Sends the message at a. */
static u32 do_send_from(struct hand *hand)
{
	return mach_msg_trap((mach_msg_header_t *) hand->a, MACH_SEND_MSG, 24, 0, 0, 0, 0);
}

static void taken_over(void)
{
	CALL_WITHOUT_STACK(result);
	came = 1;
	for (;;)
		thread_switch(0, SWITCH_OPTION_WAIT, 1000);
}

static void send_empty(mach_port_t to, int id)
{
	mach_msg_header_t m = { MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0), 24, to, 0, 0, id };

	mach_msg_trap(&m, MACH_SEND_MSG, 24, 0, 0, 0, 0);
}

static void received(const char *what, mach_port_t from)
{
	message_t m;
	kern_return_t code = mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, from, 0, 0);

	say("  %s: %x", what, code);
	if (!code)
		say(" id %d bits %x size %u", m.h.msgh_id, m.h.msgh_bits, m.h.msgh_size);
	if (!code && m.h.msgh_bits & MACH_MSGH_BITS_COMPLEX)
		say(" rights %n %n", ((mach_port_t *) m.w[1])[0], ((mach_port_t *) m.w[1])[1]);
	say("\n");
}

static void come(const char *what, struct object *o, int page, int which)
{
	supply(o, page, 1);
	finish(what, which);
}

static void for_memory(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a = TOP - THERE * PAGE;
	mach_port_t in = new_port(), out = new_port();
	thread_t thread;

	say("-- a manager that answers late\n");
	show("map", vm_map(self, &a, PAGES_USED * PAGE, 0, 0, o->port, 0, 0, 3, 7, VM_INHERIT_NONE)); serve(QUIET);
	writes("write the page that is there", 0, TOP, 0);
	o->silent = 1;
	o->store[ARRAY] = out;
	begin(0, do_send_rights, a + ARRAY * PAGE, 0, out, 0); serve(QUIET);
	new_hand(1, self), begin(1, do_receive, a + MESSAGE * PAGE, 0, in, 0), send_empty(in, 79), serve(QUIET);
	came = 0, thread = start_thread(taken_over, stacks[0], sizeof stacks[0]), serve(QUIET);
	new_hand(2, self), begin(2, do_send_from, a + REQUEST * PAGE, 0, 0, 0), serve(QUIET);
	new_hand(3, self), begin(3, do_read, a + WORD * PAGE, 0, 0, 0), serve(QUIET);
	nap(LATE);
	say("came: %d, done: %d %d %d %d\n", came, hands[0].done, hands[1].done, hands[2].done, hands[3].done);
	come("send rights", o, ARRAY, 0), received("they", out);
	come("receive", o, MESSAGE, 1);
	supply(o, STACK, 1), serve(QUIET), say("trap that is taken over: %d result %x made %d\n", came, result, made), made = 0;
	come("send from a page that is not there", o, REQUEST, 2);
	come("read", o, WORD, 3);
	thread_terminate(thread);
	put(0, a, THERE, 0);
	unmap("unmap", a, PAGES_USED);
}

static void gives_way(void)
{
	int i;

	for (i = 0; i < TURNS; i++)
		swtch();
	turned++;
	for (;;)
		thread_switch(0, SWITCH_OPTION_WAIT, 1000);
}

static void gives_way_longer(void)
{
	int i;

	for (i = 0; i < TURNS; i++)
		swtch_pri(0);
	turned++;
	for (;;)
		thread_switch(0, SWITCH_OPTION_WAIT, 1000);
}

static void turns(const char *what, void (*entry)(void))
{
	thread_t one, other;

	turned = 0;
	one = start_thread(entry, stacks[0], sizeof stacks[0]);
	other = start_thread(entry, stacks[1], sizeof stacks[1]);
	while (turned < 2)
		nap(10);
	say("%s: %d\n", what, turned);
	thread_terminate(one);
	thread_terminate(other);
}

int guest_main(void)
{
	int i;

	start_pagers();
	show("take trap -5 over", task_set_emulation(self, (vm_address_t) handler, -5));
	for (i = 0; i < ROUNDS; i++) {
		for_memory();
		turns("swtch", gives_way);
		turns("swtch_pri", gives_way_longer);
	}
	return 0;
}
