/* MIG's run time, and the few functions of C's library that stubs and compilers need. */
#include <mig.h>

/* The reply ports that no call has now. A thread may be stopped, or ended, at any instruction. */
static mach_port_t unused[8];
#define END (unused + sizeof unused / sizeof *unused)

mach_port_t mig_get_reply_port(void)
{
	mach_port_t *place, port;

	for (place = unused; place < END; place++)
		if ((port = *place) != MACH_PORT_NULL && __sync_bool_compare_and_swap(place, port, MACH_PORT_NULL))
			return port;
	return mach_reply_port();
}

/* A port for which there is no place stays without a use. */
static void give_back(mach_port_t port)
{
	mach_port_t *place;

	for (place = unused; place < END; place++)
		if (*place == MACH_PORT_NULL && __sync_bool_compare_and_swap(place, MACH_PORT_NULL, port))
			return;
}

void mig_forget_reply_port(void)
{
	mach_port_t *place;

	for (place = unused; place < END; place++)
		*place = MACH_PORT_NULL;
}

mach_msg_return_t mig_send(mach_msg_header_t *message, mach_msg_option_t option, mach_msg_timeout_t timeout)
{
	return mach_msg(message, MACH_SEND_MSG | option, message->msgh_size, 0, MACH_PORT_NULL, timeout, MACH_PORT_NULL);
}

kern_return_t mig_call(mach_msg_header_t *message, mach_msg_size_t room, mach_msg_option_t option, mach_msg_timeout_t timeout)
{
	mach_port_t reply = message->msgh_local_port;
	mach_msg_id_t id = message->msgh_id + 100;
	uint32_t *body = (uint32_t *) (message + 1);
	mach_msg_return_t result =
		mach_msg(message, MACH_SEND_MSG | MACH_RCV_MSG | option, message->msgh_size, room, reply, timeout, MACH_PORT_NULL);

	/* A late reply must not be taken for another call's. */
	if (result)
		return result;
	give_back(reply);
	if (message->msgh_id != id)
		return message->msgh_id == MACH_NOTIFY_SEND_ONCE ? MIG_SERVER_DIED : MIG_REPLY_MISMATCH;
	if (message->msgh_size < 32 || body[0] != MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0))
		return MIG_TYPE_ERROR;
	return body[1];
}

void mig_begin_reply(const mach_msg_header_t *request, mach_msg_header_t *reply)
{
	reply->msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(request->msgh_bits), 0);
	reply->msgh_size = 32;
	reply->msgh_remote_port = request->msgh_remote_port;
	reply->msgh_local_port = MACH_PORT_NULL;
	reply->msgh_seqno = 0;
	reply->msgh_id = request->msgh_id + 100;
}

void mig_end_reply(mach_msg_header_t *reply, kern_return_t result)
{
	uint32_t *body = (uint32_t *) (reply + 1);

	body[0] = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
	body[1] = result;
}

void mig_deallocate(vm_offset_t address, vm_size_t size)
{
	syscall_vm_deallocate(mach_task_self(), address, size);
}

void mig_allocate(vm_offset_t *address, vm_size_t size)
{
	*address = 0;
	syscall_vm_allocate(mach_task_self(), address, size, TRUE);
}

vm_size_t mig_strncpy(char *to, const char *from, vm_size_t size)
{
	vm_size_t length = 0;

	while (length < size - 1 && from[length]) {
		to[length] = from[length];
		length++;
	}
	to[length] = 0;
	return length;
}

mach_msg_return_t mach_msg(mach_msg_header_t *message, mach_msg_option_t option, mach_msg_size_t send_size,
	mach_msg_size_t receive_size, mach_port_t receive_name, mach_msg_timeout_t timeout, mach_port_t notify)
{
	mach_msg_return_t result =
		mach_msg_trap(message, option, send_size, receive_size, receive_name, timeout, notify);

	while (result == MACH_SEND_INTERRUPTED && !(option & MACH_SEND_INTERRUPT))
		result = mach_msg_trap(message, option, send_size, receive_size, receive_name, timeout, notify);
	while (result == MACH_RCV_INTERRUPTED && !(option & MACH_RCV_INTERRUPT))
		result = mach_msg_trap(message, option & ~MACH_SEND_MSG, 0, receive_size, receive_name, timeout, notify);
	return result;
}

void *memcpy(void *to, const void *from, size_t size)
{
	char *a = to;
	const char *b = from;

	while (size--)
		*a++ = *b++;
	return to;
}

void *memset(void *to, int value, size_t size)
{
	char *a = to;

	while (size--)
		*a++ = value;
	return to;
}

int memcmp(const void *one, const void *other, size_t size)
{
	const unsigned char *a = one, *b = other;

	for (; size--; a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

size_t strlen(const char *string)
{
	size_t length = 0;

	while (string[length])
		length++;
	return length;
}

int strcmp(const char *one, const char *other)
{
	while (*one && *one == *other)
		one++, other++;
	return (unsigned char) *one - (unsigned char) *other;
}
