/*
 * The guest of `fuzz --oracle`: makes the operations that stand in `operations`, and prints each with its outcome. The fuzzer puts its
 * own there (tools/fuzz/oracle_calls.py knows what they mean) and boots the program on both kernels.
 */
#define JOBS 1
#include "ipc.h"
#include "mach_debug_user.h"

#define BASE 0x50000000
#define PAGES 32
#define TASKS 4
#define PORTS 10
#define THREADS 4
#define MOST 9000
#define MARK 0x6b72616d
#define DISPOSITION(v) (MACH_MSG_TYPE_MOVE_RECEIVE + (v) % 6)

/* What to do; the task, port or thread of that number; a page and a number of pages; anything else. */
struct operation { uint8_t what, x, page, pages; u32 value; };
static volatile struct operation operations[MOST] = { { 0, 'm', 'a', 'r', MARK } };

static task_t tasks[TASKS];
static mach_port_t ports[PORTS], exceptions, touches, notified;
static thread_t threads[THREADS];
static vm_address_t scratch;
static struct operation o;

#define AT(page) (BASE + (page) * PAGE_SIZE)
#define TASK live(o.x)
#define PORT ports[o.x % PORTS]
#define THREAD threads[o.x % THREADS]
#define SIZE (o.pages * PAGE_SIZE)

extern char touch_reads[], touch_writes[], touched[];
asm("	.text\n"
	"touch_reads: movl (%ebx), %eax\n"
	"touched: ud2\n"
	"touch_writes: movl %ecx, (%ebx)\n"
	"	ud2\n");

/* The task of that number, or where there is none this one. */
static task_t live(u32 number) { return tasks[number % TASKS] ? tasks[number % TASKS] : self; }

static void code(kern_return_t result) { say(" -> %x\n", result); }

/* A sum over memory of this task. */
static u32 sum(vm_address_t address, u32 size)
{
	u32 total = 0, i;

	for (i = 0; i < size / 4; i += 64)
		total = total * 31 + ((u32 *) address)[i];
	return total;
}

/* The next region that begins before an end. Its object's name is given back: objects of one chain become one sooner or later. */
static int next_region(task_t task, vm_address_t from, vm_address_t end, vm_region_info_t *info)
{
	mach_port_t object = 0;

	if (from >= end || mach_vm_region_info(task, from, info, &object))
		return 0;
	if (object)
		mach_port_deallocate(self, object);
	return info->vri_start < end;
}

static void regions(int t)
{
	vm_region_info_t info;
	vm_address_t address = BASE;

	for (; next_region(tasks[t], address, AT(PAGES), &info); address = info.vri_end)
		say("  %d: %d+%d prot %d/%d inherit %d wired %d copy %d shared %d offset %x%s\n", t, (int) (info.vri_start - BASE) / PAGE_SIZE,
			(info.vri_end - info.vri_start) / PAGE_SIZE, info.vri_protection, info.vri_max_protection, info.vri_inheritance,
			info.vri_wired_count, info.vri_needs_copy, info.vri_sharing, info.vri_offset, info.vri_object ? "" : " none");
}

/* What comes on a port; memory is summed up and given back, rights take the slots of ports. */
static void receive_all(const char *what, mach_port_t from, int most)
{
	u32 i, words, kind;

	while (most-- && !receive(from)) {
		words = (m.h.msgh_size - sizeof m.h) / 4;
		/* An exception that finds its receiver waiting is not counted, and when a thread has its turn is no matter of right. */
		say("  %s: id %d bits %x size %u seqno %u local %x remote %x", what, m.h.msgh_id, m.h.msgh_bits, m.h.msgh_size, from == exceptions ? 0 : m.h.msgh_seqno,
			m.h.msgh_local_port, m.h.msgh_remote_port);
		for (i = 0; i + 1 < words; i += 2) {
			kind = MIG_NAME(m.w[i]);
			say(" %x %x", m.w[i], m.w[i + 1]);
			if (!MIG_IS_INLINE(m.w[i]) && m.w[i + 1])
				say(" sum %x", sum(m.w[i + 1], MIG_NUMBER(m.w[i]) * 4)), vm_deallocate(self, m.w[i + 1], MIG_NUMBER(m.w[i]) * 4);
			else if (kind >= MACH_MSG_TYPE_MOVE_RECEIVE && kind <= MACH_MSG_TYPE_MOVE_SEND_ONCE && from != exceptions)
				ports[m.w[i + 1] % PORTS] = m.w[i + 1];
		}
		say("\n");
		if (MACH_MSGH_BITS_REMOTE(m.h.msgh_bits) && from != exceptions)
			mach_port_deallocate(self, m.h.msgh_remote_port);
	}
}

