/*
 * What a module needs whose two tasks go through one script by turns, so that what they print has one order. Alone the module makes
 * the second task itself; as `sends NAME` or `receives NAME`, its arguments after the two ports, it is one of two that find each
 * other by name, on whatever nodes. Descriptors are printed by their fields and data by their type: no line depends on the machine.
 */
#ifndef TURNS_H
#define TURNS_H

#define JOBS 1
#include "guest.h"

enum { SENDS, RECEIVES };
static int me;

/* Each line begins with whose it is. */
static int is_new_line = 1;

static void begin_line(const char *format)
{
	if (is_new_line)
		say(me == SENDS ? "S " : "R ");
	is_new_line = !*format ? is_new_line : format[strlen(format) - 1] == '\n';
}

#define say(format, ...) (begin_line(format), (say)(format, ##__VA_ARGS__))
#include "ipc.h"
#include <masix.h>
#include "netname_user.h"

#define SENDER if (turn(SENDS))
#define RECEIVER if (turn(RECEIVES))
/* Milliseconds after which a message does not come any more, and news has got around. */
#define WAIT 500
#define TRIES 50
#define CHILD_BOX 0x1001
#define CHILD_CONSOLE 0x1002
#define MOVE(right) MACH_MSG_TYPE_MOVE_##right
#define COMPLEX MACH_MSGH_BITS_COMPLEX
#define ROOM 0x10000
#define SHORT(name, size, number) MIG_SHORT(name, size, number, 1, 0)
#define OUT(name, size, number) MIG_SHORT(name, size, number, 0, 0)
#define LONG MIG_LONG(1, 0)
#define LONG_OUT MIG_LONG(0, 0)
#define WIDE MIG_LONG_NAME

/*
 * box: where turns come; other: where the other's do. a, spare: the receiver's ports; b: the sender's; each has a right to the other's.
 * pending: goes with the turn, and is the other's `came`. got: the rights of the last body.
 */
static int holder;
static u32 pending, came, with_rights;
static mach_port_t box, other, a, spare, b, got[64];
static vm_address_t page;
static message_t baton;

static kern_return_t tell(const char *what, kern_return_t result)
{
	say("%s -> %x\n", what, result);
	return result;
}

/* Turns */

/* Whether the turn is now this task's; it is ROLE's. */
static int turn(int role)
{
	if (role != holder && me == holder) {
		fill(&baton, CS, other, 0, 1);
		baton.w[0] = SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1), baton.w[1] = pending;
		pending = 0;
		mach_msg(&baton.h, MACH_SEND_MSG, 32, 0, 0, 0, 0);
	} else if (role != holder) {
		mach_msg(&baton.h, MACH_RCV_MSG, 0, sizeof baton, box, 0, 0);
		came = baton.w[1];
	}
	holder = role;
	return me == role;
}

/* Until what was said here has got around. */
static void settle(void)
{
	mach_msg(&baton.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof baton, quiet, WAIT, 0);
}

static void section(const char *name)
{
	forget_names();
	SENDER
		say("-- %s\n", name), mach_port_set_seqno(self, b, 0);
	RECEIVER
		say("-- %s\n", name), mach_port_set_seqno(self, a, 0);
}

/* Messages */

static mach_msg_return_t put(const char *what, u32 size)
{
	return tell(what, give(size));
}

static void head(u32 bits, mach_port_t remote, mach_port_t local, u32 id)
{
	fill(&m, bits, remote, local, id);
	m.h.msgh_size = 0;
}

static mach_msg_return_t get_in(const char *what, mach_port_t from, u32 option, u32 size)
{
	mach_msg_return_t r;

	fill(&m, 0x77777777, 7, 7, 0x55), m.h.msgh_size = 0x66;
	r = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT | option, 0, size, from, WAIT, 0);
	say("%s -> %x", what, r);
	if (!r)
		say(" bits %x size %u remote %n local %n seqno %u id %d", m.h.msgh_bits, m.h.msgh_size, m.h.msgh_remote_port, m.h.msgh_local_port, m.h.msgh_seqno, m.h.msgh_id);
	else if (r == MACH_RCV_TOO_LARGE)
		say(" size %u id %d", m.h.msgh_size, m.h.msgh_id);
	say("\n");
	return r;
}

