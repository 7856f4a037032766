/* A thread's registers, put into the CPU and taken back: machine/i386/cpu.py (`_put`, `_take`) says how. */
#include "i386.h"

enum { KERNEL_CS = 8, EIP = 8, EFLAGS, REGISTERS, SEGMENTS = 6, IRET_FRAME = 5 };

static const int segment_order[SEGMENTS] = {CS, SS, DS, ES, FS, GS};

PyObject *i386_put(PyObject *self, PyObject *pcb) {
    I386Exits *cpu = (I386Exits *)self;
    uint32_t registers[REGISTERS], segments[SEGMENTS];
    if (!words_in(pcb, slots.I386Pcb_registers, registers, REGISTERS) || !words_in(pcb, slots.I386Pcb_segments, segments, SEGMENTS))
        return NULL;
    for (int n = EAX; n <= EDI; n++)
        if (n != ESP)
            cpu->state->regs[n] = registers[n];
    const uint32_t frame[IRET_FRAME] = {registers[EIP], segments[0], registers[EFLAGS], registers[ESP], segments[1]};
    memcpy(cpu->words + cpu->stack - IRET_FRAME, frame, sizeof frame);
    Py_RETURN_NONE;
}

PyObject *i386_take(PyObject *self, PyObject *pcb) {
    I386Exits *cpu = (I386Exits *)self;
    const I386State *s = cpu->state;
    uint32_t registers[REGISTERS], segments[SEGMENTS];
    uint64_t flags = 0;
    if (s->segs[CS].selector == KERNEL_CS)
        Py_RETURN_FALSE;
    unicorn.reg_read(cpu->x.engine, cpu->flags, &flags);
    for (int n = EAX; n <= EDI; n++)
        registers[n] = (uint32_t)s->regs[n];
    registers[EIP] = (uint32_t)s->eip;
    registers[EFLAGS] = (uint32_t)flags;
    for (int n = 0; n < SEGMENTS; n++)
        segments[n] = s->segs[segment_order[n]].selector;
    if (!set_words(pcb, slots.I386Pcb_registers, registers, REGISTERS) || !set_words(pcb, slots.I386Pcb_segments, segments, SEGMENTS))
        return NULL;
    Py_RETURN_TRUE;
}
