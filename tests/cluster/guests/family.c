/*
 * A process and its descendants. Arguments after the two ports: `nomad` or `sedentary`, `mixed` for a sedentary one with nomad descendants,
 * or the name of its process's port; how many generations come after it, and how
 * many children each has; `abrupt`: those without children end without a word; or the nodes to which they go, each generation to the next
 * one. A process exits with the number of processes that it and its descendants are, as its children's told it.
 */
#include "guest.h"
#include <masix.h>
#include "acs_user.h"
#include "gps_user.h"

#define LOST 0x80000000

static mach_port_t gps, process;
static pm_pid_t pid;
static boolean_t abrupt, mixed;
static pm_personality_t personality;
static int hosts; /* how many */
static void *frame[5];
static char stack[PAGE_SIZE] __attribute__((aligned(16)));

static boolean_t same(const pm_pid_t one, const pm_pid_t other)
{
	return one[0] == other[0] && one[1] == other[1] && one[2] == other[2] && one[3] == other[3];
}

static void __attribute__((noinline)) go_on(void)
{
	__builtin_longjmp(frame, 1);
}

/* As Unix's: 0 in the child, 1 in its parent, -1 where there was none. */
static int __attribute__((noinline)) fork(void)
{
	mach_port_t child;
	pm_pid_t name;
	task_t task;
	thread_t thread;

	if (__builtin_setjmp(frame)) {
		mig_forget_reply_port();
		mixed = FALSE;
		return 0;
	}
	if (task_create(mach_task_self(), TRUE, &task))
		return -1;
	mach_port_mod_refs(mach_task_self(), task, MACH_PORT_RIGHT_SEND, 1);
	if (mixed ? pm_spawn(process, task, GPS_NOMAD, personality, name, &child) : pm_fork(process, task, name, &child)) {
		task_terminate(task);
		return -1;
	}
	mach_port_insert_right(task, process, child, MACH_MSG_TYPE_MOVE_SEND);
	mach_port_insert_right(task, console, console, MACH_MSG_TYPE_COPY_SEND);
	thread_create(task, &thread);
	set_entry(thread, go_on, (vm_address_t) stack + sizeof stack);
	thread_resume(thread);
	mach_port_deallocate(mach_task_self(), thread);
	mach_port_deallocate(mach_task_self(), task);
	return 1;
}

static void leave(u32 status)
{
	pm_exit(process, status);
	for (;;)
		thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 1000);
}

/* How many this process and its descendants are, as far as they can be counted. */
static u32 family(int generations, int children)
{
	u32 sum = 1, status;
	pm_pid_t parent, name;
	int n;

	memcpy(parent, pid, sizeof parent);
	if (hosts && !mixed) {
		pm_host_t host;
		kern_return_t result;

		mig_strncpy(host, arg_value[6 + generations % hosts], sizeof host);
		result = pm_migrate(process, host);
		if (result)
			say("to %s: %x\n", host, result);
		if (pm_getpid(process, name) || !same(name, pid))
			say("it has another name\n");
	}
	for (n = 0; generations && n < children; n++)
		switch (fork()) {
		case 0:
			if (pm_getppid(process, name) || !same(name, parent))
				say("its parent is another one\n");
			if (pm_getpid(process, pid) || same(pid, parent))
				say("it has its parent's name\n");
			if (abrupt && generations == 1)
				task_terminate(mach_task_self());
			leave(family(generations - 1, children));
		case -1:
			say("no child\n");
		}
	while (!pm_wait(process, name, &status))
		sum += status & LOST ? 0 : status;
	return sum;
}

static int number(const char *digits)
{
	int value = 0;

	while (*digits >= '0' && *digits <= '9')
		value = 10 * value + *digits++ - '0';
	return value;
}

/* Becomes a process, after some attempts that fail. */
static void begin(int kind)
{
	pm_personality_t other;
	mach_port_t names, again, no_task;
	acs_name_t service;
	pm_pid_t none;
	int n;

	task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &names);
	mig_strncpy(service, "gps", sizeof service);
	mig_strncpy(personality, "bare", sizeof personality);
	mig_strncpy(other, "dos", sizeof other);
	for (n = 0; n < 50 && acs_look_up_here(names, service, &gps); n++)
		thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 100);
	show("without a task", gps_create(gps, MACH_PORT_NULL, kind, personality, pid, &process));
	no_task = mach_reply_port();
	mach_port_insert_right(mach_task_self(), no_task, no_task, MACH_MSG_TYPE_MAKE_SEND);
	show("of a port that is no task", gps_create(gps, no_task, kind, personality, pid, &process));
	show("of no kind", gps_create(gps, mach_task_self(), 2, personality, pid, &process));
	show("of another personality", gps_create(gps, mach_task_self(), kind, other, pid, &process));
	show("created", gps_create(gps, mach_task_self(), kind, personality, pid, &process));
	show("once more", gps_create(gps, mach_task_self(), kind, personality, none, &again));
}

int guest_main(void)
{
	pm_pid_t none;
	u32 status;

	abrupt = arg_count > 6 && strcmp(arg_value[6], "abrupt") == 0;
	hosts = abrupt ? 0 : arg_count - 6;
	if (*arg_value[3] >= '0' && *arg_value[3] <= '9') {
		process = number(arg_value[3]);
		show("it is", pm_getpid(process, pid));
	} else
		begin(strcmp(arg_value[3], "nomad") ? GPS_SEDENTARY : GPS_NOMAD);
	mixed = strcmp(arg_value[3], "mixed") == 0;
	show("its parent", pm_getppid(process, none));
	say("%u %u %u %u\n", none[0], none[1], none[2], none[3]);
	say("%u processes\n", family(number(arg_value[4]), number(arg_value[5])));
	show("no child", pm_wait(process, none, &status));
	say("END\n");
	flush();
	leave(0);
	return 0;
}
