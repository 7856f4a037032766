/*
 * The calls of docs/real-kernel.md, which end or hang the real kernel: there is no transcript of it. What they answer here is in
 * tests/kernel/test_calls_that_end_the_real_kernel.py.
 */
#include "ipc.h"
#include "device_user.h"
#include "gnumach_user.h"
#include "mach4_user.h"
#include "mach_i386_user.h"
#include "mach_host_user.h"

static mach_port_t reply;
static vm_address_t page;
static volatile int is_back;
static char stack[4096];

static void ask_kernel(const char *what, mach_port_t to, u32 id, u32 bits, u32 words)
{
	mach_msg_return_t result;

	fill(&m, RPC | bits, to, reply, id);
	result = mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24 + 4 * words, sizeof m, reply, 50, 0);
	say("%s: %x", what, result);
	say(result ? "\n" : " %d\n", m.w[1]);
}

static void manager_requests(void)
{
	u32 right = item(MACH_MSG_TYPE_MAKE_SEND, 32, 1, 1, 0), word = item(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0), flag = item(MACH_MSG_TYPE_BOOLEAN, 32, 1, 1, 0);

	m.w[0] = m.w[2] = right, m.w[1] = m.w[3] = reply, m.w[4] = word, m.w[5] = PAGE_SIZE;
	ask_kernel("memory_object_init", self, 2200, MACH_MSGH_BITS_COMPLEX, 6);
	m.w[0] = right, m.w[1] = reply, m.w[2] = m.w[4] = m.w[6] = word, m.w[3] = 0, m.w[5] = PAGE_SIZE, m.w[7] = 1;
	ask_kernel("memory_object_data_request", self, 2203, MACH_MSGH_BITS_COMPLEX, 8);
	m.w[0] = flag, m.w[1] = 0, m.w[2] = word, m.w[3] = 0;
	ask_kernel("memory_object_change_completed", self, 2209, 0, 4);
}

static void messages(void)
{
	mach_port_t dead = send_port();

	drop(dead, MACH_PORT_RIGHT_RECEIVE);
	fill(&m, RPC, self, dead, 2005);
	show("a reply right of a dead name", give(24));
	m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = 0xffffffff, m.w[3] = page;
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, reply, 0, 1), show("4294967295 rights", give(40));
	m.w[0] = MIG_LONG(0, 0), m.w[1] = MIG_LONG_NAME(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = 0x40000001, m.w[3] = page, *(u32 *) page = reply;
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, reply, 0, 1), show("1073741825 rights", give(40));
	m.w[0] = item(MACH_MSG_TYPE_BYTE, 8, 16, 0, 0), m.w[1] = page, ask_kernel("request 3219 with memory", self, 3219, MACH_MSGH_BITS_COMPLEX, 2);
}

static void memory(void)
{
	vm_address_t address = 0;
	rpc_phys_addr_t place;
	mach_msg_type_number_t size;
	vm_address_t data;
	task_t child;
	mach_port_t lost = send_port();

	task_create(self, FALSE, &child);
	show("a mask with a gap", vm_map(child, &address, PAGE_SIZE, 2 * PAGE_SIZE, TRUE, 0, 0, 0, 3, 7, 1));
	show("the map goes on", vm_allocate(child, &address, PAGE_SIZE, TRUE)), task_terminate(child);
	vm_inherit(self, page, PAGE_SIZE, VM_INHERIT_SHARE), task_create(self, TRUE, &child);
	show("a shared page onto itself", vm_copy(self, page, PAGE_SIZE, page)), task_terminate(child);
	address = 0, vm_allocate(self, &address, PAGE_SIZE, TRUE), vm_protect(self, address, PAGE_SIZE, FALSE, VM_PROT_WRITE), vm_wire(host_priv, self, address, PAGE_SIZE, VM_PROT_WRITE);
	show("a copy of wired memory that may not be read", task_create(self, TRUE, &child)), vm_deallocate(self, address, PAGE_SIZE);
	address = 0, vm_allocate(self, &address, PAGE_SIZE, TRUE), *(int *) address = 7, task_create(self, TRUE, &child);
	vm_protect(self, address, PAGE_SIZE, FALSE, VM_PROT_READ), vm_wire(host_priv, self, address, PAGE_SIZE, VM_PROT_READ);
	vm_protect(self, address, PAGE_SIZE, FALSE, VM_PROT_READ | VM_PROT_WRITE), *(volatile int *) address = 8;
	show("unwiring memory that was written once wired to be read", vm_wire(host_priv, self, address, PAGE_SIZE, VM_PROT_NONE)), vm_deallocate(self, address, PAGE_SIZE), task_terminate(child);
	address = 0, vm_allocate(self, &address, 2 * PAGE_SIZE, TRUE), *(int *) address = 7, vm_wire(host_priv, self, address, PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE);
	vm_inherit(self, address, PAGE_SIZE, VM_INHERIT_SHARE), task_create(self, TRUE, &child), *(volatile int *) address = 8;
	show("unwiring memory that was written once wired and then shared", vm_wire(host_priv, self, address, PAGE_SIZE, VM_PROT_NONE)), vm_deallocate(self, address, 2 * PAGE_SIZE), task_terminate(child);
	address = 0, vm_allocate(self, &address, 2 * PAGE_SIZE, TRUE), *(int *) address = 7, vm_inherit(self, address, PAGE_SIZE, VM_INHERIT_SHARE), task_create(self, TRUE, &child);
	vm_read(child, address, PAGE_SIZE, &data, &size), vm_deallocate(self, data, size), task_terminate(child), task_create(self, TRUE, &child);
	show("writing what a task that ended shared", vm_write(self, address, page, PAGE_SIZE)), vm_deallocate(self, address, 2 * PAGE_SIZE), task_terminate(child);
	address = 0, vm_map(self, &address, PAGE_SIZE, 0, TRUE, lost, 0, FALSE, 3, 7, 1), mach_port_destroy(self, lost), vm_wire(host_priv, self, address, PAGE_SIZE, VM_PROT_READ);
	show("unwiring memory that its manager did not give", vm_wire(host_priv, self, address, PAGE_SIZE, VM_PROT_NONE)), vm_deallocate(self, address, PAGE_SIZE);
	show("contiguous memory below 4", vm_allocate_contiguous(host_priv, self, &address, &place, PAGE_SIZE, 0, 4, 0));
}

