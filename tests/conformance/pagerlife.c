/* How memory objects begin and end: mappings in one task and two, caching, what vm_region tells, and inheritance. */
#include "pagers.h"
#include "gnumach_user.h"

static void region(const char *what, vm_address_t address, struct object *o)
{
	vm_address_t found = address;
	vm_size_t size;
	vm_prot_t protection, max_protection;
	vm_inherit_t inheritance;
	boolean_t shared;
	mach_port_t name;
	vm_offset_t offset;

	say("%s: %x", what, vm_region(self, &found, &size, &protection, &max_protection, &inheritance, &shared, &name, &offset));
	say(" at %x pages %u prot %d max %d inherit %d shared %d name %s offset %x\n", found - address, size / PAGE, protection,
		max_protection, inheritance, shared, name == 0 ? "null" : name == o->name ? "the object's" : "another", offset);
}

static void cache(const char *what)
{
	vm_cache_statistics_data_t statistics;

	say("%s: %x", what, vm_cache_statistics(self, &statistics));
	say(" objects %d pages %d\n", statistics.counts[0], statistics.counts[1]);
}

static void order(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY), *p;
	vm_address_t a, b;

	say("-- mapped and unmapped\n");
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY); unmap("unmap", a, 4);
	a = map_object("map again", o, 0, 4, VM_INHERIT_COPY); reads("read", 0, a); unmap("unmap", a, 4);
	o->unready = 1;
	a = map_object("map, never ready", o, 0, 4, VM_INHERIT_COPY); unmap("unmap", a, 4);
	o->unready = 0;
	a = 0; show("map, nobody listens", vm_map(self, &a, PAGE, 0, 1, o->port, 0, 0, 3, 7, VM_INHERIT_COPY));
	show("unmap", vm_deallocate(self, a, PAGE)); serve(QUIET);

	say("-- twice in one task, and a second object\n");
	p = new_object(MEMORY_OBJECT_COPY_DELAY);
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY); b = map_object("map pages 2 to 5", o, 2, 4, VM_INHERIT_COPY);
	writes("write page 2", 0, a + 2 * PAGE, 0x22); reads("read it in the other", 0, b);
	writes("write page 5", 0, b + 3 * PAGE, 0x55);
	region("first", a, o); region("second", b, o); region("second, page 4", b + 2 * PAGE, o);
	map_object("map the other object", p, 1, 1, VM_INHERIT_COPY);
	unmap("unmap half of the first", a, 2); region("the rest", a + 2 * PAGE, o);
	unmap("unmap the rest", a + 2 * PAGE, 2);
	unmap("unmap the second", b, 4);
	say("-- at another offset\n");
	a = map_object("map page 9", o, 9, 1, VM_INHERIT_COPY);
	reads("read page 9", 0, a);
	unmap("unmap page 9", a, 1);
}

static void caching(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;

	o->may_cache = 1;
	say("-- cached\n"); cache("before");
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY); unmap("unmap untouched", a, 4);
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY); reads("read page 0", 0, a); writes("write page 1", 0, a + PAGE, 0x11);
	cache("while mapped"); unmap("unmap", a, 4); cache("while cached");
	a = map_object("map again", o, 0, 4, VM_INHERIT_COPY); reads("read page 1", 0, a + PAGE); unmap("unmap", a, 4);
	lock_request("clean", o, 0, 4, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	say("supply of page 2 to the cached object\n"); supply(o, 2, 1);
	a = map_object("map again", o, 0, 4, VM_INHERIT_COPY); reads("read page 2", 0, a + 2 * PAGE); writes("write page 2", 0, a + 2 * PAGE, 0x22); unmap("unmap", a, 4);
	show("no longer cached", memory_object_change_attributes(o->control, 0, MEMORY_OBJECT_COPY_DELAY, box)); serve(QUIET);
	cache("after");
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY); reads("read page 0", 0, a); unmap("unmap", a, 4);
	lock_request("flush all", o, 0, 4, MEMORY_OBJECT_RETURN_ALL, 1, VM_PROT_NO_CHANGE);
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY); writes("write page 3", 0, a + 3 * PAGE, 0x33); unmap("unmap", a, 4);
	show("destroy", memory_object_destroy(o->control, 5)); serve(QUIET);
	cache("after");
}

