/* Unicorn's functions for the i386's floating-point instructions, done by the host's own x87: values, flags, stack faults, exceptions.
 *
 * tools/x87.py makes machemu/machine/i386/x87.bin of it; machine/i386/x87.py puts that into Unicorn's place, and says what is where.
 * Unicorn calls one or a few of these for an instruction. The first one raises an exception that is pending (`waits`). Exceptions are
 * those of the host's status word; an unmasked one leaves the operands as they are, and then nothing is popped and nothing is stored. */

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

/* A register: ten bytes, and in FT0 the exceptions of what was loaded there. */
typedef struct { u64 low; u16 high, flags; u32 rest; } number;
/* CPUX86State of Unicorn 2.1.4. mark: what the instruction's first function leaves to the next one. */
typedef struct {
    u8 before[0x98];
    u64 cc_src, cc_dst;
    u32 cc_op;
    u8 others[0x25c - 0xac];
    u32 top;
    u16 status, control;
    u8 tags[8], gap[4];
    number registers[8];
    u8 more[0x308 - 0x2f0], rounding[8];
    number ft0;
} state;

/* Unicorn's own functions, which Python fills in. */
__attribute__((section(".table"), used)) static struct {
    void (*raise)(state *, int, u64);
    u64 (*load64)(state *, u32, u64);
    u32 (*load16)(state *, u32, u64);
    void (*store64)(state *, u32, u64, u64);
    void (*store16)(state *, u32, u32, u64);
    u32 (*flags)(state *, u32);
    void (*update_rounding)(state *);
    void (*initialize)(state *);
    void (*store_environment)(state *, u32, int, u64);
    void (*load_environment)(state *, u32, int, u64);
} unicorn;

enum { INVALID = 1, DENORMAL = 2, ZERO_DIVIDE = 4, INEXACT = 0x20, STACK = 0x40, SUMMARY = 0x80, C0 = 0x100, C1 = 0x200, C2 = 0x400, C3 = 0x4000, BUSY = 0x8000 };
#define QUIET (1UL << 62)
enum { CONDITIONS = C0 | C1 | C2 | C3, EXCEPTIONS = 0x3f };
/* Those that leave memory as it was. */
enum { REFUSED = 1 | 8 | 16 };
enum { PUSHED_INDEFINITE = 1, NOT_PUSHED = 2, PUSHED = 4 };
enum { PENDING = 16, NOT_STORED = 0x55 };
#define ENTRY __attribute__((used, noinline)) void
#define CALLER ((u64) __builtin_return_address(0))
/* The host's own control word, as its programs have it. */
static const u16 usual = 0x37f;
static const number indefinite = { 0xc000000000000000, 0xffff, 0, 0 };

#define ST(n) (&e->registers[(e->top + (n)) & 7])
#define TAG(n) (e->tags[(e->top + (n)) & 7])
#define MARK (e->ft0.rest)

static inline void waits(state *e, u64 caller) { if (e->status & SUMMARY) unicorn.raise(e, PENDING, caller); }

static inline int is_unmasked(const state *e, u16 found) { return found & ~e->control & EXCEPTIONS; }

/* Adds exceptions to the status word, and takes C1 from it; whether one is unmasked. */
static inline int note(state *e, u16 found) {
    e->status = (e->status & ~C1) | (found & (C1 | STACK | EXCEPTIONS));
    if (!is_unmasked(e, found)) return 0;
    e->status |= SUMMARY | BUSY;
    return 1;
}

/* An empty register was taken, or a full one was to be filled (c1): whether the instruction is to go on with an indefinite. */
static inline int fault(state *e, u16 c1) { return !note(e, INVALID | STACK | c1); }

static inline void put(state *e, int n, const number *value) {
    ST(n)->low = value->low;
    ST(n)->high = value->high;
    TAG(n) = 0;
}

static inline void push(state *e, const number *value) { e->top = (e->top - 1) & 7; put(e, 0, value); }

static inline void pop(state *e) { TAG(0) = 1; e->top = (e->top + 1) & 7; }

/* Code for the host's x87 with the guest's control word: it loads, and leaves one number for `into`. No host instruction that waits
 * comes before the host's exceptions are cleared. */
