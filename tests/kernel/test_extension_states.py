"""The extension in C beside Python where a thread, its task or its machine is changed from outside between two runs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.errors import KernError
from machemu.abi.types import VirtAddr
from machemu.core import invariants
from machemu.kern import syscall_emulation
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.machine import accel
from machemu.machine.i386.pcb import DEBUG_STATE, EFL_VM, THREAD_STATE, I386Pcb
from machemu.machine.i386.task import I386Task
from machemu.machine.m68k.pcb import EXCEPTION_FRAME, SR_T0, SR_T1
from machemu.vm import routines as vm
from tests.support.guests import ARCHS, I386, Arch
from tests.support.machine import CODE, Machine, add_task, add_thread, empty, load
from tests.support.managers import NOBODY, Manager

pytestmark = pytest.mark.skipif(accel.native is None, reason=f"this is of the extension alone, and {accel.reason}")

MILLISECOND = 1_000_000
FRESH = CODE + 0x8000
HANDLER = CODE + 0x4000
V86_CODE = CODE + 0x6000
WINDOW = 0x20000000
PAGES = 4
SECOND_STACK = 0x78000
LDT_FS, GDT_FS = bytes.fromhex("66b80f00 8ee0"), bytes.fromhex("66b84b00 8ee0")
"""mov ax, 0x0f or 0x4b; mov fs, ax."""
I386_PIECES = (
    *(GDT_FS, bytes.fromhex("64a100000000"), bytes.fromhex("66b80700 8ee8"), bytes.fromhex("31c0 8ed8 66b81f00 8ed8")),
    *(
        bytes.fromhex(code)
        for code in ("e460", "e670", "66ba0a00 ec", "b8fbffffff cd80", "9c 59", "6a02 1f 6a1f 1f", "d9e8 ddd8")
    ),
)
"""fs by its selectors and read; null selectors, and back; ports 0x60, 0x70 and 10; a trap by `int`; flags; the FPU."""
M68K_PIECES = tuple(bytes.fromhex(code) for code in ("44fc001f", "4e41", "487a0008 3f3c001f 4e77", "f23c 4480 3f80 0000"))
V86_PIECES = tuple(bytes.fromhex(code) for code in ("ff060070", "b90a00 e2fe", "90", "cd21", "9c 58", "fa fb"))
SEGMENT = 0x0000FFFF, 0x00CFF200
"""A data segment of the user's over all memory."""


class Side:
    """A machine of one engine: a task with two threads and, on an i386, one with a thread in V86 mode; and a memory manager."""

    def __init__(self, machine: Machine, programs: Sequence[bytes]) -> None:
        self.machine, arch = machine, machine.arch
        self.manager: Manager | None = Manager(machine)
        self.task, first = add_task(machine, programs[0])
        self.task.memory.write(VirtAddr(HANDLER), arch.handler)
        self.task.memory.write(VirtAddr(CODE + 0x2000), programs[1])
        self.threads = [first, add_thread(machine, self.task, CODE + 0x2000, SECOND_STACK)]
        self.manager.map(self.task, PAGES * arch.page, WINDOW)
        self.manager.ready()
        if arch is I386:
            self.add_v86(programs[2])
            for change in (set_ldt(1, *SEGMENT), set_gdt(0, *SEGMENT), set_gdt(1, *SEGMENT), set_ports(0x70, 0x71, True)):
                change(self)

    def add_v86(self, program: bytes) -> None:
        task, thread = add_task(self.machine, I386.stay)
        task.memory.write(VirtAddr(V86_CODE), program)
        thread.pcb.set_state(THREAD_STATE, v86_state(thread))
        self.threads.append(thread)

    def change(self, what: Callable[[Side], object]) -> None:
        with suppress(KernError):
            what(self)


def v86_state(thread: Thread) -> list[int]:
    """Registers with which a thread is in V86 mode, at V86_CODE."""
    words = list(thread.pcb.get_state(THREAD_STATE))
    words[0:4] = [CODE >> 4] * 4
    words[12:17] = [V86_CODE - CODE, CODE >> 4, words[14] | EFL_VM, 0xF000, CODE >> 4]
    return words


def pcb(side: Side, number: int) -> I386Pcb:
    found = side.threads[number % len(side.threads)].pcb
    assert isinstance(found, I386Pcb)
    return found


