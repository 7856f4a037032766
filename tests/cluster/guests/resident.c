/*
 * A nomad process that has the name of its argument, and answers calls with their own bytes.
 */
#include "guest.h"
#include <masix.h>
#include "acs_user.h"
#include "gps_user.h"
#include "netname_user.h"

typedef struct {
	mach_msg_header_t head;
	char rest[256];
} call_t;

static call_t call;

int guest_main(void)
{
	mach_port_t names, gps, process, port = mach_reply_port();
	mach_msg_option_t option = MACH_RCV_MSG;
	pm_personality_t personality;
	netname_name_t name;
	acs_name_t service;
	pm_pid_t pid;
	int n;

	task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &names);
	mig_strncpy(service, "gps", sizeof service);
	mig_strncpy(personality, "bare", sizeof personality);
	for (n = 0; n < 50 && acs_look_up_here(names, service, &gps); n++)
		thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 100);
	show("created", gps_create(gps, mach_task_self(), GPS_NOMAD, personality, pid, &process));
	mig_strncpy(name, arg_value[3], sizeof name);
	mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND);
	show("named", netname_check_in(names, name, port, port));
	flush();
	for (;;) {
		mach_msg(&call.head, option, call.head.msgh_size, sizeof call, port, 0, MACH_PORT_NULL);
		call.head.msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(call.head.msgh_bits), 0);
		call.head.msgh_local_port = MACH_PORT_NULL;
		call.head.msgh_id += 100;
		option = MACH_SEND_MSG | MACH_RCV_MSG;
	}
}
