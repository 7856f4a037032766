/* Protection and wiring of a manager's memory. */
#include "pagers.h"

static struct object *locked;

static u32 do_lock_request(struct hand *hand)
{
	return memory_object_lock_request(locked->control, hand->a * PAGE, hand->b * PAGE, hand->c, hand->d, VM_PROT_NO_CHANGE, box);
}

static void protections(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a = 0;

	say("-- protection\n");
	show("map for reading, at most reading", vm_map(self, &a, 4 * PAGE, 0, 1, o->port, 0, 0, 1, 1, VM_INHERIT_COPY)); serve(QUIET);
	reads("read page 0", 0, a); writes("write page 0", 0, a, 1); writes("write page 1", 0, a + PAGE, 1);
	show("allow writing", vm_protect(self, a, 4 * PAGE, 0, 3));
	unmap("unmap", a, 4);
	a = 0; show("map for reading", vm_map(self, &a, 4 * PAGE, 0, 1, o->port, 0, 0, 1, 7, VM_INHERIT_COPY)); serve(QUIET);
	reads("read page 0", 0, a); writes("write page 0", 0, a, 1);
	show("allow writing", vm_protect(self, a, 4 * PAGE, 0, 3)); writes("write page 0", 0, a, 2); writes("write page 1", 0, a + PAGE, 3);
	show("forbid it", vm_protect(self, a, 4 * PAGE, 0, 1)); writes("write page 0", 0, a, 4); reads("read page 0", 0, a);
	show("forbid all", vm_protect(self, a, 4 * PAGE, 0, 0)); reads("read page 0", 0, a); reads("read page 2", 0, a + 2 * PAGE);
	begin(0, do_vm_read, a, PAGE, 0, 0); finish("vm_read page 0", 0);
	unmap("unmap", a, 4);
	a = 0; show("map, current above the maximum", vm_map(self, &a, 4 * PAGE, 0, 1, o->port, 0, 0, 7, 1, VM_INHERIT_COPY)); serve(QUIET);
	reads("read page 0", 0, a); writes("write page 0", 0, a, 9);
	unmap("unmap", a, 4);
	a = 0; show("a protection of 8", vm_map(self, &a, 4 * PAGE, 0, 1, o->port, 0, 0, 8, 7, VM_INHERIT_COPY));
	show("a maximum of 16", vm_map(self, &a, 4 * PAGE, 0, 1, o->port, 0, 0, 1, 16, VM_INHERIT_COPY));
	show("an inheritance of 3", vm_map(self, &a, 4 * PAGE, 0, 1, o->port, 0, 0, 1, 7, 3));
	show("a size of 0", vm_map(self, &a, 0, 0, 1, o->port, 0, 0, 1, 7, VM_INHERIT_COPY));
	serve(QUIET);
}

/* The child's name for the host's privileged port. */
#define CHILD_HOST 5000

static void wire(const char *what, vm_address_t address, u32 pages, vm_prot_t access)
{
	begin(1, do_wire, address, pages * PAGE, access, CHILD_HOST);
	finish(what, 1);
}

/* Wiring keeps the map locked while pages come in, so the manager must not live in the same one. */
static void wired(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a = 0, b;
	mach_port_t child;

	say("-- wired\n");
	locked = o;
	begin(0, do_task_create, 0, 0, 0, 0); finish("task_create", 0); child = hands[0].b;
	mach_port_insert_right(child, CHILD_HOST, host_priv, MACH_MSG_TYPE_COPY_SEND);
	new_hand(1, child); new_hand(2, child);
	show("map", vm_map(child, &a, 12 * PAGE, 0, 1, o->port, 0, 0, 3, 7, VM_INHERIT_COPY)); serve(QUIET);
	wire("wire pages 0 and 1 for reading", a, 2, VM_PROT_READ);
	wire("wire page 2 for writing", a + 2 * PAGE, 1, VM_PROT_READ | VM_PROT_WRITE);
	writes("write page 2", 2, a + 2 * PAGE, 0x22); writes("write page 0", 2, a, 0x10);
	begin(0, do_lock_request, 1, 1, MEMORY_OBJECT_RETURN_ALL, 0); finish("clean page 1", 0);
	begin(0, do_lock_request, 2, 1, MEMORY_OBJECT_RETURN_NONE, 0); finish("nothing for page 2", 0);
	begin(0, do_lock_request, 2, 1, MEMORY_OBJECT_RETURN_DIRTY, 0); finish("clean page 2, which is dirty", 0);
	begin(2, do_vm_read, a + 2 * PAGE, PAGE, 0, 0); finish("vm_read of wired page 2", 2); b = hands[2].c;
	writes("write page 2", 2, a + 2 * PAGE, 0x23); reads("read the copy", 2, b);
	wire("unwire page 2", a + 2 * PAGE, 1, VM_PROT_NONE); finish("clean page 2, which is dirty", 0);
	writes("write page 2", 2, a + 2 * PAGE, 0x24);
	begin(0, do_lock_request, 2, 1, MEMORY_OBJECT_RETURN_DIRTY, 0); finish("clean page 2", 0);
	begin(0, do_lock_request, 0, 1, MEMORY_OBJECT_RETURN_NONE, 1); finish("flush page 0", 0);
	wire("unwire pages 0 and 1", a, 2, VM_PROT_NONE); finish("flush page 0", 0);
	reads("read page 0", 2, a);
	wire("wire page 5", a + 5 * PAGE, 1, VM_PROT_READ | VM_PROT_WRITE);
	wire("wire page 7", a + 7 * PAGE, 1, VM_PROT_READ);
	begin(0, do_lock_request, 7, 1, MEMORY_OBJECT_RETURN_DIRTY, 1); finish("flush wired page 7", 0);
	show("unmap pages 5 to 7", vm_deallocate(child, a + 5 * PAGE, 3 * PAGE)); serve(QUIET); finish("flush wired page 7", 0);
	wire("wire what is not mapped", a + 5 * PAGE, 1, VM_PROT_READ);
	show("protect", vm_protect(child, a + 8 * PAGE, PAGE, 0, VM_PROT_READ));
	wire("wire read-only page 8 for writing", a + 8 * PAGE, 1, VM_PROT_READ | VM_PROT_WRITE);
	wire("wire read-only page 8 for reading", a + 8 * PAGE, 1, VM_PROT_READ);
	o->silent = 1;
	wire("wire page 4", a + 4 * PAGE, 1, VM_PROT_READ);
	/* GNU Mach 1.8 takes the page for wired then: an assertion fails when it is unmapped, so it stays, and so does the child. */
	show("error", memory_object_data_error(o->control, 4 * PAGE, PAGE, 5)); finish("wire page 4", 1);
	o->silent = 0;
	reads("read page 4", 2, a + 4 * PAGE);
}

int guest_main(void)
{
	start_pagers();
	protections();
	wired();
	return 0;
}
