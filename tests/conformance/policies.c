/* Priorities and policies of threads: what is allowed, what it looks like, and who runs then. */
#include "guest.h"
static mach_port_t self, me, name, set, host;
static integer_t words[64];
static char stacks[4][8192];
static volatile u32 counts[4], first, last, changes;
static void facts(const char *what, thread_t t)
{
	mach_msg_type_number_t n = 8;
	kern_return_t kr = thread_info(t, 2, words, &n);

	say("  %s", what);
	if (kr)
		say(" -> %x\n", kr);
	else
		say(": policy %d data %d base %d max %d depressed %d from %d last processor %d\n", words[0], words[1], words[2], words[3], words[5], words[6], words[7]);
}
static void wait(u32 ms) { thread_switch(0, SWITCH_OPTION_WAIT, ms); }
static void pause_here(void) { for (;;) wait(100000); }
static void count0(void) { for (;;) counts[0]++; }
static void count1(void) { for (;;) counts[1]++; }
static void trace(u32 who) { for (;;) { if (last != who) { last = who; changes++; } counts[who]++; } }
static void trace2(void) { trace(2); }
static void trace3(void) { trace(3); }
static thread_t thread(int n, void (*entry)(void))
{
	thread_t t;

	thread_create(self, &t);
	set_entry(t, entry, (vm_address_t) stacks[n] + sizeof stacks[n]);
	return t;
}
static void setting(void)
{
	static const int datas[] = { 0, 1, 10, 11, 100, 1005, -1, -10, -15, 2147483, 2147484, -2147484 };
	thread_t t = thread(0, pause_here);
	u32 i;

	say("-- policies of a thread\n");
	facts("new", t);
	show("fixed priority, not enabled", thread_policy(t, 2, 100));
	show("time sharing", thread_policy(t, 1, 100));
	show("policy 0", thread_policy(t, 0, 0));
	show("policy 3", thread_policy(t, 3, 0));
	show("policy 4", thread_policy(t, 4, 0));
	show("policy -1", thread_policy(t, -1, 0));
	show("policy of a task", thread_policy(self, 1, 0));
	show("enable", processor_set_policy_enable(set, 2));
	for (i = 0; i < sizeof datas / sizeof datas[0]; i++) {
		say("data %d\n", datas[i]);
		show("  fixed priority", thread_policy(t, 2, datas[i]));
		facts("is", t);
		show("  time sharing", thread_policy(t, 1, datas[i]));
		facts("is", t);
	}
	show("fixed priority", thread_policy(t, 2, 50));
	show("other data", thread_policy(t, 2, 70));
	facts("is", t);
	show("disable", processor_set_policy_disable(set, 2, 0));
	facts("is", t);
	show("other data", thread_policy(t, 2, 20));
	facts("is", t);
	show("enable", processor_set_policy_enable(set, 2));
	show("disable and change", processor_set_policy_disable(set, 2, 1));
	facts("is", t);
	thread_terminate(t);
	show("policy of a dead thread", thread_policy(t, 1, 0));
}
static void priorities(void)
{
	thread_t t = thread(0, pause_here), u;
	task_t child;
	mach_msg_type_number_t n = 10;

	say("-- priorities of a thread\n");
	show("-1", thread_priority(t, -1, 0));
	show("64", thread_priority(t, 64, 0));
	show("24", thread_priority(t, 24, 0));
	show("24 as maximum", thread_priority(t, 24, 1));
	show("25", thread_priority(t, 25, 0));
	show("63", thread_priority(t, 63, 0));
	facts("is", t);
	show("30", thread_priority(t, 30, 0));
	facts("is", t);
	show("40 as maximum", thread_priority(t, 40, 1));
	facts("is", t);
	show("39", thread_priority(t, 39, 0));
	show("maximum by the name", thread_max_priority(t, name, 10));
	show("maximum by nothing", thread_max_priority(t, 0, 10));
	show("maximum of a task", thread_max_priority(self, set, 10));
	show("maximum -1", thread_max_priority(t, set, -1));
	show("maximum 64", thread_max_priority(t, set, 64));
	show("maximum 10", thread_max_priority(t, set, 10));
	facts("is", t);
	show("12", thread_priority(t, 12, 0));
	facts("is", t);
	show("maximum 20", thread_max_priority(t, set, 20));
	facts("is", t);
	show("priority of a task", thread_priority(self, 30, 0));
	say("-- priorities of a task\n");
	task_create(self, 0, &child);
	thread_create(child, &u);
	show("-1", task_priority(child, -1, 0));
	show("64", task_priority(child, 64, 0));
	show("of a thread", task_priority(u, 30, 0));
	show("30", task_priority(child, 30, 0));
	facts("thread", u);
	thread_create(child, &u);
	facts("new thread", u);
	show("10", task_priority(child, 10, 0));
	thread_create(child, &u);
	facts("new thread", u);
	show("35 for its threads", task_priority(child, 35, 1));
	facts("thread", u);
	show("10 for its threads", task_priority(child, 10, 1));
	facts("thread", u);
	show("info", task_info(child, TASK_BASIC_INFO, words, &n));
	say("  base %d\n", words[1]);
	task_terminate(child);
	thread_terminate(t);
}
static void depression(void)
{
	thread_t t = thread(0, pause_here);

	say("-- depression\n");
	show("of another", thread_depress_abort(t));
	show("of a task", thread_depress_abort(self));
	show("depress", thread_switch(0, SWITCH_OPTION_DEPRESS, 0));
	facts("this one", me);
	thread_terminate(t);
	show("of the dead", thread_depress_abort(t));
}
static void depressed(void) { thread_switch(0, SWITCH_OPTION_DEPRESS, 0); for (;;) counts[0]++; }
static void depressing(void)
{
	thread_t t, u;

	say("-- a depressed thread\n");
	t = thread(0, depressed);
	u = thread(1, count1);
	counts[0] = counts[1] = 0;
	thread_resume(t);
	thread_resume(u);
	wait(100);
	say("counts %d %d\n", counts[0] > 0, counts[1] > 0);
	facts("depressed", t);
	show("priority", thread_priority(t, 33, 0));
	facts("depressed", t);
	show("priority as maximum", thread_priority(t, 34, 1));
	facts("depressed", t);
	show("maximum", thread_max_priority(t, set, 36));
	facts("depressed", t);
	show("maximum 20", thread_max_priority(t, set, 20));
	facts("depressed", t);
	show("abort", thread_depress_abort(t));
	facts("is", t);
	show("abort again", thread_depress_abort(t));
	thread_terminate(t);
	t = thread(2, depressed);
	thread_resume(t);
	wait(100);
	show("enable", processor_set_policy_enable(set, 2));
	show("fixed priority", thread_policy(t, 2, 100));
	facts("depressed", t);
	show("time sharing", thread_policy(t, 1, 0));
	facts("depressed", t);
	show("disable", processor_set_policy_disable(set, 2, 1));
	show("abort", thread_depress_abort(t));
	facts("is", t);
	thread_terminate(t);
	thread_terminate(u);
}
static void running(void)
{
	thread_t t, u;

	say("-- who runs\n");
	show("enable", processor_set_policy_enable(set, 2));
	t = thread(0, count0);
	u = thread(1, count1);
	thread_policy(t, 2, 100);
	thread_policy(u, 2, 100);
	thread_priority(t, 30, 0);
	thread_priority(u, 40, 0);
	counts[0] = counts[1] = 0;
	thread_resume(u);
	thread_resume(t);
	wait(300);
	say("fixed 30 and 40: %d %d\n", counts[0] > 0, counts[1] > 0);
	show("40 becomes 28", thread_priority(u, 28, 0));
	counts[0] = counts[1] = 0;
	wait(300);
	say("fixed 30 and 28: %d %d\n", counts[0] > 0, counts[1] > 0);
	show("28 waits", thread_suspend(u));
	counts[0] = counts[1] = 0;
	wait(100);
	say("fixed 30 alone: %d %d\n", counts[0] > 0, counts[1] > 0);
	show("time sharing", thread_policy(t, 1, 0) | thread_policy(u, 1, 0));
	show("30 and 32", thread_priority(t, 30, 0) | thread_priority(u, 32, 0));
	thread_resume(u);
	wait(300);
	counts[0] = counts[1] = 0;
	wait(1500);
	say("sharing 30 and 32: %d %d\n", counts[0] > 0, counts[1] > 0);
	thread_terminate(t);
	thread_terminate(u);
	t = thread(2, trace2);
	u = thread(3, trace3);
	thread_policy(t, 2, 100);
	thread_policy(u, 2, 100);
	thread_priority(t, 30, 0);
	thread_priority(u, 30, 0);
	thread_resume(t);
	thread_resume(u);
	wait(100);
	changes = 0;
	wait(1000);
	say("fixed, quantum 100: %d %d changes %d\n", counts[2] > 0, counts[3] > 0, changes >= 6 && changes <= 14);
	thread_policy(t, 2, 500);
	thread_policy(u, 2, 500);
	wait(200);
	changes = 0;
	wait(1000);
	say("fixed, quantum 500: changes %d\n", changes >= 1 && changes <= 4);
	thread_policy(t, 2, 0);
	thread_policy(u, 2, 0);
	wait(600);
	changes = 0;
	wait(500);
	say("fixed, quantum 0: changes many %d\n", changes >= 25);
	show("disable and change", processor_set_policy_disable(set, 2, 1));
	facts("is", t);
	changes = 0;
	wait(1000);
	say("sharing: changes more %d\n", changes > 14);
	thread_terminate(t);
	thread_terminate(u);
}
int guest_main(void)
{
	self = mach_task_self();
	me = mach_thread_self();
	host = mach_host_self();
	processor_set_default(host, &name);
	host_processor_set_priv(host_priv, name, &set);
	setting();
	priorities();
	depression();
	depressing();
	running();
	return 0;
}
