/* Arrays of rights out of line: every disposition, names that are none, counts, to oneself, to another task and to the kernel. */
#include "ipc.h"

static mach_port_t a, set;
static vm_address_t page;
static mach_port_t *names;

#define COUNT 8
/* Bytes at PAGE; behind them is nothing. */
#define ROOM (0x48000 + 8 * PAGE_SIZE)

static void names_of(u32 address, u32 count)
{
	mach_port_t *got = (void *) address;
	u32 i;

	for (i = 0; i < count && i < COUNT; i++)
		say(" %n", got[i]);
	say("\n");
	for (i = 0; i < count && i < COUNT; i++)
		if (got[i] && got[i] != MACH_PORT_DEAD)
			type("it is", got[i]);
}

/* Sends COUNT names at NAMES as DISPOSITION to A with the descriptor FIRST, and shows what arrives. */
static mach_msg_return_t try_as(const char *what, u32 first, u32 disposition, u32 count, u32 address)
{
	mach_msg_return_t r;
	u32 words = first & MIG_LONGFORM ? 4 : 2;

	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, a, 0, 1);
	if (words == 4)
		m.w[0] = first, m.w[1] = MIG_LONG_NAME(disposition, 32), m.w[2] = count, m.w[3] = address;
	else
		m.w[0] = first | MIG_SHORT(disposition, 32, count, 0, 0), m.w[1] = address;
	r = show(what, give(24 + 4 * words));
	if (r || show("  received", receive(a)))
		return r;
	say("  bits %x %x", m.h.msgh_bits, m.w[0]);
	if (words == 4)
		say(" %x %x", m.w[1], m.w[2]);
	say(" offset %u", m.w[words - 1] & (PAGE_SIZE - 1)), names_of(m.w[words - 1], count);
	return r;
}

static mach_msg_return_t try(const char *what, u32 disposition, u32 count)
{
	return try_as(what, 0, disposition, count, page);
}

static void put(mach_port_t n0, mach_port_t n1, mach_port_t n2, mach_port_t n3)
{
	names[0] = n0, names[1] = n1, names[2] = n2, names[3] = n3;
}

static mach_port_t dead_name(void)
{
	mach_port_t p = send_port();

	drop(p, MACH_PORT_RIGHT_RECEIVE);
	return p;
}

static void dispositions(void)
{
	mach_port_t p, q;
	u32 d;

	for (d = MACH_MSG_TYPE_MOVE_RECEIVE; d <= MACH_MSG_TYPE_MAKE_SEND_ONCE; d++) {
		say("-- disposition %d\n", d), forget_names();
		p = send_port(), q = send_port();
		if (d == MACH_MSG_TYPE_MOVE_SEND_ONCE) {
			mach_port_insert_right(self, 700, p, MACH_MSG_TYPE_MAKE_SEND_ONCE), mach_port_insert_right(self, 701, q, MACH_MSG_TYPE_MAKE_SEND_ONCE);
			put(700, MACH_PORT_NULL, MACH_PORT_DEAD, 701);
		} else
			put(p, MACH_PORT_NULL, MACH_PORT_DEAD, q);
		try("right, null, dead, right", d, 4);
		type("p", p), type("q", q), type("700", 700);
		p = send_port(), put(p, p, 0, 0), try("one name twice", d, 2), type("p", p);
		p = send_port(), put(p, 9999, p, 0), try("right, no name, right", d, 3), type("p", p), status("p", p);
		p = dead_name(), put(p, 0, 0, 0), try("a dead name", d, 1), type("p", p);
		put(set, 0, 0, 0), try("a set", d, 1);
		p = port(), put(p, 0, 0, 0), try("a receive right alone", d, 1), type("p", p);
		put(self, 0, 0, 0), q = mach_task_self(), q = mach_task_self(), try("a send right alone", d, 1);
	}
	say("-- disposition 15\n"), put(5, 0, 0, 0), forget_names(), try("a name", MACH_MSG_TYPE_PORT_NAME, 1), say("  %u\n", *(u32 *) m.w[1]);
	say("-- disposition 22\n"), try("a name", 22, 1), say("  %u\n", *(u32 *) m.w[1]);
}

