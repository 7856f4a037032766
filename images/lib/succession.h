/* How a server in C is followed by another one, in C or in Python, and how it follows one: the messages of succession.defs. */
#ifndef SUCCESSION_H
#define SUCCESSION_H

#include <mig.h>

/*
 * Where the server hears of its successor: succession_begin, or MACH_NOTIFY_SEND_ONCE for one that ended before it was ready. Only
 * what comes by a send-once right is the loader's doing.
 */
extern mach_port_t succession_control;

/*
 * The first thing that a server does: makes that port, and shows it to the loader as the last of its task's registered ports.
 * The port where the server inherits, with its receive right; null for one that follows nobody.
 */
mach_port_t succession_start(void);

/*
 * In do_succession_follow: tells the server before that this one can inherit at LEGACY. MACH_NOTIFY_NO_SENDERS comes there when
 * that server has ended.
 */
kern_return_t succession_ready(mach_port_t predecessor, mach_port_t legacy);

/* Shows the port to the loader again, which hides it with each successor: that one is gone, and this server goes on. */
void succession_stay(void);

#endif
