/* The base of the CPUs, as machine/tally.py specifies it. */
#include "accel.h"
#include <structmember.h>

#define FAR (INT64_MAX / 2)

static uint64_t nothing;

static PyObject *tally_new(PyTypeObject *type, PyObject *given, PyObject *names) {
    Tally *tally = (Tally *)type->tp_alloc(type, 0);
    if (tally != NULL)
        tally->sum = tally->begun = tally->limit = &nothing;
    return (PyObject *)tally;
}

static PyObject *count_in(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    Tally *tally = (Tally *)self;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "_count_in takes three addresses");
        return NULL;
    }
    uint64_t *places[3];
    for (int n = 0; n < 3; n++)
        if ((places[n] = PyLong_AsVoidPtr(given[n])) == NULL && PyErr_Occurred())
            return NULL;
    tally->sum = places[0] == NULL ? &nothing : places[0];
    tally->begun = places[1];
    tally->limit = places[2];
    Py_RETURN_NONE;
}

static PyObject *executed(PyObject *self, void *closure) { return PyLong_FromLongLong(tally_executed((Tally *)self)); }

static PyObject *spent(PyObject *self, void *closure) {
    const Tally *tally = (Tally *)self;
    return PyBool_FromLong(*tally->sum + *tally->begun > *tally->limit);
}

static PyObject *settle(PyObject *self, PyObject *none) {
    Tally *tally = (Tally *)self;
    int64_t begun = (int64_t)(*tally->sum + *tally->begun), limit = (int64_t)*tally->limit;
    int64_t done = (begun < limit ? begun : limit) - tally->overhead;
    tally->counted += done;
    *tally->sum = *tally->begun = 0;
    tally->overhead = 0;
    return PyLong_FromLongLong(done);
}

static PyObject *keep_to_target(PyObject *self, PyObject *none) {
    tally_keep_to_target((Tally *)self);
    Py_RETURN_NONE;
}

static PyObject *get_target(PyObject *self, void *closure) { return PyLong_FromLongLong(((Tally *)self)->target); }

/* A number of any size: what no CPU reaches is as good as another such number. */
static int set_target(PyObject *self, PyObject *value, void *closure) {
    int overflow = 0;
    long long target = value == NULL ? 0 : PyLong_AsLongLongAndOverflow(value, &overflow);
    if (PyErr_Occurred())
        return -1;
    ((Tally *)self)->target = overflow > 0 ? FAR : overflow < 0 ? -FAR : target;
    return 0;
}

static PyMemberDef members[] = {
    {"_counted", T_LONGLONG, offsetof(Tally, counted), 0, NULL},
    {"_overhead", T_LONGLONG, offsetof(Tally, overhead), 0, NULL},
    {"_frame", T_INT, offsetof(Tally, frame), 0, NULL},
    {"_stopped", T_BOOL, offsetof(Tally, stopped), 0, NULL},
    {"far", T_BOOL, offsetof(Tally, far), 0, NULL},
    {0},
};

static PyGetSetDef computed[] = {
    {"executed", executed, NULL, NULL, NULL},
    {"_spent", spent, NULL, NULL, NULL},
    {"target", get_target, set_target, NULL, NULL},
    {0},
};

static PyMethodDef methods[] = {
    {"_count_in", (PyCFunction)(void *)count_in, METH_FASTCALL, NULL},
    {"_settle", settle, METH_NOARGS, NULL},
    {"_keep_to_target", keep_to_target, METH_NOARGS, NULL},
    {0},
};

PyTypeObject TallyType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.Tally",
    .tp_basicsize = sizeof(Tally),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = tally_new,
    .tp_members = members,
    .tp_getset = computed,
    .tp_methods = methods,
};
