/* The code that counts, in each block: machine/counting.py (`Counting`, while Unicorn translates) says what it is. */
#include "translations.h"

enum { VARIABLES = 904, OPERANDS = 24, LONG = 1, AT_MOST = 10, GREATER = 11, BLOCK_HOOKS = 3 };
enum { SET_LABEL = 1, STORE = 16, MOVE_WORD = 64, LOAD_LONG = 73, LOAD_WORD = 71, STORE_WORD = 76, STORE_LONG = 77 };
enum { ADD_LONG = 78, SUBTRACT_LONG = 79, CALL = 2, INSTRUCTION_BEGIN = 129, FIRST_ACCESS = 133, LAST_ACCESS = 136 };
enum { OPERATIONS = VARIABLES + 512 * 56, LINKS = 8, NO_READ_GLOBALS = 1 };
#define NOWHERE 0x7FFF000000000000ll

/* QEMU's functions for its translators (TCG). A variable is the address of one or, as `offset`, how far behind the context it is. */
#define TCG                                                                                                       \
    F(void, tcg_gen_op3, (uintptr_t context, int operation, uintptr_t, uintptr_t, uintptr_t))                     \
    F(void, tcg_gen_op1, (uintptr_t context, int operation, uintptr_t))                                           \
    F(uintptr_t, tcg_emit_op, (uintptr_t context, int operation))                                                 \
    F(void, tcg_op_remove, (uintptr_t context, uintptr_t operation))                                              \
    F(uintptr_t, tcg_temp_new_internal, (uintptr_t context, int type, bool lasting))                              \
    F(void, tcg_temp_free_internal, (uintptr_t context, uintptr_t variable))                                      \
    F(uintptr_t, tcg_const_i32, (uintptr_t context, int32_t))                                                     \
    F(uintptr_t, tcg_const_i64, (uintptr_t context, int64_t))                                                     \
    F(uintptr_t, gen_new_label, (uintptr_t context))                                                              \
    F(void, tcg_gen_brcondi_i64, (uintptr_t context, int condition, uintptr_t offset, int64_t, uintptr_t label))  \
    F(void, tcg_gen_brcond_i64, (uintptr_t context, int condition, uintptr_t offset, uintptr_t, uintptr_t label)) \
    F(void, tcg_gen_exit_tb, (uintptr_t context, uintptr_t block, unsigned int))                                  \
    F(void, tcg_gen_callN, (uintptr_t context, uintptr_t function, uintptr_t result, int count, uintptr_t *arguments))

typedef struct {
    Watcher watcher;
    uint64_t *words;
    uintptr_t context, state; /* TCGContext, and in it the variable that is the address of the CPU's state */
    int64_t distance;         /* of the words from the CPU's state */
    bool near;                /* they can be reached from there */
    bool wide;                /* addresses have 8 bytes */
    int pc;
    uint32_t done;            /* machine/translator.py: Places */
    uint64_t engine, address; /* of the uc_struct and of the CPU's state */
    uintptr_t hooks, looks;   /* helper_uc_tracecode, helper_check_exit_request */
    uintptr_t label;
    uint64_t *size;           /* the operands of the operation that has the block's size */
#define F(result, name, arguments) result(*name) arguments;
    TCG
#undef F
} Counting;

static void load_or_store(Counting *c, int operation, uintptr_t variable, int word) {
    if (c->near)
        c->tcg_gen_op3(c->context, operation, variable, c->state, (uintptr_t)(c->distance + 8 * word));
    else {
        uintptr_t place = c->context + c->tcg_const_i64(c->context, (int64_t)(uintptr_t)c->words);
        c->tcg_gen_op3(c->context, operation, variable, place, 8u * (unsigned)word);
        c->tcg_temp_free_internal(c->context, place);
    }
}

static void store_begun(Counting *c, uint32_t number) {
    uintptr_t variable = c->context + c->tcg_const_i32(c->context, (int32_t)number);
    load_or_store(c, STORE, variable, BEGUN);
    c->tcg_temp_free_internal(c->context, variable);
}

