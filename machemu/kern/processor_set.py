"""Processor sets: processors, and the tasks and threads that run on them (Mach's kern/processor.c, kern/mach_factor.c).

As in the real kernel, which is built without MACH_HOST, there is the default set alone: none is made, and nothing changes sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT
from machemu.kern import priority
from machemu.kern.run_queue import RunQueue
from machemu.kern.thread import BASEPRI_USER, POLICY_FIXEDPRI, POLICY_TIMESHARE, Priority
from machemu.sim.state import U32, Natural, Range, state

if TYPE_CHECKING:
    from machemu.ipc.port import Port
    from machemu.kern.processor import Processor
    from machemu.kern.subsystem import Kern
    from machemu.kern.task import Task
    from machemu.kern.thread import Thread


PROCESSOR_SET_BASIC_INFO: Final = 1
PROCESSOR_SET_BASIC_INFO_COUNT: Final = 5
PROCESSOR_SET_SCHED_INFO: Final = 2
PROCESSOR_SET_SCHED_INFO_COUNT: Final = 2

SCHED_SHIFT: Final = 7
SCHED_SCALE: Final = 1 << SCHED_SHIFT
LOAD_SCALE: Final = 1000
AVERAGE_FRACTIONS: Final = (800, 966, 983)
"""What of the averages over about 5, 30 and 60 seconds stays each second, of LOAD_SCALE."""


@state
class ProcessorSet:
    """Mach's struct processor_set."""

    __slots__ = (
        "pset_self", "pset_name_self", "processors", "tasks", "threads", "runq", "max_priority", "policies",
        "mach_factor", "load_average", "sched_load", "avenrun", "mach_factors",
    )  # fmt: skip
    # Its ports, the kernel's own:
    pset_self: Port  # control
    pset_name_self: Port  # name

    # What belongs to it:
    processors: dict[int, Processor]  # by slot number
    tasks: dict[int, Task]  # by number, in the order in which they came, as are the threads
    threads: dict[int, Thread]

    # Scheduling:
    runq: RunQueue  # its threads that are ready
    max_priority: Priority  # no new thread's is better
    policies: Annotated[int, Range(0, POLICY_TIMESHARE | POLICY_FIXEDPRI)]  # allowed ones, POLICY_TIMESHARE among them

    # Load:
    mach_factor: Natural  # scaled by LOAD_SCALE, as is the next
    load_average: Natural
    sched_load: U32  # how many threads each processor is for, scaled by SCHED_SCALE
    avenrun: list[Natural]  # load_average over three times
    mach_factors: list[Natural]  # mach_factor over three times

    def check_saved(self) -> None:
        """ValueError where its averages are over other times."""
        if len(self.avenrun) != len(AVERAGE_FRACTIONS) or len(self.mach_factors) != len(AVERAGE_FRACTIONS):
            raise ValueError("its averages are over other times")

    def __init__(self) -> None:
        self.processors = {}
        self.tasks = {}
        self.threads = {}
        self.runq = RunQueue()
        self.max_priority = BASEPRI_USER
        self.policies = POLICY_TIMESHARE
        self.mach_factor = LOAD_SCALE
        self.load_average = 0
        self.sched_load = SCHED_SCALE
        self.avenrun = [0] * len(AVERAGE_FRACTIONS)
        self.mach_factors = [0] * len(AVERAGE_FRACTIONS)

    def compute_mach_factor(self) -> None:
        """Once a second: how busy its processors are. A set without processors stands still."""
        ncpus = len(self.processors)
        if not ncpus:
            return
        threads = self.runq.count + sum(processor.sched.current is not None for processor in self.processors.values())
        if threads > ncpus:
            factor, load = ncpus * LOAD_SCALE // (threads + 1), (threads << SCHED_SHIFT) // ncpus
        else:
            factor, load = (ncpus - threads) * LOAD_SCALE, SCHED_SCALE
        average = threads * LOAD_SCALE
        self.mach_factor = ((self.mach_factor << 2) + factor) // 5
        self.load_average = ((self.load_average << 2) + average) // 5
        self.sched_load = (self.sched_load + load) >> 1
        for index, kept in enumerate(AVERAGE_FRACTIONS):
            self.mach_factors[index] = (self.mach_factors[index] * kept + factor * (LOAD_SCALE - kept)) // LOAD_SCALE
            self.avenrun[index] = (self.avenrun[index] * kept + average * (LOAD_SCALE - kept)) // LOAD_SCALE

    def check_invariants(self) -> None:
        self.runq.check_invariants()
        if self.pset_self.kobject is not self or not isinstance(self.pset_name_self.kobject, ProcessorSetName):
            raise InvariantError("a processor set's ports do not stand for it")
        for processor in self.processors.values():
            if processor.sched.pset is not self or processor.processor_self.kobject is not processor:
                raise InvariantError(f"processor {processor.slot_num} is in another set, or its port stands for another")
        for task in self.tasks.values():
            if task.processor_set is not self:
                raise InvariantError(f"task {task.number} is listed in a set that is not its own")
        for thread in self.threads.values():
            if thread.processor_set is not self:
                raise InvariantError(f"thread {thread.number} is listed in a set that is not its own")


@state
class ProcessorSetName:
    """What the name port of a processor set stands for (IKOT_PSET_NAME); the set itself is what its control port stands for."""

    __slots__ = ("processor_set",)
    processor_set: ProcessorSet

    def __init__(self, processor_set: ProcessorSet) -> None:
        self.processor_set = processor_set


def info(pset: ProcessorSet, flavor: int, room: int) -> tuple[int, ...]:
    """processor_set_info: the flavor's words."""
    if flavor == PROCESSOR_SET_BASIC_INFO:
        if room < PROCESSOR_SET_BASIC_INFO_COUNT:
            raise KernError(KERN_FAILURE)
        return len(pset.processors), len(pset.tasks), len(pset.threads), pset.load_average, pset.mach_factor
    if flavor == PROCESSOR_SET_SCHED_INFO:
        if room < PROCESSOR_SET_SCHED_INFO_COUNT:
            raise KernError(KERN_FAILURE)
        return pset.policies, pset.max_priority
    raise KernError(KERN_INVALID_ARGUMENT)


def max_priority(kern: Kern, pset: ProcessorSet, best: int, change_threads: bool) -> None:
    """processor_set_max_priority; with `change_threads` also for threads that may be better."""
    priority.check(best)
    pset.max_priority = best
    if change_threads:
        for thread in pset.threads.values():
            if thread.max_priority < best:
                priority.thread_max_priority(kern, thread, best)


def policy_enable(pset: ProcessorSet, policy: int) -> None:
    """processor_set_policy_enable."""
    priority.check_policy(policy)
    pset.policies |= policy


def policy_disable(kern: Kern, pset: ProcessorSet, policy: int, change_threads: bool) -> None:
    """processor_set_policy_disable; with `change_threads` the policy's threads share time from now on, otherwise they keep it."""
    if policy != POLICY_FIXEDPRI:
        raise KernError(KERN_INVALID_ARGUMENT)
    if pset.policies & policy:
        pset.policies &= ~policy
        if change_threads:
            for thread in pset.threads.values():
                if thread.policy == policy:
                    priority.thread_policy(kern, thread, POLICY_TIMESHARE, 0)
