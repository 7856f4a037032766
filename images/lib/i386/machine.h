/* The i386: page size, thread states, descriptors and I/O ports. */
#ifndef MACHINE_H
#define MACHINE_H

#define PAGE_SIZE 4096
#define VM_MAX_ADDRESS 0xc0000000
/* An address that no user program can have. */
#define BEYOND_USER 0xd0000000

/* Whether a processor that the kernel tells of is one of these. */
#define IS_CPU_TYPE(type) ((type) >= 17 && (type) < 32)

/* Adds a word to a sum, and the carry. */
#define ADD_CARRY(sum, word) __asm__("addl %1, %0; adcl $0, %0" : "+r"(sum) : "g"(word) : "cc")

#define i386_THREAD_STATE 1
#define i386_FLOAT_STATE 2
#define i386_ISA_PORT_MAP_STATE 3
#define i386_V86_ASSIST_STATE 4
#define i386_REGS_SEGS_STATE 5
#define i386_DEBUG_STATE 6

struct i386_thread_state {
	unsigned int gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, eip, cs, efl, uesp, ss;
};
#define i386_THREAD_STATE_COUNT (sizeof(struct i386_thread_state) / sizeof(unsigned int))
#define i386_FLOAT_STATE_COUNT 30
#define i386_ISA_PORT_MAP_STATE_COUNT 32
#define i386_V86_ASSIST_STATE_COUNT 2
#define i386_DEBUG_STATE_COUNT 8

typedef struct { unsigned int low, high; } descriptor_t, *descriptor_list_t;
typedef unsigned short io_port_t;

#endif