static mach_msg_return_t get(const char *what, mach_port_t from)
{
	return get_in(what, from, 0, sizeof m);
}

/* Whether items are numbers in the machine's byte order, as the network server's rule has it; a name that is not Mach's counts as one. */
static int is_number(u32 name, u32 size)
{
	int known = name == MACH_MSG_TYPE_INTEGER_16 || name == MACH_MSG_TYPE_INTEGER_32 || name == MACH_MSG_TYPE_REAL || name == MACH_MSG_TYPE_INTEGER_64;

	return (size == 16 || size == 32 || size == 64) && (known || name >= MACH_MSG_TYPE_PORT_NAME || !name && size == 32);
}

static void data_of(const unsigned char *data, u32 name, u32 size, u32 number)
{
	u32 i, bytes = ((uint64_t) number * size + 7) / 8;

	if (!is_number(name, size)) {
		say(bytes ? " " : "");
		for (i = 0; i < bytes && i < 48; i++)
			say("%c%c", "0123456789abcdef"[data[i] >> 4], "0123456789abcdef"[data[i] & 15]);
	}
	for (i = 0; is_number(name, size) && i < number && i < 8; i++)
		if (size == 16)
			say(" %u", ((unsigned short *) data)[i]);
		else if (size == 32)
			say(" %x", ((u32 *) data)[i]);
		else
			say(" %x:%x", (u32) (((uint64_t *) data)[i] >> 32), (u32) ((uint64_t *) data)[i]);
}

static void rights_of(const mach_port_t *names, u32 number)
{
	u32 i;
	mach_port_type_t t;
	mach_port_urefs_t n;

	for (i = 0; i < number && with_rights < 64; i++)
		got[with_rights++] = names[i];
	for (i = 0; i < number && i < 8; i++) {
		say(" %n", names[i]), t = n = 0;
		if (names[i] && names[i] != MACH_PORT_DEAD && !mach_port_type(self, names[i], &t)) {
			mach_port_get_refs(self, names[i], t & MACH_PORT_TYPE_DEAD_NAME ? MACH_PORT_RIGHT_DEAD_NAME : MACH_PORT_RIGHT_SEND, &n);
			say(" type %x refs %u", t, n);
		}
	}
}

/* Prints the items of the message that came; its rights go into GOT, its memory goes. */
static void body(void)
{
	u32 *w = m.w, *end = (u32 *) ((char *) &m + m.h.msgh_size);

	with_rights = 0;
	while (w < end) {
		u32 first = *w++, name = MIG_NAME(first), size = MIG_SIZE(first), number = MIG_NUMBER(first), bytes;
		int is_right;

		if (first & MIG_LONGFORM)
			name = MIG_LONG_NAME_OF(w[0]), size = MIG_LONG_SIZE_OF(w[0]), number = w[1], w += 2;
		is_right = name >= MOVE(RECEIVE) && name <= MACH_MSG_TYPE_MAKE_SEND_ONCE, bytes = ((uint64_t) number * size + 7) / 8;
		say("  item %u of %u bits times %u inline %d long %d deallocate %d:", name, size, number, !!(first & MIG_INLINE), !!(first & MIG_LONGFORM), !!(first & MIG_DEALLOCATE));
		if (first & MIG_INLINE) {
			if (is_right)
				rights_of(w, number);
			else
				data_of((void *) w, name, size, number);
			w += (bytes + 3) / 4;
		} else {
			if (!*w)
				say(" nothing");
			else if (is_right)
				rights_of((void *) *w, number);
			else
				data_of((void *) *w, name, size, number);
			vm_deallocate(self, *w++, bytes);
		}
		say("\n");
	}
}

