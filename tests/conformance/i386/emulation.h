/* How an i386 program makes traps that its task may take over, and the handler that takes them. */
#ifndef EMULATION_H
#define EMULATION_H

#include "cpu.h"

volatile u32 seen_eax, seen_ebx, seen_flags, seen_return, seen_stack, made, before_stack;
static u32 there;

/* Notes what the kernel left on the stack, takes it off and goes on behind the trap with 0xbeef as its result. */
extern char handler[];
asm(".globl handler\n"
    "handler:\n"
    "	movl %eax,seen_eax\n"
    "	movl %ebx,seen_ebx\n"
    "	movl %esp,seen_stack\n"
    "	movl (%esp),%eax\n"
    "	movl %eax,seen_flags\n"
    "	movl 4(%esp),%eax\n"
    "	movl %eax,seen_return\n"
    "	incl made\n"
    "	addl $8,%esp\n"
    "	movl $0xbeef,%eax\n"
    "	jmp *seen_return\n");

#define CALL_BY(how, number) ({ \
	u32 got_, there_; \
	asm volatile("pushl $0; pushl $7; pushl $6; pushl $5; pushl $4; pushl $3; pushl $0; pushl $0; movl %%esp,before_stack; " \
		"movl $0x1234,%%ebx; call 1f; 1: popl %1; cmpl %%eax,%%eax; stc; movl %2,%%eax; " how "; addl $32,%%esp" \
		: "=&a"(got_), "=&S"(there_) : "i"(number) : "ebx", "ecx", "edx", "memory", "cc"); \
	there = there_; got_; })
/* A trap with known registers, and where it was made. */
#define CALL(number) CALL_BY("lcall $7,$0", number)
/* The instruction that is a trap, too, where a task takes traps over: what only machines with it do. */
#define INT80(number) CALL_BY("int $0x80", number)
#define WITH_INT80(statement) statement

static void say_handled(void)
{
	say(" eax %x ebx %x flags %x stack -%d return +%d", seen_eax, seen_ebx, seen_flags, before_stack - seen_stack, seen_return - there);
}

/* Where an exception found a thread. */
static void say_stopped(thread_t thread)
{
	registers_t s;

	get_registers(thread, &s);
	say(" eip on %c%c eax %x", *(char *) s.eip == (char) 0xcd ? 'i' : ' ', *(char *) s.eip == (char) 0x9a ? 'l' : ' ', s.eax);
}

/* Trap -5 with no stack below 0x70000000, and with one in the text. */
#define CALL_WITHOUT_STACK(result) \
	asm volatile("movl $0x70000000,%%esp; movl $-5,%%eax; lcall $7,$0; movl %%eax,%0" : "=m"(result) :: "eax")
#define CALL_IN_TEXT(result) \
	asm volatile("movl $handler + 8,%%esp; movl $-5,%%eax; lcall $7,$0; movl %%eax,%0" : "=m"(result) :: "eax")

#endif
