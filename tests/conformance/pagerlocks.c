/* memory_object_lock_request: what it returns and flushes of dirty, clean, precious and absent pages, and odd ranges. */
#include "pagers.h"

/* Pages 0 dirty, 1 clean, 2 precious, 3 precious and dirty, 4 absent, 5 and 6 dirty, 7 clean, 8 and 9 precious, 10 dirty. */
static vm_address_t prepare(struct object *o)
{
	vm_address_t a = map_object("map", o, 0, 12, VM_INHERIT_COPY);
	static const int dirty[] = { 0, 3, 5, 6, 10 };
	u32 i;

	o->precious = 1; supply(o, 2, 2); supply(o, 8, 2); o->precious = 0;
	supply(o, 0, 2); supply(o, 5, 3); supply(o, 10, 1);
	begin(0, do_read, a, 0, 0, 0); finish("read", 0);
	for (i = 0; i < 5; i++)
		*(volatile u32 *) (a + dirty[i] * PAGE) = 0xd00 + dirty[i];
	return a;
}

static const char *const return_name[] = { "none", "dirty", "all", "3" };

static void combination(int should_return, int flush, vm_prot_t lock)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;
	u32 page;

	say("-- return %s, flush %d, lock %d\n", return_name[should_return], flush, lock);
	a = prepare(o);
	lock_request("lock request", o, 0, 12, should_return, flush, lock);
	for (page = 0; page < 11; page++) {
		say("page %u ", page);
		if (page == 4)
			reads("absent", 0, a + page * PAGE);
		else if (page % 2)
			reads("read", 0, a + page * PAGE);
		else
			writes("write", 0, a + page * PAGE, 0xe00 + page);
	}
	unmap("unmap", a, 12);
}

static void request(const char *what, struct object *o, u32 offset, u32 size, int should_return, int flush, mach_port_t reply)
{
	show(what, memory_object_lock_request(o->control, offset, size, should_return, flush, VM_PROT_NO_CHANGE, reply));
	serve(QUIET);
}

static void ranges(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;

	say("-- ranges\n");
	a = prepare(o);
	request("a size of 0", o, 0, 0, MEMORY_OBJECT_RETURN_ALL, 1, box);
	request("within page 0", o, 16, PAGE, MEMORY_OBJECT_RETURN_ALL, 0, box);
	request("one byte", o, 0, 1, MEMORY_OBJECT_RETURN_DIRTY, 0, box);
	request("a page and a byte", o, 5 * PAGE, PAGE + 1, MEMORY_OBJECT_RETURN_DIRTY, 0, box);
	request("beyond the end", o, 40 * PAGE, 4 * PAGE, MEMORY_OBJECT_RETURN_ALL, 1, box);
	request("no reply port", o, 8 * PAGE, PAGE, MEMORY_OBJECT_RETURN_ALL, 0, 0);
	request("size ffffffff", o, 0, 0xffffffff, MEMORY_OBJECT_RETURN_ALL, 0, box);
	request("size fffff000 from page 2 on", o, 2 * PAGE, -PAGE_SIZE, MEMORY_OBJECT_RETURN_ALL, 1, box);
	reads("read page 1", 0, a + PAGE); reads("read page 10", 0, a + 10 * PAGE);
	unmap("unmap", a, 12);
}

/* Clean pages get dirty again; a page written while a manager holds its copy is returned once more. */
static void again(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;

	say("-- cleaned twice\n");
	a = map_object("map", o, 0, 4, VM_INHERIT_COPY);
	writes("write page 0", 0, a, 1);
	lock_request("clean", o, 0, 4, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	lock_request("clean", o, 0, 4, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	reads("read page 0", 0, a);
	lock_request("clean", o, 0, 4, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	writes("write page 0", 0, a, 2);
	lock_request("clean and lock", o, 0, 4, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_WRITE);
	writes("write page 0", 0, a, 3);
	lock_request("flush what is dirty", o, 0, 4, MEMORY_OBJECT_RETURN_NONE, 1, VM_PROT_NO_CHANGE);
	reads("read page 0", 0, a);
	unmap("unmap", a, 4);
}

/* More than 32 pages in a row. */
static void many(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;
	int page;

	say("-- 40 dirty pages\n");
	a = map_object("map", o, 0, 40, VM_INHERIT_COPY);
	supply(o, 0, 40);
	for (page = 0; page < 40; page++)
		*(volatile u32 *) (a + page * PAGE) = page;
	lock_request("clean", o, 0, 40, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	for (page = 1; page < 40; page++)
		*(volatile u32 *) (a + page * PAGE) = 0x100 + page;
	lock_request("clean and flush", o, 0, 40, MEMORY_OBJECT_RETURN_DIRTY, 1, VM_PROT_NO_CHANGE);
	reads("read page 39", 0, a + 39 * PAGE);
	unmap("unmap", a, 40);
}

int guest_main(void)
{
	start_pagers();
	combination(MEMORY_OBJECT_RETURN_NONE, 0, VM_PROT_NO_CHANGE);
	combination(MEMORY_OBJECT_RETURN_NONE, 1, VM_PROT_NO_CHANGE);
	combination(MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	combination(MEMORY_OBJECT_RETURN_DIRTY, 1, VM_PROT_NO_CHANGE);
	combination(MEMORY_OBJECT_RETURN_ALL, 0, VM_PROT_NO_CHANGE);
	combination(MEMORY_OBJECT_RETURN_ALL, 1, VM_PROT_NO_CHANGE);
	combination(3, 0, VM_PROT_NO_CHANGE);
	combination(MEMORY_OBJECT_RETURN_ALL, 0, VM_PROT_WRITE);
	combination(MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_ALL);
	combination(MEMORY_OBJECT_RETURN_NONE, 1, VM_PROT_ALL);
	ranges();
	again();
	many();
	return 0;
}
