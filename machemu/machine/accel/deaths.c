/* What is told when the CPU emulator dies of a signal. The handler takes nothing from the heap, which may be spoilt or locked, and
 * reads Python's objects last. */
#define _GNU_SOURCE
#include "deaths.h"

#ifdef __linux__
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#if PY_VERSION_HEX < 0x030D0000
#define FRAME(state) ((state)->cframe->current_frame)
#else
#define FRAME(state) ((state)->current_frame)
#endif

#ifdef __GLIBC__
#define IN_HANDLERS __attribute__((tls_model("initial-exec"))) /* another thread's may be made only when it is first used */
#else
#define IN_HANDLERS
#endif

enum { STATUS = 70 };                                   /* ui/status.py: INTERNAL */
enum { STACK = 64 << 10 };
enum { NODE, TASK, THREAD, PLACE, TIME, AGE, NUMBERS }; /* core/board.py */

static const struct {
    int number;
    const char *name;
} deadly[] = {{SIGSEGV, "SIGSEGV"}, {SIGABRT, "SIGABRT"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}, {SIGBUS, "SIGBUS"}};
enum { DEADLY = sizeof deadly / sizeof *deadly };
static struct sigaction former[DEADLY];
static bool guarded, left;
static pthread_key_t stack_key;
static IN_HANDLERS _Thread_local const Run *innermost;
static IN_HANDLERS _Thread_local bool has_stack;

typedef struct {
    size_t size;
    char text[768]; /* more than all words with the longest numbers */
} Message;

static void add(Message *m, const char *text) {
    for (; *text != '\0' && m->size < sizeof m->text; text++)
        m->text[m->size++] = *text;
}

static void add_number(Message *m, uint64_t number, unsigned base, int digits) {
    char text[24], *first = text + sizeof text - 1;
    for (*first = '\0'; number != 0 || digits > 0; number /= base, digits--)
        *--first = "0123456789abcdef"[number % base];
    add(m, first);
}

static void add_decimal(Message *m, const char *before, uint64_t number) {
    add(m, before);
    add_number(m, number, 10, 1);
}

static void add_pc(Message *m, const char *before, uint64_t pc) {
    add(m, before);
    add_number(m, pc, 16, 8);
}

static void write_out(const Message *m) {
    for (size_t done = 0; done < m->size;) {
        ssize_t more = write(STDERR_FILENO, m->text + done, m->size - done);
        if (more < 0 && errno != EINTR)
            return;
        done += more < 0 ? 0 : (size_t)more;
    }
}

/* Where a kernel's thread last went to user mode: what the kernel has on its board. False where that is of another kind. */
static bool read_board(PyObject *board, uint64_t *numbers) {
    if (board == NULL || !PyList_CheckExact(board) || PyList_GET_SIZE(board) < NUMBERS)
        return false;
    for (int n = 0; n < NUMBERS; n++)
        numbers[n] = PyLong_AsUnsignedLongLongMask(PyList_GET_ITEM(board, n));
    return true;
}

/* As machemu.EngineDied says it. */
static void add_place(Message *m, const uint64_t *board, int64_t traps) {
    if (board[NODE])
        add_decimal(m, ", node number ", board[NODE]);
    add_decimal(m, ", task ", board[TASK]);
    add_decimal(m, " thread ", board[THREAD]);
    add_decimal(m, ", after ", (uint64_t)traps);
    add(m, traps == 1 ? " trap" : " traps");
    add_pc(m, "; it last went to user mode at pc 0x", board[PLACE]);
    if (!board[AGE]) {
        add_decimal(m, ", at ", board[TIME]);
        add(m, " ns");
    }
    if (!board[NODE]) {
        add_decimal(m, "\n  `run(traps=", (uint64_t)traps);
        add(m, ")` of another one comes right before it; one that is booted with isolated=True raises EngineDied instead");
    } else if (!board[AGE]) {
        add_decimal(m, "\n  `run(duration=", board[TIME]);
        add(m, ")` of another one comes right before it");
    }
}

