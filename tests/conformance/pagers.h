/*
 * What modules about memory managers share. The main thread is every object's manager: it receives a message at a time,
 * prints it and answers as the object's store and the module's switches say. Other threads ("hands", of this task or of
 * others) touch memory, so that a fault never waits for the thread that must answer it.
 */
#ifndef PAGERS_H
#define PAGERS_H

#include "guest.h"

#define PAGE PAGE_SIZE
/* ms without a message after which nothing more will come: what a call causes is sent before it returns. */
#define QUIET 20
/* Times QUIET after which a hand that has not come back is said to wait. */
#define PATIENCE 8

typedef struct { mach_msg_header_t h; u32 w[120]; } message_t;

static mach_port_t self;

static void nap(u32 ms)
{
	static mach_port_t nobody;
	message_t nothing;

	if (!nobody)
		nobody = mach_reply_port();
	mach_msg_trap(&nothing.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof nothing, nobody, ms, 0);
}

static mach_port_t new_port(void)
{
	mach_port_t port;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &port);
	mach_port_insert_right(self, port, port, MACH_MSG_TYPE_MAKE_SEND);
	return port;
}

/* Hands: threads that do one thing at a time and tell when it is done. */

#define HANDS 6

struct hand {
	volatile int go, done;
	u32 (*volatile what)(struct hand *);
	volatile u32 a, b, c, d, result, seen[16];
	/* Names of the hand's own task, but for the last two, which are the first task's. */
	mach_port_t reply, task, owner, thread;
};

/* In memory that children share, so that a hand of any task is commanded in the same way. */
static struct hand *hands;
static mach_port_t trouble;
static char hand_stack[HANDS][4096] __attribute__((aligned(16)));

static void hand_loop(int which)
{
	struct hand *hand = &hands[which];
	message_t nothing;
	mach_port_t nobody = mach_reply_port();

	hand->reply = mach_reply_port();
	hand->task = mach_task_self();
	for (;;) {
		while (!hand->go)
			mach_msg_trap(&nothing.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof nothing, nobody, 1, 0);
		hand->result = hand->what(hand);
		hand->go = 0;
		hand->done = 1;
	}
}

static void hand_entry_0(void) { hand_loop(0); }
static void hand_entry_1(void) { hand_loop(1); }
static void hand_entry_2(void) { hand_loop(2); }
static void hand_entry_3(void) { hand_loop(3); }
static void hand_entry_4(void) { hand_loop(4); }
static void hand_entry_5(void) { hand_loop(5); }
static void (*const hand_entry[HANDS])(void) = {
	hand_entry_0, hand_entry_1, hand_entry_2, hand_entry_3, hand_entry_4, hand_entry_5,
};

/* A fresh hand instead of the one before, in TASK, which is this one or a child that inherited its memory; an exception of its own goes to `trouble`. */
static mach_port_t new_hand(int which, mach_port_t task)
{
	mach_port_t thread;

	if (hands[which].thread)
		thread_terminate(hands[which].thread);
	hands[which].go = hands[which].done = 0;
	if (thread_create(task, &thread))
		return 0;
	thread_set_special_port(thread, THREAD_EXCEPTION_PORT, trouble);
	set_entry(thread, hand_entry[which], (vm_address_t) hand_stack[which] + sizeof hand_stack[which]);
	hands[which].owner = task;
	thread_resume(thread);
	return hands[which].thread = thread;
}

static void begin(int which, u32 (*what)(struct hand *), u32 a, u32 b, u32 c, u32 d)
{
	struct hand *hand = &hands[which];

	hand->what = what; hand->a = a; hand->b = b; hand->c = c; hand->d = d;
	hand->result = 0xdeadbeef; hand->done = 0; hand->go = 1;
}

