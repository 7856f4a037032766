/* The functions in the translators' tables, in the place of those of Python: machine/translator.py (`_install`).
 *
 * Python's lock is taken, since others may have engines of their own in this process, which run without it. */
#include "translations.h"

enum { TABLES = 2, BEGIN_BLOCK = 1, INSTRUCTION = 2, BLOCK_END = 5 };

typedef void (*Function)(uintptr_t block, uintptr_t cpu);

static struct {
    Function begin_block, begin, end_block; /* Unicorn's own */
} tables[TABLES];
static int installed;
static PyObject *all, *fresh;               /* `_watchers` and `_new` */
static PyObject *watchers;                  /* of the CPU that translates; NULL for none */
static PyObject *names[4];                  /* of a Watcher's methods in Python */
enum { TO_BEGIN_BLOCK, TO_BEGIN, TO_END_INSTRUCTIONS, TO_END_BLOCK };

void watcher_tell(PyObject *watcher, PyObject *method, uintptr_t block) {
    PyObject *address = PyLong_FromUnsignedLongLong(block);
    PyObject *result = address == NULL ? NULL : PyObject_CallMethodOneArg(watcher, method, address);
    if (result == NULL)
        PyErr_WriteUnraisable(watcher);
    Py_XDECREF(result);
    Py_XDECREF(address);
}

static void tell(int what, uintptr_t block) {
    for (Py_ssize_t n = 0; watchers != NULL && n < PyList_GET_SIZE(watchers); n++) {
        PyObject *each = PyList_GET_ITEM(watchers, n);
        if (!PyObject_TypeCheck(each, &WatcherType)) {
            watcher_tell(each, names[what], block);
            continue;
        }
        Watcher *w = (Watcher *)each;
        void (*function)(Watcher *, uintptr_t) = what == TO_BEGIN_BLOCK ? w->begin_block : what == TO_BEGIN ? w->begin
                                                 : what == TO_END_BLOCK ? w->end_block : w->end_instructions;
        if (function != NULL)
            function(w, block);
    }
}

/* Finds who watches a CPU; a watcher that waits for its CPU's first block has found it. */
static bool look_up(uintptr_t cpu) {
    PyObject *address = PyLong_FromUnsignedLongLong(cpu), *found = NULL;
    if (address != NULL && PyList_GET_SIZE(fresh)) {
        Py_ssize_t last = PyList_GET_SIZE(fresh) - 1;
        PyObject *empty = PyList_New(0);
        found = empty == NULL ? NULL : PyDict_SetDefault(all, address, empty);
        Py_XDECREF(empty);
        if (found != NULL && (PyList_Append(found, PyList_GET_ITEM(fresh, last)) || PyList_SetSlice(fresh, last, last + 1, NULL)))
            found = NULL;
    } else if (address != NULL)
        found = PyDict_GetItemWithError(all, address);
    Py_XDECREF(address);
    Py_XSETREF(watchers, Py_XNewRef(found));
    return !PyErr_Occurred();
}

static void begin_block(int table, uintptr_t block, uintptr_t cpu) {
    PyGILState_STATE lock = PyGILState_Ensure();
    if (!look_up(cpu))
        PyErr_WriteUnraisable(all);
    tables[table].begin_block(block, cpu);
    tell(TO_BEGIN_BLOCK, block);
    PyGILState_Release(lock);
}

static void begin(int table, uintptr_t block, uintptr_t cpu) {
    PyGILState_STATE lock = PyGILState_Ensure();
    tables[table].begin(block, cpu);
    tell(TO_BEGIN, block);
    PyGILState_Release(lock);
}

static void end_block(int table, uintptr_t block, uintptr_t cpu) {
    PyGILState_STATE lock = PyGILState_Ensure();
    tell(TO_END_INSTRUCTIONS, block);
    tables[table].end_block(block, cpu);
    tell(TO_END_BLOCK, block);
    PyGILState_Release(lock);
}

/* Unicorn's functions are told nothing of their table: each table has its own. */
#define FUNCTIONS(n)                                                                                    \
    static void begin_block_##n(uintptr_t block, uintptr_t cpu) { begin_block(n, block, cpu); }         \
    static void begin_##n(uintptr_t block, uintptr_t cpu) { begin(n, block, cpu); }                     \
    static void end_block_##n(uintptr_t block, uintptr_t cpu) { end_block(n, block, cpu); }
FUNCTIONS(0)
FUNCTIONS(1)

static const Function ours[TABLES][3] = {{begin_block_0, begin_0, end_block_0}, {begin_block_1, begin_1, end_block_1}};

PyObject *translations_watch(PyObject *module, PyObject *given) {
    static const char *const methods[] = {"begin_block", "begin", "end_instructions", "end_block"};
    unsigned long long place;
    PyObject *by_cpu, *waiting;
    if (!PyArg_ParseTuple(given, "KO!O!", &place, &PyDict_Type, &by_cpu, &PyList_Type, &waiting))
        return NULL;
    if (installed == TABLES)
        return PyErr_Format(PyExc_ValueError, "there are two translators at most");
    for (int n = 0; n < 4; n++)
        if (names[n] == NULL && (names[n] = PyUnicode_InternFromString(methods[n])) == NULL)
            return NULL;
    Py_XSETREF(all, Py_NewRef(by_cpu));
    Py_XSETREF(fresh, Py_NewRef(waiting));
    Function *functions = (Function *)(uintptr_t)place;
    tables[installed].begin_block = functions[BEGIN_BLOCK];
    tables[installed].begin = functions[INSTRUCTION];
    tables[installed].end_block = functions[BLOCK_END];
    functions[BEGIN_BLOCK] = ours[installed][0];
    functions[INSTRUCTION] = ours[installed][1];
    functions[BLOCK_END] = ours[installed][2];
    installed++;
    Py_RETURN_NONE;
}

static PyObject *refuses_breakpoint(PyObject *self, PyObject *block) { Py_RETURN_FALSE; }

static PyMethodDef methods[] = {{"refuses_breakpoint", refuses_breakpoint, METH_O, NULL}, {0}};

PyTypeObject WatcherType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.Watcher",
    .tp_basicsize = sizeof(Watcher),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_methods = methods,
};
