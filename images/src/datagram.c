/*
 * Asks and answers in user datagrams. Arguments after the two ports: the way that datagrams go (`server`, `checked` or `direct`), then
 * `echo PORT [COUNT]`, which sends back what comes, for ever or so many times, and closes; or `ask NODE PORT COUNT SIZE`, which sends
 * COUNT datagrams of SIZE bytes to a node of a cluster, each again until it has come back.
 */
#include "udp.h"
#include <masix.h>
#include "netname_user.h"

#define TRIES 50
#define WAIT_MS 100

static datagram_t socket;
static unsigned char text[DATAGRAM_MAX] __attribute__((aligned(4)));

static u32 parse(const char *digits)
{
	u32 value = 0;

	while (*digits >= '0' && *digits <= '9')
		value = 10 * value + *digits++ - '0';
	return value;
}

/* The datagram server's port; null where there is none. */
static mach_port_t find(void)
{
	netname_name_t here = "", wanted = "udp";
	mach_port_t names, server;
	int tries;

	task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &names);
	for (tries = 0; tries < TRIES; tries++) {
		if (netname_look_up(names, here, wanted, &server) == NETNAME_SUCCESS)
			return server;
		thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 10);
	}
	return MACH_PORT_NULL;
}

static void count(void)
{
	say("sent %u, received %u, lost", socket.counts[SENT], socket.counts[RECEIVED]);
	for (u32 i = LOST_SHORT; i < COUNTS; i++)
		say(" %u", socket.counts[i]);
	say("\n");
}

static void echo(u32 times)
{
	u32 n, address, port, size;
	const unsigned char *data;
	kern_return_t result = KERN_SUCCESS;

	say("echoes at port %u\n", socket.port);
	flush();
	for (n = 0; !result && (!times || n < times); n++) {
		result = datagram_receive(&socket, 0, &address, &port, &data, &size);
		if (!result)
			result = datagram_send(&socket, address, port, data, size);
	}
	if (result == DATAGRAM_CLOSED)
		say("the socket is closed\n");
	else if (result)
		say("cannot answer: %d\n", result);
}

/* Byte I of datagram N. */
static unsigned char letter(u32 n, u32 i)
{
	return i < 4 ? n >> 8 * i : n + 7 * i;
}

/* Whether a datagram is what was sent: by words, as far as they go. */
static int is_same(const unsigned char *data, u32 size)
{
	const u32 *one = (const u32 *) data, *other = (const u32 *) text;

	for (; size >= 4; size -= 4)
		if (*one++ != *other++)
			return 0;
	return !memcmp(one, other, size);
}

static void ask(u32 node, u32 to, u32 times, u32 size)
{
	u32 n, i, again = 0, wrong = 0, address, port, came, tries;
	u32 peer = 10u << 24 | node;
	const unsigned char *data;
	kern_return_t result = KERN_SUCCESS;
	int done;

	say("asks from port %u\n", socket.port);
	flush();
	for (i = 0; i < size; i++)
		text[i] = letter(0, i);
	for (n = 1; n <= times; n++) {
		for (i = 0; i < 4 && i < size; i++)
			text[i] = letter(n, i);
		for (done = 0, tries = 0; !done && tries < TRIES; tries++) {
			result = datagram_send(&socket, peer, to, text, size);
			again += tries > 0;
			while (!result && !done) {
				result = datagram_receive(&socket, WAIT_MS, &address, &port, &data, &came);
				if (result)
					break;
				done = address == peer && port == to && came == size && is_same(data, size);
				wrong += !done;
			}
			if (result == DATAGRAM_CLOSED)
				break;
		}
		if (!done) {
			say(result == DATAGRAM_CLOSED ? "the socket is closed\n" : "no answer to %u: %d\n", n, result);
			return;
		}
	}
	say("%u of %u bytes came back, %u asked again, %u others came\n", times, size, again, wrong);
}

int guest_main(void)
{
	const char *name = arg_count > 3 ? arg_value[3] : "", *what = arg_count > 4 ? arg_value[4] : "";
	int way = name[0] == 's' ? DATAGRAM_SERVER : name[0] == 'c' ? DATAGRAM_CHECKED : DATAGRAM_DIRECT;
	int asks = arg_count > 8 && strcmp(what, "ask") == 0, echoes = arg_count > 5 && strcmp(what, "echo") == 0;
	u32 remote = asks ? 10u << 24 | parse(arg_value[5]) : 0, remote_port = asks ? parse(arg_value[6]) : 0;
	mach_port_t server;
	kern_return_t result;

	if (!asks && !echoes)
		say("WAY echo PORT [COUNT], or WAY ask NODE PORT COUNT SIZE\n");
	else if ((server = find()) == MACH_PORT_NULL)
		say("there is no datagram server\n");
	else if ((result = datagram_open(&socket, server, way, echoes ? parse(arg_value[5]) : 0, remote, remote_port)))
		say("no socket: %d\n", result);
	else {
		if (asks)
			ask(parse(arg_value[5]), remote_port, parse(arg_value[7]), parse(arg_value[8]));
		else
			echo(arg_count > 6 ? parse(arg_value[6]) : 0);
		count();
		datagram_close(&socket);
	}
	say("END\n");
	return 0;
}
