/* Ways out of user mode on the i386 without Python: machine/i386/exits.py says what they are.
 *
 * The code segment behind the gate of `lcall $7,$0` is marked as not present while the engine runs: Unicorn's way through a call
 * gate costs most of a trap. The exception that this raises is the trap. What is not that instruction, or unusual, goes through
 * the gate itself, to Python. `lar` shows a guest its gate's bits, but nothing of a segment of the kernel's. */
#include "i386.h"

enum { NOT_PRESENT = 11, PAGE_FAULT = 14, TRAP_INTERRUPT = 0x30, EMULATED_INTERRUPT = 0x80 };
enum { KERNEL_CS = 8, ERROR_WRITE = 2, ERROR_FETCH = 16, FPU_SUMMARY = 0x80 };
enum { USER_CS = 0x17, USER_DS = 0x1F, RPL = 3, CODE_PRESENT = 0x80, LCALL_SIZE = 7 };
enum { EFL_TF = 0x100, EFL_RF = 0x10000, EFL_VM = 0x20000 };

static void open_gate(I386Exits *cpu) { *cpu->gate |= CODE_PRESENT; }

static void close_gate(I386Exits *cpu) {
    if (cpu->x.plain)
        *cpu->gate &= (uint8_t)~CODE_PRESENT;
}

static void to_python(I386Exits *cpu, uint32_t number) {
    open_gate(cpu);
    exits_to_python(&cpu->x, number);
    close_gate(cpu);
}

/* Whether the instruction is `lcall` to the gate in the usual form, and nothing in the thread's state makes it unusual. */
static bool is_usual_trap(const I386Exits *cpu) {
    const I386State *s = cpu->state;
    if (s->segs[CS].selector != USER_CS || s->eflags & (EFL_TF | EFL_RF | EFL_VM))
        return false;
    if (s->segs[SS].selector != USER_DS) /* the way back to a stack of 16 bits changes the upper half of ESP */
        return false;
    for (int segment = ES; segment <= DS; segment += DS - ES) /* a null selector that the way back would make 0 */
        if (s->segs[segment].selector != 0 && s->segs[segment].selector <= RPL)
            return false;
    uint32_t eip = (uint32_t)s->eip;
    const uint8_t *code = (eip & 4095) > 4096 - LCALL_SIZE ? NULL : i386_peek(cpu, eip); /* across pages it is left to the gate */
    return code != NULL && code[0] == 0x9A && code[5] == 7 && code[6] == 0;
}

/* The trap goes to its task's handler: flags and the place to go back to are on the thread's stack then. */
static bool redirected(I386Exits *cpu, int64_t number) {
    Moment m;
    uint32_t handler, esp = (uint32_t)cpu->state->regs[ESP] - 8;
    uint64_t flags = 0;
    if (!moment_begin((Traps *)cpu->x.traps, cpu->x.tally, &m) || (handler = traps_handler(&m, number)) == 0 || (esp & 4095) > 4096 - 8)
        return false;
    uint8_t *frame = i386_peek(cpu, esp);
    if (frame == NULL || is_code(cpu->x.memory, (uint32_t)((frame - cpu->x.ram) >> 12)) || i386_stored(cpu, esp) == NULL)
        return false;
    unicorn.reg_read(cpu->x.engine, cpu->flags, &flags);
    if (!moment_end(&m, cpu->x.tally))
        return false;
    uint32_t pushed[2] = {(uint32_t)flags, (uint32_t)cpu->state->eip};
    memcpy(frame, pushed, sizeof pushed);
    cpu->state->regs[ESP] = esp;
    cpu->state->eip = handler;
    return true;
}