def set_vector(number: int, handler: int) -> Callable[[Side], object]:
    def change(side: Side) -> None:
        if side.task.active:
            syscall_emulation.set_vector(side.machine.kernel.kern, side.task, number, [handler])

    return change


def set_debug(thread: int, addresses: list[int], control: int) -> Callable[[Side], object]:
    return lambda side: pcb(side, thread).set_state(DEBUG_STATE, [*addresses, 0, 0, 0, control])


def set_ldt(thread: int, low: int, high: int) -> Callable[[Side], object]:
    return lambda side: pcb(side, thread).set_ldt(0x0F, [(low, high)], False)


def set_gdt(thread: int, low: int, high: int) -> Callable[[Side], object]:
    return lambda side: pcb(side, thread).set_gdt(0x4B, (low, high))


def set_ports(first: int, last: int, enable: bool) -> Callable[[Side], object]:
    def change(side: Side) -> None:
        assert isinstance(side.task.machine, I386Task)
        side.task.machine.io_perm_modify(first, last, enable)

    return change


def set_trace(thread: int, status: int) -> Callable[[Side], object]:
    def change(side: Side) -> None:
        found = side.threads[thread % 2].pcb
        words = found.get_state(EXCEPTION_FRAME)
        found.set_state(EXCEPTION_FRAME, [words[0] & 0x3FFFFFFF | status << 16, *words[1:]])

    return change


def to_v86(thread: int) -> Callable[[Side], object]:
    def change(side: Side) -> None:
        found = side.threads[thread % 2]
        found.pcb.set_state(THREAD_STATE, v86_state(found))

    return change


