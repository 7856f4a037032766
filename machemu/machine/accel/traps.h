/* The kernel's side of a trap that returns at once: core/supervisor.py says what it is. */
#ifndef TRAPS_H
#define TRAPS_H

#include "slots.h"

/* On one kernel. */
typedef struct {
    PyObject_HEAD
    PyObject *kernel;
} Traps;

/* What a trap changes in the kernel whatever it does, worked out and not yet stored. */
typedef struct {
    PyObject *kernel, *clock, *thread;
    int64_t traps, base, target;
} Moment;

/* Whether a trap made now could return at once: nothing is due before the thread's next instruction. Changes nothing. */
bool moment_begin(const Traps *traps, const Tally *tally, Moment *moment);

/* Stores it. False where there is no memory, and nothing is stored. */
bool moment_end(const Moment *moment, Tally *tally);

/* Does a trap whole: whether it did. Otherwise nothing has changed, and the call is Python's. */
bool traps_call(const Traps *traps, Tally *tally, int64_t number, uint32_t *result);

/* The handler to which the current thread's task redirects a trap, 0 for none. */
uint32_t traps_handler(const Moment *moment, int64_t number);

#endif
