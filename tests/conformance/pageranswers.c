/* A manager's answers: data_supply, data_unavailable and data_error, as asked for and otherwise. */
#include "pagers.h"

static const u32 words[8] = { 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7 };

static void give(const char *what, struct object *o, u32 offset, u32 pages, vm_prot_t lock, boolean_t precious, mach_port_t reply)
{
	say("%s\n", what);
	supply_words(o->control, offset, words, pages, lock, precious, reply);
	serve(QUIET);
}

/*
 * A supply that fails. GNU Mach 1.8 answers, then drops the reply right a second time with the request that failed, and its
 * assertion fails where the notification of that is received: so the port is this answer's own, and only that is taken from it.
 */
static void give_in_vain(const char *what, struct object *o, u32 offset, u32 pages)
{
	message_t m;
	mach_port_t port = new_port();

	say("%s\n", what);
	supply_words(o->control, offset, words, pages, 0, 0, port);
	show("  answer", mach_msg_trap(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, port, 50, 0));
	say("  %d:", m.h.msgh_id); say_pages(o, m.w[3], m.w[5]); say(" result %x error offset %x\n", m.w[7], m.w[9]);
	serve(QUIET);
}

/* A supply of SIZE bytes that begin BYTES into memory of three pages with the words d0, d1, d2. */
static void give_bytes(const char *what, struct object *o, u32 offset, u32 bytes, u32 size)
{
	vm_address_t data = 0;

	vm_allocate(self, &data, 3 * PAGE, 1);
	*(u32 *) data = 0xd0; *(u32 *) (data + PAGE) = 0xd1; *(u32 *) (data + 2 * PAGE) = 0xd2;
	*(u32 *) (data + bytes) += 0xb00;
	show(what, memory_object_data_supply(o->control, offset, data + bytes, size, 0, 0, 0, box));
	serve(QUIET);
	vm_deallocate(self, data, 3 * PAGE);
}

static void supplies(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;

	say("-- data_supply\n");
	a = map_object("map", o, 0, 16, VM_INHERIT_COPY);
	o->silent = 1;
	begin(0, do_read, a + PAGE, 0, 0, 0); serve(QUIET);
	give("pages 0 to 2 where 1 was asked for", o, 0, 3, 0, 0, box); finish("read page 1", 0);
	reads("read page 0", 0, a); reads("read page 2", 0, a + 2 * PAGE);
	give_in_vain("page 1 again", o, PAGE, 1);
	reads("read page 1", 0, a + PAGE);
	give_in_vain("pages 2 to 4, of which 2 is there", o, 2 * PAGE, 3);
	give("pages 3 to 5, of which none is there", o, 3 * PAGE, 3, 0, 0, box);
	give("pages 6 to 7 without a reply port", o, 6 * PAGE, 2, 0, 0, 0);
	give_in_vain("pages 5 to 8, of which 8 is not there", o, 5 * PAGE, 4);
	reads("read page 3", 0, a + 3 * PAGE); reads("read page 7", 0, a + 7 * PAGE);
	begin(0, do_read, a + 8 * PAGE, 0, 0, 0); serve(QUIET);
	give("page 9 where 8 was asked for", o, 9 * PAGE, 1, 0, 0, box);
	finish("read page 8", 0);
	give("page 8", o, 8 * PAGE, 1, 0, 0, box); finish("read page 8", 0);
	give("page 20, beyond what is mapped", o, 20 * PAGE, 1, 0, 0, box);
	give("a lock value of 8", o, 10 * PAGE, 1, 8, 0, box);
	give_bytes("half a page at page 10", o, 10 * PAGE, 0, PAGE / 2);
	give_bytes("a page and a half at page 10", o, 10 * PAGE, 0, PAGE + PAGE / 2);
	give_bytes("a page that begins within a page at page 11", o, 11 * PAGE, 256, PAGE);
	reads("read page 11", 0, a + 11 * PAGE); reads("read within page 11", 0, a + 11 * PAGE + 256);
	show("memory that is not there at page 12", memory_object_data_supply(o->control, 12 * PAGE, 0xa0000000, PAGE, 0, 0, 0, box)); serve(QUIET);
	begin(0, do_write, a + 13 * PAGE, 0x1313, 0, 0); serve(QUIET);
	give("page 13, asked for by a write", o, 13 * PAGE, 1, 0, 0, box); finish("write page 13", 0);
	o->silent = 0;
	lock_request("what is dirty or precious", o, 0, 32, MEMORY_OBJECT_RETURN_ALL, 0, VM_PROT_NO_CHANGE);
	unmap("unmap", a, 16);
}

