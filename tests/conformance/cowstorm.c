/* Copy-on-write among three tasks and messages, in a fixed order: what each side reads after each write. */
#include "pagers.h"

#define COUNT 6

static mach_port_t mail;

/* What hands 0 to 2 read of COUNT pages from AT on. */
static void see(const char *what, vm_address_t at, int tasks)
{
	int which, page;

	say("%s:", what);
	for (which = 0; which < tasks; which++) {
		run(which, do_see, at, COUNT, 0, 0);
		say(" |");
		for (page = 0; page < COUNT; page++)
			say(" %u", hands[which].seen[page]);
	}
	say("\n");
}

static vm_address_t fresh(u32 first)
{
	vm_address_t a = 0;
	u32 page;

	vm_allocate(self, &a, COUNT * PAGE, 1);
	for (page = 0; page < COUNT; page++)
		*(volatile u32 *) (a + page * PAGE) = first + page;
	return a;
}

static void three_tasks(vm_inherit_t first, vm_inherit_t second)
{
	vm_address_t a = fresh(10);
	mach_port_t child, grandchild;
	int page;

	say("-- a child by %d, its child by %d\n", first, second);
	vm_inherit(self, a, COUNT * PAGE, first);
	syscall_task_create(self, 1, &child);
	new_hand(1, child);
	if (first == VM_INHERIT_NONE) {
		vm_size_t size; vm_prot_t p, q; vm_inherit_t i; boolean_t s; mach_port_t n; vm_offset_t o; vm_address_t at = a;
		say("the child's next region is here: %d\n", vm_region(child, &at, &size, &p, &q, &i, &s, &n, &o) == 0 && at == a);
		at = a;
		show("the child allocates there", vm_allocate(child, &at, COUNT * PAGE, 0));
	}
	put(0, a, 0, 100);
	see("parent wrote 0", a, 2);
	put(1, a, 1, 201);
	see("child wrote 1", a, 2);
	show("child's inheritance", vm_inherit(child, a, COUNT * PAGE, second));
	show("grandchild", task_create(child, 1, &grandchild));
	new_hand(2, grandchild);
	if (second == VM_INHERIT_NONE) {
		vm_address_t at = a;
		show("the grandchild allocates there", vm_allocate(grandchild, &at, COUNT * PAGE, 0));
	}
	see("at its birth", a, 3);
	put(2, a, 2, 302); put(1, a, 3, 203); put(0, a, 4, 104);
	see("each wrote one", a, 3);
	put(0, a, 2, 112); put(1, a, 2, 212); put(2, a, 0, 310); put(2, a, 1, 311);
	see("all wrote 2, grandchild 0 and 1", a, 3);
	/* GNU Mach 1.8 forgets mappings of shadowed pages when an end of shared memory goes, and an assertion fails later. */
	if (first == VM_INHERIT_COPY && second == VM_INHERIT_SHARE)
		return;
	show("the child ends", task_terminate(child)); hands[1].thread = 0; nap(50);
	put(0, a, 5, 105);
	run(2, do_see, a, COUNT, 0, 0);
	say("grandchild:");
	for (page = 0; page < COUNT; page++)
		say(" %u", hands[2].seen[page]);
	say("\n");
	see("parent", a, 1);
	show("the grandchild ends", task_terminate(grandchild)); hands[2].thread = 0; nap(50);
	see("parent", a, 1);
	vm_deallocate(self, a, COUNT * PAGE);
}

static vm_address_t receive(void)
{
	message_t m;

	m.h.msgh_id = 0;
	mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, mail, 500, 0);
	return m.h.msgh_id == 77 ? m.w[3] : 0;
}

static void messages(void)
{
	vm_address_t a, b, c, d;

	say("-- out of line, copied\n");
	a = fresh(20);
	run(0, do_send, a, COUNT * PAGE, mail, 0);
	run(0, do_send, a, COUNT * PAGE, mail, 0);
	put(0, a, 0, 120);
	b = receive(); see("first", b, 1);
	put(0, b, 1, 221); put(0, a, 2, 122);
	c = receive(); see("second", c, 1); see("first", b, 1); see("source", a, 1);
	run(0, do_send, b, COUNT * PAGE, mail, 0); put(0, b, 3, 223); put(0, c, 4, 324);
	d = receive(); put(0, d, 5, 425);
	see("copy of the first", d, 1); see("first", b, 1); see("second", c, 1); see("source", a, 1);
	show("source goes", vm_deallocate(self, a, COUNT * PAGE)); see("first", b, 1); put(0, b, 0, 220); see("second", c, 1); see("copy of the first", d, 1);
	show("first goes", vm_deallocate(self, b, COUNT * PAGE)); put(0, d, 0, 420); see("copy of the first", d, 1); see("second", c, 1);
	vm_deallocate(self, c, COUNT * PAGE); vm_deallocate(self, d, COUNT * PAGE);

	say("-- out of line, given away\n");
	a = fresh(30);
	run(0, do_vm_read, a, COUNT * PAGE, 0, 0); b = hands[0].c;
	put(0, b, 0, 130);
	show("send", run(0, do_send, a, COUNT * PAGE, mail, 1));
	d = a; show("allocate where it was", vm_allocate(self, &d, COUNT * PAGE, 0)); see("  fresh", d, 1); put(0, d, 1, 99);
	c = receive(); see("received", c, 1); put(0, c, 1, 231); see("the copy", b, 1);
	show("give the middle away", run(0, do_send, c + PAGE, 2 * PAGE, mail, 1));
	say("the hole:"); { vm_size_t size; vm_prot_t p, q; vm_inherit_t i; boolean_t s; mach_port_t n; vm_offset_t o; vm_address_t at = c + PAGE; vm_region(self, &at, &size, &p, &q, &i, &s, &n, &o); say(" next region after %u pages\n", (at - c) / PAGE); }
	d = receive(); say("received: %u %u\n", *(u32 *) d, *(u32 *) (d + PAGE));
	say("-- part of a page\n");
	show("give bytes away", run(0, do_send, b + 100, 3 * PAGE, mail, 1));
	d = receive(); say("offset in the page kept: %d, word %u of page 1\n", d % PAGE == 100, *(u32 *) (d - 100 + PAGE));
}

