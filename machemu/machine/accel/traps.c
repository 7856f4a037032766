/* Traps done without Python: core/supervisor.py (`system_call`, `emulated_call`), core/traps.py (`mach_thread_self`,
 * `mach_task_self`, `mach_host_self`) and ipc/right.py (`copyout`) say what they do. All is checked before anything changes. */
#include "traps.h"

enum { THREAD_SELF = 27, TASK_SELF = 28, HOST_SELF = 29 };
enum { TYPE_SEND = 1 << 16, UREFS_MAX = 65535 };
#define COUNT_MASK 0xFFFFFFFF

static int64_t floor_divided(int64_t a, int64_t b) {
    int64_t quotient = a / b;
    return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

bool moment_begin(const Traps *traps, const Tally *tally, Moment *m) {
    PyObject *kernel = m->kernel = traps->kernel;
    PyObject *kern = slot(kernel, slots.Kernel_kern), *sched = slot(kern, slots.Kern_sched);
    m->clock = slot(kern, slots.Kern_clock);
    m->thread = slot(sched, slots.Sched_current);
    if (m->thread == Py_None || slot(sched, slots.Sched_ast) != Py_False || slot(sched, slots.Sched_handoff) != Py_None)
        return false;
    int64_t trap_ns, mark, instruction_ns;
    if (!number_in(kernel, slots.Kernel_trap_count, &m->traps) || !number_in(kernel, slots.Kernel_trap_ns, &trap_ns) ||
        !number_in(m->clock, slots.Clock_base, &m->base) || !number_in(m->clock, slots.Clock_mark, &mark) ||
        !number_in(m->clock, slots.Clock_instruction_ns, &instruction_ns))
        return false;
    m->traps++;
    m->base += trap_ns;
    m->target = mark - floor_divided(m->base - limit_in(kernel, slots.Kernel_limit), instruction_ns);
    return m->traps < limit_in(kernel, slots.Kernel_trap_limit) && tally_executed(tally) < m->target;
}

bool moment_end(const Moment *m, Tally *tally) {
    PyObject *traps = PyLong_FromLongLong(m->traps), *base = PyLong_FromLongLong(m->base);
    bool there = traps != NULL && base != NULL;
    if (there) {
        set_slot(m->kernel, slots.Kernel_trap_count, traps);
        set_slot(m->clock, slots.Clock_base, base);
        tally->target = m->target;
    } else
        PyErr_Clear();
    Py_XDECREF(traps);
    Py_XDECREF(base);
    return there;
}

static PyObject *self_port(const Moment *m, int64_t number) {
    if (number == THREAD_SELF)
        return slot(m->thread, slots.Thread_ith_sself);
    if (number == TASK_SELF)
        return slot(slot(m->thread, slots.Thread_task), slots.Task_itk_sself);
    return slot(slot(slot(m->kernel, slots.Kernel_kern), slots.Kern_host), slots.Host_host_self);
}

/* One more user reference of a send right that the space has already. The right itself comes and goes: no count of it changes. */
bool traps_call(const Traps *traps, Tally *tally, int64_t number, uint32_t *result) {
    Moment m;
    if (number < THREAD_SELF || number > HOST_SELF || !moment_begin(traps, tally, &m))
        return false;
    PyObject *port = self_port(&m, number), *space = slot(m.thread, slots.Thread_space);
    if (!Py_IS_TYPE(port, port_class) || slot(port, slots.Port_active) != Py_True ||
        slot(space, slots.Space_active) != Py_True || slot(port, slots.Port_receiver) == space)
        return false;
    PyObject *entry = PyDict_GetItemWithError(slot(space, slots.Space_reverse), slot(port, slots.Port_number));
    int64_t type, urefs, name, made;
    if (entry == NULL || !number_in(entry, slots.Entry_type, &type) || !(type & TYPE_SEND) ||
        !number_in(entry, slots.Entry_urefs, &urefs) || !number_in(entry, slots.Entry_name, &name) ||
        !number_in(port, slots.Port_mscount, &made))
        return false;
    PyObject *more = PyLong_FromLongLong(urefs + 1 < UREFS_MAX ? urefs + 1 : urefs);
    PyObject *making = PyLong_FromLongLong((made + (number == HOST_SELF)) & COUNT_MASK);
    bool there = more != NULL && making != NULL && moment_end(&m, tally);
    if (there) {
        set_slot(entry, slots.Entry_urefs, more);
        set_slot(port, slots.Port_mscount, making);
        *result = (uint32_t)name;
    } else
        PyErr_Clear();
    Py_XDECREF(more);
    Py_XDECREF(making);
    return there;
}

uint32_t traps_handler(const Moment *m, int64_t number) {
    PyObject *vector = slot(slot(m->thread, slots.Thread_task), slots.Task_eml_dispatch);
    if (vector == Py_None)
        return 0;
    int overflow; /* kern/syscall_emulation.py: EmlDispatch is (minimum, handlers) */
    int64_t index = -number - PyLong_AsLongLongAndOverflow(PyTuple_GET_ITEM(vector, 0), &overflow);
    PyObject *handlers = PyTuple_GET_ITEM(vector, 1);
    if (overflow || index < 0 || index >= PyTuple_GET_SIZE(handlers))
        return 0;
    return (uint32_t)PyLong_AsUnsignedLongMask(PyTuple_GET_ITEM(handlers, index));
}

static PyObject *traps_new(PyTypeObject *type, PyObject *given, PyObject *names) {
    PyObject *kernel;
    if (!PyArg_ParseTuple(given, "O", &kernel))
        return NULL;
    Traps *traps = (Traps *)type->tp_alloc(type, 0);
    if (traps != NULL)
        traps->kernel = Py_NewRef(kernel);
    return (PyObject *)traps;
}

static int traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((Traps *)self)->kernel);
    return 0;
}

static int clear(PyObject *self) {
    Py_CLEAR(((Traps *)self)->kernel);
    return 0;
}

static void dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    clear(self);
    Py_TYPE(self)->tp_free(self);
}

PyTypeObject TrapsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.Traps",
    .tp_basicsize = sizeof(Traps),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = traps_new,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_dealloc = dealloc,
};
