/* What is called while Unicorn translates: machine/translator.py says when. */
#ifndef TRANSLATIONS_H
#define TRANSLATIONS_H

#include "accel.h"

/* On one engine. What is not there, or NULL, has nothing to do. `block` is the address of a block's DisasContextBase. */
typedef struct Watcher {
    PyObject_HEAD
    void (*begin_block)(struct Watcher *, uintptr_t block);
    void (*begin)(struct Watcher *, uintptr_t block);
    void (*end_block)(struct Watcher *, uintptr_t block);
    void (*end_instructions)(struct Watcher *, uintptr_t block);
} Watcher;

extern PyTypeObject WatcherType;

/* A number of a block's. */
static inline uint32_t *number_at(uintptr_t block, uint32_t place) { return (uint32_t *)(block + place); }

/* An address of a block's or of a TranslationBlock's, of 8 bytes or of 4. */
static inline uint64_t address_at(uintptr_t place, bool wide) { return wide ? *(uint64_t *)place : *(uint32_t *)place; }

/* Calls a method of a watcher's in Python with some numbers; what that raises is told and forgotten. */
void watcher_tell(PyObject *watcher, PyObject *method, uintptr_t block);

/* translator.py: `_install`. */
PyObject *translations_watch(PyObject *module, PyObject *given);

#endif