static void copies(void)
{
	vm_address_t a = fresh(40), b = fresh(50);

	say("-- vm_copy\n");
	show("2 pages to the other", run(0, do_vm_copy, a, 2 * PAGE, b + PAGE, 0)); see("source", a, 1); see("target", b, 1);
	put(0, a, 0, 140); put(0, b, 2, 252); see("source", a, 1); see("target", b, 1);
	show("overlapping upward", run(0, do_vm_copy, a, 4 * PAGE, a + PAGE, 0)); see("pages", a, 1);
	show("overlapping downward", run(0, do_vm_copy, a + 2 * PAGE, 4 * PAGE, a, 0)); see("pages", a, 1);
	show("onto itself", run(0, do_vm_copy, a, COUNT * PAGE, a, 0)); see("pages", a, 1);
	put(0, a, 0, 240); put(0, a, 5, 245); see("pages", a, 1);
	show("unaligned source", run(0, do_vm_copy, a + 4, PAGE, b, 0));
	show("unaligned size", run(0, do_vm_copy, a, 100, b, 0));
	show("unaligned target", run(0, do_vm_copy, a, PAGE, b + 4, 0));
	show("size 0", run(0, do_vm_copy, a, 0, b, 0));
	show("size 0, nowhere", run(0, do_vm_copy, 0xa0000000, 0, 0xa0000000, 0));
	show("from nowhere", run(0, do_vm_copy, 0xa0000000, PAGE, b, 0));
	show("to nowhere", run(0, do_vm_copy, a, PAGE, 0xa0000000, 0));
	show("wraps around", run(0, do_vm_copy, a, -PAGE_SIZE, b, 0));
	show("write protection", vm_protect(self, b, PAGE, 0, VM_PROT_READ)); show("to read-only", run(0, do_vm_copy, a, PAGE, b, 0));
	show("read protection", vm_protect(self, a, PAGE, 0, VM_PROT_NONE)); show("from unreadable", run(0, do_vm_copy, a, PAGE, b + PAGE, 0));
	show("half unreadable", run(0, do_vm_copy, a, 2 * PAGE, b + PAGE, 0));
	show("half read-only", run(0, do_vm_copy, a + PAGE, 2 * PAGE, b, 0));
	say("target:"); { int page; for (page = 0; page < COUNT; page++) say(" %u", *(u32 *) (b + page * PAGE)); say("\n"); }
	vm_deallocate(self, a, COUNT * PAGE); vm_deallocate(self, b, COUNT * PAGE);
}

/* A megabyte: copied, half written on either side, sent, and copied onto. */
static void big(void)
{
	vm_address_t a = 0, b = 0, c;
	u32 pages = 256, page, wrong = 0;

	say("-- a megabyte\n");
	vm_allocate(self, &a, pages * PAGE, 1);
	for (page = 0; page < pages; page++)
		*(volatile u32 *) (a + page * PAGE) = page;
	show("vm_read", run(0, do_vm_read, a, pages * PAGE, 0, 0)); b = hands[0].c;
	for (page = 0; page < pages; page += 2)
		*(volatile u32 *) (a + page * PAGE) = page + 1000;
	for (page = 0; page < pages; page += 3)
		*(volatile u32 *) (b + page * PAGE) = page + 2000;
	show("send", run(0, do_send, b, pages * PAGE, mail, 1)); c = receive();
	show("vm_copy", run(0, do_vm_copy, a, pages / 2 * PAGE, c + pages / 2 * PAGE, 0));
	for (page = 0; page < pages; page++) {
		u32 here = *(u32 *) (a + page * PAGE), there = *(u32 *) (c + page * PAGE), p = page - pages / 2;
		wrong += here != (page % 2 ? page : page + 1000);
		wrong += there != (page >= pages / 2 ? (p % 2 ? p : p + 1000) : page % 3 ? page : page + 2000);
	}
	say("wrong pages: %u\n", wrong);
	show("vm_write of all", run(0, do_vm_write, a, pages * PAGE, c, 0));
	for (wrong = page = 0; page < pages; page++)
		wrong += *(u32 *) (a + page * PAGE) != *(u32 *) (c + page * PAGE);
	say("wrong pages: %u\n", wrong);
}

int guest_main(void)
{
	vm_inherit_t first, second;

	start_pagers();
	mail = new_port();
	for (first = 0; first < 3; first++)
		for (second = 0; second < 3; second++)
			three_tasks(first, second);
	messages();
	copies();
	big();
	return 0;
}
