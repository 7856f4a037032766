/*
 * The messages of messages.c from one task to another, and the waiting senders of sendtimeouts.c. Every block is of one of the two tasks;
 * they take turns (turns.h).
 */
#include "turns.h"

#define TEXT "the quick brown fox jumps over the lazy dog"
#define REPLY(right) MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_##right)
/* Messages that a queue takes at first; more than any queue takes. */
#define LIMIT 5
#define MANY 100

static mach_port_t c, d, n, set, answers;
static mach_msg_return_t result;
static u32 went;

/* One right in a message to P. */
static mach_msg_return_t give_right(const char *what, mach_port_t p, u32 disposition, mach_port_t right, u32 id)
{
	head(COMPLEX | CS, p, 0, id), m.w[0] = SHORT(disposition, 32, 1), m.w[1] = right;
	return put(what, 32);
}

static mach_port_t take_right(const char *what, mach_port_t from)
{
	if (get(what, from))
		return 0;
	body();
	return got[0];
}

static void plain(void)
{
	section("plain");
	SENDER
		head(CS, a, 0, 100), put("send", 24);
	RECEIVER
		get("receive", a);
	SENDER
		head(REPLY(MAKE_SEND_ONCE), a, b, 101), put("send with reply", 24);
	RECEIVER {
		get("receive", a), c = m.h.msgh_remote_port, type("reply right", c);
		head(ONCE, c, 0, 102), m.w[0] = 9, put("reply", 28), type("reply right", c);
	}
	SENDER {
		get("receive reply", b), say("  word as it was %d\n", m.w[0] == 9);
		head(REPLY(MAKE_SEND), a, b, 103), put("send with a send right", 24);
	}
	RECEIVER {
		get("receive", a), c = m.h.msgh_remote_port, say("  known %d\n", c == b), type("reply right", c);
		head(CS, c, 0, 104), put("reply", 24);
		head(MACH_MSGH_BITS(MOVE(SEND), 0), c, 0, 105), put("reply", 24), type("reply right", c);
	}
	SENDER
		get("receive reply", b), get("receive reply", b);
	RECEIVER
		get("receive nothing", a);
}

static void bad_sends(void)
{
	section("bad sends");
	SENDER {
		mach_port_t own = port();

		head(CS, 0, 0, 1), put("to null", 24);
		head(CS, ~0, 0, 1), put("to dead", 24);
		head(CS, 99999, 0, 1), put("to no name", 24);
		head(CS, own, 0, 1), put("to a receive right only", 24), mach_port_destroy(self, own);
		head(MACH_MSGH_BITS(MOVE(RECEIVE), 0), a, 0, 1), put("destination disposition receive", 24);
		head(0, a, 0, 1), put("destination disposition 0", 24);
		head(MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0), a, 0, 1), put("destination disposition make-send", 24);
		head(CS, a, b, 1), put("local port without disposition", 24);
		head(REPLY(MAKE_SEND), a, 99999, 1), put("reply port is no name", 24);
		head(CS, a, 0, 1), put("20 bytes", 20), put("25 bytes", 25);
		tell("null buffer", mach_msg(0, MACH_SEND_MSG, 24, 0, 0, 0, 0));
		type("a", a);
	}
	RECEIVER
		get("receive nothing", a);
}

/* Sends messages with ids from ID on until no more go. */
static void fill_up(mach_port_t p, u32 id)
{
	for (went = 0; went < MANY; went++) {
		head(CS, p, 0, id + went);
		if (result = mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, 24, 0, 0, WAIT, 0))
			break;
	}
	pending = went;
	say("%s went -> %x bits %x to the port %d id is next %d\n", went == LIMIT ? "5" : "more than 5", result, m.h.msgh_bits, m.h.msgh_remote_port == p, m.h.msgh_id == id + went);
}

