"""Who runs when: quantum, priorities that age, hand-off, depression, time-outs by the clock's ticks."""

from __future__ import annotations

import pytest

from machemu.abi.types import VirtAddr
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.kern import thread_control
from machemu.kern.clock import TICK_NS
from machemu.kern.sched import MIN_QUANTUM
from machemu.kern.task import Task
from machemu.kern.thread import NRQS, Thread
from tests.support.guests import Arch
from tests.support.machine import CODE, STACK_END, Machine, add_task, add_thread, empty

SECOND = 1_000_000_000
FIRST, SECOND_COUNT = CODE + 0x800, CODE + 0x804
MESSAGE = CODE + 0x1000
RECEIVE, RECEIVE_TIMEOUT = 2, 0x100
SWITCH_NONE, SWITCH_DEPRESS, SWITCH_WAIT = range(3)


def two_counters(machine: Machine) -> tuple[Task, Thread, Thread]:
    """Two threads of a task that count for ever, each in a word of its own."""
    task, first = add_task(machine, machine.arch.count(FIRST))
    task.memory.write(VirtAddr(CODE + 0x100), machine.arch.count(SECOND_COUNT))
    return task, first, add_thread(machine, task, CODE + 0x100, STACK_END - 0x1000)


def name_of(machine: Machine, task: Task, thread: Thread) -> int:
    """A name in the task for a thread."""
    return mach_port.copyout_send(machine.kernel.ipc, task.space, ports.copy_send(machine.kernel.ipc, thread.ith_sself))


@pytest.mark.slow
def test_equal_threads_share_the_cpu(arch: Arch) -> None:
    with empty(arch) as machine:
        task, first, second = two_counters(machine)
        machine.run(2 * SECOND)
        one, two = machine.word(task, FIRST), machine.word(task, SECOND_COUNT)
        assert abs(one - two) < (one + two) // 10
        assert abs(first.user_time - second.user_time) < SECOND // 5


def test_a_thread_keeps_the_cpu_for_a_quantum(arch: Arch) -> None:
    with empty(arch) as machine:
        task, *_ = two_counters(machine)
        machine.run((MIN_QUANTUM - 1) * TICK_NS)
        assert (machine.word(task, FIRST) > 0, machine.word(task, SECOND_COUNT)) == (True, 0)
        machine.run(3 * TICK_NS)
        assert machine.word(task, SECOND_COUNT) > 0


@pytest.mark.slow
def test_a_thread_that_wakes_up_preempts_one_that_used_much(arch: Arch) -> None:
    """Its usage has not aged the other's priority: it runs at its tick, not a quantum later."""
    with empty(arch) as machine:
        task, hog = add_task(machine, arch.count(FIRST))
        machine.run(SECOND)
        task.memory.write(VirtAddr(CODE + 0x100), arch.trap(61, 0, SWITCH_WAIT, 10) + arch.count(SECOND_COUNT))
        add_thread(machine, task, CODE + 0x100, STACK_END - 0x1000)
        machine.run(2 * TICK_NS)
        assert hog.sched_pri > hog.priority
        assert machine.word(task, SECOND_COUNT) > 0


def test_thread_switch_hands_the_cpu_to_the_thread_named(arch: Arch) -> None:
    with empty(arch) as machine:
        task, first, second = two_counters(machine)
        other = name_of(machine, task, second)
        task.memory.write(VirtAddr(CODE), arch.trap(61, other, SWITCH_NONE, 0) + arch.count(FIRST))
        third = add_thread(machine, task, CODE + 0x200, STACK_END - 0x2000)
        task.memory.write(VirtAddr(CODE + 0x200), arch.stay)
        machine.run(TICK_NS // 2)
        assert machine.word(task, SECOND_COUNT) > 0
        assert (first.user_time > 0, third.user_time) == (True, 0)


def test_a_depressed_thread_runs_when_nobody_else_wants_to(arch: Arch) -> None:
    with empty(arch) as machine:
        task, first, second = two_counters(machine)
        task.memory.write(VirtAddr(CODE), arch.trap(61, 0, SWITCH_DEPRESS, 1000) + arch.count(FIRST))
        machine.run(TICK_NS)
        assert first.sched_pri == NRQS - 1
        machine.run(SECOND // 2)
        assert machine.word(task, FIRST) == 0
        thread_control.suspend(machine.kernel.kern, second)
        machine.run(TICK_NS)
        assert machine.word(task, SECOND_COUNT) > 0
        assert first.depress_priority < 0


def test_a_time_out_ends_at_a_clock_tick(arch: Arch) -> None:
    with empty(arch) as machine:
        task, thread = add_task(machine, b"")
        name = mach_port.mach_port_allocate(machine.kernel.ipc, task.space, 1)
        receive = arch.trap(25, MESSAGE, RECEIVE | RECEIVE_TIMEOUT, 0, 64, name, 25, 0)
        task.memory.write(VirtAddr(CODE), receive + arch.store(FIRST) + arch.stay)
        machine.run(3 * TICK_NS - 1)
        assert thread.wait_timer is not None
        assert thread.wait_timer.time == 3 * TICK_NS
        machine.run(TICK_NS)
        assert machine.word(task, FIRST) == 0x10004003


def test_times_of_threads_add_up_to_the_clock(arch: Arch) -> None:
    with empty(arch) as machine:
        _, first, second = two_counters(machine)
        machine.run(SECOND)
        switches = machine.kernel.kern.clock.now() - sum(t.user_time + t.system_time for t in (first, second))
        assert 0 <= switches < SECOND // 100


def test_time_that_the_kernel_took_is_taken_from_what_the_thread_may_run(arch: Arch) -> None:
    with empty(arch) as machine:
        add_task(machine, arch.trap(27) * 300 + arch.touch(CODE + 2 * arch.page, 4) + arch.stay)
        clock = machine.kernel.kern.clock
        machine.run(TICK_NS // 2)
        assert clock.base > TICK_NS // 10
        assert TICK_NS // 2 <= clock.now() < TICK_NS // 2 + clock.instruction_ns
