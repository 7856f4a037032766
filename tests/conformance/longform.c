/* Descriptors of every kind: short and long, any width, in line and out of line, malformed; the codes, and the bytes that arrive. */
#include "ipc.h"

#define LONG MIG_LONGFORM
#define INLINE MIG_INLINE
#define DEALLOCATE MIG_DEALLOCATE
#define UNUSED MIG_UNUSED
/* A long descriptor's second word. */
#define WIDE MIG_LONG_NAME
#define TEXT "the quick brown fox jumps over the lazy dog"

static mach_port_t a, p;
static vm_address_t page;

static void hex(const char *what, const unsigned char *bytes, u32 count)
{
	u32 i;

	say(what);
	for (i = 0; i < count && i < 48; i++)
		say("%c%c", "0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15]);
	say("\n");
}

/* Prints the body's words; out-of-line memory as its offset in a page and its first bytes, names by their numbers. */
static void body(void)
{
	u32 *w = m.w, *end = (u32 *) ((char *) &m + m.h.msgh_size);

	say("  bits %x size %u:", m.h.msgh_bits, m.h.msgh_size);
	if (!(m.h.msgh_bits & MACH_MSGH_BITS_COMPLEX)) {
		while (w < end)
			say(" %x", *w++);
		say("\n");
		return;
	}
	say("\n");
	while (w < end) {
		u32 first = w[0], name = MIG_NAME(first), size = MIG_SIZE(first), number = MIG_NUMBER(first), words, i;

		say("    %x", *w++);
		if (first & LONG) {
			name = MIG_LONG_NAME_OF(w[0]), size = MIG_LONG_SIZE_OF(w[0]), number = w[1];
			say(" %x %x", w[0], w[1]), w += 2;
		}
		words = ((uint64_t) number * size + 31) / 32;
		if (!(first & INLINE)) {
			vm_size_t length = ((uint64_t) number * size + 7) / 8;

			if (!*w)
				say(" nothing\n");
			else {
				say(" at %u", *w & (PAGE_SIZE - 1)), hex(" ", (void *) *w, length);
				vm_deallocate(self, *w, length);
			}
			w++;
			continue;
		}
		for (i = 0; i < words && w < end; i++, w++) {
			if (name >= MACH_MSG_TYPE_MOVE_RECEIVE && name <= MACH_MSG_TYPE_MOVE_SEND_ONCE)
				say(" %n", *w);
			else
				say(" %x", *w);
		}
		say("\n");
	}
}

/* Sends a complex message with COUNT words in its body, and shows what arrives. */
static void try(const char *what, u32 count, ...)
{
	u32 i;
	__builtin_va_list words;

	__builtin_va_start(words, count);
	for (i = 0; i < count; i++)
		m.w[i] = __builtin_va_arg(words, u32);
	__builtin_va_end(words);
	fill(&m, MACH_MSGH_BITS_COMPLEX | CS, a, 0, 1);
	if (!show(what, give(24 + 4 * count))) {
		if (receive(a))
			say("  nothing came\n");
		else
			body();
	}
}

static void widths(void)
{
	static const u32 sizes[] = { 0, 1, 7, 8, 9, 16, 31, 32, 33, 64, 255 };
	static const u32 names[] = { 0, 1, 2, 5, 8, 9, 10, 11, 12, 13, 14, 15, 22, 63, 128, 255 };
	u32 i;

	say("-- bit widths in line\n");
	for (i = 0; i < 11; i++)
		say("%u bits: ", sizes[i]), try("one", 9, item(2, sizes[i], 1, 1, 0), 0x11111111, INLINE, INLINE, INLINE, INLINE, INLINE, INLINE, INLINE);
	for (i = 0; i < 8; i++)
		say("%u bits: ", sizes[i]), try("three", 4, item(2, sizes[i], 3, 1, 0), 0x11111111, INLINE, INLINE);
	try("33 bits one by one", 3, item(2, 1, 33, 1, 0), 1, 2);
	try("33 bits, one word", 2, item(2, 1, 33, 1, 0), 1);
	try("4095 bits", 2, item(2, 1, 4095, 1, 0), 1);
	say("-- bit widths out of line\n");
	for (i = 0; i < 11; i++)
		say("%u bits: ", sizes[i]), try("three", 2, item(2, sizes[i], 3, 0, 0), page + 5);
	say("-- type names\n");
	for (i = 0; i < 16; i++)
		say("%u ", names[i]), try("in line", 2, item(names[i], 32, 1, 1, 0), p);
	for (i = 0; i < 16; i++)
		say("%u ", names[i]), try("out of line", 2, item(names[i], 32, 1, 0, 0), page + i);
	for (i = 0; i < 6; i++)
		say("%u: ", 16 + i), try("a port of 31 bits", 2, item(16 + i, 31, 1, 1, 0), p);
	for (i = 0; i < 6; i++)
		say("%u: ", 16 + i), try("no port of 8 bits", 1, item(16 + i, 8, 0, 1, 0));
	try("no port of 32 bits", 1, item(17, 32, 0, 1, 0));
}

static void longs(void)
{
	u32 i;

	say("-- long, in line\n");
	try("two", 5, LONG | INLINE, WIDE(2, 32), 2, 0x11111111, 0x22222222);
	try("none", 3, LONG | INLINE, WIDE(2, 32), 0);
	try("none of 0 bits", 3, LONG | INLINE, WIDE(2, 0), 0);
	try("many of 0 bits", 3, LONG | INLINE, WIDE(2, 0), 0xffffffff);
	try("3 of 7 bits", 4, LONG | INLINE, WIDE(8, 7), 3, 0x11111111);
	try("1 of 65 bits", 6, LONG | INLINE, WIDE(11, 65), 1, 1, 2, 3);
	try("too few words", 4, LONG | INLINE, WIDE(2, 32), 2, 0x11111111);
	try("a name of 16 bits", 4, LONG | INLINE, WIDE(0x1234, 32), 1, 5);
	try("a name of 16 bits whose low byte is a port's", 4, LONG | INLINE, WIDE(0x110, 32), 1, p);
	try("two send rights, null and dead", 7, LONG | INLINE, WIDE(MACH_MSG_TYPE_COPY_SEND, 32), 4, p, 0, ~0, p);
	try("a made send right", 4, LONG | INLINE, WIDE(MACH_MSG_TYPE_MAKE_SEND, 32), 1, p);
	try("a made send-once right", 4, LONG | INLINE, WIDE(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32), 1, p);
	mach_port_deallocate(self, m.w[3]), take("spent", p);
	try("a receive right", 4, LONG | INLINE, WIDE(MACH_MSG_TYPE_MOVE_RECEIVE, 32), 1, p);
	try("no port", 3, LONG | INLINE, WIDE(MACH_MSG_TYPE_COPY_SEND, 32), 0);
	try("a port of 64 bits", 5, LONG | INLINE, WIDE(MACH_MSG_TYPE_COPY_SEND, 64), 1, p, 0);
	say("-- long, out of line\n");
	try("12 bytes", 4, LONG, WIDE(8, 8), 12, page + 4);
	try("none", 4, LONG, WIDE(8, 8), 0, page);
	try("none of nowhere", 4, LONG, WIDE(8, 8), 0, 0x60000000);
	try("many of 0 bits", 4, LONG, WIDE(8, 0), 0xffffffff, page);
	try("one of 65535 bits", 4, LONG, WIDE(8, 65535), 1, page);
	try("two of 65535 bits", 4, LONG, WIDE(8, 65535), 2, page + 1);
	try("across two pages", 4, LONG, WIDE(8, 8), 20, page + PAGE_SIZE - 6);
	try("off the end", 4, LONG, WIDE(8, 8), 20, page + 0x8000 - 10);
	try("of nowhere", 4, LONG, WIDE(8, 8), 20, 0x60000000);
	try("of the kernel's memory", 4, LONG, WIDE(8, 8), 20, BEYOND_USER);
	try("without an address", 3, LONG, WIDE(8, 8), 20);
	try("short, without an address", 1, item(8, 8, 20, 0, 0));
	try("short, none, without an address", 1, item(8, 8, 0, 0, 0));
	try("short, none, of nowhere", 2, item(8, 8, 0, 0, 0), 0x60000000);
	say("-- long, wrong\n");
	try("a name in the first word", 4, LONG | item(2, 0, 0, 1, 0), WIDE(2, 32), 1, 1);
	try("a size in the first word", 4, LONG | item(0, 32, 0, 1, 0), WIDE(2, 32), 1, 1);
	try("a number in the first word", 4, LONG | item(0, 0, 1, 1, 0), WIDE(2, 32), 1, 1);
	try("the unused bit", 4, LONG | INLINE | UNUSED, WIDE(2, 32), 1, 1);
	try("the unused bit, short", 2, item(2, 32, 1, 1, 0) | UNUSED, 1);
	try("the unused bit, out of line", 2, item(2, 32, 1, 0, 0) | UNUSED, page);
	try("deallocate in line", 4, LONG | INLINE | DEALLOCATE, WIDE(2, 32), 1, 1);
	try("deallocate in line, short", 2, item(2, 32, 1, 1, 1), 1);
	try("deallocate in line, none", 1, item(2, 32, 0, 1, 1));
	try("one word of a descriptor", 1, LONG | INLINE);
	try("two words of a descriptor", 2, LONG | INLINE, WIDE(2, 32));
	try("one word of a wrong descriptor", 1, LONG | INLINE | UNUSED);
	try("wrong and too small", 3, LONG | INLINE | UNUSED, WIDE(2, 32), 9);
	try("the second is wrong", 4, item(2, 32, 1, 1, 0), 1, item(2, 32, 1, 1, 1), 1);
	say("-- number times size\n");
	for (i = 0; i < 6; i++) {
		static const u32 number[] = { 0xffffffff, 0x10000000, 0x20000000, 0x7fffffff, 0x80000001, 0xffffffff };
		static const u32 size[] = { 8, 33, 31, 8, 8, 65535 };

		say("%x times %u ", number[i], size[i]), try("in line", 4, LONG | INLINE, WIDE(2, size[i]), number[i], item(1, 0, 0, 0, 0));
		say("%x times %u ", number[i], size[i]), try("out of line", 4, LONG, WIDE(2, size[i]), number[i], page);
	}
	try("4 GiB in line", 4, LONG | INLINE, WIDE(2, 16), 0x80000000, INLINE);
	try("4 GiB and 4 bytes in line", 4, LONG | INLINE, WIDE(2, 32), 0x40000001, 1);
	try("4 GiB out of line", 4, LONG, WIDE(2, 16), 0x80000000, page);
	try("4 GiB and 4 bytes out of line", 4, LONG, WIDE(2, 32), 0x40000001, page);
}

static void memory(void)
{
	vm_address_t other = 0;

	say("-- deallocate\n");
	vm_allocate(self, &other, 4 * PAGE_SIZE, TRUE);
	*(u32 *) other = 0x61626364, *(u32 *) (other + PAGE_SIZE) = 0x65666768;
	try("a page", 4, LONG | DEALLOCATE, WIDE(8, 8), PAGE_SIZE, other);
	try("it is gone", 4, LONG, WIDE(8, 8), PAGE_SIZE, other);
	try("a part of a page", 4, LONG | DEALLOCATE, WIDE(8, 8), 4, other + PAGE_SIZE);
	try("all of it is gone", 4, LONG, WIDE(8, 8), 4, other + PAGE_SIZE + 8);
	try("one page twice", 8, LONG, WIDE(8, 8), 4, other + 2 * PAGE_SIZE, LONG | DEALLOCATE, WIDE(8, 8), 4, other + 2 * PAGE_SIZE);
	try("the first takes the second's", 8, LONG | DEALLOCATE, WIDE(8, 8), 4, other + 3 * PAGE_SIZE, LONG, WIDE(8, 8), 4, other + 3 * PAGE_SIZE);
	try("nothing, deallocated", 4, LONG | DEALLOCATE, WIDE(8, 8), 0, 0x60000000);
	say("-- several items\n");
	try("all kinds", 12, item(2, 32, 1, 1, 0), 7, LONG, WIDE(8, 8), 3, page + 4, item(9, 8, 5, 1, 0), 0x04030201, 5, item(MACH_MSG_TYPE_COPY_SEND, 32, 1, 1, 0), p, item(2, 32, 0, 1, 0));
	type("p before", p);
	try("right, memory, wrong", 6, item(MACH_MSG_TYPE_MOVE_SEND, 32, 1, 1, 0), p, item(8, 8, 4, 0, 0), page, item(2, 32, 1, 1, 1), 0);
	type("p after", p);
	mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND);
	try("wrong, then a right", 4, item(2, 32, 1, 1, 1), 0, item(MACH_MSG_TYPE_MOVE_SEND, 32, 1, 1, 0), p);
	type("p after", p);
}

