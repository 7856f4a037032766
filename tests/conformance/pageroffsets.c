/* Offsets that are not whole pages: the kernel takes them as they are, and only the same offset again finds the same page. */
#include "pagers.h"

static void supply_at(const char *what, struct object *o, u32 offset, u32 word)
{
	say("%s\n", what);
	supply_words(o->control, offset, &word, 1, 0, 0, box);
	serve(QUIET);
}

static void request(const char *what, struct object *o, u32 offset, u32 size)
{
	show(what, memory_object_lock_request(o->control, offset, size, MEMORY_OBJECT_RETURN_ALL, 0, VM_PROT_NO_CHANGE, box));
	serve(QUIET);
}

int guest_main(void)
{
	struct object *o;
	vm_address_t a, b = 0;

	start_pagers();
	o = new_object(MEMORY_OBJECT_COPY_DELAY);
	say("-- supplied within a page\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	supply_at("at 1080", o, PAGE + 0x80, 0xd0);
	reads("read page 1", 0, a + PAGE);

	say("-- mapped within a page\n");
	show("map from 1080 on", vm_map(self, &b, 4 * PAGE, 0, 1, o->port, PAGE + 0x80, 0, 3, 7, VM_INHERIT_COPY)); serve(QUIET);
	reads("read its page 0", 0, b);
	o->silent = 1;
	begin(0, do_write, b + PAGE, 5, 0, 0); finish("write its page 1", 0);
	supply_at("at 2000", o, 2 * PAGE, 0xd1); finish("write its page 1", 0);
	supply_at("at 2080", o, 2 * PAGE + 0x80, 0xd2); finish("write its page 1", 0);
	begin(0, do_read, b + 2 * PAGE, 0, 0, 0); finish("read its page 2", 0);
	show("unavailable at 3000", memory_object_data_unavailable(o->control, 3 * PAGE, PAGE)); finish("read its page 2", 0);
	show("unavailable at 3080", memory_object_data_unavailable(o->control, 3 * PAGE + 0x80, PAGE)); finish("read its page 2", 0);
	o->silent = 0;
	reads("read page 2", 0, a + 2 * PAGE);
	request("return whole pages", o, 0, 8 * PAGE);
	request("return from 1080 on", o, PAGE + 0x80, 4 * PAGE);
	unmap("unmap one", a, 8);
	unmap("unmap the other", b, 4);
	return 0;
}
