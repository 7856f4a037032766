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

TRAP(mach_msg_trap, 25)
TRAP(mach_reply_port, 26)
TRAP(mach_thread_self, 27)
TRAP(mach_task_self, 28)
TRAP(mach_host_self, 29)
TRAP(swtch_pri, 59)
TRAP(swtch, 60)
TRAP(thread_switch, 61)
TRAP(syscall_vm_map, 64)
TRAP(syscall_vm_allocate, 65)
TRAP(syscall_vm_deallocate, 66)
TRAP(syscall_task_create, 68)
TRAP(syscall_task_terminate, 69)
TRAP(syscall_task_suspend, 70)
TRAP(syscall_mach_port_allocate, 72)
TRAP(syscall_mach_port_deallocate, 73)
TRAP(syscall_mach_port_insert_right, 74)
TRAP(syscall_mach_port_allocate_name, 75)

	.section .note.GNU-stack, "", @progbits