/* A call of a kernel routine by a hand, on its own reply port: COUNT words, then memory out of line unless its address is 0. */
static u32 call(struct hand *hand, mach_port_t port, int id, const u32 *words, int count, vm_address_t memory, u32 size, message_t *m)
{
	u32 *p = m->w;
	mach_msg_return_t result;

	for (; count; count--) {
		*p++ = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
		*p++ = *words++;
	}
	if (memory) {
		p[0] = MIG_LONG(0, 0); p[1] = MIG_LONG_NAME(9, 8); p[2] = size; p[3] = memory;
		p += 4;
	}
	m->h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE) | (memory ? MACH_MSGH_BITS_COMPLEX : 0);
	m->h.msgh_size = (char *) p - (char *) m;
	m->h.msgh_remote_port = port; m->h.msgh_local_port = hand->reply; m->h.msgh_id = id;
	result = mach_msg_trap(&m->h, MACH_SEND_MSG | MACH_RCV_MSG, m->h.msgh_size, sizeof *m, hand->reply, 0, 0);
	return result ? result : m->w[1];
}

static u32 do_read(struct hand *hand) { return *(volatile u32 *) hand->a; }
/* The first words of b pages from a on, in `seen`. */
static u32 do_see(struct hand *hand)
{
	u32 page;

	for (page = 0; page < hand->b; page++)
		hand->seen[page] = *(volatile u32 *) (hand->a + page * PAGE);
	return page;
}
static u32 do_write(struct hand *hand) { *(volatile u32 *) hand->a = hand->b; return hand->b; }
/* vm_read of b bytes at a; c becomes the address of what came. */
static u32 do_vm_read(struct hand *hand)
{
	message_t m;
	u32 words[2] = { hand->a, hand->b }, result = call(hand, hand->task, 2026, words, 2, 0, 0, &m);

	hand->c = result ? 0 : m.w[5];
	return result;
}
/* vm_write of b bytes at c to a. */
static u32 do_vm_write(struct hand *hand)
{
	message_t m;
	u32 words[1] = { hand->a };

	return call(hand, hand->task, 2027, words, 1, hand->c, hand->b, &m);
}
/* vm_copy of b bytes at a to c. */
static u32 do_vm_copy(struct hand *hand)
{
	message_t m;
	u32 words[3] = { hand->a, hand->b, hand->c };

	return call(hand, hand->task, 2028, words, 3, 0, 0, &m);
}
static u32 do_deallocate(struct hand *hand) { return syscall_vm_deallocate(hand->task, hand->a, hand->b); }
/* vm_map of b bytes of object a from offset c on, as copy where d's lowest bit is set, with inheritance d >> 1; the address in a. */
static u32 do_map(struct hand *hand)
{
	vm_address_t address = 0;
	u32 result = syscall_vm_map(hand->task, &address, hand->b, 0, 1, hand->a, hand->c, hand->d & 1, 3, 7, hand->d >> 1);

	hand->a = address;
	return result;
}
/* Sends b bytes at a, out of line, to port c; d: the memory is given away. */
static u32 do_send(struct hand *hand)
{
	message_t m;

	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0) | MACH_MSGH_BITS_COMPLEX;
	m.h.msgh_size = 40; m.h.msgh_remote_port = hand->c; m.h.msgh_local_port = 0; m.h.msgh_id = 77;
	m.w[0] = MIG_LONG(0, hand->d); m.w[1] = MIG_LONG_NAME(9, 8); m.w[2] = hand->b; m.w[3] = hand->a;
	return mach_msg_trap(&m.h, MACH_SEND_MSG, 40, 0, 0, 0, 0);
}
/* vm_wire of b bytes at a for access c; d names the host's privileged port. */
static u32 do_wire(struct hand *hand)
{
	message_t m;
	u32 *p = m.w;

	*p++ = MIG_SHORT(MACH_MSG_TYPE_COPY_SEND, 32, 1, 1, 0); *p++ = hand->task;
	*p++ = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0); *p++ = hand->a;
	*p++ = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0); *p++ = hand->b;
	*p++ = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0); *p++ = hand->c;
	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE) | MACH_MSGH_BITS_COMPLEX;
	m.h.msgh_size = (char *) p - (char *) &m;
	m.h.msgh_remote_port = hand->d; m.h.msgh_local_port = hand->reply; m.h.msgh_id = 2636;
	u32 result = mach_msg_trap(&m.h, MACH_SEND_MSG | MACH_RCV_MSG, m.h.msgh_size, sizeof m, hand->reply, 0, 0);
	return result ? result : m.w[1];
}

