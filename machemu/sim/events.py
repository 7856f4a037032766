"""Future events in virtual time, as data: whoever takes one looks at its kind."""

from __future__ import annotations

import heapq
from enum import Enum
from typing import Any

from machemu.abi.errors import InvariantError
from machemu.sim.state import state


@state
class Event:
    """time: virtual nanoseconds. Events of one time go by priority, lower first, and then in the order of scheduling.

    kind: a registered enum's member. args: plain data and state objects. cancelled: it is skipped when its time comes.
    """

    __slots__ = ("args", "cancelled", "kind", "priority", "sequence", "time")

    def __init__(self, time: int, priority: int, sequence: int, kind: Enum, args: tuple[Any, ...]) -> None:
        self.time = time
        self.priority = priority
        self.sequence = sequence
        self.kind = kind
        self.args = args
        self.cancelled = False


@state
class EventQueue:
    """heap: (time, priority, sequence, event). live: how many of them are not cancelled."""

    __slots__ = ("heap", "live", "sequence")

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, int, Event]] = []
        self.live = 0
        self.sequence = 0

    def schedule(self, time: int, priority: int, kind: Enum, args: tuple[Any, ...]) -> Event:
        """Enters an event; keep what is returned to cancel it."""
        self.sequence += 1
        event = Event(time, priority, self.sequence, kind, args)
        heapq.heappush(self.heap, (time, priority, self.sequence, event))
        self.live += 1
        return event

    def cancel(self, event: Event) -> None:
        """The event will not come. Only for an event that has not come yet."""
        event.cancelled = True
        event.args = ()
        self.live -= 1
        if len(self.heap) > 2 * self.live + 64:
            self.heap = [item for item in self.heap if not item[3].cancelled]
            heapq.heapify(self.heap)

    def next_time(self) -> int | None:
        """When the next event is due."""
        heap = self.heap
        while heap and heap[0][3].cancelled:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: int) -> Event | None:
        """The first event that is due at `now`, taken out; one at a time, since it may cancel those behind it."""
        time = self.next_time()
        if time is None or time > now:
            return None
        self.live -= 1
        return heapq.heappop(self.heap)[3]

    def check_invariants(self) -> None:
        if sum(not item[3].cancelled for item in self.heap) != self.live:
            raise InvariantError("events are not counted right")
