/*
 * A task and its child, which inherits memory: a page is copied, one is shared, one stays behind. Each says what it sees, and writes.
 */
#include "guest.h"

/* The child's names: its receive right, a send right to the parent, the console. */
#define CHILD_BOX 0x1001
#define PARENT_BOX 0x1002
#define CHILD_CONSOLE 0x1003

#define WORDS (PAGE_SIZE / sizeof(u32))
#define PAGE __attribute__((aligned(PAGE_SIZE)))

volatile u32 copied[WORDS] PAGE, shared[WORDS] PAGE, left[WORDS] PAGE;
static char stack[4 * PAGE_SIZE] PAGE;
static mach_port_t box;

/* Tells the other task that it is its turn. */
static void tell(mach_port_t to)
{
	mach_msg_header_t m;

	m.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
	m.msgh_size = sizeof m;
	m.msgh_remote_port = to;
	m.msgh_local_port = MACH_PORT_NULL;
	m.msgh_seqno = 0;
	m.msgh_id = 500;
	mach_msg(&m, MACH_SEND_MSG, sizeof m, 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
}

static void wait(mach_port_t from)
{
	mach_msg_header_t m;

	mach_msg(&m, MACH_RCV_MSG, 0, sizeof m, from, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
}

__attribute__((noinline)) void read_both(const char *who)
{
	say("%s sees %u %u\n", who, copied[0], shared[0]);
}

__attribute__((noinline)) void write_both(u32 number)
{
	copied[0] = number;
	shared[0] = number;
}

static void child(void)
{
	mig_forget_reply_port();
	console = CHILD_CONSOLE;
	read_both("the child");
	write_both(2);
	read_both("the child");
	tell(PARENT_BOX);
	wait(CHILD_BOX);
	read_both("the child");
	tell(PARENT_BOX);
	task_terminate(mach_task_self());
}

int guest_main(void)
{
	mach_port_t self = mach_task_self(), other, to_child;
	mach_msg_type_name_t kind;
	thread_t thread;

	write_both(1);
	left[0] = 1;
	vm_inherit(self, (vm_address_t) shared, PAGE_SIZE, VM_INHERIT_SHARE);
	vm_inherit(self, (vm_address_t) left, PAGE_SIZE, VM_INHERIT_NONE);
	show("the child", task_create(self, TRUE, &other));
	mach_port_allocate_name(other, MACH_PORT_RIGHT_RECEIVE, CHILD_BOX);
	mach_port_extract_right(other, CHILD_BOX, MACH_MSG_TYPE_MAKE_SEND, &to_child, &kind);
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(other, PARENT_BOX, box, MACH_MSG_TYPE_MAKE_SEND);
	mach_port_insert_right(other, CHILD_CONSOLE, console, MACH_MSG_TYPE_COPY_SEND);
	thread_create(other, &thread);
	set_entry(thread, child, (vm_address_t) stack + sizeof stack);
	show("its thread", thread_resume(thread));
	wait(box);
	read_both("the parent");
	write_both(3);
	read_both("the parent");
	tell(to_child);
	wait(box);
	say("END\n");
	return 0;
}
