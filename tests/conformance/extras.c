/* GNU Mach's additions to tasks and threads, samples of program counters, and what the kernel tells of itself to debuggers. */
#include "guest.h"
#include "gnumach_user.h"
#include "mach4_user.h"
#include "mach_debug_user.h"

typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;

static mach_port_t self, box;
static char stack1[8192];
static volatile u32 counter;

static void counts(void) { for (;;) counter++; }

static kern_return_t hear(message_t *m, u32 ms)
{
	return mach_msg(&m->h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof *m, box, ms, 0);
}

static void wait(u32 ms) { message_t m; hear(&m, ms); }

static volatile mach_port_t releases_name, releases_reply;
static volatile vm_address_t releases_memory;
static void releases(void)
{
	thread_terminate_release(mach_thread_self(), self, releases_name, releases_reply, releases_memory, PAGE_SIZE);
	for (;;) ;
}

static void tasks(void)
{
	vm_address_t address = 0, where;
	vm_size_t size;
	vm_prot_t prot, max;
	vm_inherit_t inherit;
	boolean_t is_shared;
	mach_port_t object, old, reply = mach_reply_port();
	vm_offset_t offset;
	mach_port_type_t type;
	message_t m;
	task_t child;
	thread_t t;

	vm_allocate(self, &address, 2 * PAGE_SIZE, TRUE);
	thread_create(self, &t);
	releases_name = t;
	releases_reply = reply;
	releases_memory = address;
	mach_port_request_notification(self, t, MACH_NOTIFY_DEAD_NAME, 0, box, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old);
	set_entry(t, releases, (vm_address_t) stack1 + sizeof stack1);
	thread_resume(t);
	say("release: %x", hear(&m, 100));
	say(" id %d\n", m.h.msgh_id);
	say("  reply port %x", mach_port_type(self, reply, &type));
	where = address;
	vm_region(self, &where, &size, &prot, &max, &inherit, &is_shared, &object, &offset);
	say(" memory +%x thread %x\n", where - address, mach_port_type(self, t, &type));
	show("a port for new tasks", register_new_task_notification(host_priv, box, MACH_MSG_TYPE_COPY_SEND));
	show("another", register_new_task_notification(host_priv, box, MACH_MSG_TYPE_COPY_SEND));
	show("by no host", register_new_task_notification(self, box, MACH_MSG_TYPE_COPY_SEND));
	show("create", task_create(self, FALSE, &child));
	say("told: %x", hear(&m, 100));
	say(" id %d size %d bits %x types %x %x task %d parent %d\n", m.h.msgh_id, m.h.msgh_size, m.h.msgh_bits, m.w[0], m.w[2],
		m.w[1] == child, m.w[3] == self);
	show("name", task_set_name(child, "a name"));
	show("essential", task_set_essential(child, TRUE));
	show("terminate", task_terminate(child));
	mach_port_mod_refs(self, box, MACH_PORT_RIGHT_RECEIVE, -1);
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
	show("create", task_create(self, FALSE, &child));
	task_terminate(child);
	show("register again", register_new_task_notification(host_priv, box, MACH_MSG_TYPE_COPY_SEND));
}

static void memory(void)
{
	vm_address_t address = 0, page = 0;
	rpc_phys_addr_t place = 0;

	show("wire, by no host", vm_wire_all(self, self, 3));
	show("wire, no task", vm_wire_all(host_priv, mach_thread_self(), 3));
	show("wire, bad flags", vm_wire_all(host_priv, self, 4));
	show("wire what is there", vm_wire_all(host_priv, self, 1));
	show("wire what will be", vm_wire_all(host_priv, self, 2));
	show("wire all", vm_wire_all(host_priv, self, 3));
	show("wire nothing", vm_wire_all(host_priv, self, 0));
	show("page zero", vm_allocate(self, &page, PAGE_SIZE, FALSE));
	show("wire what is there", vm_wire_all(host_priv, self, 1));
	show("wire nothing", vm_wire_all(host_priv, self, 0));
	show("page zero", vm_deallocate(self, 0, PAGE_SIZE));
	show("contiguous, by no host", vm_allocate_contiguous(self, self, &address, &place, PAGE_SIZE, 0, 0x1000000, 0));
	show("contiguous, no task", vm_allocate_contiguous(host_priv, box, &address, &place, PAGE_SIZE, 0, 0x1000000, 0));
	show("none", vm_allocate_contiguous(host_priv, self, &address, &place, 0, 0, 0x1000000, 0));
	show("not at the bottom", vm_allocate_contiguous(host_priv, self, &address, &place, PAGE_SIZE, PAGE_SIZE, 0x1000000, 0));
	show("aligned too much", vm_allocate_contiguous(host_priv, self, &address, &place, PAGE_SIZE, 0, 0x1000000, 2 * PAGE_SIZE));
	show("aligned oddly", vm_allocate_contiguous(host_priv, self, &address, &place, PAGE_SIZE, 0, 0x1000000, 3));
	show("aligned little", vm_allocate_contiguous(host_priv, self, &address, &place, PAGE_SIZE, 0, 0x1000000, 16));
	show("three pages", vm_allocate_contiguous(host_priv, self, &address, &place, 3 * PAGE_SIZE - 5, 0, 0x1000000, PAGE_SIZE));
	say("  aligned %d below the limit %d\n", !((u32) place & (PAGE_SIZE - 1)), place + 3 * PAGE_SIZE < 0x1000000);
	*(u32 *) (address + 8000) = 7;
	say("  %d\n", *(u32 *) (address + 8000));
	show("give back", vm_deallocate(self, address, 3 * PAGE_SIZE));
}

