/* Runs single i386 instructions on the host's processor, each with its own registers and memory, and says what came of them.
 *
 * A Linux program of 32 bits without a library: gcc -m32 -static -nostdlib -ffreestanding -fno-pie -no-pie -O1.
 * Standard input: the contents of the regions one behind the other, then cases. Standard output: a result for each.
 * Numbers are of 32 bits, little-endian. See reference_i386.py, which has the same layout. */

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

#define REGIONS 3
static const struct { u32 address, size; } regions[REGIONS] = { {0x10000, 0x2000}, {0x20000, 0x2000}, {0x40000, 0x2000} };
#define TOTAL 0x6000
#define CODE_MAX 32
#define CHANGES_MAX 256
#define STEPS_MAX 40
#define TRACE 0x100

/* registers: eax, ecx, edx, ebx, esp, ebp, esi, edi; traced: whether a trace trap stops it; media: MM0 to MM7. */
struct test { u32 registers[8], flags, eip, traced; u8 media[64], code[CODE_MAX]; };
struct result { u32 trap, error, address, registers[8], flags, eip; u8 media[64]; u32 changes; };
struct change { u32 address, value; };

struct context {
    u32 uc_flags, uc_link, stack[3];
    u32 gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, trap, error, eip, cs, eflags, esp_at_signal, ss;
    struct { u32 control, status, tags, rest[4]; u8 registers[8][10]; } *fpu;
    u32 mask, cr2;
};

static u8 kept[TOTAL], input[1 << 16], output[1 << 16], signal_stack[1 << 16];
static u32 filled, taken, written, steps, cs, ss, ds;
static struct test now;

static int call(int number, u32 a, u32 b, u32 c, u32 d) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
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
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
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

/* Puts the next case into the context that is returned to. */
static void begin(struct context *context) {
    u8 *image = kept;
    /* The return from a signal leaves the CPUID flag as it is. */
    __asm__ volatile("pushl $0x202; popfl" : : : "memory", "cc");
    if (!get(&now, sizeof now)) leave(0);
    for (int n = 0; n < REGIONS; n++) {
        copy((void *)regions[n].address, image, regions[n].size);
        image += regions[n].size;
    }
    copy((void *)now.eip, now.code, CODE_MAX);
    context->eax = now.registers[0];
    context->ecx = now.registers[1];
    context->edx = now.registers[2];
    context->ebx = now.registers[3];
    context->esp = now.registers[4];
    context->ebp = now.registers[5];
    context->esi = now.registers[6];
    context->edi = now.registers[7];
    context->eip = now.eip;
    context->eflags = now.flags | (now.traced ? TRACE : 0);
    context->cs = cs;
    context->ss = ss;
    context->ds = context->es = context->fs = context->gs = ds;
    context->fpu->control = 0xffff037f;
    context->fpu->status = 0xffff0000;
    context->fpu->tags = 0xffff0000;
    for (int n = 0; n < 8; n++) {
        copy(context->fpu->registers[n], now.media + 8 * n, 8);
        context->fpu->registers[n][8] = context->fpu->registers[n][9] = 0xff;
    }
    steps = 0;
}

static void end(struct context *context) {
    struct result result;
    struct change changes[CHANGES_MAX];
    u32 *before = (u32 *)kept;
    u32 top = context->fpu->status >> 11 & 7;
    u32 count = 0;
    result.trap = context->trap;
    result.error = context->error;
    result.address = context->cr2;
    result.registers[0] = context->eax;
    result.registers[1] = context->ecx;
    result.registers[2] = context->edx;
    result.registers[3] = context->ebx;
    result.registers[4] = context->esp;
    result.registers[5] = context->ebp;
    result.registers[6] = context->esi;
    result.registers[7] = context->edi;
    result.flags = context->eflags;
    result.eip = context->eip;
    for (int n = 0; n < 8; n++) copy(result.media + 8 * n, context->fpu->registers[n - top & 7], 8);
    for (int n = 0; n < REGIONS; n++) {
        for (u32 *word = (u32 *)regions[n].address; (u32)word < regions[n].address + regions[n].size; word++, before++) {
            u32 at = (u32)word - now.eip;
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
}

/* A case is over when a trap or fault came; a repeated instruction, or one that jumps to itself, is traced some times. */
static void caught(int number, void *information, struct context *context) {
    (void)number;
    (void)information;
    if (now.eip) {
        if (context->trap == 1 && now.traced && context->eip == now.eip && ++steps < STEPS_MAX) {
            context->eflags |= TRACE;
            return;
        }
        end(context);
    } else {
        /* The first stack and what the system maps into every process are not part of a case's memory. */
        call(91, 0x10000000, 0xffffe000 - 0x10000000, 0, 0);
        cs = context->cs;
        ss = context->ss;
        ds = context->ds;
    }
    begin(context);
}

static void __attribute__((naked)) restore(void) {
    __asm__ volatile("movl $173, %eax; int $0x80");
}

void start(void) {
    static const int signals[] = {4, 5, 7, 8, 11};
    struct { void *handler; u32 flags; void *restorer; u32 mask[2]; } action = { caught, 0x0c000004, restore, {0, 0} };
    struct { void *base; int flags; u32 size; } stack = { signal_stack, 0, sizeof signal_stack };
    for (int n = 0; n < REGIONS; n++) {
        u32 arguments[6] = { regions[n].address, regions[n].size, 7, 0x32, -1, 0 };
        if (call(90, (u32)arguments, 0, 0, 0) != (int)regions[n].address) leave(2);
    }
    if (!get(kept, TOTAL)) leave(2);
    call(186, (u32)&stack, 0, 0, 0);
    for (int n = 0; n < 5; n++) call(174, signals[n], (u32)&action, 0, 8);
    __asm__ volatile("int3");
    leave(3);
}

void __attribute__((naked)) _start(void) {
    __asm__ volatile("andl $-16, %esp; fninit; call start");
}