#define RUN(load, code, into, sw, drop) do { \
    ready(e); \
    __asm__ volatile("fldcw %[cw]; " load code CLEAR "fstpt %[d]; " drop "fldcw %[usual]" \
        : [d] "=m"(into), [sw] "=&a"(sw) : [a] "m"(a), [b] "m"(b), [cw] "m"(e->control), [usual] "m"(usual), [apart] "cd"(apart(e))); } while (0)

/* Clearing the host's exceptions takes longer than an addition. So it is left out where only the result's rounding is told, and all
 * exceptions are masked: where the guest's status word says so already, that does no harm; otherwise the next one begins by it. */
#define CLEAR "; fnstsw %%ax; testb %b[apart], %%al; jz 1f; fnclex; 1: "
static inline u8 apart(state *e) { return (e->control & EXCEPTIONS) == EXCEPTIONS ? EXCEPTIONS & ~INEXACT : EXCEPTIONS | SUMMARY; }
static inline void ready(state *e) {
    u16 sw;
    if (e->status & INEXACT && (e->control & EXCEPTIONS) == EXCEPTIONS) return;
    __asm__ volatile("fnstsw %%ax; testb $0x3f, %%al; jz 1f; fnclex; 1:" : "=a"(sw));
}

typedef struct { u64 low; u16 high; } __attribute__((packed, aligned(2))) ten;

static inline ten ten_of(const number *n) { ten t = { n->low, n->high }; return t; }
static inline void set(number *n, ten t) { n->low = t.low; n->high = t.high; }

enum { ADD, MUL, SUB, SUBR, DIV, DIVR, SCALE, PREM, PREM1 };

/* a OP b into a number; its status word. */
static inline u16 binary(state *e, int op, const number *first, const number *second, number *into) {
    ten a = ten_of(first), b = ten_of(second), d;
    u16 sw;
#define CASE(name, code) case name: RUN("fldt %[b]; fldt %[a]; ", code, d, sw, "fstp %%st(0); "); break;
    switch (op) {
    CASE(ADD, "fadd %%st(1), %%st")
    CASE(MUL, "fmul %%st(1), %%st")
    CASE(SUB, "fsub %%st(1), %%st")
    CASE(SUBR, "fsubr %%st(1), %%st")
    CASE(DIV, "fdiv %%st(1), %%st")
    CASE(DIVR, "fdivr %%st(1), %%st")
    CASE(SCALE, "fscale")
    CASE(PREM, "fprem")
    default: RUN("fldt %[b]; fldt %[a]; ", "fprem1", d, sw, "fstp %%st(0); ");
    }
    set(into, d);
    return sw;
}

static inline int is_nan(const number *n) { return (n->high & 0x7fff) == 0x7fff && n->low << 1; }

/* Whether a NaN, what is no number, or a division by zero comes before an operand in memory that is denormal. */
static inline int comes_first(const number *n, int op) {
    u16 power = n->high & 0x7fff;
    if (power == 0x7fff) return n->low != 1UL << 63;
    return power ? !(n->low >> 63) : op == DIVR && !n->low;
}

static inline void arithmetic(state *e, int op, int n, const number *operand, int is_empty, u16 loaded) {
    number result;
    if (TAG(n) || is_empty) {
        if (op == PREM || op == PREM1) e->status &= ~C2;
        if (fault(e, 0)) put(e, n, &indefinite);
        return;
    }
    if (loaded & DENORMAL && comes_first(ST(n), op)) loaded &= ~DENORMAL;
    if (is_unmasked(e, loaded & ~INVALID)) {
        note(e, loaded);
        return;
    }
    number other = *operand;
    if (loaded & INVALID) other.low &= ~QUIET;  /* Of a signaling and a quiet NaN the quiet one is the result. */
    u16 sw = binary(e, op, ST(n), &other, &result);
    note(e, sw | loaded);
    put(e, n, &result);
    if (op == PREM || op == PREM1) {
        int has_none = sw & INVALID || is_unmasked(e, sw & DENORMAL) || is_nan(&result);
        e->status = (e->status & ~(has_none ? C2 : CONDITIONS)) | (has_none ? 0 : sw & CONDITIONS);
    }
}

