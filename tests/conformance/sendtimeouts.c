/* Threads that wait to send to full queues: who gets in, in what order, and what becomes of them when limits and ports change. */
#include "ipc.h"

static mach_port_t a, n;

static void fresh(void)
{
	int i;

	new_jobs();
	a = send_port();
	for (i = 0; i < 5; i++)
		send(a, i);
}

static void drain(void)
{
	while (!take("receive", a))
		report();
}

static void order(void)
{
	int i;

	say("-- four wait for ever\n");
	fresh();
	for (i = 0; i < 4; i++)
		sender(a, 100 + i, 0, 0, 0);
	status("full", a);
	drain();
	say("-- two are received before anybody runs\n");
	fresh();
	for (i = 0; i < 3; i++)
		sender(a, 110 + i, 0, 0, 0);
	thread_suspend(jobs[2].thread), thread_suspend(jobs[1].thread);
	receive(a), say("id %d\n", m.h.msgh_id), receive(a), say("id %d\n", m.h.msgh_id), status("now", a);
	thread_resume(jobs[1].thread), report(), thread_resume(jobs[2].thread), report();
	drain();
	say("-- one that was woken finds its room taken\n");
	fresh();
	sender(a, 120, 0, 0, 0), sender(a, 121, 0, 0, 0), thread_suspend(jobs[1].thread);
	receive(a), show("the main thread is first", send(a, 130)), thread_resume(jobs[1].thread), report();
	drain();
	say("-- with a time-out it was woken and finds its room taken\n");
	fresh();
	sender(a, 125, MACH_SEND_TIMEOUT, 1000, 0), thread_suspend(jobs[0].thread);
	receive(a), show("the main thread is first", send(a, 131)), thread_resume(jobs[0].thread), report();
	for (i = 0; i < 20; i++)
		rest();
	report();
	drain();
}

static void timeouts(void)
{
	say("-- some with a time-out\n");
	fresh();
	sender(a, 200, MACH_SEND_TIMEOUT, 2000, 0), sender(a, 201, 0, 0, 0), sender(a, 202, MACH_SEND_TIMEOUT, 100, 0);
	report(), rest(), report();
	say("  given back: remote %d bits %x id %d\n", jobs[2].m.h.msgh_remote_port == a, jobs[2].m.h.msgh_bits, jobs[2].m.h.msgh_id);
	take("receive", a), report(), take("receive", a), report();
	drain();
	say("-- a time-out of zero waits not\n");
	fresh();
	sender(a, 210, MACH_SEND_TIMEOUT, 0, 0), report();
	say("-- a time-out without the option is none\n");
	sender(a, 211, 0, 50, 0), rest(), report();
	take("receive", a), report();
	say("-- rights come back\n");
	fresh();
	jobs[0].m.w[0] = item(MACH_MSG_TYPE_MOVE_SEND, 32, 1, 1, 0), jobs[0].m.w[1] = n;
	fill(&jobs[0].m, MACH_MSGH_BITS_COMPLEX | MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), a, n, 220);
	mach_port_insert_right(self, n, n, MACH_MSG_TYPE_MAKE_SEND);
	type("a before", a), type("n before", n);
	jobs[0].option = MACH_SEND_MSG | MACH_SEND_TIMEOUT, jobs[0].send_size = 32, jobs[0].timeout = 100, job_count = 1;
	go(&jobs[0]), type("a meanwhile", a), type("n meanwhile", n), rest(), report();
	say("  bits %x remote %d local a new name %d body %x %d\n", jobs[0].m.h.msgh_bits, jobs[0].m.h.msgh_remote_port == a, jobs[0].m.h.msgh_local_port != n, jobs[0].m.w[0], jobs[0].m.w[1] == n);
	type("a after", a), type("n after", n), type("the reply right", jobs[0].m.h.msgh_local_port);
	mach_port_deallocate(self, jobs[0].m.h.msgh_local_port), take("its notification", n);
}