static void reads(void)
{
	is_back = *(volatile int *) page + 1;
	stay();
}

/* Shared memory whose page is a copied object's: once it is given back nobody reads it any more. */
static void shared_memory(void)
{
	mach_port_t exceptions = send_port();
	task_t child, other;
	thread_t thread;

	*(int *) page = 7, vm_inherit(self, page, PAGE_SIZE, VM_INHERIT_COPY), task_create(self, TRUE, &child);
	vm_inherit(self, page, PAGE_SIZE, VM_INHERIT_SHARE), task_create(self, TRUE, &other);
	is_back = *(volatile int *) page;
	show("shared memory is given back", vm_deallocate(self, page, PAGE_SIZE)), is_back = 0;
	thread_create(self, &thread), thread_set_special_port(thread, THREAD_EXCEPTION_PORT, exceptions);
	set_entry(thread, reads, (vm_address_t) stack + sizeof stack), thread_resume(thread), rest();
	receive(exceptions), say("it is read: %s, exception %d code %d\n", is_back ? "yes" : "no", m.w[5], m.w[7]);
	thread_terminate(thread), task_terminate(child), task_terminate(other), vm_allocate(self, &page, PAGE_SIZE, FALSE);
	show("a message beyond the user's addresses", mach_msg((mach_msg_header_t *) -PAGE_SIZE, MACH_SEND_MSG, 24, 0, 0, 0, 0));
}

static void managers(void)
{
	mach_port_t object = send_port(), control;
	vm_address_t address = 0, copy = 0;

	vm_allocate(self, &copy, PAGE_SIZE, TRUE);
	vm_map(self, &address, PAGE_SIZE, 0, TRUE, object, 0, FALSE, 3, 7, VM_INHERIT_COPY), receive(object), control = m.w[1];
	show("ready with strategy 3", memory_object_ready(control, 0, 3)), show("and 0", memory_object_ready(control, 0, 0));
	show("a copy of its memory", vm_copy(self, address, PAGE_SIZE, copy));
}

static void makes_proxy(void)
{
	mach_port_t proxy;

	vm_region_create_proxy(self, page, VM_PROT_READ, 0, &proxy);
	is_back = 1;
	stay();
}

static void devices(void)
{
	static const char *const names[] = { "cn", "time", "mem", "irq" };
	mach_msg_type_number_t size;
	mach_port_t device = 0;
	char data[128];
	u32 i;

	device_open(device_master, D_READ | D_WRITE, "irq", &device);
	show("an interrupt's null port", device_intr_register(device, 5, 0, 0, MACH_MSG_TYPE_COPY_SEND));
	m.w[0] = item(MACH_MSG_TYPE_COPY_SEND, 32, 1, 1, 0), m.w[1] = self, m.w[2] = item(MACH_MSG_TYPE_BOOLEAN, 32, 1, 1, 0), m.w[3] = 1;
	ask_kernel("a task for I/O ports", self, 3806, MACH_MSGH_BITS_COMPLEX, 4);
	device = 0, i386_io_perm_create(device_master, 0x80, 0x8f, &device), m.w[0] = item(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0), m.w[1] = 0;
	ask_kernel("I/O ports without senders", device, 70, 0, 2), device = 0;
	for (i = 0; i < sizeof names / sizeof *names; i++)
		device_open(device_master, D_READ | D_WRITE, names[i], &device), size = sizeof data, say("%s ", names[i]), show("is read", device_read_inband(device, 0, 0, 16, data, &size));
	flush(), show("line -2", device_intr_register(device, -2, 0, reply, MACH_MSG_TYPE_MAKE_SEND));
}

int guest_main(void)
{
	self = mach_task_self(), quiet = port(), reply = send_port();
	vm_allocate(self, &page, PAGE_SIZE, TRUE);
	manager_requests();
	messages();
	memory();
	shared_memory();
	managers();
	devices();
	start_thread(makes_proxy, stack, sizeof stack), rest();
	say("a proxy of no bytes: %s\n", is_back ? "made" : "waits");
	return 0;
}