#define ARITHMETIC(name, op) \
    ENTRY f##name##_ST0_FT0(state *e) { arithmetic(e, op, 0, &e->ft0, e->ft0.flags & STACK, e->ft0.flags & EXCEPTIONS); } \
    ENTRY f##name##_STN_ST0(state *e, int n) { waits(e, CALLER); arithmetic(e, op, n, ST(0), TAG(0), 0); }
ARITHMETIC(add, ADD)
ARITHMETIC(mul, MUL)
ARITHMETIC(sub, SUB)
ARITHMETIC(subr, SUBR)
ARITHMETIC(div, DIV)
ARITHMETIC(divr, DIVR)
#define OF_ST1(name, op) ENTRY name(state *e) { waits(e, CALLER); arithmetic(e, op, 0, ST(1), TAG(1), 0); }
OF_ST1(fscale, SCALE)
OF_ST1(fprem, PREM)
OF_ST1(fprem1, PREM1)

/* Loads into FT0: the exceptions count when the instruction's own function comes. */
#define FLOATED(load, value) \
    ten d; u16 sw; \
    __asm__ volatile(load " %[v]; fnstsw %%ax; testb $0x1f, %%al; jz 1f; fnclex; 1: fstpt %[d]" : [d] "=m"(d), [sw] "=&a"(sw) : [v] "m"(value)); \
    sw &= EXCEPTIONS & ~INEXACT
#define LOAD_FT0(name, type, load) ENTRY name(state *e, type value) { \
    waits(e, CALLER); FLOATED(load, value); set(&e->ft0, d); e->ft0.flags = sw & EXCEPTIONS; }
LOAD_FT0(flds_FT0, u32, "flds")
LOAD_FT0(fldl_FT0, u64, "fldl")
LOAD_FT0(fildl_FT0, u32, "fildl")
ENTRY fmov_FT0_STN(state *e, int n) { waits(e, CALLER); e->ft0 = *ST(n); e->ft0.flags = TAG(n) ? STACK : 0; MARK = 0; }
ENTRY fldz_FT0(state *e) { waits(e, CALLER); e->ft0.low = 0; e->ft0.high = e->ft0.flags = 0; }

static inline void load(state *e, ten value, u16 found) {
    number n = { value.low, value.high, 0, 0 };
    if (!TAG(-1)) {
        if (fault(e, C1)) push(e, &indefinite);
    } else {
        note(e, found & EXCEPTIONS);
        if (!is_unmasked(e, found & INVALID)) push(e, &n);
    }
}
#define LOAD_ST0(name, type, how) ENTRY name(state *e, type value) { waits(e, CALLER); FLOATED(how, value); load(e, d, sw); }
LOAD_ST0(flds_ST0, u32, "flds")
LOAD_ST0(fldl_ST0, u64, "fldl")
LOAD_ST0(fildl_ST0, u32, "fildl")
LOAD_ST0(fildll_ST0, u64, "fildll")

ENTRY fldt_ST0(state *e, u32 address) {
    waits(e, CALLER);
    ten value;
    value.low = unicorn.load64(e, address, CALLER);
    value.high = unicorn.load16(e, address + 8, CALLER);
    load(e, value, 0);
}

ENTRY fbld_ST0(state *e, u32 address) {
    waits(e, CALLER);
    ten value;
    value.low = unicorn.load64(e, address, CALLER);
    value.high = unicorn.load16(e, address + 8, CALLER);
    FLOATED("fbld", value);
    load(e, d, sw);
}

/* Constants and copies of registers come behind a push, conditional moves do not. */
ENTRY fpush(state *e) {
    waits(e, CALLER);
    MARK = 0;
    if (!TAG(-1)) MARK = fault(e, C1) ? PUSHED_INDEFINITE : NOT_PUSHED;
    else e->status &= ~C1;
    if (MARK != NOT_PUSHED) push(e, &indefinite);
    if (!MARK) MARK = PUSHED;
}

