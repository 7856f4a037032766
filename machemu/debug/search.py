"""The next point of a run at which one of several conditions comes, and the last one before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from machemu.core.kernel import FOREVER, Stop
from machemu.debug.conditions import Condition, Hit, Span, Way
from machemu.lab.subject import Machines
from machemu.lab.travel import ENDS, Point

SLICE_NS: Final = 1_000_000
"""Virtual time of a piece after which slow conditions are looked at, where no trap comes before."""
PIECE_NS: Final = 1_000_000
"""Virtual time of the first piece of a run at full speed: one without work is followed by one of twice the time."""


class Found(NamedTuple):
    """Why a run ended. condition: which one came, by its place among those that were looked for; None where none did."""

    condition: int | None
    stop: Stop


def forwards(subject: Machines, way: Way, conditions: Sequence[Condition], deadline: int, traps: int) -> Found:
    """Goes on to where the first of them comes, or to a virtual time, or until so many traps have been made since power-on."""
    way.go_on()
    with _looking(subject, conditions):
        _begin(subject, conditions, fresh=True)
        stop, span, came = _until_one_comes(subject, way, conditions, deadline, traps)
    if not came:
        return Found(None, stop)
    points = {number: conditions[number].first(subject, way, span, hit) for number, hit in came}
    number = min(points, key=lambda number: (points[number], number))
    way.go(points[number])
    return Found(number, Stop.ASKED)


def _until_one_comes(
    subject: Machines, way: Way, conditions: Sequence[Condition], deadline: int, traps: int
) -> tuple[Stop, Span, list[tuple[int, Hit]]]:
    """Goes on piece by piece; the piece in which some came, and which."""
    slow = any(condition.slow for condition in conditions)
    piece = PIECE_NS
    while True:
        begin, work = subject.here(), subject.work
        if begin.time >= deadline or begin.traps >= traps:
            return Stop.TIME if begin.time >= deadline else Stop.TRAPS, Span(begin, begin), []
        until = min(deadline, begin.time + (SLICE_NS if slow else piece))
        stop = subject.advance(until, min(traps - begin.traps, 1 if slow else max(1, way.due)), 1 if slow else None)
        piece = PIECE_NS if subject.work > work else piece * 2
        came = _came(subject, conditions)
        if came or stop in ENDS:
            return stop, Span(begin, subject.here()), came
        if way.due <= 0:
            way.mark()


def backwards(subject: Machines, way: Way, conditions: Sequence[Condition]) -> Found:
    """Goes to the last point before this one at which one of them came; to the earliest one there is where none did."""
    target = end = subject.here()
    for mark in reversed([mark.point for mark in way.marks if mark.point < target]):
        hits: dict[int, list[tuple[Span, Hit]]] = {}
        with _looking(subject, conditions):
            way.go(mark)
            _begin(subject, conditions, fresh=False)
            for span in _pieces(subject, way, end, any(condition.slow for condition in conditions)):
                for number, hit in _came(subject, conditions):
                    hits[number] = [*hits.get(number, [])[-1:], (span, hit)]
        found: list[tuple[Point, int]] = []
        for number, pieces in hits.items():
            lasts = (conditions[number].last(subject, way, span, hit, target) for span, hit in reversed(pieces))
            last = next((point for point in lasts if point is not None), None)
            if last is not None and last < target:
                found.append((last, number))
        if found:
            point, number = max(found)
            way.go(point)
            return Found(number, Stop.ASKED)
        if subject.node.kernel.interrupt.asked:
            return Found(None, Stop.INTERRUPTED)
        end = mark
    way.go(way.first)
    return Found(None, Stop.TIME)


def _pieces(subject: Machines, way: Way, end: Point, slow: bool) -> Iterator[Span]:
    """Goes forwards to a point, in pieces. What was done to the machine from outside is done again."""
    for leg in way.legs(end):
        while (begin := subject.here()) < leg:
            until = FOREVER if begin.traps < leg.traps else leg.time if begin.time < leg.time else FOREVER
            turns = leg.turns - begin.turns if begin.traps == leg.traps and begin.time >= leg.time else None
            if slow:
                until, turns = min(until, begin.time + SLICE_NS), 1
            traps = leg.traps - begin.traps
            stop = subject.advance(until, min(traps, 1) if slow and traps else traps or None, turns)
            yield Span(begin, subject.here())
            if stop in ENDS:
                return


@contextmanager
def _looking(subject: Machines, conditions: Sequence[Condition]) -> Iterator[None]:
    try:
        yield
    finally:
        for condition in conditions:
            condition.end(subject)


def _begin(subject: Machines, conditions: Sequence[Condition], fresh: bool) -> None:
    for condition in conditions:
        condition.begin(subject, fresh)


def _came(subject: Machines, conditions: Sequence[Condition]) -> list[tuple[int, Hit]]:
    came = [(number, condition.came(subject)) for number, condition in enumerate(conditions)]
    return [(number, hit) for number, hit in came if hit is not None]
