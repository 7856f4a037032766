/* Calls on no bytes at all, with addresses that hold nothing, may not be touched or are no addresses of pages. */
#include "guest.h"
#include "gnumach_user.h"
#include "mach4_user.h"

static mach_port_t self, task;
static vm_address_t page;

/* An empty address space but for a page in its middle, which may be used as PROTECTION says. */
static vm_address_t at(int protection)
{
	vm_address_t address = 0x50000000;

	if (task)
		task_terminate(task);
	task_create(self, FALSE, &task);
	vm_allocate(task, &address, PAGE_SIZE, FALSE);
	vm_protect(task, address, PAGE_SIZE, FALSE, protection);
	return address;
}

static void writing(void)
{
	vm_address_t there = at(3);

	say("-- vm_write\n");
	show("where nothing is", vm_write(task, there - PAGE_SIZE, page, 0));
	show("where memory is", vm_write(task, there, page, 0));
	show("at no page's address", vm_write(task, there + 5, page, 0));
	show("from address 0", vm_write(task, there, 0, 0));
	show("from where nothing is", vm_write(task, there, -PAGE_SIZE, 0));
	show("beyond the user's addresses", vm_write(task, BEYOND_USER, page, 0));
	show("in no task", vm_write(mach_thread_self(), there, page, 0));
	there = at(0);
	show("where no access is", vm_write(task, there, page, 0));
}

static void copying(void)
{
	vm_address_t there = at(3);

	say("-- vm_copy\n");
	show("onto itself", vm_copy(task, there, 0, there));
	show("from nothing", vm_copy(task, there - PAGE_SIZE, 0, there));
	show("to nothing", vm_copy(task, there, 0, there - PAGE_SIZE));
	show("at no page's address", vm_copy(task, there + 1, 0, there + 2));
	show("beyond the user's addresses", vm_copy(task, BEYOND_USER, 0, BEYOND_USER + 1));
	show("in no task", vm_copy(mach_thread_self(), there, 0, there));
}

static void reading(void)
{
	vm_address_t there = at(0), data = 1;
	mach_msg_type_number_t size = 1;

	say("-- vm_read\n");
	show("where no access is", vm_read(task, there, 0, &data, &size));
	say("  %u at %x\n", size, data);
	data = 1, size = 1;
	show("where nothing is", vm_read(task, there - 1, 0, &data, &size));
	say("  %u at %x\n", size, data);
	show("beyond the user's addresses", vm_read(task, BEYOND_USER, 0, &data, &size));
}

static void ranges(void)
{
	vm_address_t there = at(1);

	say("-- ranges\n");
	show("deallocate nothing", vm_deallocate(task, there, 0));
	show("deallocate, at no page's address", vm_deallocate(task, there + 1, 0));
	show("protect", vm_protect(task, there - PAGE_SIZE, 0, FALSE, 7));
	show("protect more than is allowed", vm_protect(task, there, 0, FALSE, 0x20));
	show("inherit", vm_inherit(task, there - PAGE_SIZE, 0, VM_INHERIT_NONE));
	show("inherit otherwise", vm_inherit(task, there, 0, 3));
	show("wire", vm_wire(host_priv, task, there, 0, 1));
	show("wire for more than is allowed", vm_wire(host_priv, task, there, 0, 2));
	show("wire where nothing is", vm_wire(host_priv, task, there - PAGE_SIZE, 0, 1));
	show("wire, at no page's address", vm_wire(host_priv, task, there + 1, 0, 2));
	show("synchronize", vm_msync(task, there, 0, 1));
	show("map", vm_map(task, &there, 0, 0, TRUE, 0, 0, 0, 3, 7, 1));
	show("allocate", vm_allocate(task, &there, 0, FALSE));
	say("  at %x\n", there);
}

static void others(void)
{
	vm_offset_t *vector = 0;
	mach_msg_type_number_t count = 0;
	int start = 1, written = -1;

	say("-- memory in other calls\n");
	show("an empty emulation vector", task_set_emulation_vector(task, 0, (emulation_vector_t) page, 0));
	show("what it is now", task_get_emulation_vector(task, &start, (emulation_vector_t *) &vector, &count));
	say("  from %d, %u entries\n", start, count);
	show("no registered ports", mach_ports_register(self, (mach_port_array_t) -PAGE_SIZE, 0));
	show("write nothing to the console", device_write(console, 0, 0, (io_buf_ptr_t) page, 0, &written));
	say("  %d written\n", written);
	show("write nothing from nowhere", device_write(console, 0, 0, (io_buf_ptr_t) -PAGE_SIZE, 0, &written));
}

int guest_main(void)
{
	self = mach_task_self();
	vm_allocate(self, &page, PAGE_SIZE, TRUE);
	writing();
	copying();
	reading();
	ranges();
	others();
	return 0;
}
