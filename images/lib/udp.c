/* See udp.h. Sources: RFC 768, 791, 1071, 1122; Mach's <device/net_status.h> for what comes from an interface. */
#include "udp.h"
#include "udp_user.h"

#define NET_RCV_MSG 2999
#define UDP_SEND 5403
#define UDP_DATAGRAM 5450
#define CONNECTION_WRITE 5254
#define DEVICE_WRITE 2802
#define QUEUE_MAX 16
#define USES_MAX 1000
/* A frame begins two bytes into its place, so that the numbers behind its first header lie at whole words. */
#define SHIFT 2
#define ETHER_SIZE 14
#define IP_SIZE 20
#define UDP_SIZE 8
#define HEADERS (ETHER_SIZE + IP_SIZE + UDP_SIZE)

typedef struct {
	u32 value;
} __attribute__((packed, may_alias)) word_t;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define NET16(value) (value)
#define NET32(value) (value)
#else
#define NET16(value) ((u32) ((value) >> 8 & 0xff) | (u32) ((value) & 0xff) << 8)
#define NET32(value) (NET16((value) >> 16) | NET16(value) << 16)
#endif

/* What comes from an interface: the frame's header, then length and type in front of its data. */
typedef struct {
	mach_msg_header_t head;
	u32 header_type;
	unsigned char header[64];
	u32 packet_type;
	unsigned short length, type;
	unsigned char ip[1500 + 64];
} received_t;

typedef struct {
	mach_msg_header_t head;
	u32 address_type, address, port_type, port, data_type;
	unsigned char data[DATAGRAM_MAX];
} served_t;

typedef struct {
	mach_msg_header_t head;
	u32 mode_type, mode, recnum_type, recnum, data_type, data_name, data_size;
	vm_address_t data;
} direct_t;

static union {
	mach_msg_header_t head;
	received_t frame;
	served_t served;
} in;

/* As the IP header is read and written, in the network's byte order. */
typedef struct {
	unsigned char version, service;
	unsigned short total, identification, piece;
	unsigned char hops, protocol;
	unsigned short checksum;
	u32 source, target;
	unsigned short source_port, target_port, length, udp_checksum;
} __attribute__((packed, aligned(2))) headers_t;

typedef struct {
	station_t to, from;
	unsigned short type;
	headers_t ip;
	unsigned char data[DATAGRAM_MAX + 2];
} frame_t;

typedef struct {
	mach_msg_header_t head;
	u32 frame_type;
	frame_t frame;
} checked_t;

/*
 * Adds bytes as words of the machine to a sum, carries at its end, and copies them where TO is not null. Sums of 16 bits of either order
 * have the same bytes, and whole words can be added first.
 */
static u32 add(u32 sum, void *to, const void *from, u32 size)
{
	word_t *t = to;
	const word_t *f = from;
	u32 last = 0;

	if (to) {
		for (; size >= 16; size -= 16, t += 4, f += 4) {
			u32 a = f[0].value, b = f[1].value, c = f[2].value, d = f[3].value;

			t[0].value = a, t[1].value = b, t[2].value = c, t[3].value = d;
			ADD_CARRY(sum, a);
			ADD_CARRY(sum, b);
			ADD_CARRY(sum, c);
			ADD_CARRY(sum, d);
		}
		for (; size >= 4; size -= 4, t++, f++) {
			t->value = f->value;
			ADD_CARRY(sum, f->value);
		}
		memcpy(t, f, size);
	} else {
		for (; size >= 16; size -= 16, f += 4) {
			ADD_CARRY(sum, f[0].value);
			ADD_CARRY(sum, f[1].value);
			ADD_CARRY(sum, f[2].value);
			ADD_CARRY(sum, f[3].value);
		}
		for (; size >= 4; size -= 4, f++)
			ADD_CARRY(sum, f->value);
	}
	memcpy(&last, f, size);
	ADD_CARRY(sum, last);
	return sum;
}

static void copy(void *to, const void *from, u32 size)
{
	word_t *t = to;
	const word_t *f = from;

	for (; size >= 16; size -= 16, t += 4, f += 4)
		t[0].value = f[0].value, t[1].value = f[1].value, t[2].value = f[2].value, t[3].value = f[3].value;
	memcpy(t, f, size);
}

