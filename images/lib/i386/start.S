/* The i386's entry and traps: a trap's number, negative, in eax, its arguments where a function's are. */

	.text
	.globl	_start
_start:
	xorl	%ebp, %ebp
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