static void places(void)
{
	mach_port_t p = send_port();
	u32 i, r;

	say("-- where the array lies\n"), forget_names();
	put(p, p, p, p);
	try_as("not at a page's begin", 0, MACH_MSG_TYPE_COPY_SEND, 2, page + 4);
	try_as("not at a word", 0, MACH_MSG_TYPE_COPY_SEND, 1, page + 2), put(p, p, p, p);
	try_as("across two pages", 0, MACH_MSG_TYPE_COPY_SEND, 2, (names[PAGE_SIZE / 4 - 1] = names[PAGE_SIZE / 4] = p, page + PAGE_SIZE - 4));
	try_as("nowhere", 0, MACH_MSG_TYPE_COPY_SEND, 2, 0x60000000);
	try_as("half of it nowhere", 0, MACH_MSG_TYPE_COPY_SEND, 2, page + ROOM - 4);
	try_as("none, nowhere", 0, MACH_MSG_TYPE_COPY_SEND, 0, 0x60000000);
	try_as("long, two", MIG_LONGFORM, MACH_MSG_TYPE_COPY_SEND, 2, page);
	try_as("long, none", MIG_LONGFORM, MACH_MSG_TYPE_COPY_SEND, 0, page);
	try_as("long, none, nowhere, deallocated", MIG_LONGFORM | MIG_DEALLOCATE, MACH_MSG_TYPE_COPY_SEND, 0, 0x60000000);
	try_as("deallocated", MIG_DEALLOCATE, MACH_MSG_TYPE_COPY_SEND, 2, page + ROOM - PAGE_SIZE), type("p", p);
	for (i = 0; i < 1024; i++)
		((mach_port_t *) (page + ROOM - 2 * PAGE_SIZE))[i] = 0;
	try_as("nulls, deallocated", MIG_DEALLOCATE, MACH_MSG_TYPE_MOVE_RECEIVE, 3, page + ROOM - 2 * PAGE_SIZE);
	try_as("they are gone", 0, MACH_MSG_TYPE_COPY_SEND, 2, page + ROOM - 2 * PAGE_SIZE);
	((mach_port_t *) (page + ROOM - 3 * PAGE_SIZE))[0] = 9999;
	try_as("no name, deallocated", MIG_DEALLOCATE, MACH_MSG_TYPE_COPY_SEND, 1, page + ROOM - 3 * PAGE_SIZE);
	try_as("it is gone", 0, MACH_MSG_TYPE_COPY_SEND, 1, page + ROOM - 3 * PAGE_SIZE);
	say("-- counts\n");
	for (i = 0; i < 0x13000; i++)
		names[i] = p;
	for (i = 1; i <= 0x10000; i *= 16) {
		say("%u", i), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, a, 0, 1);
		m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = i, m.w[3] = page;
		show(" send", give(40)), show("  receive", receive(a)), type("p", p);
		if (!vm_deallocate(self, m.w[3], i * 4))
			mach_port_mod_refs(self, p, MACH_PORT_RIGHT_SEND, -i);
	}
	type("p", p), mach_port_destroy(self, p);
	for (i = 0; i < 3000; i++)
		names[i] = port();
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, a, 0, 1), m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32), m.w[2] = 3000, m.w[3] = page;
	show("3000 send-once rights", give(40)), show("  receive", receive(a));
	for (i = r = 0; i < 3000; i++)
		r += ((mach_port_t *) m.w[3])[i] != 0 && ((mach_port_t *) m.w[3])[i] != names[i];
	say("  new names %u\n", r);
	for (i = 0; i < 3000; i++)
		mach_port_deallocate(self, ((mach_port_t *) m.w[3])[i]), mach_port_destroy(self, names[i]);
	p = dead_name(), names[0] = p, names[2999] = 9999, fill(&m, MACH_MSGH_BITS_COMPLEX | CS, a, 0, 1), m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = 3000, m.w[3] = page;
	show("3000 names that are none", give(40));
}