static void samples(void)
{
	static sampled_pc_t list[600];
	mach_msg_type_number_t n = 600;
	sampled_pc_seqno_t seqno = 0;
	int tick = -1, count = -1;
	thread_t t;
	u32 i, wrong = 0;

	show("none yet", thread_get_sampled_pcs(mach_thread_self(), &seqno, list, &n));
	show("of the task", task_get_sampled_pcs(self, &seqno, list, &n));
	show("disable", task_disable_pc_sampling(self, &count));
	show("of nobody", task_enable_pc_sampling(mach_thread_self(), &tick, 1));
	show("of nobody", thread_enable_pc_sampling(self, &tick, 1));
	show("of nobody", task_disable_pc_sampling(mach_thread_self(), &count));
	show("of nobody", thread_disable_pc_sampling(self, &count));
	show("of nobody", task_get_sampled_pcs(mach_thread_self(), &seqno, list, &n));
	show("of nobody", thread_get_sampled_pcs(self, &seqno, list, &n));
	t = start_thread(counts, stack1, sizeof stack1);
	thread_suspend(t);
	show("enable", thread_enable_pc_sampling(t, &tick, 1));
	say("  tick %d\n", tick);
	n = 600;
	show("nothing", thread_get_sampled_pcs(t, &seqno, list, &n));
	say("  seqno %d, %d samples\n", seqno, n);
	thread_resume(t);
	wait(500);
	thread_suspend(t);
	n = 600;
	seqno = 0;
	show("samples", thread_get_sampled_pcs(t, &seqno, list, &n));
	for (i = 0; i < n; i++)
		wrong += list[i].pc - (u32) counts >= 32 || list[i].sampletype != 1 || list[i].id != list[0].id;
	say("  many %d all %d wrong %d\n", n > 20, n == seqno, wrong);
	n = 600;
	show("no news", thread_get_sampled_pcs(t, &seqno, list, &n));
	say("  %d\n", n);
	seqno -= 5;
	n = 600;
	show("the last five", thread_get_sampled_pcs(t, &seqno, list, &n));
	say("  %d\n", n);
	seqno += 100;
	n = 600;
	show("from the future", thread_get_sampled_pcs(t, &seqno, list, &n));
	say("  %d seqno back %d\n", n, seqno < 100000);
	show("enable again, of another kind", thread_enable_pc_sampling(t, &tick, 0x10));
	n = 600;
	show("still there", thread_get_sampled_pcs(t, &seqno, list, &n));
	thread_resume(t);
	wait(100);
	thread_suspend(t);
	i = seqno;
	n = 600;
	show("none of that kind", thread_get_sampled_pcs(t, &seqno, list, &n));
	say("  %d\n", seqno - i);
	show("disable", thread_disable_pc_sampling(t, &count));
	show("disable again", thread_disable_pc_sampling(t, &count));
	show("gone", thread_get_sampled_pcs(t, &seqno, list, &n));
	show("the task's", task_enable_pc_sampling(self, &tick, 0x7f));
	thread_resume(t);
	wait(100);
	thread_terminate(t);
	seqno = 0;
	n = 600;
	show("samples", task_get_sampled_pcs(self, &seqno, list, &n));
	say("  some %d\n", n > 3);
	show("disable", task_disable_pc_sampling(self, &count));
}

