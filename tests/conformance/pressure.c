/*
 * More memory than the machine has, with this module as the default memory manager. What the kernel pages out, and when, is
 * its own affair; that every page comes back as it was is not, nor the shape of its messages.
 */
#include "pagers.h"

/* Pages that are left free beside wired ballast, and those of the memory that must do with them. */
#define LEFT 16000
#define MOST 20000
#define SPACES 32
#define OTHERS 512
#define POOL 256

static mach_port_t manager;
/* The kernel remembers of so many pages of an object whether they were ever returned, and asks for none that were not. */
#define TRACKED 8192
/* A page's word of the big memory; 0 where it never came. */
static u32 big[MOST];
static struct space { mach_port_t port, control; u32 pages; } spaces[SPACES];
static int space_count, big_space = -1;
/* Pages of other memory, or of other contents: kept whole. */
static struct other { int space; u32 page, slot; } others[OTHERS];
static int other_count;
static char pool[POOL][PAGE] __attribute__((aligned(PAGE)));
static int pool_used;

static u32 creates, initializes, returns, requests, terminates, strange, overflows, before_creation;
static u32 bad_sizes, bad_flags, bad_controls, again, unknown_low, unknown_high;

static int space_of(mach_port_t port)
{
	int i;

	for (i = 0; i < space_count; i++)
		if (spaces[i].port == port)
			return i;
	return -1;
}

static struct other *other_of(int space, u32 page)
{
	int i;

	for (i = 0; i < other_count; i++)
		if (others[i].space == space && others[i].page == page)
			return &others[i];
	return 0;
}

/* A page of the big memory holds its number plus one, its complement at the end, and nothing between. */
static int is_pattern(const u32 *data)
{
	int i;

	if (!data[0] || data[PAGE / 4 - 1] != ~data[0])
		return 0;
	for (i = 1; i < PAGE / 4 - 1; i += 37)
		if (data[i])
			return 0;
	return 1;
}

static void store(int space, u32 page, const u32 *data)
{
	struct other *o;

	if (space == big_space && page < MOST && is_pattern(data)) {
		again += big[page] != 0;
		big[page] = data[0];
		return;
	}
	o = other_of(space, page);
	if (!o) {
		if (other_count == OTHERS || pool_used == POOL) {
			overflows++;
			return;
		}
		o = &others[other_count++];
		o->space = space; o->page = page; o->slot = pool_used++;
	}
	memcpy(pool[o->slot], data, PAGE);
}

static void provide(int space, u32 offset)
{
	u32 page = offset / PAGE;
	struct other *o = other_of(space, page);
	vm_address_t data = 0;

	if (!o && (space != big_space || page >= MOST || !big[page])) {
		if (page < TRACKED)
			unknown_low++;
		else
			unknown_high++;
		memory_object_data_unavailable(spaces[space].control, offset, PAGE);
		return;
	}
	vm_allocate(self, &data, PAGE, 1);
	if (o)
		memcpy((void *) data, pool[o->slot], PAGE);
	else {
		((u32 *) data)[0] = big[page];
		((u32 *) data)[PAGE / 4 - 1] = ~big[page];
	}
	memory_object_data_supply(spaces[space].control, offset, data, PAGE, 1, 0, 0, 0);
}

static void handle(message_t *m)
{
	int space = space_of(m->h.msgh_local_port);
	u32 *w = m->w, at;

	if (m->h.msgh_id == 2250) {
		creates++;
		strange += m->h.msgh_local_port != manager || m->h.msgh_size != 64 || w[9] != PAGE;
		if (space_count == SPACES) {
			overflows++;
			return;
		}
		spaces[space_count].port = w[1]; spaces[space_count].control = w[5]; spaces[space_count].pages = w[3] / PAGE;
		if (w[3] / PAGE == MOST)
			big_space = space_count;
		space_count++;
		mach_port_move_member(self, w[1], set);
		return;
	}
	if (space < 0) {
		before_creation++;
		return;
	}
	if (m->h.msgh_id != 2201)
		bad_controls += w[1] != spaces[space].control;
	switch (m->h.msgh_id) {
	case 2251:
		initializes++;
		bad_sizes += w[6] != PAGE || m->h.msgh_size != 56;
		for (at = 0; at < w[6]; at += PAGE)
			store(space, (w[3] + at) / PAGE, (u32 *) (w[7] + at));
		vm_deallocate(self, w[7], w[6]);
		break;
	case 2208:
		returns++;
		bad_sizes += w[6] != PAGE || m->h.msgh_size != 72;
		bad_flags += w[9] != 1 || w[11] != 0;
		for (at = 0; at < w[6]; at += PAGE)
			store(space, (w[3] + at) / PAGE, (u32 *) (w[7] + at));
		vm_deallocate(self, w[7], w[6]);
		break;
	case 2203:
		requests++;
		bad_sizes += w[5] != PAGE || m->h.msgh_size != 56;
		provide(space, w[3]);
		break;
	case 2201:
		terminates++;
		break;
	default:
		strange++;
	}
}

