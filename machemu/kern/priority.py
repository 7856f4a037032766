"""Priorities and policies, as tasks set them (thread_priority and its like in Mach's kern/thread.c and kern/task.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT
from machemu.abi.types import signed
from machemu.kern.clock import TICK_NS
from machemu.kern.thread import NRQS, POLICY_FIXEDPRI, POLICY_TIMESHARE

if TYPE_CHECKING:
    from machemu.kern.subsystem import Kern
    from machemu.kern.task import Task
    from machemu.kern.thread import Thread

TICK_US: Final = TICK_NS // 1000


def check(priority: int) -> None:
    if not 0 <= priority < NRQS:
        raise KernError(KERN_INVALID_ARGUMENT)


def check_policy(policy: int) -> None:
    if policy not in (POLICY_TIMESHARE, POLICY_FIXEDPRI):
        raise KernError(KERN_INVALID_ARGUMENT)


def quantum_ticks(milliseconds: int) -> int:
    """A fixed priority's quantum in clock ticks, rounded up; it wraps as the real kernel's 32-bit product does."""
    microseconds = signed(milliseconds * 1000)
    if microseconds % TICK_US:
        microseconds = signed(microseconds + TICK_US)
    ticks = abs(microseconds) // TICK_US
    return ticks if microseconds >= 0 else -ticks


def thread_priority(kern: Kern, thread: Thread, priority: int, set_max: bool) -> None:
    """Sets the base priority; that of a depressed thread takes effect when the depression ends."""
    check(priority)
    if priority < thread.max_priority:
        raise KernError(KERN_FAILURE)
    if thread.depress_priority >= 0:
        thread.depress_priority = priority
    else:
        thread.priority = priority
        kern.sched.compute_priority(thread, True)
    if set_max:
        thread.max_priority = priority


def thread_max_priority(kern: Kern, thread: Thread, best: int) -> None:
    """Sets the best priority that the thread may have, and makes its own no better."""
    check(best)
    thread.max_priority = best
    if best > thread.priority:
        thread.priority = best
        kern.sched.compute_priority(thread, True)
    elif 0 <= thread.depress_priority < best:
        thread.depress_priority = best


def thread_policy(kern: Kern, thread: Thread, policy: int, data: int) -> None:
    """Sets the policy, where the thread's set allows it, and with POLICY_FIXEDPRI its quantum of `data` milliseconds."""
    check_policy(policy)
    if policy != thread.policy and not thread.processor_set.policies & policy:
        raise KernError(KERN_FAILURE)
    if policy == POLICY_FIXEDPRI:
        thread.sched_data = quantum_ticks(data)
    if policy != thread.policy:
        thread.policy = policy
        kern.sched.compute_priority(thread, True)


def task_priority(kern: Kern, task: Task, priority: int, change_threads: bool) -> None:
    """Sets the priority of the task's new threads; with `change_threads` also of those it has, as far as each may have it."""
    check(priority)
    task.priority = priority
    failed = False
    if change_threads:
        for thread in task.threads.values():
            try:
                thread_priority(kern, thread, priority, False)
            except KernError:
                failed = True
    if failed:
        raise KernError(KERN_FAILURE)
