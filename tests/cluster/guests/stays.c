/*
 * A task that cannot move to another node, for the reason that its argument names: `ports` may use I/O ports, `device` has mapped
 * physical memory, `v86` has a thread in virtual-8086 mode, `essential` is so, `copy` shows a copy of memory that it manages itself,
 * `mail` has such a copy in a message that waits, and `shared` has a child that shares memory with a task of the host's. Then it counts.
 */
#include "guest.h"

#define COUNTS 100
#define PAUSE 20

static mach_port_t self;

#ifdef __i386__
static void uses_ports(void)
{
	mach_port_t ports = MACH_PORT_NULL;

	show("made", i386_io_perm_create(device_master, 0x300, 0x300, &ports));
	show("allowed", i386_io_perm_modify(self, ports, TRUE));
}

static void maps_device(void)
{
	device_t mem = MACH_PORT_NULL;
	mach_port_t pager = MACH_PORT_NULL;
	vm_address_t address = 0;

	show("opened", device_open(device_master, D_READ, "mem", &mem));
	show("its object", device_map(mem, VM_PROT_READ, 0, PAGE_SIZE, &pager, 0));
	show("mapped", vm_map(self, &address, PAGE_SIZE, 0, TRUE, pager, 0, FALSE, VM_PROT_READ, VM_PROT_READ, VM_INHERIT_NONE));
}

static void has_v86(void)
{
	struct i386_thread_state state;
	mach_msg_type_number_t count = i386_THREAD_STATE_COUNT;
	thread_t thread;

	thread_create(self, &thread);
	thread_get_state(thread, i386_REGS_SEGS_STATE, (thread_state_t) &state, &count);
	state.efl |= 0x20000;
	show("set", thread_set_state(thread, i386_THREAD_STATE, (thread_state_t) &state, count));
}
#endif

static void shares(void)
{
	mach_port_t name, set;
	task_array_t tasks;
	mach_msg_type_number_t count;
	task_t server, child;
	vm_address_t address = 0;

	processor_set_default(mach_host_self(), &name);
	host_processor_set_priv(host_priv, name, &set);
	show("tasks", processor_set_tasks(set, &tasks, &count));
	server = tasks[0] == self ? tasks[1] : tasks[0];
	show("allocated", vm_allocate(server, &address, PAGE_SIZE, TRUE));
	show("inherited", vm_inherit(server, address, PAGE_SIZE, VM_INHERIT_SHARE));
	show("created", task_create(server, TRUE, &child));
}

/* Memory that this task manages, a page; its object. */
static mach_port_t manages(vm_address_t *address)
{
	struct { mach_msg_header_t h; u32 words[16]; } init;
	mach_port_t object;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &object);
	mach_port_insert_right(self, object, object, MACH_MSG_TYPE_MAKE_SEND);
	*address = 0;
	show("mapped", vm_map(self, address, PAGE_SIZE, 0, TRUE, object, 0, FALSE, VM_PROT_READ, VM_PROT_READ, VM_INHERIT_NONE));
	show("asked to begin", mach_msg(&init.h, MACH_RCV_MSG, 0, sizeof init, object, 0, MACH_PORT_NULL));
	show("ready", memory_object_ready(init.words[1], FALSE, MEMORY_OBJECT_COPY_DELAY));
	return object;
}

static void copies(void)
{
	vm_address_t address, copy = 0;
	mach_port_t object = manages(&address);

	show("copied", vm_map(self, &copy, PAGE_SIZE, 0, TRUE, object, 0, TRUE, VM_PROT_READ, VM_PROT_READ, VM_INHERIT_NONE));
}

static void mails(void)
{
	struct { mach_msg_header_t h; u32 type, address; } m;

	manages(&m.address);
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &m.h.msgh_remote_port);
	m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0) | MACH_MSGH_BITS_COMPLEX;
	m.h.msgh_size = sizeof m;
	m.h.msgh_local_port = MACH_PORT_NULL;
	m.type = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, PAGE_SIZE / 4, 0, 0);
	show("sent", mach_msg(&m.h, MACH_SEND_MSG, sizeof m, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL));
}

int guest_main(void)
{
	const char *reason = arg_value[3];
	int n;

	self = mach_task_self();
	if (strcmp(reason, "essential") == 0)
		show("essential", task_set_essential(self, TRUE));
	else if (strcmp(reason, "shared") == 0)
		shares();
	else if (strcmp(reason, "copy") == 0)
		copies();
	else if (strcmp(reason, "mail") == 0)
		mails();
#ifdef __i386__
	else if (strcmp(reason, "ports") == 0)
		uses_ports();
	else if (strcmp(reason, "device") == 0)
		maps_device();
	else if (strcmp(reason, "v86") == 0)
		has_v86();
#endif
	for (n = 1; n <= COUNTS; n++) {
		thread_switch(MACH_PORT_NULL, SWITCH_OPTION_WAIT, PAUSE);
		say("count %d\n", n);
		flush();
	}
	task_terminate(self);
	return 0;
}