static void destroyed(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;

	say("-- destroyed while it is mapped\n");
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY); reads("read page 0", 0, a); writes("write page 1", 0, a + PAGE, 0x11);
	region("before", a, o);
	show("destroy", memory_object_destroy(o->control, 5)); serve(QUIET);
	region("after", a, o);
	reads("read page 0", 0, a); reads("read page 1", 0, a + PAGE); writes("write page 0", 0, a, 0x10);
	reads("read page 2", 0, a + 2 * PAGE);
	a = map_object("map again", o, 0, 4, VM_INHERIT_COPY); reads("read page 1", 0, a + PAGE); unmap("unmap", a, 4);
}

static mach_port_t child_of(const char *what)
{
	begin(0, do_task_create, 0, 0, 0, 0);
	finish(what, 0);
	return hands[0].b;
}

static void in_a_child(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a = 0, b = 0;
	mach_port_t child;

	say("-- in two tasks\n");
	child = child_of("task_create"); new_hand(1, child);
	show("map in the child", vm_map(child, &b, 4 * PAGE, 0, 1, o->port, PAGE, 0, 3, 7, VM_INHERIT_COPY)); serve(QUIET);
	writes("child writes page 1", 1, b, 0x11);
	a = map_object("map here", o, 0, 4, VM_INHERIT_COPY); reads("page 1 here", 0, a + PAGE);
	writes("write page 2 here", 0, a + 2 * PAGE, 0x22); reads("child reads page 2", 1, b + PAGE);
	unmap("unmap here", a, 4);
	begin(1, do_read, b + 2 * PAGE, 0, 0, 0);
	finish("child reads page 3", 1);
	show("the child ends", task_terminate(child)); serve(5 * QUIET);
	say("-- the child ends first\n");
	child = child_of("task_create"); new_hand(1, child); b = 0;
	show("map in the child", vm_map(child, &b, 4 * PAGE, 0, 1, o->port, PAGE, 0, 3, 7, VM_INHERIT_COPY)); serve(QUIET);
	writes("child writes page 1", 1, b, 0x11);
	a = map_object("map here", o, 0, 4, VM_INHERIT_COPY);
	show("the child ends", task_terminate(child)); serve(5 * QUIET);
	reads("page 1 here", 0, a + PAGE); unmap("unmap here", a, 4);
}

static void inherited(int strategy, vm_inherit_t inheritance)
{
	struct object *o = new_object(strategy);
	vm_address_t a;
	mach_port_t child;

	say("-- strategy %s, inheritance %d\n", strategy_name[strategy], inheritance);
	a = map_object("map", o, 0, 3, inheritance);
	writes("write page 0", 0, a, 0x10);
	child = child_of("task_create");
	new_hand(1, child);
	region("here", a, o);
	reads("child reads page 0", 1, a);
	writes("write page 1", 0, a + PAGE, 0x11);
	if (inheritance != VM_INHERIT_NONE) {
		reads("child reads page 1", 1, a + PAGE);
		writes("child writes page 2", 1, a + 2 * PAGE, 0x22);
		reads("read page 2", 0, a + 2 * PAGE);
		writes("child writes page 0", 1, a, 0x20);
		reads("read page 0", 0, a);
	}
	lock_request("clean", o, 0, 3, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	show("the child ends", task_terminate(child)); serve(5 * QUIET);
	unmap("unmap", a, 3);
}

int guest_main(void)
{
	int strategy;

	start_pagers();
	order();
	caching();
	destroyed();
	in_a_child();
	for (strategy = 0; strategy < 3; strategy++)
		inherited(strategy, VM_INHERIT_COPY);
	inherited(MEMORY_OBJECT_COPY_DELAY, VM_INHERIT_SHARE);
	inherited(MEMORY_OBJECT_COPY_DELAY, VM_INHERIT_NONE);
	return 0;
}
