/* What conformance modules know of the i386: its registers, the way into the kernel, and instructions that raise exceptions. */
#ifndef CPU_H
#define CPU_H

#include "guest.h"

/* A function that makes the trap of that number with its arguments. */
#define TRAP(name, number) asm(#name ": movl $-" #number ", %eax\n lcall $7, $0\n ret");

/* The flavor with pc and stack pointer. */
#define GENERAL_STATE i386_REGS_SEGS_STATE
#define GENERAL_STATE_COUNT i386_THREAD_STATE_COUNT
typedef struct i386_thread_state registers_t;
#define PC(registers) ((registers).eip)
#define SP(registers) ((registers).uesp)

static kern_return_t get_registers(thread_t thread, registers_t *registers)
{
	mach_msg_type_number_t n = GENERAL_STATE_COUNT;

	return thread_get_state(thread, GENERAL_STATE, (thread_state_t) registers, &n);
}

static kern_return_t set_registers(thread_t thread, registers_t *registers)
{
	return thread_set_state(thread, GENERAL_STATE, (thread_state_t) registers, GENERAL_STATE_COUNT);
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
#define ILLEGAL "ud2"
#define ILLEGAL_SIZE 2
#define BREAKPOINT "int3"
#define PRIVILEGED "cli"
#define OTHER_TRAP "int 0x77"
#define OTHER_TRAP_CODE "int $0x77"

/* 1, 2, 3 and 0x1111 in four registers, then a division by zero, and the way on. */
#define DIVIDE "movl $1,%%eax; movl $2,%%ebx; movl $3,%%ecx; xorl %%edx,%%edx; movl $0x1111,%%esi; divl %%edx; 1: jmp 1b" ::: "eax", "ebx", "ecx", "edx", "esi"
#define DIVIDE_SKIP 2

static void say_divided(registers_t *s)
{
	say("  eax %x ebx %x ecx %x esi %x\n", s->eax, s->ebx, s->ecx, s->esi);
}

static void say_selectors(registers_t *s)
{
	say(" cs %x ss %x", s->cs & 0xffff, s->ss & 0xffff);
}

/* Goes on at an address with another stack pointer. */
#define ENTER(stack, pc) asm volatile("movl %0,%%esp; jmp *%1" :: "r"(stack), "r"(pc))

/* RESULT becomes what a trap gives whose eight arguments are 0. */
#define CALL_TRAP(number, result) \
	asm volatile("pushl $0; pushl $0; pushl $0; pushl $0; pushl $0; pushl $0; pushl $0; pushl $0; pushl $0; movl %1,%%eax; lcall $7,$0; addl $36,%%esp; movl %%eax,%0" \
		: "=m"(result) : "i"(number) : "eax", "ecx", "edx", "memory")
/* The same with the arguments from 0x70000000 on. */
#define CALL_TRAP_NOWHERE(number, result) \
	asm volatile("movl $0x70000000,%%esp; movl %1,%%eax; lcall $7,$0; movl %%eax,%0" : "=m"(result) : "i"(number) : "eax")

#endif
