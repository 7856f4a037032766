/* What both CPUs' ways out of user mode have in common. */
#ifndef EXITS_H
#define EXITS_H

#include "traps.h"

/* On one CPU. */
typedef struct Exits {
    PyObject_HEAD
    Tally *tally;                     /* the CPU itself: I386Cpu or M68kCpu */
    PyObject *interrupt, *page_fault, *catch_up; /* its methods for what is left to Python */
    PyObject *memory, *mmu;           /* the machine's PhysicalMemory and Mappings */
    PyObject *traps;                  /* Traps, or None: all traps are Python's */
    PyObject *kernel;                 /* that runs it, for where it is when the engine dies; or NULL */
    PyObject *pmap;                   /* the active thread's */
    uc_engine *engine;
    uint64_t *counts;                 /* in which its translations count */
    uint8_t *ram;
    void (*hook)(uc_engine *, uint32_t, void *);       /* what Unicorn calls at interrupts */
    void (*starts)(struct Exits *exits, bool running); /* called before and behind a run; or NULL */
    const char *architecture;
    uint32_t (*pc)(const struct Exits *exits);         /* of an instruction in a helper, or of the block that is translated */
    bool engine_stopped; /* whether `stop` was called since the last start */
    bool plain;          /* the active thread is one that all this is for; all others' exits are Python's */
    bool redirects;      /* its traps go to `emulated_call` */
    uint64_t whole, entered, left; /* traps: done here; entered here and done by Python; and all others */
    int64_t instructions, since;   /* instructions of plain threads, up to when the active one came; and how many there were in all */
} Exits;

extern PyTypeObject ExitsType;

/* Takes the CPU's methods; false with an exception set. The rest of the new object is zeros. */
bool exits_begin(Exits *exits, PyObject *cpu, unsigned long long engine, unsigned long long counts, unsigned long long ram);

/* Before anything else that is done about an interrupt, and behind a run: the kernel takes the ticks that the run has passed. */
void exits_catch_up(Exits *exits);

/* Calls a method, which keeps what it raises until the run is over: whether it says True. It takes the references of the arguments. */
bool exits_call(PyObject *method, PyObject *first, PyObject *second);

/* Unicorn's hook on interrupts, in Python. */
void exits_to_python(Exits *exits, uint32_t number);

/* Has Python's kernel see to a page fault: whether the page is there now, and the thread goes on. */
static inline bool exits_page_fault(Exits *exits, uint32_t address, bool write) {
    return exits_call(exits->page_fault, PyLong_FromUnsignedLong(address), PyBool_FromLong(write));
}

/* The thread goes on from a fault, to the target that the kernel has set; first Unicorn has to forget what is not so any more. */
void exits_go_on(Exits *exits);

/* Whether the kernel may do traps here now. */
static inline bool exits_do_traps(const Exits *exits) {
    return exits->traps != NULL && exits->traps != Py_None && slot(exits->mmu, slots.Mappings_changed) == Py_False;
}

#endif