/* Receives all that was sent: MORE than the sender said with its turn. */
static void drain(mach_port_t p, u32 more)
{
	u32 count = 0, wanted = came + more, first = 0, ordered = 1, seqno = 0;

	for (;; count++) {
		fill(&m, 0, 0, 0, 0);
		result = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, p, WAIT, 0);
		if (result)
			break;
		if (!count)
			first = m.h.msgh_id, seqno = m.h.msgh_seqno;
		ordered &= m.h.msgh_id == first + count && m.h.msgh_seqno == seqno + count && m.h.msgh_size == 24;
	}
	say("all came %d from id %u on, in order %d -> %x\n", count == wanted, first, ordered, result);
	mach_port_set_seqno(self, p, 0);
}

/* The receiver makes a spare port and gives a right to it. */
static void new_spare(void)
{
	RECEIVER {
		spare = port(), head(COMPLEX | CS, b, 0, 1), m.w[0] = SHORT(MACH_MSG_TYPE_MAKE_SEND, 32, 1), m.w[1] = spare;
		give(32);
	}
	SENDER {
		mach_msg(&m.h, MACH_RCV_MSG, 0, sizeof m, b, 0, 0), spare = m.w[1];
		mach_port_set_seqno(self, b, 0);
	}
}

static void full_queues(void)
{
	section("queue limit");
	SENDER
		fill_up(a, 200);
	RECEIVER
		status("a", a), drain(a, 0);
	section("notified when there is room");
	SENDER {
		fill_up(a, 300), head(CS, a, 0, 300 + went);
		tell("send", mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_NOTIFY | MACH_SEND_TIMEOUT, 24, 0, 0, WAIT, b)), type("a", a);
		head(CS, a, 0, 300 + went);
		tell("send", mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_NOTIFY | MACH_SEND_TIMEOUT, 24, 0, 0, WAIT, b)), type("a", a);
		get("receive nothing", b);
	}
	RECEIVER
		drain(a, 1);
	SENDER
		get("accepted", b), say("  name %d\n", m.w[1] == a), type("a", a), get("receive nothing", b);
	section("waits until there is room");
	SENDER
		fill_up(a, 400), head(CS, a, 0, 400 + went);
	RECEIVER
		settle(), drain(a, 1);
	else
		result = mach_msg(&m.h, MACH_SEND_MSG, 24, 0, 0, 0, 0);
	SENDER
		tell("waited", result);
	section("rights come back");
	SENDER {
		fill_up(a, 500), n = send_port();
		head(COMPLEX | MACH_MSGH_BITS(MOVE(SEND), MACH_MSG_TYPE_MAKE_SEND_ONCE), a, n, 590), m.w[0] = SHORT(MOVE(SEND), 32, 1), m.w[1] = n;
		tell("send", mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, 32, 0, 0, WAIT, 0));
		say("  bits %x to the port %d reply %d the right %d\n", m.h.msgh_bits, m.h.msgh_remote_port == a, m.h.msgh_local_port != n, m.w[1] == n);
		type("a", a), type("n", n), type("the reply right", m.h.msgh_local_port);
		mach_port_deallocate(self, m.h.msgh_local_port), get("its notification", n), mach_port_destroy(self, n);
	}
	RECEIVER
		drain(a, 0);
	section("rights wait with their messages");
	SENDER {
		for (went = 0; went < MANY; went++) {
			head(COMPLEX | CS, a, 0, 595), m.w[0] = SHORT(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 1), m.w[1] = b;
			if (result = mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, 32, 0, 0, WAIT, 0))
				break;
		}
		say("%s went -> %x\n", went == LIMIT ? "5" : "more than 5", result), mach_port_deallocate(self, m.w[1]), get("the last one's right", b);
	}
	RECEIVER
		for (went = 0; !mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, a, WAIT, 0); went++)
			mach_port_deallocate(self, m.w[1]);
	SENDER {
		for (n = 0; !mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, b, WAIT, 0); n++)
			result = m.h.msgh_id;
		say("as many are spent %d id %d\n", n == went, result);
	}
	section("the last send right goes while messages wait");
	SENDER
		fill_up(spare, 600), tell("destroy", mach_port_destroy(self, spare));
	RECEIVER
		settle(), drain(spare, 0), status("spare", spare), mach_port_destroy(self, spare);
	new_spare();
	section("the port dies while a sender waits");
	SENDER
		fill_up(spare, 600), head(REPLY(MAKE_SEND_ONCE), spare, b, 690);
	RECEIVER
		settle(), drop(spare, MACH_PORT_RIGHT_RECEIVE), settle();
	else
		result = mach_msg(&m.h, MACH_SEND_MSG, 24, 0, 0, 0, 0);
	SENDER
		tell("waited", result), type("spare", spare), get("the reply right is spent", b), get("receive nothing", b), mach_port_deallocate(self, spare);
}