static void deaths(void)
{
	mach_port_t p = send_port(), q = send_port(), b = send_port(), n = port(), old;

	say("-- what becomes of rights under way\n"), forget_names();
	put(p, q, 0, 0), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, b, 0, 1), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 2, 0, 0), m.w[1] = page;
	show("send two receive rights", give(32)), type("p", p), type("q", q), show("send to one", send(p, 9));
	show("the destination dies", drop(b, MACH_PORT_RIGHT_RECEIVE)), type("p", p), type("q", q);
	b = send_port(), p = send_port(), put(p, b, 0, 0), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, b, 0, 1), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 2, 0, 0), m.w[1] = page;
	show("the destination's own receive right", give(32)), type("b", b), type("p", p);
	b = send_port(), p = send_port(), put(b, 0, 0, 0), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, p, 0, 1), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 0, 0), m.w[1] = page;
	show("b in a message to p", give(32)), put(p, 0, 0, 0), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, b, 0, 1), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 0, 0), m.w[1] = page;
	show("p in a message to b", give(32)), type("b", b), type("p", p);
	p = send_port(), put(p, 0, 0, 0), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, a, 0, 1), m.w[0] = item(MACH_MSG_TYPE_COPY_SEND, 32, 1, 0, 0), m.w[1] = page;
	show("a send right under way", give(32)), drop(p, MACH_PORT_RIGHT_RECEIVE), show("whose port dies", receive(a)), names_of(m.w[1], 1);
	p = port(), ask(p, MACH_NOTIFY_NO_SENDERS, 1, n, &old), put(p, p, 0, 0), b = send_port();
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, b, 0, 1), m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND, 32, 2, 0, 0), m.w[1] = page, show("two made send rights", give(32));
	show("the destination dies", drop(b, MACH_PORT_RIGHT_RECEIVE)), take("no senders", n);
	b = send_port(), put(n, n, n, 0), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, b, 0, 1), m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 3, 0, 0), m.w[1] = page, show("three send-once rights", give(32));
	show("the destination dies", drop(b, MACH_PORT_RIGHT_RECEIVE)), take_all("notification", n);
	b = send_port(), put(n, n, 9999, n), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, b, 0, 1), m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 4, 0, 0), m.w[1] = page, show("two send-once rights and no name", give(32));
	take_all("notification", n);
	put(n, 0, 0, 0), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, b, 0, 1), m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 1, 0, 0), m.w[1] = page, m.w[2] = item(2, 32, 1, 1, 1), m.w[3] = 0, show("a send-once right, then a wrong item", give(40));
	take_all("notification", n);
	put(n, 0, 0, 0), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, b, 0, 1), m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 1, 0, 0), m.w[1] = page;
	show("received in too little room", give(32)), show("receive", mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 24, b, 0, 0)), take_all("notification", n);
}

static void another_task(void)
{
	task_t child;
	mach_port_t there = 0, p = send_port(), b;
	mach_msg_type_name_t got;
	vm_address_t far = 0;
	mach_port_type_t t;

	say("-- to another task\n"), forget_names();
	task_create(self, FALSE, &child);
	mach_port_allocate_name(child, MACH_PORT_RIGHT_RECEIVE, 50), mach_port_extract_right(child, 50, MACH_MSG_TYPE_MAKE_SEND, &there, &got);
	put(p, 0, p, 0), fill(&m, MACH_MSGH_BITS_COMPLEX | MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0), there, 0, 60), m.w[0] = item(MACH_MSG_TYPE_COPY_SEND, 32, 3, 0, 0), m.w[1] = page;
	show("send", give(32)), show("its receive right comes here", mach_port_extract_right(child, 50, MACH_MSG_TYPE_MOVE_RECEIVE, &b, &got));
	say("  the same name %d\n", b == there), show("receive", receive(b)), names_of(m.w[1], 3);
	show("a right of ours there", mach_port_insert_right(child, 51, p, MACH_MSG_TYPE_COPY_SEND));
	show("ours as its registered ports", mach_ports_register(child, names, 3));
	{
		mach_port_array_t list = 0;
		mach_msg_type_number_t n = 0;
		task_t grandchild;

		show("look them up", mach_ports_lookup(child, &list, &n)), say("  %u:", n), names_of((u32) list, n);
		show("child of the child", task_create(child, FALSE, &grandchild));
		show("look them up", mach_ports_lookup(grandchild, &list, &n)), say("  %u:", n), names_of((u32) list, n);
		drop(p, MACH_PORT_RIGHT_RECEIVE);
		show("the port died", mach_ports_lookup(grandchild, &list, &n)), say("  %u:", n), names_of((u32) list, n);
		show("terminate", task_terminate(child)), show("look them up", mach_ports_lookup(child, &list, &n)), show("register", mach_ports_register(child, names, 1));
	}
}

