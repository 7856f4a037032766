/* The common part of the ways out of user mode: which kernel, machine and thread they are of. */
#include "deaths.h"
#include <structmember.h>

bool exits_begin(Exits *x, PyObject *cpu, unsigned long long engine, unsigned long long counts, unsigned long long ram) {
    x->tally = (Tally *)Py_NewRef(cpu);
    x->engine = (void *)(uintptr_t)engine;
    x->counts = (void *)(uintptr_t)counts;
    x->ram = (void *)(uintptr_t)ram;
    x->interrupt = PyObject_GetAttrString(cpu, "_interrupt");
    x->page_fault = PyObject_GetAttrString(cpu, "_page_missing");
    x->catch_up = PyObject_GetAttrString(cpu, "_catch_up");
    return x->interrupt != NULL && x->page_fault != NULL && x->catch_up != NULL;
}

bool exits_call(PyObject *method, PyObject *first, PyObject *second) {
    PyObject *arguments[] = {first, second};
    PyObject *result = first == NULL ? NULL : PyObject_Vectorcall(method, arguments, second == NULL ? 1 : 2, NULL);
    if (result == NULL)
        PyErr_WriteUnraisable(method);
    bool is_true = result == Py_True;
    Py_XDECREF(result);
    Py_XDECREF(first);
    Py_XDECREF(second);
    return is_true;
}

void exits_catch_up(Exits *x) {
    if (!x->tally->far)
        return;
    x->tally->far = false;
    PyObject *result = PyObject_CallNoArgs(x->catch_up);
    if (result == NULL)
        PyErr_WriteUnraisable(x->catch_up);
    Py_XDECREF(result);
    uint64_t limit = *x->tally->limit;
    tally_keep_to_target(x->tally);
    if (limit < *x->tally->limit)
        *x->tally->limit = limit; /* a store into code ends the run */
}

static void stop_engine(Exits *x) {
    x->engine_stopped = true;
    unicorn.emu_stop(x->engine);
}

void exits_go_on(Exits *x) {
    tally_keep_to_target(x->tally);
    if (slot(x->memory, slots.PhysicalMemory_stale) != Py_False || slot(x->mmu, slots.Mappings_changed) != Py_False)
        stop_engine(x);
}

void exits_to_python(Exits *x, uint32_t number) {
    PyObject *vector = PyLong_FromUnsignedLong(number);
    PyObject *result = vector == NULL ? NULL : PyObject_CallFunctionObjArgs(x->interrupt, Py_None, vector, Py_None, NULL);
    if (result == NULL)
        PyErr_WriteUnraisable(x->interrupt);
    Py_XDECREF(result);
    Py_XDECREF(vector);
}

/* machine/engine.py: Engine.start, with Counting.run. */
static PyObject *start(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    Exits *x = (Exits *)self;
    Run run;
    uint64_t *counts = x->counts, address = count == 2 ? PyLong_AsUnsignedLongLong(given[0]) : 0;
    int64_t instructions = count == 2 ? PyLong_AsLongLong(given[1]) : 0;
    if (count != 2)
        PyErr_SetString(PyExc_TypeError, "start takes two arguments");
    if (PyErr_Occurred())
        return NULL;
    x->engine_stopped = false;
    counts[SUM] = counts[BEGUN] = counts[KEPT_AT] = 0;
    counts[LIMIT] = (uint64_t)instructions;
    if (x->starts != NULL)
        x->starts(x, true);
    run_begin(&run, x);
    int error = unicorn.emu_start(x->engine, address, 0, 0, 0);
    run_end(&run);
    exits_catch_up(x);
    if (x->starts != NULL)
        x->starts(x, false);
    if (error == 0 && !x->engine_stopped) {
        int64_t left = (int64_t)(counts[LIMIT] - counts[SUM] - counts[BEGUN]);
        if (left > 0)
            PyErr_Format(invariant_error, "unicorn stopped %lld instructions before the limit", (long long)left);
        counts[BEGUN]++;
    }
    return PyErr_Occurred() ? NULL : PyLong_FromLong(error);
}

