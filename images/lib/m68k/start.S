/* The m68k's entry and traps as CMU's MK64 has them: a trap's number, negative, on the stack above a function's return address. */

	.text
	.globl	_start
_start:
	sub.l	%fp, %fp
	move.l	%sp, -(%sp)
	jsr	guest_start
	illegal

#define TRAP(name, number) \
	.globl	name; \
name: \
	pea	-number.w; \
	trap	#0; \
	rts

#include "traps.h"

	.section .note.GNU-stack, "", @progbits
