/*
 * Asks and answers over the Ethernet, in frames of a type of its own (IEEE 802's first local experimental one). Its arguments after the
 * two ports: `answer`, which answers whoever asks; or `ask COUNT [NODE [SIZE]]`, which asks the node of a cluster with that number, or
 * everyone without one or with 0, COUNT times in frames of SIZE bytes, each time until an answer comes.
 */
#include "guest.h"

#define KIND 0x88b5
#define FRAME_MAX 1514
#define HEADER 14
#define WAIT_MS 100
#define TRIES 50
#define QUEUE_MAX 16
#define D_WRITE 2
#define D_READ 1
#define NET_ADDRESS 0x6e0002
#define NETF_IN 1
#define PUSHLIT 1
#define EQ_PUSHLIT (1 << 10 | 1)
#define PUSHWORD_1 17
#define QUESTION 1
#define ANSWER 2

/* What comes from the interface (net_rcv_msg): the frame's header, then length and type in front of its data. */
typedef struct {
	mach_msg_header_t head;
	mach_msg_type_t header_type;
	unsigned char header[64];
	mach_msg_type_t packet_type;
	unsigned char packet[4 + FRAME_MAX - HEADER + 64];
} received_t;

/* Behind the header: what it is, and the question's number in four bytes, the highest first. */
typedef struct {
	unsigned char target[6], source[6], kind[2], what, number[4], rest[FRAME_MAX - HEADER - 5];
} frame_t;

static unsigned char own[6];
static device_t net;
static mach_port_t box;
static received_t received;
static frame_t frame;

static u32 parse(const char *digits)
{
	u32 value = 0;

	while (*digits >= '0' && *digits <= '9')
		value = 10 * value + *digits++ - '0';
	return value;
}

static void copy(void *to, const void *from, u32 size)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	while (size--)
		*t++ = *f++;
}

static u32 number_in(const unsigned char *bytes)
{
	return (u32) bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
}

/* The number of the node that has an address: a cluster puts it there. */
static u32 node_of(const unsigned char *address)
{
	return address[3] << 8 | address[4];
}

static int open_net(void)
{
	filter_t filter[] = { NETF_IN, PUSHWORD_1, EQ_PUSHLIT, 0 };
	unsigned char kind[2] = { KIND >> 8, KIND & 0xff };
	mach_msg_type_number_t count = 2;
	int status[2];
	u32 address[2];
	kern_return_t result = device_open(device_master, D_READ | D_WRITE, "eth0", &net);

	if (!result)
		result = device_get_status(net, NET_ADDRESS, status, &count);
	if (!result)
		result = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &box);
	if (!result)
		result = mach_port_set_qlimit(mach_task_self(), box, QUEUE_MAX);
	if (result)
		return show("eth0", result);
	own[0] = (u32) status[0] >> 24, own[1] = (u32) status[0] >> 16, own[2] = (u32) status[0] >> 8, own[3] = status[0];
	own[4] = (u32) status[1] >> 24, own[5] = (u32) status[1] >> 16;
	copy(&filter[3], kind, 2);
	return show("device_set_filter", device_set_filter(net, box, MACH_MSG_TYPE_MAKE_SEND, 1, filter, 4));
}

static void transmit(const unsigned char *target, int what, u32 number, u32 size)
{
	unsigned char place[4] = { number >> 24, number >> 16, number >> 8, number };
	int written;

	copy(frame.target, target, 6);
	copy(frame.source, own, 6);
	frame.kind[0] = KIND >> 8;
	frame.kind[1] = KIND & 0xff;
	frame.what = what;
	copy(frame.number, place, 4);
	if (device_write(net, 0, 0, (char *) &frame, size, &written))
		say("the frame is refused\n");
}

/* The next frame that is a WHAT; 0 where none comes for a time, which is 0 for ever. */
static int receive(int what, u32 milliseconds)
{
	do {
		if (mach_msg(&received.head, MACH_RCV_MSG | (milliseconds ? MACH_RCV_TIMEOUT : 0), 0, sizeof received, box, milliseconds,
			     MACH_PORT_NULL))
			return 0;
	} while (received.packet[4] != what);
	return 1;
}

static void answer(void)
{
	unsigned char asker[6];

	while (receive(QUESTION, 0)) {
		copy(asker, received.header + 6, 6);
		say("question %u from node %u\n", number_in(received.packet + 5), node_of(asker));
		transmit(asker, ANSWER, number_in(received.packet + 5), HEADER + 5);
	}
}

static void ask(u32 count, u32 node, u32 size)
{
	unsigned char target[6] = { 2, 0, 0, node >> 8, node, 0 };
	u32 number;
	int tries, done, i;

	for (i = 0; !node && i < 6; i++)
		target[i] = 0xff;
	for (number = 1; number <= count; number++)
		for (done = 0, tries = 1; !done; tries++) {
			if (tries > TRIES) {
				say("no answer to question %u\n", number);
				return;
			}
			transmit(target, QUESTION, number, size);
			while (!done && receive(ANSWER, WAIT_MS))
				done = number_in(received.packet + 5) == number;
			if (done)
				say("answer %u from node %u, asked %d\n", number, node_of(received.header + 6), tries);
		}
}

int guest_main(void)
{
	if (!open_net()) {
		if (arg_count > 4 && arg_value[3][1] == 's')
			ask(parse(arg_value[4]), arg_count > 5 ? parse(arg_value[5]) : 0, arg_count > 6 ? parse(arg_value[6]) : HEADER + 5);
		else
			answer();
	}
	say("END\n");
	return 0;
}
