/*
 * A service and its client, which find each other by name and do not ask where the other one runs. Arguments after the two ports:
 * `serve NAME`, or `call NAME COUNT [PAUSE]`, the milliseconds between calls. The client sends a number and a text; the service answers twice the number and the text in
 * capitals.
 */
#include "guest.h"
#include <masix.h>
#include "netname_user.h"

#define GREET 6000
#define TEXT 32
#define TRIES 20

typedef struct {
	mach_msg_header_t head;
	uint32_t number_type;
	int number;
	uint32_t text_type;
	char text[TEXT];
} greeting_t;

static mach_port_t names;
static greeting_t greeting;

static void fill(char *to, const char *from, u32 room)
{
	memset(to, 0, room);
	mig_strncpy(to, from, room);
}

static void describe(void)
{
	greeting.number_type = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
	greeting.text_type = MIG_SHORT(MACH_MSG_TYPE_CHAR, 8, TEXT, 1, 0);
	greeting.head.msgh_size = sizeof greeting;
}

static void serve(const char *name)
{
	netname_name_t wanted;
	mach_port_t port = mach_reply_port();
	mach_msg_option_t option = MACH_RCV_MSG;
	u32 i;

	fill(wanted, name, sizeof wanted);
	mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND);
	if (netname_check_in(names, wanted, port, port) != NETNAME_SUCCESS) {
		say("%s is taken\n", name);
		return;
	}
	say("serves as %s\n", name);
	flush();
	for (;;) {
		mach_msg(&greeting.head, option, sizeof greeting, sizeof greeting, port, 0, MACH_PORT_NULL);
		say("asked: %d %s\n", greeting.number, greeting.text);
		greeting.number *= 2;
		for (i = 0; i < TEXT; i++)
			if (greeting.text[i] >= 'a' && greeting.text[i] <= 'z')
				greeting.text[i] -= 'a' - 'A';
		describe();
		greeting.head.msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(greeting.head.msgh_bits), 0);
		greeting.head.msgh_local_port = MACH_PORT_NULL;
		greeting.head.msgh_id += 100;
		option = MACH_SEND_MSG | MACH_RCV_MSG;
	}
}

static void call(const char *name, int count, int pause)
{
	netname_name_t everywhere, wanted;
	mach_port_t service, reply = mach_reply_port();
	kern_return_t result = NETNAME_NOT_CHECKED_IN;
	int n;

	fill(everywhere, "*", sizeof everywhere);
	fill(wanted, name, sizeof wanted);
	for (n = 0; n < TRIES && result != NETNAME_SUCCESS; n++) {
		if (n)
			thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 100);
		result = netname_look_up(names, everywhere, wanted, &service);
	}
	if (result != NETNAME_SUCCESS) {
		say("nobody is %s: %d\n", name, result);
		return;
	}
	for (n = 1; n <= count; n++) {
		if (pause)
			thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, pause);
		describe();
		greeting.head.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		greeting.head.msgh_remote_port = service;
		greeting.head.msgh_local_port = reply;
		greeting.head.msgh_id = GREET;
		greeting.number = -100 * n;
		fill(greeting.text, "good morning", TEXT);
		result = mach_msg(&greeting.head, MACH_SEND_MSG | MACH_RCV_MSG, sizeof greeting, sizeof greeting, reply, 0, MACH_PORT_NULL);
		if (result || greeting.head.msgh_id != GREET + 100)
			say("call %d: %x, message %d\n", n, result, greeting.head.msgh_id);
		else
			say("answer %d: %d %s\n", n, greeting.number, greeting.text);
		if (pause)
			flush();
	}
}

static int number(const char *digits)
{
	int value = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++)
		value = 10 * value + *digits - '0';
	return value;
}

int guest_main(void)
{

	task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &names);
	if (arg_count > 4 && strcmp(arg_value[3], "serve") == 0)
		serve(arg_value[4]);
	else if (arg_count > 5 && strcmp(arg_value[3], "call") == 0) {
		call(arg_value[4], number(arg_value[5]), arg_count > 6 ? number(arg_value[6]) : 0);
	} else
		say("serve NAME, or call NAME COUNT [PAUSE]\n");
	say("END\n");
	flush();
	task_terminate(mach_task_self());
	return 0;
}
