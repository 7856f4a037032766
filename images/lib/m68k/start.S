/* The m68k's entry and traps as CMU's MK64 has them: a trap's number, negative, on the stack above a function's return address. */

	.text
	.globl	_start
_start:
	sub.l	%fp, %fp
#ifdef __PIE__
	pea	(_DYNAMIC.l, %pc)
	pea	(__ehdr_start.l, %pc)
	bsr.l	relocate
	addq.l	#8, %sp
#endif
	move.l	%sp, -(%sp)
#ifdef __PIE__
	bsr.l	guest_start
#else
	jsr	guest_start
#endif
	illegal

#define TRAP(name, number) \
	.globl	name; \
name: \
	pea	-number.w; \
	trap	#0; \
	rts

#include "traps.h"

	.section .note.GNU-stack, "", @progbits
