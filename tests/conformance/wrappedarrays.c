/* Items out of line of which the length in bytes does not fit a word, or is more memory than there is. */
#include "ipc.h"

static mach_port_t box, right;
static vm_address_t page;

static void tell(u32 name, u32 size, u32 number, u32 deallocate, vm_address_t address)
{
	mach_msg_return_t result;

	right = send_port();
	*(mach_port_t *) page = right;
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, box, 0, 7);
	m.w[0] = MIG_LONG(0, deallocate), m.w[1] = MIG_LONG_NAME(name, size), m.w[2] = number, m.w[3] = address;
	result = give(40);
	say("%u of %u bits as %u%s -> %x", number, size, name, deallocate ? ", deallocated" : "", result);
	say(" bits %x the word %s\n", m.h.msgh_bits, m.w[3] == address ? "as it was" : "changed");
	type("the right", right);
	if (!result) {
		receive(box);
		say("  came: bits %x number %u memory %s\n", m.h.msgh_bits, m.w[2], m.w[3] ? "somewhere" : "nowhere");
	}
	mach_port_destroy(self, right);
}

static void of_ports(void)
{
	static const u32 numbers[] = { 0x40000000, 0x80000000, 0xc0000000, 0x10000000, 0x20000000, 0x50000000, 0x8000000 };
	u32 d, i;

	say("-- rights\n");
	for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		tell(MACH_MSG_TYPE_COPY_SEND, 32, numbers[i], 0, page);
	for (d = MACH_MSG_TYPE_MOVE_RECEIVE; d <= MACH_MSG_TYPE_MAKE_SEND_ONCE; d++)
		tell(d, 32, 0x40000000, 0, page), tell(d, 32, 0x20000000, 0, page);
	tell(MACH_MSG_TYPE_MOVE_SEND, 32, 0x40000000, 1, page);
	tell(MACH_MSG_TYPE_MOVE_SEND, 32, 0x40000000, 0, 0);
	tell(MACH_MSG_TYPE_MOVE_SEND, 32, 0x40000000, 0, BEYOND_USER);
	say("-- rights of which there is but one\n");
	tell(MACH_MSG_TYPE_COPY_SEND, 32, 0x40000001, 0, page);
	tell(MACH_MSG_TYPE_MOVE_SEND, 32, 0x40000001, 0, page);
	tell(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 0xc0000001, 0, page);
	tell(MACH_MSG_TYPE_MOVE_SEND, 32, 0x40010000, 0, page);
	tell(MACH_MSG_TYPE_MOVE_SEND, 32, 0x80000001, 0, 0);
}

static void of_data(void)
{
	say("-- data\n");
	tell(MACH_MSG_TYPE_INTEGER_32, 32, 0x40000000, 0, page);
	tell(MACH_MSG_TYPE_INTEGER_32, 32, 0x40000001, 0, page);
	tell(MACH_MSG_TYPE_INTEGER_32, 32, 0x10000000, 0, page);
	tell(MACH_MSG_TYPE_BYTE, 8, 0xffffffff, 0, page);
	tell(MACH_MSG_TYPE_BYTE, 0x8000, 0x100000, 0, page);
	tell(MACH_MSG_TYPE_PORT_NAME, 32, 0x40000000, 0, page);
	tell(MACH_MSG_TYPE_INTEGER_32, 32, 0x40000000, 1, BEYOND_USER);
}

/* The kernel's own receivers. */
static void to_the_kernel(void)
{
	say("-- to the kernel\n");
	show("registered", mach_ports_register(self, (mach_port_array_t) page, 0x40000000));
	show("registered", mach_ports_register(self, (mach_port_array_t) page, 0x20000000));
	show("written", vm_write(self, page, page, 0xffffffff));
}

int guest_main(void)
{
	self = mach_task_self();
	box = send_port();
	vm_allocate(self, &page, PAGE_SIZE, TRUE);
	of_ports();
	of_data();
	to_the_kernel();
	return 0;
}
