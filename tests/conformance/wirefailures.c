/* vm_wire and unwiring that fail: how far entries are split, and what is wired all the same. */
#include "guest.h"
#include "mach_debug_user.h"
#include "gnumach_user.h"

#define BASE 0x50000000

static mach_port_t self, task;

/* Every region of the task from BASE on in pages, and whether it is wired. */
static void regions(void)
{
	vm_region_info_t info;
	mach_port_t object;
	vm_address_t address = BASE;

	for (; !mach_vm_region_info(task, address, &info, &object); address = info.vri_end) {
		say("  %u+%u protection %d/%d wired %d\n", (info.vri_start - BASE) / PAGE_SIZE, (info.vri_end - info.vri_start) / PAGE_SIZE,
			info.vri_protection, info.vri_max_protection, info.vri_wired_count);
		if (object)
			mach_port_deallocate(self, object);
	}
}

static void put(int first, int pages, int protection)
{
	vm_address_t address = BASE + first * PAGE_SIZE;

	vm_allocate(task, &address, pages * PAGE_SIZE, FALSE);
	vm_protect(task, address, pages * PAGE_SIZE, FALSE, protection);
}

static void fresh(const char *what)
{
	say("-- %s\n", what);
	if (task)
		task_terminate(task);
	task_create(self, FALSE, &task);
}

static void wire(int first, int pages, int access)
{
	say("wire %d+%d for %d", first, pages, access);
	show("", vm_wire(host_priv, task, BASE + first * PAGE_SIZE, pages * PAGE_SIZE, access));
	regions();
}

static void holes(void)
{
	fresh("a hole between"), put(0, 3, 3), put(4, 3, 3), wire(1, 4, 1);
	fresh("a hole between, unwired"), put(0, 3, 3), put(4, 3, 3), wire(1, 4, 0);
	fresh("a hole behind"), put(0, 3, 3), wire(1, 4, 1);
	fresh("a hole before"), put(1, 3, 3), wire(0, 2, 1);
	fresh("a hole behind three"), put(0, 2, 3), put(2, 2, 3), put(4, 2, 3), put(8, 2, 3), wire(1, 8, 3);
	fresh("to the end of one"), put(0, 3, 3), put(4, 3, 3), wire(1, 2, 1);
	fresh("far beyond"), put(0, 3, 3), wire(1, 0x30000, 1);
}

static void protections(void)
{
	fresh("the second forbids it"), put(0, 3, 3), put(3, 3, 0), wire(1, 4, 1);
	fresh("the first forbids it"), put(0, 3, 1), put(3, 3, 3), wire(1, 4, 2);
	fresh("the only one forbids it"), put(0, 3, 1), put(9, 1, 3), wire(1, 1, 2);
	fresh("the third forbids some of it"), put(0, 2, 3), put(2, 2, 3), put(4, 4, 1), wire(1, 5, 3);
	fresh("forbidden, and a hole behind"), put(0, 2, 3), put(2, 2, 1), put(6, 2, 3), wire(1, 6, 3);
	fresh("no access at all, unwired"), put(0, 3, 0), wire(1, 1, 0);
}

/* What is wired already. */
static void again(void)
{
	fresh("wired, then a hole"), put(0, 4, 3), put(5, 2, 3), wire(0, 4, 3), wire(2, 4, 0), wire(1, 2, 0);
	fresh("wired for less, then for more"), put(0, 4, 1), wire(0, 4, 1), wire(1, 2, 3), wire(1, 2, 1);
	fresh("wired, then forbidden"), put(0, 4, 3), wire(0, 4, 3);
	show("protect", vm_protect(task, BASE + PAGE_SIZE, PAGE_SIZE, FALSE, 0)), regions(), wire(0, 4, 1), wire(0, 4, 0);
	show("allow", vm_protect(task, BASE, 4 * PAGE_SIZE, FALSE, 3)), regions();
}

/* A page whose memory manager is gone. Whoever unwires it, or unmaps it, ends the real kernel: so it stays, and so does its task. */
static void put_lost(int first)
{
	vm_address_t address = BASE + first * PAGE_SIZE;
	mach_port_t manager = 0;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &manager);
	mach_port_insert_right(self, manager, manager, MACH_MSG_TYPE_MAKE_SEND);
	show("map", vm_map(task, &address, PAGE_SIZE, 0, FALSE, manager, 0, FALSE, 3, 7, VM_INHERIT_COPY));
	mach_port_destroy(self, manager);
}

static void lost(void)
{
	fresh("a lost page between"), put(0, 1, 3), put_lost(1), put(2, 2, 3), wire(0, 4, 1), wire(0, 4, 3), wire(2, 1, 0), wire(0, 1, 0), task = 0;
	fresh("a lost page at the end"), put(0, 1, 3), put_lost(1), wire(0, 2, 3), task = 0;
	fresh("a lost page, and a hole behind"), put(0, 1, 3), put_lost(1), wire(0, 4, 1), wire(1, 2, 1);
	fresh("a lost page, and all that there is"), put(-BASE / PAGE_SIZE, 1, 3), put(0, 1, 3), put_lost(1), put(2, 1, 3);
	show("wire all", vm_wire_all(host_priv, task, 1)), regions(), task = 0;
	fresh("a lost page, protected once wired"), put(0, 1, 3), put_lost(1), put(2, 1, 3), wire(0, 3, 1);
	show("protect", vm_protect(task, BASE, 3 * PAGE_SIZE, FALSE, 1)), regions(), task = 0;
}

int guest_main(void)
{
	self = mach_task_self();
	lost();
	holes();
	protections();
	again();
	return 0;
}
