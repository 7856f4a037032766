/* What the kernel says itself on its console: of names that a task gives up and has not, and of maps without room. */
#include "guest.h"

/* A page, or two: the same on every machine. */
#define SIZE 0x2000

static mach_port_t self, other;

static void names(void)
{
	mach_port_t p = 0, dead = 0;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p);
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &dead), mach_port_insert_right(self, dead, dead, MACH_MSG_TYPE_MAKE_SEND);
	mach_port_mod_refs(self, dead, MACH_PORT_RIGHT_RECEIVE, -1);
	say("-- names\n");
	show("deallocate", mach_port_deallocate(self, 5000));
	show("deallocate by a trap", syscall_mach_port_deallocate(self, 5001));
	show("destroy", mach_port_destroy(self, 5002));
	show("one more", mach_port_mod_refs(self, 5003, MACH_PORT_RIGHT_SEND, 1));
	show("two less", mach_port_mod_refs(self, 0x80000000, MACH_PORT_RIGHT_RECEIVE, -2));
	show("no more, no less", mach_port_mod_refs(self, 5004, MACH_PORT_RIGHT_DEAD_NAME, 0));
	show("of no kind", mach_port_mod_refs(self, 5005, 5, -1));
	show("the largest", mach_port_deallocate(self, -2));
	say("-- names of which it says nothing\n");
	show("null", mach_port_deallocate(self, 0)), show("dead", mach_port_deallocate(self, -1));
	show("null, destroyed", mach_port_destroy(self, 0)), show("dead, one less", mach_port_mod_refs(self, -1, MACH_PORT_RIGHT_SEND, -1));
	show("a receive right", mach_port_deallocate(self, p)), show("another right", mach_port_mod_refs(self, p, MACH_PORT_RIGHT_SEND, -1));
	show("a dead name", mach_port_deallocate(self, dead)), show("once more", mach_port_deallocate(self, dead));
	show("another task's", mach_port_deallocate(other, 5006)), show("another task's, destroyed", mach_port_destroy(other, 5007));
	show("another task's, by a trap", syscall_mach_port_deallocate(other, 5008));
	show("in no task", mach_port_deallocate(mach_thread_self(), 5009));
	show("type", mach_port_mod_refs(self, p, MACH_PORT_RIGHT_RECEIVE, -1));
}

static void map(const char *what, mach_port_t task, u32 size, u32 mask)
{
	vm_address_t address = 0;
	kern_return_t result = vm_map(task, &address, size, mask, TRUE, 0, 0, 0, 3, 7, 1);

	show(what, result);
	if (!result)
		vm_deallocate(task, address, size);
}

static void rooms(void)
{
	vm_address_t address = 0;
	task_t child;

	say("-- maps\n");
	show("all there is", vm_allocate(other, &address, VM_MAX_ADDRESS, TRUE));
	show("too much here", vm_allocate(self, &address, 0xb0000000, TRUE));
	show("too much by a trap", syscall_vm_allocate(other, &address, VM_MAX_ADDRESS, TRUE));
	show("where something is", vm_allocate(self, &address, PAGE_SIZE, FALSE)), show("again", vm_allocate(self, &address, PAGE_SIZE, FALSE));
	show("named", task_create(self, FALSE, &child)), show("its child", task_create(child, FALSE, &child));
	show("all there is", vm_allocate(child, &address, VM_MAX_ADDRESS, TRUE)), map("a page more", child, PAGE_SIZE, 0), vm_deallocate(child, 0, VM_MAX_ADDRESS);
	address = 4 * SIZE, vm_allocate(child, &address, SIZE, FALSE);
	map("a mask up to the end", child, SIZE, 0xffff0000), map("as large as the map", child, VM_MAX_ADDRESS - 0x20000, 0x1ffff);
	map("below 64 KiB", child, 0x20000, 0xffff0000), map("below 16 MiB", child, 0x2000000, 0xff000000), map("below 256 MiB, aligned", child, 0x2000000, 0xf0ffffff);
	map("wraps", child, -SIZE, 0xfffff), map("a mask of all", child, SIZE, -1), map("a mask of half", child, SIZE, 0x7fffffff);
	say("-- masks with gaps\n");
	/* The real kernel leaves a map locked that has seen such a mask: each is a map's last. */
	task_create(self, FALSE, &child), map("one bit", child, SIZE, 2 * SIZE);
	task_create(self, FALSE, &child), map("all but one bit", child, SIZE, -2 ^ 0x80000000);
	task_create(self, FALSE, &child), map("two bits", child, SIZE, 0x10100000);
}

int guest_main(void)
{
	self = mach_task_self();
	task_create(self, FALSE, &other);
	names();
	rooms();
	return 0;
}