static void receiving(void)
{
	section("receiving");
	new_spare();
	RECEIVER
		get("receive from no name", 99999), get("receive from null", 0);
	SENDER
		head(CS, a, 0, 300), memset(m.w, 0, 40), put("send 64", 64);
	RECEIVER
		get_in("receive large in 40", a, MACH_RCV_LARGE, 40), get_in("receive in 40", a, 0, 40), get("receive again", a);
	SENDER
		head(CS, a, 0, 301), put("send", 24), head(CS, spare, 0, 302), put("send", 24);
	RECEIVER {
		settle(), tell("allocate set", mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &set));
		tell("member", mach_port_move_member(self, a, set)), tell("member", mach_port_move_member(self, spare, set));
		get("receive from a member", a), get("receive from the set", set), get("receive from the set", set), get("receive from the set", set);
		mach_port_move_member(self, a, 0), mach_port_move_member(self, spare, 0), mach_port_destroy(self, set);
	}
	SENDER
		head(COMPLEX | CS, a, 0, 303), m.w[0] = SHORT(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 1), m.w[1] = b, put("send a right", 32);
	RECEIVER
		get_in("receive in 24", a, 0, 24);
	SENDER
		get("the right is spent", b);
}

/* A right for a port that is known here under the name KNOWN. */
static void take_known(const char *what, mach_port_t from, mach_port_t known)
{
	mach_port_t name = take_right(what, from);

	say("  same name %d\n", name == known);
}