static void simple(const char *what, u32 bits, u32 count)
{
	fill(&m, bits | CS, a, 0, 2);
	if (!show(what, give(24 + 4 * count)) && !receive(a))
		body();
}

static void bits(void)
{
	int i;

	say("-- the COMPLEX bit\n");
	try("no body", 0);
	try("only words", 3, item(2, 32, 2, 1, 0), 1, 2);
	try("an empty out-of-line item", 2, item(2, 32, 0, 0, 0), 0);
	m.w[0] = item(MACH_MSG_TYPE_COPY_SEND, 32, 1, 1, 0), m.w[1] = 0x123456, simple("missing, a right", 0, 2);
	m.w[0] = item(8, 8, 40, 0, 1), m.w[1] = 0x60000000, simple("missing, memory", 0, 2);
	m.w[0] = 0xffffffff, m.w[1] = 0xffffffff, simple("missing, garbage", 0, 2), simple("there, garbage", MACH_MSGH_BITS_COMPLEX, 2);
	m.w[0] = 0, simple("there, a word of zero", MACH_MSGH_BITS_COMPLEX, 1);
	m.w[1] = 0, simple("there, two words of zero", MACH_MSGH_BITS_COMPLEX, 2);
	say("-- trailing words\n");
	try("zero", 3, item(2, 32, 1, 1, 0), 1, 0);
	try("two zeros", 4, item(2, 32, 1, 1, 0), 1, 0, 0);
	try("an empty item", 3, item(2, 32, 1, 1, 0), 1, INLINE);
	try("ones", 3, item(2, 32, 1, 1, 0), 1, ~0);
	say("-- the header's other bits\n");
	for (i = 16; i < 32; i++)
		say("%u ", i), m.w[0] = INLINE, simple("bit", 1u << i, 1);
	simple("remote type 0x113", 0x100, 0);
	say("-- what the kernel overwrites\n");
	fill(&m, CS, a, 0, -7), m.h.msgh_size = 4, m.h.msgh_seqno = 77, m.w[0] = 9;
	show("a wrong size in the header", give(28)), receive(a), say("  size %u seqno %u id %d\n", m.h.msgh_size, m.h.msgh_seqno, m.h.msgh_id);
}

int guest_main(void)
{
	char *c;
	int i;

	self = mach_task_self();
	a = send_port(), p = send_port();
	vm_allocate(self, &page, 0x8000 + PAGE_SIZE, TRUE), vm_deallocate(self, page + 0x8000, PAGE_SIZE);
	for (i = 0; i < 0x8000; i++)
		((char *) page)[i] = TEXT[i % (sizeof TEXT - 1)];
	widths();
	p = send_port(), forget_names();
	longs();
	memory();
	bits();
	return 0;
}