static void everything(void)
{
	int i;

	for (i = 0; i < TASKS; i++)
		regions(i);
	for (i = 0; i < PORTS; i++)
		if (ports[i])
			say("  port %d", i), type("", ports[i]);
	receive_all("notified", notified, -1);
}

/* A thread of a task reads or writes a word: what it got, or its exception. */
static void touch(char *entry)
{
	struct i386_thread_state s;
	mach_msg_type_number_t count = i386_THREAD_STATE_COUNT;
	thread_t thread;
	kern_return_t result = thread_create(TASK, &thread);

	if (result) {
		code(result);
		return;
	}
	thread_get_state(thread, i386_REGS_SEGS_STATE, (thread_state_t) &s, &count);
	s.eip = (u32) entry, s.ebx = AT(o.page) + o.value % PAGE_SIZE / 4 * 4, s.ecx = o.value;
	thread_set_state(thread, i386_REGS_SEGS_STATE, (thread_state_t) &s, count);
	thread_set_special_port(thread, THREAD_EXCEPTION_PORT, touches);
	thread_resume(thread);
	result = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, touches, 200, 0);
	if (result)
		say(" -> %x\n", result);
	else {
		count = i386_THREAD_STATE_COUNT;
		thread_get_state(thread, i386_REGS_SEGS_STATE, (thread_state_t) &s, &count);
		say(" -> exception %d code %d subcode %x", m.w[5], m.w[7], m.w[5] == 1 ? m.w[9] : 0);
		say(" eip %s eax %x\n", s.eip == (u32) entry ? "there" : "behind", s.eax);
	}
	/* The thread goes first: an exception whose reply right is given up would end its task. */
	thread_terminate(thread), mach_port_deallocate(self, thread);
	if (!result)
		mach_port_deallocate(self, m.w[1]), mach_port_deallocate(self, m.w[3]), mach_port_deallocate(self, m.h.msgh_remote_port);
}

static void read_memory(void)
{
	vm_address_t data = 0;
	mach_msg_type_number_t size = 0;
	kern_return_t result = vm_read(TASK, AT(o.page) + o.value % 3 * 4, SIZE - o.value % 3 * 4, &data, &size);

	say(" -> %x", result);
	if (!result)
		say(" offset %x sum %x", data % PAGE_SIZE, sum(data, size)), vm_deallocate(self, data, size);
	say("\n");
}

static void write_memory(void)
{
	u32 i;

	for (i = 0; i < o.pages; i++)
		*(u32 *) (scratch + i * PAGE_SIZE) = o.value + i;
	code(vm_write(TASK, AT(o.page), scratch, SIZE));
}

static void map_memory(void)
{
	vm_address_t address = AT(o.page);

	code(vm_map(TASK, &address, SIZE, 0, FALSE, 0, 0, 0, o.value & 7, o.value >> 3 & 7, o.value >> 6 & 3));
}

/*
 * Shared memory that goes leaves pages mapped on the real kernel that its object's shadows have: whoever reads there gets what is not
 * his any more, and once its task has ended, what becomes of such a page ends the kernel. So it is made inaccessible first.
 */
static void hide_shared(task_t task, vm_address_t start, vm_address_t end)
{
	vm_region_info_t info;
	vm_address_t from, to;

	for (from = start; next_region(task, from, end, &info); from = info.vri_end) {
		from = info.vri_start > from ? info.vri_start : from, to = info.vri_end < end ? info.vri_end : end;
		if (info.vri_sharing)
			vm_protect(task, from, to - from, FALSE, VM_PROT_NONE);
	}
}

/* Memory that is wired and yet to be copied stays as it is: once it was written, unwiring it would end the real kernel. */
static void protect(void)
{
	vm_region_info_t info;
	vm_address_t from, end = AT(o.page) + SIZE;
	int access = o.value & 7;

	for (from = AT(o.page); next_region(TASK, from, end, &info); from = info.vri_end)
		if (info.vri_wired_count && info.vri_needs_copy)
			access &= ~VM_PROT_WRITE;
	code(vm_protect(TASK, AT(o.page), SIZE, o.value >> 3 & 1, access));
}

static void deallocate(void)
{
	hide_shared(TASK, AT(o.page), AT(o.page) + SIZE);
	code(vm_deallocate(TASK, AT(o.page), SIZE));
}

static void allocate(void)
{
	vm_address_t address = AT(o.page);

	code(vm_allocate(TASK, &address, SIZE, FALSE));
}

static kern_return_t end(int t)
{
	kern_return_t result;

	hide_shared(tasks[t], BASE, AT(PAGES));
	result = task_terminate(tasks[t]), mach_port_deallocate(self, tasks[t]), tasks[t] = 0;
	return result;
}

