"""How a run can go back: snapshots of it, as many as memory allows, and what was done to it from outside.

To go to an earlier point, the last snapshot before it is restored, and the run goes forwards from there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from machemu.lab.errors import EndError, UsageError

P = TypeVar("P", bound=tuple[int, ...])
MARKS_MAX: Final = 400
"""Snapshots that are kept at most: the way from one to the next is a two hundredth of the run, or less."""
BUDGET: Final = 512 << 20
"""Bytes that snapshots may take."""
SPACING: Final = 4096
"""Work between two snapshots, to begin with: it takes ten times as long as a snapshot."""
PLACE: Final = 120
"""Bytes that a snapshot takes for each of its parts beside the part itself."""


class Snapshot(Protocol):
    def parts(self) -> Iterable[bytes]:
        """All that it holds. Snapshots may share parts."""


class Subject(Protocol[P]):
    """What goes back and forth. work: how much it has done in its run so far, 1 for a trap. acts: how often something was done to
    it from outside; a part of its points."""

    work: int
    acts: int

    def here(self) -> P: ...

    def reach(self, point: P) -> None:
        """Goes forwards to a point."""

    def stop(self) -> None:
        """What is under way ends."""

    def take(self) -> Snapshot: ...

    def restore(self, snapshot: Any) -> None: ...

    def after_act(self, point: P) -> P:
        """Where it is when something was done to it at a point."""


class Mark(Generic[P]):
    """A snapshot with its point. work: the subject's, there."""

    __slots__ = ("point", "snapshot", "work")

    def __init__(self, point: P, work: int, snapshot: Snapshot) -> None:
        self.point = point
        self.work = work
        self.snapshot = snapshot


class Held:
    """The parts of all snapshots, each counted once. size: their bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._counts: dict[int, int] = {}

    def add(self, snapshot: Snapshot) -> None:
        counts = self._counts
        for part in snapshot.parts():
            known = counts.get(id(part), 0)
            counts[id(part)] = known + 1
            self.size += PLACE if known else PLACE + len(part)

    def remove(self, snapshot: Snapshot) -> None:
        counts = self._counts
        for part in snapshot.parts():
            left = counts.pop(id(part)) - 1
            if left:
                counts[id(part)] = left
            self.size -= PLACE if left else PLACE + len(part)


class History(Generic[P]):
    """The way back of a subject, from where it is at first. budget: bytes of snapshots."""

    def __init__(self, subject: Subject[P], budget: int = BUDGET) -> None:
        self.subject = subject
        self.budget = budget
        self.spacing = SPACING
        self.held = Held()
        self.marks: list[Mark[P]] = []
        self.acts: list[tuple[P, Callable[[], None]]] = []
        """What was done to the subject from outside, and where it was before. On the way it is done again."""
        self.mark()

    @property
    def first(self) -> P:
        """The earliest point that can be gone back to."""
        return self.marks[0].point

    @property
    def due(self) -> int:
        """How much work may be done until a snapshot is to be taken."""
        return self.mark_before(self.subject.here()).work + self.spacing - self.subject.work

    def mark_before(self, point: P) -> Mark[P]:
        """The last mark that is not behind a point."""
        return self.marks[max(0, bisect_right(self.marks, point, key=_point_of) - 1)]

    def mark(self) -> None:
        """Takes a snapshot here, unless there is one."""
        point = self.subject.here()
        place = bisect_right(self.marks, point, key=_point_of)
        if place and self.marks[place - 1].point == point:
            return
        made = Mark(point, self.subject.work, self.subject.take())
        self.marks.insert(place, made)
        self.held.add(made.snapshot)
        while len(self.marks) > MARKS_MAX or (self.held.size > self.budget and len(self.marks) > 2):
            if not self._thin():
                self.spacing *= 2

    def _thin(self) -> bool:
        """Keeps marks that are `spacing` away from each other, the first and the last one among them: whether any others were."""
        kept = self.marks[:1]
        for mark in self.marks[1:]:
            if mark.work - kept[-1].work >= self.spacing or mark is self.marks[-1]:
                kept.append(mark)
            else:
                self.held.remove(mark.snapshot)
        before, self.marks = self.marks, kept
        return len(kept) < len(before)

    def act(self, action: Callable[[], None]) -> None:
        """Something is done to the subject from outside, here. The future that this point had is forgotten."""
        point = self.subject.here()
        self.forget_after(point)
        self.mark()
        self.acts.append((point, action))
        self._do(action)

    def _do(self, action: Callable[[], None]) -> None:
        action()
        self.subject.acts += 1

    def go_on(self) -> None:
        """The subject goes on from here by itself: a future in which something was done to it from outside will not be."""
        point = self.subject.here()
        if any(at >= point for at, _ in self.acts):
            self.forget_after(point)

    def forget_after(self, point: P) -> None:
        """What comes after a point will not be."""
        for mark in self.marks:
            if mark.point > point:
                self.held.remove(mark.snapshot)
        self.marks = [mark for mark in self.marks if mark.point <= point]
        self.acts = [act for act in self.acts if act[0] < point]

    def go(self, point: P) -> None:
        """To a point of the run. EndError where it is before `first`, UsageError where the run does not come there."""
        if point < self.first:
            raise EndError(f"{point} is before the earliest point, {self.first}")
        subject = self.subject
        mark = self.mark_before(point)
        if not mark.point <= subject.here() <= point:
            subject.restore(mark.snapshot)
            subject.work = mark.work
        self.follow(point)
        if subject.here() != point:
            raise UsageError(f"{point} is no point of this run: it comes to {subject.here()}")

    def follow(self, point: P) -> None:
        """Forwards to a point of the run, from where the subject is: no snapshot is restored on the way."""
        for _ in self.legs(point):
            pass

    def legs(self, point: P) -> Iterator[P]:
        """Forwards to a point, as `follow`. Gives the ends of the pieces that the run goes by itself, before it goes there."""
        start = self.subject.here()
        for at, action in self.acts:
            if start <= at < point:
                yield at
                self.subject.reach(at)
                self._do(action)
        yield point
        self.subject.reach(point)

    def segment(self, point: P) -> P:
        """The first mark, or where the last thing was done from outside: from there up to a point the run goes by itself."""
        before = max((at for at, _ in self.acts if at < point), default=None)
        if before is None:
            return self.first
        return self.subject.after_act(before)


def _point_of(mark: Mark[Any]) -> Any:
    return mark.point
