"""An i386's descriptors and states, hostile ones too: they hurt the guest that made them, and nobody else."""

from __future__ import annotations

import contextlib
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.kern import thread_control
from machemu.kern.thread import Thread
from machemu.machine.i386.debug import COUNT
from machemu.machine.i386.pcb import COUNTS, DEBUG_STATE, EFL_VM, FLOAT_STATE, REGS_SEGS_STATE, THREAD_STATE, I386Pcb
from tests.support.guests import I386
from tests.support.machine import CODE, STACK_END, Machine, add_task, add_thread, empty

MILLISECOND = 1_000_000
RESULT = CODE + 0x800
COUNTER = I386.count(RESULT)
word32 = st.integers(0, 0xFFFFFFFF)
PAIR = struct.Struct("<2i")
KINDS = st.sampled_from([0x00, 0x80, 0x82, 0x85, 0x89, 0x8B, 0x8C, 0x8E, 0xE4, 0xE5, 0xE9, 0xEC, 0xEE, 0xF2, 0xF6, 0xFA, 0xFE])


def pcb(thread: Thread) -> I386Pcb:
    assert isinstance(thread.pcb, I386Pcb)
    return thread.pcb


def end_all(machine: Machine) -> None:
    for task in machine.tasks:
        machine.end(task)
    machine.check()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(word32, KINDS, word32), min_size=1, max_size=6), st.integers(0, 7), st.integers(0, 0xFF))
def test_no_descriptor_lets_a_guest_out_of_its_ring(entries: list[tuple[int, int, int]], first: int, use: int) -> None:
    """The thread loads, calls through and jumps to whatever its table holds."""
    words = [struct.pack("<2I", low, high & ~0xFF00 | kind << 8) for low, kind, high in entries]
    with empty(I386, 1 << 20) as machine:
        far = struct.pack("<IH", CODE + 0x100, use | 7)
        code = b"\x66\xb8" + struct.pack("<H", use | 7) + b"\x8e\xe0" + b"\x9a" + far + b"\xea" + far
        neighbour, _ = add_task(machine, COUNTER)
        _, thread = add_task(machine, code + I386.stay)
        with contextlib.suppress(KernError):
            pcb(thread).set_ldt(first << 3 | 7, [(low, high) for low, high in map(PAIR.unpack, words)], False)
        machine.run(40 * MILLISECOND)
        machine.check()
        assert machine.word(neighbour, RESULT) > 0


@settings(max_examples=80, deadline=None)
@given(st.lists(word32, min_size=17, max_size=17), st.booleans(), st.sampled_from([THREAD_STATE, REGS_SEGS_STATE]))
def test_no_register_state_lets_a_guest_out_of_its_ring(words: list[int], in_v86: bool, flavor: int) -> None:
    words[14] = words[14] | EFL_VM if in_v86 else words[14] & ~EFL_VM
    with empty(I386, 1 << 20) as machine:
        neighbour, _ = add_task(machine, COUNTER)
        _, thread = add_task(machine, I386.stay)
        try:
            pcb(thread).set_state(flavor, words)
        except KernError as error:
            assert error.code == KERN_INVALID_ARGUMENT
        machine.run(40 * MILLISECOND)
        machine.check()
        assert machine.word(neighbour, RESULT) > 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 0xBFFFFFFF), min_size=4, max_size=4), word32)
def test_debug_registers_change_nothing_for_others(addresses: list[int], control: int) -> None:
    with empty(I386, 1 << 20) as machine:
        neighbour, _ = add_task(machine, COUNTER)
        _, thread = add_task(machine, COUNTER)
        pcb(thread).set_state(DEBUG_STATE, [*addresses[:3], CODE + addresses[3] % 16, 0, 0, 0, control])
        machine.run(80 * MILLISECOND)
        machine.check()
        assert machine.word(neighbour, RESULT) > 0


def test_states_of_any_length_and_content_are_taken_or_refused() -> None:
    @settings(max_examples=200, deadline=None)
    @given(st.integers(-2, 9), st.lists(word32, max_size=40))
    def change(flavor: int, words: list[int]) -> None:
        thread = add_thread(machine, task, CODE, STACK_END - 64)
        accepted = len(words) >= COUNTS.get(flavor, 1 << 10)
        try:
            pcb(thread).set_state(flavor, words)
            assert accepted
        except KernError as error:
            assert error.code == KERN_INVALID_ARGUMENT
        machine.run(MILLISECOND)
        if thread is not machine.kernel.kern.sched.current and thread.active:
            thread_control.force_terminate(machine.kernel.kern, thread)

    with empty(I386) as machine:
        task, _ = add_task(machine, I386.stay)
        change()
        end_all(machine)


def test_watched_data_stops_the_thread_behind_the_access_and_counts_exactly() -> None:
    """The same instructions take the same time with and without a watchpoint that is not met."""
    times = []
    for control in (0, 0xD0001):
        with empty(I386) as machine:
            _, thread = add_task(machine, b"\x90" * 200 + COUNTER)
            pcb(thread).set_state(DEBUG_STATE, [RESULT + 16, 0, 0, 0, 0, 0, 0, control])
            assert len(pcb(thread).get_state(DEBUG_STATE)) == COUNT
            machine.run(5 * MILLISECOND)
            times.append((thread.user_time, pcb(thread).registers))
    assert times[0] == times[1]


def test_a_thread_whose_float_state_was_set_begins_with_a_fresh_fpu_as_the_kernel_says() -> None:
    """fnstcw: on the real kernel what was set is shown, and thrown away at the next use."""
    with empty(I386) as machine:
        task, thread = add_task(machine, b"\xd9\x3d" + struct.pack("<I", RESULT) + I386.stay)
        state = [4, 1, 0x27F, 0x3800, 0x3FFF, 0, 0, 0, 0, 0, 0xA0000000, 0x4003, *[0] * 18]
        pcb(thread).set_state(FLOAT_STATE, state)
        assert pcb(thread).get_state(FLOAT_STATE)[1:4] == (0, 0x27F, 0x3800)
        machine.run(MILLISECOND)
        assert machine.word(task, RESULT) == 0x37F
        assert machine.console == b"fp_load: invalid FPU state!\n"
