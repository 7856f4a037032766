/*
 * The types of data and rights of longform.c and oolports.c from one task to another: what arrives. Every block is of one of the two
 * tasks; they take turns (turns.h).
 */
#include "turns.h"

/* Two words that hold a number of 64 bits, and one that holds two of 16. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define PAIR(high, low) (high), (low)
#define HALVES(first, second) ((first) << 16 | (second))
#else
#define PAIR(high, low) (low), (high)
#define HALVES(first, second) ((second) << 16 | (first))
#endif

static mach_port_t c, d;
static u32 batch;

/* The receiver gets what has been sent by `try`. */
static void collect(void)
{
	batch = 0;
	RECEIVER
		while (came && came--)
			if (!get("received", a))
				body(), let_go();
}

static void sent(const char *what, u32 bits, u32 count)
{
	SENDER {
		head(bits, a, 0, 1);
		pending += !put(what, 24 + 4 * count);
	}
	if (++batch == 5)
		collect();
}

/* Sends COUNT words; the receiver shows what arrives. */
static void try(const char *what, u32 count, ...)
{
	u32 i;
	__builtin_va_list words;

	__builtin_va_start(words, count);
	SENDER
		for (i = 0; i < count; i++)
			m.w[i] = __builtin_va_arg(words, u32);
	__builtin_va_end(words);
	sent(what, COMPLEX | CS, count);
}

/* Bytes at the sender's PAGE. */
static void fill_page(void)
{
	u32 i;

	SENDER
		for (i = 0; i < ROOM; i++)
			((char *) page)[i] = 'a' + i % 16;
}

/* Words that hold data of a type: a number, or the letters a to h. */
static void try_one(u32 name, u32 size, int is_inline)
{
	u32 number = 3, *w = is_inline ? m.w + 1 : (u32 *) (page + 8), bytes = (number * size + 7) / 8, i;

	SENDER {
		for (i = 0; i < bytes || i < 16; i++)
			((char *) w)[i] = 'a' + i % 8;
		for (i = 0; is_number(name, size) && i < number; i++)
			if (size == 16)
				((unsigned short *) w)[i] = 0x102 + i;
			else if (size == 32)
				w[i] = 0x1020304 + i;
			else
				((uint64_t *) w)[i] = 0x102030405060708 + i;
		m.w[0] = MIG_SHORT(name, size, number, is_inline, 0);
		if (!is_inline)
			m.w[1] = page + 8;
		say("%u of %u bits", name, size);
	}
	sent(is_inline ? "" : " out of line", COMPLEX | CS, is_inline ? 1 + (bytes + 3) / 4 : 2);
}

static void types(void)
{
	static const u32 names[] = { 0, 1, 2, 5, 8, 9, 10, 11, 12, 13, 14, 15, 22, 63, 128, 255 }, sizes[] = { 0, 1, 7, 8, 9, 16, 31, 32, 33, 64, 255 };
	static const char pairs[][2] = { { 0, 1 }, { 0, 8 }, { 1, 16 }, { 9, 8 }, { 10, 32 }, { 10, 64 }, { 11, 64 }, { 12, 8 }, { 15, 32 } };
	u32 i, in;

	for (in = 0; in < 2; in++) {
		section(in ? "types in line" : "types out of line");
		for (i = 0; i < 16; i++)
			try_one(names[i], 32, in);
		for (i = 0; i < 9; i++)
			try_one(pairs[i][0], pairs[i][1], in);
		for (i = 0; i < 11; i++)
			try_one(2, sizes[i], in);
		collect();
	}
}

