/* The exceptions of the m68k: code that raises each, and what is told of the thread then. */
#ifndef CAUSES_H
#define CAUSES_H

#include "cpu.h"

/* Code that raises an exception, with known registers; a cause has its symbol, so that the place can be told. */
#define CAUSE(name, code) \
	extern char name[]; \
	asm(".globl " #name "\n" #name ":\n move.l #0x0a0a0a0a,%d0; move.l #0x0b0b0b0b,%d1; move.l #0x0c0c0c0c,%d2\n" code "\n1: bra 1b");

CAUSE(divide, "moveq #0,%d1; divu.w %d1,%d0")
CAUSE(divide_signed, "moveq #0,%d1; divs.w %d1,%d0")
CAUSE(divide_long, "moveq #0,%d1; divs.l %d1,%d0")
CAUSE(divide_far, "moveq #1,%d1; divu.w %d1,%d0; illegal")
CAUSE(check_above, "moveq #5,%d1; chk.w %d1,%d0")
CAUSE(check_below, "moveq #-1,%d0; chk.w %d1,%d0")
CAUSE(check_long, "moveq #5,%d1; chk.l %d1,%d0")
CAUSE(check_within, "moveq #3,%d0; moveq #5,%d1; chk.w %d1,%d0; illegal")
CAUSE(check_bounds, "moveq #9,%d1; move.l %d1,-(%sp); moveq #1,%d1; move.l %d1,-(%sp); chk2.l (%sp),%d0")
CAUSE(overflow, "move.l #0x7fffffff,%d1; addq.l #1,%d1; trapv")
CAUSE(no_overflow, "moveq #1,%d1; addq.l #1,%d1; trapv; illegal")
CAUSE(trap_if, "moveq #0,%d1; trapeq")
CAUSE(trap_if_word, "moveq #0,%d1; trapeq.w #0x1234")
CAUSE(trap_if_not, "moveq #1,%d1; trapeq; illegal")
CAUSE(trap_0_positive, "pea 5.w; trap #0")
CAUSE(trap_0_far, "pea -1000.w; trap #0")
CAUSE(trap_1, "trap #1")
CAUSE(trap_2, "trap #2")
CAUSE(trap_3, "trap #3")
CAUSE(trap_4, "trap #4")
CAUSE(trap_5, "trap #5")
CAUSE(trap_6, "trap #6")
CAUSE(trap_7, "trap #7")
CAUSE(trap_8, "trap #8")
CAUSE(trap_9, "trap #9")
CAUSE(trap_10, "trap #10")
CAUSE(trap_11, "trap #11")
CAUSE(trap_12, "trap #12")
CAUSE(trap_13, "trap #13")
CAUSE(trap_14, "trap #14")
CAUSE(trap_15, "trap #15")
CAUSE(illegal_, "illegal")
CAUSE(undefined, ".word 0x4e7c")
CAUSE(breakpoint_0, "bkpt #0")
CAUSE(line_a, ".word 0xa123")
CAUSE(line_f, ".word 0xfe00")
CAUSE(stop_, "stop #0x2700")
CAUSE(reset_, "reset")
CAUSE(return_, "rte")
CAUSE(set_sr, "move.w #0x2700,%sr")
CAUSE(get_sr, "move.w %sr,%d0")
CAUSE(or_sr, "ori.w #0x700,%sr")
CAUSE(and_sr, "andi.w #0xff,%sr")
CAUSE(exclusive_or_sr, "eori.w #0,%sr")
CAUSE(get_usp, "move.l %usp,%a0")
CAUSE(set_usp, "move.l %a0,%usp")
CAUSE(get_vbr, "movec %vbr,%d0")
CAUSE(set_urp, "movec %d0,%urp")
CAUSE(moves_, "moves.l (%sp),%d0")
CAUSE(flush_, "pflusha")
CAUSE(push_cache, "cpusha %dc")
CAUSE(clear_cache, "cinva %ic")
CAUSE(fsave_, "fsave -(%sp)")
CAUSE(frestore_, "frestore (%sp)+")
CAUSE(jump_odd, "lea set_sr+1,%a0; jmp (%a0)")
CAUSE(branch_odd, ".word 0x6003")
CAUSE(return_odd, "pea set_sr+1; rts")
CAUSE(read_nowhere, "move.l 0x60000123,%d0")
CAUSE(write_nowhere, "move.l %d0,0x60000123")
CAUSE(exchange_nowhere, "cas.l %d0,%d1,0x60000124")
CAUSE(run_nowhere, "move.l #0x60000124,%a0; jmp (%a0)")
CAUSE(read_zero, "move.l 0.w,%d0")
CAUSE(read_top, "move.l 0xfffffffe.w,%d0")
CAUSE(write_top, "move.l %d0,0xffffe000.w")
CAUSE(run_top, "jmp 0xfffffffe.w")
CAUSE(push_nowhere, "move.l #0x60000100,%sp; move.l %d0,-(%sp)")
CAUSE(push_zero, "suba.l %sp,%sp; move.l %d0,-(%sp)")
CAUSE(pop_nowhere, "move.l #0x60000100,%sp; move.l (%sp)+,%d0")
CAUSE(call_nowhere, "move.l #0x60000100,%sp; bsr 2f; 2:")
CAUSE(trap_nowhere, "move.l #0x60000100,%sp; trap #0")
CAUSE(link_nowhere, "move.l #0x60000100,%sp; link.w %a6,#-8")
CAUSE(write_text, "move.b #0x90,write_text")
CAUSE(many_nowhere, "lea 0x60001ff8,%a0; movem.l %d0-%d2,(%a0)")

#define ENTRY(name) { #name, name }
static const struct { const char *name; char *code; } causes[] = {
	ENTRY(divide), ENTRY(divide_signed), ENTRY(divide_long), ENTRY(divide_far), ENTRY(check_above), ENTRY(check_below), ENTRY(check_long), ENTRY(check_within), ENTRY(check_bounds),
	ENTRY(overflow), ENTRY(no_overflow), ENTRY(trap_if), ENTRY(trap_if_word), ENTRY(trap_if_not), ENTRY(trap_0_positive), ENTRY(trap_0_far), ENTRY(trap_1), ENTRY(trap_2), ENTRY(trap_3), ENTRY(trap_4), ENTRY(trap_5), ENTRY(trap_6),
	ENTRY(trap_7), ENTRY(trap_8), ENTRY(trap_9), ENTRY(trap_10), ENTRY(trap_11), ENTRY(trap_12), ENTRY(trap_13), ENTRY(trap_14), ENTRY(trap_15),
	ENTRY(illegal_), ENTRY(undefined), ENTRY(breakpoint_0), ENTRY(line_a), ENTRY(line_f), ENTRY(stop_), ENTRY(reset_), ENTRY(return_), ENTRY(set_sr), ENTRY(get_sr), ENTRY(or_sr), ENTRY(and_sr), ENTRY(exclusive_or_sr),
	ENTRY(get_usp), ENTRY(set_usp), ENTRY(get_vbr), ENTRY(set_urp), ENTRY(moves_), ENTRY(flush_), ENTRY(push_cache), ENTRY(clear_cache), ENTRY(fsave_), ENTRY(frestore_), ENTRY(jump_odd), ENTRY(branch_odd), ENTRY(return_odd),
	ENTRY(read_nowhere), ENTRY(write_nowhere), ENTRY(exchange_nowhere), ENTRY(run_nowhere), ENTRY(read_zero), ENTRY(read_top), ENTRY(write_top), ENTRY(run_top), ENTRY(push_nowhere), ENTRY(push_zero), ENTRY(pop_nowhere),
	ENTRY(call_nowhere), ENTRY(trap_nowhere), ENTRY(link_nowhere), ENTRY(write_text), ENTRY(many_nowhere),
};

/* Where a thread stands whose code began at CODE with its stack at TOP; CODE_GIVEN is the exception's. */
static void say_place(thread_t thread, char *code, u32 top, u32 code_given)
{
	registers_t s;

	get_registers(thread, &s);
	say("  sr %x d0 %x d1 %x", s.frame.sr & 0xff00, s.state.d[0], s.state.d[1]);
	/* Whether a jump to an odd address is done when it is refused differs between processors. */
	if (code_given == 0x0c) {
		say("\n");
		return;
	}
	say(" pc +%d", PC(s) - (u32) code);
	if (top - SP(s) < 64)
		say(" sp -%d\n", top - SP(s));
	else
		say(" sp %x\n", SP(s));
}

#endif
