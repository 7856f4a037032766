/* Ways out of user mode on the m68k without Python: machine/m68k/exits.py (`_trap`, `_access_fault`), machine/m68k/pmap.py
 * (`translate`) and machine/m68k/flags.py (`read`) say what they are. A place in RAM comes from the pmap's own tables alone. */
#include "exits.h"

enum { ACCESS_FAULT = 2, ILLEGAL = 4, TRAP = 32 };
enum { D0 = 0, SP = 15, REGISTERS, PC = 16, CC_OP = 22, CC_X, CC_N, CC_V, CC_C, CC_Z };
enum { PAGE_SHIFT = 13, PAGE_SIZE = 1 << PAGE_SHIFT, TABLE_SHIFT = 18, ROOT_SHIFT = 25 };
enum { PAGE_RESIDENT = 1, TABLE_RESIDENT = 2, WRITE_PROTECTED = 4, USED = 8, MODIFIED = 0x10, WRITABLE = 0x800 };
enum { ACCESS_CODE = 2, ACCESS_READ = 0x100, TRAP_SIZE = 2, NUMBER_SIZE = 4, REDIRECT_FRAME = 10 };
enum { RTR = 0x4E77, RTR_FRAME = 6 };
enum { FLAGS = 1, ADD = 2, SUBTRACT = 5, COMPARE = 8, LOGIC = 11 }; /* how the condition codes are kept: CC_OP */
#define OFFSET (PAGE_SIZE - 1u)
#define POINTER_MASK 0xFFFFFE00u
#define TABLE_MASK 0xFFFFFF80u

typedef struct {
    Exits x;
    PyObject *undone;  /* bytes: by first word, whether a fault of the instruction has something to undo */
    uint32_t *words;   /* the CPU's state: machine/m68k/engine.py */
    uint32_t fault_address, fault_status; /* indices in it */
} M68kExits;

static uint32_t get(const uint8_t *place) {
    return (uint32_t)place[0] << 24 | (uint32_t)place[1] << 16 | (uint32_t)place[2] << 8 | place[3];
}

static void put(uint8_t *place, uint32_t word) {
    for (int n = 0; n < 4; n++)
        place[n] = (uint8_t)(word >> (24 - 8 * n));
}

/* Where a page's descriptor is; NULL where it is not resident. */
static uint8_t *descriptor(const M68kExits *cpu, uint32_t address) {
    int64_t root;
    if (!number_in(cpu->x.pmap, slots.M68kPmap_root, &root))
        return NULL;
    uint32_t entry = get(cpu->x.ram + root + 4 * (address >> ROOT_SHIFT));
    if (!(entry & TABLE_RESIDENT))
        return NULL;
    entry = get(cpu->x.ram + (entry & POINTER_MASK) + 4 * (address >> TABLE_SHIFT & 0x7F));
    if (!(entry & TABLE_RESIDENT))
        return NULL;
    uint8_t *page = cpu->x.ram + (entry & TABLE_MASK) + 4 * (address >> PAGE_SHIFT & 0x1F);
    return get(page) & PAGE_RESIDENT ? page : NULL;
}

static uint8_t *translate(const M68kExits *cpu, uint32_t address, bool write) {
    uint8_t *place = descriptor(cpu, address);
    if (place == NULL)
        return NULL;
    uint32_t entry = get(place);
    if (write) {
        if (!(entry & WRITABLE))
            return NULL;
        if ((entry & (MODIFIED | WRITE_PROTECTED)) != MODIFIED)
            put(place, (entry & ~WRITE_PROTECTED) | USED | MODIFIED);
    } else if (!(entry & USED))
        put(place, entry | USED);
    return cpu->x.ram + (entry & ~OFFSET) + (address & OFFSET);
}

static uint32_t extended(uint32_t value, uint32_t size) {
    return size == 0 ? (uint32_t)(int8_t)value : size == 1 ? (uint32_t)(int16_t)value : value;
}

/* The condition codes: X, N, Z, V, C from bit 4 down. */
static uint32_t condition_codes(const uint32_t *words) {
    uint32_t how = words[CC_OP], x = words[CC_X], n = words[CC_N], v = words[CC_V], z = n == 0, c = x, result = n;
    if (how == FLAGS) {
        z = words[CC_Z] == 0;
        c = words[CC_C];
    } else if (how == LOGIC)
        v = c = 0;
    else if (how >= COMPARE) {
        result = extended(n - v, how - COMPARE);
        z = result == 0;
        c = n < v;
        v = (result ^ n) & (n ^ v);
    } else if (how >= SUBTRACT) {
        uint32_t first = extended(n + v, how - SUBTRACT);
        v = (n ^ first) & (first ^ v);
    } else {
        uint32_t first = extended(n - v, how - ADD);
        v = (n ^ first) & ~(first ^ v);
    }
    return x << 4 | result >> 31 << 3 | z << 2 | v >> 31 << 1 | c;
}