/* Wired memory is not shared anew: once it was written, unwiring it would end the real kernel, which puts an object above its pages. */
static void copy_wired(task_t task)
{
	vm_region_info_t info;
	vm_address_t from;

	for (from = BASE; next_region(task, from, AT(PAGES), &info); from = info.vri_end)
		if (info.vri_wired_count && info.vri_inheritance == VM_INHERIT_SHARE && !info.vri_sharing)
			vm_inherit(task, info.vri_start, info.vri_end - info.vri_start, VM_INHERIT_COPY);
}

/* Task 0 stays; another is made anew, of that which the value says. */
static void make_task(void)
{
	int t = 1 + o.x % (TASKS - 1);

	if (tasks[t])
		say(" ends %x", end(t));
	copy_wired(live(o.value)), code(task_create(live(o.value), o.value >> 2 & 3, &tasks[t]));
}

static void end_task(void)
{
	int t = 1 + o.x % (TASKS - 1);

	code(tasks[t] ? end(t) : 0);
}

/* Names that mean nothing any more leave their slots: they would soon mean something else. */
static void forget(void)
{
	mach_port_type_t found;
	int i;

	for (i = 0; i < PORTS; i++)
		if (ports[i] && mach_port_type(self, ports[i], &found))
			ports[i] = 0;
}

/* A message with a word, memory of this task, or a right, as the value's bits say, and a reply right. */
static void send_message(void)
{
	u32 n = 0, reply = o.value >> 8 & 3, bits = 0;
	mach_port_t name = ports[(o.value >> 16) % PORTS];

	if (o.value & 1)
		m.w[n++] = item(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0), m.w[n++] = o.value;
	if ((o.value & 6) == 6)
		hide_shared(self, AT(o.page), AT(o.page) + SIZE);
	if (o.value & 2)
		m.w[n++] = item(MACH_MSG_TYPE_INTEGER_32, 32, SIZE / 4 > 4095 ? 3072 : SIZE / 4, 0, o.value >> 2 & 1), m.w[n++] = AT(o.page), bits = MACH_MSGH_BITS_COMPLEX;
	if (o.value & 8)
		m.w[n++] = item(DISPOSITION(o.value >> 4), 32, 1, 1, 0), m.w[n++] = name, bits = MACH_MSGH_BITS_COMPLEX;
	fill(&m, bits | MACH_MSGH_BITS(o.value >> 12 & 1 ? MACH_MSG_TYPE_COPY_SEND : DISPOSITION(o.value >> 13), reply ? DISPOSITION(o.value >> 20) : 0), PORT, reply ? ports[reply] : 0, o.value & 0xff);
	code(give(24 + 4 * n)), forget();
}

static void port_call(void)
{
	mach_port_t other = ports[(o.value >> 8) % PORTS], old = 0;
	mach_port_type_t found = 0;
	mach_port_urefs_t refs = 0;
	kern_return_t result = 0;

	if (!PORT)
		PORT = o.value >> 9 & 1 ? send_port() : port();
	switch (o.value % 12) {
	case 0: result = mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &PORT); break;
	case 1: result = mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &PORT); break;
	case 2: result = mach_port_insert_right(self, PORT, PORT, MACH_MSG_TYPE_MAKE_SEND); break;
	case 3: result = mach_port_deallocate(self, PORT); break;
	case 4: result = mach_port_destroy(self, PORT); break;
	case 5: result = mach_port_mod_refs(self, PORT, o.value >> 16 & 7, (int) (o.value >> 20 & 3) - 1); break;
	case 6: result = mach_port_move_member(self, PORT, o.value >> 16 & 1 ? other : 0); break;
	case 7: result = mach_port_set_qlimit(self, PORT, o.value >> 16 & 31); break;
	case 8: result = ask(PORT, (int []) { MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED }[o.value >> 16 & 1], o.value >> 18 & 1, notified, &old); break;
	case 9: status(" ", PORT); return;
	case 10: result = mach_port_get_refs(self, PORT, o.value >> 16 & 7, &refs); break;
	case 11: result = mach_port_extract_right(self, PORT, DISPOSITION(o.value >> 16), &other, &found), say(" got %x", found), ports[(o.value >> 8) % PORTS] = other; break;
	}
	if (old)
		mach_port_deallocate(self, old);
	say(" name %x refs %u", PORT, refs), code(result), forget();
}

