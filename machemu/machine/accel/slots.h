/* The slots of the kernel's own objects, by their offsets: `slots_find` looks them up in the classes that Python gives. */
#ifndef SLOTS_H
#define SLOTS_H

#include "accel.h"

#define SLOTS                                                                                                            \
    SLOT(Kernel, trap_count) SLOT(Kernel, trap_ns) SLOT(Kernel, trap_limit) SLOT(Kernel, limit) SLOT(Kernel, kern)       \
    SLOT(Kernel, board) SLOT(Kern, sched) SLOT(Kern, clock) SLOT(Kern, host) SLOT(Host, host_self)                       \
    SLOT(Clock, base) SLOT(Clock, mark) SLOT(Clock, instruction_ns)                                                      \
    SLOT(Sched, current) SLOT(Sched, ast) SLOT(Sched, handoff)                                                           \
    SLOT(Thread, space) SLOT(Thread, task) SLOT(Thread, ith_sself) SLOT(Task, itk_sself) SLOT(Task, eml_dispatch)        \
    SLOT(Space, active) SLOT(Space, reverse) SLOT(Entry, name) SLOT(Entry, type) SLOT(Entry, urefs)                      \
    SLOT(Port, number) SLOT(Port, active) SLOT(Port, receiver) SLOT(Port, mscount)                                       \
    SLOT(PhysicalMemory, code_frames) SLOT(PhysicalMemory, stale) SLOT(Mappings, changed)                                \
    SLOT(I386Pmap, directory) SLOT(M68kPmap, root) SLOT(Tables, pages)                                                   \
    SLOT(I386Pcb, registers) SLOT(I386Pcb, segments) SLOT(M68kPcb, registers) SLOT(M68kPcb, pc_) SLOT(M68kPcb, sr)

typedef struct {
#define SLOT(class, name) Py_ssize_t class##_##name;
    SLOTS
#undef SLOT
} Slots;
extern Slots slots;
extern PyTypeObject *port_class;

/* Finds the slots of `classes`, a dict by the names above; those of classes that are not in it stay as they are. */
bool slots_find(PyObject *classes);

/* The object in a slot; NULL where it is unset. The object keeps it alive. */
static inline PyObject *slot(PyObject *object, Py_ssize_t offset) { return *(PyObject **)((char *)object + offset); }

static inline void set_slot(PyObject *object, Py_ssize_t offset, PyObject *value) {
    PyObject **place = (PyObject **)((char *)object + offset), *old = *place;
    *place = Py_NewRef(value);
    Py_XDECREF(old);
}

/* A number in a slot. False where it has not 62 bits: then the caller leaves the work to Python. */
static inline bool number_in(PyObject *object, Py_ssize_t offset, int64_t *value) {
    int overflow;
    *value = PyLong_AsLongLongAndOverflow(slot(object, offset), &overflow);
    return overflow == 0 && *value >= -(INT64_MAX >> 1) && *value <= INT64_MAX >> 1;
}

/* The same for a limit, where more than that is as good as never. */
static inline int64_t limit_in(PyObject *object, Py_ssize_t offset) {
    int64_t value;
    int overflow;
    value = PyLong_AsLongLongAndOverflow(slot(object, offset), &overflow);
    return overflow > 0 || value > INT64_MAX >> 1 ? INT64_MAX >> 1 : overflow < 0 ? -(INT64_MAX >> 1) : value;
}

/* A slot's list of so many numbers of 32 bits, read and made anew; false with an exception set. */
bool words_in(PyObject *object, Py_ssize_t offset, uint32_t *words, Py_ssize_t count);
bool set_words(PyObject *object, Py_ssize_t offset, const uint32_t *words, Py_ssize_t count);

/* Whether code that may have been translated lies in a frame of a PhysicalMemory. */
bool is_code(PyObject *memory, uint32_t frame);

#endif
