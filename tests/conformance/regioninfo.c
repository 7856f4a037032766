/* What the debugging calls tell of regions, objects and pages, vm_object_sync, and proxies of memory objects. */
#include "pagers.h"
#include "gnumach_user.h"
#include "mach4_user.h"
#include "mach_debug_user.h"

static struct object *known;
static vm_address_t base;

static const char *name_of(mach_port_t name)
{
	return name == 0 ? "null" : known && name == known->name ? "the object's" : "another";
}

static mach_port_t info(const char *what, vm_address_t address)
{
	vm_region_info_t region;
	mach_port_t object = 0;
	kern_return_t result = mach_vm_region_info(self, address, &region, &object);

	say("%s: %x", what, result);
	if (!result) {
		say(" at %x pages %d prot %d/%d inherit %d wired %d/%d object %d offset %x", (vm_address_t) region.vri_start - base, (int) (region.vri_end - region.vri_start) / PAGE,
			region.vri_protection, region.vri_max_protection, region.vri_inheritance, region.vri_wired_count, region.vri_user_wired_count, region.vri_object != 0, (u32) region.vri_offset);
		say(" needs copy %d shared %d name %s", region.vri_needs_copy, region.vri_sharing, name_of(object));
	}
	say("\n");
	return object;
}

static mach_port_t object_info(const char *what, mach_port_t object)
{
	vm_object_info_t i;
	mach_port_t shadow = 0, copy = 0;
	kern_return_t result = mach_vm_object_info(object, &i, &shadow, &copy);

	say("%s: %x", what, result);
	if (!result) {
		say(" page %d pages %d refs %d resident %d absent %d copy %d shadow %d", (int) i.voi_pagesize, (int) i.voi_size / PAGE, i.voi_ref_count, i.voi_resident_page_count, i.voi_absent_count, i.voi_copy != 0, i.voi_shadow != 0);
		say(" at %x paging offset %x strategy %d last %x paging %d state %x", (u32) i.voi_shadow_offset, (u32) i.voi_paging_offset, i.voi_copy_strategy, (u32) i.voi_last_alloc, i.voi_paging_in_progress, i.voi_state);
		say(" shadow %s copy %s", name_of(shadow), name_of(copy));
	}
	say("\n");
	return shadow;
}

/* All of a page's state but the queue that it is on and its reference bit, which are the kernel's policy. */
#define STATE(page) ((page).vpi_state & ~0x4c00)

static void pages(const char *what, mach_port_t object)
{
	vm_page_info_t room[4], *list = room;
	mach_msg_type_number_t count = 4, n;
	kern_return_t result = mach_vm_object_pages(object, &list, &count);

	say("%s: %x", what, result);
	if (!result) {
		say(" count %u in line %d\n", count, list == room);
		for (n = 0; n < count; n++)
			say("  offset %x frame %d wired %d lock %d unlock %d state %x\n", (u32) list[n].vpi_offset, list[n].vpi_phys_addr != 0, list[n].vpi_wire_count, list[n].vpi_page_lock, list[n].vpi_unlock_request, STATE(list[n]));
	} else
		say("\n");
}

static void plain(void)
{
	vm_address_t a = 0;
	vm_offset_t data;
	mach_msg_type_number_t count;
	mach_port_t name, shadow;
	int page;

	say("-- plain memory\n");
	vm_allocate(self, &a, 8 * PAGE, 1); base = a;
	name = info("untouched", a); object_info("its object", name);
	*(volatile u32 *) (a + PAGE) = 1;
	name = info("page 1 written", a); info("within", a + 3 * PAGE + 5); object_info("its object", name); pages("its pages", name);
	for (page = 2; page < 6; page++)
		*(volatile u32 *) (a + page * PAGE) = page;
	(void) *(volatile u32 *) (a + 6 * PAGE);
	pages("5 more, one only read", name);
	vm_read(self, a, 4 * PAGE, &data, &count);
	name = info("after vm_read", a); object_info("its object", name);
	info("the rest", a + 4 * PAGE);
	*(volatile u32 *) (a + PAGE) = 2;
	name = info("written again", a); shadow = object_info("its object", name); object_info("the shadow", shadow); pages("its pages", name);
	show("wire", vm_wire(host_priv, self, a + 2 * PAGE, PAGE, 3));
	name = info("wired", a + 2 * PAGE); pages("its pages", name);
	vm_wire(host_priv, self, a + 2 * PAGE, PAGE, 0);
	say("past the end: %x\n", mach_vm_region_info(self, 0xbffffffc, (vm_region_info_t *) (char[sizeof(vm_region_info_t)]) { 0 }, &name));
	object_info("null", 0); object_info("the task", self); object_info("the host", mach_host_self()); pages("the task's pages", self);
}

