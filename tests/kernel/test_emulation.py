"""Traps that a task takes over: what the conformance module cannot show, since the real kernel panics there."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_RESOURCE_SHORTAGE
from machemu.abi.types import VirtAddr
from machemu.core.kernel import Stop
from machemu.core.observe import watch
from machemu.kern import syscall_emulation, task_control
from machemu.kern.syscall_emulation import ENTRIES_MAX, EmlDispatch
from machemu.kern.task import Task
from machemu.ui.strace import Strace
from tests.support.guests import I386, M68K, Arch
from tests.support.machine import CODE, STACK_END, STACK_SIZE, Machine, add_task, empty, load

SECOND = 1_000_000_000
RESULT = CODE + 0x800
HANDLER = CODE + 0x400
INT80 = b"\xcd\x80"
GATE = b"\x9a\0\0\0\0\x07\0"


def by_interrupt(number: int, *arguments: int) -> bytes:
    """An i386's trap with `int $0x80` for the gate."""
    return I386.trap(number, *arguments).replace(GATE, INT80 + b"\x90" * (len(GATE) - len(INT80)))


Make = Callable[..., bytes]
WAYS = [
    pytest.param(I386, I386.trap, id="i386-lcall"),
    pytest.param(I386, by_interrupt, id="i386-int 0x80"),
    pytest.param(M68K, M68K.trap, id="m68k-trap"),
]
"""Every way to make a trap that can be redirected."""


def redirecting(machine: Machine, code: bytes, number: int = -5, handler: int = HANDLER) -> Task:
    task, _ = add_task(machine, code)
    syscall_emulation.set_vector(machine.kernel.kern, task, number, [handler])
    return task


def test_int_0x80_is_a_trap_of_the_kernel_s_where_the_vector_has_no_handler() -> None:
    with empty(I386) as machine:
        task = redirecting(machine, by_interrupt(26) + I386.store(RESULT) + I386.stay)
        machine.run(SECOND // 100)
        assert machine.word(task, RESULT) == 1
        assert machine.kernel.trap_count == 1


def test_a_trap_by_int_0x80_blocks_and_reads_its_arguments() -> None:
    with empty(I386) as machine:
        task = redirecting(machine, by_interrupt(61, 0, 2, 20) + I386.store(RESULT) + I386.increment(RESULT) + I386.stay)
        machine.run(1_000_000)
        assert [thread.wait_timer is not None for thread in task.threads.values()] == [True]
        machine.run(SECOND)
        assert machine.word(task, RESULT) == 1


def test_int_0x80_without_a_vector_ends_a_task_without_a_handler() -> None:
    with empty(I386) as machine:
        task, _ = add_task(machine, by_interrupt(26) + I386.stay)
        machine.run(SECOND // 100)
        assert not task.active


@pytest.mark.parametrize(("arch", "make"), WAYS)
@pytest.mark.parametrize("watched", [False, True])
def test_a_machine_stopped_at_each_trap_runs_the_same(arch: Arch, make: Make, watched: bool, tmp_path: Path) -> None:
    """A handler that counts and returns; the machine is saved and loaded after every redirected trap."""
    code = (make(5) + make(26)) * 3 + arch.handled + arch.store(RESULT) + arch.trap(25, CODE + 0x900, 2, 0, 64, 1, 0, 0)
    digests = []
    for step in (None, 1):
        with empty(arch) as machine:
            task = redirecting(machine, code)
            task.memory.write(VirtAddr(HANDLER), arch.handler)
            if watched:
                watch(machine.kernel, Strace(io.StringIO()))
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
            assert machine.word(task, RESULT) == 3
            digests.append(machine.node.digest())
    assert digests[0] == digests[1]


def test_a_trace_says_where_a_trap_goes(arch: Arch) -> None:
    with empty(arch) as machine:
        text = io.StringIO()
        watch(machine.kernel, Strace(text))
        redirecting(machine, arch.trap(5) + arch.stay)
        machine.run(SECOND // 100)
        assert f"trap_5 goes to {HANDLER:#010x}" in text.getvalue()


@pytest.mark.parametrize("handler", [1, 0x70000000, I386.user_end + 0x300, M68K.user_end + 0x300, 0xFFFFFFFF])
@pytest.mark.parametrize(("arch", "make"), WAYS)
def test_a_handler_that_is_nowhere_hurts_its_own_task_only(arch: Arch, make: Make, handler: int) -> None:
    with empty(arch) as machine:
        task = redirecting(machine, make(5) + arch.stay, handler=handler)
        machine.run(SECOND // 100)
        machine.check()
        assert not task.active


@pytest.mark.parametrize(
    "stack", [0, 4, 8, I386.user_end, I386.user_end + 4, M68K.user_end + 4, 0x70000004, 0xFFFFFFFC, STACK_END - STACK_SIZE + 4]
)
def test_a_stack_that_cannot_take_the_frame_is_the_thread_s_exception(arch: Arch, stack: int) -> None:
    with empty(arch) as machine:
        task = redirecting(machine, arch.set_stack(stack) + arch.bare_trap(5) + arch.stay)
        machine.run(SECOND // 100)
        machine.check()
        assert not task.active


def test_a_frame_is_pushed_across_two_fresh_pages(arch: Arch) -> None:
    with empty(arch) as machine:
        page = STACK_END - 0x8000
        code = arch.set_stack(page + 4) + arch.bare_trap(5) + arch.stay
        task = redirecting(machine, code)
        task.memory.write(VirtAddr(HANDLER), arch.where_redirected + arch.store(RESULT) + arch.stay)
        machine.run(SECOND // 100)
        assert machine.word(task, RESULT) == CODE + len(code) - len(arch.stay)


def test_a_vector_longer_than_the_limit_is_refused_and_changes_nothing(arch: Arch) -> None:
    with empty(arch) as machine:
        task = redirecting(machine, arch.stay)
        for number in (ENTRIES_MAX, -0x80000000, 0x7FFFFFFF):
            with pytest.raises(KernError) as refused:
                syscall_emulation.set_vector(machine.kernel.kern, task, number, [1])
            assert refused.value.code == KERN_RESOURCE_SHORTAGE
        assert task.eml_dispatch == EmlDispatch(-5, (HANDLER,))


def test_a_child_s_changes_are_its_own(arch: Arch) -> None:
    with empty(arch) as machine:
        task = redirecting(machine, arch.stay)
        child = task_control.create(machine.kernel.kern, task, False)
        syscall_emulation.set_vector(machine.kernel.kern, child, -5, [0])
        assert (task.eml_dispatch, child.eml_dispatch) == (EmlDispatch(-5, (HANDLER,)), EmlDispatch(-5, (0,)))
