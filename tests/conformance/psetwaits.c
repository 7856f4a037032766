/* Threads that wait at port sets and at ports: who is woken, in what order, and what becomes of them when members come and go. */
#include "ipc.h"

static mach_port_t a, b, c, set, other;

static void members(const char *what, mach_port_t s)
{
	mach_port_array_t names;
	mach_msg_type_number_t n = 0, i;
	kern_return_t kr = mach_port_get_set_status(self, s, &names, &n);

	say("  members of %s: %x", what, kr);
	for (i = 0; !kr && i < n; i++)
		say(names[i] == a ? " a" : names[i] == b ? " b" : names[i] == c ? " c" : " ?");
	say("\n");
}

static kern_return_t move(const char *what, mach_port_t member, mach_port_t into)
{
	return show(what, mach_port_move_member(self, member, into));
}

static void fresh(void)
{
	new_jobs();
	a = send_port();
	b = send_port();
	c = send_port();
	set = port_set();
	other = port_set();
}

static void order(void)
{
	int i;

	say("-- three wait at one set\n");
	fresh();
	move("a", a, set), move("b", b, set);
	for (i = 0; i < 3; i++)
		receiver(set, 0);
	show("send to a", send(a, 1)), report();
	show("send to b", send(b, 2)), report();
	show("send to b", send(b, 3)), report();
	show("send to a", send(a, 4)), report();
	take("it is in the set's queue", set);
	say("-- three wait, three messages come at once\n");
	fresh();
	move("a", a, set), move("b", b, set);
	for (i = 0; i < 3; i++)
		receiver(set, 0);
	send(b, 1), send(a, 2), send(a, 3), report();
	say("-- a wait that ends by time leaves the others' order\n");
	fresh();
	move("a", a, set);
	receiver(set, 0), receiver(set, 200), receiver(set, 0);
	rest(), rest(), report();
	send(a, 1), send(a, 2), report();
	say("-- a wait that is aborted leaves the others' order\n");
	fresh();
	move("a", a, set);
	receiver(set, 0), receiver(set, 0), receiver(set, 0);
	show("abort the second", thread_abort(jobs[1].thread)), report();
	show("terminate the third", thread_terminate(jobs[2].thread)), report();
	send(a, 1), send(a, 2), report();
	take("the second message stays", set);
	say("-- a suspended receiver\n");
	fresh();
	move("a", a, set);
	receiver(set, 0), receiver(set, 0);
	show("suspend the first to be woken", thread_suspend(jobs[1].thread));
	send(a, 1), report(), status("it was given the message", a);
	send(a, 2), report();
	show("resume", thread_resume(jobs[1].thread)), report();
	status("and now", a);
}

static void queues(void)
{
	int i;

	say("-- queueing across members\n");
	fresh();
	for (i = 0; i < 2; i++)
		send(a, 10 + i), send(b, 20 + i), send(c, 30 + i);
	move("b", b, set), move("a", a, set), members("the set", set);
	send(a, 12), send(b, 22), send(c, 32);
	move("c", c, set);
	for (i = 0; i < 5; i++)
		take("from the set", set);
	status("a", a), status("b", b), status("c", c);
	move("a out", a, 0);
	take("from a", a), take("from a", a);
	move("b to another set", b, other), members("the set", set), members("the other", other);
	take("from the other", other), take_all("from the set", set);
	status("a", a), status("b", b), status("c", c);
	say("-- limits are each member's own\n");
	move("a", a, set);
	for (i = 0; i < 6; i++)
		show("to a", send(a, 40 + i));
	show("to c", send(c, 50));
	status("a", a), status("c", c);
	show("limit of a 6", mach_port_set_qlimit(self, a, 6)), show("to a", send(a, 46));
	sender(a, 47, 0, 0, 0), report();
	take("from the set", set), report();
	show("seqno of a 100", mach_port_set_seqno(self, a, 100));
	take("from the set", set);
	move("a out", a, 0), status("a", a);
	take("from a", a), take("from the set", set), take_all("from a", a);
}

