/*
 * The loops that machemu is measured by. Arguments after the two ports: which loop, and how many rounds. It prints GO, runs the
 * loop and prints DONE, so that whoever watches the console can time what lies between.
 */
#include "guest.h"

typedef struct {
	mach_msg_header_t header;
	uint32_t body[4];
} message_t;

static char stack[16384];
static mach_port_t server_port;

static uint32_t number(const char *text)
{
	uint32_t value = 0;

	while (*text >= '0' && *text <= '9')
		value = value * 10 + *text++ - '0';
	return value;
}

static mach_port_t new_port(void)
{
	mach_port_t port;

	mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port);
	mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND);
	return port;
}

static void address(message_t *message, mach_msg_bits_t bits, mach_port_t remote, mach_port_t local)
{
	message->header.msgh_bits = bits;
	message->header.msgh_size = sizeof message->header;
	message->header.msgh_remote_port = remote;
	message->header.msgh_local_port = local;
	message->header.msgh_id = 1;
}

static void null_traps(uint32_t rounds)
{
	while (rounds--)
		mach_thread_self();
}

static void messages_to_self(uint32_t rounds)
{
	mach_port_t port = new_port();
	message_t message;

	while (rounds--) {
		address(&message, MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0), port, MACH_PORT_NULL);
		mach_msg(&message.header, MACH_SEND_MSG | MACH_RCV_MSG, sizeof message.header, sizeof message, port, 0, MACH_PORT_NULL);
	}
}

static void kernel_calls(uint32_t rounds)
{
	mach_port_type_t type;
	mach_port_t self = mach_task_self();

	while (rounds--)
		mach_port_type(self, self, &type);
}

static void serve(void)
{
	message_t message;
	mach_msg_option_t option = MACH_RCV_MSG;

	for (;;) {
		mach_msg(&message.header, option, sizeof message.header, sizeof message, server_port, 0, MACH_PORT_NULL);
		address(&message, MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0), message.header.msgh_remote_port, MACH_PORT_NULL);
		option = MACH_SEND_MSG | MACH_RCV_MSG;
	}
}

static void calls_between_threads(uint32_t rounds)
{
	mach_port_t reply = mach_reply_port();
	message_t message;

	server_port = new_port();
	start_thread(serve, stack, sizeof stack);
	while (rounds--) {
		address(&message, MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), server_port, reply);
		mach_msg(&message.header, MACH_SEND_MSG | MACH_RCV_MSG, sizeof message.header, sizeof message, reply, 0, MACH_PORT_NULL);
	}
}

static void fresh_pages(uint32_t rounds)
{
	mach_port_t self = mach_task_self();
	vm_address_t start;
	int page;

	while (rounds--) {
		vm_allocate(self, &start, 16 * PAGE_SIZE, TRUE);
		for (page = 0; page < 16; page++)
			*(volatile int *) (start + page * PAGE_SIZE) = page;
		vm_deallocate(self, start, 16 * PAGE_SIZE);
	}
}

static void copied_pages(uint32_t rounds)
{
	mach_port_t self = mach_task_self();
	vm_address_t from, to;
	int page;

	vm_allocate(self, &from, 16 * PAGE_SIZE, TRUE);
	vm_allocate(self, &to, 16 * PAGE_SIZE, TRUE);
	for (page = 0; page < 16; page++)
		*(volatile int *) (from + page * PAGE_SIZE) = page;
	while (rounds--) {
		vm_copy(self, from, 16 * PAGE_SIZE, to);
		for (page = 0; page < 16; page++)
			*(volatile int *) (to + page * PAGE_SIZE) = page;
	}
}

static void tasks(uint32_t rounds)
{
	mach_port_t self = mach_task_self();
	mach_port_t child;

	while (rounds--) {
		task_create(self, TRUE, &child);
		task_terminate(child);
		mach_port_deallocate(self, child);
	}
}

int guest_main(void)
{
	uint32_t rounds;

	if (arg_count < 5) {
		say("bench: give a loop and a number of rounds\nEND\n");
		return 1;
	}
	rounds = number(arg_value[4]);
	say("GO\n");
	switch (arg_value[3][0]) {
	case 'n': null_traps(rounds); break;
	case 's': messages_to_self(rounds); break;
	case 'k': kernel_calls(rounds); break;
	case 't': calls_between_threads(rounds); break;
	case 'p': fresh_pages(rounds); break;
	case 'c': copied_pages(rounds); break;
	case 'x': tasks(rounds); break;
	default: say("bench: no such loop\n");
	}
	say("DONE\n");
	return 0;
}