static void managed(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;
	mach_port_t name;
	vm_offset_t data;

	say("-- a manager's memory\n");
	known = o; o->unready = 1;
	a = map_object("map", o, 2, 4, VM_INHERIT_COPY); base = a;
	info("region", a); object_info("not ready", o->name);
	memory_object_ready(o->control, 0, MEMORY_OBJECT_COPY_DELAY); o->unready = 0;
	reads("read page 2", 0, a); writes("write page 3", 0, a + PAGE, 3);
	o->precious = 1; o->lock = VM_PROT_WRITE; reads("read page 4, locked and precious", 0, a + 2 * PAGE); o->precious = 0; o->lock = 0;
	object_info("ready", o->name); pages("pages", o->name);
	o->silent = 1;
	begin(0, do_read, a + 3 * PAGE, 0, 0, 0); finish("read page 5", 0);
	new_hand(1, self); begin(1, do_write, a + 2 * PAGE, 4, 0, 0); finish("write page 4", 1);
	object_info("two wait", o->name); pages("pages", o->name);
	o->silent = 0; supply(o, 5, 1); finish("read page 5", 0);
	lock_request("unlock", o, 4, 1, MEMORY_OBJECT_RETURN_NONE, 0, 0); finish("write page 4", 1);
	begin(0, do_vm_read, a, 4 * PAGE, 0, 0); finish("vm_read", 0); data = hands[0].c;
	name = info("the copy", data); object_info("its object", name); object_info("the source", o->name);
	writes("write the copy", 0, data, 9); name = info("the copy", data); object_info("its object", name);
	writes("write page 3", 0, a + PAGE, 33); name = object_info("its object", name); object_info("what it shadows", name); pages("what was pushed", name);
	say("-- vm_object_sync\n");
	show("return", vm_object_sync(o->name, 0, 8 * PAGE, 0, 1, 1)); serve(QUIET);
	writes("write page 3", 0, a + PAGE, 34);
	show("return and flush a byte", vm_object_sync(o->name, 3 * PAGE + 5, 1, 1, 1, 0)); serve(QUIET);
	reads("read page 3", 0, a + PAGE);
	show("neither", vm_object_sync(o->name, 0, 8 * PAGE, 0, 0, 0)); serve(QUIET);
	show("flush", vm_object_sync(o->name, 0, 8 * PAGE, 1, 0, 0)); serve(QUIET);
	show("size 0", vm_object_sync(o->name, 0, 0, 1, 1, 0)); serve(QUIET);
	show("by the control port", vm_object_sync(o->control, 0, PAGE, 0, 1, 0)); show("by the task", vm_object_sync(self, 0, PAGE, 0, 1, 0)); show("by null", vm_object_sync(0, 0, PAGE, 0, 1, 0));
	vm_deallocate(self, data, 4 * PAGE);
	unmap("unmap", a, 4);
}

static mach_port_t proxy_of(const char *what, mach_port_t object, vm_prot_t protection, vm_offset_t offset, vm_offset_t start, vm_size_t length)
{
	mach_port_t proxy = 0;

	show(what, memory_object_create_proxy(self, protection, &object, MACH_MSG_TYPE_COPY_SEND, 1, &offset, 1, &start, 1, &length, 1, &proxy));
	return proxy;
}

static vm_address_t map_proxy(const char *what, mach_port_t proxy, u32 offset, u32 size, boolean_t copy, vm_prot_t protection, vm_prot_t maximum)
{
	vm_address_t a = 0;

	show(what, vm_map(self, &a, size, 0, 1, proxy, offset, copy, protection, maximum, VM_INHERIT_COPY));
	serve(QUIET);
	base = a;
	if (a)
		info("  region", a);
	return a;
}

