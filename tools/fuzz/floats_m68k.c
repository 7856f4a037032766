/* Runs single floating-point instructions under QEMU's m68k, each from a state of its own, and says what came of it: see floats_m68k.py.
 *
 * A Linux program without a library: m68k-linux-gnu-gcc-12 -m68040 -static -nostdlib -ffreestanding -O1, run by qemu-m68k -cpu m68040.
 * Standard input: tests; standard output: a result for each. */

typedef unsigned int u32;
typedef unsigned char u8;

/* registers: fp0 to fp7, 12 bytes each; code: an instruction whose operand is at the address in A0, and a return. */
struct test { u32 control, status, data[2]; u8 registers[96], memory[16], code[16]; };
struct result { u32 control, status, data[2]; u8 registers[96], memory[16]; };

struct test test;
struct result result;
u8 code[32] __attribute__((aligned(16)));

static int call(int number, u32 a, u32 b, u32 c) {
    register int d0 __asm__("d0") = number;
    register u32 d1 __asm__("d1") = a;
    register u32 d2 __asm__("d2") = b;
    register u32 d3 __asm__("d3") = c;
    __asm__ volatile("trap #0" : "+d"(d0) : "d"(d1), "d"(d2), "d"(d3) : "memory");
    return d0;
}

static int all(int number, int file, void *place, int size) {
    for (int done = 0, count; done < size; done += count)
        if ((count = call(number, file, (u32)place + done, size - done)) <= 0) return 0;
    return 1;
}

void _start(void) {
    call(125, (u32)code & -0x2000, 0x4000, 7);
    while (all(3, 0, &test, sizeof test)) {
        for (int n = 0; n < 16; n++) {
            ((volatile u8 *)code)[n] = test.code[n];
            result.memory[n] = test.memory[n];
        }
        register u32 d2 __asm__("d2") = test.data[0];
        register u32 d3 __asm__("d3") = test.data[1];
        __asm__ volatile(
            "lea test+16,%%a0; fmovem.x (%%a0),%%fp0-%%fp7; lea test,%%a0; fmove.l (%%a0),%%fpcr; fmove.l 4(%%a0),%%fpsr;"
            "lea result+112,%%a0; jsr code; lea result,%%a0; fmove.l %%fpsr,4(%%a0); fmove.l %%fpcr,(%%a0);"
            "lea result+16,%%a0; fmovem.x %%fp0-%%fp7,(%%a0)"
            : "+d"(d2), "+d"(d3) : : "a0", "a1", "d0", "d1", "memory", "cc", "fp0", "fp1", "fp2", "fp3", "fp4", "fp5", "fp6", "fp7");
        result.data[0] = d2;
        result.data[1] = d3;
        all(4, 1, &result, sizeof result);
    }
    call(1, 0, 0, 0);
}
