"""A run queue: the threads that are ready, by priority."""

from __future__ import annotations

from collections import deque
from itertools import compress
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError
from machemu.kern.thread import NRQS, TH_RUN, TH_SUSP, TH_WAIT
from machemu.sim.state import Natural, state

if TYPE_CHECKING:
    from machemu.kern.thread import Thread

PRIORITIES: Final = range(NRQS)


@state
class RunQueue:
    """Mach's struct run_queue.

    queues[p] holds the runnable threads of priority p, first to run at the left; `count` is how many there are in all.
    """

    __slots__ = ("queues", "count")
    queues: list[deque[Thread]]
    count: Natural

    def __init__(self) -> None:
        self.queues = [deque() for _ in range(NRQS)]
        self.count = 0

    def best(self) -> int:
        """The priority of the first thread; NRQS where there is none."""
        return next(compress(PRIORITIES, self.queues)) if self.count else NRQS

    def enqueue(self, thread: Thread) -> None:
        self.queues[thread.sched_pri].append(thread)
        self.count += 1
        thread.queued = True

    def remove(self, thread: Thread) -> None:
        self.queues[thread.sched_pri].remove(thread)
        self.count -= 1
        thread.queued = False

    def choose(self) -> Thread:
        """Takes the first thread out; there is one."""
        thread = self.queues[self.best()].popleft()
        self.count -= 1
        thread.queued = False
        return thread

    def check_invariants(self) -> None:
        if sum(len(queue) for queue in self.queues) != self.count:
            raise InvariantError("the run queues' count is wrong")
        for priority, queue in enumerate(self.queues):
            for thread in queue:
                if thread.sched_pri != priority or not thread.queued:
                    raise InvariantError(f"thread {thread.number} is in queue {priority} with priority {thread.sched_pri}")
                if thread.state & (TH_RUN | TH_WAIT | TH_SUSP) != TH_RUN:
                    raise InvariantError(f"thread {thread.number} is queued in state {thread.state}")
