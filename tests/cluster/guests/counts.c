/*
 * A process that counts, and says to the service `witness` what it is: its name, its epoch, its count, how much of what it had is not as it
 * was (`wrong`), and how many of its rights to other ports are dead (`lost`). Arguments after the two ports: at which count it asks to go, and
 * to which node; or never, at 0. Its pages hold the count, too. Each message has another count, also one that is said again, since
 * nobody answered.
 */
#include "guest.h"
#include <masix.h>
#include "acs_user.h"
#include "gps_user.h"

#define TOLD 4711
#define PAGES 4
#define BEGINS 1000000000 /* A node that has started anew begins no other one later: nanoseconds. */
#define NAMES 64
#define PORTS_MASK (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_RECEIVE | MACH_PORT_TYPE_SEND_ONCE | MACH_PORT_TYPE_PORT_SET | MACH_PORT_TYPE_DEAD_NAME)

typedef struct {
	mach_msg_header_t head;
	mach_msg_type_t own_type;
	mach_port_t own;
	mach_msg_type_t words_type;
	pm_pid_t pid;
	u32 epoch, count, wrong, lost;
} told_t;

static mach_port_t process, self, own, witness;
static told_t told;
static u32 pages[PAGES][PAGE_SIZE / 4] __attribute__((aligned(PAGE_SIZE)));
static mach_port_t names[NAMES];
static mach_port_type_t types[NAMES];
static int count_of_names;
static u32 map;

/* A digest of the address map. */
static u32 look_at_map(void)
{
	vm_address_t address = 0;
	vm_size_t size;
	vm_prot_t protection, most;
	vm_inherit_t inheritance;
	boolean_t shared;
	mach_port_t object;
	vm_offset_t offset;
	u32 sum = 0;

	while (!vm_region(self, &address, &size, &protection, &most, &inheritance, &shared, &object, &offset)) {
		mach_port_deallocate(self, object);
		sum = 31 * sum + address + size + protection;
		address += size;
	}
	return sum;
}

static void look_at_names(void)
{
	mach_port_array_t all;
	mach_port_type_array_t their;
	mach_msg_type_number_t count, more, n;

	mach_port_names(self, &all, &count, &their, &more);
	for (n = 0; n < count && count_of_names < NAMES; n++)
		if (all[n] != witness) {
			names[count_of_names] = all[n];
			types[count_of_names++] = their[n] & PORTS_MASK;
		}
	vm_deallocate(self, (vm_address_t) all, count * sizeof *all);
	vm_deallocate(self, (vm_address_t) their, more * sizeof *their);
}

/* Counts what is not as it was, and counts on. */
static void check(void)
{
	mach_port_type_t type;
	int n;

	for (n = 0; n < PAGES; n++)
		if (pages[n][7 * n]++ != told.count)
			told.wrong++;
	told.lost = 0;
	for (n = 0; n < count_of_names; n++) {
		type = 0;
		mach_port_type(self, names[n], &type);
		if ((type & PORTS_MASK) == MACH_PORT_TYPE_DEAD_NAME && types[n] == MACH_PORT_TYPE_SEND)
			told.lost++;
		else if ((type & PORTS_MASK) != types[n])
			told.wrong++;
	}
	if (look_at_map() != map)
		told.wrong++;
	told.count++;
}

static mach_port_t find(const char *name, boolean_t here)
{
	mach_port_t server, found = MACH_PORT_NULL;
	acs_name_t service;

	task_get_special_port(self, TASK_BOOTSTRAP_PORT, &server);
	mig_strncpy(service, name, sizeof service);
	while (here ? acs_look_up_here(server, service, &found) : acs_look_up(server, service, &found))
		thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 50);
	mach_port_deallocate(self, server);
	return found;
}

static void tell(void)
{
	told.head.msgh_bits = MACH_MSGH_BITS_COMPLEX | MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	told.head.msgh_size = sizeof told;
	told.head.msgh_remote_port = witness;
	told.head.msgh_local_port = own;
	told.head.msgh_id = TOLD;
	told.own_type = (mach_msg_type_t) { MACH_MSG_TYPE_COPY_SEND, 32, 1, TRUE };
	told.own = own;
	told.words_type = (mach_msg_type_t) { MACH_MSG_TYPE_INTEGER_32, 32, 8, TRUE };
}

static void leave(void)
{
	pm_exit(process, 0);
	for (;;)
		thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 1000);
}

int guest_main(void)
{
	static struct { told_t message; char more[64]; } buffer;
	pm_personality_t bare;
	pm_host_t host;
	u32 when = 0;
	const char *digit;

	for (digit = arg_value[3]; *digit >= '0' && *digit <= '9'; digit++)
		when = 10 * when + *digit - '0';
	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &own);
	mach_port_insert_right(self, own, own, MACH_MSG_TYPE_MAKE_SEND);
	mig_strncpy(bare, "bare", sizeof bare);
	if (gps_create(find("gps", TRUE), mach_task_self(), GPS_NOMAD, bare, told.pid, &process))
		say("no process\n");
	if (told.pid[1] || told.pid[2] > BEGINS)
		leave();
	witness = find("witness", FALSE);
	look_at_names();
	map = look_at_map();
	for (;;) {
		if (when && told.count == when) {
			mig_strncpy(host, arg_value[4], sizeof host);
			pm_migrate(process, host);
			when = 0;
		}
		if (pm_getepoch(process, &told.epoch))
			told.wrong++;
		check();
		tell();
		memcpy(&buffer.message, &told, sizeof told);
		if (mach_msg(&buffer.message.head, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, sizeof told, sizeof buffer, own, 2500, MACH_PORT_NULL)
			|| buffer.message.head.msgh_id != TOLD + 100) {
			mach_port_deallocate(self, witness);
			witness = find("witness", FALSE);
		}
		thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, 20);
	}
}