/* A trap whose instruction is behind the thread already. */
static void trap(I386Exits *cpu) {
    I386State *s = cpu->state;
    int64_t number = -(int64_t)(int32_t)(uint32_t)s->regs[EAX];
    uint32_t result;
    bool done = false;
    if (exits_do_traps(&cpu->x)) {
        if (cpu->x.redirects && redirected(cpu, number))
            done = true;
        else if (!cpu->x.redirects && traps_call((Traps *)cpu->x.traps, cpu->x.tally, number, &result)) {
            s->regs[EAX] = result;
            done = true;
        }
    }
    if (done) {
        cpu->x.whole++;
        tally_keep_to_target(cpu->x.tally);
        return;
    }
    cpu->x.entered++;
    cpu->words[cpu->stack - 2] = (uint32_t)s->regs[ESP];
    cpu->words[cpu->stack - 4] = (uint32_t)s->eip;
    open_gate(cpu);
    exits_call(cpu->direct_trap, PyLong_FromLongLong(number), NULL);
    close_gate(cpu);
}

/* The registers from which Unicorn works out the flags are what they were before the instruction: Counting.put_back. */
static void put_flags_back(I386Exits *cpu) {
    uint64_t *counts = cpu->x.counts;
    if (counts[KEPT_AT] != 0 && counts[KEPT_AT] == counts[SUM] + counts[BEGUN])
        memcpy(cpu->state->flag_sources, &counts[KEPT], sizeof cpu->state->flag_sources);
}

/* `int $0x80` of a task with an emulation vector: whether its handler comes next. */
static bool emulated_interrupt(I386Exits *cpu) {
    const I386State *s = cpu->state;
    if (!cpu->x.redirects || !exits_do_traps(&cpu->x) || s->segs[CS].selector != USER_CS || s->eflags & (EFL_TF | EFL_RF | EFL_VM))
        return false;
    *cpu->pending = -1;
    put_flags_back(cpu);
    if (!redirected(cpu, -(int64_t)(int32_t)(uint32_t)s->regs[EAX]))
        return false;
    cpu->x.whole++;
    tally_keep_to_target(cpu->x.tally);
    return true;
}

static void gate(I386Exits *cpu) {
    *cpu->pending = -1;
    put_flags_back(cpu);
    if (is_usual_trap(cpu)) {
        cpu->state->eip = (uint32_t)(cpu->state->eip + LCALL_SIZE);
        trap(cpu);
    } else {
        open_gate(cpu); /* until the trap comes from the stub */
        cpu->x.tally->overhead++;
        tally_keep_to_target(cpu->x.tally);
    }
}

/* A load or store met an entry that Unicorn's tables have not. Whether it is there now, or the kernel has been told of the fault. */
static bool page_fault(I386Exits *cpu) {
    bool write = *cpu->error_code & ERROR_WRITE, made;
    uint64_t address = 0;
    if (write && cpu->fpu_status != NULL && *cpu->fpu_status & FPU_SUMMARY)
        return false; /* Python looks whether it is a store of the FPU's */
    unicorn.reg_read(cpu->x.engine, cpu->cr2, &address);
    if (cpu->state->segs[CS].selector != USER_CS || PyList_GET_SIZE(cpu->replaced) || !i386_fill(cpu, (uint32_t)address, write, &made))
        return false;
    *cpu->pending = -1;
    put_flags_back(cpu);
    cpu->x.tally->overhead++;
    if (made)
        tally_keep_to_target(cpu->x.tally);
    else {
        open_gate(cpu);
        bool there = exits_page_fault(&cpu->x, (uint32_t)address, write);
        close_gate(cpu);
        if (there) {
            i386_fill(cpu, (uint32_t)address, write, &made); /* where it cannot be made now, the next fault is Python's */
            exits_go_on(&cpu->x);
        }
    }
    return true;
}

/* Unicorn's hook on interrupts. */
static void interrupt(uc_engine *engine, uint32_t number, void *data) {
    I386Exits *cpu = data;
    exits_catch_up(&cpu->x);
    if (cpu->x.plain && !cpu->x.tally->stopped) {
        bool software = *cpu->is_software;
        if (number == NOT_PRESENT && !software && *cpu->error_code == KERNEL_CS && !(*cpu->gate & CODE_PRESENT)) {
            gate(cpu);
            return;
        }
        if (number == EMULATED_INTERRUPT && software && emulated_interrupt(cpu))
            return;
        if (number == PAGE_FAULT && !software && !(*cpu->error_code & ERROR_FETCH) && page_fault(cpu))
            return;
    }
    if (number == TRAP_INTERRUPT)
        cpu->x.left++;
    to_python(cpu, number);
}