static void begin_block(Watcher *watcher, uintptr_t block) {
    Counting *c = (Counting *)watcher;
    uintptr_t context = c->context, made[4];
    c->words[LEFT_OUT] = 0;
    for (int n = 0; n < 4; n++)
        made[n] = c->tcg_temp_new_internal(context, LONG, false);
    uintptr_t total = made[0], begun = made[1], size = made[2], limit = made[3];
    load_or_store(c, LOAD_LONG, total, SUM);
    load_or_store(c, LOAD_WORD, begun, BEGUN);
    c->tcg_gen_op3(context, ADD_LONG, total, total, begun);
    load_or_store(c, STORE_LONG, total, SUM);
    c->size = (uint64_t *)(c->tcg_emit_op(context, MOVE_WORD) + OPERANDS);
    c->size[0] = size;
    c->size[1] = 0;
    load_or_store(c, STORE_LONG, size, SIZE);
    c->tcg_gen_op3(context, ADD_LONG, size, size, total);
    load_or_store(c, LOAD_LONG, limit, LIMIT);
    c->label = c->gen_new_label(context);
    c->tcg_gen_brcond_i64(context, GREATER, size - context, limit - context, c->label);
    for (int n = 0; n < 4; n++)
        c->tcg_temp_free_internal(context, made[n]);
}

static void begin(Watcher *watcher, uintptr_t block) {
    Counting *c = (Counting *)watcher;
    store_begun(c, *number_at(block, c->done));
}

/* Where the block begins, in its code segment: machine/translator.py (`start`). */
static uint64_t start_of(const Counting *c, uintptr_t block) {
    uintptr_t translation = *(uintptr_t *)block;
    return address_at(translation, c->wide) - address_at(translation + (c->wide ? 8 : 4), c->wide);
}

static void call_hooks(Counting *c) {
    uintptr_t context = c->context;
    uintptr_t arguments[] = {
        context + c->tcg_const_i32(context, 1),
        context + c->tcg_const_i32(context, BLOCK_HOOKS),
        context + c->tcg_const_i64(context, (int64_t)c->engine),
        context + c->tcg_const_i64(context, NOWHERE),
    };
    c->tcg_gen_callN(context, c->hooks, 0, 4, arguments);
    for (int n = 0; n < 4; n++)
        c->tcg_temp_free_internal(context, arguments[n]);
}

/* The function that an operation calls, 0 where it calls none. */
static uintptr_t called(uintptr_t operation) {
    const uint8_t *head = (void *)operation;
    return head[0] == CALL ? ((uintptr_t *)(operation + OPERANDS))[(head[1] & 15) + (head[1] >> 4)] : 0;
}

static bool is_access(uintptr_t operation) {
    uint8_t kind = *(uint8_t *)operation;
    return kind >= FIRST_ACCESS && kind <= LAST_ACCESS;
}

/* Whether an operation stores how many instructions of the block have begun. */
static bool stores_begun(const Counting *c, uintptr_t operation) {
    const uint64_t *operands = (void *)(operation + OPERANDS);
    return *(uint8_t *)operation == STORE && c->near && operands[1] == c->state && operands[2] == (uint64_t)(c->distance + 8 * BEGUN);
}

/* Whether an operation may leave the block, or show somebody the count. */
static bool may_leave(uintptr_t operation) {
    const uint8_t *head = (void *)operation;
    if (head[0] == CALL)
        return !(((uint64_t *)(operation + OPERANDS))[(head[1] & 15) + (head[1] >> 4) + 1] & NO_READ_GLOBALS);
    return head[0] > INSTRUCTION_BEGIN;
}

static void sweep(Counting *c) {
    bool behind_call = false, leaves = true;
    uintptr_t store = 0;
    for (uintptr_t operation = *(uintptr_t *)(c->context + OPERATIONS), next; operation != 0; operation = next) {
        next = *(uintptr_t *)(operation + LINKS);
        uintptr_t function = called(operation);
        if (function == c->looks && !behind_call) {
            c->tcg_op_remove(c->context, operation);
            continue;
        }
        behind_call = function != 0 || (behind_call && !is_access(operation));
        if (*(uint8_t *)operation == INSTRUCTION_BEGIN) {
            if (store != 0 && !leaves)
                c->tcg_op_remove(c->context, store);
            store = 0;
            leaves = false;
        } else if (stores_begun(c, operation))
            store = operation;
        else
            leaves = leaves || may_leave(operation);
    }
}

