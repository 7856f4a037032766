/* The m68k: page size, thread states. */
#ifndef MACHINE_H
#define MACHINE_H

#define PAGE_SIZE 8192
#define VM_MAX_ADDRESS 0xffffe000
/* An address that no user program can have. */
#define BEYOND_USER 0xffffe000

/* Whether a processor that the kernel tells of is one of these: an MC68020 or an MC68040. */
#define IS_CPU_TYPE(type) ((type) == 3 || (type) == 10)

/* Adds a word to a sum, and the carry. */
#define ADD_CARRY(sum, word) __asm__("addl %1, %0; addxl %2, %0" : "+d"(sum) : "g"(word), "d"(0) : "cc")

#define m68k_THREAD_STATE 1
#define m68k_FLOAT_STATE 2
#define m68k_EXCEPTION_FRAME 3

struct m68k_thread_state {
	unsigned int d[8], a[8];
};
#define m68k_THREAD_STATE_COUNT (sizeof(struct m68k_thread_state) / sizeof(unsigned int))

struct m68k_float_state {
	unsigned int fp[8][3], control, status, iaddr;
};
#define m68k_FLOAT_STATE_COUNT (sizeof(struct m68k_float_state) / sizeof(unsigned int))

/* The processor's own short frame: status register, pc, format and vector offset. */
struct m68k_exception_frame {
	unsigned short sr;
	unsigned int pc __attribute__((packed));
	unsigned short format_vector;
};
#define m68k_EXCEPTION_FRAME_COUNT (sizeof(struct m68k_exception_frame) / sizeof(unsigned int))

/* The i386's, for programs that ask an m68k kernel for them. */
typedef struct { unsigned int low, high; } descriptor_t, *descriptor_list_t;
typedef unsigned short io_port_t;

#endif