static void long_descriptors(void)
{
	section("long descriptors");
	try("two", 5, LONG, WIDE(2, 32), 2, 0x11223344, 0x55667788);
	try("none", 3, LONG, WIDE(2, 32), 0);
	try("many of 0 bits", 3, LONG, WIDE(2, 0), 0xffffffff);
	try("3 halves", 5, LONG, WIDE(1, 16), 3, HALVES(1, 2), HALVES(3, 0));
	try("one of 64 bits", 5, LONG, WIDE(11, 64), 1, PAIR(0x1020304, 0x5060708));
	try("a double", 5, LONG, WIDE(10, 64), 1, PAIR(0x3ff80000, 0));
	try("1 of 65 bits", 6, LONG, WIDE(11, 65), 1, 0x11111111, 0x22222222, 0x33333333);
	try("a name of 16 bits", 4, LONG, WIDE(0x1234, 32), 1, 5);
	try("a name of 16 bits whose low byte is a port's", 4, LONG, WIDE(0x110, 32), 1, 6);
	try("two booleans", 5, LONG, WIDE(MACH_MSG_TYPE_BOOLEAN, 32), 2, 1, 0);
	try("12 bytes out of line", 4, LONG_OUT, WIDE(8, 8), 12, page + 4);
	try("none out of line", 4, LONG_OUT, WIDE(8, 8), 0, page);
	try("many of 0 bits out of line", 4, LONG_OUT, WIDE(8, 0), 0xffffffff, page);
	try("two of 65535 bits out of line", 4, LONG_OUT, WIDE(8, 65535), 2, page + 1);
	try("across two pages", 4, LONG_OUT, WIDE(8, 8), 20, page + PAGE_SIZE - 6);
	try("off the end", 4, LONG_OUT, WIDE(8, 8), 20, page + ROOM - 10);
	SENDER
		c = send_port();
	try("two send rights, null and dead", 7, LONG, WIDE(MACH_MSG_TYPE_COPY_SEND, 32), 4, c, 0, ~0, c);
	try("a made send right", 4, LONG, WIDE(MACH_MSG_TYPE_MAKE_SEND, 32), 1, c);
	try("a made send-once right", 4, LONG, WIDE(MACH_MSG_TYPE_MAKE_SEND_ONCE, 32), 1, c);
	try("no port", 3, LONG, WIDE(MACH_MSG_TYPE_COPY_SEND, 32), 0);
	try("all kinds", 12, SHORT(2, 32, 1), 7, LONG_OUT, WIDE(8, 8), 3, page + 4, SHORT(9, 8, 5), *(u32 *) "abcd", *(u32 *) "efgh", SHORT(MACH_MSG_TYPE_COPY_SEND, 32, 1), c, SHORT(2, 32, 0));
	collect();
	SENDER
		get("the send-once right is spent", c);
	try("a receive right", 4, LONG, WIDE(MOVE(RECEIVE), 32), 1, c);
	collect();
	SENDER
		settle(), type("c", c), mach_port_destroy(self, c);
}

/* In a simple message nobody looks at the body. */
static void simple(const char *what, u32 bits, u32 first, u32 second, u32 count)
{
	SENDER {
		m.w[0] = first, m.w[1] = second, head(bits | CS, a, 0, 2);
		put(what, 24 + 4 * count);
	}
	RECEIVER
		if (!get("receive", a) && count)
			say("  words as they were %d %d\n", m.w[0] == first, count < 2 || m.w[1] == second);
}

static void odd_bodies(void)
{
	u32 i;

	section("the COMPLEX bit");
	try("no body", 0);
	try("only words", 3, SHORT(2, 32, 2), 1, 2);
	try("an empty out-of-line item", 2, OUT(2, 32, 0), 0);
	try("a word of zero", 1, 0), try("two words of zero", 2, 0, 0);
	try("trailing zero", 3, SHORT(2, 32, 1), 1, 0), try("trailing item", 3, SHORT(2, 32, 1), 1, MIG_INLINE);
	collect();
	section("simple messages");
	simple("a number", 0, SHORT(2, 32, 1), 0x1020304, 2);
	simple("a right", 0, SHORT(MACH_MSG_TYPE_COPY_SEND, 32, 1), 0x1020304, 2);
	simple("memory", 0, OUT(8, 8, 40), 0x60000000, 2);
	simple("an item beyond the end", 0, SHORT(2, 32, 9), 0x1020304, 2);
	simple("a long descriptor beyond the end", 0, LONG, 0, 1);
	simple("garbage", 0, ~0, ~0, 2);
	section("the header's other bits");
	for (i = 16; i < 31; i++)
		simple("bit", 1u << i, SHORT(2, 32, 0), SHORT(2, 32, 0), 2);
	simple("remote type 0x113", 0x100, 0, 0, 0);
	SENDER
		head(CS, a, 0, -7), m.h.msgh_size = 4, m.h.msgh_seqno = 77, m.w[0] = SHORT(2, 32, 0), put("a wrong size in the header", 28);
	RECEIVER
		get("receive", a);
}