#define CONSTANT(name, code) ENTRY name##_ST0(state *e) { \
    u32 mark = MARK; \
    MARK = 0; \
    if (mark != PUSHED) return; \
    ten d; \
    __asm__ volatile("fldcw %[cw]; " code "; fldcw %[usual]; fstpt %[d]" : [d] "=m"(d) : [cw] "m"(e->control), [usual] "m"(usual)); \
    set(ST(0), d); }
CONSTANT(fld1, "fld1")
CONSTANT(fldl2t, "fldl2t")
CONSTANT(fldl2e, "fldl2e")
CONSTANT(fldpi, "fldpi")
CONSTANT(fldlg2, "fldlg2")
CONSTANT(fldln2, "fldln2")
CONSTANT(fldz, "fldz")

ENTRY fmov_ST0_STN(state *e, int n) {
    u32 mark = MARK;
    MARK = 0;
    if (mark == PUSHED_INDEFINITE || mark == NOT_PUSHED) {
        if (TAG(mark == NOT_PUSHED ? n - 1 : n)) e->status &= ~C1;  /* To take nothing comes before to push onto something. */
        return;
    }
    if (mark == 0) {
        waits(e, CALLER);
        if (TAG(0) || TAG(n)) {
            if (fault(e, 0)) put(e, 0, &indefinite);
        } else {
            e->status &= ~C1;
            put(e, 0, ST(n));
        }
    } else if (n & 7 && !TAG(n)) put(e, 0, ST(n));
    else if (!fault(e, 0)) pop(e);
}

ENTRY fmov_STN_ST0(state *e, int n) {
    waits(e, CALLER);
    if (TAG(0)) {
        if (fault(e, 0)) put(e, n, &indefinite);
        return;
    }
    e->status &= ~C1;
    put(e, n, ST(0));
}

ENTRY fxchg_ST0_STN(state *e, int n) {
    waits(e, CALLER);
    if ((TAG(0) || TAG(n)) && !fault(e, 0)) return;
    if (!TAG(0) && !TAG(n)) e->status &= ~C1;
    number one = TAG(0) ? indefinite : *ST(0), other = TAG(n) ? indefinite : *ST(n);
    put(e, 0, &other);
    put(e, n, &one);
}

/* Behind an exception that kept the instruction from its result nothing is popped: before the instruction none was pending. */
ENTRY fpop(state *e) { if (!is_unmasked(e, e->status & (INVALID | DENORMAL | ZERO_DIVIDE))) pop(e); }
ENTRY ffree_STN(state *e, int n) { waits(e, CALLER); TAG(n) = 1; }
ENTRY fdecstp(state *e) { waits(e, CALLER); e->top = (e->top - 1) & 7; e->status &= ~C1; }
ENTRY fincstp(state *e) { waits(e, CALLER); e->top = (e->top + 1) & 7; e->status &= ~C1; }

/* Comparisons: the host's conditions, unless the exception is unmasked. They round nothing. */
#define COMPARED "; fnstsw %%ax; testb $0x1f, %%al; jz 1f; fnclex; 1: fstp %%st(0); fstp %%st(0)"
#define COMPARE(name, code) ENTRY name##_ST0_FT0(state *e) { \
    u16 loaded = e->ft0.flags, sw; \
    if (TAG(0) || loaded & STACK) { \
        if (fault(e, 0)) e->status |= C0 | C2 | C3; \
        return; \
    } \
    if (loaded & DENORMAL && comes_first(ST(0), ADD)) loaded &= ~DENORMAL; \
    if (is_unmasked(e, loaded)) { note(e, loaded); return; } \
    ten a = ten_of(ST(0)), b = ten_of(&e->ft0); \
    __asm__ volatile("fldt %[b]; fldt %[a]; " code COMPARED \
        : [sw] "=&a"(sw) : [a] "m"(a), [b] "m"(b)); \
    if (!note(e, (sw & (INVALID | DENORMAL)) | loaded)) e->status = (e->status & ~(C0 | C2 | C3)) | (sw & (C0 | C2 | C3)); }
COMPARE(fcom, "fcom %%st(1)")
COMPARE(fucom, "fucom %%st(1)")

