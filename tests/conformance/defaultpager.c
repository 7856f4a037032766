/* The default memory manager's messages, without pressure: a proxy of plain memory gives that memory a memory object. */
#include "pagers.h"
#include "mach4_user.h"

static mach_port_t manager;

static void current(const char *what)
{
	mach_port_t port = 0;

	say("%s: %x", what, vm_set_default_memory_manager(host_priv, &port));
	say(" %s\n", port == 0 ? "none" : port == manager ? "ours" : "another");
}

/* What came for the manager: a new object, which is added to the others. */
static struct object *created(void)
{
	message_t m;
	struct object *o;

	if (show("message", mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, manager, 100, 0)))
		return 0;
	say("  %d size %u bits %x: object size %x page size %u\n", m.h.msgh_id, m.h.msgh_size, m.h.msgh_bits, m.w[3], m.w[9]);
	say("  types %x %x %x %x %x\n", m.w[0], m.w[2], m.w[4], m.w[6], m.w[8]);
	o = add_object(m.w[1]);
	o->control = m.w[5]; o->name = m.w[7];
	return o;
}

static void attributes(struct object *o)
{
	boolean_t ready = 9, may_cache = 9;
	memory_object_copy_strategy_t strategy = 9;

	say("attributes: %x", memory_object_get_attributes(o->control, &ready, &may_cache, &strategy));
	say(" ready %d may cache %d strategy %d\n", ready, may_cache, strategy);
}

int guest_main(void)
{
	vm_address_t a = 0, b = 0;
	mach_port_t proxy, other, port;
	struct object *o;
	vm_offset_t data;
	mach_msg_type_number_t count;

	start_pagers();
	current("at first");
	manager = new_port(); port = manager;
	say("set: %x", vm_set_default_memory_manager(host_priv, &port)); say(" old %s\n", port ? "another" : "none");
	current("now");
	port = manager; show("by the host's name port", vm_set_default_memory_manager(mach_host_self(), &port));
	other = new_port(); port = other; say("replaced: %x", vm_set_default_memory_manager(host_priv, &port)); say(" old %s\n", port == manager ? "ours" : "another");
	port = manager; say("and back: %x", vm_set_default_memory_manager(host_priv, &port)); say(" old %s\n", port == other ? "the other" : "another");

	say("-- an object for plain memory\n");
	vm_allocate(self, &a, 8 * PAGE, 1);
	*(volatile u32 *) a = 0x10; *(volatile u32 *) (a + PAGE) = 0x11; *(volatile u32 *) (a + 3 * PAGE) = 0x13;
	show("a proxy", vm_region_create_proxy(self, a, 7, 8 * PAGE, &proxy));
	o = created();
	if (!o)
		return 0;
	attributes(o);
	serve(QUIET);
	reads("read page 2, which does not exist", 0, a + 2 * PAGE);
	lock_request("clean page 0", o, 0, 1, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	lock_request("return and flush all", o, 0, 8, MEMORY_OBJECT_RETURN_ALL, 1, VM_PROT_NO_CHANGE);
	reads("read page 0", 0, a); reads("read page 1", 0, a + PAGE); reads("read page 2", 0, a + 2 * PAGE); reads("read page 3", 0, a + 3 * PAGE);
	reads("read page 4", 0, a + 4 * PAGE);
	writes("write page 1", 0, a + PAGE, 0x21);
	show("ready", memory_object_ready(o->control, 1, MEMORY_OBJECT_COPY_CALL)); attributes(o); serve(QUIET);

	say("-- mapped twice\n");
	show("map the proxy", vm_map(self, &b, 8 * PAGE, 0, 1, proxy, 0, 0, 3, 7, VM_INHERIT_COPY)); serve(QUIET);
	if (b) {
		reads("read page 1 there", 0, b + PAGE);
		writes("write page 5 there", 0, b + 5 * PAGE, 0x15);
		reads("read page 5 here", 0, a + 5 * PAGE);
	}
	show("a second proxy", vm_region_create_proxy(self, a + PAGE, 1, PAGE, &port)); serve(QUIET);

	say("-- copied and paged out\n");
	show("vm_read", vm_read(self, a, 4 * PAGE, &data, &count));
	lock_request("return and flush all", o, 0, 8, MEMORY_OBJECT_RETURN_ALL, 1, VM_PROT_NO_CHANGE);
	reads("read the copy's page 1", 0, data + PAGE);
	writes("write page 1", 0, a + PAGE, 0x31); reads("read the copy's page 1", 0, data + PAGE);
	writes("write the copy's page 3", 0, data + 3 * PAGE, 0x33); reads("read page 3", 0, a + 3 * PAGE);
	o->silent = 1;
	show("flush", memory_object_lock_request(o->control, 0, 8 * PAGE, MEMORY_OBJECT_RETURN_ALL, 1, VM_PROT_NO_CHANGE, 0)); serve(QUIET);
	begin(0, do_read, data, 0, 0, 0); finish("read the copy's page 0", 0);
	show("error", memory_object_data_error(o->control, 0, PAGE, 5)); finish("read the copy's page 0", 0);
	begin(0, do_read, data, 0, 0, 0); finish("again", 0);
	show("unavailable", memory_object_data_unavailable(o->control, 0, PAGE)); finish("again", 0);
	o->silent = 0;
	unmap("unmap", a, 8);
	if (b)
		unmap("unmap there", b, 8);
	unmap("unmap the copy", data, 4);
	mach_port_deallocate(self, proxy); serve(QUIET);
	mach_port_deallocate(self, port); serve(QUIET);
	return 0;
}