static u32 fold(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The sum of what a datagram's checksum covers beside its header and data. */
static u32 pseudo(const headers_t *headers)
{
	u32 sum = NET16(17) + headers->length;

	ADD_CARRY(sum, headers->source);
	ADD_CARRY(sum, headers->target);
	return sum;
}

static int is_station(u32 address)
{
	u32 first = address >> 24;

	return first && first != 127 && first < 224;
}

static int send(mach_msg_header_t *head, mach_port_t to, mach_msg_id_t id, u32 size, mach_msg_bits_t bits)
{
	head->msgh_bits = bits | MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
	head->msgh_size = (size + 3) & ~3;
	head->msgh_remote_port = to;
	head->msgh_local_port = MACH_PORT_NULL;
	head->msgh_id = id;
	return mach_msg(head, MACH_SEND_MSG, head->msgh_size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL) ? DATAGRAM_CLOSED : KERN_SUCCESS;
}

/* The frame that a socket sends, in its page: behind a message's header, or where it is looked for out of line. */
static frame_t *frame_of(datagram_t *socket)
{
	return socket->way == DATAGRAM_DIRECT ? (frame_t *) (socket->page + SHIFT) : &((checked_t *) (socket->page + SHIFT))->frame;
}

/* Fills in what all frames of a socket have in common. */
static void prepare(datagram_t *socket)
{
	frame_t *frame = frame_of(socket);

	frame->from = socket->station;
	frame->type = NET16(0x0800);
	frame->ip.version = 0x45;
	frame->ip.piece = NET16(0x4000);
	frame->ip.hops = 64;
	frame->ip.protocol = 17;
	frame->ip.source = NET32(socket->address);
	frame->ip.source_port = NET16(socket->port);
}

kern_return_t datagram_open(datagram_t *socket, mach_port_t server, int way, u32 port, u32 remote, u32 remote_port)
{
	mach_port_t privilege = way == DATAGRAM_DIRECT ? device_master : MACH_PORT_NULL, names = MACH_PORT_NULL, previous;
	boolean_t direct;
	int bound;
	kern_return_t result;

	memset(socket, 0, sizeof *socket);
	socket->way = way;
	socket->remote = remote;
	socket->remote_port = remote_port;
	if (way == DATAGRAM_DIRECT && privilege == MACH_PORT_NULL)
		return KERN_NO_ACCESS;
	result = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &socket->receiver);
	if (result)
		return result;
	mach_port_set_qlimit(mach_task_self(), socket->receiver, QUEUE_MAX);
	mach_port_insert_right(mach_task_self(), socket->receiver, socket->receiver, MACH_MSG_TYPE_MAKE_SEND);
	if (way != DATAGRAM_SERVER)
		result = vm_allocate(mach_task_self(), &socket->page, PAGE_SIZE, TRUE);
	task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &names);
	if (!result)
		result = udp_open(server, way != DATAGRAM_SERVER, port, remote, remote_port, socket->receiver, privilege, names,
				  &socket->socket, &socket->link, &direct, &socket->address, (char *) &socket->station, &bound);
	mach_port_deallocate(mach_task_self(), names);
	mach_port_deallocate(mach_task_self(), socket->receiver);
	if (result) {
		datagram_close(socket);
		return result;
	}
	socket->port = bound;
	if (socket->page)
		prepare(socket);
	/* Memory that is wired is copied when it is sent, and not protected: no page fault follows. */
	if (direct && host_priv)
		vm_wire(host_priv, mach_task_self(), socket->page, PAGE_SIZE, VM_PROT_DEFAULT);
	result = mach_port_request_notification(mach_task_self(), socket->socket, MACH_NOTIFY_DEAD_NAME, 0, socket->receiver,
						MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
	if (result)
		datagram_close(socket);
	return result ? DATAGRAM_CLOSED : KERN_SUCCESS;
}

void datagram_close(datagram_t *socket)
{
	if (socket->socket) {
		udp_close(socket->socket);
		mach_port_destroy(mach_task_self(), socket->socket);
	}
	if (socket->link)
		mach_port_deallocate(mach_task_self(), socket->link);
	if (socket->receiver)
		mach_port_mod_refs(mach_task_self(), socket->receiver, MACH_PORT_RIGHT_RECEIVE, -1);
	if (socket->page)
		vm_deallocate(mach_task_self(), socket->page, PAGE_SIZE);
	socket->socket = socket->link = socket->receiver = MACH_PORT_NULL;
	socket->page = 0;
}

/* The station of an address, or null. */
static const station_t *station_of(datagram_t *socket, u32 address)
{
	u32 i, place = DATAGRAM_PEERS;

	for (i = 0; i < DATAGRAM_PEERS; i++)
		if (socket->peers[i].address == address) {
			if (socket->peers[i].uses++ < USES_MAX)
				return &socket->peers[i].station;
			place = i;
		}
	if (place == DATAGRAM_PEERS)
		place = socket->next_peer++ % DATAGRAM_PEERS;
	socket->peers[place].address = 0;
	if (udp_resolve(socket->socket, address, (char *) &socket->peers[place].station))
		return 0;
	socket->peers[place].address = address;
	socket->peers[place].uses = 0;
	return &socket->peers[place].station;
}

/* Completes the frame; its size. */
static u32 build(datagram_t *socket, const station_t *to, u32 address, u32 port, const void *data, u32 size)
{
	frame_t *frame = frame_of(socket);
	headers_t *ip = &frame->ip;

	frame->to = *to;
	ip->total = NET16(IP_SIZE + UDP_SIZE + size);
	ip->target = NET32(address);
	ip->checksum = 0;
	ip->checksum = ~fold(add(0, 0, ip, IP_SIZE));
	ip->target_port = NET16(port);
	ip->length = NET16(UDP_SIZE + size);
	ip->udp_checksum = 0;
	ip->udp_checksum = ~fold(add(add(pseudo(ip), 0, &ip->source_port, UDP_SIZE), frame->data, data, size));
	if (!ip->udp_checksum)
		ip->udp_checksum = 0xffff;
	return HEADERS + size;
}

