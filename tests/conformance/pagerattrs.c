/* A memory object's attributes, and what its manager says to ports that are no control ports or no longer. */
#include "pagers.h"

static void attributes(const char *what, mach_port_t control)
{
	boolean_t ready = 9, may_cache = 9;
	memory_object_copy_strategy_t strategy = 9;

	say("%s: %x", what, memory_object_get_attributes(control, &ready, &may_cache, &strategy));
	say(" ready %d may cache %d strategy %d\n", ready, may_cache, strategy);
}

static void change(const char *what, struct object *o, boolean_t may_cache, int strategy, mach_port_t reply)
{
	show(what, memory_object_change_attributes(o->control, may_cache, strategy, reply));
	serve(QUIET);
	attributes("  now", o->control);
}

/* The refusal answers, and drops the reply right once more: see pageranswers.c. */
static void change_in_vain(const char *what, struct object *o, boolean_t may_cache, int strategy)
{
	message_t m;
	mach_port_t port = new_port();

	show(what, memory_object_change_attributes(o->control, may_cache, strategy, port));
	show("  answer", mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, port, 50, 0));
	say("  %d: may cache %d strategy %d\n", m.h.msgh_id, m.w[1], m.w[3]);
	attributes("  now", o->control);
}

static void ready(const char *what, struct object *o, boolean_t may_cache, int strategy)
{
	show(what, memory_object_ready(o->control, may_cache, strategy));
	serve(QUIET);
	attributes("  now", o->control);
}

/* Sends the manager's commands to PORT. */
static void commands(mach_port_t port)
{
	vm_address_t data = 0;

	vm_allocate(self, &data, PAGE, 1);
	show("  ready", memory_object_ready(port, 0, 0));
	show("  data_supply", memory_object_data_supply(port, 0, data, PAGE, 1, 0, 0, box));
	show("  data_unavailable", memory_object_data_unavailable(port, 0, PAGE));
	show("  lock_request", memory_object_lock_request(port, 0, PAGE, 2, 1, 0, box));
	show("  change_attributes", memory_object_change_attributes(port, 1, 0, 0));
	show("  destroy", memory_object_destroy(port, 5));
	serve(QUIET);
}

static void settings(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_NONE);
	vm_address_t a;

	say("-- attributes\n");
	o->unready = 1;
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	attributes("before ready", o->control);
	begin(0, do_read, a, 0, 0, 0); finish("read page 0", 0);
	say("a supply before ready\n"); supply(o, 1, 1);
	ready("strategy 4", o, 0, 4); ready("strategy -1", o, 1, -1);
	finish("read page 0", 0);
	ready("call, cached", o, 1, MEMORY_OBJECT_COPY_CALL); finish("read page 0", 0);
	ready("ready once more", o, 0, MEMORY_OBJECT_COPY_DELAY);
	ready("may cache 7", o, 7, MEMORY_OBJECT_COPY_DELAY);
	change("none, not cached", o, 0, MEMORY_OBJECT_COPY_NONE, box);
	change("may cache 7", o, 7, MEMORY_OBJECT_COPY_CALL, box);
	change("no reply port", o, 0, MEMORY_OBJECT_COPY_DELAY, 0);
	change_in_vain("strategy 9", o, 1, 9);
	change("temporary", o, 1, MEMORY_OBJECT_COPY_TEMPORARY, box);
	reads("read page 1", 0, a + PAGE);
	writes("write page 1", 0, a + PAGE, 0x11);
	lock_request("clean", o, 0, 8, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	writes("write page 1", 0, a + PAGE, 0x12);
	change("not cached", o, 0, MEMORY_OBJECT_COPY_DELAY, box);
	unmap("unmap", a, 8);
}

/* change_attributes is what makes an object ready too. */
static void made_ready_by_change(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_NONE);
	vm_address_t a;

	say("-- ready by change_attributes\n");
	o->unready = 1;
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	begin(0, do_read, a, 0, 0, 0); finish("read page 0", 0);
	change("change", o, 0, MEMORY_OBJECT_COPY_DELAY, box); finish("read page 0", 0);
	unmap("unmap", a, 8);
}

static void wrong_ports(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;
	mach_port_t dead = new_port();

	say("-- ports that are no control ports\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	attributes("the name port", o->name); attributes("the task", self); attributes("the host", mach_host_self());
	attributes("null", 0);
	mach_port_destroy(self, dead); attributes("a name that is none", dead);
	say("the name port\n"); commands(o->name);
	say("the task\n"); commands(self);
	say("null\n"); commands(0);
	reads("read page 0", 0, a);

	unmap("unmap", a, 8);
}

/* The control port of a terminated object is the manager's own: what it says there comes back to it. */
static void terminated(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;
	mach_port_t control;
	mach_port_type_t type;
	message_t m;

	say("-- a terminated object\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	control = o->control;
	show("unmap", vm_deallocate(self, a, 8 * PAGE));
	mach_port_type(self, control, &type); say("type of the control port's name %x\n", type);
	show("  ready", memory_object_ready(control, 0, 0));
	show("  data_unavailable", memory_object_data_unavailable(control, 0, PAGE));
	show("  lock_request", memory_object_lock_request(control, 0, PAGE, 2, 1, 0, box));
	show("terminate", mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, set, 50, 0));
	say("  %d\n", m.h.msgh_id);
	mach_port_type(self, control, &type); say("type of the control port's name %x\n", type);
	show("  destroy", memory_object_destroy(control, 5));
	while (!mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, control, 50, 0))
		say("  own port got %d number %d\n", m.h.msgh_id, m.h.msgh_seqno);
	serve(QUIET);
}

int guest_main(void)
{
	start_pagers();
	settings();
	made_ready_by_change();
	wrong_ports();
	terminated();
	return 0;
}