/* Around each run: what is in the host's own status word of floating point is none of the guest's. */
static void starts(Exits *x, bool running) {
    I386Exits *cpu = (I386Exits *)x;
    if (!running)
        open_gate(cpu);
    else {
        if (cpu->forget_flags != NULL)
            cpu->forget_flags();
        close_gate(cpu);
    }
}

static uint32_t pc(const Exits *x) { return (uint32_t)((const I386Exits *)x)->state->eip; }

static PyObject *exits_new(PyTypeObject *type, PyObject *given, PyObject *names) {
    static char *keywords[] = {"cpu", "engine", "ram", "state", "error_code", "is_software", "pending", "counts", "shadow", "shadow_of",
                               "stack", "gate", "forget_flags", "replaced", "cr2", "flags", "fpu_status", NULL};
    PyObject *tally, *shadow_of, *replaced;
    unsigned long long engine, ram, state, error_code, is_software, pending, counts, shadow, gate, forget_flags, fpu_status;
    unsigned int stack;
    int cr2, flags;
    if (!PyArg_ParseTupleAndKeywords(given, names, "O!KKKKKKKKO!IKKO!iiK", keywords, &TallyType, &tally, &engine, &ram, &state,
                                     &error_code, &is_software, &pending, &counts, &shadow, &PyDict_Type, &shadow_of, &stack,
                                     &gate, &forget_flags, &PyList_Type, &replaced, &cr2, &flags, &fpu_status))
        return NULL;
    I386Exits *cpu = (I386Exits *)type->tp_alloc(type, 0);
    if (cpu == NULL)
        return NULL;
    cpu->shadow_of = Py_NewRef(shadow_of);
    cpu->replaced = Py_NewRef(replaced);
    cpu->state = (void *)(uintptr_t)state;
    cpu->error_code = (void *)(uintptr_t)error_code;
    cpu->is_software = (void *)(uintptr_t)is_software;
    cpu->pending = (void *)(uintptr_t)pending;
    cpu->words = (void *)(uintptr_t)ram;
    cpu->shadow = (void *)(uintptr_t)shadow;
    cpu->stack = stack;
    cpu->gate = (void *)(uintptr_t)gate;
    cpu->forget_flags = (void (*)(void))(uintptr_t)forget_flags;
    cpu->cr2 = cr2;
    cpu->flags = flags;
    cpu->fpu_status = (void *)(uintptr_t)fpu_status;
    cpu->x.starts = starts;
    cpu->x.hook = interrupt;
    cpu->x.architecture = "i386";
    cpu->x.pc = pc;
    cpu->direct_trap = PyObject_GetAttrString(tally, "_direct_trap");
    if (!exits_begin(&cpu->x, tally, engine, counts, ram) || cpu->direct_trap == NULL)
        Py_CLEAR(cpu);
    return (PyObject *)cpu;
}

static int traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((I386Exits *)self)->direct_trap);
    return ExitsType.tp_traverse(self, visit, arg);
}

static int clear(PyObject *self) {
    Py_CLEAR(((I386Exits *)self)->direct_trap);
    return ExitsType.tp_clear(self);
}

static void dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((I386Exits *)self)->direct_trap);
    Py_CLEAR(((I386Exits *)self)->shadow_of);
    Py_CLEAR(((I386Exits *)self)->replaced);
    ExitsType.tp_dealloc(self);
}

static PyMethodDef methods[] = {
    {"put", i386_put, METH_O, NULL},
    {"take", i386_take, METH_O, NULL},
    {0},
};

PyTypeObject I386ExitsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.I386Exits",
    .tp_basicsize = sizeof(I386Exits),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_base = &ExitsType,
    .tp_methods = methods,
    .tp_new = exits_new,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_dealloc = dealloc,
};
