/* The run time of a guest program: Mach's calls, the console, threads. A program defines guest_main. */
#ifndef GUEST_H
#define GUEST_H

#include <mach.h>
#include <machine.h>
#include <mig.h>
#include "device_user.h"
#include "mach_user.h"
#include "mach_host_user.h"
#include "mach_port_user.h"

typedef uint32_t u32;

/* Send rights to the host's privileged port and to the device master, and the open console. */
extern mach_port_t host_priv, device_master, console;
extern int arg_count;
extern char **arg_value;

int guest_main(void);

/* Prints to the console, a line at a time: %s %d %u, %x (8 digits), %c, %n (a port name, by order of first sight), %%. */
void say(const char *format, ...);
/* Prints what is left of an unfinished line. */
void flush(void);
/* Prints "WHAT -> code" in hexadecimal and returns the code. */
kern_return_t show(const char *what, kern_return_t result);
/* Forgets the numbers that %n has given. */
void forget_names(void);
/* Waits for ever; the machine is idle once all its threads do. */
void idle(void) __attribute__((noreturn));
/* A thread of this task that begins at ENTRY on the stack given, or null. */
thread_t start_thread(void (*entry)(void), void *stack, u32 size);
/* The machine's own part: makes a thread begin at ENTRY with its stack below STACK_TOP. */
kern_return_t set_entry(thread_t thread, void (*entry)(void), vm_address_t stack_top);

#endif