/* A child that inherits this task's memory; its name, for the first task, in b. */
static u32 do_task_create(struct hand *hand)
{
	mach_port_t child = 0;
	u32 result = syscall_task_create(hand->task, 1, &child);

	hand->b = child;
	return result;
}

/* Memory objects: a letter, what they hold (a word a page) and how they answer. */

#define OBJECTS 26
#define PAGES 48

struct object {
	mach_port_t port, control, name;
	int dead, strategy, may_cache;
	/* Silent: nothing is answered. Unready: all but init. Empty: pages never written are unavailable. */
	int silent, unready, empty;
	vm_prot_t lock;
	boolean_t precious;
	u32 store[PAGES];
	/* Pages that the kernel wrote back. */
	char kept[PAGES];
};
static struct object objects[OBJECTS];
static int object_count;
static mach_port_t set, box;
/* The first word of a page; the last is its complement. */
static u32 pattern(const struct object *o, u32 page) { return 0xa0000000 + ((u32) (o - objects) << 16) + page; }
static char letter(const struct object *o) { return o ? 'A' + (o - objects) : '?'; }

static struct object *add_object(mach_port_t port)
{
	struct object *o = &objects[object_count++];
	u32 page;

	o->port = port;
	o->strategy = MEMORY_OBJECT_COPY_DELAY;
	for (page = 0; page < PAGES; page++)
		o->store[page] = pattern(o, page);
	mach_port_move_member(self, port, set);
	return o;
}

static struct object *new_object(int strategy)
{
	struct object *o = add_object(new_port());

	o->strategy = strategy;
	return o;
}

static struct object *object_of(mach_port_t port)
{
	int i;

	for (i = object_count - 1; i >= 0; i--)
		if (objects[i].port == port)
			return &objects[i];
	return 0;
}

static void say_pages(const struct object *o, u32 offset, u32 size)
{
	say(" pages %u", offset / PAGE);
	if (size > PAGE)
		say("-%u", (offset + size) / PAGE - 1);
	if (offset % PAGE || size % PAGE)
		say(" (offset %x size %x)", offset, size);
}

static const char *control_of(const struct object *o, mach_port_t control)
{
	return !o ? "" : o->control == control ? "" : control == 0 ? " control null" : control == MACH_PORT_DEAD ? " control dead" : " other control";
}

static void supply_words(mach_port_t control, u32 offset, const u32 *words, u32 pages, vm_prot_t lock, boolean_t precious, mach_port_t reply)
{
	vm_address_t data = 0;
	u32 i;

	vm_allocate(self, &data, pages * PAGE, 1);
	for (i = 0; i < pages; i++) {
		((u32 *) (data + i * PAGE))[0] = words[i];
		((u32 *) (data + i * PAGE))[PAGE / 4 - 1] = ~words[i];
	}
	memory_object_data_supply(control, offset, data, pages * PAGE, 1, lock, precious, reply);
}

static void supply(struct object *o, u32 page, u32 pages)
{
	supply_words(o->control, page * PAGE, &o->store[page], pages, o->lock, o->precious, 0);
}

static void keep(struct object *o, u32 offset, vm_address_t data, u32 size)
{
	u32 at;

	say(" words");
	for (at = 0; at < size; at += PAGE) {
		u32 word = *(u32 *) (data + at);

		if (at < 4 * PAGE || at + PAGE >= size)
			say(" %x", word);
		if (o && offset / PAGE + at / PAGE < PAGES) {
			o->store[offset / PAGE + at / PAGE] = word;
			o->kept[offset / PAGE + at / PAGE] = 1;
		}
	}
}