def supply(page: int, lock: int) -> Callable[[Side], object]:
    def change(side: Side) -> None:
        size = side.machine.arch.page
        if side.manager is not None and side.manager.names() is not None:
            side.manager.supply(page * size, side.machine.arch.pack("I", page) * (size // 4), lock)

    return change


def lock(page: int, forbidden: int, flush: bool) -> Callable[[Side], object]:
    def change(side: Side) -> None:
        size = side.machine.arch.page
        if side.manager is not None and side.manager.names() is not None:
            side.manager.tell("lock_request", page * size, size, 0, int(flush), forbidden, NOBODY)

    return change


def protect(task: Task, start: int, size: int, protection: int) -> None:
    if task.map is not None:
        vm.vm_protect(task.map, start, size, False, protection)


def set_protection(page: int, protection: int) -> Callable[[Side], object]:
    return lambda side: protect(side.task, FRESH + page * side.machine.arch.page, side.machine.arch.page, protection)


def copy(source: int, target: int) -> Callable[[Side], object]:
    """The copied page is written to: a fault makes a page of each."""

    def change(side: Side) -> None:
        size = side.machine.arch.page
        if side.task.map is not None:
            copied = vm.vm_read(side.task.map, VirtAddr(FRESH + source * size), size)
            assert copied is not None
            try:
                vm.vm_write(side.task.map, FRESH + target * size, copied, size)
            finally:
                copied.discard()

    return change


def restore(side: Side) -> None:
    """Back to what it is: all of it is loaded anew into the CPU. The manager answers no more."""
    node = side.machine.node
    node.restore(node.snapshot())
    side.machine.kernel = node.kernel
    side.manager = None
    tasks = {task.number: task for task in node.kernel.kern.tasks.values()}
    side.task = tasks.get(side.task.number, side.task)
    found = {thread.number: thread for task in tasks.values() for thread in task.threads.values()}
    side.threads = [found.get(thread.number, thread) for thread in side.threads]


address = st.integers(CODE, CODE + 64) | st.integers(FRESH, FRESH + 64)
ANY_CHANGE = st.one_of(
    st.builds(set_vector, st.integers(-29, 5), st.sampled_from((0, HANDLER))),
    st.builds(supply, st.integers(0, PAGES - 1), st.sampled_from((0, 2))),
    st.builds(lock, st.integers(0, PAGES - 1), st.sampled_from((0, 2, 3)), st.booleans()),
    st.builds(copy, st.integers(0, 3), st.integers(0, 3)),
    st.builds(set_protection, st.integers(0, 3), st.sampled_from((0, 1, 3))),
)
CHANGES = {
    "i386": st.one_of(
        ANY_CHANGE,
        st.builds(
            set_debug,
            st.integers(0, 2),
            st.lists(address, min_size=4, max_size=4),
            st.integers(0, 0xFF) | st.integers(0, 2**32 - 1),
        ),
        st.builds(set_ldt, st.integers(0, 2), st.just(SEGMENT[0]), st.sampled_from((SEGMENT[1], 0x00CF7200, 0x00CFFA00))),
        st.builds(set_gdt, st.integers(0, 2), st.just(SEGMENT[0]), st.sampled_from((SEGMENT[1], 0x0000F300))),
        st.builds(set_ports, st.sampled_from((10, 0x60, 0x70)), st.just(0x71), st.booleans()),
        st.builds(to_v86, st.integers(0, 1)),
    ),
    "m68k": st.one_of(ANY_CHANGE, st.builds(set_trace, st.integers(0, 1), st.sampled_from((0, SR_T1, SR_T0)))),
}


def programs(arch: Arch) -> st.SearchStrategy[list[bytes]]:
    usual = st.one_of(
        st.integers(25, 30).map(arch.trap),
        st.tuples(st.integers(0, 0x7000), st.integers(1, 3)).map(lambda place: arch.touch(FRESH + (place[0] & ~3), place[1])),
        st.integers(0, PAGES - 1).map(lambda page: arch.fetch(WINDOW + page * arch.page)),
        st.integers(0, PAGES - 1).map(lambda page: arch.increment(WINDOW + page * arch.page)),
        st.integers(1, 40).map(arch.spend),
    )
    pieces = st.one_of(usual, usual, st.sampled_from(I386_PIECES if arch is I386 else M68K_PIECES))
    program, second = (
        st.lists(each, min_size=1, max_size=10).map(lambda found: arch.repeat(b"".join(found)))
        for each in (pieces, st.one_of(pieces, st.just(LDT_FS if arch is I386 else arch.undefined)))
    )
    v86 = st.lists(st.sampled_from(V86_PIECES), max_size=4).map(b"".join)
    return st.tuples(program, second, v86.map(lambda code: code + b"\xe9" + struct.pack("<h", -len(code) - 3))).map(list)


@pytest.mark.parametrize("name", ARCHS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_changes_from_outside_leave_the_same_state_at_each_stop(name: str, data: st.DataObject) -> None:
    arch = ARCHS[name]
    made = data.draw(programs(arch))
    stop = st.tuples(
        st.integers(1, 3 * MILLISECOND), st.none() | st.integers(1, 50), st.lists(CHANGES[name] | st.just(restore), max_size=3)
    )
    with ExitStack() as stack:
        sides = []
        for extension in (True, False):
            with ExitStack() as choice:
                if not extension:
                    choice.enter_context(accel.left_out())
                machine = empty(arch)
                stack.callback(machine.node.close)
                sides.append(Side(machine, made))
        here, there = sides
        for duration, traps, changes in data.draw(st.lists(stop, min_size=1, max_size=8)):
            for change in changes:
                here.change(change)
                there.change(change)
            assert here.machine.run(duration, traps) == there.machine.run(duration, traps)
            assert here.machine.kernel.trap_count == there.machine.kernel.trap_count
            assert here.machine.node.digest() == there.machine.node.digest()
            assert here.machine.console == there.machine.console
        invariants.check(here.machine.kernel)


@settings(deadline=None, max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize("name", ARCHS)
def test_a_machine_saved_by_one_engine_goes_on_in_the_other(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    arch = ARCHS[name]
    made = data.draw(programs(arch))
    stops = data.draw(st.lists(st.integers(1, 2 * MILLISECOND), min_size=2, max_size=5))
    saved: Path = tmp_path_factory.mktemp("saved") / "machine"
    whole = empty(arch)
    with closing(whole.node):
        side = Side(whole, made)
        for change in data.draw(st.lists(CHANGES[name], max_size=4)):
            side.change(change)
        whole.node.save(saved)
        for number, duration in enumerate(stops):
            with ExitStack() as choice:
                if number % 2:
                    choice.enter_context(accel.left_out())
                other = load(saved)
            with closing(other.node):
                whole.run(duration)
                other.run(duration)
                assert other.node.digest() == whole.node.digest()
                other.node.save(saved)
