"""The next point of a run at which one of several conditions comes, and the last one before."""

from __future__ import annotations

from typing import NamedTuple

from machemu.core.kernel import FOREVER, Stop
from machemu.debug.conditions import AnyPoint
from machemu.debug.fields import Came, Field


class Found(NamedTuple):
    """Why a run ended. condition: which one came, by its place among those that were looked for; None where none did."""

    condition: int | None
    stop: Stop


def forwards(field: Field, deadline: int = FOREVER, traps: int = FOREVER) -> Found:
    """Goes on to where the first of them comes, or to a virtual time, or until so many traps have been made since power-on."""
    start, fresh = field.here, True
    field.way.go_on()
    try:
        while True:
            with field.looking(fresh):
                stop, came = field.run(deadline, traps)
            if not came:
                return Found(None, stop)
            end, fresh = field.here, False
            points = _firsts(field, came, start)
            if points:
                number = min(points, key=lambda number: (points[number], number))
                field.way.go(points[number])
                return Found(number, Stop.ASKED)
            field.way.go(end)
    finally:
        field.show()


def _firsts(field: Field, came: list[Came], start: AnyPoint) -> dict[int, AnyPoint]:
    """Where each came first behind a point."""
    points: dict[int, AnyPoint] = {}
    for each in came:
        if each.which not in points and (point := field.first(each)) > start:
            points[each.which] = point
    return points


def backwards(field: Field) -> Found:
    """Goes to the last point before this one at which one of them came; to the earliest one there is where none did."""
    target = end = field.here
    way = field.way
    for mark in reversed([mark.point for mark in way.marks if mark.point < target]):
        way.go(mark)
        hits: dict[int, list[Came]] = {}
        with field.looking(fresh=False):
            for piece in field.pieces(end):
                for each in piece:
                    hits[each.which] = [*hits.get(each.which, [])[-2:], each]
        found = [(point, number) for number, pieces in hits.items() if (point := _last(field, pieces, target)) is not None]
        if found:
            point, number = max(found)
            way.go(point)
            return Found(number, Stop.ASKED)
        if field.interrupted:
            return Found(None, Stop.INTERRUPTED)
        end = mark
    way.go(way.first)
    return Found(None, Stop.TIME)


def _last(field: Field, pieces: list[Came], target: AnyPoint) -> AnyPoint | None:
    """Where one came last before a point, in the last of several pieces in which it did."""
    lasts = (field.last(each, target) for each in reversed(pieces))
    return next((point for point in lasts if point is not None and point < target), None)