static void precious(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;

	say("-- precious pages\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	give("page 0 precious", o, 0, 1, 0, 1, box);
	give("pages 1 and 2 precious, no reply port", o, PAGE, 2, 0, 1, 0);
	give("page 3", o, 3 * PAGE, 1, 0, 0, 0);
	writes("write page 1", 0, a + PAGE, 0x1111);
	lock_request("return dirty", o, 0, 8, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	lock_request("return all", o, 0, 8, MEMORY_OBJECT_RETURN_ALL, 0, VM_PROT_NO_CHANGE);
	lock_request("return all again", o, 0, 8, MEMORY_OBJECT_RETURN_ALL, 0, VM_PROT_NO_CHANGE);
	writes("write page 2", 0, a + 2 * PAGE, 0x2222);
	unmap("unmap", a, 8);
}

static void locks(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;
	vm_prot_t lock;

	say("-- lock values\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	for (lock = 0; lock < 8; lock++) {
		say("page %d locked against %d\n", lock, lock);
		supply_words(o->control, lock * PAGE, words + lock, 1, lock, 0, 0);
		reads("  read", 0, a + lock * PAGE);
		writes("  write", 0, a + lock * PAGE, 0x100 + lock);
	}
	o->silent = 1;
	lock_request("all locked against everything", o, 0, 8, MEMORY_OBJECT_RETURN_NONE, 0, VM_PROT_ALL);
	begin(0, do_write, a, 0x200, 0, 0); finish("write page 0", 0);
	lock_request("reading is allowed", o, 0, 1, MEMORY_OBJECT_RETURN_NONE, 0, VM_PROT_WRITE); finish("write page 0", 0);
	lock_request("no change", o, 0, 1, MEMORY_OBJECT_RETURN_NONE, 0, VM_PROT_NO_CHANGE); finish("write page 0", 0);
	lock_request("the same lock", o, 0, 1, MEMORY_OBJECT_RETURN_NONE, 0, VM_PROT_WRITE); finish("write page 0", 0);
	lock_request("flushed", o, 0, 1, MEMORY_OBJECT_RETURN_NONE, 1, VM_PROT_WRITE); finish("write page 0", 0);
	give("page 0", o, 0, 1, 0, 0, 0); finish("write page 0", 0);
	begin(0, do_read, a + PAGE, 0, 0, 0); finish("read page 1", 0);
	give_in_vain("supplied while it is locked", o, PAGE, 1); finish("read page 1", 0);
	lock_request("unlocked", o, 1, 1, MEMORY_OBJECT_RETURN_NONE, 0, VM_PROT_NONE); finish("read page 1", 0);
	begin(0, do_write, a + 2 * PAGE, 0x22, 0, 0); finish("write page 2", 0);
	show("error for a locked page", memory_object_data_error(o->control, 2 * PAGE, PAGE, 5)); finish("write page 2", 0);
	show("unavailable for a locked page", memory_object_data_unavailable(o->control, 2 * PAGE, PAGE)); finish("write page 2", 0);
	o->silent = 0;
	lock_request("unlocked", o, 0, 8, MEMORY_OBJECT_RETURN_NONE, 0, VM_PROT_NONE); finish("write page 2", 0);
	unmap("unmap", a, 8);
}

static void unavailable(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;

	say("-- data_unavailable\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	o->silent = 1;
	show("unasked", memory_object_data_unavailable(o->control, PAGE, 7 * PAGE));
	begin(0, do_read, a + PAGE, 0, 0, 0); serve(QUIET);
	show("a size of 0", memory_object_data_unavailable(o->control, PAGE, 0)); finish("read page 1", 0);
	show("an offset within the page", memory_object_data_unavailable(o->control, PAGE + 16, PAGE)); finish("read page 1", 0);
	show("pages 0 and 1", memory_object_data_unavailable(o->control, 0, 2 * PAGE)); finish("read page 1", 0);
	begin(0, do_write, a + 2 * PAGE, 0x22, 0, 0); serve(QUIET);
	show("page 2", memory_object_data_unavailable(o->control, 2 * PAGE, PAGE)); finish("write page 2", 0);
	show("page 2 again", memory_object_data_unavailable(o->control, 2 * PAGE, PAGE)); reads("read page 2", 0, a + 2 * PAGE);
	give_in_vain("page 1, which is there", o, PAGE, 1);
	lock_request("return dirty", o, 0, 8, MEMORY_OBJECT_RETURN_DIRTY, 0, VM_PROT_NO_CHANGE);
	lock_request("flush", o, 0, 8, MEMORY_OBJECT_RETURN_ALL, 1, VM_PROT_NO_CHANGE);
	o->silent = 0;
	reads("read page 1", 0, a + PAGE);
	unmap("unmap", a, 8);
}

static void errors(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a, came;

	say("-- data_error\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	o->silent = 1;
	show("unasked", memory_object_data_error(o->control, 0, 8 * PAGE, 5));
	begin(0, do_read, a, 0, 0, 0); serve(QUIET);
	show("error 5", memory_object_data_error(o->control, 0, PAGE, 5)); finish("read page 0", 0);
	begin(0, do_write, a, 1, 0, 0); serve(QUIET);
	show("error 0x1234 for all pages", memory_object_data_error(o->control, 0, 8 * PAGE, 0x1234)); finish("write page 0", 0);
	begin(0, do_read, a + PAGE + 8, 0, 0, 0); serve(QUIET);
	show("error 0", memory_object_data_error(o->control, PAGE, PAGE, 0)); finish("read page 1", 0);
	new_hand(1, self);
	begin(0, do_read, a + 2 * PAGE, 0, 0, 0); serve(QUIET); begin(1, do_read, a + 2 * PAGE, 0, 0, 0); serve(QUIET);
	show("error for two", memory_object_data_error(o->control, 2 * PAGE, PAGE, 5)); finish("one", 0); finish("other", 1);
	supply(o, 2, 1); finish("other", 1);
	begin(0, do_vm_read, a + 3 * PAGE, PAGE, 0, 0); finish("vm_read page 3", 0); came = hands[0].c;
	begin(0, do_read, came, 0, 0, 0); serve(QUIET);
	show("error", memory_object_data_error(o->control, 3 * PAGE, PAGE, 5)); finish("read what came", 0);
	o->silent = 0;
	reads("read page 0", 0, a);
	unmap("unmap what came", came, 1);
	unmap("unmap", a, 8);
}

/* From offset 0 on, for more than two pages: nothing exists but what was returned to the manager, and it is not asked again. */
static void nothing_exists(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;

	say("-- data_unavailable of the whole object\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	begin(0, do_read, a + 8 * PAGE - 4, 0, 0, 0); o->silent = 1; serve(QUIET);
	show("unavailable", memory_object_data_unavailable(o->control, 0, 3 * PAGE)); finish("read page 7", 0);
	supply(o, 7, 1); finish("read page 7", 0);
	o->silent = 0;
	reads("read page 0", 0, a);
	writes("write page 1", 0, a + PAGE, 0x11); writes("write page 2", 0, a + 2 * PAGE, 0x22);
	lock_request("return and flush", o, 0, 2, MEMORY_OBJECT_RETURN_ALL, 1, VM_PROT_NO_CHANGE);
	lock_request("return", o, 2, 6, MEMORY_OBJECT_RETURN_ALL, 0, VM_PROT_NO_CHANGE);
	lock_request("flush", o, 2, 6, MEMORY_OBJECT_RETURN_NONE, 1, VM_PROT_NO_CHANGE);
	reads("read page 0", 0, a); reads("read page 1", 0, a + PAGE); reads("read page 2", 0, a + 2 * PAGE);
	reads("read page 7", 0, a + 7 * PAGE);
	say("a supply of page 3, which does not exist\n"); supply(o, 3, 1); reads("read page 3", 0, a + 3 * PAGE);
	unmap("unmap", a, 8);
}

/* Refused without a word. GNU Mach 1.8 loses a reference to the object at each: it is mapped to the end. */
static void bad_sizes(void)
{
	struct object *o = new_object(MEMORY_OBJECT_COPY_DELAY);
	vm_address_t a;

	say("-- sizes that are no pages\n");
	a = map_object("map", o, 0, 8, VM_INHERIT_COPY);
	o->silent = 1;
	begin(0, do_read, a + PAGE, 0, 0, 0); serve(QUIET);
	show("unavailable, a size of 100", memory_object_data_unavailable(o->control, PAGE, 100)); finish("read page 1", 0);
	show("error, a size of 100", memory_object_data_error(o->control, PAGE, 100, 5)); finish("read page 1", 0);
	show("a lock value of 16", memory_object_lock_request(o->control, PAGE, PAGE, 0, 1, 16, box)); serve(QUIET);
	supply(o, 1, 1); finish("read page 1", 0);
}

int guest_main(void)
{
	start_pagers();
	supplies();
	precious();
	locks();
	unavailable();
	errors();
	nothing_exists();
	bad_sizes();
	return 0;
}
