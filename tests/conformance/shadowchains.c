/* Chains of forks, each of which changes a page, with deaths at the ends and in the middle: what the living read. */
#include "pagers.h"

#define COUNT 8

static mach_port_t tasks[HANDS];

static void born(int which, mach_port_t parent)
{
	show("born", task_create(parent, 1, &tasks[which]));
	new_hand(which, tasks[which]);
}

static void dies(int which)
{
	show("dies", task_terminate(tasks[which]));
	hands[which].thread = 0;
	tasks[which] = 0;
	nap(30);
}

static void all(const char *what, vm_address_t at)
{
	int which, page;

	say("%s\n", what);
	for (which = 0; which < HANDS; which++) {
		if (!tasks[which])
			continue;
		run(which, do_see, at, COUNT, 0, 0);
		say("  %d:", which);
		for (page = 0; page < COUNT; page++)
			say(" %u", hands[which].seen[page]);
		say("\n");
	}
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

/* Each the child of the one before; each writes its own page and those of two others. */
static vm_address_t chain(void)
{
	vm_address_t a = fresh(10);
	int which;

	for (which = 1; which < HANDS; which++) {
		born(which, tasks[which - 1]);
		put(which, a, which, 100 * which + which);
		put(which - 1, a, 0, 100 * which);
		put(which, a, 7, 700 + which);
	}
	all("the chain", a);
	return a;
}

static void end(vm_address_t a)
{
	int which;

	for (which = 1; which < HANDS; which++)
		if (tasks[which])
			dies(which);
	all("the first alone", a);
	put(0, a, 6, 66);
	all("it writes", a);
	vm_deallocate(self, a, COUNT * PAGE);
}

static int youngest(void)
{
	int which = HANDS - 1;

	while (!tasks[which])
		which--;
	return which;
}

static void deaths(const char *what, int first, int second, int third)
{
	vm_address_t a;

	say("-- %s\n", what);
	a = chain();
	dies(first); put(0, a, 1, 901); all("one less", a);
	dies(second); put(youngest(), a, 2, 902); all("two less", a);
	dies(third); put(0, a, 2, 903); all("three less", a);
	end(a);
}

/* A task forks again and again while it writes. */
static void star(void)
{
	vm_address_t a = fresh(10);
	int which;

	say("-- many children of one\n");
	for (which = 1; which < HANDS; which++) {
		born(which, self);
		put(0, a, which, 100 + which);
		put(which, a, 0, 1000 * which);
	}
	all("all", a);
	dies(3); dies(1);
	put(0, a, 0, 5); put(2, a, 1, 2001); put(5, a, 5, 5005);
	all("without 1 and 3", a);
	dies(5);
	all("without 5", a);
	end(a);
}

/* Parts of a region: holes, other inheritance and read-only pages inherited down a chain. */
static void parts(void)
{
	vm_address_t a = fresh(10);
	vm_address_t at;

	say("-- parts\n");
	vm_inherit(self, a + 2 * PAGE, PAGE, VM_INHERIT_SHARE);
	vm_inherit(self, a + 4 * PAGE, PAGE, VM_INHERIT_NONE);
	born(1, self);
	at = a + 4 * PAGE; show("fill the hole", vm_allocate(tasks[1], &at, PAGE, 0));
	put(1, a, 2, 102); put(1, a, 3, 103); put(1, a, 4, 104); put(0, a, 5, 5);
	all("child", a);
	show("copy all in the grandchild", vm_inherit(tasks[1], a, COUNT * PAGE, VM_INHERIT_COPY));
	born(2, tasks[1]);
	put(2, a, 2, 202); put(1, a, 2, 112); put(0, a, 2, 2); put(2, a, 6, 206);
	all("grandchild", a);
	dies(1);
	put(0, a, 2, 22); put(2, a, 3, 203);
	all("without the child", a);
	born(1, tasks[2]);
	show("copy within", vm_copy(tasks[1], a, 4 * PAGE, a + 4 * PAGE));
	put(1, a, 0, 300); put(2, a, 1, 201);
	all("a new child", a);
	dies(2);
	all("without its parent", a);
	show("read-only", vm_protect(tasks[1], a, COUNT * PAGE, 0, VM_PROT_READ));
	born(2, tasks[1]);
	all("read-only child", a);
	show("writable", vm_protect(tasks[2], a, COUNT * PAGE, 0, VM_PROT_READ | VM_PROT_WRITE));
	put(2, a, 0, 400);
	all("it wrote", a);
	end(a);
}

/* A long line of short lives: each child's child replaces it, so that the chain must not grow. */
static void generations(void)
{
	vm_address_t a = fresh(0);
	int generation;

	say("-- forty generations\n");
	show("born", task_create(self, 1, &tasks[1]));
	for (generation = 1; generation <= 40; generation++) {
		mach_port_t next;

		new_hand(1, tasks[1]);
		put(1, a, generation % COUNT, 1000 + generation);
		if (task_create(tasks[1], 1, &next))
			say("no child\n");
		task_terminate(tasks[1]); mach_port_deallocate(self, tasks[1]);
		hands[1].thread = 0;
		tasks[1] = next;
	}
	new_hand(1, tasks[1]);
	all("the last", a);
	end(a);
}

int guest_main(void)
{
	start_pagers();
	tasks[0] = self;
	deaths("the last dies first", 5, 4, 3);
	deaths("the middle dies first", 3, 2, 4);
	deaths("the first children die first", 1, 2, 3);
	star();
	parts();
	generations();
	return 0;
}
