/* Copies of a manager's memory by vm_map and vm_read under each copy strategy: what the manager hears, and what each side reads. */
#include "pagers.h"

static void mapped_copy(int strategy)
{
	struct object *o = new_object(strategy);
	vm_address_t source;

	say("-- vm_map of a copy, strategy %s\n", strategy_name[strategy]);
	source = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	reads("read page 0 before", 0, source);
	writes("write page 2 before", 0, source + 2 * PAGE, 0x52);
	begin(0, do_map, o->port, 8 * PAGE, 0, 1 | VM_INHERIT_COPY << 1);
	if (finish("map a copy", 0) && !hands[0].result)
		both_sides(o, source, hands[0].a, 8);
}

static void read_copy(int strategy)
{
	struct object *o = new_object(strategy);
	vm_address_t source;

	say("-- vm_read, strategy %s\n", strategy_name[strategy]);
	source = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	writes("write page 1 before", 0, source + PAGE, 0x61);
	begin(0, do_vm_read, source, 4 * PAGE, 0, 0);
	if (finish("vm_read", 0) && !hands[0].result)
		both_sides(o, source, hands[0].c, 4);
}

int guest_main(void)
{
	int strategy;

	start_pagers();
	for (strategy = 0; strategy < 4; strategy++) {
		mapped_copy(strategy);
		/* An assertion of GNU Mach 1.8 fails on such a copy of a temporary object. */
		if (strategy != MEMORY_OBJECT_COPY_TEMPORARY)
			read_copy(strategy);
	}
	return 0;
}
