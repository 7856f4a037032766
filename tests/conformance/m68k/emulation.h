/* How an m68k program makes traps that its task may take over, and the handler that takes them. */
#ifndef EMULATION_H
#define EMULATION_H

#include "cpu.h"

volatile u32 seen_d0, seen_d1, seen_number, seen_flags, seen_return, seen_stack, made, before_stack, there;

/* Notes what the kernel left on the stack and goes back behind the trap with 0xbeef as its result. */
extern char handler[], number_in_text[];
asm(".globl handler, number_in_text\n"
    "handler:\n"
    "	move.l %d0,seen_d0\n"
    "	move.l %d1,seen_d1\n"
    "	move.l %sp,seen_stack\n"
    "	move.l (%sp),seen_number\n"
    "	clr.l %d0\n"
    "	move.w 4(%sp),%d0\n"
    "	move.l %d0,seen_flags\n"
    "	move.l 6(%sp),seen_return\n"
    "	addq.l #1,made\n"
    "	move.l #0xbeef,%d0\n"
    "	addq.l #4,%sp\n"
    "	rtr\n"
    "number_in_text:\n"
    "	.long -5\n");

/* A trap with known registers, and where it was made. */
#define CALL(number) ({ \
	u32 got_; \
	asm volatile("clr.l -(%%sp); pea 7.w; pea 6.w; pea 5.w; pea 4.w; pea 3.w; clr.l -(%%sp); clr.l -(%%sp); move.l %%sp,before_stack; " \
		"move.l #0x5678,%%d0; move.l #0x1234,%%d1; move.l #1f,there; 1: move.w #0x15,%%ccr; pea %c1.w; trap #0; lea 32(%%sp),%%sp; move.l %%d0,%0" \
		: "=d"(got_) : "i"(number) : "d0", "d1", "a0", "a1", "memory", "cc"); \
	got_; })
/* There is no other instruction for traps. */
#define WITH_INT80(statement)

static void say_handled(void)
{
	say(" number %x d0 %x d1 %x flags %x stack -%d return +%d", seen_number, seen_d0, seen_d1, seen_flags, before_stack - seen_stack,
		seen_return - there);
}

/* Where an exception found a thread. */
static void say_stopped(thread_t thread)
{
	registers_t s;

	get_registers(thread, &s);
	say(" pc on %c d0 %x", *(unsigned short *) PC(s) == 0x4e40 ? 't' : ' ', s.state.d[0]);
}

/* Trap -5 with no stack below 0x70000000 but for the number, and with one in the text. */
#define CALL_WITHOUT_STACK(result) \
	asm volatile("move.l #0x5678,%%d0; move.l #0x70000004,%%sp; pea -5.w; trap #0; move.l %%d0,%0" : "=m"(result) :: "d0", "memory")
#define CALL_IN_TEXT(result) \
	asm volatile("move.l #0x5678,%%d0; move.l #number_in_text,%%sp; trap #0; move.l %%d0,%0" : "=m"(result) :: "d0", "memory")

#endif