static void set_condition_codes(uint32_t *words, uint32_t codes) {
    words[CC_OP] = FLAGS;
    words[CC_X] = codes >> 4 & 1;
    words[CC_N] = codes & 8 ? UINT32_MAX : 0;
    words[CC_V] = codes & 2 ? UINT32_MAX : 0;
    words[CC_C] = codes & 1;
    words[CC_Z] = !(codes & 4);
}

/* The trap goes to its task's handler: its number, the status register and the place to go back to are on the stack then. */
static bool redirected(M68kExits *cpu, int32_t number, uint32_t sp) {
    Moment m;
    uint32_t handler, top = sp - REDIRECT_FRAME;
    if (!moment_begin((Traps *)cpu->x.traps, cpu->x.tally, &m) || (handler = traps_handler(&m, -(int64_t)number)) == 0 ||
        (top & OFFSET) > PAGE_SIZE - REDIRECT_FRAME)
        return false;
    uint8_t *place = descriptor(cpu, top);
    if (place == NULL || is_code(cpu->x.memory, get(place) >> PAGE_SHIFT))
        return false;
    uint8_t *frame = translate(cpu, top, true);
    if (frame == NULL || !moment_end(&m, cpu->x.tally))
        return false;
    uint32_t codes = condition_codes(cpu->words);
    put(frame, (uint32_t)number);
    frame[4] = 0;
    frame[5] = (uint8_t)codes;
    put(frame + 6, cpu->words[PC] + TRAP_SIZE);
    cpu->words[SP] = top;
    cpu->words[PC] = handler;
    return true;
}

/* trap #0: whether it was done here. Nothing has changed otherwise. */
static bool trap(M68kExits *cpu) {
    uint32_t *words = cpu->words, sp = words[SP], result;
    if (!exits_do_traps(&cpu->x) || (sp & OFFSET) > PAGE_SIZE - NUMBER_SIZE)
        return false;
    const uint8_t *place = translate(cpu, sp, false);
    if (place == NULL)
        return false;
    int32_t number = (int32_t)get(place);
    if (cpu->x.redirects) {
        if (!redirected(cpu, number, sp + NUMBER_SIZE))
            return false;
    } else {
        if (!traps_call((Traps *)cpu->x.traps, cpu->x.tally, -(int64_t)number, &result))
            return false;
        words[D0] = result;
        words[SP] = sp + NUMBER_SIZE;
        words[PC] += TRAP_SIZE;
    }
    cpu->x.tally->frame = 4 * TRAP;
    tally_keep_to_target(cpu->x.tally);
    return true;
}

/* rtr, by which handlers of traps go back, and which Unicorn has not: whether it was done. machine/m68k/missing.py: execute. */
static bool return_and_restore(M68kExits *cpu) {
    uint32_t *words = cpu->words, pc = words[PC], sp = words[SP];
    if (pc & 1 || (pc & OFFSET) > PAGE_SIZE - 2 || (sp & OFFSET) > PAGE_SIZE - RTR_FRAME)
        return false;
    const uint8_t *code = translate(cpu, pc, false);
    if (code == NULL || code[0] != RTR >> 8 || code[1] != (RTR & 0xFF))
        return false;
    const uint8_t *frame = translate(cpu, sp, false);
    if (frame == NULL)
        return false;
    uint32_t codes = frame[1];
    set_condition_codes(words, codes);
    words[PC] = get(frame + 2);
    words[SP] = sp + RTR_FRAME;
    return true;
}

/* A load or store that the page tables refuse: whether it was seen to. */
static bool page_fault(M68kExits *cpu) {
    uint32_t *words = cpu->words, status = words[cpu->fault_status], address = words[cpu->fault_address];
    if (status & ACCESS_CODE)
        return false;
    const uint8_t *code = descriptor(cpu, words[PC]);
    if (code == NULL)
        return false;
    code = cpu->x.ram + (get(code) & ~OFFSET) + (words[PC] & OFFSET);
    if (((const uint8_t *)PyBytes_AS_STRING(cpu->undone))[code[0] << 8 | code[1]])
        return false;
    bool write = !(status & ACCESS_READ);
    cpu->x.tally->overhead++;
    if (write && translate(cpu, address, true) != NULL) /* the first write to a page that may be written */
        return true;
    if (exits_page_fault(&cpu->x, address, write)) {
        if (write)
            translate(cpu, address, true);
        exits_go_on(&cpu->x);
    }
    return true;
}

