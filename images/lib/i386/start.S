/* The i386's entry and traps: a trap's number, negative, in eax, its arguments where a function's are. */

	.text
	.globl	_start
_start:
	xorl	%ebp, %ebp
#ifdef __PIE__
	call	1f
1:	popl	%ebx
	addl	$_GLOBAL_OFFSET_TABLE_ + (. - 1b), %ebx
	leal	_DYNAMIC@GOTOFF(%ebx), %eax
	pushl	%eax
	leal	__ehdr_start@GOTOFF(%ebx), %eax
	pushl	%eax
	call	relocate
	addl	$8, %esp
#endif
	movl	%esp, %eax
	andl	$-16, %esp
	subl	$12, %esp
	pushl	%eax
	call	guest_start
	hlt

#define TRAP(name, number) \
	.globl	name; \
name: \
	movl	$-number, %eax; \
	lcall	$7, $0; \
	ret

#include "traps.h"

	.section .note.GNU-stack, "", @progbits