static void notify(void)
{
	int i;

	say("-- notified senders and others in the queue\n");
	fresh();
	sender(a, 300, 0, 0, 0), sender(a, 301, MACH_SEND_NOTIFY, 0, n), report();
	status("one too many", a), type("a", a);
	sender(a, 302, MACH_SEND_NOTIFY, 0, n), report();
	sender(a, 303, MACH_SEND_NOTIFY | MACH_SEND_TIMEOUT, 100, n), report(), rest(), report();
	sender(a, 304, MACH_SEND_NOTIFY | MACH_SEND_TIMEOUT, 5000, n), report();
	for (i = 0; i < 8; i++)
		take("receive", a), report(), take("notification", n);
	type("a", a), drain();
	say("-- notified without a port, with a wrong one, with room\n");
	fresh();
	sender(a, 310, MACH_SEND_NOTIFY, 0, 0), report();
	sender(a, 311, MACH_SEND_NOTIFY, 0, 9999), report();
	sender(a, 312, MACH_SEND_NOTIFY, 0, self), report();
	receive(a), rest(), sender(a, 313, MACH_SEND_NOTIFY, 0, 0), report();
	say("-- the name goes before the message is accepted\n");
	fresh();
	sender(a, 320, MACH_SEND_NOTIFY, 0, n), report(), type("a", a);
	show("rename", mach_port_rename(self, a, 5000)), a = 5000, type("a", a);
	drain(), take("notification", n);
	fresh();
	sender(a, 321, MACH_SEND_NOTIFY, 0, n), report();
	show("drop the send right", drop(a, MACH_PORT_RIGHT_SEND)), type("a", a);
	drain(), take("notification", n);
	say("-- the port dies before the message is accepted\n");
	fresh();
	sender(a, 322, MACH_SEND_NOTIFY, 0, n), report();
	show("a dies", drop(a, MACH_PORT_RIGHT_RECEIVE)), type("a", a), take("notification", n);
	say("-- the notify port dies before the message is accepted\n");
	fresh();
	i = n, n = port();
	sender(a, 323, MACH_SEND_NOTIFY, 0, n), report(), status("n", n);
	show("n dies", drop(n, MACH_PORT_RIGHT_RECEIVE)), drain(), type("a", a), n = i;
	say("-- a notified sender moves its send right\n");
	fresh();
	fill(&jobs[0].m, MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND, 0), a, 0, 324), job_count = 1;
	jobs[0].option = MACH_SEND_MSG | MACH_SEND_NOTIFY, jobs[0].send_size = 24, jobs[0].notify = n, jobs[0].timeout = 0;
	go(&jobs[0]), report(), type("a", a), drain(), take("notification", n);
	say("-- with a port to cancel requests\n");
	fresh();
	sender(a, 330, MACH_SEND_CANCEL, 0, n), report(), take("receive", a), report();
	sender(a, 331, MACH_SEND_CANCEL | MACH_SEND_TIMEOUT, 50, 0), report();
	sender(a, 332, MACH_SEND_CANCEL | MACH_SEND_TIMEOUT, 50, 9999), report();
	sender(a, 333, MACH_SEND_CANCEL | MACH_SEND_NOTIFY, 0, n), report(), drain(), take("notification", n);
}

static void limits(void)
{
	int i;

	say("-- the limit grows while four wait\n");
	fresh();
	for (i = 0; i < 4; i++)
		sender(a, 400 + i, 0, 0, 0);
	show("limit 7", mach_port_set_qlimit(self, a, 7)), report(), status("a", a);
	show("limit 7 again", mach_port_set_qlimit(self, a, 7)), report();
	show("limit 16", mach_port_set_qlimit(self, a, 16)), report(), status("a", a);
	show("limit 2", mach_port_set_qlimit(self, a, 2)), status("a", a);
	sender(a, 410, 0, 0, 0);
	for (i = 0; i < 8; i++)
		take("receive", a), report();
	drain();
	say("-- limit 0\n");
	a = send_port(), new_jobs(), show("limit 0", mach_port_set_qlimit(self, a, 0));
	sender(a, 420, 0, 0, 0), sender(a, 421, MACH_SEND_TIMEOUT, 0, 0), report();
	show("a send-once right", mach_port_insert_right(self, 6000, a, MACH_MSG_TYPE_MAKE_SEND_ONCE));
	fill(&m, ONCE, 6000, 0, 422), show("is not limited", give(24)), report(), status("a", a);
	take("receive", a), report();
	receiver(a, 0), report();
	show("limit 1", mach_port_set_qlimit(self, a, 1)), report();
	say("-- the limit grows by less than the queue is over it\n");
	fresh();
	show("limit 1", mach_port_set_qlimit(self, a, 1)), sender(a, 430, 0, 0, 0), sender(a, 431, MACH_SEND_TIMEOUT, 60000, 0);
	show("limit 2", mach_port_set_qlimit(self, a, 2)), report();
	drain();
}

