/* Runs single FPU instructions on the host's processor, each from a state of its own, and says what came of it: see floats_i386.py.
 *
 * A Linux program for x86-64: gcc -O1. Standard input: tests; standard output: a result for each. */

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef unsigned int u32;

/* save: as FNSAVE stores it; code: an instruction whose operand is at the address in EBX, and a return. */
struct test { u32 flags, eax; unsigned char save[108], memory[112], code[16]; };
struct result { u32 trapped, flags, eax; unsigned char save[108], memory[112]; };

static sigjmp_buf back;
static unsigned char stack[1 << 16];

static void caught(int number) { (void)number; siglongjmp(back, 1); }

static int get(void *to, size_t size) {
    for (char *place = to; size;) {
        ssize_t count = read(0, place, size);
        if (count <= 0) return 0;
        place += count;
        size -= count;
    }
    return 1;
}

int main(void) {
    static struct test test;
    static struct result result;
    unsigned char *page = mmap((void *)0x10000, 0x2000, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *data = page + 0x1000;
    stack_t other = { stack, 0, sizeof stack };
    struct sigaction action = { .sa_handler = caught, .sa_flags = SA_ONSTACK | SA_NODEFER };
    sigaltstack(&other, 0);
    for (int n = 0; n < 3; n++) sigaction((int[]){SIGFPE, SIGILL, SIGSEGV}[n], &action, 0);
    while (get(&test, sizeof test)) {
        memcpy(page, test.code, sizeof test.code);
        memcpy(data, test.memory, sizeof test.memory);
        result.trapped = 1;
        result.flags = test.flags;
        result.eax = test.eax;
        if (!sigsetjmp(back, 1)) {
            unsigned long flags = test.flags, eax = test.eax;
            __asm__ volatile("fnclex; frstor %2; push %0; popf; call *%4; pushf; pop %0; fnsave %3"
                : "+r"(flags), "+a"(eax) : "m"(test.save), "m"(result.save), "r"((void *)page), "b"(data) : "memory", "cc");
            result.trapped = 0;
            result.flags = flags;
            result.eax = eax;
        } else {
            __asm__ volatile("fninit");
            memcpy(result.save, test.save, sizeof result.save);
        }
        memcpy(result.memory, data, sizeof result.memory);
        if (write(1, &result, sizeof result) != sizeof result) return 1;
    }
    return 0;
}
