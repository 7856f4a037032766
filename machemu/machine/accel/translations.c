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
static struct {
    uintptr_t cpu;
    PyObject *watchers; /* NULL for nobody */
} last;                                     /* who was looked up last */
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

/* Looks up who watches a CPU. */
static PyObject *look_up(uintptr_t cpu) {
    PyObject *address = PyLong_FromUnsignedLongLong(cpu);
    PyObject *found = address == NULL ? NULL : PyDict_GetItemWithError(all, address);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(all);
    Py_XDECREF(address);
    last.cpu = cpu;
    Py_XSETREF(last.watchers, Py_XNewRef(found));
    return Py_XNewRef(found);
}

/* Who watches the CPU whose block is being translated. While a watcher is in Python another thread may begin a block of its own. */
static PyObject *watchers_of(uintptr_t cpu) { return cpu == last.cpu ? Py_XNewRef(last.watchers) : look_up(cpu); }

static void tell(PyObject *watchers, int what, uintptr_t block) {
    for (Py_ssize_t n = 0; watchers != NULL && n < PyList_GET_SIZE(watchers); n++) {
        PyObject *each = Py_NewRef(PyList_GET_ITEM(watchers, n));
        if (PyObject_TypeCheck(each, &WatcherType)) {
            Watcher *w = (Watcher *)each;
            void (*function)(Watcher *, uintptr_t) = what == TO_BEGIN_BLOCK ? w->begin_block : what == TO_BEGIN ? w->begin
                                                     : what == TO_END_BLOCK ? w->end_block : w->end_instructions;
            if (function != NULL)
                function(w, block);
        } else
            watcher_tell(each, names[what], block);
        Py_DECREF(each);
    }
}

/* A watcher that waits for its CPU's first block has found it. */
static void place_new(uintptr_t cpu) {
    Py_ssize_t end = PyList_GET_SIZE(fresh) - 1;
    if (end < 0)
        return;
    PyObject *address = PyLong_FromUnsignedLongLong(cpu), *empty = PyList_New(0);
    PyObject *found = address == NULL || empty == NULL ? NULL : PyDict_SetDefault(all, address, empty);
    if (found == NULL || PyList_Append(found, PyList_GET_ITEM(fresh, end)) || PyList_SetSlice(fresh, end, end + 1, NULL))
        PyErr_WriteUnraisable(all);
    Py_XDECREF(empty);
    Py_XDECREF(address);
}

static void begin_block(int table, uintptr_t block, uintptr_t cpu) {
    PyGILState_STATE lock = PyGILState_Ensure();
    place_new(cpu);
    tables[table].begin_block(block, cpu);
    PyObject *watchers = look_up(cpu);
    tell(watchers, TO_BEGIN_BLOCK, block);
    Py_XDECREF(watchers);
    PyGILState_Release(lock);
}

static void begin(int table, uintptr_t block, uintptr_t cpu) {
    PyGILState_STATE lock = PyGILState_Ensure();
    tables[table].begin(block, cpu);
    PyObject *watchers = watchers_of(cpu);
    tell(watchers, TO_BEGIN, block);
    Py_XDECREF(watchers);
    PyGILState_Release(lock);
}

static void end_block(int table, uintptr_t block, uintptr_t cpu) {
    PyGILState_STATE lock = PyGILState_Ensure();
    PyObject *watchers = watchers_of(cpu);
    tell(watchers, TO_END_INSTRUCTIONS, block);
    tables[table].end_block(block, cpu);
    tell(watchers, TO_END_BLOCK, block);
    Py_XDECREF(watchers);
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
