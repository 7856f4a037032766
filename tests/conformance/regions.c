/* The shape of an address space: where memory is found, how entries are split and joined, protection, and odd arguments. */
#include "pagers.h"
#include "gnumach_user.h"

static mach_port_t t;

/* Every region of the task, with addresses in pages. */
static void shape(const char *what)
{
	vm_address_t at = 0;
	vm_size_t size;
	vm_prot_t protection, max_protection;
	vm_inherit_t inheritance;
	boolean_t shared;
	mach_port_t name;
	vm_offset_t offset;

	say("%s:\n", what);
	for (; !vm_region(t, &at, &size, &protection, &max_protection, &inheritance, &shared, &name, &offset); at += size) {
		say("  %x %u prot %d/%d inherit %d%s", at, size / PAGE, protection, max_protection, inheritance, shared ? " shared" : "");
		say(" %s offset %x\n", name ? "object" : "no object", offset);
		if (name)
			mach_port_deallocate(self, name);
	}
}

static vm_address_t allocate(const char *what, vm_address_t at, u32 size, boolean_t anywhere)
{
	vm_address_t address = at;

	say("%s: %x", what, vm_allocate(t, &address, size, anywhere));
	say(" at %x\n", address);
	return address;
}

static void map(const char *what, vm_address_t at, u32 size, u32 mask, boolean_t anywhere)
{
	vm_address_t address = at;

	say("%s: %x", what, vm_map(t, &address, size, mask, anywhere, 0, 0, 0, 3, 7, 1));
	say(" at %x\n", address);
}

static void empty_task(void)
{
	if (t) {
		task_terminate(t);
		mach_port_deallocate(self, t);
	}
	task_create(self, 0, &t);
}

static void finding(void)
{
	say("-- finding space\n");
	shape("a new task");
	allocate("first", 0, PAGE, 1); allocate("second", 0, 3 * PAGE, 1); allocate("3 bytes", 0, 3, 1);
	allocate("size 0", 5 * PAGE, 0, 1); allocate("size 0 there", 5 * PAGE, 0, 0);
	shape("they are joined");
	show("a hole of 1", vm_deallocate(t, 0x11 * PAGE, PAGE)); show("a hole of 2", vm_deallocate(t, 0x13 * PAGE, 2 * PAGE));
	shape("with holes");
	allocate("2 pages", 0, 2 * PAGE, 1); allocate("1 page", 0, PAGE, 1); allocate("1 page more", 0, PAGE, 1);
	allocate("at 0", 0, PAGE, 0); allocate("at 4096", PAGE, PAGE, 0); allocate("at 100000 and a bit", 0x100 * PAGE + 0x321, PAGE, 0);
	allocate("there again", 0x100 * PAGE, PAGE, 0); allocate("around it", 0xff * PAGE, 3 * PAGE, 0);
	allocate("the last page", VM_MAX_ADDRESS - PAGE, PAGE, 0); allocate("beyond the end", VM_MAX_ADDRESS, PAGE, 0); allocate("across the end", VM_MAX_ADDRESS - 2 * PAGE, 4 * PAGE, 0);
	allocate("wrapping", -PAGE, 2 * PAGE, 0); allocate("too much", 0, VM_MAX_ADDRESS, 1); allocate("far too much", 0, -PAGE, 1); allocate("ffffffff bytes", 0, 0xffffffff, 1);
	shape("the whole");
	map("mask of 16 pages", 0, PAGE, 16 * PAGE - 1, 1); map("mask of a megabyte", 0, 2 * PAGE, 0x100 * PAGE - 1, 1); map("a hint", 0x200 * PAGE, PAGE, 0, 1);
	map("a hint that is taken", 0x200 * PAGE, PAGE, 0, 1); map("a hint with a mask", 0x200 * PAGE, PAGE, 16 * PAGE - 1, 1); map("a hint beyond the end", BEYOND_USER, PAGE, 0, 1);
	map("a hint at the end", VM_MAX_ADDRESS - PAGE, PAGE, 0, 1);
	/* No mask but of low bits: GNU Mach 1.8 refuses another with the map left locked. */
	map("fixed against the mask", 0x301 * PAGE, PAGE, 16 * PAGE - 1, 0); map("fixed with the mask", 0x310 * PAGE, PAGE, 16 * PAGE - 1, 0);
	map("fixed, taken", 0x310 * PAGE, PAGE, 0, 0); map("fixed, unaligned", 0x311 * PAGE + 0x234, 100, 0, 0);
	shape("the whole");
}

