/* A manager's memory as source and destination of vm_copy and vm_write, and copies of copies, under each copy strategy. */
#include "pagers.h"

/* The object's memory as the destination of vm_copy and vm_write, with plain memory and with its own as source. */
static void overwrite(int strategy)
{
	struct object *o = new_object(strategy);
	vm_address_t source, plain = 0;

	say("-- vm_copy and vm_write, strategy %s\n", strategy_name[strategy]);
	source = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	vm_allocate(self, &plain, 4 * PAGE, 1);
	*(u32 *) plain = 0x80; *(u32 *) (plain + PAGE) = 0x81;
	begin(0, do_vm_copy, plain, 2 * PAGE, source, 0); finish("vm_copy into pages 0 and 1", 0);
	begin(0, do_vm_write, source + 2 * PAGE, PAGE, plain + PAGE, 0); finish("vm_write to page 2", 0);
	begin(0, do_vm_copy, source + 2 * PAGE, 2 * PAGE, plain, 0); finish("vm_copy out of pages 2 and 3", 0);
	reads("  first word", 0, plain);
	reads("  second word", 0, plain + PAGE);
	begin(0, do_vm_copy, source, 2 * PAGE, source + 4 * PAGE, 0); finish("vm_copy of pages 0 and 1 to 4 and 5", 0);
	writes("write page 0", 0, source, 0x90);
	reads("  page 4", 0, source + 4 * PAGE);
	reads("  page 5", 0, source + 5 * PAGE);
	begin(0, do_vm_copy, source + PAGE, 3 * PAGE, source, 0); finish("vm_copy of pages 1 to 3 to 0 to 2", 0);
	reads("  page 0", 0, source); reads("  page 1", 0, source + PAGE); reads("  page 2", 0, source + 2 * PAGE);
	unmap("unmap the plain", plain, 4);
	unmap("unmap the source", source, 8);
}

/* Two copies, with a write of the source between them, and a copy of a copy. */
static void two_copies(int strategy)
{
	struct object *o = new_object(strategy);
	vm_address_t source, first, second, third;

	say("-- two copies and a copy of a copy, strategy %s\n", strategy_name[strategy]);
	source = map_object("map", o, 0, 4, VM_INHERIT_COPY);
	begin(0, do_vm_read, source, 4 * PAGE, 0, 0); finish("first", 0); first = hands[0].c;
	writes("write source page 0", 0, source, 0x10);
	begin(0, do_vm_read, source, 4 * PAGE, 0, 0); finish("second", 0); second = hands[0].c;
	writes("write source page 0 again", 0, source, 0x20);
	writes("write source page 1", 0, source + PAGE, 0x21);
	begin(0, do_vm_read, first, 4 * PAGE, 0, 0); finish("third, of the first", 0); third = hands[0].c;
	writes("write first page 2", 0, first + 2 * PAGE, 0x32);
	reads("first page 0", 0, first); reads("second page 0", 0, second); reads("third page 0", 0, third);
	reads("first page 1", 0, first + PAGE); reads("second page 1", 0, second + PAGE);
	reads("third page 2", 0, third + 2 * PAGE); reads("source page 2", 0, source + 2 * PAGE);
	unmap("unmap the source", source, 4);
	reads("second page 3", 0, second + 3 * PAGE); reads("third page 3", 0, third + 3 * PAGE);
	unmap("unmap the first", first, 4); unmap("unmap the third", third, 4); unmap("unmap the second", second, 4);
}

int guest_main(void)
{
	int strategy;

	start_pagers();
	for (strategy = 0; strategy < MEMORY_OBJECT_COPY_TEMPORARY; strategy++) {
		overwrite(strategy);
		two_copies(strategy);
	}
	return 0;
}
