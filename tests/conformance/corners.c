/* Small routines that nothing else calls: registered ports, protected payloads, memory attributes, statistics, devices' manners. */
#include "guest.h"
#include "gnumach_user.h"
#include "mach_debug_user.h"

typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;

static mach_port_t self;

static void registered(void)
{
	mach_port_t ports[5], *list = 0;
	mach_msg_type_number_t n = 0, i;
	task_t child;

	for (i = 0; i < 5; i++) {
		mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, ports + i);
		mach_port_insert_right(self, ports[i], ports[i], MACH_MSG_TYPE_MAKE_SEND);
	}
	show("look up", mach_ports_lookup(self, &list, &n));
	say("  %d:", n);
	for (i = 0; i < n; i++)
		say(" %d", list[i]);
	say("\n");
	show("register two", mach_ports_register(self, ports, 2));
	show("look up", mach_ports_lookup(self, &list, &n));
	say("  %d: %d %d %d %d\n", n, list[0] == ports[0], list[1] == ports[1], list[2], list[3]);
	show("too many", mach_ports_register(self, ports, 5));
	show("a child", task_create(self, FALSE, &child));
	show("its own", mach_ports_lookup(child, &list, &n));
	say("  %d: %d %d %d %d\n", n, list[0] == ports[0], list[1] == ports[1], list[2], list[3]);
	show("none", mach_ports_register(self, ports, 0));
	show("look up", mach_ports_lookup(self, &list, &n));
	say("  %d: %d %d\n", n, list[0], list[1]);
	show("the child's still", mach_ports_lookup(child, &list, &n));
	say("  %d: %d\n", n, list[0] == ports[0]);
	show("not a task", mach_ports_lookup(mach_thread_self(), &list, &n));
	show("not a task", mach_ports_register(mach_thread_self(), ports, 2));
	task_terminate(child);
}

static void payloads(void)
{
	mach_port_t p;
	message_t m;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p);
	mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND);
	show("set", mach_port_set_protected_payload(self, p, 0x12345678));
	show("no name", mach_port_set_protected_payload(self, 99999, 1));
	show("no receive right", mach_port_set_protected_payload(self, self, 1));
	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
	m.h.msgh_remote_port = p;
	m.h.msgh_local_port = 0;
	m.h.msgh_id = 5;
	mach_msg(&m.h, MACH_SEND_MSG, 24, 0, 0, 0, 0);
	show("receive", mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, p, 10, 0));
	say("  bits %x local %x\n", m.h.msgh_bits, m.h.msgh_local_port);
	show("clear", mach_port_clear_protected_payload(self, p));
	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
	m.h.msgh_remote_port = p;
	m.h.msgh_local_port = 0;
	mach_msg(&m.h, MACH_SEND_MSG, 24, 0, 0, 0, 0);
	show("receive", mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, p, 10, 0));
	say("  bits %x local %d\n", m.h.msgh_bits, m.h.msgh_local_port == p);
	show("clear again", mach_port_clear_protected_payload(self, p));
	show("no name", mach_port_clear_protected_payload(self, 99999));
}

static void memory(void)
{
	vm_machine_attribute_val_t value = 1;
	vm_cache_statistics_data_t cache;
	vm_address_t address = 0;
	unsigned type;
	vm_offset_t where;

	vm_allocate(self, &address, PAGE_SIZE, TRUE);
	show("attribute", vm_machine_attribute(self, address, PAGE_SIZE, 1, &value));
	show("of what is not there", vm_machine_attribute(self, 0x70000000, PAGE_SIZE, 1, &value));
	show("of the kernel's", vm_machine_attribute(self, VM_MAX_ADDRESS - PAGE_SIZE, 2 * PAGE_SIZE, 1, &value));
	show("of nobody", vm_machine_attribute(mach_thread_self(), address, PAGE_SIZE, 1, &value));
	show("cache", vm_cache_statistics(self, &cache));
	show("of nobody", vm_cache_statistics(mach_thread_self(), &cache));
	show("of nothing", vm_msync(self, address, 0, 2));
	show("both ways", vm_msync(self, address, PAGE_SIZE, 3));
	show("symbols", host_load_symbol_table(host_priv, self, "table", address, PAGE_SIZE));
}

int guest_main(void)
{
	self = mach_task_self();
	say("-- registered ports\n");
	registered();
	say("-- payloads\n");
	payloads();
	say("-- memory\n");
	memory();
	return 0;
}