static void splitting(void)
{
	vm_address_t a;

	say("-- splitting\n");
	empty_task();
	a = allocate("16 pages", 16 * PAGE, 16 * PAGE, 0);
	show("protect pages 2 and 3", vm_protect(t, a + 2 * PAGE, 2 * PAGE, 0, 1));
	show("inherit page 3 and 4", vm_inherit(t, a + 3 * PAGE, 2 * PAGE, 0));
	show("deallocate page 7", vm_deallocate(t, a + 7 * PAGE, PAGE));
	shape("now");
	show("protect all back", vm_protect(t, a, 16 * PAGE, 0, 3)); show("to page 6", vm_protect(t, a, 7 * PAGE, 0, 3));
	show("inherit all back", vm_inherit(t, a, 16 * PAGE, 1));
	shape("back");
	allocate("fill the hole", a + 7 * PAGE, PAGE, 0);
	shape("filled");
	show("maximum of page 0", vm_protect(t, a, PAGE, 1, 1)); show("raise page 0", vm_protect(t, a, PAGE, 0, 3));
	show("raise pages 0 and 1", vm_protect(t, a, 2 * PAGE, 0, 7)); show("raise the maximum", vm_protect(t, a, PAGE, 1, 7));
	show("bytes of page 9 and 10", vm_protect(t, a + 10 * PAGE - 96, 200, 0, 5)); show("size 0", vm_protect(t, a + 11 * PAGE, 0, 0, 0));
	show("size 0 within a page", vm_protect(t, a + 11 * PAGE + 8, 0, 0, 0));
	show("notify", vm_protect(t, a + 12 * PAGE, PAGE, 0, 0x13)); show("notify alone", vm_protect(t, a + 13 * PAGE, PAGE, 0, 0x10));
	show("bit 8", vm_protect(t, a, PAGE, 0, 8)); show("bit 20", vm_protect(t, a, PAGE, 0, 0x20));
	show("across a hole", vm_protect(t, a + 15 * PAGE, 3 * PAGE, 0, 1)); show("nowhere", vm_protect(t, 0x800 * PAGE, PAGE, 0, 1));
	show("wrapping", vm_protect(t, a + 14 * PAGE, -PAGE, 0, 1)); show("beyond the end", vm_protect(t, BEYOND_USER, PAGE, 0, 1));
	show("inherit 3", vm_inherit(t, a, PAGE, 3)); show("inherit -1", vm_inherit(t, a, PAGE, -1)); show("inherit size 0", vm_inherit(t, a + 14 * PAGE, 0, 2));
	show("inherit a byte", vm_inherit(t, a + 14 * PAGE + 5, 1, 2)); show("inherit nowhere", vm_inherit(t, 0x800 * PAGE, PAGE, 1)); show("inherit across a hole", vm_inherit(t, a + 15 * PAGE, 9 * PAGE, 2));
	shape("now");
	show("deallocate nowhere", vm_deallocate(t, 0x800 * PAGE, PAGE)); show("deallocate size 0", vm_deallocate(t, a, 0)); show("a byte", vm_deallocate(t, a + 5, 1));
	show("wrapping", vm_deallocate(t, -PAGE, 2 * PAGE)); show("backwards", vm_deallocate(t, a + PAGE, -PAGE)); show("all", vm_deallocate(t, 0, VM_MAX_ADDRESS));
	shape("now");
}

