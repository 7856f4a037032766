"""Events come in the order of time, priority and scheduling, unless they are cancelled."""

from __future__ import annotations

from enum import Enum, auto

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from machemu.abi.errors import InvariantError
from machemu.sim.events import Event, EventQueue
from machemu.sim.graph import Reader, Writer
from machemu.sim.state import state


@state
class Kind(Enum):
    A = auto()
    B = auto()


class QueueModel(RuleBasedStateMachine):
    """The queue against a sorted list."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = EventQueue()
        self.told: list[int] = []
        self.queue.sooner = self.told.append
        self.model: list[tuple[int, int, int, int]] = []
        self.scheduled: dict[int, Event] = {}
        self.serial = 0

    events: Bundle[int] = Bundle("events")

    @rule(target=events, time=st.integers(0, 20), priority=st.integers(0, 2), kind=st.sampled_from(Kind))
    def schedule(self, time: int, priority: int, kind: Kind) -> int:
        self.serial += 1
        self.told.clear()
        self.scheduled[self.serial] = self.queue.schedule(time, priority, kind, (self.serial,))
        self.model.append((time, priority, self.serial, self.serial))
        self.model.sort()
        assert self.told == ([time] if self.model[0][3] == self.serial else [])
        return self.serial

    @rule(serial=consumes(events))
    def cancel(self, serial: int) -> None:
        if any(item[3] == serial for item in self.model):
            self.queue.cancel(self.scheduled.pop(serial))
            self.model = [item for item in self.model if item[3] != serial]

    @rule(now=st.integers(0, 20))
    def pop(self, now: int) -> None:
        event = self.queue.pop_due(now)
        if self.model and self.model[0][0] <= now:
            time, priority, _, serial = self.model.pop(0)
            assert event is not None
            assert (event.time, event.priority, event.args) == (time, priority, (serial,))
        else:
            assert event is None

    @precondition(lambda self: len(self.model) > 1)
    @rule()
    def save_and_load(self) -> None:
        queue, scheduled = Reader(Writer().encode((self.queue, self.scheduled))).decode()
        queue.sooner = self.told.append
        self.queue, self.scheduled = queue, scheduled

    @invariant()
    def next_time_is_that_of_the_first(self) -> None:
        assert self.queue.next_time() == (self.model[0][0] if self.model else None)
        self.queue.check_invariants()


TestQueueModel = QueueModel.TestCase


def test_one_event_can_cancel_another_that_is_due_with_it() -> None:
    queue = EventQueue()
    queue.schedule(5, 0, Kind.A, ())
    second = queue.schedule(5, 0, Kind.B, ())
    first = queue.pop_due(5)
    assert first is not None
    assert first.kind is Kind.A
    queue.cancel(second)
    assert queue.pop_due(5) is None


def test_timeouts_that_are_set_and_cancelled_leave_no_trace() -> None:
    queue, other = EventQueue(), EventQueue()
    for one in (queue, other):
        one.schedule(10**12, 0, Kind.A, ())
    for time in range(1000):
        queue.cancel(queue.schedule(10**9 + time, 0, Kind.B, ()))
    other.sequence = queue.sequence
    assert Writer().encode(queue) == Writer().encode(other)


def test_an_event_is_cancelled_once_and_before_it_comes() -> None:
    queue = EventQueue()
    event = queue.schedule(1, 0, Kind.A, ())
    assert queue.pop_due(1) is event
    with pytest.raises(InvariantError):
        queue.cancel(event)


def test_a_queue_out_of_order_is_an_invariant_broken() -> None:
    queue = EventQueue()
    queue.schedule(1, 0, Kind.A, ())
    queue.schedule(2, 0, Kind.A, ())
    queue.events.reverse()
    with pytest.raises(InvariantError):
        queue.check_invariants()