static void ports(void)
{
	mach_port_t p, old, set;
	mach_port_rights_t rights = 99;
	unsigned total = 99, used = 99, type = 99;
	vm_offset_t address;
	u32 i;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p);
	show("send rights", mach_port_get_srights(self, p, &rights));
	say("  %d\n", rights);
	mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND);
	mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND);
	show("send rights", mach_port_get_srights(self, p, &rights));
	say("  %d\n", rights);
	show("no name", mach_port_get_srights(self, 99999, &rights));
	show("no receive right", mach_port_get_srights(self, self, &rights));
	show("not a task", mach_port_get_srights(mach_thread_self(), p, &rights));
	show("requests", mach_port_dnrequest_info(self, p, &total, &used));
	say("  %d %d\n", total, used);
	for (i = 0; i < 3; i++) {
		mach_port_request_notification(self, p, MACH_NOTIFY_DEAD_NAME, 0, box, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old);
		show("requests", mach_port_dnrequest_info(self, p, &total, &used));
		say("  %d %d\n", total, used);
	}
	show("no name", mach_port_dnrequest_info(self, 99999, &total, &used));
	show("no receive right", mach_port_dnrequest_info(self, self, &total, &used));
	show("not a task", mach_port_dnrequest_info(mach_thread_self(), p, &total, &used));
	show("object", mach_port_kernel_object(self, p, &type, &address));
	say("  type %d address %x\n", type, address);
	show("task", mach_port_kernel_object(self, self, &type, &address));
	say("  type %d address %d\n", type, address != 0);
	show("thread", mach_port_kernel_object(self, mach_thread_self(), &type, &address));
	say("  type %d\n", type);
	show("host", mach_port_kernel_object(self, mach_host_self(), &type, &address));
	say("  type %d\n", type);
	show("privileged host", mach_port_kernel_object(self, host_priv, &type, &address));
	say("  type %d\n", type);
	show("device master", mach_port_kernel_object(self, device_master, &type, &address));
	say("  type %d\n", type);
	show("device", mach_port_kernel_object(self, console, &type, &address));
	say("  type %d\n", type);
	show("no name", mach_port_kernel_object(self, 99999, &type, &address));
	mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &set);
	show("a set", mach_port_kernel_object(self, set, &type, &address));
	show("not a task", mach_port_kernel_object(mach_thread_self(), p, &type, &address));
	mach_port_mod_refs(self, p, MACH_PORT_RIGHT_RECEIVE, -1);
	show("a dead name", mach_port_kernel_object(self, p, &type, &address));
	show("a dead name's send rights", mach_port_get_srights(self, p, &rights));
}

static void host(void)
{
	static hash_info_bucket_t list[2048];
	static cache_info_t caches[200];
	hash_info_bucket_array_t got = list;
	cache_info_array_t slabs = caches;
	mach_msg_type_number_t n = 2048;
	unsigned most = 0, total = 0;
	vm_size_t reserved = 9, space = 9, resident = 9, used = 9;
	vm_offset_t stack = 9;
	vm_address_t symbols = 0;
	u32 i, sum = 0;

	show("requests for messages", host_ipc_marequest_info(mach_host_self(), &most, &got, &n));
	for (i = 0; i < n; i++)
		sum += got[i].hib_count;
	say("  most %d buckets %d in all %d\n", most, n, sum);
	show("by no host", host_ipc_marequest_info(self, &most, &got, &n));
	n = 2048;
	got = list;
	show("page table", host_virtual_physical_table_info(mach_host_self(), &got, &n));
	say("  buckets a power of two %d\n", n > 100 && !(n & n - 1));
	show("by no host", host_virtual_physical_table_info(self, &got, &n));
	show("stacks", host_stack_usage(mach_host_self(), &reserved, &total, &space, &resident, &used, &stack));
	say("  reserved %d each %d resident %d used %d at %d\n", reserved, space / total, resident == space, used, stack);
	show("by no host", host_stack_usage(self, &reserved, &total, &space, &resident, &used, &stack));
	vm_allocate(self, &symbols, PAGE_SIZE, TRUE);
	show("symbols", host_load_symbol_table(host_priv, self, "table", symbols, PAGE_SIZE));
	show("by no host", host_load_symbol_table(self, self, "table", symbols, PAGE_SIZE));
	n = 200;
	show("caches", host_slab_info(mach_host_self(), &slabs, &n));
	say("  some %d first %s\n", n > 10, slabs[0].name);
	show("by no host", host_slab_info(self, &slabs, &n));
}

int guest_main(void)
{
	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
	say("-- tasks\n");
	tasks();
	say("-- memory\n");
	memory();
	say("-- samples\n");
	samples();
	say("-- ports\n");
	ports();
	say("-- host\n");
	host();
	return 0;
}
