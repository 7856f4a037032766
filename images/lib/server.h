/* What a server in C has beside the stubs that MIG writes: a loop over requests, and answers that are given later. */
#ifndef SERVER_H
#define SERVER_H

#include <mig.h>

/*
 * Serves a message: a SUBSYSTEM_server function, or one that chooses among several. Its code is the reply's: for any but KERN_SUCCESS
 * and MIG_NO_REPLY the rights and the memory of the request are given up, and otherwise they are the function's.
 */
typedef boolean_t (*server_demux_t)(mach_msg_header_t *request, mach_msg_header_t *reply);

/* To whom an answer is owed. */
typedef struct {
	mach_port_t port;
	mach_msg_type_name_t right;
	mach_msg_id_t id;
} server_client_t;

/*
 * Receives one message from a port or a port set, waiting so many milliseconds at most (0: for ever), has it served and sends the
 * reply. MIG_NO_REPLY is answered with KERN_SUCCESS unless the answer was kept for later: only a routine without a reply gives it
 * then. A reply that goes to a send right, whose queue may be full, waits for nobody.
 * The code of mach_msg where nothing was received.
 */
mach_msg_return_t server_once(mach_port_t from, server_demux_t demux, mach_msg_timeout_t timeout);

/* In a function that serves a request and returns MIG_NO_REPLY: who will be answered later. */
server_client_t server_answer_later(void);

/* Begins the answer to a client that was kept: as mig_begin_reply does. End it by mig_end_reply. */
void server_begin_answer(const server_client_t *client, mach_msg_header_t *reply);

/* Sends a reply; what cannot be sent is given up. */
void server_answer(mach_msg_header_t *reply);

/* Gives up what a message holds and has moved or would move: its rights and its memory. */
void server_destroy(mach_msg_header_t *message);

/* Whether a name that a message brought is that of a right: not the null and not the dead name. */
#define IS_LIVING(name) ((name) != MACH_PORT_NULL && (name) != MACH_PORT_DEAD)

#endif
