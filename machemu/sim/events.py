"""Future events in virtual time, as data: whoever takes one looks at its kind."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any

from machemu.abi.errors import InvariantError
from machemu.sim.state import TIME_MAX, Natural, Range, Signed, Time, state


@state
class Event:
    """time: virtual nanoseconds. Events of one time go by priority, lower first, and then in the order of scheduling.

    kind: a registered enum's member. args: plain data and state objects.
    """

    __slots__ = ("args", "kind", "priority", "sequence", "time")
    args: tuple[Any, ...]
    kind: Enum
    priority: int
    sequence: Natural
    time: Time

    def __init__(self, time: int, priority: int, sequence: int, kind: Enum, args: tuple[Any, ...]) -> None:
        self.time = time
        self.priority = priority
        self.sequence = sequence
        self.kind = kind
        self.args = args


Key = tuple[int, int, int]
Before = Annotated[int, Range(-TIME_MAX, 0)]
"""A time, negated."""


@state
class EventQueue:
    """events: the last first, with their keys (time, priority, sequence) negated, so that the next one is popped from the end.

    A sorted list, not a heap with holes: what was cancelled leaves no trace, and equal machines have equal queues.
    Transient: sooner is told the time of an event that comes before all others; whoever owns the queue sets it.
    """

    __slots__ = ("events", "keys", "sequence", "sooner")
    TRANSIENT = ("sooner",)
    events: list[Event]
    keys: list[tuple[Before, Signed, Signed]]
    sequence: Natural

    sooner: Callable[[int], None]

    def __init__(self) -> None:
        self.sooner = lambda _: None
        self.events = []
        self.keys = []
        self.sequence = 0

    def __len__(self) -> int:
        return len(self.events)

    def schedule(self, time: int, priority: int, kind: Enum, args: tuple[Any, ...]) -> Event:
        """Enters an event; keep what is returned to cancel it."""
        self.sequence += 1
        event = Event(time, priority, self.sequence, kind, args)
        key = (-time, -priority, -self.sequence)
        place = bisect_left(self.keys, key)
        if place == len(self.keys):
            self.sooner(time)
        self.keys.insert(place, key)
        self.events.insert(place, event)
        return event

    def cancel(self, event: Event) -> None:
        """The event will not come. InvariantError for one that has come or was cancelled before."""
        place = bisect_left(self.keys, (-event.time, -event.priority, -event.sequence))
        if place == len(self.events) or self.events[place] is not event:
            raise InvariantError("an event is cancelled that is not to come")
        del self.keys[place], self.events[place]

    def next_time(self) -> int | None:
        """When the next event is due."""
        return self.events[-1].time if self.events else None

    def pop_due(self, now: int) -> Event | None:
        """The first event that is due at `now`, taken out; one at a time, since it may cancel those behind it."""
        if not self.events or self.events[-1].time > now:
            return None
        self.keys.pop()
        return self.events.pop()

    def check_invariants(self) -> None:
        keys = [(-event.time, -event.priority, -event.sequence) for event in self.events]
        if keys != self.keys or keys != sorted(keys):
            raise InvariantError("the event queue is out of order")