/* Unicorn's hook on interrupts. */
static void interrupt(uc_engine *engine, uint32_t vector, void *data) {
    M68kExits *cpu = data;
    exits_catch_up(&cpu->x);
    if (cpu->x.plain && !cpu->x.tally->stopped) {
        if (vector == TRAP) {
            if (trap(cpu))
                cpu->x.whole++;
            else {
                cpu->x.entered++;
                exits_to_python(&cpu->x, vector);
            }
            return;
        }
        if (vector == ILLEGAL && return_and_restore(cpu))
            return;
        if (vector == ACCESS_FAULT && page_fault(cpu))
            return;
    }
    if (vector == TRAP)
        cpu->x.left++;
    exits_to_python(&cpu->x, vector);
}

static uint32_t pc(const Exits *x) { return ((const M68kExits *)x)->words[PC]; }

/* A thread's registers, but for the FPU's, are put into the CPU: `M68kCpu._put`. */
static PyObject *put_registers(PyObject *self, PyObject *pcb) {
    uint32_t *words = ((M68kExits *)self)->words;
    int64_t pc, sr;
    if (!number_in(pcb, slots.M68kPcb_pc_, &pc) || !number_in(pcb, slots.M68kPcb_sr, &sr))
        return PyErr_Format(PyExc_TypeError, "a program counter and a status register are words");
    if (!words_in(pcb, slots.M68kPcb_registers, words, REGISTERS))
        return NULL;
    words[PC] = (uint32_t)pc;
    set_condition_codes(words, (uint32_t)sr);
    Py_RETURN_NONE;
}

/* And taken back: `M68kCpu._take`. */
static PyObject *take_registers(PyObject *self, PyObject *const *given, Py_ssize_t count) {
    const uint32_t *words = ((M68kExits *)self)->words;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "take takes two arguments");
    PyObject *pc = PyLong_FromUnsignedLong(words[PC]);
    PyObject *sr = PyLong_FromUnsignedLong(PyLong_AsUnsignedLongMask(given[1]) | condition_codes(words));
    bool there = pc != NULL && sr != NULL && !PyErr_Occurred() && set_words(given[0], slots.M68kPcb_registers, words, REGISTERS);
    if (there) {
        set_slot(given[0], slots.M68kPcb_pc_, pc);
        set_slot(given[0], slots.M68kPcb_sr, sr);
    }
    Py_XDECREF(pc);
    Py_XDECREF(sr);
    return there ? Py_NewRef(Py_None) : NULL;
}

static PyMethodDef methods[] = {
    {"put", put_registers, METH_O, NULL},
    {"take", (PyCFunction)(void *)take_registers, METH_FASTCALL, NULL},
    {0},
};

static PyObject *exits_new(PyTypeObject *type, PyObject *given, PyObject *names) {
    static char *keywords[] = {"cpu", "engine", "counts", "ram", "words", "fault_address", "fault_status", "undone", NULL};
    PyObject *tally, *undone;
    unsigned long long engine, counts, ram, words;
    unsigned int fault_address, fault_status;
    if (!PyArg_ParseTupleAndKeywords(given, names, "O!KKKKIIO!", keywords, &TallyType, &tally, &engine, &counts, &ram, &words, &fault_address,
                                     &fault_status, &PyBytes_Type, &undone))
        return NULL;
    if (PyBytes_GET_SIZE(undone) != 1 << 16)
        return PyErr_Format(PyExc_ValueError, "undone has a byte for each first word");
    M68kExits *cpu = (M68kExits *)type->tp_alloc(type, 0);
    if (cpu == NULL)
        return NULL;
    cpu->undone = Py_NewRef(undone);
    cpu->words = (void *)(uintptr_t)words;
    cpu->fault_address = fault_address;
    cpu->fault_status = fault_status;
    cpu->x.hook = interrupt;
    cpu->x.architecture = "m68k";
    cpu->x.pc = pc;
    if (!exits_begin(&cpu->x, tally, engine, counts, ram))
        Py_CLEAR(cpu);
    return (PyObject *)cpu;
}

static void dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((M68kExits *)self)->undone);
    ExitsType.tp_dealloc(self);
}

PyTypeObject M68kExitsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.M68kExits",
    .tp_basicsize = sizeof(M68kExits),
    .tp_flags = Py_TPFLAGS_DEFAULT, /* what the collector needs is the base's */
    .tp_base = &ExitsType,
    .tp_methods = methods,
    .tp_new = exits_new,
    .tp_dealloc = dealloc,
};