#define COMPARE_FLAGS(name, code) ENTRY name##_ST0_FT0(state *e) { \
    u16 sw; u8 z = 1, p = 1, c = 1; \
    int is_set; \
    if (TAG(0) || e->ft0.flags & STACK) is_set = fault(e, 0); \
    else { \
        ten a = ten_of(ST(0)), b = ten_of(&e->ft0); \
        __asm__ volatile("fldt %[b]; fldt %[a]; " code "; setz %[z]; setp %[p]; setc %[c]" COMPARED \
            : [sw] "=&a"(sw), [z] "=m"(z), [p] "=m"(p), [c] "=m"(c) : [a] "m"(a), [b] "m"(b) : "cc"); \
        is_set = !note(e, sw & (INVALID | DENORMAL)); \
    } \
    u32 flags = unicorn.flags(e, e->cc_op); \
    if (is_set) flags = (flags & ~0x8d5) | z << 6 | p << 2 | c; \
    e->cc_src = flags; }
COMPARE_FLAGS(fcomi, "fcomi %%st(1), %%st")
COMPARE_FLAGS(fucomi, "fucomi %%st(1), %%st")

/* Functions of one number. */
#define UNARY(name, code) ENTRY name(state *e) { \
    waits(e, CALLER); \
    if (TAG(0)) { \
        if (fault(e, 0)) put(e, 0, &indefinite); \
        return; \
    } \
    ten a = ten_of(ST(0)), b = a, d; u16 sw; \
    RUN("fldt %[a]; ", code, d, sw, ""); \
    note(e, sw); \
    set(ST(0), d); }
UNARY(fsqrt, "fsqrt")
UNARY(frndint, "frndint")
UNARY(fchs_ST0, "fchs")
UNARY(fabs_ST0, "fabs")

ENTRY fxam_ST0(state *e) {
    waits(e, CALLER);
    ten a = ten_of(ST(0));
    u16 sw;
    __asm__ volatile("fldt %[a]; fxam; fnstsw %[sw]; fstp %%st(0)" : [sw] "=m"(sw) : [a] "m"(a));
    if (TAG(0)) sw = (sw & C1) | C0 | C3;
    e->status = (e->status & ~CONDITIONS) | (sw & CONDITIONS);
}

ENTRY fxtract(state *e) {
    waits(e, CALLER);
    int is_full = !TAG(-1);
    if (TAG(0) || is_full) {
        if (!fault(e, TAG(0) ? 0 : C1)) return;
        put(e, 0, &indefinite);
        push(e, &indefinite);
        return;
    }
    ten a = ten_of(ST(0)), fraction, power;
    u16 sw;
    __asm__ volatile("fldt %[a]; fxtract; fnstsw %[sw]; fnclex; fstpt %[f]; fstpt %[p]"
        : [f] "=m"(fraction), [p] "=m"(power), [sw] "=m"(sw) : [a] "m"(a));
    if (note(e, sw & (INVALID | DENORMAL | ZERO_DIVIDE))) return;
    number n = { fraction.low, fraction.high, 0, 0 };
    set(ST(0), power);
    push(e, &n);
}

#include "x87_functions.h"

/* C2: the operand is out of range, and stays. */
#define FUNCTION(name, conditions) ENTRY name(state *e) { \
    waits(e, CALLER); \
    if (TAG(0)) { \
        e->status &= ~(conditions); \
        if (fault(e, 0)) put(e, 0, &indefinite); \
        return; \
    } \
    ten a = ten_of(ST(0)), b = a, d; \
    u16 sw = name##_of(e, &a, &d); \
    if (sw == HOSTS) RUN("fldt %[a]; ", #name, d, sw, ""); \
    note(e, sw); \
    e->status = (e->status & ~(conditions)) | (sw & (conditions)); \
    set(ST(0), d); }
FUNCTION(f2xm1, 0)
FUNCTION(fsin, C2)
FUNCTION(fcos, C2)

