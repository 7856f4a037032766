/* mach_port_request_notification for every kind of name, requests replaced and taken back, and when each notification comes. */
#include "ipc.h"

static mach_port_t n, old;

static const char *const kinds[] = { "no name", "null", "dead", "a set", "a dead name", "a receive right", "a send right", "a send-once right", "both rights" };

/* A name of a kind; the receive right behind it, where there is one, is *RECEIVER. */
static mach_port_t make(int kind, mach_port_t *receiver)
{
	mach_port_t p = port();

	*receiver = p;
	switch (kind) {
	case 0:
		return 9999;
	case 1:
		return MACH_PORT_NULL;
	case 2:
		return MACH_PORT_DEAD;
	case 3:
		return port_set();
	case 4:
		mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND), drop(p, MACH_PORT_RIGHT_RECEIVE), *receiver = 0;
		return p;
	case 6:
		*receiver = 0;
		return mach_thread_self();
	case 7:
		mach_port_insert_right(self, 800, p, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		return 800;
	case 8:
		mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND);
	}
	return p;
}

static void matrix(void)
{
	static const int ids[] = { 0, 64, MACH_NOTIFY_PORT_DELETED, MACH_NOTIFY_MSG_ACCEPTED, MACH_NOTIFY_PORT_DESTROYED, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_SEND_ONCE, MACH_NOTIFY_DEAD_NAME };
	int kind, id;
	u32 sync;

	for (kind = 0; kind < 9; kind++) {
		say("-- %s\n", kinds[kind]);
		for (id = 0; id < 8; id++)
			for (sync = 0; sync < 2; sync++) {
				mach_port_t r, p = make(kind, &r);
				kern_return_t kr;

				forget_names(), old = 0x77;
				kr = ask(p, ids[id], sync, n, &old), say("%d sync %u -> %x", ids[id], sync, kr);
				say(kr ? "\n" : old ? " previous\n" : " no previous\n");
				if (!kr)
					type("the name", p), status("n", n), show("  take it back", mach_port_request_notification(self, p, ids[id], 0, MACH_PORT_NULL, MACH_MSG_TYPE_MOVE_SEND_ONCE, &old)), type("the request", old), mach_port_deallocate(self, old);
				if (kind == 3 || kind == 4 || kind == 7)
					mach_port_destroy(self, p);
				if (r)
					mach_port_destroy(self, r);
				while (!receive(n))
					say("  then %d word %x\n", m.h.msgh_id, m.h.msgh_size > 24 && m.h.msgh_id == MACH_NOTIFY_NO_SENDERS ? m.w[1] : 0);
			}
	}
}

static kern_return_t ask_as(const char *what, mach_port_t name, int id, mach_port_t notify, int disposition)
{
	old = 0;
	return show(what, mach_port_request_notification(self, name, id, 0, notify, disposition, &old));
}

static void whom(void)
{
	mach_port_t p = send_port(), q;

	say("-- whom to tell\n"), forget_names();
	ask_as("null, nothing to take back", p, MACH_NOTIFY_DEAD_NAME, 0, MACH_MSG_TYPE_MOVE_SEND_ONCE);
	ask_as("dead", p, MACH_NOTIFY_DEAD_NAME, MACH_PORT_DEAD, MACH_MSG_TYPE_MOVE_SEND_ONCE);
	q = send_port(), drop(q, MACH_PORT_RIGHT_RECEIVE), ask_as("a dead name", p, MACH_NOTIFY_DEAD_NAME, q, MACH_MSG_TYPE_MOVE_SEND_ONCE), type("it", q);
	q = send_port(), ask_as("a send right", p, MACH_NOTIFY_DEAD_NAME, q, MACH_MSG_TYPE_COPY_SEND), ask_as("a receive right", p, MACH_NOTIFY_DEAD_NAME, q, MACH_MSG_TYPE_MOVE_RECEIVE), type("it", q);
	mach_port_insert_right(self, 801, n, MACH_MSG_TYPE_MAKE_SEND_ONCE), ask_as("a moved send-once right", p, MACH_NOTIFY_DEAD_NAME, 801, MACH_MSG_TYPE_MOVE_SEND_ONCE), type("it", 801);
	ask_as("the port itself", p, MACH_NOTIFY_DEAD_NAME, p, MACH_MSG_TYPE_MAKE_SEND_ONCE), type("previous", old), mach_port_deallocate(self, old), take_all("n", n);
	show("it dies", drop(p, MACH_PORT_RIGHT_RECEIVE)), type("it", p);
	p = send_port(), q = port(), ask_as("a port that dies", p, MACH_NOTIFY_DEAD_NAME, q, MACH_MSG_TYPE_MAKE_SEND_ONCE), mach_port_destroy(self, q), type("p", p);
	ask_as("take it back", p, MACH_NOTIFY_DEAD_NAME, 0, MACH_MSG_TYPE_MOVE_SEND_ONCE), say("  %s\n", old == MACH_PORT_DEAD ? "dead" : old ? "a right" : "null");
	q = port(), ask_as("again", p, MACH_NOTIFY_DEAD_NAME, q, MACH_MSG_TYPE_MAKE_SEND_ONCE), mach_port_destroy(self, q), show("p dies", drop(p, MACH_PORT_RIGHT_RECEIVE)), type("p", p);
	say("-- a full queue\n");
	q = send_port(), mach_port_set_qlimit(self, q, 0);
	p = send_port(), ask_as("request", p, MACH_NOTIFY_DEAD_NAME, q, MACH_MSG_TYPE_MAKE_SEND_ONCE), show("p dies", drop(p, MACH_PORT_RIGHT_RECEIVE)), status("q", q), take("q", q);
	say("-- a set's member\n");
	p = port_set(), mach_port_move_member(self, q, p), old = send_port(), ask(old, MACH_NOTIFY_DEAD_NAME, 0, q, &old);
	ask_as("the set", q, MACH_NOTIFY_NO_SENDERS, p, MACH_MSG_TYPE_MAKE_SEND_ONCE);
}

