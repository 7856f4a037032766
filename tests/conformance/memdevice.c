/*
 * The device `mem`, mapped: which physical addresses can be read through it. Nobody gets the kernel's pages by it, nor what is free for
 * tasks: of RAM just what the start left out. What is in the pages is the machine's own.
 */
#include "guest.h"

static const u32 places[] = {
	0, 0x1000, 0x8000, 0xf000, 0x10000, 0x11000, 0x50000, 0x9d000, 0x9e000, 0x9f000, 0xa0000, 0xb7000, 0xb8000, 0xc0000, 0xe0000, 0xf0000,
	0xff000, 0x100000, 0x101000, 0x400000, 0xf0000000, 0xfffff000,
};
static mach_port_t self, exceptions;
static char stack[4096];
static volatile u32 *where;
static volatile int got;

static void reads(void)
{
	got = *where, got = 1;
	idle();
}

/* What a thread meets that reads there. */
static void touch(vm_address_t address)
{
	struct { mach_msg_header_t h; u32 w[16]; } m;
	thread_t thread;

	where = (u32 *) address, got = 0;
	thread_create(self, &thread);
	thread_set_special_port(thread, THREAD_EXCEPTION_PORT, exceptions);
	set_entry(thread, reads, (vm_address_t) stack + sizeof stack);
	thread_resume(thread);
	if (mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, exceptions, 60, 0))
		say(got ? " read" : " nothing yet");
	else
		say(" exception %d code %d", m.w[5], m.w[7]), mach_port_deallocate(self, m.h.msgh_remote_port);
	thread_terminate(thread);
	mach_port_deallocate(self, thread);
}

static void look(device_t mem, u32 offset, u32 first, u32 size)
{
	mach_port_t pager = 0;
	vm_address_t address = 0;
	kern_return_t result = device_map(mem, VM_PROT_READ, offset, size, &pager, 0);

	say("  %x: %x", offset + first, result);
	if (!result) {
		result = vm_map(self, &address, size, 0, TRUE, pager, 0, FALSE, VM_PROT_READ, VM_PROT_READ, VM_INHERIT_NONE);
		say(" %x", result);
		if (!result)
			touch(address + first), vm_deallocate(self, address, size);
		mach_port_deallocate(self, pager);
	}
	say("\n");
}

int guest_main(void)
{
	device_t mem = 0;
	u32 i;

	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &exceptions);
	mach_port_insert_right(self, exceptions, exceptions, MACH_MSG_TYPE_MAKE_SEND);
	show("open", device_open(device_master, D_READ, "mem", &mem));
	say("-- a page each\n");
	for (i = 0; i < sizeof places / sizeof *places; i++)
		look(mem, places[i], 0, PAGE_SIZE);
	say("-- the first two megabytes at once\n");
	for (i = 0; places[i] < 0x200000; i++)
		look(mem, 0, places[i], 0x200000);
	return 0;
}
