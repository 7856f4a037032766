/* The module: what Python sees of the extension. interface.py says what each part is. */
#include "deaths.h"
#include "translations.h"

Unicorn unicorn;
PyObject *invariant_error;

/* Takes what invariants are broken by, and the addresses of Unicorn's functions. */
static PyObject *bind(PyObject *module, PyObject *given) {
    unsigned long long reg_read, reg_write, emu_start, emu_stop;
    PyObject *error;
    if (!PyArg_ParseTuple(given, "OKKKK", &error, &reg_read, &reg_write, &emu_start, &emu_stop))
        return NULL;
    Py_XSETREF(invariant_error, Py_NewRef(error));
    unicorn.reg_read = (void *)(uintptr_t)reg_read;
    unicorn.reg_write = (void *)(uintptr_t)reg_write;
    unicorn.emu_start = (void *)(uintptr_t)emu_start;
    unicorn.emu_stop = (void *)(uintptr_t)emu_stop;
    Py_RETURN_NONE;
}

static PyObject *bind_slots(PyObject *module, PyObject *classes) {
    if (!PyDict_Check(classes))
        return PyErr_Format(PyExc_TypeError, "bind_slots takes a dict of classes");
    if (!slots_find(classes))
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_VARARGS, NULL},
    {"bind_slots", bind_slots, METH_O, NULL},
    {"watch_translations", translations_watch, METH_VARARGS, NULL},
    {"guard_deaths", deaths_guard, METH_NOARGS, NULL},
    {"leave_deaths", deaths_leave, METH_NOARGS, NULL},
    {0},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "native",
    .m_doc = "The machines' fast paths in C.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_native(void) {
    PyObject *made = PyModule_Create(&module);
    PyTypeObject *types[] = {&CallType,  &RegistersType, &TallyType,   &TrapsType,  &ExitsType,
                             &I386ExitsType, &M68kExitsType, &WatcherType, &CountingType, &ScreenType};
    for (size_t n = 0; made != NULL && n < sizeof types / sizeof *types; n++)
        if (PyModule_AddType(made, types[n]) < 0)
            Py_CLEAR(made);
    return made;
}
