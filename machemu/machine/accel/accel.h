/* What the extension's files share. Nothing but translations.c is called without Python's lock: it is kept while the engine runs. */
#ifndef ACCEL_H
#define ACCEL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

/* Unicorn's functions, found by Python in the library that its binding ships: machine/engine.py. */
typedef struct uc_struct uc_engine;
typedef struct {
    int (*reg_read)(uc_engine *, int, void *);
    int (*reg_write)(uc_engine *, int, const void *);
    int (*emu_start)(uc_engine *, uint64_t, uint64_t, uint64_t, size_t);
    int (*emu_stop)(uc_engine *);
} Unicorn;
extern Unicorn unicorn;
extern PyObject *invariant_error; /* abi/errors.py: InvariantError */

/* The words in which translations count: machine/counting.py. */
enum { SUM, BEGUN, LIMIT, SIZE, CPU, NEXT_FLAGS, KEPT_AT, LEFT_OUT, MADE, KEPT };

/* A CPU's numbers of instructions: machine/tally.py. */
typedef struct {
    PyObject_HEAD
    int64_t target;   /* how many may have been done in all */
    int64_t counted;  /* done before the last start */
    int64_t overhead; /* begun since then, but not the user's */
    char stopped;     /* the kernel has asked for the end of the run */
    char far;         /* the run may pass clock ticks */
    int frame;        /* the m68k's: format and vector of the last exception or trap */
    uint64_t *sum, *begun, *limit; /* the engine's counts: machine/counting.py */
} Tally;

static inline int64_t tally_executed(const Tally *tally) {
    return tally->counted + (int64_t)(*tally->sum + *tally->begun) - tally->overhead;
}

static inline void tally_keep_to_target(Tally *tally) {
    *tally->limit = (uint64_t)(tally->target - tally->counted + tally->overhead);
}

extern PyTypeObject CallType, CountingType, I386ExitsType, M68kExitsType, RegistersType, ScreenType, TallyType, TrapsType;

#endif