static void rights(void)
{
	section("send rights");
	SENDER {
		c = send_port(), head(COMPLEX | CS, a, 0, 400);
		m.w[0] = SHORT(MACH_MSG_TYPE_COPY_SEND, 32, 2), m.w[1] = c, m.w[2] = 0, put("copy-send and null", 36), status("c", c), type("c", c);
	}
	RECEIVER {
		c = take_right("receive", a);
		head(CS, c, 0, 450), put("use it", 24);
	}
	SENDER {
		get("receive", c), head(COMPLEX | CS, a, 0, 401);
		m.w[0] = SHORT(MACH_MSG_TYPE_MAKE_SEND, 32, 2), m.w[1] = m.w[2] = c, put("make-send twice", 36), type("c", c), status("c", c);
	}
	RECEIVER
		take_known("receive", a, c);
	SENDER
		give_right("move-send", a, MOVE(SEND), c, 402), type("c", c), status("c", c);
	RECEIVER {
		take_known("receive", a, c);
		give_right("it comes home", b, MACH_MSG_TYPE_COPY_SEND, c, 451);
	}
	SENDER {
		take_known("receive", b, c);
		give_right("the receiver's own", a, MACH_MSG_TYPE_COPY_SEND, a, 403);
	}
	RECEIVER
		take_known("receive", a, a), drop(a, MACH_PORT_RIGHT_SEND);
	SENDER
		n = send_port(), drop(n, MACH_PORT_RIGHT_RECEIVE), give_right("a dead name", a, MACH_MSG_TYPE_COPY_SEND, n, 404), type("it", n), mach_port_deallocate(self, n);
	RECEIVER
		take_right("receive", a);
	SENDER
		give_right("dead", a, MACH_MSG_TYPE_COPY_SEND, ~0, 405);
	RECEIVER
		take_right("receive", a);
	SENDER {
		n = send_port(), give_right("whose port dies under way", a, MACH_MSG_TYPE_MAKE_SEND, n, 406);
		drop(n, MACH_PORT_RIGHT_RECEIVE), mach_port_deallocate(self, n), settle();
	}
	RECEIVER
		take_right("receive", a), let_go();
	section("send-once rights");
	SENDER
		give_right("make-send-once", a, MACH_MSG_TYPE_MAKE_SEND_ONCE, c, 410), status("c", c);
	RECEIVER
		n = take_right("receive", a), head(ONCE, n, 0, 452), put("use send-once", 24), type("it", n);
	SENDER
		get("receive", c), get("and no more", c), mach_port_insert_right(self, 9000, c, MACH_MSG_TYPE_MAKE_SEND_ONCE), give_right("move-send-once", a, MOVE(SEND_ONCE), 9000, 411), type("it", 9000);
	RECEIVER
		n = take_right("receive", a), tell("deallocate send-once", mach_port_deallocate(self, n));
	SENDER
		get("send-once notification", c), give_right("make-send-once", a, MACH_MSG_TYPE_MAKE_SEND_ONCE, c, 412);
	RECEIVER
		n = take_right("receive", a), give_right("it comes home", b, MOVE(SEND_ONCE), n, 453), type("it", n);
	SENDER
		n = take_right("receive", b), head(ONCE, n, 0, 413), put("use it", 24), get("receive", c), status("c", c);
}

static void receive_rights(void)
{
	section("receive rights");
	SENDER {
		mach_port_set_qlimit(self, c, 9), give_right("move-receive", a, MOVE(RECEIVE), c, 420), type("in transit", c);
		head(CS, c, 0, 421), put("send to it", 24);
	}
	RECEIVER {
		n = c, c = take_right("receive", a), settle(), status("it", c), forget_names(), get("receive", c);
		head(CS, n, 0, 429), put("through the right from before", 24), get("receive", c);
		give_right("it comes home", b, MOVE(RECEIVE), c, 454), type("in transit", c);
	}
	SENDER {
		d = take_right("receive", b), say("  same name %d\n", d == c), type("it", d), status("it", d);
		head(CS, c, 0, 422), put("send to it", 24), get("receive", d), mach_port_destroy(self, c);
		if (d != c)
			mach_port_destroy(self, d);
	}
	section("a receive right and its queue");
	SENDER {
		d = send_port(), head(CS, d, 0, 423), put("queued", 24), head(REPLY(MAKE_SEND_ONCE), d, b, 424), put("queued", 24);
		head(COMPLEX | CS, d, 0, 425), m.w[0] = SHORT(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 1), m.w[1] = b, put("queued", 32);
		give_right("move-receive with its queue", a, MOVE(RECEIVE), d, 426), type("in transit", d);
		settle(), head(CS, d, 0, 427), put("send to it", 24);
	}
	RECEIVER {
		d = take_right("receive", a), settle(), status("it", d), get("receive", d), get("receive", d), n = m.h.msgh_remote_port;
		head(ONCE, n, 0, 455), put("reply", 24), n = take_right("receive", d), head(ONCE, n, 0, 456), put("use it", 24), get("receive", d);
		get("and no more", d), tell("it dies", drop(d, MACH_PORT_RIGHT_RECEIVE));
	}
	SENDER {
		get("receive reply", b), get("receive", b), settle(), type("d", d), mach_port_deallocate(self, d);
		give_right("to which nobody has a right", a, MOVE(RECEIVE), port(), 428);
	}
	RECEIVER
		d = take_right("receive", a), settle(), status("it", d), mach_port_insert_right(self, d, d, MACH_MSG_TYPE_MAKE_SEND), type("it", d), mach_port_destroy(self, d);
	section("no rights");
	SENDER {
		give_right("a right that is not", a, MACH_MSG_TYPE_COPY_SEND, 88888, 430);
		head(COMPLEX | CS, a, 0, 431), m.w[0] = SHORT(MACH_MSG_TYPE_COPY_SEND, 16, 1), m.w[1] = a, put("a right of 16 bits", 32);
		head(COMPLEX | CS, a, 0, 432), m.w[0] = SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 9), put("an item longer than the message", 32);
		head(CS, a, 0, 433), m.w[0] = SHORT(MOVE(RECEIVE), 32, 1), m.w[1] = 1234, put("a right in a simple message", 32);
	}
	RECEIVER
		get("receive", a), say("  word %u\n", m.w[1]);
}

