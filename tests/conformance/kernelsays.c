/*
 * What the kernel says itself on its console: of names that a task gives up and has not, of maps without room, and of notifications
 * that come to its ports and are not the kernel's.
 */
#include "ipc.h"

/* A page, or two: the same on every machine. */
#define SIZE 0x2000

static mach_port_t other;

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

static void notify(const char *what, mach_port_t to, mach_port_t reply, u32 id, u32 words, u32 kind)
{
	u32 result;

	m.w[0] = item(kind, 32, 1, 1, 0), m.w[1] = 7, m.w[2] = 9;
	fill(&m, RPC, to, reply, id);
	result = mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24 + 4 * words, sizeof m, reply, 20, 0);
	say("  %s %u -> %x", what, id, result);
	if (!result)
		say(" id %d code %d", m.h.msgh_id, m.w[1]);
	say("\n");
}

static void notifications(const char *what, mach_port_t to)
{
	mach_port_t reply = port();
	u32 id;

	say("-- notifications to %s\n", what);
	for (id = MACH_NOTIFY_PORT_DELETED - 2; id <= MACH_NOTIFY_DEAD_NAME + 2; id++) {
		notify("nothing", to, reply, id, 0, 0);
		notify("a word", to, reply, id, 2, MACH_MSG_TYPE_INTEGER_32);
		notify("a name", to, reply, id, 2, MACH_MSG_TYPE_PORT_NAME);
	}
	notify("too much", to, reply, MACH_NOTIFY_NO_SENDERS, 3, MACH_MSG_TYPE_INTEGER_32);
	fill(&m, CS, to, 0, MACH_NOTIFY_NO_SENDERS), m.w[0] = item(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0), m.w[1] = -5;
	show("  without a reply", give(32));
	type("the port", to);
	mach_port_destroy(self, reply);
}

static void invented(void)
{
	mach_port_t device = 0, pager = 0, set = 0;

	notifications("a task", self), notifications("a thread", mach_thread_self()), notifications("the host", mach_host_self());
	notifications("the master of devices", device_master);
	processor_set_default(mach_host_self(), &set), notifications("a processor set", set);
	device_open(device_master, D_READ, "irq", &device), notifications("irq", device);
	device_open(device_master, D_READ, "time", &device), notifications("time", device);
	device_map(device, VM_PROT_READ, 0, PAGE_SIZE, &pager, 0), notifications("a device's memory object", pager);
	device_map(device, VM_PROT_READ, 0, PAGE_SIZE, &pager, 0), type("its object again", pager);
}

int guest_main(void)
{
	self = mach_task_self();
	task_create(self, FALSE, &other);
	names();
	rooms();
	invented();
	return 0;
}
