"""The extension in C does what Python does: the same state after any trap, fault and cut, in whatever way a thread came there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.types import VirtAddr
from machemu.core import observe
from machemu.ipc.port import Port
from machemu.kern import syscall_emulation
from machemu.kern.clock import TICK_NS
from machemu.machine import accel
from machemu.machine.i386.pcb import I386Pcb
from machemu.machine.i386.pmap import KERNEL_BASE
from machemu.trace.events import TraceEvent
from tests.support.guests import ARCHS, I386, M68K, Arch
from tests.support.machine import CODE, Machine, add_task, empty

pytestmark = pytest.mark.skipif(accel.native is None, reason=f"this is of the extension alone, and {accel.reason}")

THREAD_SELF, HOST_SELF = 27, 29
UREFS_MAX = 65535
BEGUN_NS = 1_000_000
"""When a task's first instructions have been fetched."""
FRESH = CODE + 0x8000
HANDLER = CODE + 0x4000
UNUSUAL = {
    # Single steps; null selectors in DS and ES; the trap by a far call through memory, with a prefix, and by `int $0x80`.
    "i386": (
        *("9c 810c2400010000 9d", "6a02 1f", "6a00 07"),
        *("b8e5ffffff ff1d00800100", "b8e5ffffff 669a000000000700", "b8e5ffffff cd80"),
    ),
    # Condition codes; a trap whose number cannot be read; another trap; rtr to what follows, and to an odd address.
    "m68k": ("487a0008 3f3c001f 4e77", "487a0007 3f3c0000 4e77", "44fc001f", "2e7c00000002 4e40", "4e41", "42a7 4e40"),
}


@contextmanager
def machine(arch: Arch, extension: bool) -> Iterator[Machine]:
    with nullcontext() if extension else accel.left_out():
        made = empty(arch)
    with made:
        yield made


def pieces(arch: Arch) -> st.SearchStrategy[bytes]:
    usual = st.one_of(
        st.integers(26, 30).map(arch.trap),
        st.sampled_from((25, 24, 0, -5, 60, 129, 500, -(1 << 30))).map(arch.trap),
        st.tuples(st.integers(0, 0x7000), st.integers(1, 3)).map(lambda place: arch.touch(FRESH + (place[0] & ~3), place[1])),
        st.integers(1, 40).map(arch.spend),
        st.just(arch.increment(CODE + 0x7000)),
    )
    unusual = st.sampled_from(UNUSUAL[arch.name]).map(bytes.fromhex)
    return st.one_of(usual, usual, usual, unusual)