static void thread_call(void)
{
	struct i386_thread_state s = { 0 };
	u32 *words = (u32 *) &s, state[32], i;
	struct thread_basic_info info = { 0 };
	mach_msg_type_number_t count = i386_THREAD_STATE_COUNT;
	int flavor = o.value >> 8 & 7;

	if (!THREAD)
		o.value &= ~7;
	switch (o.value % 8) {
	case 0:
		if (THREAD)
			say(" ends %x", thread_terminate(THREAD)), mach_port_deallocate(self, THREAD), THREAD = 0;
		code(thread_create(live(o.page), &THREAD));
		thread_set_special_port(THREAD, THREAD_EXCEPTION_PORT, exceptions);
		return;
	case 1: code(thread_suspend(THREAD)); return;
	case 2: code(thread_abort(THREAD)), rest(); return; /* It may be at an exception: it meets that again before anything else is done. */
	case 3:
		count = o.value >> 12 & 31, say(" flavor %d room %u", flavor, count);
		say(" -> %x", thread_get_state(THREAD, flavor, state, &count)), code(count);
		return;
	case 4:
		for (i = 0; i < 17; i++)
			words[i] = o.value * (i + 3);
		s.cs = 0x17, s.ss = s.ds = s.es = s.fs = s.gs = 0x1f, s.efl = o.value & 0xcd5, s.eip = (u32) touched;
		code(thread_set_state(THREAD, flavor & 1 ? i386_THREAD_STATE : i386_REGS_SEGS_STATE, (thread_state_t) &s, i386_THREAD_STATE_COUNT - (o.value >> 16 & 1)));
		return;
	case 5:
		say(" -> %x", thread_get_state(THREAD, i386_REGS_SEGS_STATE, (thread_state_t) &s, &count));
		for (i = 0, words[7] = 0; i < count && count == 17; i++)
			say(" %x", words[i]);
		say("\n");
		return;
	case 6:
		count = THREAD_BASIC_INFO_COUNT;
		say(" -> %x", thread_info(THREAD, THREAD_BASIC_INFO, (thread_info_t) &info, &count)), say(" suspended %d state %d\n", info.suspend_count, info.run_state);
		return;
	case 7:
		code(thread_resume(THREAD)), rest(), receive_all("exception", exceptions, -1);
		return;
	}
}

static void clear(void)
{
	int i;

	for (i = 1; i < TASKS; i++)
		if (tasks[i])
			end(i);
	for (i = 0; i < THREADS; i++)
		if (threads[i])
			thread_terminate(threads[i]), mach_port_deallocate(self, threads[i]), threads[i] = 0;
	for (i = 0; i < PORTS; i++)
		if (ports[i])
			mach_port_destroy(self, ports[i]), ports[i] = 0;
	hide_shared(self, BASE, AT(PAGES)), vm_deallocate(self, BASE, PAGES * PAGE_SIZE);
	mach_port_destroy(self, notified), notified = port();
	mach_port_destroy(self, exceptions), exceptions = send_port();
	for (i = 0; i < PORTS; i++)
		ports[i] = send_port();
}

#define CALL(name, call) say(name " %u %u+%u %x", o.x, o.page, o.pages, o.value), call

static void perform(void)
{
	switch (o.what) {
	case 1: CALL("allocate", allocate()); break;
	case 2: CALL("deallocate", deallocate()); break;
	case 3: CALL("protect", protect()); break;
	case 4: CALL("inherit", code(vm_inherit(TASK, AT(o.page), SIZE, o.value & 3))); break;
	case 5: CALL("wire", code(vm_wire(host_priv, TASK, AT(o.page), SIZE, o.value & 7))); break;
	case 6: CALL("read", touch(touch_reads)); break;
	case 7: CALL("write", touch(touch_writes)); break;
	case 8: CALL("vm_read", read_memory()); break;
	case 9: CALL("vm_write", write_memory()); break;
	case 10: CALL("vm_copy", code(vm_copy(TASK, AT(o.page), SIZE, AT(o.value % PAGES)))); break;
	case 11: CALL("vm_map", map_memory()); break;
	case 12: CALL("task_create", make_task()); break;
	case 13: CALL("task_terminate", end_task()); break;
	case 14: CALL("send", send_message()); break;
	case 15: CALL("receive", say("\n")), receive_all("got", PORT, 1); break;
	case 16: CALL("port", port_call()); break;
	case 17: CALL("thread", thread_call()); break;
	case 18: say("everything\n"), everything(); break;
	case 19: clear(), say("program %u\n", o.value); break;
	}
}

int guest_main(void)
{
	u32 i;

	self = tasks[0] = mach_task_self();
	quiet = port(), exceptions = send_port(), touches = send_port(), notified = port();
	vm_allocate(self, &scratch, 8 * PAGE_SIZE, TRUE);
	for (i = 1; i < MOST && operations[i].what; i++)
		o = operations[i], perform();
	clear();
	return 0;
}
