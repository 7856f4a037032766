/* The i386 CPU as the extension sees it, and its active thread's memory. */
#ifndef I386_H
#define I386_H

#include "exits.h"

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };
enum { ES, CS, SS, DS, FS, GS };

/* The state of Unicorn's CPU (QEMU's CPUX86State), as far as its begin: machine/i386/engine.py checks the places. */
typedef struct {
    uint64_t regs[16], eip, eflags;
    uint64_t flag_sources[3]; /* cc_dst, cc_src, cc_src2 */
    uint32_t flags_kept;      /* cc_op */
    int32_t df;
    uint32_t hidden_flags, hidden_flags2;
    struct {
        uint32_t selector;
        uint64_t base;
        uint32_t limit, flags;
    } segs[6];
} I386State;

/* Ways out of user mode: machine/i386/exits.py says what they are. */
typedef struct {
    Exits x;
    PyObject *direct_trap;          /* the CPU's method for traps that are left to Python */
    PyObject *shadow_of, *replaced; /* `ShadowTables.of` and `Guard.replaced` */
    I386State *state;
    int32_t *error_code, *is_software, *pending;
    uint32_t *words;     /* RAM's */
    uint64_t *shadow;    /* the words of the tables that Unicorn walks: machine/i386/shadow.py */
    uint32_t stack;      /* the end of the CPU's own stack among RAM's words */
    uint8_t *gate;       /* the byte with the present bit of the segment behind the gate */
    void (*forget_flags)(void);
    int cr2, flags;      /* Unicorn's numbers of the registers */
    uint16_t *fpu_status; /* where Unicorn keeps the FPU's status word, or NULL */
} I386Exits;

/* Where the byte at a user address is in RAM; NULL where the page tables refuse. For a store as I386Pmap.translate, with its bits
 * of use; `i386_peek` sets none. */
uint8_t *i386_stored(const I386Exits *exits, uint32_t address);
uint8_t *i386_peek(const I386Exits *exits, uint32_t address);

/* Makes the entry that an access needs in the tables that Unicorn walks; false where Python must: ShadowTables.fill. */
bool i386_fill(const I386Exits *exits, uint32_t address, bool write, bool *made);

/* The thread's registers, but for the FPU's: `I386Cpu._put` and, where it gives True, `I386Cpu._take`. */
PyObject *i386_put(PyObject *self, PyObject *pcb);
PyObject *i386_take(PyObject *self, PyObject *pcb);

#endif