static void memory(void)
{
	vm_address_t at = 0;
	u32 *p, i, sum;

	section("memory");
	SENDER {
		vm_allocate(self, &at, 2 * PAGE_SIZE, TRUE), page = at, p = (u32 *) page;
		p[0] = 0x11223344, p[1024] = p[PAGE_SIZE / 4] = 0x55667788;
		head(COMPLEX | CS, a, 0, 500), m.w[0] = OUT(2, 32, 2048), m.w[1] = page, put("out of line", 32), p[0] = 1;
	}
	RECEIVER
		get("receive", a), p = (u32 *) m.w[1], say("  words %x %x\n", p[0], p[1024]), p[1] = 7, body();
	SENDER {
		p = (u32 *) page, say("  sender's word %x\n", p[1]), memcpy((char *) page + PAGE_SIZE - 50, TEXT TEXT TEXT, 100);
		head(COMPLEX | CS, a, 0, 501), m.w[0] = MIG_SHORT(MACH_MSG_TYPE_CHAR, 8, 100, 0, 1), m.w[1] = page + PAGE_SIZE - 50;
		put("out of line, deallocated", 32), say("  sender's page: %x\n", vm_write(self, page, page, 4));
	}
	RECEIVER
		get("receive", a), say("  before the page's end %u\n", -m.w[1] & PAGE_SIZE - 1), body();
	SENDER {
		head(COMPLEX | CS, a, 0, 502), m.w[0] = OUT(MACH_MSG_TYPE_CHAR, 8, 100), m.w[1] = 0x70000000, put("out of line from nowhere", 32);
		head(COMPLEX | CS, a, 0, 503), m.w[0] = OUT(MACH_MSG_TYPE_CHAR, 8, 0), m.w[1] = 0, put("out of line of nothing", 32);
	}
	RECEIVER
		get("receive", a), say("  at %x\n", m.w[1]), get("receive nothing", a);
	SENDER {
		vm_allocate(self, &page, ROOM, TRUE);
		for (i = 0; i < ROOM / 4; i++)
			((u32 *) page)[i] = i * i;
		head(COMPLEX | CS, a, 0, 504), m.w[0] = LONG_OUT, m.w[1] = WIDE(2, 32), m.w[2] = ROOM / 4, m.w[3] = page, put("16 pages", 40);
	}
	RECEIVER {
		get("receive", a);
		for (i = sum = 0; i < ROOM / 4; i++)
			sum += ((u32 *) m.w[3])[i] == i * i;
		say("  words as they were %u\n", sum), body();
	}
}

/* The receiver gets a send-once right to the sender's b, which requests of its own will use. */
static void lend(void)
{
	SENDER {
		head(COMPLEX | CS, a, 0, 1), m.w[0] = SHORT(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 1), m.w[1] = b;
		give(32);
	}
	RECEIVER
		mach_msg(&m.h, MACH_RCV_MSG, 0, sizeof m, a, 0, 0), mach_port_set_seqno(self, a, 0), n = m.w[1], c = port();
}

