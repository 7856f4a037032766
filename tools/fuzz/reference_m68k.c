/* Runs single m68k instructions under QEMU, each with its own registers and memory, and says what came of them.
 *
 * A Linux program without a library: m68k-linux-gnu-gcc-12 -m68040 -static -nostdlib -ffreestanding -O1, run by qemu-m68k -cpu m68040.
 * Standard input: the contents of the regions one behind the other, then cases. Standard output: a result for each.
 * Numbers are of 32 bits, big-endian. See reference_m68k.py, which has the same layout. */

typedef unsigned int u32;
typedef unsigned char u8;

#define REGIONS 3
static const struct { u32 address, size; } regions[REGIONS] = { {0x10000, 0x2000}, {0x20000, 0x2000}, {0x40000, 0x2000} };
#define TOTAL 0x6000
#define CODE_MAX 32
#define CHANGES_MAX 256
#define LIBRARIES 0x30000000
#define PROGRAM 0x5a000000
#define PC 16
#define SR 17

/* registers: d0 to d7, a0 to a7, pc, sr. */
struct test { u32 registers[18]; u8 code[CODE_MAX]; };
struct result { u32 signal, code, address, registers[18], changes; };
struct change { u32 address, value; };

struct information { u32 signal, error, code, address; };
struct context { u32 flags, link, stack[3], version, registers[18]; };

static u8 kept[TOTAL], input[1 << 16], output[1 << 16], signal_stack[1 << 16];
static const u32 timer[4] = {0, 0, 1, 0};  /* No case takes a second of the processor, but one that goes to itself. */
static u32 filled, taken, written, running;
static struct test now;

static int call(int number, u32 a, u32 b, u32 c, u32 d) {
    register int d0 __asm__("d0") = number;
    register u32 d1 __asm__("d1") = a;
    register u32 d2 __asm__("d2") = b;
    register u32 d3 __asm__("d3") = c;
    register u32 d4 __asm__("d4") = d;
    __asm__ volatile("trap #0" : "+d"(d0) : "d"(d1), "d"(d2), "d"(d3), "d"(d4) : "memory");
    return d0;
}

static void leave(int status) {
    u32 at = 0;
    while (at < written) {
        int count = call(4, 1, (u32)output + at, written - at, 0);
        if (count <= 0) break;
        at += count;
    }
    written = 0;
    if (status >= 0) call(1, status, 0, 0, 0);
}

static void copy(void *to, const void *from, u32 size) {
    u8 *target = to;
    const u8 *source = from;
    while (size && ((u32)target | (u32)source | size) & 3) {
        *target++ = *source++;
        size--;
    }
    for (; size; size -= 4, target += 4, source += 4) *(volatile u32 *)target = *(const u32 *)source;
}

static void put(const void *from, u32 size) {
    if (written + size > sizeof output) leave(-1);
    copy(output + written, from, size);
    written += size;
}

/* Whether so many bytes came. */
static int get(void *to, u32 size) {
    u8 *place = to;
    while (size) {
        if (taken == filled) {
            int count = call(3, 0, (u32)input, sizeof input, 0);
            if (count <= 0) return 0;
            filled = count;
            taken = 0;
        }
        u32 part = filled - taken < size ? filled - taken : size;
        copy(place, input + taken, part);
        place += part;
        taken += part;
        size -= part;
    }
    return 1;
}

/* Puts the next case into the context that is returned to. Only what differs is written: each store into code costs much. */
static void begin(struct context *context) {
    u8 *image = kept;
    if (!get(&now, sizeof now)) leave(0);
    for (int n = 0; n < REGIONS; n++) {
        for (u32 at = 0; at < regions[n].size; at += 4) {
            volatile u32 *word = (u32 *)(regions[n].address + at);
            u32 apart = (u32)word - now.registers[PC];
            u32 wanted = *(u32 *)(apart < CODE_MAX ? now.code + apart : image + at);
            if (*word != wanted) *word = wanted;
        }
        image += regions[n].size;
    }
    for (int n = 0; n < 18; n++) context->registers[n] = now.registers[n];
    running = 1;
    call(104, 1, (u32)timer, 0, 0);
}

static void end(struct information *information, struct context *context) {
    struct result result;
    struct change changes[CHANGES_MAX];
    u32 *before = (u32 *)kept;
    u32 count = 0;
    result.signal = information->signal;
    result.code = information->code;
    result.address = information->address;
    for (int n = 0; n < 18; n++) result.registers[n] = context->registers[n];
    for (int n = 0; n < REGIONS; n++) {
        for (u32 *word = (u32 *)regions[n].address; (u32)word < regions[n].address + regions[n].size; word++, before++) {
            u32 at = (u32)word - now.registers[PC];
            if (at < CODE_MAX ? *word == *(u32 *)(now.code + at) : *word == *before) continue;
            if (count < CHANGES_MAX) {
                changes[count].address = (u32)word;
                changes[count].value = *word;
            }
            count++;
        }
    }
    result.changes = count < CHANGES_MAX ? count : CHANGES_MAX;
    put(&result, sizeof result);
    put(changes, result.changes * sizeof *changes);
    leave(-1);  /* QEMU may end with the next one. */
}

static void caught(int number, struct information *information, struct context *context) {
    (void)number;
    if (running) {
        end(information, context);
    } else {
        /* The first stack is not part of a case's memory; what handlers return by lies near it. */
        u32 kept_page = (u32)__builtin_return_address(0) & -0x2000;
        call(91, LIBRARIES, kept_page - LIBRARIES, 0, 0);
        call(91, kept_page + 0x2000, PROGRAM - kept_page - 0x2000, 0, 0);
    }
    begin(context);
}

void _start(void) {
    static const int signals[] = {4, 5, 7, 8, 11, 26};
    struct { void *handler; u32 flags; void *restorer; u32 mask[2]; } action = { caught, 0x08000004, 0, {0, 0} };
    struct { void *base; int flags; u32 size; } stack = { signal_stack, 0, sizeof signal_stack };
    for (int n = 0; n < REGIONS; n++) {
        u32 arguments[6] = { regions[n].address, regions[n].size, 7, 0x32, -1, 0 };
        if (call(90, (u32)arguments, 0, 0, 0) != (int)regions[n].address) leave(2);
    }
    if (!get(kept, TOTAL)) leave(2);
    call(186, (u32)&stack, 0, 0, 0);
    for (int n = 0; n < 6; n++) call(174, signals[n], (u32)&action, 0, 8);
    __asm__ volatile("illegal");
    leave(3);
}