static void manage(u32 ms)
{
	static message_t m;

	while (!mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, set, ms, 0))
		handle(&m);
}

static u32 until_done(int which)
{
	while (!hands[which].done)
		manage(10);
	manage(10);
	return hands[which].result;
}

/* Hands in the child: b pages from a on are given their words, c plus the page's number; or those that differ are counted. */
static u32 do_fill(struct hand *hand)
{
	u32 page, count = hand->b, base = hand->a, first = hand->c;

	for (page = 0; page < count; page++) {
		volatile u32 *p = (u32 *) (base + page * PAGE);

		p[0] = first + page; p[PAGE / 4 - 1] = ~(first + page);
	}
	return count;
}

static u32 do_check(struct hand *hand)
{
	u32 page, count = hand->b, base = hand->a, first = hand->c, wrong = 0;

	for (page = 0; page < count; page++) {
		volatile u32 *p = (u32 *) (base + page * PAGE);

		wrong += p[0] != first + page || p[PAGE / 4 - 1] != ~(first + page) || p[100];
	}
	return wrong;
}

/* The manager itself must never wait for a page. */
static void wire_all(void)
{
	vm_address_t at = 0;
	vm_size_t size;
	vm_prot_t protection, max_protection;
	vm_inherit_t inheritance;
	boolean_t shared;
	mach_port_t name;
	vm_offset_t offset;
	kern_return_t result = 0;

	for (; !vm_region(self, &at, &size, &protection, &max_protection, &inheritance, &shared, &name, &offset); at += size) {
		if (name)
			mach_port_deallocate(self, name);
		result |= vm_wire(host_priv, self, at, size, protection);
	}
	show("wire the manager", result);
	show("privilege", thread_wire(host_priv, mach_thread_self(), 1));
}

int guest_main(void)
{
	mach_port_t child, port;
	vm_statistics_data_t statistics;
	vm_address_t a = 0, b = 0;
	u32 ballast, first_seen;

	start_pagers();
	manager = new_port();
	mach_port_move_member(self, manager, set);
	port = manager; show("default manager", vm_set_default_memory_manager(host_priv, &port));
	show("child", task_create(self, 1, &child));
	wire_all();
	new_hand(1, child);
	vm_statistics(self, &statistics);
	ballast = (statistics.free_count - LEFT) * PAGE;
	show("ballast", vm_allocate(child, &b, ballast, 1));
	show("wire it", vm_wire(host_priv, child, b, ballast, VM_PROT_READ | VM_PROT_WRITE));
	show("allocate", vm_allocate(child, &a, MOST * PAGE, 1));
	begin(1, do_fill, a, MOST, 1, 0);
	say("all filled: %d\n", until_done(1) == MOST);
	say("created %d, initialized %d\n", creates > 0, initializes > 0);
	first_seen = initializes + returns;
	say("as many as were too many: %d\n", first_seen > (MOST - LEFT) / 2);
	begin(1, do_check, a, MOST, 1, 0);
	say("wrong pages: %u\n", until_done(1));
	say("requested %d\n", requests > 0);
	begin(1, do_fill, a, MOST, 1000001, 0); until_done(1);
	begin(1, do_check, a, MOST, 1000001, 0);
	say("wrong pages after all were written again: %u\n", until_done(1));
	say("returned %d, some of them again %d\n", returns > 0, again > 0);
	say("before their object %u, of other sizes %u, of other flags %u, of other controls %u, strange %u, no room %u\n",
		before_creation, bad_sizes, bad_flags, bad_controls, strange, overflows);
	say("asked for though never returned: %u of the first %u, of the rest %d\n", unknown_low, TRACKED, unknown_high > 0);
	show("the child ends", task_terminate(child));
	manage(300);
	say("every object is terminated: %d\n", terminates == creates);
	vm_statistics(self, &statistics);
	say("its memory is free: %d\n", statistics.free_count * PAGE > ballast);
	return 0;
}
