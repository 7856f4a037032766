/*
 * Wiring memory that is to be copied before it is written: read-only memory keeps the object that it shares with its copy, as long as
 * it may not be written; written, copied or unwired later, each sees its own.
 */
#define JOBS 1
#include "ipc.h"
#include "mach_debug_user.h"

static task_t child;

static void look(const char *what, task_t task, vm_address_t address)
{
	vm_region_info_t info;
	mach_port_t object = 0;
	vm_address_t data = 0;
	mach_msg_type_number_t size = 0;
	kern_return_t result = mach_vm_region_info(task, address, &info, &object);

	say("  %s: %x", what, result);
	if (!result)
		say(" protection %d wired %d copy %d shared %d offset %x", info.vri_protection, info.vri_wired_count, info.vri_needs_copy, info.vri_sharing, info.vri_offset);
	if (object)
		mach_port_deallocate(self, object);
	result = vm_read(task, address, PAGE_SIZE, &data, &size);
	if (result)
		say(", not read: %x\n", result);
	else
		say(", has %d\n", *(int *) data), vm_deallocate(self, data, size);
}

static void look_all(vm_address_t address)
{
	look("parent", self, address), look("child", child, address);
}

static void wire(task_t task, vm_address_t address, int access)
{
	show("wire", vm_wire(host_priv, task, address, PAGE_SIZE, access));
}

/* A page of a region of three, which a child has a copy of; both may read it. */
static vm_address_t fresh(int value, int protection)
{
	vm_address_t address = 0;

	vm_allocate(self, &address, 3 * PAGE_SIZE, TRUE), address += PAGE_SIZE;
	*(int *) address = value;
	task_create(self, TRUE, &child);
	vm_protect(self, address, PAGE_SIZE, FALSE, protection);
	return address;
}

static void done(vm_address_t address)
{
	task_terminate(child), mach_port_deallocate(self, child);
	vm_deallocate(self, address - PAGE_SIZE, 3 * PAGE_SIZE);
}

int guest_main(void)
{
	vm_address_t address, source = 0;
	task_t grandchild;

	self = mach_task_self();
	vm_allocate(self, &source, PAGE_SIZE, TRUE), *(int *) source = 9;
	say("-- read-only, unwired\n");
	address = fresh(1, VM_PROT_READ), wire(self, address, VM_PROT_READ), look_all(address);
	wire(self, address, VM_PROT_NONE), look_all(address), done(address);
	say("-- may be written, wired to be read\n");
	address = fresh(2, VM_PROT_READ | VM_PROT_WRITE), wire(self, address, VM_PROT_READ), look_all(address), done(address);
	say("-- wired in both, the child's written\n");
	address = fresh(3, VM_PROT_READ), wire(self, address, VM_PROT_READ);
	vm_protect(child, address, PAGE_SIZE, FALSE, VM_PROT_READ), wire(child, address, VM_PROT_READ), look_all(address);
	wire(child, address, VM_PROT_NONE), vm_protect(child, address, PAGE_SIZE, FALSE, VM_PROT_READ | VM_PROT_WRITE);
	show("write", vm_write(child, address, source, PAGE_SIZE)), look_all(address), wire(self, address, VM_PROT_NONE), done(address);
	say("-- wired, then inherited\n");
	address = fresh(4, VM_PROT_READ), wire(self, address, VM_PROT_READ), task_create(self, TRUE, &grandchild);
	look("grandchild", grandchild, address), look_all(address), task_terminate(grandchild), mach_port_deallocate(self, grandchild);
	wire(self, address, VM_PROT_NONE), done(address);
	say("-- wired, then without access and with it again\n");
	address = fresh(5, VM_PROT_READ), wire(self, address, VM_PROT_READ);
	vm_protect(self, address, PAGE_SIZE, FALSE, VM_PROT_NONE), look_all(address);
	vm_protect(self, address, PAGE_SIZE, FALSE, VM_PROT_READ), look_all(address), wire(self, address, VM_PROT_NONE), done(address);
	say("-- wired, and may then be written\n");
	address = fresh(6, VM_PROT_READ), wire(self, address, VM_PROT_READ);
	vm_protect(self, address, PAGE_SIZE, FALSE, VM_PROT_READ | VM_PROT_WRITE), look_all(address);
	/* Unwired now, it would end the real kernel. */
	*(volatile int *) address = 8, look_all(address);
	return 0;
}