/* mach_ports_register by hand: COUNT words of a body, and the answer. */
static void call(const char *what, u32 bits, u32 count)
{
	mach_port_t reply = mach_reply_port();

	fill(&m, bits | RPC, self, reply, 2033);
	say("%s -> %x", what, mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24 + 4 * count, sizeof m, reply, 0, 0));
	say(" id %d size %u code %x\n", m.h.msgh_id, m.h.msgh_size, m.w[1]);
	mach_port_destroy(self, reply);
}

static void registered(const char *what)
{
	mach_port_array_t list = 0;
	mach_msg_type_number_t n = 0;

	show(what, mach_ports_lookup(self, &list, &n)), say("  %u:", n), names_of((u32) list, n);
}

static void the_kernel(void)
{
	mach_port_t p = send_port(), q = send_port(), n = port(), old;
	u32 d;

	say("-- to the kernel\n"), forget_names();
	put(p, 0, MACH_PORT_DEAD, q);
	registered("at first");
	show("four", mach_ports_register(self, names, 4)), registered("look up"), type("p", p);
	show("five", mach_ports_register(self, names, 5)), registered("look up");
	show("none", mach_ports_register(self, names, 0)), registered("look up");
	names[0] = 9999, show("no name", mach_ports_register(self, names, 1)), names[0] = p;
	names[0] = set, show("a set", mach_ports_register(self, names, 1)), names[0] = p;
	names[0] = dead_name(), show("a dead name", mach_ports_register(self, names, 1)), registered("look up"), names[0] = p;
	for (d = MACH_MSG_TYPE_PORT_NAME; d <= 22; d++) {
		mach_port_t r = send_port();

		names[0] = r, say("disposition %d\n", d);
		m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(d, 32), m.w[2] = 1, m.w[3] = page, call("  long", MACH_MSGH_BITS_COMPLEX, 4);
		type("the right", r);
	}
	names[0] = p;
	m.w[0] = item(MACH_MSG_TYPE_COPY_SEND, 32, 2, 0, 0), m.w[1] = page, call("short", MACH_MSGH_BITS_COMPLEX, 2), registered("look up");
	m.w[0] = item(MACH_MSG_TYPE_COPY_SEND, 32, 1, 1, 0), m.w[1] = p, call("short, in line", MACH_MSGH_BITS_COMPLEX, 2);
	m.w[0] = MIG_LONG(1, 0), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = 1, m.w[3] = p, call("long, in line", MACH_MSGH_BITS_COMPLEX, 4);
	m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = 1, m.w[3] = page, call("not complex", 0, 4);
	m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(2, 32), m.w[2] = 1, m.w[3] = page, call("words", MACH_MSGH_BITS_COMPLEX, 4);
	m.w[0] = MIG_LONG(0, 1), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = 1, m.w[3] = page + 0x30000, *(u32 *) m.w[3] = p, call("deallocated", MACH_MSGH_BITS_COMPLEX, 4), registered("look up");
	m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = 1, m.w[3] = page, m.w[4] = MIG_INLINE, call("a word too many", MACH_MSGH_BITS_COMPLEX, 5);
	call("nothing", 0, 0);
	m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = 0, m.w[3] = 0x60000000, call("none, nowhere", MACH_MSGH_BITS_COMPLEX, 4), registered("look up");
	say("-- the kernel lets go\n");
	p = port(), ask(p, MACH_NOTIFY_NO_SENDERS, 1, n, &old), mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND), names[0] = p;
	show("register", mach_ports_register(self, names, 1)), drop(p, MACH_PORT_RIGHT_SEND), take("it holds one", n);
	show("register none", mach_ports_register(self, names, 0)), take("it holds none", n);
}

int guest_main(void)
{
	self = mach_task_self();
	a = send_port(), set = port_set();
	vm_allocate(self, &page, ROOM + PAGE_SIZE, TRUE), vm_deallocate(self, page + ROOM, PAGE_SIZE);
	names = (void *) page;
	dispositions();
	places();
	deaths();
	another_task();
	the_kernel();
	return 0;
}
