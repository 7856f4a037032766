/* Which instructions of the i386 are looked at before they are translated: machine/i386/guard.py (`begin`) says it. */
#include "translations.h"
#include <structmember.h>

enum { NEXT = 16, DONE = 28, MOST = 32, FLAGS = 16, RESUME = 0x10000 }; /* machine/translator.py: X86 */
enum { PAGE_SIZE = 4096, LONGEST = 15, PAGE_END = PAGE_SIZE - 2 * LONGEST + 2, ESCAPE = 0x0F };

typedef struct {
    Watcher watcher;
    PyObject *guard, *replaced, *fetch; /* the Guard, and its `replaced` and `_fetch` */
    PyObject *begin, *look, *put_back, *end_instructions; /* names of its methods */
    uint8_t first[256], second[256];    /* SUSPECT and SUSPECT_SECOND */
    const uint8_t *ram;
    int64_t size;                       /* of RAM, in bytes */
    uint64_t page;
    int64_t frame;                      /* where in RAM the page is, -1 for nowhere */
    char all;                           /* the guard is asked of each instruction */
} Screen;

static void tell_nothing(Screen *s, PyObject *method) {
    PyObject *result = PyObject_CallMethodNoArgs(s->guard, method);
    if (result == NULL)
        PyErr_WriteUnraisable(s->guard);
    Py_XDECREF(result);
}

/* Where in RAM the code of a page is, as the guard says; -1 for nowhere. */
static int64_t frame_of(Screen *s, uint64_t page) {
    PyObject *address = PyLong_FromUnsignedLongLong(page);
    PyObject *place = address == NULL ? NULL : PyObject_CallOneArg(s->fetch, address);
    long long frame = place == NULL ? -1 : PyLong_AsLongLong(place);
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(s->guard);
        frame = -1;
    }
    Py_XDECREF(place);
    Py_XDECREF(address);
    return frame > s->size - PAGE_SIZE ? -1 : frame;
}

static bool is_suspect(const Screen *s, uint64_t offset) {
    const uint8_t *code = s->ram + s->frame + offset;
    if (code[0] != ESCAPE)
        return s->first[code[0]];
    return offset + 1 == PAGE_SIZE || s->second[code[1]]; /* what lies in the next page is the guard's to find */
}

static void begin(Watcher *watcher, uintptr_t block) {
    Screen *s = (Screen *)watcher;
    if (s->all) {
        watcher_tell(s->guard, s->begin, block);
        return;
    }
    if (PyList_GET_SIZE(s->replaced))
        tell_nothing(s, s->put_back);
    uint64_t address = address_at(block + NEXT, true);
    uint32_t done = *number_at(block, DONE);
    if (*number_at(*(uintptr_t *)block, FLAGS) & RESUME || address % PAGE_SIZE >= PAGE_END)
        *number_at(block, MOST) = done;
    if (done == 1 || address - s->page >= PAGE_SIZE) {
        s->page = address & -(uint64_t)PAGE_SIZE;
        s->frame = frame_of(s, s->page);
    }
    if (s->frame >= 0 && is_suspect(s, address - s->page))
        watcher_tell(s->guard, s->look, block);
}

static void end_instructions(Watcher *watcher, uintptr_t block) {
    Screen *s = (Screen *)watcher;
    if (PyList_GET_SIZE(s->replaced))
        watcher_tell(s->guard, s->end_instructions, block);
}

static PyObject *refuses_breakpoint(PyObject *self, PyObject *block) {
    return PyObject_CallMethod(((Screen *)self)->guard, "refuses_breakpoint", "O", block);
}

static PyObject *screen_new(PyTypeObject *type, PyObject *given, PyObject *names) {
    PyObject *guard, *replaced, *fetch;
    Py_buffer first, second;
    unsigned long long ram;
    long long size;
    if (!PyArg_ParseTuple(given, "OO!OKLy*y*", &guard, &PyList_Type, &replaced, &fetch, &ram, &size, &first, &second))
        return NULL;
    Screen *s = (Screen *)type->tp_alloc(type, 0);
    if (s != NULL && (first.len != sizeof s->first || second.len != sizeof s->second)) {
        PyErr_Format(PyExc_ValueError, "there is a byte for each first byte, and for each second one");
        Py_CLEAR(s);
    }
    if (s != NULL) {
        memcpy(s->first, first.buf, sizeof s->first);
        memcpy(s->second, second.buf, sizeof s->second);
        s->watcher.begin = begin;
        s->watcher.end_instructions = end_instructions;
        s->guard = Py_NewRef(guard);
        s->replaced = Py_NewRef(replaced);
        s->fetch = Py_NewRef(fetch);
        s->ram = (void *)(uintptr_t)ram;
        s->size = size;
        s->frame = -1;
        s->begin = PyUnicode_InternFromString("begin");
        s->look = PyUnicode_InternFromString("look");
        s->put_back = PyUnicode_InternFromString("put_back");
        s->end_instructions = PyUnicode_InternFromString("end_instructions");
        if (s->begin == NULL || s->look == NULL || s->put_back == NULL || s->end_instructions == NULL)
            Py_CLEAR(s);
    }
    PyBuffer_Release(&first);
    PyBuffer_Release(&second);
    return (PyObject *)s;
}

static int traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((Screen *)self)->guard);
    Py_VISIT(((Screen *)self)->fetch);
    return 0;
}

/* What is called while Unicorn translates is NULL then, as is what it would need. */
static int clear(PyObject *self) {
    Screen *s = (Screen *)self;
    s->watcher.begin = s->watcher.end_instructions = NULL;
    Py_CLEAR(s->guard);
    Py_CLEAR(s->fetch);
    return 0;
}

static void dealloc(PyObject *self) {
    Screen *s = (Screen *)self;
    PyObject_GC_UnTrack(self);
    clear(self);
    Py_XDECREF(s->replaced);
    Py_XDECREF(s->begin);
    Py_XDECREF(s->look);
    Py_XDECREF(s->put_back);
    Py_XDECREF(s->end_instructions);
    Py_TYPE(self)->tp_free(self);
}

static PyMemberDef members[] = {{"all", T_BOOL, offsetof(Screen, all), 0, NULL}, {0}};

static PyMethodDef methods[] = {{"refuses_breakpoint", refuses_breakpoint, METH_O, NULL}, {0}};

PyTypeObject ScreenType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.Screen",
    .tp_basicsize = sizeof(Screen),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_base = &WatcherType,
    .tp_members = members,
    .tp_methods = methods,
    .tp_new = screen_new,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_dealloc = dealloc,
};
