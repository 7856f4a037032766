/* What MIG's user stubs are made of: descriptors as words in the machine's byte order, and the calls that carry a message. */
#ifndef MIG_H
#define MIG_H

#include <mach.h>

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define MIG_SHORT(name, size, number, in_line, dealloc) \
	((uint32_t) (name) << 24 | (uint32_t) (size) << 16 | (uint32_t) (number) << 4 | (in_line) << 3 | (dealloc) << 1)
#define MIG_LONG(in_line, dealloc) ((uint32_t) ((in_line) << 3 | 1 << 2 | (dealloc) << 1))
#define MIG_LONG_NAME(name, size) ((uint32_t) (name) << 16 | (uint32_t) (size))
#define MIG_NAME(word) ((word) >> 24)
#define MIG_NUMBER(word) ((word) >> 4 & 0xfff)
#define MIG_KIND(word) ((word) & 0xffff000c)
#define MIG_IS_INLINE(word) ((word) >> 3 & 1)
#define MIG_IS_LONG(word) ((word) >> 2 & 1)
#define MIG_SIZE(word) ((word) >> 16 & 0xff)
#define MIG_INLINE 0x8u
#define MIG_LONGFORM 0x4u
#define MIG_DEALLOCATE 0x2u
#define MIG_UNUSED 0x1u
#define MIG_LONG_NAME_OF(word) ((word) >> 16)
#define MIG_LONG_SIZE_OF(word) ((word) & 0xffff)
#else
#define MIG_SHORT(name, size, number, in_line, dealloc) \
	((uint32_t) (name) | (uint32_t) (size) << 8 | (uint32_t) (number) << 16 | (in_line) << 28 | (dealloc) << 30)
#define MIG_LONG(in_line, dealloc) ((uint32_t) ((in_line) << 28 | 1 << 29 | (dealloc) << 30))
#define MIG_LONG_NAME(name, size) ((uint32_t) (name) | (uint32_t) (size) << 16)
#define MIG_NAME(word) ((word) & 0xff)
#define MIG_NUMBER(word) ((word) >> 16 & 0xfff)
#define MIG_KIND(word) ((word) & 0x3000ffff)
#define MIG_IS_INLINE(word) ((word) >> 28 & 1)
#define MIG_IS_LONG(word) ((word) >> 29 & 1)
#define MIG_SIZE(word) ((word) >> 8 & 0xff)
#define MIG_INLINE 0x10000000u
#define MIG_LONGFORM 0x20000000u
#define MIG_DEALLOCATE 0x40000000u
#define MIG_UNUSED 0x80000000u
#define MIG_LONG_NAME_OF(word) ((word) & 0xffff)
#define MIG_LONG_SIZE_OF(word) ((word) >> 16)
#endif

/* Sends a request and receives its reply in its place; RetCode, or what went wrong with the messages. */
kern_return_t mig_call(mach_msg_header_t *message, mach_msg_size_t room, mach_msg_option_t option, mach_msg_timeout_t timeout);
/* Sends a request that has no reply. */
mach_msg_return_t mig_send(mach_msg_header_t *message, mach_msg_option_t option, mach_msg_timeout_t timeout);
/* A port on which one call gets its reply: no other thread has it before mig_call gives it back. */
mach_port_t mig_get_reply_port(void);
/* What a task says first that has inherited its parent's memory: the reply ports' names in it are the parent's. */
void mig_forget_reply_port(void);
/* What a server's stubs begin and end a reply with: addressed to the request's reply port; a code, with the results or without. */
void mig_begin_reply(const mach_msg_header_t *request, mach_msg_header_t *reply);
void mig_end_reply(mach_msg_header_t *reply, kern_return_t result);
void mig_deallocate(vm_offset_t address, vm_size_t size);
/* Memory for an array that does not fit the caller's. */
void mig_allocate(vm_offset_t *address, vm_size_t size);
/* Copies a string of at most size - 1 characters and ends it; its length. */
vm_size_t mig_strncpy(char *to, const char *from, vm_size_t size);

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *one, const void *other, size_t size);
size_t strlen(const char *string);
int strcmp(const char *one, const char *other);

#endif
