"""An m68k's thread states, hostile ones too: they hurt the guest that made them, and nobody else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.kern import thread_control
from machemu.kern.thread import Thread
from machemu.machine.m68k.pcb import COUNTS, EXCEPTION_FRAME, FLOAT_STATE, SR_T1, SR_USER, THREAD_STATE, M68kPcb
from tests.support.guests import M68K
from tests.support.machine import CODE, STACK_END, add_task, add_thread, empty

MILLISECOND = 1_000_000
RESULT = CODE + 0x800
FLAVORS = (THREAD_STATE, FLOAT_STATE, EXCEPTION_FRAME)
word32 = st.integers(0, 0xFFFFFFFF)
CODE_AND_FLOAT = b"\xf2\x00\x00\xa2" + M68K.stay
"""fadd.x fp0,fp1, and a loop."""


def pcb(thread: Thread) -> M68kPcb:
    assert isinstance(thread.pcb, M68kPcb)
    return thread.pcb


@pytest.mark.slow
def test_no_state_lets_a_guest_out_of_user_mode() -> None:
    """The status register, the program counter and all others are what anybody may ask for."""

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(word32, min_size=16, max_size=16),
        st.lists(word32, min_size=27, max_size=27),
        st.integers(0, 0xFFFF),
        st.one_of(word32, st.just(CODE)),
    )
    def change(registers: list[int], numbers: list[int], status: int, pc: int) -> None:
        with empty(M68K, 1 << 20) as machine:
            neighbour, _ = add_task(machine, M68K.count(RESULT))
            _, thread = add_task(machine, CODE_AND_FLOAT)
            pcb(thread).set_state(THREAD_STATE, registers)
            pcb(thread).set_state(FLOAT_STATE, numbers)
            pcb(thread).set_state(EXCEPTION_FRAME, struct.unpack(">2I", struct.pack(">HIH", status, pc, status)))
            assert not pcb(thread).sr & ~SR_USER
            machine.run(40 * MILLISECOND)
            machine.check()
            assert machine.word(neighbour, RESULT) > 0

    change()


def test_states_of_any_length_and_content_are_taken_or_refused() -> None:
    @settings(max_examples=200, deadline=None)
    @given(st.integers(-2, 9), st.lists(word32, max_size=40))
    def change(flavor: int, words: list[int]) -> None:
        thread = add_thread(machine, task, CODE, STACK_END - 64)
        accepted = flavor in FLAVORS and len(words) >= COUNTS[flavor]
        try:
            pcb(thread).set_state(flavor, words)
            assert accepted
        except KernError as error:
            assert error.code == KERN_INVALID_ARGUMENT
            assert not accepted
        machine.run(MILLISECOND)
        if thread is not machine.kernel.kern.sched.current and thread.active:
            thread_control.force_terminate(machine.kernel.kern, thread)

    with empty(M68K) as machine:
        task, _ = add_task(machine, M68K.stay)
        change()


def test_state_set_from_outside_is_what_the_thread_goes_on_with() -> None:
    with empty(M68K) as machine:
        task, thread = add_task(machine, M68K.store(RESULT) + b"\xf2\x39\x64\x00" + M68K.pack("I", RESULT + 4) + M68K.stay)
        pcb(thread).set_state(THREAD_STATE, [0x1234, *[0] * 14, STACK_END - 64])
        pcb(thread).set_state(FLOAT_STATE, [0x40030000, 0xA0000000, 0, *[0] * 24])
        machine.run(MILLISECOND)
        assert machine.word(task, RESULT) == 0x1234
        assert machine.word(task, RESULT + 4) == 0x41A00000, "20 as a single float"


def test_tracing_set_from_outside_stops_the_thread_after_its_first_instruction() -> None:
    with empty(M68K) as machine:
        task, thread = add_task(machine, M68K.trap(27) + M68K.stay)
        pcb(thread).set_state(EXCEPTION_FRAME, struct.unpack(">2I", struct.pack(">HIH", SR_T1, CODE, 0)))
        machine.run(MILLISECOND)
        assert not task.active
        assert machine.kernel.trap_count == 0