static void changes(void)
{
	say("-- members come while threads wait\n");
	fresh();
	send(a, 1), send(a, 2), send(b, 3);
	receiver(set, 0), receiver(set, 0), receiver(set, 0);
	report();
	move("a with two messages", a, set), report();
	move("b with one", b, set), report();
	say("-- a receiver at a port that joins a set\n");
	fresh();
	receiver(a, 0), receiver(a, 0), receiver(set, 0);
	move("a", a, set), report();
	send(a, 4), report();
	say("-- members go while threads wait\n");
	fresh();
	move("a", a, set), move("b", b, set);
	receiver(set, 0), receiver(set, 0);
	move("a out", a, 0), send(a, 5), report();
	send(b, 6), report();
	move("b to another set", b, other), send(b, 7), report();
	receiver(other, 0), report();
	say("-- a member with a message moves to a set with a receiver\n");
	fresh();
	move("a", a, set), send(a, 8), receiver(other, 0), move("a to the other", a, other), report();
	say("-- a receiver in a set and one outside\n");
	fresh();
	move("a", a, set), receiver(set, 0), receiver(a, 0), report();
	move("a out", a, 0), receiver(a, 0), send(a, 9), report();
	move("again", a, 0), move("in", a, set), move("in again", a, set);
	say("-- a message too large for the first waiter\n");
	fresh();
	move("a", a, set);
	receiver(set, 0);
	jobs[1].from = set, jobs[1].option = MACH_RCV_MSG | MACH_RCV_LARGE, job_count = 2;
	jobs[1].m.h.msgh_size = 5;
	go(&jobs[1]);
	fill(&m, CS, a, 0, 11);
	show("send 512", give(512)), report();
}

static void deaths(void)
{
	mach_port_t old;

	say("-- a member dies\n");
	fresh();
	move("a", a, set), move("b", b, set);
	receiver(set, 0);
	show("a dies", drop(a, MACH_PORT_RIGHT_RECEIVE)), report(), members("the set", set);
	send(b, 1), report();
	send(b, 2), send(b, 3), show("b dies with messages", drop(b, MACH_PORT_RIGHT_RECEIVE));
	take("from the set", set);
	say("-- the set dies\n");
	fresh();
	move("a", a, set), move("b", b, set);
	receiver(set, 0), receiver(set, 0);
	show("the set dies", drop(set, MACH_PORT_RIGHT_PORT_SET)), report();
	status("a", a);
	send(a, 4), take("from a", a);
	say("-- a set dies with messages\n");
	move("a", a, other), move("b", b, other);
	send(a, 5), send(b, 6), send(a, 7);
	show("destroy", mach_port_destroy(self, other));
	status("a", a), take_all("from a", a), take_all("from b", b);
	say("-- a member's receive right moves away\n");
	fresh();
	move("a", a, set), send(a, 8), receiver(b, 0);
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, b, 0, 9);
	m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0), m.w[1] = a;
	show("send it to b", give(32)), report(), members("the set", set);
	a = jobs[0].m.w[1], status("a", a), take("from the set", set), take("from a", a);
	say("-- a member with a port-destroyed request\n");
	fresh();
	move("a", a, set), send(a, 10), receiver(set, 0), report();
	show("request", ask(a, MACH_NOTIFY_PORT_DESTROYED, 0, c, &old));
	send(a, 12);
	show("a dies", drop(a, MACH_PORT_RIGHT_RECEIVE)), report(), members("the set", set);
	take("notification", c), status("a again", m.w[1]), take("from it", m.w[1]);
	say("-- names\n");
	show("rename the set", mach_port_rename(self, set, 4000)), set = 4000;
	a = send_port(), move("a", a, set), members("the set", set);
	show("rename the member", mach_port_rename(self, a, 4001)), a = 4001, members("the set", set);
	show("allocate a set by name", mach_port_allocate_name(self, MACH_PORT_RIGHT_PORT_SET, 4002)), move("a", a, 4002), members("the set", 4002), members("the old set", set);
	show("take the set by mod_refs +1", mach_port_mod_refs(self, 4002, MACH_PORT_RIGHT_PORT_SET, 1));
	show("deallocate the set", mach_port_deallocate(self, 4002));
	show("status of a port as a set", mach_port_get_set_status(self, a, (void *) &m.w[0], &m.w[1]));
	show("receive status of a set", mach_port_get_receive_status(self, 4002, (void *) &m.w[0]));
	show("request on a set", ask(4002, MACH_NOTIFY_DEAD_NAME, 1, c, &old));
}

int guest_main(void)
{
	begin();
	order();
	queues();
	changes();
	deaths();
	return 0;
}
