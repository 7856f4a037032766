/* What messages carry besides bytes: a send right, a receive right with its queue, memory; and what dies tells its users. */
#include "guest.h"

typedef struct {
	mach_msg_header_t header;
	uint32_t body[16];
} message_t;

static mach_port_t self, box;

static mach_port_t new_port(void)
{
	mach_port_t port = MACH_PORT_NULL;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &port);
	return port;
}

static void rights(const char *what, mach_port_t name)
{
	mach_port_type_t type = 0;

	mach_port_type(self, name, &type);
	say("  %s %n:%s%s%s%s%s\n", what, name, type & MACH_PORT_TYPE_RECEIVE ? " receive" : "", type & MACH_PORT_TYPE_SEND ? " send" : "",
		type & MACH_PORT_TYPE_SEND_ONCE ? " send-once" : "", type & MACH_PORT_TYPE_DEAD_NAME ? " dead" : "", type ? "" : " nothing");
}

/* Sends SIZE bytes with the box's send right made for the message. */
static void send(message_t *message, mach_port_t to, u32 complex, u32 size, int id)
{
	message->header.msgh_bits = complex | MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0);
	message->header.msgh_size = size;
	message->header.msgh_remote_port = to;
	message->header.msgh_local_port = MACH_PORT_NULL;
	message->header.msgh_seqno = 0;
	message->header.msgh_id = id;
	show("send", mach_msg(&message->header, MACH_SEND_MSG, size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
}

static void receive(message_t *message, mach_port_t from)
{
	show("receive", mach_msg(&message->header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof *message, from, 1000, MACH_PORT_NULL));
	say("  id %d size %u\n", message->header.msgh_id, message->header.msgh_size);
}

static mach_port_t pass_right(mach_port_t port, mach_msg_type_name_t how, int id)
{
	message_t message;

	message.body[0] = MIG_SHORT(how, 32, 1, 1, 0);
	message.body[1] = port;
	send(&message, box, MACH_MSGH_BITS_COMPLEX, 32, id);
	rights("sender's", port);
	receive(&message, box);
	say("  came as %u\n", MIG_NAME(message.body[0]));
	rights("receiver's", message.body[1]);
	return message.body[1];
}

static void pass_memory(void)
{
	message_t message;
	vm_address_t memory = 0;
	vm_offset_t copy;
	mach_msg_type_number_t count;
	uint32_t *words;

	vm_allocate(self, &memory, 8192, TRUE);
	words = (uint32_t *) memory;
	words[0] = 0x1234;
	words[2047] = 0x5678;
	message.body[0] = MIG_LONG(0, 1);
	message.body[1] = MIG_LONG_NAME(MACH_MSG_TYPE_BYTE, 8);
	message.body[2] = 8192;
	message.body[3] = memory;
	send(&message, box, MACH_MSGH_BITS_COMPLEX, 40, 103);
	show("the sender's memory now", vm_read(self, memory, 8192, &copy, &count));
	receive(&message, box);
	words = (uint32_t *) message.body[3];
	say("  %u bytes, words %x %x\n", message.body[2], words[0], words[2047]);
	words[1] = 1;
	show("give it back", vm_deallocate(self, message.body[3], 8192));
}

int guest_main(void)
{
	mach_port_t port, name, previous;
	message_t message;

	self = mach_task_self();
	box = new_port();
	port = new_port();

	say("-- a send right\n");
	pass_right(port, MACH_MSG_TYPE_MAKE_SEND, 100);
	say("-- a send-once right\n");
	name = pass_right(port, MACH_MSG_TYPE_MAKE_SEND_ONCE, 101);

	say("-- a receive right, with a message in its queue\n");
	send(&message, port, 0, 24, 200);
	pass_right(port, MACH_MSG_TYPE_MOVE_RECEIVE, 102);
	receive(&message, port);

	say("-- memory\n");
	pass_memory();

	say("-- a dead name\n");
	show("ask", mach_port_request_notification(self, name, MACH_NOTIFY_DEAD_NAME, 0, box, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
	show("end the port", mach_port_mod_refs(self, port, MACH_PORT_RIGHT_RECEIVE, -1));
	receive(&message, box);
	say("  about %n\n", message.body[1]);
	rights("the send-once right's name", name);
	rights("the send right's name", port);
	say("END\n");
	return 0;
}