/* Two results: the second one is pushed. */
#define PUSHING(name) ENTRY name(state *e) { \
    waits(e, CALLER); \
    if (TAG(0) || !TAG(-1)) { \
        e->status &= ~C2; \
        if (!fault(e, TAG(0) ? 0 : C1)) return; \
        put(e, 0, &indefinite); \
        push(e, &indefinite); \
        return; \
    } \
    ten a = ten_of(ST(0)), first, second; \
    u16 sw = name##_of(e, &a, &first, &second); \
    int is_hosts = sw == HOSTS; \
    if (is_hosts) { \
        ready(e); \
        __asm__ volatile("fldcw %[cw]; fldt %[a]; " #name "; fnstsw %[sw]; fnclex; fldcw %[usual]; fstpt %[first]" \
            : [first] "=m"(first), [sw] "=m"(sw) : [a] "m"(a), [cw] "m"(e->control), [usual] "m"(usual)); \
    } \
    note(e, sw); \
    e->status = (e->status & ~C2) | (sw & C2); \
    if (sw & C2 || is_unmasked(e, sw & (INVALID | DENORMAL))) return; \
    if (is_hosts) __asm__ volatile("fstpt %[second]" : [second] "=m"(second)); \
    number pushed = { first.low, first.high, 0, 0 }; \
    set(ST(0), second); \
    push(e, &pushed); }
PUSHING(fptan)
PUSHING(fsincos)

/* Of two numbers; the first one is popped. */
#define POPPING(name) ENTRY name(state *e) { \
    waits(e, CALLER); \
    if (TAG(0) || TAG(1)) { \
        if (!fault(e, 0)) return; \
        put(e, 1, &indefinite); \
        pop(e); \
        return; \
    } \
    ten a = ten_of(ST(0)), b = ten_of(ST(1)), d; \
    u16 sw = name##_of(e, &a, &b, &d); \
    int is_hosts = sw == HOSTS; \
    if (is_hosts) { \
        ready(e); \
        __asm__ volatile("fldcw %[cw]; fldt %[b]; fldt %[a]; " #name "; fnstsw %[sw]; fnclex; fldcw %[usual]; fstpt %[d]" \
            : [d] "=m"(d), [sw] "=m"(sw) : [a] "m"(a), [b] "m"(b), [cw] "m"(e->control), [usual] "m"(usual)); \
    } \
    note(e, sw); \
    if (is_unmasked(e, sw & (INVALID | DENORMAL | ZERO_DIVIDE))) { \
        if (is_hosts) __asm__ volatile("fstp %st(0)"); \
        return; \
    } \
    set(ST(1), d); \
    pop(e); }
POPPING(fpatan)
POPPING(fyl2x)
POPPING(fyl2xp1)

/* Stores: where an exception is unmasked that keeps Unicorn's translation from storing, Python goes on behind the instruction. */
#define STORE(name, type, none, code) __attribute__((used, noinline)) type name##_ST0(state *e) { \
    waits(e, CALLER); \
    type result = none; \
    u16 sw = INVALID | STACK, all = e->control | EXCEPTIONS; \
    (void)all; \
    if (!TAG(0)) { \
        ten a = ten_of(ST(0)); \
        ready(e); \
        __asm__ volatile(code "fldcw %[usual]" : [r] "+m"(result), [sw] "=&a"(sw) \
            : [a] "m"(a), [cw] "m"(e->control), [all] "m"(all), [usual] "m"(usual), [apart] "cd"(apart(e))); \
    } \
    if (note(e, sw) && is_unmasked(e, sw & REFUSED)) unicorn.raise(e, NOT_STORED, CALLER); \
    return result; }
STORE(fsts, u32, 0xffc00000, "fldcw %[cw]; fldt %[a]; fsts %[r]" CLEAR "fstp %%st(0); ")
STORE(fstl, u64, 0xfff8000000000000, "fldcw %[cw]; fldt %[a]; fstl %[r]" CLEAR "fstp %%st(0); ")
STORE(fist, short, -0x8000, "fldcw %[all]; fldt %[a]; fistps %[r]" CLEAR)
STORE(fistl, int, 0x80000000, "fldcw %[all]; fldt %[a]; fistpl %[r]" CLEAR)
STORE(fistll, u64, 0x8000000000000000, "fldcw %[all]; fldt %[a]; fistpll %[r]" CLEAR)

