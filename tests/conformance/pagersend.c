/* Memory of a manager in messages under each copy strategy, copied and given away. */
#include "pagers.h"

static mach_port_t mail;

static void sent_copy(int strategy)
{
	struct object *o = new_object(strategy);
	vm_address_t source;
	message_t m;

	say("-- out of line, strategy %s\n", strategy_name[strategy]);
	source = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	reads("read page 2 before", 0, source + 2 * PAGE);
	begin(0, do_send, source, 4 * PAGE, mail, 0);
	finish("send", 0);
	writes("write page 2 while it is under way", 0, source + 2 * PAGE, 0x62);
	show("receive", mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, mail, 100, 0));
	serve(QUIET);
	if (m.h.msgh_id == 77)
		both_sides(o, source, m.w[3], 4);
}

static void given_away(int strategy)
{
	struct object *o = new_object(strategy);
	vm_address_t source;
	message_t m;

	say("-- given away, strategy %s\n", strategy_name[strategy]);
	source = map_object("map", o, 0, 4, VM_INHERIT_COPY);
	writes("write page 1 before", 0, source + PAGE, 0x71);
	begin(0, do_send, source, 4 * PAGE, mail, 1);
	finish("send", 0);
	m.h.msgh_id = 0;
	show("receive", mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, mail, 100, 0));
	serve(QUIET);
	if (m.h.msgh_id != 77)
		return;
	reads("read page 0", 0, m.w[3]);
	reads("read page 1", 0, m.w[3] + PAGE);
	unmap("unmap it", m.w[3], 4);
}

int guest_main(void)
{
	int strategy;

	start_pagers();
	mail = new_port();
	for (strategy = 0; strategy < MEMORY_OBJECT_COPY_TEMPORARY; strategy++) {
		sent_copy(strategy);
		given_away(strategy);
	}
	return 0;
}
