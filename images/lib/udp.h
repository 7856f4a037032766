/*
 * User datagrams (UDP) for applications. The server of the protocol opens and closes sockets and finds stations; sending and receiving
 * are done here, in frames that go to the interface and come from it without anybody between, or by the server, as the socket's way
 * says. One thread uses a socket at a time, and all sockets of a program share what receives. Addresses and ports are numbers.
 */
#ifndef UDP_H
#define UDP_H

#include "guest.h"

/* The server sends and receives. */
#define DATAGRAM_SERVER 0
/* The kernel delivers frames, and the network server looks at each that is sent: what an application can have that nobody trusts. */
#define DATAGRAM_CHECKED 1
/* The kernel delivers frames and takes them: for whom has the device master port, with which he could open the device anyway. */
#define DATAGRAM_DIRECT 2

#define DATAGRAM_MAX 1472
/* The socket is closed, by its environment's end or by the server's. */
#define DATAGRAM_CLOSED KERN_TERMINATED

/* Datagrams sent and received, and why others were lost: the places of udp_counts_t. */
enum { SENT, RECEIVED, LOST_SHORT, LOST_LENGTH, LOST_CHECKSUM, LOST_FRAGMENT, LOST_FOREIGN, LOST_FULL, LOST_UNREACHABLE, COUNTS };

#define DATAGRAM_PEERS 8

typedef struct {
	unsigned char bytes[6];
} station_t;

typedef struct {
	int way;
	/* Send rights to the socket and to what frames are written to; the port where datagrams come, whose receive right is ours. */
	mach_port_t socket, link, receiver;
	/* This node's, and the peer's where the socket has one, else 0. */
	u32 address, remote, remote_port;
	u32 port;
	u32 counts[COUNTS];
	/* Stations that the server has named; each is asked for again after some use, since the server forgets what is old. */
	struct {
		u32 address, uses;
		station_t station;
	} peers[DATAGRAM_PEERS];
	u32 next_peer;
	station_t station;
	/* A page in which frames are built, 0 where there is none. */
	vm_address_t page;
} datagram_t;

/*
 * Opens a socket at PORT, or at any that is free with 0; with REMOTE for this peer alone. The code is the server's: KERN_NAME_EXISTS
 * for a port that is taken, KERN_NO_ACCESS for DATAGRAM_DIRECT without the device master port.
 */
kern_return_t datagram_open(datagram_t *socket, mach_port_t server, int way, u32 port, u32 remote, u32 remote_port);
/* KERN_FAILURE where nobody has the address, KERN_INVALID_ARGUMENT for too many bytes or another peer; DATAGRAM_CLOSED. */
kern_return_t datagram_send(datagram_t *socket, u32 address, u32 port, const void *data, u32 size);
/*
 * The next datagram: where it comes from, and its bytes, which stay until the next one is received. MACH_RCV_TIMED_OUT when none comes
 * for so many MILLISECONDS, 0 for ever; DATAGRAM_CLOSED.
 */
kern_return_t datagram_receive(datagram_t *socket, u32 milliseconds, u32 *address, u32 *port, const unsigned char **data, u32 *size);
/* Gives everything back. */
void datagram_close(datagram_t *socket);

#endif
