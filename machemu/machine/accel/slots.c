/* Where the slots of Python's objects are: the classes' own descriptors say so. */
#include "slots.h"
#include <structmember.h>

Slots slots;
PyTypeObject *port_class;

static const struct {
    const char *class, *name;
    Py_ssize_t *offset;
} wanted[] = {
#define SLOT(class, name) {#class, #name, &slots.class##_##name},
    SLOTS
#undef SLOT
};

bool slots_find(PyObject *classes) {
    for (size_t n = 0; n < sizeof wanted / sizeof *wanted; n++) {
        PyObject *class = PyDict_GetItemString(classes, wanted[n].class);
        if (class == NULL)
            continue;
        PyObject *descriptor = PyObject_GetAttrString(class, wanted[n].name);
        if (descriptor == NULL)
            return false;
        bool is_slot = Py_IS_TYPE(descriptor, &PyMemberDescr_Type);
        if (is_slot)
            *wanted[n].offset = ((PyMemberDescrObject *)descriptor)->d_member->offset;
        else
            PyErr_Format(PyExc_TypeError, "%s has no slot %s", wanted[n].class, wanted[n].name);
        Py_DECREF(descriptor);
        if (!is_slot)
            return false;
    }
    PyObject *port = PyDict_GetItemString(classes, "Port");
    if (port != NULL)
        Py_XSETREF(port_class, (PyTypeObject *)Py_NewRef(port));
    return true;
}

bool words_in(PyObject *object, Py_ssize_t offset, uint32_t *words, Py_ssize_t count) {
    PyObject *list = slot(object, offset);
    if (list == NULL || !PyList_Check(list) || PyList_GET_SIZE(list) != count) {
        PyErr_Format(PyExc_TypeError, "a thread has a list of %zd such registers", count);
        return false;
    }
    for (Py_ssize_t n = 0; n < count; n++)
        words[n] = (uint32_t)PyLong_AsUnsignedLongMask(PyList_GET_ITEM(list, n));
    return !PyErr_Occurred();
}

bool set_words(PyObject *object, Py_ssize_t offset, const uint32_t *words, Py_ssize_t count) {
    PyObject *list = PyList_New(count);
    for (Py_ssize_t n = 0; list != NULL && n < count; n++) {
        PyObject *number = PyLong_FromUnsignedLong(words[n]);
        if (number == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, n, number);
    }
    if (list == NULL)
        return false;
    set_slot(object, offset, list);
    Py_DECREF(list);
    return true;
}

bool is_code(PyObject *memory, uint32_t frame) {
    PyObject *number = PyLong_FromUnsignedLong(frame);
    int found = number == NULL ? -1 : PyDict_Contains(slot(memory, slots.PhysicalMemory_code_frames), number);
    Py_XDECREF(number);
    if (found < 0)
        PyErr_Clear();
    return found != 0;
}