static PyObject *stop(PyObject *self, PyObject *none) {
    stop_engine((Exits *)self);
    Py_RETURN_NONE;
}

static int64_t instructions_of(const Exits *x) {
    return x->instructions + (x->plain ? tally_executed(x->tally) - x->since : 0);
}

static PyObject *shares(PyObject *self, PyObject *none) {
    const Exits *x = (Exits *)self;
    return Py_BuildValue("KKKL", (unsigned long long)x->whole, (unsigned long long)x->entered, (unsigned long long)x->left,
                         (long long)instructions_of(x));
}

static PyObject *enter(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    Exits *x = (Exits *)self;
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "enter takes three arguments");
    x->instructions = instructions_of(x);
    x->since = tally_executed(x->tally);
    Py_XSETREF(x->pmap, Py_NewRef(given[0]));
    x->plain = given[1] == Py_True;
    x->redirects = given[2] == Py_True;
    Py_RETURN_NONE;
}

static PyObject *join(PyObject *self, PyObject *traps) {
    if (traps != Py_None && !Py_IS_TYPE(traps, &TrapsType))
        return PyErr_Format(PyExc_TypeError, "traps are done by Traps");
    Exits *x = (Exits *)self;
    Py_XSETREF(x->traps, Py_NewRef(traps));
    if (traps != Py_None)
        Py_XSETREF(x->kernel, Py_NewRef(((Traps *)traps)->kernel));
    Py_RETURN_NONE;
}

static PyObject *set_machine(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    Exits *x = (Exits *)self;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "set_machine takes two arguments");
    Py_XSETREF(x->memory, Py_NewRef(given[0]));
    Py_XSETREF(x->mmu, Py_NewRef(given[1]));
    Py_RETURN_NONE;
}

static PyObject *hook(PyObject *self, void *closure) { return PyLong_FromVoidPtr((void *)((Exits *)self)->hook); }

static PyObject *place(PyObject *self, void *closure) { return PyLong_FromVoidPtr(self); }

static int traverse(PyObject *self, visitproc visit, void *arg) {
    Exits *x = (Exits *)self;
    Py_VISIT(x->tally);
    Py_VISIT(x->interrupt);
    Py_VISIT(x->page_fault);
    Py_VISIT(x->catch_up);
    Py_VISIT(x->memory);
    Py_VISIT(x->mmu);
    Py_VISIT(x->traps);
    Py_VISIT(x->kernel);
    Py_VISIT(x->pmap);
    return 0;
}

static int clear(PyObject *self) {
    Exits *x = (Exits *)self;
    x->plain = false;
    Py_CLEAR(x->tally);
    Py_CLEAR(x->interrupt);
    Py_CLEAR(x->page_fault);
    Py_CLEAR(x->catch_up);
    Py_CLEAR(x->memory);
    Py_CLEAR(x->mmu);
    Py_CLEAR(x->traps);
    Py_CLEAR(x->kernel);
    Py_CLEAR(x->pmap);
    return 0;
}

static void dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMemberDef members[] = {
    {"plain", T_BOOL, offsetof(Exits, plain), 0, NULL},
    {0},
};

static PyGetSetDef computed[] = {{"hook", hook, NULL, NULL, NULL}, {"place", place, NULL, NULL, NULL}, {0}};

static PyMethodDef methods[] = {
    {"enter", (PyCFunction)(void *)enter, METH_FASTCALL, NULL},
    {"join", join, METH_O, NULL},
    {"start", (PyCFunction)(void *)start, METH_FASTCALL, NULL},
    {"stop", stop, METH_NOARGS, NULL},
    {"shares", shares, METH_NOARGS, NULL},
    {"set_machine", (PyCFunction)(void *)set_machine, METH_FASTCALL, NULL},
    {0},
};

PyTypeObject ExitsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.Exits",
    .tp_basicsize = sizeof(Exits),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_members = members,
    .tp_getset = computed,
    .tp_methods = methods,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_dealloc = dealloc,
};