static void end_block(Watcher *watcher, uintptr_t block) {
    Counting *c = (Counting *)watcher;
    uintptr_t context = c->context;
    sweep(c);
    c->size[1] = c->words[MADE] = *number_at(block, c->done) - c->words[LEFT_OUT];
    c->tcg_gen_op1(context, SET_LABEL, c->label);
    store_begun(c, 0);
    uint64_t start = start_of(c, block);
    uintptr_t pc = context + (c->wide ? c->tcg_const_i64(context, (int64_t)start) : c->tcg_const_i32(context, (int32_t)start));
    c->tcg_gen_op3(context, c->wide ? STORE_LONG : STORE, pc, c->state, (uintptr_t)c->pc);
    uintptr_t total = c->tcg_temp_new_internal(context, LONG, false), left = c->tcg_temp_new_internal(context, LONG, true);
    load_or_store(c, LOAD_LONG, total, SUM);
    load_or_store(c, LOAD_LONG, left, LIMIT);
    c->tcg_gen_op3(context, SUBTRACT_LONG, left, left, total);
    uintptr_t stop = c->gen_new_label(context);
    c->tcg_gen_brcondi_i64(context, AT_MOST, left - context, 0, stop);
    c->tcg_gen_op3(context, STORE_WORD, left, c->state, (uintptr_t)(c->words[NEXT_FLAGS] - c->address));
    c->tcg_gen_exit_tb(context, 0, 0);
    c->tcg_gen_op1(context, SET_LABEL, stop);
    call_hooks(c);
    c->tcg_temp_free_internal(context, pc);
    c->tcg_temp_free_internal(context, total);
    c->tcg_temp_free_internal(context, left);
    c->tcg_gen_exit_tb(context, 0, 0);
}

/* Finds TCG's functions of an architecture by `functions`, a dict of their addresses by the names above. */
static bool find_functions(Counting *c, PyObject *functions) {
#define F(result, name, arguments)                                                                     \
    {                                                                                                  \
        PyObject *address = PyDict_GetItemString(functions, #name);                                    \
        if (address == NULL || (c->name = (result(*) arguments)PyLong_AsVoidPtr(address)) == NULL) {   \
            if (!PyErr_Occurred())                                                                     \
                PyErr_Format(PyExc_ValueError, "functions lacks %s", #name);                           \
            return false;                                                                              \
        }                                                                                              \
    }
    TCG
#undef F
    return true;
}

static PyObject *counting_new(PyTypeObject *type, PyObject *given, PyObject *names) {
    static char *keywords[] = {"context", "words", "state", "pc", "wide", "done", "near", "engine", "hooks", "looks", "functions", NULL};
    unsigned long long context, words, state, engine, hooks, looks;
    int pc, wide, near;
    unsigned int done;
    PyObject *functions;
    if (!PyArg_ParseTupleAndKeywords(given, names, "KKKipIpKKKO!", keywords, &context, &words, &state, &pc, &wide, &done, &near, &engine,
                                     &hooks, &looks, &PyDict_Type, &functions))
        return NULL;
    Counting *c = (Counting *)type->tp_alloc(type, 0);
    if (c == NULL)
        return NULL;
    c->watcher.begin_block = begin_block;
    c->watcher.begin = begin;
    c->watcher.end_block = end_block;
    c->context = (uintptr_t)context;
    c->state = c->context + VARIABLES;
    c->words = (void *)(uintptr_t)words;
    c->address = state;
    c->distance = (int64_t)(words - state);
    c->near = near;
    c->wide = wide;
    c->pc = pc;
    c->done = done;
    c->engine = engine;
    c->hooks = (uintptr_t)hooks;
    c->looks = (uintptr_t)looks;
    if (!find_functions(c, functions))
        Py_CLEAR(c);
    return (PyObject *)c;
}

PyTypeObject CountingType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "machemu.machine.accel.native.Counting",
    .tp_basicsize = sizeof(Counting),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_base = &WatcherType,
    .tp_new = counting_new,
};