static void proxies(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a, b;
	mach_port_t proxy, second, two[2];
	vm_offset_t offsets[2] = { 0, 0 };
	vm_size_t lengths[2] = { PAGE, PAGE };

	say("-- memory_object_create_proxy\n");
	known = o;
	a = map_object("map the object itself", o, 0, 8, VM_INHERIT_COPY);
	proxy = proxy_of("read-only, pages 2 to 5", o->port, 1, 0, 2 * PAGE, 4 * PAGE);
	b = map_proxy("map it", proxy, 0, 4 * PAGE, 0, 3, 7); reads("read page 2", 0, b); writes("write page 2", 0, b, 1); writes("write it in the object", 0, a + 2 * PAGE, 22); reads("read page 2", 0, b);
	vm_deallocate(self, b, 4 * PAGE);
	b = map_proxy("its last page", proxy, 3 * PAGE, PAGE, 0, 1, 1); reads("read page 5", 0, b); vm_deallocate(self, b, PAGE);
	map_proxy("beyond its end", proxy, 3 * PAGE, 2 * PAGE, 0, 1, 1); map_proxy("a wrapping offset", proxy, -PAGE_SIZE, PAGE, 0, 1, 1);
	b = map_proxy("a copy", proxy, PAGE, PAGE, 1, 3, 7); if (b) { writes("write the copy", 0, b, 5); reads("the object", 0, a + 3 * PAGE); vm_deallocate(self, b, PAGE); }
	second = proxy_of("a proxy of the proxy, pages 1 to 2 of it", proxy, 7, 0, PAGE, 2 * PAGE);
	b = map_proxy("map it", second, 0, 2 * PAGE, 0, 3, 7); if (b) { reads("read page 3", 0, b); writes("write page 3", 0, b, 1); vm_deallocate(self, b, 2 * PAGE); }
	map_proxy("beyond its end", second, PAGE, 2 * PAGE, 0, 1, 1);
	proxy = proxy_of("for writing alone", o->port, 2, 0, 0, PAGE); map_proxy("a copy of it", proxy, 0, PAGE, 1, 1, 1); map_proxy("itself", proxy, 0, PAGE, 0, 3, 7);
	proxy_of("an offset", o->port, 1, PAGE, 0, PAGE); proxy_of("a wrapping range", o->port, 1, 0, -PAGE_SIZE, 2 * PAGE);
	proxy_of("of null", 0, 1, 0, 0, PAGE); proxy = proxy_of("of the task's port", self, 1, 0, 0, PAGE); map_proxy("map that", proxy, 0, PAGE, 0, 1, 1);
	proxy = proxy_of("of length 0", o->port, 7, 0, 0, 0); map_proxy("map that", proxy, 0, PAGE, 0, 1, 1);
	proxy = proxy_of("unaligned", o->port, 7, 0, 100, PAGE);
	proxy = proxy_of("protection ff", o->port, 0xff, 0, 0, PAGE); b = map_proxy("map that", proxy, 0, PAGE, 0, 3, 7); if (b) vm_deallocate(self, b, PAGE);
	two[0] = two[1] = o->port;
	show("of two objects", memory_object_create_proxy(self, 1, two, MACH_MSG_TYPE_COPY_SEND, 2, offsets, 2, offsets, 2, lengths, 2, &proxy));
	show("of none", memory_object_create_proxy(self, 1, two, MACH_MSG_TYPE_COPY_SEND, 0, offsets, 0, offsets, 0, lengths, 0, &proxy));
	show("counts that differ", memory_object_create_proxy(self, 1, two, MACH_MSG_TYPE_COPY_SEND, 1, offsets, 2, offsets, 1, lengths, 1, &proxy));
	show("for the host", memory_object_create_proxy(mach_host_self(), 1, two, MACH_MSG_TYPE_COPY_SEND, 1, offsets, 1, offsets, 1, lengths, 1, &proxy));

	say("-- vm_region_create_proxy\n");
	show("of pages 1 to 2", vm_region_create_proxy(self, a + PAGE, 1, 2 * PAGE, &proxy));
	b = map_proxy("map it", proxy, 0, 2 * PAGE, 0, 3, 7); if (b) { reads("read page 1", 0, b); writes("write page 1", 0, b, 1); vm_deallocate(self, b, 2 * PAGE); }
	map_proxy("beyond its end", proxy, PAGE, 2 * PAGE, 0, 1, 1);
	vm_protect(self, a, 8 * PAGE, 1, 1);
	show("of what may only be read", vm_region_create_proxy(self, a, 7, PAGE, &proxy));
	b = map_proxy("map it", proxy, 0, PAGE, 0, 3, 7); if (b) vm_deallocate(self, b, PAGE);
	show("longer than the region", vm_region_create_proxy(self, a, 7, 9 * PAGE, &proxy));
	show("nowhere", vm_region_create_proxy(self, VM_MAX_ADDRESS, 7, PAGE, &proxy));
	show("length 0", vm_region_create_proxy(self, a, 7, 0, &proxy));
	unmap("unmap the object", a, 8);
}

int guest_main(void)
{
	start_pagers();
	plain();
	managed();
	proxies();
	return 0;
}