static void port_destroyed(void)
{
	mach_port_t p, q = port();

	say("-- port destroyed\n"), forget_names();
	p = send_port(), send(p, 5), ask_as("request", p, MACH_NOTIFY_PORT_DESTROYED, n, MACH_MSG_TYPE_MAKE_SEND_ONCE), status("p", p);
	ask_as("another", p, MACH_NOTIFY_PORT_DESTROYED, q, MACH_MSG_TYPE_MAKE_SEND_ONCE), type("previous", old), mach_port_deallocate(self, old), take_all("n", n);
	ask_as("the first again", p, MACH_NOTIFY_PORT_DESTROYED, n, MACH_MSG_TYPE_MAKE_SEND_ONCE), mach_port_deallocate(self, old), take_all("q", q);
	mach_port_set_seqno(self, p, 50), mach_port_set_mscount(self, p, 60), mach_port_set_qlimit(self, p, 9);
	show("drop the receive right", drop(p, MACH_PORT_RIGHT_RECEIVE)), type("p", p), show("send", send(p, 6));
	take("n", n), type("it comes back", m.w[1]), status("it", m.w[1]), p = m.w[1], take_all("its messages", p);
	show("drop it again", drop(p, MACH_PORT_RIGHT_RECEIVE)), type("p", p), take_all("n", n);
	p = send_port(), ask_as("request", p, MACH_NOTIFY_PORT_DESTROYED, n, MACH_MSG_TYPE_MAKE_SEND_ONCE), show("destroy the name", mach_port_destroy(self, p)), type("p", p), take("n", n), type("it comes back", m.w[1]);
	p = send_port(), ask_as("to itself", p, MACH_NOTIFY_PORT_DESTROYED, p, MACH_MSG_TYPE_MAKE_SEND_ONCE), show("drop", drop(p, MACH_PORT_RIGHT_RECEIVE)), type("p", p);
	p = send_port(), q = send_port(), ask_as("p to q", p, MACH_NOTIFY_PORT_DESTROYED, q, MACH_MSG_TYPE_MAKE_SEND_ONCE), ask_as("q to p", q, MACH_NOTIFY_PORT_DESTROYED, p, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	show("drop p", drop(p, MACH_PORT_RIGHT_RECEIVE)), show("drop q", drop(q, MACH_PORT_RIGHT_RECEIVE)), type("p", p), type("q", q);
	p = send_port(), q = port(), ask_as("to one that dies first", p, MACH_NOTIFY_PORT_DESTROYED, q, MACH_MSG_TYPE_MAKE_SEND_ONCE), mach_port_destroy(self, q), show("drop", drop(p, MACH_PORT_RIGHT_RECEIVE)), type("p", p);
	p = send_port(), q = send_port(), ask(p, MACH_NOTIFY_PORT_DESTROYED, 0, n, &old);
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, q, 0, 7), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0), m.w[1] = p, show("its receive right in a message", give(32)), mach_port_destroy(self, q), take("the message is destroyed", n), type("it comes back", m.w[1]), status("it", m.w[1]);
	p = send_port(), ask(p, MACH_NOTIFY_PORT_DESTROYED, 0, n, &old), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old);
	show("all three, drop", drop(p, MACH_PORT_RIGHT_RECEIVE)), take("n", n), q = m.w[1], take_all("n", n), status("q", q), show("drop again", drop(q, MACH_PORT_RIGHT_RECEIVE)), take_all("n", n), type("p", p);
}