static kern_return_t request(mach_port_t name, int id, mach_port_t notify)
{
	mach_port_t old;

	return mach_port_request_notification(self, name, id, 0, notify, MOVE(SEND_ONCE), &old);
}

static void notifications(void)
{
	mach_port_t old;

	section("dead names");
	SENDER {
		tell("request dead-name", ask(spare, MACH_NOTIFY_DEAD_NAME, 0, b, &old)), say("  previous %n\n", old), type("spare", spare);
		tell("request dead-name of no name", ask(77777, MACH_NOTIFY_DEAD_NAME, 0, b, &old)), tell("request 999", ask(spare, 999, 0, b, &old)), get("a spent right", b), get("a spent right", b);
	}
	RECEIVER
		tell("destroy receive", drop(spare, MACH_PORT_RIGHT_RECEIVE));
	SENDER {
		get("dead-name notification", b), say("  name %d\n", m.w[1] == spare), type("spare", spare);
		tell("request on a dead name, sync 1", ask(spare, MACH_NOTIFY_DEAD_NAME, 1, b, &old)), get("at once", b), type("spare", spare);
		head(CS, spare, 0, 700), put("send to a dead port", 24), mach_port_destroy(self, spare);
	}
	section("no senders");
	new_spare();
	RECEIVER
		n = port(), tell("request no-senders sync 1", ask(spare, MACH_NOTIFY_NO_SENDERS, 1, n, &old)), get("not yet", n), status("spare", spare);
	SENDER
		tell("deallocate send", mach_port_deallocate(self, spare));
	RECEIVER
		get("no-senders", n), say("  count %u\n", m.w[1]), settle(), status("spare", spare), mach_port_destroy(self, n), mach_port_destroy(self, spare);
	section("to the other task");
	lend();
	RECEIVER
		mach_port_insert_right(self, c, c, MACH_MSG_TYPE_MAKE_SEND), tell("request dead-name", request(c, MACH_NOTIFY_DEAD_NAME, n)), tell("destroy receive", drop(c, MACH_PORT_RIGHT_RECEIVE)), pending = c;
	SENDER
		get("dead-name notification", b), say("  name %d\n", m.w[1] == came);
	lend();
	RECEIVER
		tell("request no-senders sync 0", request(c, MACH_NOTIFY_NO_SENDERS, n));
	SENDER
		get("at once?", b), body();
	lend();
	RECEIVER {
		send(c, 0), mach_port_insert_right(self, c, c, MACH_MSG_TYPE_MAKE_SEND), send(c, 457), drop(c, MACH_PORT_RIGHT_SEND);
		tell("request port-destroyed", request(c, MACH_NOTIFY_PORT_DESTROYED, n)), tell("destroy receive", drop(c, MACH_PORT_RIGHT_RECEIVE));
	}
	SENDER
		n = take_right("port-destroyed", b), get("receive from it", n), let_go();
	lend();
	RECEIVER
		tell("request dead-name", request(spare = send_port(), MACH_NOTIFY_DEAD_NAME, n)), tell("the name goes", mach_port_deallocate(self, spare)), pending = spare, mach_port_destroy(self, spare);
	SENDER
		get("the request's right", b), get("receive nothing", b);
}