static void tell(const char *name, const Exits *x) {
    Message m = {0};
    uint64_t board[NUMBERS];
    int64_t traps;
    add(&m, "machemu: died of ");
    add(&m, name);
    add(&m, ", a fault of machemu's own or of its CPU emulator's: please report it with the program\n  ");
    add(&m, x->architecture);
    add_pc(&m, ", pc 0x", x->pc(x));
    write_out(&m);
    m.size = 0;
    if (x->kernel != NULL && number_in(x->kernel, slots.Kernel_trap_count, &traps) &&
        read_board(slot(x->kernel, slots.Kernel_board), board))
        add_place(&m, board, traps);
    add(&m, "\n");
    write_out(&m);
}

static void call(const struct sigaction *action, int number, siginfo_t *info, void *context) {
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(number, info, context);
    else if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN)
        action->sa_handler(number);
}

/* Whether a signal comes from what this thread does, and not from somebody who has sent it. */
static bool is_own(const siginfo_t *info) { return info->si_code > 0 || (info->si_code == SI_TKILL && info->si_pid == getpid()); }

static void dies(int number, siginfo_t *info, void *context) {
    const Run *run = innermost;
    int error = errno, n = 0;
    while (deadly[n].number != number)
        n++;
    if (run != NULL && !left && is_own(info) && FRAME(run->state) == run->frame) {
        innermost = NULL; /* the next one is not told */
        tell(deadly[n].name, run->exits);
        call(&former[n], number, info, context);
        _exit(STATUS);
    }
    /* As if nobody had been here: the instruction does it again, or the signal comes again. */
    sigaction(number, &former[n], NULL);
    if (info->si_code <= 0)
        syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), number, info);
    errno = error;
}

/* Handlers run on a stack of their own, since the thread's may be used up. One that somebody else gave the thread is good. */
static void give_stack(void) {
    stack_t stack;
    has_stack = true;
    if (sigaltstack(NULL, &stack) != 0 || !(stack.ss_flags & SS_DISABLE))
        return;
    stack = (stack_t){.ss_sp = malloc(STACK), .ss_size = STACK};
    if (stack.ss_sp != NULL && pthread_setspecific(stack_key, stack.ss_sp) == 0)
        sigaltstack(&stack, NULL);
    else
        free(stack.ss_sp);
}

/* The thread ends. */
static void take_stack(void *given) {
    stack_t stack;
    if (sigaltstack(NULL, &stack) == 0 && stack.ss_sp == given)
        sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    free(given);
}

void run_begin(Run *run, const Exits *exits) {
    run->exits = exits;
    run->state = PyThreadState_Get();
    run->frame = FRAME(run->state);
    run->outer = innermost;
    innermost = run;
    if (guarded && !has_stack)
        give_stack();
}

void run_end(Run *run) { innermost = run->outer; }

PyObject *deaths_guard(PyObject *module, PyObject *none) {
    struct sigaction ours = {.sa_sigaction = dies, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (guarded || pthread_key_create(&stack_key, take_stack) != 0)
        Py_RETURN_NONE;
    guarded = true;
    for (int n = 0; n < DEADLY; n++)
        if (sigaction(deadly[n].number, NULL, &former[n]) == 0)
            sigaction(deadly[n].number, &ours, NULL);
    Py_RETURN_NONE;
}

PyObject *deaths_leave(PyObject *module, PyObject *none) {
    left = true;
    Py_RETURN_NONE;
}

#else
void run_begin(Run *run, const Exits *exits) {}
void run_end(Run *run) {}
PyObject *deaths_guard(PyObject *module, PyObject *none) { Py_RETURN_NONE; }
PyObject *deaths_leave(PyObject *module, PyObject *none) { Py_RETURN_NONE; }
#endif