@pytest.mark.parametrize("name", ARCHS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_programs_leave_the_same_state_at_each_stop(name: str, data: st.DataObject) -> None:
    arch = ARCHS[name]
    program = arch.repeat(b"".join(data.draw(st.lists(pieces(arch), min_size=1, max_size=12))))
    redirected = data.draw(st.lists(st.integers(-29, 5), max_size=3))
    stops = data.draw(st.lists(st.tuples(st.integers(1, 3_000_000), st.none() | st.integers(1, 50)), min_size=1, max_size=8))
    with machine(arch, True) as here, machine(arch, False) as there:
        for each in (here, there):
            task, _ = add_task(each, program)
            task.memory.write(VirtAddr(HANDLER), arch.handler)
            for number in redirected:
                syscall_emulation.set_vector(each.kernel.kern, task, number, [HANDLER])
        for duration, traps in stops:
            assert here.run(duration, traps) == there.run(duration, traps)
            assert here.kernel.trap_count == there.kernel.trap_count
            assert here.node.digest() == there.node.digest()


def instructions_to(arch: Arch, time: int) -> int:
    """How many instructions the thread of a machine with one task begins before a time, if it makes no trap and no fault."""
    with machine(arch, False) as made:
        add_task(made, arch.spend(1 << 30))
        made.run(BEGUN_NS)
        return made.kernel.kern.clock.executed_at(time)


@pytest.mark.parametrize("tail", ["a trap done in C", "another trap", "a page fault", "an exception"])
@pytest.mark.parametrize("name", ARCHS)
def test_what_comes_near_a_clock_tick_comes_in_its_order(name: str, tail: str) -> None:
    """The thread runs alone over one tick, and then up to just before, at and behind the second one."""
    arch = ARCHS[name]
    tails = {
        "a trap done in C": arch.trap(THREAD_SELF),
        "another trap": arch.trap(26),
        "a page fault": arch.touch(FRESH, 1),
        "an exception": bytes.fromhex({"i386": "31c9 f7f1", "m68k": "4afc"}[name]),
    }
    many = instructions_to(arch, 2 * TICK_NS)
    for early in range(12):
        program = arch.spend(many - early) + b"".join((tails[tail], arch.spend(40)) * 3) + arch.spend(1 << 30)
        with machine(arch, True) as here, machine(arch, False) as there:
            for each in (here, there):
                add_task(each, program)
            for time in (2 * TICK_NS + 100_000, 5 * TICK_NS):
                for each in (here, there):
                    each.kernel.run(time)
                assert here.node.digest() == there.node.digest()


def self_ports(arch: Arch) -> bytes:
    return arch.repeat(b"".join(arch.trap(number) for number in range(THREAD_SELF, HOST_SELF + 1)))


def test_user_references_stay_at_their_limit(arch: Arch) -> None:
    with machine(arch, True) as here:
        task, thread = add_task(here, self_ports(arch))
        here.run(traps=3)
        for entry in task.space.table.values():
            entry.urefs = UREFS_MAX - 3
        here.run(traps=30)
        assert {entry.urefs for entry in task.space.table.values()} == {UREFS_MAX - 1}
        assert isinstance(thread.ith_sself, Port)
        assert thread.ith_sself.srights == 2


LAR_GATE = bytes.fromhex("b807000000 0f02c8")
GATE_RIGHTS = 0xEC00
SEGMENT_OF_16_BITS = (0x0000FFFF, 0x0000F300)
SLOT = 0x4B


def test_a_guest_reads_the_rights_of_its_gate_as_they_are() -> None:
    with machine(I386, True) as here:
        _, thread = add_task(here, LAR_GATE + I386.stay)
        here.run(1_000_000)
        assert isinstance(thread.pcb, I386Pcb)
        assert thread.pcb.registers[1] == GATE_RIGHTS


def test_a_trap_on_a_stack_of_16_bits_leaves_the_stack_pointer_of_the_gate() -> None:
    """The processor's way back from the kernel changes only its lower half then: Intel's manual, RET."""
    pointers = []
    for extension in (True, False):
        with machine(I386, extension) as each:
            traps = bytes.fromhex("b84b000000 8ed0") + I386.bare_trap(THREAD_SELF) * 3
            _, thread = add_task(each, traps + bytes.fromhex("89e1") + I386.stay)
            assert isinstance(thread.pcb, I386Pcb)
            thread.pcb.set_gdt(SLOT, SEGMENT_OF_16_BITS)
            each.run(1_000_000)
            pointers.append(thread.pcb.registers[1])
    assert pointers[0] == pointers[1]
    assert pointers[0] >> 16 == KERNEL_BASE >> 16


def share(machine: Machine, part: int) -> float:
    """Of the traps since power-on, those done whole in C (0), or entered there (1)."""
    shares = machine.kernel.cpu.shares()
    assert shares is not None
    return shares[part] / machine.kernel.trap_count


def test_traps_that_need_nothing_else_are_done_in_c(arch: Arch) -> None:
    with machine(arch, True) as here:
        add_task(here, self_ports(arch))
        here.run(traps=10_000)
        assert share(here, 0) > 0.99


@pytest.mark.parametrize(
    ("arch", "trap"),
    [
        pytest.param(I386, I386.bare_trap(5), id="i386-lcall"),
        pytest.param(I386, bytes.fromhex("b8fbffffff cd80"), id="i386-int 0x80"),
        pytest.param(M68K, M68K.bare_trap(5), id="m68k-trap"),
    ],
)
def test_redirected_traps_reach_their_handler_in_c(arch: Arch, trap: bytes) -> None:
    """The task counts every second one in its memory."""
    with machine(arch, True) as here:
        task, _ = add_task(here, arch.repeat(trap * 2 + arch.increment(CODE + 0x7000)))
        task.memory.write(VirtAddr(HANDLER), arch.handler)
        syscall_emulation.set_vector(here.kernel.kern, task, -5, [HANDLER])
        here.run(traps=10_000)
        assert share(here, 0) > 0.99
        assert here.word(task, CODE + 0x7000) == 4_999


def test_who_watches_sees_every_trap(arch: Arch) -> None:
    class Counter:
        events = 0

        def emit(self, event: TraceEvent) -> None:
            self.events += 1

    with machine(arch, True) as here:
        add_task(here, self_ports(arch))
        here.run(traps=100)
        counter = Counter()
        observe.watch(here.kernel, counter)
        here.run(traps=100)
        observe.unwatch(here.kernel, counter)
        here.run(traps=100)
        assert counter.events == 200
        assert share(here, 0) > 0.6
