/* Functions of the library called without ctypes: `bound` and `Engine.read`, `Engine.write` in machine/engine.py say what they do. */
#include "accel.h"
#include <stddef.h>

#define ARGUMENTS 6

/* A C function with its first arguments, which are integers or addresses, as are those that it is called with. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    int (*function)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
    int bound;
    uint64_t arguments[ARGUMENTS];
} Call;

static bool take(uint64_t *into, PyObject *const *given, Py_ssize_t count) {
    for (Py_ssize_t n = 0; n < count; n++) {
        into[n] = PyLong_AsUnsignedLongLongMask(given[n]);
        if (into[n] == (uint64_t)-1 && PyErr_Occurred())
            return false;
    }
    return true;
}

static PyObject *call(PyObject *self, PyObject *const *given, size_t flags, PyObject *names) {
    Call *c = (Call *)self;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    uint64_t a[ARGUMENTS];
    if (names != NULL || c->bound + count > ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "a Call takes at most six integers");
        return NULL;
    }
    memcpy(a, c->arguments, sizeof a);
    if (!take(a + c->bound, given, count))
        return NULL;
    int result = c->function(a[0], a[1], a[2], a[3], a[4], a[5]);
    return PyErr_Occurred() ? NULL : PyLong_FromLong(result);
}

static PyObject *call_new(PyTypeObject *type, PyObject *given, PyObject *names) {
    uint64_t a[1 + ARGUMENTS] = {0};
    Py_ssize_t count = PyTuple_GET_SIZE(given);
    if (names != NULL || count < 1 || count > 1 + ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "a Call is made of a function's address and at most six integers");
        return NULL;
    }
    if (!take(a, &PyTuple_GET_ITEM(given, 0), count))
        return NULL;
    Call *c = (Call *)type->tp_alloc(type, 0);
    if (c == NULL)
        return NULL;
    c->call = call;
    c->function = (void *)(uintptr_t)a[0];
    c->bound = (int)count - 1;
    memcpy(c->arguments, a + 1, sizeof c->arguments);
    return (PyObject *)c;
}

PyTypeObject CallType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.Call",
    .tp_basicsize = sizeof(Call),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = call_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Call, call),
};

/* Single registers of an engine. */
typedef struct {
    PyObject_HEAD
    uc_engine *engine;
} Registers;

static PyObject *registers_new(PyTypeObject *type, PyObject *given, PyObject *names) {
    unsigned long long engine;
    if (!PyArg_ParseTuple(given, "K", &engine))
        return NULL;
    Registers *r = (Registers *)type->tp_alloc(type, 0);
    if (r != NULL)
        r->engine = (void *)(uintptr_t)engine;
    return (PyObject *)r;
}

static PyObject *read_register(PyObject *self, PyObject *number) {
    uint64_t word[2] = {0, 0};
    long id = PyLong_AsLong(number);
    if (id == -1 && PyErr_Occurred())
        return NULL;
    unicorn.reg_read(((Registers *)self)->engine, (int)id, word);
    return PyLong_FromUnsignedLongLong(word[0]);
}

static PyObject *write_register(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    uint64_t a[2], word[2] = {0, 0};
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "write takes a register's number and a value");
        return NULL;
    }
    if (!take(a, given, count))
        return NULL;
    word[0] = a[1];
    return PyLong_FromLong(unicorn.reg_write(((Registers *)self)->engine, (int)a[0], word));
}

static PyMethodDef registers_methods[] = {
    {"read", read_register, METH_O, "A register's value, up to 64 bits."},
    {"write", (PyCFunction)(void *)write_register, METH_FASTCALL, "Writes a register of up to 64 bits; Unicorn's error code."},
    {0},
};

PyTypeObject RegistersType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.Registers",
    .tp_basicsize = sizeof(Registers),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = registers_new,
    .tp_methods = registers_methods,
};
