"""What is searched for conditions: the run of a machine, or of a cluster with conditions in its nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple

from machemu.cluster.cluster import ClusterStop
from machemu.core.kernel import FOREVER, Stop
from machemu.debug.conditions import AnyPoint, Condition, Span, Way
from machemu.debug.subjects import InNode, Whole
from machemu.lab.cluster import STOPS
from machemu.lab.members import ClusterPoint, Clusters, Member
from machemu.lab.moments import Moments
from machemu.lab.recorded import PIECE_NS
from machemu.lab.sought import Hit
from machemu.lab.subject import Machines
from machemu.lab.travel import ENDS, Point

SLICE_NS: Final = 1_000_000
"""Virtual time of a piece after which slow conditions are looked at, where no trap comes before."""
PIECE_MAX_NS: Final = 128_000_000
"""At most, where what is printed waits for the end of the piece."""


class Came(NamedTuple):
    """A condition came in a piece of the run. which: by its place among those that are looked for."""

    which: int
    span: Span
    hit: Hit


class Field(ABC):
    """way: its history."""

    way: Way

    @property
    @abstractmethod
    def here(self) -> AnyPoint: ...

    @property
    @abstractmethod
    def interrupted(self) -> bool:
        """The user wants the way to end."""

    @abstractmethod
    def looking(self, fresh: bool) -> AbstractContextManager[None]:
        """The conditions are looked for from here on. fresh: as Sought.begin."""

    @abstractmethod
    def run(self, deadline: int, traps: int) -> tuple[Stop, list[Came]]:
        """Goes on until some come; why it ended, and which. traps: made since power-on, at most."""

    @abstractmethod
    def pieces(self, end: AnyPoint) -> Iterator[list[Came]]:
        """Goes on to a point in pieces, and gives what came in each. What was done from outside is done again."""

    @abstractmethod
    def first(self, came: Came) -> AnyPoint:
        """As Condition.first."""

    @abstractmethod
    def last(self, came: Came, before: AnyPoint) -> AnyPoint | None:
        """As Condition.last."""

    @abstractmethod
    def show(self) -> None:
        """What was printed up to here is shown."""


class InMachine(Field):
    def __init__(self, subject: Machines, way: Way, conditions: Sequence[Condition]) -> None:
        self.subject = subject
        self.way = way
        self.conditions = conditions
        self.slow = any(condition.slow for condition in conditions)

    @property
    def here(self) -> Point:
        return self.subject.here()

    @property
    def interrupted(self) -> bool:
        return self.subject.kernel.interrupt.asked

    @contextmanager
    def looking(self, fresh: bool) -> Iterator[None]:
        try:
            for condition in self.conditions:
                condition.begin(self.subject, fresh)
            yield
        finally:
            for condition in self.conditions:
                condition.end(self.subject)

    def run(self, deadline: int, traps: int) -> tuple[Stop, list[Came]]:
        subject, way, slow = self.subject, self.way, self.slow
        piece = PIECE_NS
        while True:
            begin, work = subject.here(), subject.work
            if begin.time >= deadline or begin.traps >= traps:
                return Stop.TIME if begin.time >= deadline else Stop.TRAPS, []
            until = min(deadline, begin.time + (SLICE_NS if slow else piece))
            if slow:
                subject.console.screen.hold()
            stop = subject.advance(until, min(traps - begin.traps, 1 if slow else max(1, way.due)), 1 if slow else None)
            piece = PIECE_NS if subject.work > work else piece * 2
            came = self._came(Span(begin, subject.here()))
            if came or stop in ENDS:
                return stop, came
            if slow:
                self.show()
            if way.due <= 0:
                way.mark()

    def pieces(self, end: AnyPoint) -> Iterator[list[Came]]:
        subject, slow = self.subject, self.slow
        for leg in self.way.legs(end):
            while (begin := subject.here()) < leg:
                until = FOREVER if begin.traps < leg.traps else leg.time if begin.time < leg.time else FOREVER
                turns = leg.turns - begin.turns if begin.traps == leg.traps and begin.time >= leg.time else None
                if slow:
                    until, turns = min(until, begin.time + SLICE_NS), 1
                traps = leg.traps - begin.traps
                stop = subject.advance(until, min(traps, 1) if slow and traps else traps or None, turns)
                yield self._came(Span(begin, subject.here()))
                if stop in ENDS:
                    return

    def _came(self, span: Span) -> list[Came]:
        hits = ((number, condition.came(self.subject)) for number, condition in enumerate(self.conditions))
        return [Came(number, span, hit) for number, hit in hits if hit is not None]

    def first(self, came: Came) -> AnyPoint:
        return self.conditions[came.which].first(Whole(self.subject), self.way, came.span, came.hit)

    def last(self, came: Came, before: AnyPoint) -> AnyPoint | None:
        return self.conditions[came.which].last(Whole(self.subject), self.way, came.span, came.hit, before)

    def show(self) -> None:
        self.subject.console.screen.show()


class InCluster(Field):
    """conditions: each with the node that it is for."""

    def __init__(self, clusters: Clusters, way: Way, conditions: Sequence[tuple[Member, Condition]]) -> None:
        self.clusters = clusters
        self.way = way
        self.conditions = conditions
        self.subjects = [InNode(clusters, member) for member, _ in conditions]
        self.screen = next(iter(clusters.members)).console.screen
        self._seen = Moments([])
        self._ends = True
        """Whether a condition that comes ends the piece of the run."""

    @property
    def here(self) -> ClusterPoint:
        return self.clusters.here()

    @property
    def interrupted(self) -> bool:
        return self.clusters.inner.interrupt.asked

    @contextmanager
    def looking(self, fresh: bool) -> Iterator[None]:
        self._seen = Moments(self.conditions, self._found)
        with self._seen.watching(fresh):
            yield

    def _found(self) -> None:
        if self._ends:
            self.clusters.inner.stop()

    def run(self, deadline: int, traps: int) -> tuple[Stop, list[Came]]:
        clusters, way, self._ends = self.clusters, self.way, True
        piece = PIECE_NS
        while True:
            begin, work = clusters.here(), clusters.work
            if begin.time >= deadline:
                return Stop.TIME, []
            self.screen.hold()
            stop = clusters.run(min(deadline, begin.time + piece))
            came = self._came(begin)
            if came or stop is not ClusterStop.TIME:
                return STOPS[stop], came
            self.show()
            piece = PIECE_NS if clusters.work > work else min(piece * 2, PIECE_MAX_NS)
            if way.due <= 0:
                way.mark()

    def pieces(self, end: AnyPoint) -> Iterator[list[Came]]:
        self._ends = False
        for leg in self.way.legs(end):
            begin = self.here
            self.clusters.reach(leg)
            yield self._came(begin)

    def _came(self, begin: ClusterPoint) -> list[Came]:
        """What came in the nodes in a piece of the cluster's run."""
        end = min((at for at, _ in self.way.acts if at >= begin), default=begin._replace(time=FOREVER))
        whole = Span(begin, end)
        return [
            Came(
                moment.which,
                Span(
                    begin._replace(time=max(begin.time, moment.begin)),
                    begin._replace(time=min(end.time, moment.end)),
                    whole,
                    moment,
                ),
                moment.hit,
            )
            for moment in self._seen.begin()
        ]

    def first(self, came: Came) -> AnyPoint:
        return self.conditions[came.which][1].first(self.subjects[came.which], self.way, came.span, came.hit)

    def last(self, came: Came, before: AnyPoint) -> AnyPoint | None:
        return self.conditions[came.which][1].last(self.subjects[came.which], self.way, came.span, came.hit, before)

    def show(self) -> None:
        self.screen.show()
