"""What happened in a piece of a run, told by going through it again."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final, Protocol

from machemu.core.observe import unwatch, watch
from machemu.debug.conditions import Made, Way
from machemu.lab import back
from machemu.lab.members import ClusterPoint, Member
from machemu.lab.moments import Moments
from machemu.lab.sought import Hit, Place
from machemu.lab.subject import Machines
from machemu.lab.travel import Point
from machemu.trace.events import TraceEvent

LEAD: Final = 64
"""Traps before the piece that are heard, too, so that calls which end in it are known."""
LEAD_NS: Final = 2_000_000
"""The same, of a node of a cluster, in virtual time."""


class View(Protocol):
    def emit(self, event: TraceEvent) -> None: ...

    def finish(self) -> None: ...


Viewed = Callable[[], tuple[View, io.StringIO]]
"""Makes a trace on a text."""


def of_traps(subject: Machines, way: Way, traps: int, end: Point, viewed: Viewed) -> list[str]:
    """From where so many traps have been made since power-on to a point, at which the subject stands then."""
    return _told(subject, way, traps, None, end, viewed)


def between(subject: Machines, way: Way, begin: Point, end: Point, viewed: Viewed, most: int) -> list[str]:
    """From one point to another, at which the subject stands then; the last `most` traps alone where there are more."""
    if end.traps - begin.traps > most:
        return _told(subject, way, end.traps - most, None, end, viewed)
    return _told(subject, way, begin.traps, begin, end, viewed)


def _told(subject: Machines, way: Way, traps: int, begin: Point | None, end: Point, viewed: Viewed) -> list[str]:
    back.to_trap(subject, way, max(traps - LEAD, 0))
    told = _Told(viewed)
    kernel = subject.kernel
    watch(kernel, told.view)
    try:
        if begin is not None:
            way.follow(begin)
        else:
            back.follow_to_trap(subject, way, traps)
        told.begin()
        way.follow(end)
    finally:
        unwatch(kernel, told.view)
    return told.lines()


def of_node(member: Member, way: Way, traps: int, end: ClusterPoint, viewed: Viewed) -> list[str]:
    """From where a node has made so many traps since power-on to a point, at which its cluster stands then."""
    for mark in reversed([each.point for each in way.marks if each.point < end]):
        way.go(mark)
        if not member.powered or member.kernel.trap_count <= max(traps - LEAD, 0) or mark.time <= member.node.powered:
            break
    told = _Told(viewed)
    with member.traced(told.view), Moments([(member, _Begin(traps, told.begin))]).watching():
        way.follow(end)
    return told.lines()


def of_node_between(member: Member, way: Way, begin: ClusterPoint, end: ClusterPoint, viewed: Viewed, most: int) -> list[str]:
    """Of a node, from one point of its cluster's run to another, at which it stands then; as `between`."""
    traps = _traps(member) - most
    way.go(begin)
    if traps > _traps(member):
        return of_node(member, way, traps, end, viewed)
    way.go(max(way.segment(begin), begin._replace(time=begin.time - LEAD_NS)))
    told = _Told(viewed)
    with member.traced(told.view):
        way.follow(begin)
        told.begin()
        way.follow(end)
    return told.lines()


def _traps(member: Member) -> int:
    return member.kernel.trap_count if member.powered else 0


class _Told:
    """What is told from `begin` on. What the view hears before lets it know calls that are under way there."""

    def __init__(self, viewed: Viewed) -> None:
        self.view, self._out = viewed()

    def begin(self) -> None:
        self.view.finish()
        self._out.seek(0)
        self._out.truncate()

    def lines(self) -> list[str]:
        self.view.finish()
        return self._out.getvalue().splitlines()


class _Begin(Made):
    """Calls something once so many traps have been made."""

    def __init__(self, traps: int, call: Callable[[], None]) -> None:
        super().__init__("", traps)
        self.call: Callable[[], None] | None = call

    def matches(self, event: TraceEvent) -> bool:
        return self.call is not None and super().matches(event)

    def came(self, place: Place) -> Hit | None:
        hit = super().came(place)
        if hit is not None and self.call is not None:
            self.call()
            self.call = None
        return hit