/* Prints one message to an object's port or the box, and answers it. */
static void answer(message_t *m)
{
	struct object *o = object_of(m->h.msgh_local_port), *copy;
	u32 page, *w = m->w;

	if (o)
		say("  %c ", letter(o));
	else
		say("  box ");
	switch (m->h.msgh_id) {
	case 2200:
		say("init: size %u page size %u\n", m->h.msgh_size, w[5]);
		o->control = w[1]; o->name = w[3];
		if (!o->silent && !o->unready)
			memory_object_ready(o->control, o->may_cache, o->strategy);
		break;
	case 2201:
		say("terminate%s%s: size %u\n", control_of(o, w[1]), o && o->name != w[3] ? " other name" : "", m->h.msgh_size);
		mach_port_mod_refs(self, w[1], MACH_PORT_RIGHT_RECEIVE, -1);
		if (w[3] && w[3] != MACH_PORT_DEAD)
			mach_port_mod_refs(self, w[3], MACH_PORT_RIGHT_RECEIVE, -1);
		o->control = o->name = 0;
		break;
	case 2202:
		say("copy%s:", control_of(o, w[1])); say_pages(o, w[3], w[5]);
		copy = add_object(w[7]);
		for (page = 0; page < PAGES; page++)
			copy->store[page] = pattern(o, page);
		for (page = 0; page < w[5] / PAGE && w[3] / PAGE + page < PAGES; page++)
			copy->store[page] = o->store[w[3] / PAGE + page];
		copy->strategy = o->strategy; copy->empty = 1;
		say(" becomes %c\n", letter(copy));
		break;
	case 2203:
		say("data_request%s:", control_of(o, w[1])); say_pages(o, w[3], w[5]); say(" access %d", w[7]);
		page = w[3] / PAGE;
		if (o->silent)
			say("\n");
		else if (page >= PAGES || (o->empty && !o->kept[page])) {
			say(", unavailable\n");
			memory_object_data_unavailable(o->control, w[3], w[5]);
		} else {
			say(", supplied\n");
			supply(o, page, w[5] / PAGE);
		}
		break;
	case 2204:
		say("data_unlock%s:", control_of(o, w[1])); say_pages(o, w[3], w[5]); say(" access %d\n", w[7]);
		if (!o->silent)
			memory_object_lock_request(o->control, w[3], w[5], MEMORY_OBJECT_RETURN_NONE, 0, 0, 0);
		break;
	case 2206:
		say("lock_completed%s:", control_of(o, w[1])); say_pages(o, w[3], w[5]); say("\n");
		break;
	case 2207:
		say("supply_completed%s:", control_of(o, w[1])); say_pages(o, w[3], w[5]); say(" result %x error offset %x\n", w[7], w[9]);
		break;
	case 2208:
		say("data_return%s:", control_of(o, w[1])); say_pages(o, w[3], w[6]);
		say(" dirty %d kernel copy %d", w[9], w[11]); keep(o, w[3], w[7], w[6]); say("\n");
		vm_deallocate(self, w[7], w[6]);
		break;
	case 2209:
		say("change_completed: may cache %d strategy %d\n", w[1], w[3]);
		break;
	case 2251:
		say("data_initialize%s:", control_of(o, w[1])); say_pages(o, w[3], w[6]); keep(o, w[3], w[7], w[6]); say("\n");
		vm_deallocate(self, w[7], w[6]);
		break;
	default:
		say("message %d size %u\n", m->h.msgh_id, m->h.msgh_size);
	}
}

/* Handles messages until none has come for MS; how many came. */
static int serve(u32 ms)
{
	static message_t m;
	int count;

	for (count = 0; !mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, set, ms, 0); count++)
		answer(&m);
	return count;
}

/* An exception of a hand, printed; the hand is replaced by a fresh one. */
static int had_trouble(int which)
{
	message_t m;

	if (mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, trouble, 1, 0))
		return 0;
	say("  exception %d code %x, address %s\n", m.w[5], m.w[7], m.w[9] == hands[which].a ? "right" : "other");
	return 1;
}