static void no_senders(void)
{
	mach_port_t p, q;
	u32 sync;

	say("-- no senders\n"), forget_names();
	for (sync = 0; sync < 3; sync++) {
		p = send_port(), drop(p, MACH_PORT_RIGHT_SEND), say("sync %u, made once, ", sync), show("none there", ask(p, MACH_NOTIFY_NO_SENDERS, sync, n, &old)), status("p", p), take_all("n", n);
		mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND), drop(p, MACH_PORT_RIGHT_SEND), take_all("made and dropped", n), status("p", p);
	}
	p = send_port(), ask_as("request", p, MACH_NOTIFY_NO_SENDERS, n, MACH_MSG_TYPE_MAKE_SEND_ONCE), q = port(), ask_as("another", p, MACH_NOTIFY_NO_SENDERS, q, MACH_MSG_TYPE_MAKE_SEND_ONCE), type("previous", old), mach_port_deallocate(self, old), take_all("n", n);
	mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND), drop(p, MACH_PORT_RIGHT_SEND), take_all("one of two", q), drop(p, MACH_PORT_RIGHT_SEND), take_all("the last", q);
	p = port(), mach_port_set_mscount(self, p, ~0), mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND), drop(p, MACH_PORT_RIGHT_SEND), show("a count that went round, sync 1", ask(p, MACH_NOTIFY_NO_SENDERS, 1, n, &old)), status("p", p), take_all("n", n), show("sync 0", ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old)), take_all("n", n);
	p = port(), mach_port_insert_right(self, 802, p, MACH_MSG_TYPE_MAKE_SEND_ONCE), show("a send-once right is no sender", ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old)), take_all("n", n), mach_port_destroy(self, 802);
	p = send_port(), ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old), show("the port dies", drop(p, MACH_PORT_RIGHT_RECEIVE)), take_all("n", n);
	p = send_port(), ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old), show("the name is destroyed", mach_port_destroy(self, p)), take_all("n", n);
	p = send_port(), ask_as("to itself", p, MACH_NOTIFY_NO_SENDERS, p, MACH_MSG_TYPE_MAKE_SEND_ONCE), drop(p, MACH_PORT_RIGHT_SEND), take_all("p", p);
	p = send_port(), ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old), q = send_port(), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, q, 0, 8), m.w[0] = item(MACH_MSG_TYPE_MOVE_SEND, 32, 1, 1, 0), m.w[1] = p;
	show("the only one in a message", give(32)), take_all("n", n), mach_port_destroy(self, q), take_all("destroyed with its queue", n);
	p = send_port(), ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old), fill(&m, MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND, 0), p, 0, 9), show("the only one as a destination", give(24)), take_all("n", n), take("received", p), take_all("n", n);
	p = send_port(), ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old), q = send_port(), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, q, 0, 10), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0), m.w[1] = p;
	show("the receive right under way", give(32)), drop(p, MACH_PORT_RIGHT_SEND), take_all("the last sender goes", n), receive(q), status("p", m.w[1]);
	p = port(), ask(p, MACH_NOTIFY_NO_SENDERS, 1, n, &old), show("the task's bootstrap port", task_set_special_port(self, TASK_BOOTSTRAP_PORT, p)), mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND), show("set", task_set_special_port(self, TASK_BOOTSTRAP_PORT, p)), drop(p, MACH_PORT_RIGHT_SEND), take_all("the kernel is a sender", n), task_set_special_port(self, TASK_BOOTSTRAP_PORT, 0), take_all("no more", n);
}