static void ends(void)
{
	mach_port_t s, old;

	say("-- the port dies while three wait\n");
	fresh();
	sender(a, 500, 0, 0, 0), sender(a, 501, MACH_SEND_TIMEOUT, 60000, 0);
	fill(&jobs[2].m, RPC, a, n, 502), job_count = 3;
	jobs[2].option = MACH_SEND_MSG, jobs[2].send_size = 24, jobs[2].timeout = 0;
	go(&jobs[2]);
	show("a dies", drop(a, MACH_PORT_RIGHT_RECEIVE)), report(), type("a", a);
	take("the reply right is spent", n), take("no more", n);
	say("-- the receive right moves while two wait\n");
	fresh();
	sender(a, 510, 0, 0, 0), sender(a, 511, 0, 0, 0);
	s = send_port(), fill(&m, MACH_MSGH_BITS_COMPLEX | CS, s, 0, 512), m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0), m.w[1] = a;
	show("move a", give(32)), report(), take("and back", s), a = m.w[1], status("a", a);
	drain();
	say("-- a port with a port-destroyed request dies while one waits\n");
	fresh();
	sender(a, 520, 0, 0, 0), show("request", ask(a, MACH_NOTIFY_PORT_DESTROYED, 0, n, &old));
	show("a dies", drop(a, MACH_PORT_RIGHT_RECEIVE)), report(), take("notification", n), a = m.w[1];
	drain();
	say("-- waiting senders are aborted, suspended, terminated\n");
	fresh();
	sender(a, 530, 0, 0, 0), sender(a, 531, 0, 0, 0), sender(a, 532, MACH_SEND_TIMEOUT, 60000, 0), sender(a, 533, 0, 0, 0);
	show("abort the third", thread_abort(jobs[2].thread)), report();
	show("terminate the fourth", thread_terminate(jobs[3].thread)), show("suspend the second", thread_suspend(jobs[1].thread));
	take("receive", a), report(), take("receive", a), report();
	show("resume", thread_resume(jobs[1].thread)), report();
	drain();
	say("-- the sender in a set's member\n");
	fresh();
	s = port_set(), mach_port_move_member(self, a, s), sender(a, 540, 0, 0, 0);
	show("take out", mach_port_move_member(self, a, 0)), report();
	show("put back", mach_port_move_member(self, a, s)), report(), take("receive", s), report();
	show("the set dies", drop(s, MACH_PORT_RIGHT_PORT_SET)), drain();
	say("-- send and receive in one call, the send waits\n");
	fresh();
	fill(&jobs[0].m, RPC, a, n, 550), job_count = 1;
	jobs[0].option = MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, jobs[0].send_size = 24, jobs[0].from = n, jobs[0].timeout = 100;
	go(&jobs[0]), rest(), report();
	while (!receive(a) && m.h.msgh_id != 550)
		say("id %d\n", m.h.msgh_id), rest();
	fill(&m, ONCE, m.h.msgh_remote_port, 0, 551), show("reply", give(24)), report();
}

int guest_main(void)
{
	begin();
	n = port();
	mach_port_set_qlimit(self, n, 16);
	order();
	timeouts();
	notify();
	limits();
	ends();
	return 0;
}