/* Waits for a hand, handling messages; 1 where it has done its work. */
static int finish(const char *what, int which)
{
	int quiet = 0;

	for (; !hands[which].done && quiet < PATIENCE; quiet++) {
		if (serve(QUIET))
			quiet = -1;
		if (!hands[which].done && had_trouble(which)) {
			new_hand(which, hands[which].owner);
			say("%s: faulted\n", what);
			return 0;
		}
	}
	if (!hands[which].done) {
		say("%s: waits\n", what);
		return 0;
	}
	say("%s: %x\n", what, hands[which].result);
	serve(QUIET);
	return 1;
}

/* What a hand does that waits for no manager. */
static u32 run(int which, u32 (*what)(struct hand *), u32 a, u32 b, u32 c, u32 d)
{
	begin(which, what, a, b, c, d);
	while (!hands[which].done)
		nap(1);
	return hands[which].result;
}

static void put(int which, vm_address_t at, u32 page, u32 value)
{
	run(which, do_write, at + page * PAGE, value, 0, 0);
}

static u32 reads(const char *what, int which, vm_address_t address)
{
	begin(which, do_read, address, 0, 0, 0);
	finish(what, which);
	return hands[which].result;
}

static void writes(const char *what, int which, vm_address_t address, u32 value)
{
	begin(which, do_write, address, value, 0, 0);
	finish(what, which);
}

static vm_address_t map_object(const char *what, struct object *o, u32 page, u32 pages, vm_inherit_t inheritance)
{
	vm_address_t address = 0;

	show(what, vm_map(self, &address, pages * PAGE, 0, 1, o->port, page * PAGE, 0, 3, 7, inheritance));
	serve(QUIET);
	return address;
}

static void unmap(const char *what, vm_address_t address, u32 pages)
{
	show(what, vm_deallocate(self, address, pages * PAGE));
	serve(QUIET);
}

static void lock_request(const char *what, struct object *o, u32 page, u32 pages, int should_return, int flush, vm_prot_t lock)
{
	show(what, memory_object_lock_request(o->control, page * PAGE, pages * PAGE, should_return, flush, lock, box));
	serve(QUIET);
}

static const char *const strategy_name[] = { "none", "call", "delay", "temporary" };

static void start_pagers(void)
{
	vm_address_t shared = 0;

	self = mach_task_self();
	vm_allocate(self, &shared, PAGE, 1);
	vm_inherit(self, shared, PAGE, VM_INHERIT_SHARE);
	hands = (struct hand *) shared;
	mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &set);
	trouble = new_port();
	box = new_port();
	mach_port_move_member(self, box, set);
	new_hand(0, self);
}

/* Both sides are written and read, and the object loses its dirty pages; both mappings are then given up. */
static void both_sides(struct object *o, vm_address_t source, vm_address_t copy, u32 pages)
{
	reads("read copy page 0", 0, copy);
	reads("read source page 0", 0, source);
	writes("write source page 1", 0, source + PAGE, 0x51);
	reads("read copy page 1", 0, copy + PAGE);
	writes("write copy page 2", 0, copy + 2 * PAGE, 0xc2);
	reads("read source page 2", 0, source + 2 * PAGE);
	writes("write source page 0", 0, source, 0x50);
	reads("read copy page 0", 0, copy);
	reads("read copy page 3", 0, copy + 3 * PAGE);
	lock_request("clean the source", o, 0, 8, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	reads("read copy page 1", 0, copy + PAGE);
	lock_request("flush the source", o, 0, 8, MEMORY_OBJECT_RETURN_ALL, 1, VM_PROT_NO_CHANGE);
	reads("read copy page 0", 0, copy);
	reads("read copy page 3", 0, copy + 3 * PAGE);
	reads("read source page 3", 0, source + 3 * PAGE);
	writes("write source page 3", 0, source + 3 * PAGE, 0x53);
	reads("read copy page 3", 0, copy + 3 * PAGE);
	unmap("unmap the copy", copy, pages);
	unmap("unmap the source", source, 8);
}

#endif