kern_return_t datagram_send(datagram_t *socket, u32 address, u32 port, const void *data, u32 size)
{
	const station_t *station;
	kern_return_t result;

	if (size > DATAGRAM_MAX || !port || port > 0xffff || (socket->remote && (address != socket->remote || port != socket->remote_port)))
		return KERN_INVALID_ARGUMENT;
	if (socket->way == DATAGRAM_SERVER) {
		static served_t out;

		out.address_type = out.port_type = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
		out.address = address;
		out.port = port;
		out.data_type = MIG_SHORT(MACH_MSG_TYPE_CHAR, 8, size, 1, 0);
		copy(out.data, data, size);
		result = send(&out.head, socket->socket, UDP_SEND, sizeof out - DATAGRAM_MAX + size, 0);
		socket->counts[SENT] += !result;
		return result;
	}
	station = station_of(socket, address);
	if (!station) {
		socket->counts[LOST_UNREACHABLE]++;
		return KERN_FAILURE;
	}
	if (socket->way == DATAGRAM_DIRECT) {
		static direct_t out;

		out.mode_type = out.recnum_type = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
		out.data = socket->page + SHIFT;
		out.data_type = MIG_LONG(0, 0);
		out.data_name = MIG_LONG_NAME(MACH_MSG_TYPE_BYTE, 8);
		out.data_size = build(socket, station, address, port, data, size);
		result = send(&out.head, socket->link, DEVICE_WRITE, sizeof out, MACH_MSGH_BITS_COMPLEX);
	} else {
		checked_t *out = (checked_t *) (socket->page + SHIFT);

		size = build(socket, station, address, port, data, size);
		out->frame_type = MIG_SHORT(MACH_MSG_TYPE_CHAR, 8, size, 1, 0);
		result = send(&out->head, socket->link, CONNECTION_WRITE, sizeof out->head + 4 + size, 0);
	}
	socket->counts[SENT] += !result;
	return result;
}

/* What is wrong with the frame that has come, or 0. */
static int examine(datagram_t *socket, const headers_t *headers)
{
	u32 room = in.frame.length - 4, total = NET16(headers->total), length = NET16(headers->length), source = NET32(headers->source);

	if (room < IP_SIZE + UDP_SIZE)
		return LOST_SHORT;
	if (in.frame.header[12] != 0x08 || in.frame.header[13] || headers->version != 0x45 || headers->protocol != 17)
		return LOST_FOREIGN;
	if (total < IP_SIZE + UDP_SIZE || total > room)
		return LOST_LENGTH;
	if (fold(add(0, 0, headers, IP_SIZE)) != 0xffff)
		return LOST_CHECKSUM;
	if (NET32(headers->target) != socket->address || source == socket->address || !is_station(source))
		return LOST_FOREIGN;
	if (headers->piece & NET16(0x3fff))
		return LOST_FRAGMENT;
	if (length < UDP_SIZE || length > total - IP_SIZE)
		return LOST_LENGTH;
	if (headers->udp_checksum && fold(add(pseudo(headers), 0, &headers->source_port, length)) != 0xffff)
		return LOST_CHECKSUM;
	if (NET16(headers->target_port) != socket->port ||
	    (socket->remote && (source != socket->remote || NET16(headers->source_port) != socket->remote_port)))
		return LOST_FOREIGN;
	return 0;
}

kern_return_t datagram_receive(datagram_t *socket, u32 milliseconds, u32 *address, u32 *port, const unsigned char **data, u32 *size)
{
	const headers_t *headers = (const headers_t *) in.frame.ip;
	mach_msg_option_t option = MACH_RCV_MSG | (milliseconds ? MACH_RCV_TIMEOUT : 0);
	kern_return_t result;
	int wrong;

	for (;;) {
		result = mach_msg(&in.head, option, 0, sizeof in, socket->receiver, milliseconds, MACH_PORT_NULL);
		if (result == MACH_RCV_TIMED_OUT)
			return result;
		if (result || in.head.msgh_id == MACH_NOTIFY_DEAD_NAME)
			return DATAGRAM_CLOSED;
		if (in.head.msgh_id == UDP_DATAGRAM && socket->way == DATAGRAM_SERVER) {
			*address = in.served.address;
			*port = in.served.port;
			*data = in.served.data;
			*size = MIG_NUMBER(in.served.data_type);
			socket->counts[RECEIVED]++;
			return KERN_SUCCESS;
		}
		if (in.head.msgh_id != NET_RCV_MSG || socket->way == DATAGRAM_SERVER)
			continue;
		wrong = examine(socket, headers);
		if (wrong) {
			socket->counts[wrong]++;
			continue;
		}
		*address = NET32(headers->source);
		*port = NET16(headers->source_port);
		*data = (const unsigned char *) (headers + 1);
		*size = NET16(headers->length) - UDP_SIZE;
		socket->counts[RECEIVED]++;
		return KERN_SUCCESS;
	}
}
