"""The scheduler of one CPU: run queues, quantum, hand-off, and priorities that age with use (Mach's sched_prim and priority)."""

from __future__ import annotations

from collections import deque
from typing import Final

from machemu.abi.errors import InvariantError
from machemu.kern.thread import TH_HALTED, TH_RUN, TH_SUSP, TH_WAIT, Thread
from machemu.sim.state import state

NRQS: Final = 64
MIN_QUANTUM: Final = 3
"""Clock ticks: hz / 33."""
SCHED_SHIFT: Final = 7
SCHED_SCALE: Final = 1 << SCHED_SHIFT
LOAD_SCALE: Final = 1000
PRI_SHIFT: Final = 17
USAGE_THRESHOLD: Final = 1 << (PRI_SHIFT + 2 + SCHED_SHIFT)
MICROSECONDS: Final = 1_000_000
"""TIMER_RATE: the unit of cpu_usage."""

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
    """The processor and its run queues.

    queues[p] holds the runnable threads of priority p, first to run at the left; `count` is how many there are in all.
    current: the thread that has the CPU, also while the kernel works for it; None while idle.
    first_quantum is False once the current thread may lose the CPU to one of equal priority; `ast` asks for a look at that (or at
    the current thread's own end or suspension) before user mode goes on.
    yielding: the current thread gives way, even to a worse one.
    handoff: a thread taken out of every queue to run next where the current one blocks in this trap.
    """

    __slots__ = (
        "queues",
        "count",
        "current",
        "quantum",
        "first_quantum",
        "ast",
        "yielding",
        "handoff",
        "sched_tick",
        "sched_load",
        "load_average",
        "mach_factor",
    )

    def __init__(self) -> None:
        self.queues: list[deque[Thread]] = [deque() for _ in range(NRQS)]
        self.count = 0
        self.current: Thread | None = None
        self.quantum = MIN_QUANTUM
        self.first_quantum = True
        self.ast = False
        self.yielding = False
        self.handoff: Thread | None = None
        self.sched_tick = 0
        self.sched_load = SCHED_SCALE
        self.load_average = 0
        self.mach_factor = LOAD_SCALE

    # Run queues

    def best(self) -> int:
        """The priority of the first thread in the queues; NRQS where there is none."""
        if self.count:
            for priority, queue in enumerate(self.queues):
                if queue:
                    return priority
        return NRQS

    def setrun(self, thread: Thread, may_preempt: bool) -> None:
        """thread_setrun: puts a runnable thread at the end of its priority's queue."""
        if thread.sched_stamp != self.sched_tick:
            self.update_priority(thread)
        self._enqueue(thread)
        if may_preempt and self.current is not None and self.current.sched_pri > thread.sched_pri:
            self.first_quantum = False
            self.ast = True

    def _enqueue(self, thread: Thread) -> None:
        self.queues[thread.sched_pri].append(thread)
        self.count += 1
        thread.queued = True

    def rem_runq(self, thread: Thread) -> bool:
        """Takes a thread out of the run queues; False where it was in none."""
        if self.handoff is thread:
            self.handoff = None
            return True
        if not thread.queued:
            return False
        self.queues[thread.sched_pri].remove(thread)
        self.count -= 1
        thread.queued = False
        return True

    def csw_needed(self, thread: Thread) -> bool:
        return bool(thread.state & TH_SUSP) or (not self.first_quantum and self.best() <= thread.sched_pri)

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
            self.quantum = MIN_QUANTUM
            if self.count:
                new = self.queues[self.best()].popleft()
                new.queued = False
                self.count -= 1
            elif runnable:
                new = old
                if old is not None and old.sched_stamp != self.sched_tick:
                    self.update_priority(old)
        if old is not None and new is not old:
            if runnable:
                self.setrun(old, False)
            else:
                old.state &= ~TH_RUN
        self.current = new
        return new

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
        thread.sched_delta += delta * self.sched_load

    def update_priority(self, thread: Thread) -> None:
        """Ages the thread's usage by the seconds that have passed, and its priority with it."""
        ticks = self.sched_tick - thread.sched_stamp
        thread.sched_stamp = self.sched_tick
        self.timer_delta(thread)
        if ticks > 30:
            thread.cpu_usage = thread.sched_usage = 0
        else:
            thread.cpu_usage = aged(thread.cpu_usage + thread.cpu_delta, ticks)
            thread.sched_usage = aged(thread.sched_usage + thread.sched_delta, ticks)
        thread.cpu_delta = thread.sched_delta = 0
        self._recompute(thread)

    def compute_priority(self, thread: Thread) -> None:
        """Sets sched_pri from base priority and usage; a queued thread changes queues."""
        queued = thread.queued and self.rem_runq(thread)
        self._recompute(thread)
        if queued:
            self.setrun(thread, True)

    def _recompute(self, thread: Thread) -> None:
        if thread.depress_priority < 0:
            pri = min(thread.priority + (thread.sched_usage >> (PRI_SHIFT + SCHED_SHIFT)), NRQS - 1)
            if thread.queued and pri != thread.sched_pri:
                self.rem_runq(thread)
                thread.sched_pri = pri
                self._enqueue(thread)
            thread.sched_pri = pri

    def depress(self, thread: Thread) -> None:
        """thread_depress_priority, without its time-out."""
        thread.depress_priority = thread.priority
        thread.priority = thread.sched_pri = NRQS - 1

    def depress_abort(self, thread: Thread) -> None:
        if thread.depress_priority >= 0:
            thread.priority = thread.depress_priority
            thread.depress_priority = -1
            self.compute_priority(thread)

    def clock_tick(self, thread: Thread) -> None:
        """A clock interrupt while `thread` runs (thread_quantum_update)."""
        self.quantum -= 1
        if thread.sched_stamp != self.sched_tick:
            self.update_priority(thread)
        elif thread.depress_priority < 0:
            self.timer_delta(thread)
            if self.quantum <= 0 or thread.sched_delta >= USAGE_THRESHOLD:
                thread.sched_usage += thread.sched_delta
                thread.sched_delta = 0
                self._recompute(thread)
        if self.quantum <= 0:
            self.first_quantum = False
            self.quantum += MIN_QUANTUM
        if self.csw_needed(thread):
            self.ast = True

    def second(self) -> None:
        """Once a second: load, and the priorities of those that wait in the queues (compute_mach_factor, do_thread_scan)."""
        self.sched_tick += 1
        threads = self.count + (self.current is not None)
        if threads > 1:
            factor, load = LOAD_SCALE // (threads + 1), threads << SCHED_SHIFT
        else:
            factor, load = (1 - threads) * LOAD_SCALE, SCHED_SCALE
        self.mach_factor = ((self.mach_factor << 2) + factor) // 5
        self.load_average = ((self.load_average << 2) + threads * LOAD_SCALE) // 5
        self.sched_load = (self.sched_load + load) >> 1
        for queue in self.queues:
            for thread in list(queue):
                if thread.sched_stamp != self.sched_tick:
                    self.update_priority(thread)

    def check_invariants(self) -> None:
        if sum(len(queue) for queue in self.queues) != self.count:
            raise InvariantError("the run queues' count is wrong")
        for priority, queue in enumerate(self.queues):
            for thread in queue:
                if thread.sched_pri != priority or not thread.queued:
                    raise InvariantError(f"thread {thread.number} is in queue {priority} with priority {thread.sched_pri}")
                if thread.state & (TH_RUN | TH_WAIT | TH_SUSP) != TH_RUN:
                    raise InvariantError(f"thread {thread.number} is queued in state {thread.state}")