ENTRY fstt_ST0(state *e, u32 address) {
    waits(e, CALLER);
    const number *n = ST(0);
    if (TAG(0)) {
        if (!(e->control & INVALID)) {
            fault(e, 0);
            return;
        }
        n = &indefinite;
    }
    u64 low = n->low;
    u16 high = n->high;
    unicorn.store64(e, address, low, CALLER);
    unicorn.store16(e, address + 8, high, CALLER);
    if (TAG(0)) fault(e, 0);
    else e->status &= ~C1;
}

ENTRY fbst_ST0(state *e, u32 address) {
    waits(e, CALLER);
    ten d = { 0xc000000000000000, 0xffff };
    u16 sw = INVALID | STACK, all = e->control | EXCEPTIONS;
    if (!TAG(0)) {
        ten a = ten_of(ST(0));
        ready(e);
        __asm__ volatile("fldt %[a]; fldcw %[all]; fbstp %[d]; fnstsw %[sw]; fnclex; fldcw %[usual]"
            : [d] "=m"(d), [sw] "=m"(sw) : [a] "m"(a), [all] "m"(all), [usual] "m"(usual));
    }
    if (sw & ~e->control & INVALID) {
        note(e, sw);
        return;
    }
    unicorn.store64(e, address, d.low, CALLER);
    unicorn.store16(e, address + 8, d.high, CALLER);
    note(e, sw);
}

ENTRY fldcw(state *e, u32 value) {
    waits(e, CALLER);
    e->control = value;
    unicorn.update_rounding(e);
    if (is_unmasked(e, e->status)) e->status |= SUMMARY | BUSY;
}

/* What an environment that is loaded says of exceptions is pending; one that is stored leaves all of them masked. */
static inline void recall(state *e) {
    e->status &= ~(SUMMARY | BUSY);
    if (is_unmasked(e, e->status)) e->status |= SUMMARY | BUSY;
}

/* The upper halves of its words, which are reserved, are ones on the processor. */
static inline void store_environment(state *e, u32 address, int wide, u64 caller) {
    static const u8 reserved[] = { 2, 6, 10, 26 };
    unicorn.store_environment(e, address, wide, caller);
    if (wide) for (int n = 0; n < 4; n++) unicorn.store16(e, address + reserved[n], 0xffff, caller);
}

ENTRY fsave(state *e, u32 address, int wide) {
    u32 at = address + (14 << wide);
    store_environment(e, address, wide, CALLER);
    for (int n = 0; n < 8; n++, at += 10) {
        unicorn.store64(e, at, ST(n)->low, CALLER);
        unicorn.store16(e, at + 8, ST(n)->high, CALLER);
    }
    unicorn.initialize(e);
}

ENTRY fstenv(state *e, u32 address, int wide) {
    store_environment(e, address, wide, CALLER);
    e->control |= EXCEPTIONS;
    e->status &= ~(SUMMARY | BUSY);
}

ENTRY fldenv(state *e, u32 address, int wide) {
    waits(e, CALLER);
    unicorn.load_environment(e, address, wide, CALLER);
    recall(e);
}

ENTRY frstor(state *e, u32 address, int wide) {
    waits(e, CALLER);
    ten kept[8];
    u32 at = address + (14 << wide);
    for (int n = 0; n < 8; n++, at += 10) {
        kept[n].low = unicorn.load64(e, at, CALLER);
        kept[n].high = unicorn.load16(e, at + 8, CALLER);
    }
    unicorn.load_environment(e, address, wide, CALLER);
    for (int n = 0; n < 8; n++) set(ST(n), kept[n]);
    recall(e);
}

ENTRY enter_mmx(state *e) { waits(e, CALLER); e->top = 0; *(u64 *) e->tags = 0; }
ENTRY emms(state *e) { waits(e, CALLER); *(u64 *) e->tags = 0x0101010101010101; }

/* Before the engine is started: what other code has left in the host's status word is none of the guest's. */
ENTRY forget(void) { __asm__ volatile("fnclex"); }