static void dead_destinations(void)
{
	section("dead destinations");
	new_spare();
	SENDER
		head(REPLY(MAKE_SEND_ONCE), spare, b, 701), put("send", 24);
	RECEIVER
		settle(), tell("destroy with a message queued", drop(spare, MACH_PORT_RIGHT_RECEIVE));
	SENDER
		get("the reply right is spent", b), settle(), type("spare", spare), mach_port_deallocate(self, spare);
	new_spare();
	SENDER {
		vm_address_t at = 0;

		vm_allocate(self, &at, PAGE_SIZE, TRUE), c = send_port(), head(COMPLEX | CS, spare, 0, 702), m.w[0] = SHORT(MOVE(RECEIVE), 32, 1), m.w[1] = c;
		m.w[2] = SHORT(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 1), m.w[3] = b, m.w[4] = MIG_SHORT(8, 8, 100, 0, 1), m.w[5] = at, put("rights and memory", 48);
	}
	RECEIVER
		settle(), tell("destroy with a message queued", drop(spare, MACH_PORT_RIGHT_RECEIVE));
	SENDER
		get("the right is spent", b), settle(), type("the port", c), type("spare", spare), mach_port_destroy(self, c), mach_port_destroy(self, spare);
}

/* A task's port is the kernel's: what is sent to it from wherever are calls. */
static void kernel_ports(void)
{
	pointer_t data = 0;
	mach_msg_type_number_t count = 0;
	mach_port_type_t t = 0;
	mach_port_status_t s;

	section("the kernel's ports");
	SENDER {
		c = send_port(), mach_port_set_qlimit(self, c, 7), memcpy((void *) page, TEXT, sizeof TEXT);
		give_right("its task", a, MACH_MSG_TYPE_COPY_SEND, self, 710), pending = c;
	}
	RECEIVER {
		n = came, d = take_right("receive", a), tell("type", mach_port_type(d, n, &t)), say("  %x\n", t);
		tell("status", mach_port_get_receive_status(d, n, &s)), say("  qlimit %u mscount %u\n", s.mps_qlimit, s.mps_mscount);
		tell("extract", mach_port_extract_right(d, n, MACH_MSG_TYPE_COPY_SEND, &c, &t)), say("  as %u\n", t), type("it", c);
		tell("insert", mach_port_insert_right(d, 6543, a, MACH_MSG_TYPE_MAKE_SEND_ONCE)), pending = 6543;
		tell("no such name", mach_port_type(d, 77777, &t));
	}
	SENDER {
		type("put here", came), head(ONCE, came, 0, 711), put("use it", 24);
		pending = page;
	}
	RECEIVER {
		get("receive", a), tell("read", vm_read(d, came, sizeof TEXT, &data, &count)), say("  %u %s\n", count, (char *) data);
		mach_port_deallocate(self, c), mach_port_deallocate(self, d);
	}
}

static void both_ways(void)
{
	section("both ways");
	SENDER
		head(REPLY(MAKE_SEND_ONCE), a, b, 800), m.w[0] = SHORT(2, 32, 1), m.w[1] = 41;
	RECEIVER {
		get("receive", a), head(ONCE, m.h.msgh_remote_port, 0, 900), m.w[1]++;
		result = give(32);
	} else
		result = mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG, 32, sizeof m, b, 0, 0);
	SENDER {
		tell("send and receive", result), say("  bits %x id %d seqno %u remote %n number %u\n", m.h.msgh_bits, m.h.msgh_id, m.h.msgh_seqno, m.h.msgh_remote_port, m.w[1]);
		head(REPLY(MAKE_SEND_ONCE), a, b, 801);
	}
	RECEIVER
		tell("replied", result), get("receive", a), mach_port_deallocate(self, m.h.msgh_remote_port);
	else
		result = mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG, 24, sizeof m, b, 0, 0);
	SENDER {
		tell("no answer comes", result), say("  bits %x id %d\n", m.h.msgh_bits, m.h.msgh_id);
		head(CS, 99999, 0, 802), tell("send fails, no receive", mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24, sizeof m, b, 0, 0)), get("nothing", b);
		tell("no option", mach_msg(&m.h, 0, 24, sizeof m, b, 0, 0));
	}
}

static void script(void)
{
	plain();
	bad_sends();
	full_queues();
	receiving();
	rights();
	receive_rights();
	memory();
	notifications();
	dead_destinations();
	kernel_ports();
	both_ways();
}
