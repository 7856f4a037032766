/* The exceptions of the i386: code that raises each, and what is told of the thread then. */
#ifndef CAUSES_H
#define CAUSES_H

#include "cpu.h"

/* Code that raises an exception, with known registers; a cause has its symbol, so that the place can be told. */
#define CAUSE(name, code) \
	extern char name[]; \
	asm(".globl " #name "\n" #name ":\n movl $0x0a0a0a0a,%eax; movl $0x0b0b0b0b,%ebx; movl $0x0c0c0c0c,%ecx\n" code "\n1: jmp 1b");

CAUSE(divide, "xorl %edx,%edx; xorl %ecx,%ecx; divl %ecx")
CAUSE(divide_far, "movl $0x80000000,%eax; cltd; movl $-1,%ecx; idivl %ecx")
CAUSE(divide_byte, "movw $0x1000,%ax; movb $1,%cl; divb %cl")
CAUSE(aam, "movb $5,%al; aam $0")
CAUSE(into, "movl $0x7fffffff,%eax; addl $1,%eax; into")
CAUSE(no_into, "clc; xorl %eax,%eax; into; ud2")
CAUSE(bounds, "movl $9,%eax; pushl $3; pushl $1; bound %eax,(%esp)")
CAUSE(int3, "int3")
CAUSE(int_3, ".byte 0xcd, 3")
CAUSE(icebp, ".byte 0xf1")
CAUSE(step, "pushfl; orl $0x100,(%esp); popfl; nop; nop; nop")
CAUSE(step_into_call, "pushfl; orl $0x100,(%esp); popfl; jmp 2f; nop; 2: nop")
CAUSE(undefined, "ud2")
CAUSE(undefined_0fff, ".byte 0x0f, 0xff")
CAUSE(lock_nop, ".byte 0xf0, 0x90")
CAUSE(lock_register, ".byte 0xf0, 0x01, 0xc0")
CAUSE(lea_register, ".byte 0x8d, 0xc0")
CAUSE(halt, "hlt")
CAUSE(cli_, "cli")
CAUSE(sti_, "sti")
CAUSE(in_, "inb $0x60,%al")
CAUSE(out_, "outb %al,$0x80")
CAUSE(ins_, "movl $0x60000000,%edi; movw $0x60,%dx; insb")
CAUSE(get_cr0, "movl %cr0,%eax")
CAUSE(set_cr3, "movl %eax,%cr3")
CAUSE(get_dr7, "movl %dr7,%eax")
CAUSE(lgdt_, "lgdt (%esp)")
CAUSE(lldt_, "lldt %ax")
CAUSE(ltr_, "ltr %ax")
CAUSE(lmsw_, "lmsw %ax")
CAUSE(clts_, "clts")
CAUSE(invd_, "invd")
CAUSE(int_0, "int $0")
CAUSE(int_1, "int $1")
CAUSE(int_2, "int $2")
CAUSE(int_4, "int $4")
CAUSE(int_5, "int $5")
CAUSE(int_8, "int $8")
CAUSE(int_14, "int $14")
CAUSE(int_32, "int $32")
CAUSE(int_127, "int $0x7f")
CAUSE(int_128, "int $0x80")
CAUSE(int_255, "int $255")
CAUSE(kernel_selector, "movw $0x10,%ax; movw %ax,%ds")
CAUSE(far_selector, "movw $0x7ff8,%ax; movw %ax,%es")
CAUSE(ldt_selector, "movw $0x7ffc,%ax; movw %ax,%fs")
CAUSE(null_stack, "xorw %ax,%ax; movw %ax,%ss")
CAUSE(code_as_stack, "movw %cs,%ax; movw %ax,%ss")
CAUSE(null_selector, "xorw %ax,%ax; movw %ax,%gs; movl %gs:0,%eax")
CAUSE(write_code, "movl %eax,%cs:0x10000")
CAUSE(far_call, "lcall $0x7f8,$0")
CAUSE(far_call_data, "movw %ds,%ax; pushl $2f; lcall $0x1f,$0; 2:")
CAUSE(far_return, "pushl $0x10; pushl $0; lret")
CAUSE(interrupt_return, "pushfl; pushl $0x10; pushl $0; iret")
CAUSE(nested_task, "pushfl; orl $0x4000,(%esp); popfl; iret")
CAUSE(read_nowhere, "movl 0x60000123,%eax")
CAUSE(write_nowhere, "movl %eax,0x60000123")
CAUSE(run_nowhere, "movl $0x60000123,%eax; jmp *%eax")
CAUSE(read_zero, "movl 0,%eax")
CAUSE(read_kernel, "movl 0xc0001000,%eax")
CAUSE(write_kernel, "movl %eax,0xc0001000")
CAUSE(run_kernel, "movl $0xc0001000,%eax; jmp *%eax")
CAUSE(read_top, "movl 0xfffffffe,%eax")
CAUSE(read_below_kernel, "movl 0xbffffffe,%eax")
CAUSE(push_nowhere, "movl $0x60000100,%esp; pushl %eax")
CAUSE(push_zero, "xorl %esp,%esp; pushl %eax")
CAUSE(push_kernel, "movl $0xc0001000,%esp; pushl %eax")
CAUSE(pop_kernel, "movl $0xc0001000,%esp; popl %eax")
CAUSE(call_nowhere, "movl $0x60000100,%esp; call 2f; 2:")
CAUSE(write_text, "movb $0x90,write_text")
CAUSE(string, "movl $0x60000ffe,%edi; movl $8,%ecx; cld; rep stosb")
CAUSE(x87_zero, "pushl $0x37b; fldcw (%esp); fldz; fld1; fdiv %st(1),%st; fwait")

#define ENTRY(name) { #name, name }
static const struct { const char *name; char *code; } causes[] = {
	ENTRY(divide), ENTRY(divide_far), ENTRY(divide_byte), ENTRY(aam), ENTRY(into), ENTRY(no_into), ENTRY(bounds), ENTRY(int3), ENTRY(int_3), ENTRY(icebp),
	ENTRY(step), ENTRY(step_into_call), ENTRY(undefined), ENTRY(undefined_0fff), ENTRY(lock_nop), ENTRY(lock_register), ENTRY(lea_register),
	ENTRY(halt), ENTRY(cli_), ENTRY(sti_), ENTRY(in_), ENTRY(out_), ENTRY(ins_), ENTRY(get_cr0), ENTRY(set_cr3), ENTRY(get_dr7), ENTRY(lgdt_), ENTRY(lldt_), ENTRY(ltr_), ENTRY(lmsw_), ENTRY(clts_), ENTRY(invd_),
	ENTRY(int_0), ENTRY(int_1), ENTRY(int_2), ENTRY(int_4), ENTRY(int_5), ENTRY(int_8), ENTRY(int_14), ENTRY(int_32), ENTRY(int_127), ENTRY(int_128), ENTRY(int_255),
	ENTRY(kernel_selector), ENTRY(far_selector), ENTRY(ldt_selector), ENTRY(null_stack), ENTRY(code_as_stack), ENTRY(null_selector), ENTRY(write_code), ENTRY(far_call), ENTRY(far_call_data), ENTRY(far_return), ENTRY(interrupt_return), ENTRY(nested_task),
	ENTRY(read_nowhere), ENTRY(write_nowhere), ENTRY(run_nowhere), ENTRY(read_zero), ENTRY(read_kernel), ENTRY(write_kernel), ENTRY(run_kernel), ENTRY(read_top), ENTRY(read_below_kernel),
	ENTRY(push_nowhere), ENTRY(push_zero), ENTRY(push_kernel), ENTRY(pop_kernel), ENTRY(call_nowhere), ENTRY(write_text), ENTRY(string), ENTRY(x87_zero),
};

/* Where a thread stands whose code began at CODE with its stack at TOP; CODE_GIVEN is the exception's. */
static void say_place(thread_t thread, char *code, u32 top, u32 code_given)
{
	registers_t s;

	get_registers(thread, &s);
	say("  eip +%d flags %x", s.eip - (u32) code, s.efl & 0x4700);
	if (code_given != 10)
		say(" eax %x ecx %x", s.eax, s.ecx);
	if (top - s.uesp < 64)
		say(" esp -%d\n", top - s.uesp);
	else
		say(" esp %x\n", s.uesp);
}

#endif
