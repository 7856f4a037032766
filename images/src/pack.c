/*
 * A compressor over 4 MiB of words, by which machemu's speed in a real program is measured. It prints GO, packs and prints DONE, so
 * that whoever watches the console can time what lies between; then it holds what it has packed against the words.
 *
 * What is packed is a row of items: a byte N below 128 and N + 1 bytes as they are; or 128 + N and a distance of two bytes, the
 * lower one first, for N + 4 bytes that came so long before.
 */
#include "guest.h"

#define SIZE (4u << 20)
#define FAR 0xFFFFu
#define SHORTEST 4u
#define LONGEST (SHORTEST + 127)
#define LITERALS 128u
#define PLACES (1u << 15)

static uint8_t words[SIZE], packed[SIZE + SIZE / LITERALS + 1];
static uint32_t last_place[PLACES];

static const char *const parts[] = {"port", "task", "thread", "map", "page", "message", "right", "set", "name", "memory", " of a ", " and ",
                                    "s ", ", ", ". ", "The ", "is ", "in ", "kernel", "object", "un", "re", "ed ", "ing ", "\n", "a "};

/* The next of a row of numbers that looks like chance, and is the same each time. */
static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void write_words(void)
{
	uint32_t seed = 0x4D616368, at = 0;

	while (at < SIZE) {
		uint32_t chosen = next(&seed);
		const char *part = parts[(chosen & 31) % (sizeof parts / sizeof *parts)];

		if (chosen >> 27 == 0)
			words[at++] = 'a' + (chosen >> 8 & 15);
		while (*part && at < SIZE)
			words[at++] = *part++;
	}
}

static uint32_t four_bytes(const uint8_t *from)
{
	return from[0] | from[1] << 8 | from[2] << 16 | (uint32_t) from[3] << 24;
}

static uint8_t *literals(uint8_t *out, const uint8_t *from, uint32_t count)
{
	while (count) {
		uint32_t some = count < LITERALS ? count : LITERALS;

		*out++ = some - 1;
		for (count -= some; some; some--)
			*out++ = *from++;
	}
	return out;
}

/* Packs all the words; how many bytes that gives. */
static uint32_t pack(void)
{
	uint8_t *out = packed;
	uint32_t at = 0, kept = 0;

	while (at + LONGEST < SIZE) {
		uint32_t four = four_bytes(words + at);
		uint32_t *place = &last_place[four * 2654435761u >> 17];
		uint32_t before = *place, length = SHORTEST;

		*place = at;
		if (at == before || at - before > FAR || four_bytes(words + before) != four) {
			at++;
			continue;
		}
		while (length < LONGEST && words[before + length] == words[at + length])
			length++;
		out = literals(out, words + kept, at - kept);
		*out++ = LITERALS + length - SHORTEST;
		*out++ = at - before;
		*out++ = at - before >> 8;
		kept = at += length;
	}
	return literals(out, words + kept, SIZE - kept) - packed;
}

/* Whether what was packed gives the words again. */
static int is_right(uint32_t size)
{
	const uint8_t *in = packed, *end = packed + size;
	uint32_t at = 0;

	while (in < end) {
		uint32_t count = *in++, distance = 0;

		if (count >= LITERALS) {
			count += SHORTEST - LITERALS;
			distance = in[0] | in[1] << 8;
			in += 2;
			if (distance == 0 || distance > at)
				return 0;
		} else
			count++;
		for (; count; count--, at++)
			if (at == SIZE || words[at] != (distance ? words[at - distance] : *in++))
				return 0;
	}
	return at == SIZE;
}

int guest_main(void)
{
	uint32_t n, size, sum = 0;

	write_words();
	for (n = 0; n < sizeof packed; n++)
		packed[n] = 0xFF;
	for (n = 0; n < PLACES; n++)
		last_place[n] = 0;
	say("GO\n");
	size = pack();
	say("DONE\n");
	for (n = 0; n < size; n++)
		sum = sum * 31 + packed[n];
	say("%u bytes packed into %u, sum %x\n", SIZE, size, sum);
	say(is_right(size) ? "they are there again\n" : "they are NOT there again\n");
	return 0;
}
