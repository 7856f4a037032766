/* A fatal signal inside an engine's run: decision 35 says what is done. */
#ifndef DEATHS_H
#define DEATHS_H

#include "exits.h"

/* An engine's run, in the frame of who runs it. */
typedef struct Run {
    const Exits *exits;
    PyThreadState *state;
    void *frame;             /* the innermost of Python's, which has begun the run: in one of a hook's it is another */
    const struct Run *outer; /* that it is in a hook of */
} Run;

void run_begin(Run *run, const Exits *exits);
void run_end(Run *run);

/* From now on, once a process: a fatal signal inside a run is told, and is the end of the process. */
PyObject *deaths_guard(PyObject *module, PyObject *none);

/* From now on: it is not, since another process tells. */
PyObject *deaths_leave(PyObject *module, PyObject *none);

#endif