/* Four names out of line at PAGE as DISPOSITION; the receiver uses each right. */
static void array(u32 disposition)
{
	mach_port_t *names = (void *) page;
	u32 i;

	forget_names();
	SENDER {
		c = send_port(), d = send_port(), names[0] = c, names[1] = 0, names[2] = ~0, names[3] = d;
		if (disposition == MOVE(SEND_ONCE)) {
			mach_port_insert_right(self, names[0] = 7000, c, MACH_MSG_TYPE_MAKE_SEND_ONCE), mach_port_insert_right(self, names[3] = 7001, d, MACH_MSG_TYPE_MAKE_SEND_ONCE);
		}
		head(COMPLEX | CS, a, 0, 1), m.w[0] = OUT(disposition, 32, 4), m.w[1] = page;
		say("disposition %u", disposition), put("", 32), type("c", c), type("d", d);
	}
	RECEIVER
		if (!get("receive", a)) {
			body();
			for (i = 0; i < 4; i += 3)
				if (disposition != MOVE(RECEIVE))
					head(MACH_MSGH_BITS(disposition == MOVE(SEND_ONCE) || disposition == MACH_MSG_TYPE_MAKE_SEND_ONCE ? MOVE(SEND_ONCE) : MOVE(SEND), 0), got[i], 0, 460 + i), put("use it", 24), got[i] = 0;
			let_go();
		}
	SENDER {
		if (disposition != MOVE(RECEIVE))
			get("receive", c), get("receive", d);
		settle(), type("c", c), type("d", d), mach_port_destroy(self, c), mach_port_destroy(self, d);
	}
}

static void arrays(void)
{
	mach_port_t *names = (void *) page;
	u32 i, k, count;

	section("arrays of rights");
	for (i = MOVE(RECEIVE); i <= MACH_MSG_TYPE_MAKE_SEND_ONCE; i++)
		array(i);
	SENDER
		c = send_port(), names[0] = c;
	try("long, none", 4, LONG_OUT, WIDE(MACH_MSG_TYPE_COPY_SEND, 32), 0, page);
	try("long, one", 4, LONG_OUT, WIDE(MACH_MSG_TYPE_COPY_SEND, 32), 1, page);
	SENDER {
		vm_address_t at = 0;

		vm_allocate(self, &at, PAGE_SIZE, TRUE), *(u32 *) at = c, m.w[3] = at;
	}
	try("long, deallocated", 4, LONG_OUT | MIG_DEALLOCATE, WIDE(MACH_MSG_TYPE_COPY_SEND, 32), 1, m.w[3]);
	try("in line and out", 6, SHORT(MACH_MSG_TYPE_COPY_SEND, 32, 2), c, c, OUT(MACH_MSG_TYPE_MAKE_SEND, 32, 1), page, SHORT(2, 32, 0));
	collect();
	for (i = 16; i <= 1024; i *= 8) {
		SENDER {
			for (k = 0; k < i; k++)
				names[k] = c;
			head(COMPLEX | CS, a, 0, 1), m.w[0] = LONG_OUT, m.w[1] = WIDE(MACH_MSG_TYPE_COPY_SEND, 32), m.w[2] = i, m.w[3] = page;
			say("%u", i), put(" send rights", 40);
		}
		RECEIVER {
			get("receive", a), names = (void *) m.w[3], c = names[0];
			for (k = count = 0; k < m.w[2]; k++)
				count += names[k] == c;
			say("  the same %u of %u\n", count, m.w[2]), type("it", c), mach_port_mod_refs(self, c, MACH_PORT_RIGHT_SEND, -count), vm_deallocate(self, m.w[3], 4 * i);
		}
	}
	SENDER
		mach_port_destroy(self, c);
}

static void long_messages(void)
{
	message_t *l = (void *) page;
	u32 i, count, same;

	section("long messages");
	for (count = 1000; count <= 16000; count *= 4) {
		SENDER {
			fill(l, CS, a, 0, count), l->w[0] = LONG, l->w[1] = WIDE(2, 32), l->w[2] = count;
			for (i = 0; i < count; i++)
				l->w[3 + i] = i * i;
			tell("send", mach_msg(&l->h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, 36 + 4 * count, 0, 0, 0, 0));
		}
		RECEIVER {
			tell("receive", mach_msg(&l->h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, ROOM, a, WAIT, 0));
			for (i = same = 0; i < count; i++)
				same += l->w[3 + i] == i * i;
			say("  size %u words %u as they were %u\n", l->h.msgh_size, l->w[2], same);
		}
	}
}

static void script(void)
{
	types();
	fill_page();
	long_descriptors();
	odd_bodies();
	arrays();
	long_messages();
}