static void let_go(void)
{
	mach_port_type_t t;
	u32 i;

	for (i = 0; i < with_rights; i++)
		if (got[i] && got[i] != MACH_PORT_DEAD && !mach_port_type(self, got[i], &t) && t & MACH_PORT_TYPE_RECEIVE)
			drop(got[i], MACH_PORT_RIGHT_RECEIVE);
		else if (got[i] && got[i] != MACH_PORT_DEAD)
			mach_port_deallocate(self, got[i]);
	with_rights = 0;
}

/* How the two meet */

static void script(void);

static void meet(void)
{
	box = port(), quiet = port();
	if (me == SENDS) {
		b = port();
		head(COMPLEX | CS, other, 0, 1), m.w[0] = SHORT(MACH_MSG_TYPE_MAKE_SEND, 32, 2), m.w[1] = box, m.w[2] = b;
		give(36);
		mach_msg(&m.h, MACH_RCV_MSG, 0, sizeof m, box, 0, 0);
		mach_port_deallocate(self, other), other = m.w[1], a = m.w[2], spare = m.w[3];
	} else {
		a = port(), spare = port();
		mach_msg(&m.h, MACH_RCV_MSG, 0, sizeof m, CHILD_BOX, 0, 0);
		other = m.w[1], b = m.w[2];
		head(COMPLEX | CS, other, 0, 2), m.w[0] = SHORT(MACH_MSG_TYPE_MAKE_SEND, 32, 3), m.w[1] = box, m.w[2] = a, m.w[3] = spare;
		give(40);
	}
	holder = SENDS;
}

static void act(int role)
{
	me = role, self = mach_task_self();
	vm_allocate(self, &page, ROOM, TRUE);
	meet();
	script();
	turn(RECEIVES), turn(SENDS);
}

static void child(void)
{
	mig_forget_reply_port();
	console = CHILD_CONSOLE;
	act(RECEIVES);
	idle();
}

static void alone(void)
{
	task_t task;
	thread_t thread;
	mach_msg_type_name_t kind;

	self = mach_task_self();
	share();
	task = new_task(child, 0, 0, &thread);
	mach_port_allocate_name(task, MACH_PORT_RIGHT_RECEIVE, CHILD_BOX);
	mach_port_insert_right(task, CHILD_CONSOLE, console, MACH_MSG_TYPE_COPY_SEND);
	mach_port_extract_right(task, CHILD_BOX, MACH_MSG_TYPE_MAKE_SEND, &other, &kind);
	thread_resume(thread);
	act(SENDS);
}

static void find(const char *name, int role)
{
	netname_name_t wanted, everywhere;
	mach_port_t names;
	int tries;

	self = mach_task_self();
	memset(wanted, 0, sizeof wanted), mig_strncpy(wanted, name, sizeof wanted);
	memset(everywhere, 0, sizeof everywhere), everywhere[0] = '*';
	task_get_special_port(self, TASK_BOOTSTRAP_PORT, &names);
	if (role == RECEIVES) {
		mach_port_allocate_name(self, MACH_PORT_RIGHT_RECEIVE, CHILD_BOX);
		mach_port_insert_right(self, CHILD_BOX, CHILD_BOX, MACH_MSG_TYPE_MAKE_SEND);
		netname_check_in(names, wanted, CHILD_BOX, CHILD_BOX);
		drop(CHILD_BOX, MACH_PORT_RIGHT_SEND);
	} else
		for (tries = 0; tries < TRIES && netname_look_up(names, everywhere, wanted, &other); tries++)
			thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 100);
	act(role);
	if (role == RECEIVES)
		netname_check_out(names, wanted, CHILD_BOX);
	say("END\n");
	task_terminate(self);
}

int guest_main(void)
{
	if (arg_count > 4)
		find(arg_value[4], strcmp(arg_value[3], "sends") ? RECEIVES : SENDS);
	else
		alone();
	return 0;
}

#endif
