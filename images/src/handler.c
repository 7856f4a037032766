/*
 * A task that handles its child's exceptions, accesses to memory that is not there: at the port of the child's thread, and where that
 * handler refuses, at the port of the child. It mends the first and refuses the second.
 */
#include "guest.h"

#define CHILD_CONSOLE 0x1003

typedef struct {
	mach_msg_header_t h;
	u32 w[16];
} message_t;

static mach_port_t self, other, task_box, thread_box, gone;
static char stack[4 * PAGE_SIZE];
static vm_address_t hole;

__attribute__((noinline)) u32 load(vm_address_t at)
{
	return *(volatile u32 *) at;
}

static void child(void)
{
	mig_forget_reply_port();
	console = CHILD_CONSOLE;
	say("the word is %u\n", load(hole));
	say("the next is %u\n", load(hole + PAGE_SIZE));
	task_terminate(mach_task_self());
}

/* Receives an exception, and says what it is. */
__attribute__((noinline)) void take(const char *who, mach_port_t from, message_t *m)
{
	mach_msg(&m->h, MACH_RCV_MSG, 0, sizeof *m, from, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
	say("%s: exception %d code %d in page %u\n", who, m->w[5], m->w[7], (m->w[9] - hole) / PAGE_SIZE);
}

/* Answers one: KERN_SUCCESS lets the thread go on, anything else asks the next handler. */
__attribute__((noinline)) void answer(message_t *m, kern_return_t code)
{
	message_t r;

	r.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0);
	r.h.msgh_size = sizeof r.h + 2 * sizeof(u32);
	r.h.msgh_remote_port = m->h.msgh_remote_port;
	r.h.msgh_local_port = MACH_PORT_NULL;
	r.h.msgh_seqno = 0;
	r.h.msgh_id = m->h.msgh_id + 100;
	r.w[0] = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
	r.w[1] = code;
	mach_msg(&r.h, MACH_SEND_MSG, r.h.msgh_size, 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
}

static mach_port_t new_port(void)
{
	mach_port_t port = MACH_PORT_NULL;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &port);
	mach_port_insert_right(self, port, port, MACH_MSG_TYPE_MAKE_SEND);
	return port;
}

int guest_main(void)
{
	static message_t m;
	mach_port_t previous;
	thread_t thread;

	self = mach_task_self();
	task_box = new_port();
	thread_box = new_port();
	gone = new_port();
	vm_allocate(self, &hole, 2 * PAGE_SIZE, TRUE);
	vm_deallocate(self, hole, 2 * PAGE_SIZE);
	show("the child", task_create(self, TRUE, &other));
	mach_port_insert_right(other, CHILD_CONSOLE, console, MACH_MSG_TYPE_COPY_SEND);
	mach_port_request_notification(self, other, MACH_NOTIFY_DEAD_NAME, 0, gone, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
	show("its handler", task_set_special_port(other, TASK_EXCEPTION_PORT, task_box));
	thread_create(other, &thread);
	show("its thread's handler", thread_set_special_port(thread, THREAD_EXCEPTION_PORT, thread_box));
	set_entry(thread, child, (vm_address_t) stack + sizeof stack);
	show("its thread", thread_resume(thread));

	take("the thread's port", thread_box, &m);
	vm_allocate(other, &hole, PAGE_SIZE, FALSE);
	answer(&m, KERN_SUCCESS);

	take("the thread's port", thread_box, &m);
	answer(&m, KERN_FAILURE);
	take("the task's port", task_box, &m);
	answer(&m, KERN_FAILURE);

	mach_msg(&m.h, MACH_RCV_MSG, 0, sizeof m, gone, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
	say("the child has ended: notification %d\n", m.h.msgh_id);
	say("END\n");
	return 0;
}
