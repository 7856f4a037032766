"""The scheduler of one CPU: quantum, hand-off, and priorities that age with use (Mach's sched_prim and priority)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

from machemu.kern.clock import HZ
from machemu.kern.processor_set import SCHED_SHIFT, ProcessorSet
from machemu.kern.thread import NRQS, POLICY_FIXEDPRI, POLICY_TIMESHARE, TH_HALTED, TH_RUN, TH_SUSP, TH_WAIT, Thread
from machemu.sim.state import Range, Time, Word, state

if TYPE_CHECKING:
    from machemu.kern.task import Task

MIN_QUANTUM: Final = 3
"""Clock ticks: hz / 33."""
PRI_SHIFT: Final = 17
USAGE_THRESHOLD: Final = 1 << (PRI_SHIFT + 2 + SCHED_SHIFT)
MICROSECONDS: Final = 1_000_000
"""TIMER_RATE: the unit of cpu_usage."""
STUCK_MAX: Final = 16
"""How many threads the scan for stuck ones takes at a time."""

# 5/8 to the nth as two shifts, for n seconds without ageing; a negative second shift is subtracted.
WAIT_SHIFT: Final = (
    (1, 1), (1, 3), (1, -3), (2, -7), (3, 5), (3, -5), (4, -8), (5, 7),
    (5, -7), (6, -10), (7, 10), (7, -9), (8, -11), (9, 12), (9, -11), (10, -13),
    (11, 14), (11, -13), (12, -15), (13, 17), (13, -15), (14, -17), (15, 19), (16, 18),
    (16, -19), (17, 22), (18, 20), (18, -20), (19, 26), (20, 22), (20, -22), (21, -27),
)  # fmt: skip


def aged(usage: int, seconds: int) -> int:
    """`usage` after that many seconds (30 at most)."""
    shift1, shift2 = WAIT_SHIFT[seconds]
    return (usage >> shift1) + (usage >> shift2) if shift2 > 0 else (usage >> shift1) - (usage >> -shift2)


@state
class Sched:
    """What runs on a processor."""

    __slots__ = ("pset", "current", "quantum", "first_quantum", "ast", "yielding", "handoff", "sched_tick", "into")
    pset: ProcessorSet  # the processor's set, whose ready threads it runs
    sched_tick: Time  # seconds since power-on, which ageing counts in
    into: Annotated[int, Range(0, HZ - 1)]  # clock ticks since the last one of these began

    # Who has the CPU:
    current: Thread | None  # also while the kernel works for it; None while idle
    quantum: Word  # clock ticks, negative where a fixed priority's is
    first_quantum: bool  # False once it may lose the CPU to one of equal priority

    # What happens next:
    ast: bool  # look at that, or at its own end or suspension, before user mode goes on
    yielding: bool  # it gives way, even to a worse one
    handoff: Thread | None  # a thread taken out of every queue to run next where the current one blocks in this trap

    def __init__(self, pset: ProcessorSet) -> None:
        self.pset = pset
        self.current = None
        self.quantum = MIN_QUANTUM
        self.first_quantum = True
        self.ast = False
        self.yielding = False
        self.handoff = None
        self.sched_tick = self.into = 0

    # Run queues

    @property
    def count(self) -> int:
        """How many threads are ready for this processor."""
        return self.pset.runq.count

    def setrun(self, thread: Thread, may_preempt: bool) -> None:
        """thread_setrun: puts a runnable thread at the end of its priority's queue."""
        if thread.sched_stamp != self.sched_tick:
            self.update_priority(thread)
        thread.processor_set.runq.enqueue(thread)
        if (
            may_preempt
            and thread.processor_set is self.pset
            and self.current is not None
            and self.current.sched_pri > thread.sched_pri
        ):
            self.first_quantum = False
            self.ast = True

    def rem_runq(self, thread: Thread) -> bool:
        """Takes a thread out of the run queues; False where it was in none."""
        if self.handoff is thread:
            self.handoff = None
            return True
        if not thread.queued:
            return False
        thread.processor_set.runq.remove(thread)
        return True

    def csw_needed(self, thread: Thread) -> bool:
        """Whether the current thread shall lose the CPU: for a fixed priority, to a better one at any time."""
        if thread.state & TH_SUSP:
            return True
        best = self.pset.runq.best()
        if thread.policy == POLICY_FIXEDPRI and best < thread.sched_pri:
            return True
        return not self.first_quantum and best <= thread.sched_pri

    def ast_check(self, thread: Thread) -> None:
        """After a clock tick: asks for a context switch where one is needed."""
        if self.csw_needed(thread):
            self.ast = True
        elif thread.policy == POLICY_FIXEDPRI and self.pset.policies & POLICY_FIXEDPRI:
            self.first_quantum = True

    def select(self) -> Thread | None:
        """Gives the CPU to the next thread, which leaves the queues and becomes current: Mach's thread_block, its second half.

        The old current thread, where it is still runnable, goes to the end of its queue only after the choice, so that
        whoever yields gives way even to a worse priority. It keeps the CPU where nobody else is there.
        """
        old = self.current
        self.ast = self.yielding = False
        runnable = old is not None and old.state & (TH_RUN | TH_WAIT | TH_SUSP) == TH_RUN
        new = self.handoff
        self.handoff = None
        if new is None:
            self.first_quantum = True
            if self.count:
                new = self.pset.runq.choose()
            elif runnable:
                new = old
                if old is not None and old.sched_stamp != self.sched_tick:
                    self.update_priority(old)
            if new is not None:
                self.quantum = quantum_of(new)
        if old is not None and new is not old:
            if runnable:
                self.setrun(old, False)
            else:
                old.state &= ~TH_RUN
        self.current = new
        return new

    def hand_off_quantum(self, thread: Thread) -> None:
        """The CPU was handed to the thread by name: a fixed priority gets its own quantum, others what is left of the old."""
        if thread.policy == POLICY_FIXEDPRI:
            self.quantum = thread.sched_data
            self.first_quantum = True

    # Waiting

    def clear_wait(self, thread: Thread) -> bool:
        """Ends a thread's wait; True where it may run at once (the caller queues it or hands off to it)."""
        if not thread.state & TH_WAIT:
            return False
        thread.state &= ~TH_WAIT
        if thread.state & (TH_RUN | TH_SUSP):
            return False
        thread.state |= TH_RUN
        return True

    # Holding

    def hold(self, thread: Thread) -> None:
        """thread_hold and thread_dowait: the thread does not run until as many `release`.

        The current one stops when it leaves the kernel.
        """
        thread.suspend_count += 1
        thread.state |= TH_SUSP
        if thread is self.current:
            self.ast = True
        elif thread.state & TH_RUN:
            self.rem_runq(thread)
            thread.state &= ~TH_RUN

    def release(self, thread: Thread) -> None:
        thread.suspend_count -= 1
        if thread.suspend_count == 0:
            thread.state &= ~(TH_SUSP | TH_HALTED)
            if not thread.state & (TH_WAIT | TH_RUN):
                thread.state |= TH_RUN
                self.setrun(thread, True)

    # Priorities

    def timer_delta(self, thread: Thread) -> None:
        total = thread.user_time + thread.system_time
        delta = (total - thread.time_saved) // 1000
        thread.time_saved += delta * 1000
        thread.cpu_delta += delta
        thread.sched_delta += delta * thread.processor_set.sched_load

    def second_of(self, task: Task) -> int:
        """The second that a task's threads are in: the time for which it stood still is none of its."""
        return self.sched_tick - (self.into < task.phase)

    def update_priority(self, thread: Thread) -> bool:
        """Ages the usage of a thread that is in no run queue by the seconds that have passed, and its priority with it; whether
        any have."""
        second = self.second_of(thread.task)
        ticks = second - thread.sched_stamp
        if not ticks:
            return False
        thread.sched_stamp = second
        self.timer_delta(thread)
        if ticks > 30:
            thread.cpu_usage = thread.sched_usage = 0
        else:
            thread.cpu_usage = aged(thread.cpu_usage + thread.cpu_delta, ticks)
            thread.sched_usage = aged(thread.sched_usage + thread.sched_delta, ticks)
        thread.cpu_delta = thread.sched_delta = 0
        if ages(thread):
            thread.sched_pri = shared_priority(thread)
        return True

    def compute_priority(self, thread: Thread, resched: bool) -> None:
        """Sets the effective priority from policy, base priority and usage; a queued thread changes queues, and with `resched`
        may preempt."""
        if thread.policy != POLICY_TIMESHARE:
            self.set_pri(thread, thread.priority, resched)
        elif thread.depress_priority >= 0:
            thread.depress_priority = shared_priority(thread)
        else:
            self.set_pri(thread, shared_priority(thread), resched)

    def set_pri(self, thread: Thread, pri: int, resched: bool) -> None:
        queued = thread.queued and self.rem_runq(thread)
        thread.sched_pri = pri
        if queued and resched:
            self.setrun(thread, True)
        elif queued:
            thread.processor_set.runq.enqueue(thread)

    def depress(self, thread: Thread) -> None:
        """thread_depress_priority, without its time-out."""
        thread.depress_priority = thread.priority
        thread.priority = thread.sched_pri = NRQS - 1

    def depress_abort(self, thread: Thread) -> None:
        if thread.depress_priority >= 0:
            thread.priority = thread.depress_priority
            thread.depress_priority = -1
            self.compute_priority(thread, False)

    def clock_tick(self, thread: Thread) -> None:
        """A clock interrupt while `thread` runs (thread_quantum_update)."""
        self.quantum -= 1
        is_new = thread.sched_stamp != self.sched_tick and self.update_priority(thread)
        if not is_new and ages(thread):
            self.timer_delta(thread)
            if self.quantum <= 0 or thread.sched_delta >= USAGE_THRESHOLD:
                thread.sched_usage += thread.sched_delta
                thread.sched_delta = 0
                thread.sched_pri = shared_priority(thread)
        if self.quantum <= 0:
            self.first_quantum = False
            self.quantum += quantum_of(thread)
        self.ast_check(thread)

    def thread_scan(self) -> None:
        """do_thread_scan: threads that have been ready for some time without running get the priority that they have by now."""
        while True:
            waiting = (thread for queue in self.pset.runq.queues for thread in queue)
            late = (thread for thread in waiting if self.second_of(thread.task) - thread.sched_stamp > 1)
            stuck = list(islice(late, STUCK_MAX))
            for thread in stuck:
                self.rem_runq(thread)
            for thread in reversed(stuck):
                self.update_priority(thread)
                self.setrun(thread, True)
            if len(stuck) < STUCK_MAX:
                return

    def second(self, tick: int) -> None:
        """Once a second: load, and the priorities of those that wait long (recompute_priorities and the scheduler's thread)."""
        self.sched_tick = tick
        self.pset.compute_mach_factor()
        if tick & 1:
            self.thread_scan()


def ages(thread: Thread) -> bool:
    """Whether the thread's effective priority follows its usage."""
    return thread.policy == POLICY_TIMESHARE and thread.depress_priority < 0


def shared_priority(thread: Thread) -> int:
    """The effective priority of a thread that shares time: worse the more of it it used."""
    return min(thread.priority + (thread.sched_usage >> (PRI_SHIFT + SCHED_SHIFT)), NRQS - 1)


def quantum_of(thread: Thread) -> int:
    """How long the thread keeps the CPU, in clock ticks."""
    return MIN_QUANTUM if thread.policy == POLICY_TIMESHARE else thread.sched_data
