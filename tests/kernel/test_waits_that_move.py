"""Threads of frozen tasks that waited for pages wait for them again, and their usage is as old as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from machemu.abi.exception import EXC_BAD_ACCESS
from machemu.abi.kern_return import KERN_MEMORY_ERROR
from machemu.abi.message import MACH_RCV_MSG
from machemu.abi.migrate import FOREVER, REDO_RECEIVE, STAY_GONE
from machemu.abi.port import RIGHT_RECEIVE
from machemu.abi.types import VirtAddr
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.ipc.thread import MsgContinuation
from machemu.kern import freeze, thread_control
from machemu.kern.clock import TICK_NS
from machemu.kern.task import Task
from machemu.kern.thread import Continuation
from machemu.mig.interfaces.mach_migrate import TASK_FREEZE, TASK_THAW, THREAD_SET_WAIT
from machemu.mig.runtime import OutOfLine
from machemu.vm import routines as vm
from tests.support.guests import Arch
from tests.support.machine import CODE, Machine, add_task, empty
from tests.support.managers import NOBODY, Manager
from tests.support.maps import map_of
from tests.support.moves import relocate
from tests.support.routines import call, send_right

WINDOW = 0x20000000
RESULT = CODE + 0x800
STEP = 10_000_000


def waiting(machine: Machine) -> tuple[Manager, Task]:
    """A task that reads a page, for which its manager has been asked, and hands its exceptions to nobody."""
    arch, manager = machine.arch, Manager(machine)
    task, _ = add_task(machine, arch.fetch(WINDOW) + arch.store(RESULT) + arch.stay)
    task.itk_exception = ports.make_send(machine.kernel.ipc, manager.new_port())
    manager.map(task, arch.page, WINDOW)
    manager.ready()
    machine.run(STEP)
    assert manager.names() == ["data_request"]
    return manager, task


def test_a_thread_waits_again_for_its_page_before_any_runs(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task = waiting(machine)
        new = relocate(machine, task)
        [thread] = new.threads.values()
        assert (thread.continuation, thread.fault) == (Continuation.FAULT, (WINDOW, 1))
        machine.check()
        manager.supply(0, arch.pack("I", 0x1234).ljust(arch.page, b"\0"))
        machine.run(STEP)
        assert (machine.word(new, RESULT), thread.fault) == (0x1234, None)
        assert manager.names() == []


def test_a_thread_is_told_once_that_its_page_cannot_be_had(arch: Arch) -> None:
    """The manager is not asked again for what it has answered while the thread was held."""
    with empty(arch) as machine:
        kern = machine.kernel.kern
        manager, task = waiting(machine)
        [thread] = task.threads.values()
        freeze.freeze(kern, task)
        freeze.detach(kern, thread)
        manager.tell("data_error", 0, arch.page, 5)
        freeze.thaw(kern, task)
        assert not task.itk_exception.messages  # type: ignore[union-attr]
        machine.run(STEP)
        [told] = task.itk_exception.messages  # type: ignore[union-attr]
        assert arch.unpack("I4xI4xI", told.body, 20) == (EXC_BAD_ACCESS, KERN_MEMORY_ERROR, WINDOW)
        assert manager.names() == []


def test_a_halted_thread_moves_as_such(arch: Arch) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        add_task(machine, arch.stay)
        task, thread = add_task(machine, arch.stay)
        machine.run(STEP)
        thread_control.suspend(kern, thread)
        thread_control.abort(kern, thread)
        [moved] = relocate(machine, task).threads.values()
        assert thread_control.run_state(moved) == thread_control.TH_STATE_HALTED
        thread_control.resume(kern, moved)
        assert thread_control.run_state(moved) == thread_control.TH_STATE_RUNNING


def test_a_halted_thread_that_is_given_a_wait_can_be_aborted_in_it(arch: Arch) -> None:
    with empty(arch) as machine:
        kernel, kern = machine.kernel, machine.kernel.kern
        add_task(machine, arch.stay)
        task, thread = add_task(machine, arch.stay)
        name = mach_port.mach_port_allocate(kernel.ipc, task.space, RIGHT_RECEIVE)
        machine.run(STEP)
        thread_control.suspend(kern, thread)
        thread_control.abort(kern, thread)
        freeze.freeze(kern, task)
        wait = (REDO_RECEIVE, FOREVER, 0, CODE, MACH_RCV_MSG, 0, 64, name, 0, 0)
        right, nothing = ports.make_send(kernel.ipc, thread.ith_self), OutOfLine(None, 0)  # type: ignore[arg-type]
        call(kernel, THREAD_SET_WAIT, kern.host.host_priv_self, right, wait, nothing, NOBODY)
        freeze.thaw(kern, task)
        assert thread.continuation is MsgContinuation.RECEIVE
        thread_control.abort(kern, thread)
        assert thread.continuation is None


@pytest.mark.parametrize(
    "change",
    (
        lambda task, page: vm.vm_deallocate(map_of(task), WINDOW, page),
        lambda task, page: vm.vm_protect(map_of(task), WINDOW, page, False, 2),
    ),
    ids=("given up", "protected"),
)
def test_a_thread_that_waits_for_what_it_may_not_read_any_more_stays(arch: Arch, change: Callable[[Task, int], None]) -> None:
    with empty(arch) as machine:
        _, task = waiting(machine)
        add_task(machine, arch.stay)
        machine.run(STEP)
        kernel, host = machine.kernel, machine.kernel.kern.host.host_priv_self
        for reason in (0, STAY_GONE):
            assert call(kernel, TASK_FREEZE, host, send_right(kernel, task.itk_self)) == (reason,)
            call(kernel, TASK_THAW, task.itk_self)
            if not reason:
                change(task, arch.page)


def test_usage_does_not_age_while_a_task_is_frozen(arch: Arch) -> None:
    with empty(arch) as machine:
        kern, sched = machine.kernel.kern, machine.kernel.kern.sched
        add_task(machine, arch.stay)
        task, thread = add_task(machine, arch.stay)
        thread_control.suspend(kern, thread)
        before, second = thread.cpu_usage, sched.second_of(task)
        machine.run(90 * TICK_NS)
        freeze.freeze(kern, task)
        machine.run(130 * TICK_NS)
        freeze.thaw(kern, task)
        assert (sched.sched_tick, sched.second_of(task)) == (2, thread.sched_stamp)
        other = thread_control.create(kern, task)
        machine.run(5 * TICK_NS)
        for each in (thread, other):
            assert not sched.update_priority(each)
        machine.check()
        machine.run(10 * TICK_NS)
        for each in (thread, other):
            assert sched.update_priority(each)
            assert each.cpu_usage < before
        assert sched.second_of(task) == second + 2


def test_a_trap_that_maps_memory_waits_again_before_any_thread_runs(arch: Arch) -> None:
    """It holds the memory object while it waits: its manager's death is a memory error, and not the map of a dead name."""
    with empty(arch) as machine:
        kernel, manager = machine.kernel, Manager(machine)
        task, thread = add_task(machine, b"")
        ipc, space = kernel.ipc, task.space
        own = mach_port.copyout_send(ipc, space, ports.copy_send(ipc, task.itk_sself))
        name = mach_port.copyout_send(ipc, space, ports.make_send(ipc, manager.port))
        trap = arch.trap(64, own, RESULT, arch.page, 0, 1, name, 0, 1, 3, 7, 1)
        task.memory.write(VirtAddr(CODE), trap + arch.store(RESULT + 4) + arch.stay)
        machine.run(STEP)
        assert thread.continuation is Continuation.TRAP
        freeze.freeze(kernel.kern, task)
        freeze.detach(kernel.kern, thread)
        freeze.thaw(kernel.kern, task)
        assert (thread.continuation, thread.trap_right) == (Continuation.TRAP, manager.port)
        machine.end(manager.task)
        machine.run(STEP)
        assert machine.word(task, RESULT + 4) == KERN_MEMORY_ERROR
