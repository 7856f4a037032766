"""What priorities and policies do: who runs, for how long, and who may have them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT
from machemu.abi.types import VirtAddr
from machemu.kern import priority, processor_set, task_control, thread_control
from machemu.kern.clock import TICK_NS
from machemu.kern.priority import quantum_ticks
from machemu.kern.task import Task
from machemu.kern.thread import BASEPRI_USER, NRQS, POLICY_FIXEDPRI, POLICY_TIMESHARE, Thread
from tests.support.guests import Arch
from tests.support.machine import CODE, STACK_END, Machine, add_task, add_thread, empty

SECOND = 1_000_000_000


def spinners(machine: Machine, *settings: tuple[int, int]) -> list[Thread]:
    """Threads that never wait, each of a fixed priority with a quantum in clock ticks; priority -1 shares time."""
    kern = machine.kernel.kern
    processor_set.policy_enable(kern.psets[0], POLICY_FIXEDPRI)
    task, first = add_task(machine, machine.arch.stay)
    threads = [first]
    for number in range(1, len(settings)):
        task.memory.write(VirtAddr(CODE + 16 * number), machine.arch.stay)
        threads.append(add_thread(machine, task, CODE + 16 * number, STACK_END - 0x1000 * number))
    for thread, (base, quantum) in zip(threads, settings, strict=True):
        if base >= 0:
            priority.thread_policy(kern, thread, POLICY_FIXEDPRI, quantum * 10)
            priority.thread_priority(kern, thread, base, False)
    return threads


def turns(machine: Machine, threads: list[Thread], ticks: int) -> list[int]:
    """Who has the CPU in the middle of each tick, by place in `threads`."""
    seen = []
    for _ in range(ticks):
        machine.run(TICK_NS)
        current = machine.kernel.kern.sched.current
        assert current is not None
        seen.append(threads.index(current))
    return seen


def lengths(seen: list[int]) -> list[int]:
    """How long each turn was, without the first and the last one."""
    found = [1]
    for before, after in pairwise(seen):
        if before == after:
            found[-1] += 1
        else:
            found.append(1)
    return found[1:-1]


def test_a_better_fixed_priority_leaves_others_nothing(arch: Arch) -> None:
    with empty(arch) as machine:
        worse, better = spinners(machine, (31, 5), (30, 5))
        machine.run(SECOND)
        used = worse.user_time
        machine.run(2 * SECOND)
        assert worse.user_time == used
        assert better.sched_pri == better.priority == 30


@pytest.mark.parametrize("quantum", [1, 4, 20])
def test_equal_fixed_priorities_take_turns_of_a_quantum(arch: Arch, quantum: int) -> None:
    with empty(arch) as machine:
        threads = spinners(machine, (30, quantum), (30, quantum), (30, quantum))
        machine.run(TICK_NS // 2)
        seen = turns(machine, threads, 12 * quantum)
        assert set(lengths(seen)) == {quantum}
        assert set(seen) == {0, 1, 2}


def test_each_fixed_priority_has_a_quantum_of_its_own(arch: Arch) -> None:
    with empty(arch) as machine:
        threads = spinners(machine, (30, 2), (30, 7))
        machine.run(TICK_NS // 2)
        assert set(lengths(turns(machine, threads, 60))) == {2, 7}


def test_a_fixed_priority_yields_to_a_better_one_in_its_quantum(arch: Arch) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        worse, better = spinners(machine, (31, 1000), (30, 1000))
        thread_control.suspend(kern, better)
        machine.run(TICK_NS * 5)
        assert kern.sched.current is worse
        thread_control.resume(kern, better)
        machine.run(TICK_NS // 2)
        assert kern.sched.current is better


@pytest.mark.parametrize("quantum", [0, -1, -1000])
def test_a_quantum_of_nothing_lasts_a_tick(arch: Arch, quantum: int) -> None:
    with empty(arch) as machine:
        threads = spinners(machine, (30, quantum), (30, quantum))
        machine.run(TICK_NS // 2)
        assert set(lengths(turns(machine, threads, 30))) == {1}


@pytest.mark.slow
def test_sharing_time_beside_a_fixed_priority_ages(arch: Arch) -> None:
    """A thread that shares time gets worse than the fixed priority with use, and gets the CPU when it has aged."""
    with empty(arch) as machine:
        sharing, fixed = spinners(machine, (-1, 0), (26, 3))
        machine.run(8 * SECOND)
        assert sharing.sched_pri >= fixed.sched_pri == 26
        assert fixed.user_time > SECOND
        assert sharing.user_time > 0


def test_threads_share_time_again_when_the_policy_is_disabled(arch: Arch) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        worse, better = spinners(machine, (31, 5), (30, 5))
        machine.run(SECOND)
        processor_set.policy_disable(kern, kern.psets[0], POLICY_FIXEDPRI, True)
        assert (worse.policy, better.policy) == (POLICY_TIMESHARE, POLICY_TIMESHARE)
        used = worse.user_time
        machine.run(2 * SECOND)
        assert worse.user_time > used
        with pytest.raises(KernError) as refused:
            priority.thread_policy(kern, worse, POLICY_FIXEDPRI, 10)
        assert refused.value.code == KERN_FAILURE


@pytest.mark.slow
def test_a_worse_priority_that_shares_time_gets_less(arch: Arch) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        first, second = spinners(machine, (-1, 0), (-1, 0))
        priority.thread_priority(kern, second, BASEPRI_USER + 8, False)
        machine.run(10 * SECOND)
        assert 0 < second.user_time < first.user_time * 3 // 4


def test_a_queued_thread_that_gets_better_preempts(arch: Arch) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        first, second = spinners(machine, (30, 1000), (31, 1000))
        machine.run(TICK_NS * 2)
        assert kern.sched.current is first
        priority.thread_priority(kern, second, 29, False)
        machine.run(TICK_NS // 2)
        assert kern.sched.current is second


@pytest.mark.parametrize("value", [-1, NRQS, 1 << 31, -(1 << 31)])
def test_priorities_that_are_none_are_refused_and_change_nothing(arch: Arch, value: int) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        task, thread = add_task(machine, machine.arch.stay)
        pset = kern.psets[0]
        calls: list[Callable[[], None]] = [
            lambda: priority.thread_priority(kern, thread, value, True),
            lambda: priority.thread_max_priority(kern, thread, value),
            lambda: priority.task_priority(kern, task, value, True),
            lambda: processor_set.max_priority(kern, pset, value, True),
        ]
        for call in calls:
            with pytest.raises(KernError) as refused:
                call()
            assert refused.value.code == KERN_INVALID_ARGUMENT
        assert (thread.priority, thread.max_priority, task.priority, pset.max_priority) == (BASEPRI_USER,) * 4


def test_new_threads_are_no_better_than_their_set_allows(arch: Arch) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        task, old = add_task(machine, machine.arch.stay)
        processor_set.max_priority(kern, kern.psets[0], 40, False)
        new = thread_control.create(kern, task)
        assert (old.priority, new.priority, new.max_priority, new.sched_pri) == (
            BASEPRI_USER,
            40,
            40,
            40 + (new.sched_usage >> 24),
        )
        processor_set.max_priority(kern, kern.psets[0], 45, True)
        assert [thread.priority for thread in (old, new)] == [45, 45]


def test_a_task_s_priority_is_taken_by_the_threads_that_may_have_it(arch: Arch) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        task, first = add_task(machine, machine.arch.stay)
        second = thread_control.create(kern, task)
        priority.thread_priority(kern, second, 40, True)
        with pytest.raises(KernError) as refused:
            priority.task_priority(kern, task, 30, True)
        assert refused.value.code == KERN_FAILURE
        assert (task.priority, first.priority, second.priority) == (30, 30, 40)
        assert inherited(machine, task).priority == 30


def inherited(machine: Machine, task: Task) -> Task:
    return task_control.create(machine.kernel.kern, task, False)


def test_quanta_are_ticks_rounded_up_and_wrap() -> None:
    cases = {0: 0, 1: 1, 10: 1, 11: 2, 100: 10, -1: 0, -10: -1, -15: 0, 2147483: -214747, -2147484: -214747}
    assert {data: quantum_ticks(data) for data in cases} == cases


def test_the_cpu_handed_to_a_fixed_priority_comes_with_its_quantum(arch: Arch) -> None:
    with empty(arch) as machine:
        kern = machine.kernel.kern
        first, second = spinners(machine, (30, 3), (30, 50))
        machine.run(TICK_NS // 2)
        sched = kern.sched
        other = second if sched.current is first else first
        assert sched.rem_runq(other)
        sched.handoff = other
        sched.hand_off_quantum(other)
        sched.select()
        assert (sched.current, sched.quantum, sched.first_quantum) == (other, other.sched_data, True)
