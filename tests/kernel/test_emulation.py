"""Traps that a task takes over: what the conformance module cannot show, since the real kernel panics there."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from machemu.abi.errors import KernError
from machemu.abi.types import VirtAddr
from machemu.core.kernel import Stop
from machemu.core.observe import Observer
from machemu.kern import syscall_emulation, task_control
from machemu.kern.syscall_emulation import ENTRIES_MAX, EmlDispatch
from machemu.kern.task import Task
from machemu.machine.i386.pmap import KERNEL_BASE
from machemu.ui.strace import Strace
from tests.machine import CODE, STACK_END, STAY, Machine, add_task, empty, load, trap

SECOND = 1_000_000_000
RESULT = CODE + 0x800
HANDLER = CODE + 0x400
STORE_RESULT = b"\xa3" + struct.pack("<I", RESULT)
"""mov [RESULT], eax."""
INT80 = b"\xcd\x80"
GATE = b"\x9a\0\0\0\0\x07\0"


def by_interrupt(code: bytes) -> bytes:
    """A trap's code with `int $0x80` for the gate."""
    return code.replace(GATE, INT80 + b"\x90" * (len(GATE) - len(INT80)))


def result(task: Task) -> int:
    return int(struct.unpack("<I", task.memory.read(VirtAddr(RESULT), 4))[0])


def redirecting(machine: Machine, code: bytes, number: int = -5, handler: int = HANDLER) -> Task:
    task, _ = add_task(machine, code)
    syscall_emulation.set_vector(machine.kernel.kern, task, number, [handler])
    return task


def test_int_0x80_is_a_trap_of_the_kernel_s_where_the_vector_has_no_handler() -> None:
    with empty() as machine:
        task = redirecting(machine, by_interrupt(trap(26)) + STORE_RESULT + STAY)
        machine.run(SECOND // 100)
        assert result(task) == 1
        assert machine.kernel.trap_count == 1


def test_a_trap_by_int_0x80_blocks_and_reads_its_arguments() -> None:
    with empty() as machine:
        task = redirecting(
            machine, by_interrupt(trap(61, 0, 2, 20)) + STORE_RESULT + b"\xff\x05" + struct.pack("<I", RESULT) + STAY
        )
        machine.run(1_000_000)
        assert [thread.wait_timer is not None for thread in task.threads.values()] == [True]
        machine.run(SECOND)
        assert result(task) == 1


def test_int_0x80_without_a_vector_ends_a_task_without_a_handler() -> None:
    with empty() as machine:
        task, _ = add_task(machine, by_interrupt(trap(26)) + STAY)
        machine.run(SECOND // 100)
        assert not task.active


@pytest.mark.parametrize("make", [trap, lambda number: by_interrupt(trap(number))], ids=["lcall", "int 0x80"])
@pytest.mark.parametrize("watched", [False, True])
def test_a_machine_stopped_at_each_trap_runs_the_same(make: object, watched: bool, tmp_path: Path) -> None:
    """A handler that counts in ebx and returns; the machine is saved and loaded after every redirected trap."""
    assert callable(make)
    handler = b"\x43\x83\xc4\x04\xc3"
    code = (make(5) + make(26)) * 3 + b"\x89\xd8" + STORE_RESULT + trap(25, CODE + 0x900, 2, 0, 64, 1, 0, 0)
    digests = []
    for step in (None, 1):
        with empty() as machine:
            task = redirecting(machine, code)
            task.memory.write(VirtAddr(HANDLER), handler)
            if watched:
                Observer(machine.kernel, Strace(io.StringIO())).start()
            path = tmp_path / "machine"
            if step is not None:
                machine.run(traps=1)
            machine.node.save(path)
        for _ in range(4 if step is not None else 0):
            with load(path) as machine:
                machine.run(traps=step)
                machine.node.save(path)
        with load(path) as machine:
            assert machine.run() is Stop.WEDGED
            [task] = machine.tasks
            assert result(task) == 3
            digests.append(machine.node.digest())
    assert digests[0] == digests[1]


def test_a_trace_says_where_a_trap_goes() -> None:
    with empty() as machine:
        text = io.StringIO()
        Observer(machine.kernel, Strace(text)).start()
        redirecting(machine, trap(5) + STAY)
        machine.run(SECOND // 100)
        assert f"trap_5 goes to {HANDLER:#010x}" in text.getvalue()


@pytest.mark.parametrize("handler", [1, 0x70000000, KERNEL_BASE + 0x300, 0xFFFFFFFF])
@pytest.mark.parametrize("make", [trap, lambda number: by_interrupt(trap(number))], ids=["lcall", "int 0x80"])
def test_a_handler_that_is_nowhere_hurts_its_own_task_only(make: object, handler: int) -> None:
    assert callable(make)
    with empty() as machine:
        task = redirecting(machine, make(5) + STAY, handler=handler)
        machine.run(SECOND // 100)
        machine.check()
        assert not task.active


@pytest.mark.parametrize("stack", [0, 4, 8, KERNEL_BASE, KERNEL_BASE + 4, 0x70000004, 0xFFFFFFFC])
def test_a_stack_that_cannot_take_the_frame_is_the_thread_s_exception(stack: int) -> None:
    with empty() as machine:
        task = redirecting(machine, b"\xbc" + struct.pack("<I", stack) + trap(5)[5:] + STAY)
        machine.run(SECOND // 100)
        machine.check()
        assert not task.active


def test_a_frame_is_pushed_across_two_fresh_pages() -> None:
    with empty() as machine:
        page = STACK_END - 0x8000
        code = b"\xbc" + struct.pack("<I", page + 4) + b"\xb8\xfb\xff\xff\xff" + GATE + STAY
        task = redirecting(machine, code)
        task.memory.write(VirtAddr(HANDLER), b"\x8b\x44\x24\x04" + STORE_RESULT + STAY)
        machine.run(SECOND // 100)
        assert result(task) == CODE + len(code) - len(STAY)


def test_a_vector_longer_than_the_limit_is_refused_and_changes_nothing() -> None:
    with empty() as machine:
        task = redirecting(machine, STAY)
        for number in (ENTRIES_MAX, -0x80000000, 0x7FFFFFFF):
            with pytest.raises(KernError) as refused:
                syscall_emulation.set_vector(machine.kernel.kern, task, number, [1])
            assert refused.value.code == syscall_emulation.RESOURCE_SHORTAGE
        assert task.eml_dispatch == EmlDispatch(-5, (HANDLER,))


def test_a_child_s_changes_are_its_own() -> None:
    with empty() as machine:
        task = redirecting(machine, STAY)
        child = task_control.create(machine.kernel.kern, task, False)
        syscall_emulation.set_vector(machine.kernel.kern, child, -5, [0])
        assert (task.eml_dispatch, child.eml_dispatch) == (EmlDispatch(-5, (HANDLER,)), EmlDispatch(-5, (0,)))
