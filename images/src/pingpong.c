/*
 * Two tasks send each other numbered messages. The second inherits the first's memory, but no port: each of its rights
 * is put into its name space under a name that both know.
 */
#include "guest.h"

#define ROUNDS 5
#define BALL 1000

/* The child's names: its receive right, a send right to the parent, the console. */
#define CHILD_BOX 0x1001
#define PARENT_BOX 0x1002
#define CHILD_CONSOLE 0x1003

typedef struct {
	mach_msg_header_t header;
	mach_msg_type_t type;
	int number;
} ball_t;

static void *stack_bottom[2048];

static void throw(mach_port_t to, int number)
{
	ball_t ball;

	ball.header.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
	ball.header.msgh_size = sizeof ball;
	ball.header.msgh_remote_port = to;
	ball.header.msgh_local_port = MACH_PORT_NULL;
	ball.header.msgh_seqno = 0;
	ball.header.msgh_id = BALL;
	*(uint32_t *) &ball.type = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
	ball.number = number;
	mach_msg(&ball.header, MACH_SEND_MSG, sizeof ball, 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
}

static int catch(mach_port_t box)
{
	ball_t ball;

	if (mach_msg(&ball.header, MACH_RCV_MSG, 0, sizeof ball, box, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL))
		return -1;
	return ball.header.msgh_id == BALL ? ball.number : -1;
}

static void child(void)
{
	int number;

	mig_forget_reply_port();
	console = CHILD_CONSOLE;
	do {
		number = catch(CHILD_BOX);
		say("pong %d\n", number);
		throw(PARENT_BOX, number + 1);
	} while (number < 2 * ROUNDS - 1);
	task_terminate(mach_task_self());
}

int guest_main(void)
{
	mach_port_t self = mach_task_self(), box, other, to_child, gone, previous;
	mach_msg_type_name_t kind;
	thread_t thread;
	int round;
	struct { mach_msg_header_t header; uint32_t body[8]; } notice;

	show("the child", task_create(self, TRUE, &other));
	show("its receive right", mach_port_allocate_name(other, MACH_PORT_RIGHT_RECEIVE, CHILD_BOX));
	show("a send right to it", mach_port_extract_right(other, CHILD_BOX, MACH_MSG_TYPE_MAKE_SEND, &to_child, &kind));
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	show("a send right for it", mach_port_insert_right(other, PARENT_BOX, box, MACH_MSG_TYPE_MAKE_SEND));
	show("the console for it", mach_port_insert_right(other, CHILD_CONSOLE, console, MACH_MSG_TYPE_COPY_SEND));
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &gone);
	mach_port_request_notification(self, to_child, MACH_NOTIFY_DEAD_NAME, 0, gone, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
	thread_create(other, &thread);
	set_entry(thread, child, (vm_address_t) stack_bottom + sizeof stack_bottom);
	show("its thread", thread_resume(thread));

	for (round = 0; round < ROUNDS; round++) {
		say("ping %d\n", 2 * round + 1);
		throw(to_child, 2 * round + 1);
		say("back %d\n", catch(box));
	}
	mach_msg(&notice.header, MACH_RCV_MSG, 0, sizeof notice, gone, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
	say("the child has ended: notification %d\n", notice.header.msgh_id);
	say("END\n");
	return 0;
}
