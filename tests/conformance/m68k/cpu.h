/* What conformance modules know of the m68k: its registers, the way into the kernel, and instructions that raise exceptions. */
#ifndef CPU_H
#define CPU_H

#include "guest.h"

/* A function that makes the trap of that number with its arguments. */
#define TRAP(name, number) asm(#name ": pea -" #number ".w\n trap #0\n rts");

/* The flavor with the stack pointer. */
#define GENERAL_STATE m68k_THREAD_STATE
#define GENERAL_STATE_COUNT m68k_THREAD_STATE_COUNT
typedef struct {
	struct m68k_thread_state state;
	struct m68k_exception_frame frame;
} registers_t;
#define PC(registers) ((registers).frame.pc)
#define SP(registers) ((registers).state.a[7])

static kern_return_t get_registers(thread_t thread, registers_t *registers)
{
	mach_msg_type_number_t n = m68k_THREAD_STATE_COUNT;
	kern_return_t result = thread_get_state(thread, m68k_THREAD_STATE, (thread_state_t) &registers->state, &n);

	n = m68k_EXCEPTION_FRAME_COUNT;
	return result ? result : thread_get_state(thread, m68k_EXCEPTION_FRAME, (thread_state_t) &registers->frame, &n);
}

static kern_return_t set_registers(thread_t thread, registers_t *registers)
{
	kern_return_t result = thread_set_state(thread, m68k_THREAD_STATE, (thread_state_t) &registers->state, m68k_THREAD_STATE_COUNT);

	return result ? result : thread_set_state(thread, m68k_EXCEPTION_FRAME, (thread_state_t) &registers->frame, m68k_EXCEPTION_FRAME_COUNT);
}

/* Makes a thread go on SIZE bytes further. */
static kern_return_t skip(thread_t thread, int size)
{
	registers_t registers;

	get_registers(thread, &registers);
	PC(registers) += size;
	return set_registers(thread, &registers);
}

/* Instructions by their names, and how far a thread stands before what follows them. */
#define ILLEGAL "illegal"
#define ILLEGAL_SIZE 2
#define BREAKPOINT "trap #15"
#define PRIVILEGED "move.w #0x2700,%sr"
#define OTHER_TRAP "trap #7"
#define OTHER_TRAP_CODE "trap #7"

/* 1, 2, 3 and 0x1111 in four registers, then a division by zero, and the way on: the processor stands behind the division. */
#define DIVIDE "moveq #1,%%d0; moveq #2,%%d1; moveq #3,%%d2; clr.l %%d4; move.l #0x1111,%%d3; divu.l %%d4,%%d0; 1: bra 1b" ::: "d0", "d1", "d2", "d3", "d4"
#define DIVIDE_SKIP 0

static void say_divided(registers_t *s)
{
	say("  d0 %x d1 %x d2 %x d3 %x\n", s->state.d[0], s->state.d[1], s->state.d[2], s->state.d[3]);
}

/* There are none. */
static void say_selectors(registers_t *s)
{
}

/* Goes on at an address with another stack pointer. */
#define ENTER(stack, pc) asm volatile("movel %0,%%sp; jmp (%1)" :: "a"(stack), "a"(pc))

/* RESULT becomes what a trap gives whose eight arguments are 0. */
#define CALL_TRAP(number, result) \
	asm volatile("clr.l -(%%sp); clr.l -(%%sp); clr.l -(%%sp); clr.l -(%%sp); clr.l -(%%sp); clr.l -(%%sp); clr.l -(%%sp); clr.l -(%%sp); clr.l -(%%sp); pea %c1; trap #0; lea 36(%%sp),%%sp; move.l %%d0,%0" \
		: "=m"(result) : "i"(number) : "d0", "memory")
/* The same with the arguments from 0x70000000 on, where the number still finds room below. */
#define CALL_TRAP_NOWHERE(number, result) \
	asm volatile("move.l #0x70000000,%%sp; pea %c1; trap #0; move.l %%d0,%0" : "=m"(result) : "i"(number) : "d0", "memory")

#endif