static void joining(void)
{
	vm_address_t a = 16 * PAGE;

	say("-- joining\n");
	empty_task();
	allocate("2 pages", a, 2 * PAGE, 0); allocate("after", a + 2 * PAGE, 2 * PAGE, 0); allocate("before", a - PAGE, PAGE, 0); allocate("with a gap", a + 8 * PAGE, PAGE, 0);
	shape("now");
	show("protect", vm_protect(t, a, 4 * PAGE, 0, 1)); allocate("after read-only", a + 4 * PAGE, PAGE, 0);
	show("inherit", vm_inherit(t, a + 8 * PAGE, PAGE, 2)); allocate("after none", a + 9 * PAGE, PAGE, 0);
	allocate("touched", a + 16 * PAGE, PAGE, 0);
	{ vm_offset_t data = 0; vm_allocate(self, &data, PAGE, 1); show("write", vm_write(t, a + 16 * PAGE, data, PAGE)); }
	allocate("after touched", a + 17 * PAGE, PAGE, 0);
	{ vm_offset_t data; mach_msg_type_number_t count; show("read", vm_read(t, a + 17 * PAGE, PAGE, &data, &count)); }
	allocate("after copied", a + 18 * PAGE, PAGE, 0);
	shape("now");
	show("wire", vm_wire(host_priv, t, a + 17 * PAGE, PAGE, 3)); allocate("after wired", a + 19 * PAGE, PAGE, 0);
	show("wire half", vm_wire(host_priv, t, a + 20 * PAGE, PAGE, 1)); show("wire across", vm_wire(host_priv, t, a + 19 * PAGE, 2 * PAGE, 1));
	show("wire read-only for writing", vm_wire(host_priv, t, a, PAGE, 3)); show("wire read-only", vm_wire(host_priv, t, a, PAGE, 1));
	show("wire by the host's name port", vm_wire(mach_host_self(), t, a + PAGE, PAGE, 1)); show("wire by the task", vm_wire(self, t, a, PAGE, 1)); show("wire for 8", vm_wire(host_priv, t, a, PAGE, 8));
	show("unwire all", vm_wire(host_priv, t, 0, 0x40 * PAGE, 0)); show("unwire what is not wired", vm_wire(host_priv, t, a + 2 * PAGE, PAGE, 0)); show("wire size 0", vm_wire(host_priv, t, a, 0, 1));
	shape("now");
	show("wire all, now", vm_wire_all(host_priv, t, 1)); allocate("after", a + 32 * PAGE, PAGE, 0); show("and later", vm_wire_all(host_priv, t, 3)); allocate("a new one", a + 40 * PAGE, PAGE, 0); show("none", vm_wire_all(host_priv, t, 0));
	show("flags 4", vm_wire_all(host_priv, t, 4)); show("by the host's name port", vm_wire_all(mach_host_self(), t, 1)); show("by null", vm_wire_all(host_priv, 0, 1));
	shape("now");
	show("deallocate the middle", vm_deallocate(t, a + PAGE, 16 * PAGE)); shape("now");
}

static void attributes(void)
{
	vm_address_t a = 16 * PAGE;
	int attribute, value;

	say("-- vm_machine_attribute and vm_msync\n");
	empty_task();
	allocate("4 pages", a, 4 * PAGE, 0);
	for (attribute = 0; attribute < 9; attribute = attribute ? 2 * attribute : 1) {
		say("attribute %d:", attribute);
		for (value = 0; value < 10; value++) {
			int v = value;
			say(" %d", vm_machine_attribute(t, a, PAGE, attribute, &v));
			if (v != value)
				say("(%d)", v);
		}
		say("\n");
	}
	{ int v = 2; show("nowhere", vm_machine_attribute(t, 0x800 * PAGE, PAGE, 1, &v)); show("beyond the end", vm_machine_attribute(t, BEYOND_USER, PAGE, 1, &v)); show("size 0", vm_machine_attribute(t, a, 0, 1, &v)); }
	for (value = 0; value < 8; value++)
		show("msync", vm_msync(t, a, PAGE, value));
	show("msync size 0", vm_msync(t, a, 0, 2)); show("msync a byte", vm_msync(t, a + 5, 1, 2)); show("msync nowhere", vm_msync(t, 0x800 * PAGE, PAGE, 2));
	show("msync size 0 unaligned", vm_msync(t, a + 5, 0, 2)); show("msync size 0, flags 3", vm_msync(t, a, 0, 3));
}

int guest_main(void)
{
	start_pagers();
	task_create(self, 0, &t);
	finding();
	splitting();
	joining();
	attributes();
	return 0;
}
