/* A server's loop: requests in, replies out, and nothing kept of what was refused. */
#include "guest.h"
#include "server.h"

#define ROOM 8192
/* What a code of mach_msg says besides: which part of a message could not be taken. */
#define LOST 0x3c00
#define CODE(reply) (((uint32_t *) (reply))[7])

typedef union {
	mach_msg_header_t header;
	uint32_t words[ROOM / sizeof(uint32_t)];
} buffer_t;

static buffer_t request, reply;
static const mach_msg_header_t *served;
static boolean_t answered_later;

static void give_up(mach_port_t name, mach_msg_type_name_t right)
{
	if (!IS_LIVING(name))
		return;
	if (right == MACH_MSG_TYPE_MOVE_RECEIVE)
		mach_port_mod_refs(mach_task_self(), name, MACH_PORT_RIGHT_RECEIVE, -1);
	else if (right == MACH_MSG_TYPE_MOVE_SEND || right == MACH_MSG_TYPE_MOVE_SEND_ONCE)
		syscall_mach_port_deallocate(mach_task_self(), name);
}

/* Gives up an item of a message's body; where the next one is. */
static uint32_t *destroy_item(uint32_t *item)
{
	uint32_t word = *item++, size = MIG_SIZE(word), number = MIG_NUMBER(word), bytes, n;
	mach_msg_type_name_t name = MIG_NAME(word);
	uint32_t *data;

	if (MIG_IS_LONG(word)) {
		name = MIG_LONG_NAME_OF(item[0]);
		size = MIG_LONG_SIZE_OF(item[0]);
		number = item[1];
		item += 2;
	}
	bytes = (uint32_t) (((uint64_t) number * size + 7) >> 3);
	data = MIG_IS_INLINE(word) ? item : (uint32_t *) *item;
	if (MACH_MSG_TYPE_PORT_ANY(name))
		for (n = 0; n < number; n++)
			give_up(data[n], name);
	if (MIG_IS_INLINE(word))
		return item + (bytes + 3) / 4;
	if (bytes)
		syscall_vm_deallocate(mach_task_self(), (vm_address_t) data, bytes);
	return item + 1;
}

void server_destroy(mach_msg_header_t *message)
{
	uint32_t *item = (uint32_t *) (message + 1);
	uint32_t *end = (uint32_t *) ((char *) message + message->msgh_size);

	give_up(message->msgh_remote_port, MACH_MSGH_BITS_REMOTE(message->msgh_bits));
	if (message->msgh_bits & MACH_MSGH_BITS_COMPLEX)
		while (item < end)
			item = destroy_item(item);
}

void server_answer(mach_msg_header_t *message)
{
	boolean_t once = MACH_MSGH_BITS_REMOTE(message->msgh_bits) == MACH_MSG_TYPE_MOVE_SEND_ONCE;

	if (!IS_LIVING(message->msgh_remote_port) || mig_send(message, once ? 0 : MACH_SEND_TIMEOUT, 0))
		server_destroy(message);
}

server_client_t server_answer_later(void)
{
	server_client_t client = { served->msgh_remote_port, MACH_MSGH_BITS_REMOTE(served->msgh_bits), served->msgh_id };

	answered_later = TRUE;
	return client;
}

void server_begin_answer(const server_client_t *client, mach_msg_header_t *message)
{
	mach_msg_header_t header = { client->right, sizeof header, client->port, MACH_PORT_NULL, 0, client->id };

	mig_begin_reply(&header, message);
}

static void serve(mach_msg_header_t *message, server_demux_t demux)
{
	served = message;
	answered_later = FALSE;
	demux(message, &reply.header);
	if (CODE(&reply) == MIG_NO_REPLY) {
		if (answered_later)
			return;
		mig_end_reply(&reply.header, KERN_SUCCESS);
	} else if (CODE(&reply) != KERN_SUCCESS) {
		/* The right to answer is the reply's. */
		message->msgh_remote_port = MACH_PORT_NULL;
		server_destroy(message);
	}
	server_answer(&reply.header);
}

mach_msg_return_t server_once(mach_port_t from, server_demux_t demux, mach_msg_timeout_t timeout)
{
	mach_msg_option_t option = MACH_RCV_MSG | (timeout ? MACH_RCV_TIMEOUT : 0);
	mach_msg_header_t *message = &request.header;
	mach_msg_size_t room = sizeof request;
	vm_address_t larger = 0;
	mach_msg_return_t result = mach_msg(message, option | MACH_RCV_LARGE, 0, room, from, timeout, MACH_PORT_NULL);

	while (result == MACH_RCV_TOO_LARGE) {
		/* It waits in its queue; where there is no memory for it it is received as far as it fits, and destroyed. */
		mach_msg_size_t wanted = message->msgh_size;

		if (larger)
			syscall_vm_deallocate(mach_task_self(), larger, room);
		larger = 0;
		if (syscall_vm_allocate(mach_task_self(), &larger, wanted, TRUE)) {
			mach_msg(&request.header, option, 0, sizeof request, from, timeout, MACH_PORT_NULL);
			return MACH_MSG_SUCCESS;
		}
		message = (mach_msg_header_t *) larger;
		room = wanted;
		result = mach_msg(message, option | MACH_RCV_LARGE, 0, room, from, timeout, MACH_PORT_NULL);
	}
	if ((result & ~LOST) == MACH_RCV_BODY_ERROR)
		result = MACH_MSG_SUCCESS;
	if (result == MACH_MSG_SUCCESS)
		serve(message, demux);
	if (larger)
		syscall_vm_deallocate(mach_task_self(), larger, room);
	return result;
}
