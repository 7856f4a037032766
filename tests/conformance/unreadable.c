/*
 * Memory that may be written or executed, but not read: the processor has no such pages. So it can be read as long as it is mapped,
 * and whoever touches it where it is not gets an exception. What maps it and what takes it away: wiring, protecting, sharing, copying.
 */
#include "guest.h"

static mach_port_t self, exceptions;
static char stack[4096];
static volatile u32 *where, got;

static void reads(void)
{
	got = *where;
	idle();
}

static void writes(void)
{
	*where = 7;
	got = 1;
	idle();
}

/* What a thread meets that touches the memory: "+" and the word, or the exception's code. */
static void touch(const char *how, void (*entry)(void), vm_address_t address)
{
	struct { mach_msg_header_t h; u32 w[16]; } m;
	thread_t thread;

	where = (u32 *) address;
	thread_create(self, &thread);
	thread_set_special_port(thread, THREAD_EXCEPTION_PORT, exceptions);
	set_entry(thread, entry, (vm_address_t) stack + sizeof stack);
	thread_resume(thread);
	if (mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, exceptions, 60, 0))
		say(" %s +%u", how, got);
	else
		say(" %s exception %d code %d", how, m.w[5], m.w[7]), mach_port_deallocate(self, m.h.msgh_remote_port);
	thread_terminate(thread);
	mach_port_deallocate(self, thread);
}

static void look(const char *what, vm_address_t address)
{
	say("  %s:", what);
	touch("read", reads, address);
	touch("write", writes, address);
	touch("read", reads, address);
	say("\n");
}

static void protect(vm_address_t address, int protection)
{
	vm_protect(self, address, 2 * PAGE_SIZE, FALSE, protection);
}

/* Wired memory that cannot be read hangs the real kernel when a child inherits a copy: each piece is unwired again. */
static void wire(vm_address_t address, int access)
{
	show("  wire", vm_wire(host_priv, self, address, 2 * PAGE_SIZE, access));
}

/* Two pages, the second of them touched. */
static vm_address_t fresh(void)
{
	vm_address_t address = 0;

	vm_allocate(self, &address, 2 * PAGE_SIZE, TRUE);
	*(u32 *) (address + PAGE_SIZE) = 5;
	return address;
}

static void look_both(const char *what, vm_address_t address)
{
	look(what, address);
	look(what, address + PAGE_SIZE);
}

static void alone(int protection)
{
	vm_address_t a = fresh();

	protect(a, protection), look_both("protected", a), protect(a, 1), protect(a, protection), look_both("and again", a);
	a = fresh(), protect(a, protection), wire(a, protection), look_both("wired", a), wire(a, 0), look_both("unwired", a);
	protect(a, protection), look_both("protected as it is", a), protect(a, protection ^ 6), protect(a, protection), look_both("and again", a);
	a = fresh(), wire(a, 3), protect(a, protection), look_both("wired, then protected", a), wire(a, 0), look_both("unwired", a);
	a = fresh(), protect(a, 0), wire(a, 0), protect(a, protection), look_both("no access before", a);
}

static void shared(int protection)
{
	vm_address_t a = fresh();
	task_t child;

	vm_inherit(self, a, 2 * PAGE_SIZE, VM_INHERIT_SHARE);
	protect(a, protection), task_create(self, TRUE, &child), look_both("shared", a), task_terminate(child), look_both("the child has ended", a);
	a = fresh(), vm_inherit(self, a, 2 * PAGE_SIZE, VM_INHERIT_SHARE), task_create(self, TRUE, &child), *(u32 *) a = 6;
	protect(a, protection), look_both("shared before", a), task_terminate(child), look_both("the child has ended", a);
	a = fresh(), vm_inherit(self, a, 2 * PAGE_SIZE, VM_INHERIT_SHARE), protect(a, protection), wire(a, protection);
	task_create(self, TRUE, &child), look_both("wired and shared", a), task_terminate(child), look_both("the child has ended", a);
	wire(a, 0), look_both("unwired", a);
}

static void copied(int protection)
{
	vm_address_t a = fresh(), data;
	mach_msg_type_number_t size;
	task_t child;

	protect(a, protection), task_create(self, TRUE, &child), look_both("a child has a copy", a), task_terminate(child);
	a = fresh(), task_create(self, TRUE, &child), protect(a, protection), look_both("a child had a copy before", a), task_terminate(child);
	a = fresh(), protect(a, protection), show("  read", vm_read(self, a, 2 * PAGE_SIZE, &data, &size)), look_both("after it", a);
	a = fresh(), vm_read(self, a, 2 * PAGE_SIZE, &data, &size), protect(a, protection), look_both("read before", a);
	protect(a, 3), protect(data, protection), look_both("what was read", data);
	a = fresh(), data = fresh(), protect(a, protection), show("  write", vm_write(self, a, data, 2 * PAGE_SIZE)), look_both("after it", a);
	a = fresh(), data = fresh(), protect(a, protection), wire(a, protection), show("  write", vm_write(self, a, data, 2 * PAGE_SIZE)), look_both("wired, after it", a), wire(a, 0);
	a = fresh(), protect(a, protection), wire(a, protection), show("  read", vm_read(self, a, 2 * PAGE_SIZE, &data, &size)), look_both("wired, after it", a), wire(a, 0);
}

int guest_main(void)
{
	static const int protections[] = { 2, 4, 6 };
	int i;

	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &exceptions);
	mach_port_insert_right(self, exceptions, exceptions, MACH_MSG_TYPE_MAKE_SEND);
	for (i = 0; i < 3; i++) {
		say("-- alone, protection %d\n", protections[i]), alone(protections[i]);
		say("-- shared, protection %d\n", protections[i]), shared(protections[i]);
		say("-- copied, protection %d\n", protections[i]), copied(protections[i]);
	}
	return 0;
}