static void dead_names(void)
{
	mach_port_t p, q, s[4];
	int i;

	say("-- dead names\n"), forget_names();
	p = send_port(), show("at once, of a living port", ask(p, MACH_NOTIFY_DEAD_NAME, 1, n, &old)), type("p", p), take_all("n", n), drop(p, MACH_PORT_RIGHT_RECEIVE), take_all("it dies", n), type("p", p);
	show("at once, of a dead name", ask(p, MACH_NOTIFY_DEAD_NAME, 1, n, &old)), take_all("n", n), type("p", p);
	show("not at once", ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old)), type("p", p);
	mach_port_mod_refs(self, p, MACH_PORT_RIGHT_DEAD_NAME, 65534 - 3), type("p", p), show("at once, of one with all references", ask(p, MACH_NOTIFY_DEAD_NAME, 1, n, &old)), take_all("n", n);
	p = send_port(), mach_port_mod_refs(self, p, MACH_PORT_RIGHT_SEND, 65533), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), drop(p, MACH_PORT_RIGHT_RECEIVE), take_all("a send right with all references dies", n), type("p", p);
	p = port(), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), show("a receive right is dropped", drop(p, MACH_PORT_RIGHT_RECEIVE)), take_all("n", n), type("p", p);
	p = send_port(), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), show("both are destroyed", mach_port_destroy(self, p)), take_all("n", n), type("p", p);
	p = port(), mach_port_insert_right(self, 810, p, MACH_MSG_TYPE_MAKE_SEND_ONCE), ask(810, MACH_NOTIFY_DEAD_NAME, 0, n, &old), fill(&m, ONCE, 810, 0, 1), show("a send-once right is used", give(24)), take_all("n", n);
	mach_port_insert_right(self, 811, p, MACH_MSG_TYPE_MAKE_SEND_ONCE), ask(811, MACH_NOTIFY_DEAD_NAME, 0, n, &old), show("a send-once right is renamed", mach_port_rename(self, 811, 812)), take_all("n", n), drop(p, MACH_PORT_RIGHT_RECEIVE), take_all("and dies", n), type("812", 812);
	p = send_port(), q = send_port(), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, q, 0, 2), m.w[0] = item(MACH_MSG_TYPE_MOVE_SEND, 32, 1, 1, 0), m.w[1] = p, show("the send right of both goes away", give(32)), type("p", p), take_all("n", n), receive(q), type("and back", p);
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, q, 0, 3), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0), m.w[1] = p, show("the receive right of both goes away", give(32)), type("p", p), take_all("n", n), receive(q), type("and back", m.w[1]);
	drop(p, MACH_PORT_RIGHT_SEND), type("the send right is dropped", p), take_all("n", n), drop(p, MACH_PORT_RIGHT_RECEIVE), take_all("the receive right is dropped", n);
	p = send_port(), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, q, 0, 4), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0), m.w[1] = p, give(32), mach_port_destroy(self, q), take_all("the receive right dies under way", n), type("p", p);
	say("-- the order when a port dies\n");
	p = send_port(), q = port();
	for (i = 0; i < 4; i++)
		s[i] = 820 + i, mach_port_insert_right(self, s[i], p, MACH_MSG_TYPE_MAKE_SEND_ONCE), ask(s[i], MACH_NOTIFY_DEAD_NAME, 0, n, &old);
	ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old);
	fill(&m, RPC, p, n, 5), give(24), fill(&m, RPC, p, n, 6), give(24);
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, p, 0, 7), m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32, 1, 1, 0), m.w[1] = n, m.w[2] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0), m.w[3] = q, give(40);
	mach_port_set_qlimit(self, n, 16), show("p dies", drop(p, MACH_PORT_RIGHT_RECEIVE)), take_all("n", n);
	say("-- the order when a name is destroyed\n");
	p = send_port(), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), ask(p, MACH_NOTIFY_NO_SENDERS, 0, n, &old), fill(&m, RPC, p, n, 8), give(24);
	show("destroy", mach_port_destroy(self, p)), take_all("n", n);
	say("-- a request and a message to be accepted\n");
	p = send_port(), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), mach_port_set_qlimit(self, p, 0), fill(&m, CS, p, 0, 9), show("send", mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_NOTIFY, 24, 0, 0, 0, n)), type("p", p);
	show("rename", mach_port_rename(self, p, 830)), type("830", 830), drop(830, MACH_PORT_RIGHT_RECEIVE), take_all("it dies", n), type("830", 830);
	p = send_port(), ask(p, MACH_NOTIFY_DEAD_NAME, 0, n, &old), mach_port_set_qlimit(self, p, 0), fill(&m, CS, p, 0, 10), show("send", mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_NOTIFY, 24, 0, 0, 0, n)), show("destroy", mach_port_destroy(self, p)), take_all("n", n);
}

int guest_main(void)
{
	self = mach_task_self();
	n = port();
	matrix();
	whom();
	port_destroyed();
	no_senders();
	dead_names();
	return 0;
}
