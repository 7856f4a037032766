/* Emulation vectors: traps that a task takes over, what their handler finds, int 0x80, inheritance, and what is refused. */
#include "emulation.h"

typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;

static mach_port_t self, box;
static char stack1[16384];
static volatile u32 result, stage;

static void report(const char *what, u32 got)
{
	say("%s: result %x handled %d", what, got, made);
	if (made)
		say_handled();
	say("\n");
	made = 0;
}

static void vector(const char *what, task_t task)
{
	emulation_vector_t list = 0;
	mach_msg_type_number_t n = 0;
	int start = 99;
	u32 i;

	show(what, task_get_emulation_vector(task, &start, &list, &n));
	say("  from %d, %u entries:", start, n);
	for (i = 0; i < n && i < 12; i++)
		say(" %s", list[i] == 0 ? "-" : list[i] == (u32) handler ? "handler" : "other");
	say("\n");
}

static void rest(void)
{
	for (;;)
		thread_switch(0, SWITCH_OPTION_WAIT, 1000);
}

WITH_INT80(static void by_int80(void) { result = INT80(-26) != 0; stage = 1; rest(); })

static void no_stack(void)
{
	CALL_WITHOUT_STACK(result);
	for (;;) ;
}

static void stack_in_code(void)
{
	CALL_IN_TEXT(result);
	for (;;) ;
}

static void attempt(const char *what, void (*entry)(void))
{
	kern_return_t kr;
	message_t m;
	thread_t t;

	stage = 0;
	result = 0x12345678;
	t = start_thread(entry, stack1, sizeof stack1);
	kr = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 100, 0);
	say("%s: stage %d result %x", what, stage, result);
	if (!kr) {
		say(" exception %d code %x subcode %x", m.w[5], m.w[7], m.w[9]);
		say_stopped(t);
	}
	say("\n");
	thread_terminate(t);
}

int guest_main(void)
{
	vm_offset_t table[3];
	vm_address_t above = 0x70000000;
	task_t child, grandchild;
	int start = 0;

	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
	task_set_special_port(self, TASK_EXCEPTION_PORT, box);

	say("-- without a vector\n");
	vector("get", self);
	report("-5", CALL(-5));
	WITH_INT80(attempt("int 0x80", by_int80));
	show("not a task: get", task_get_emulation_vector(mach_thread_self(), &start, (emulation_vector_t *) &table[0], &table[1]));
	show("not a task: set", task_set_emulation(mach_thread_self(), (vm_address_t) handler, -5));
	table[0] = table[1] = table[2] = 0;
	show("not a task: vector", task_set_emulation_vector(mach_thread_self(), -5, table, 1));

	say("-- one entry\n");
	show("set -5", task_set_emulation(self, (vm_address_t) handler, -5));
	vector("get", self);
	report("-5", CALL(-5));
	report("-4", CALL(-4));
	report("-6", CALL(-6));
	WITH_INT80(report("-5 by int 0x80", INT80(-5)));
	vm_allocate(self, &above, PAGE_SIZE, FALSE);
	attempt("a stack nowhere", no_stack);
	attempt("a stack in code", stack_in_code);

	say("-- more entries\n");
	table[0] = (vm_offset_t) handler;
	table[1] = 0;
	table[2] = (vm_offset_t) handler;
	show("set -11", task_set_emulation_vector(self, -11, table, 3));
	vector("get", self);
	report("-11", CALL(-11));
	report("-10", CALL(-10));
	report("-9", CALL(-9));
	report("-7", CALL(-7));
	show("set 1", task_set_emulation(self, (vm_address_t) handler, 1));
	vector("get", self);
	report("1", CALL(1));
	WITH_INT80(report("1 by int 0x80", INT80(1)));
	show("clear -9", task_set_emulation(self, 0, -9));
	report("-9", CALL(-9));
	show("set none", task_set_emulation_vector(self, -30, table, 0));
	vector("get", self);
	show("take thread_self", task_set_emulation(self, (vm_address_t) handler, -27));
	report("-27", CALL(-27));
	show("give it back", task_set_emulation(self, 0, -27));
	report("-27 is itself again", CALL(-27) == mach_thread_self());

	say("-- children\n");
	show("create", task_create(self, FALSE, &child));
	vector("child", child);
	show("set 4 in the child", task_set_emulation(child, (vm_address_t) handler, 4));
	show("clear -5 in the child", task_set_emulation(child, 0, -5));
	vector("child", child);
	vector("parent", self);
	show("create its child", task_create(child, FALSE, &grandchild));
	vector("grandchild", grandchild);
	show("terminate", task_terminate(child));
	show("terminate", task_terminate(grandchild));
	vector("dead", child);
	show("create without a vector's entries", task_create(self, TRUE, &child));
	show("empty vector", task_set_emulation_vector(child, 7, table, 0));
	vector("child", child);
	show("terminate", task_terminate(child));

	say("-- restartable sequences\n");
	show("install", task_ras_control(self, (vm_address_t) handler, (vm_address_t) handler + 4, 3));
	show("purge all", task_ras_control(self, 0, 0, 0));
	show("of nobody", task_ras_control(mach_thread_self(), 0, 0, 0));
	return 0;
}
