"""What happened in a piece of a run, told by going through it again."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final, Protocol

from machemu.core.observe import unwatch, watch
from machemu.debug.conditions import Way
from machemu.lab import back
from machemu.lab.subject import Machines
from machemu.lab.travel import Point
from machemu.trace.events import TraceEvent

LEAD: Final = 64
"""Traps before the piece that are heard, too, so that calls which end in it are known."""


class View(Protocol):
    def emit(self, event: TraceEvent) -> None: ...

    def finish(self) -> None: ...


Made = Callable[[], tuple[View, io.StringIO]]
"""Makes a trace on a text."""


def of_traps(subject: Machines, way: Way, traps: int, end: Point, made: Made) -> list[str]:
    """From where so many traps have been made since power-on to a point, at which the subject stands then."""
    return _told(subject, way, traps, None, end, made)


def between(subject: Machines, way: Way, begin: Point, end: Point, made: Made, most: int) -> list[str]:
    """From one point to another, at which the subject stands then; the last `most` traps alone where there are more."""
    if end.traps - begin.traps > most:
        return _told(subject, way, end.traps - most, None, end, made)
    return _told(subject, way, begin.traps, begin, end, made)


def _told(subject: Machines, way: Way, traps: int, begin: Point | None, end: Point, made: Made) -> list[str]:
    back.to_trap(subject, way, max(traps - LEAD, 0))
    view, out = made()
    kernel = subject.node.kernel
    watch(kernel, view)
    try:
        if begin is not None:
            way.follow(begin)
        else:
            back.follow_to_trap(subject, way, traps)
        view.finish()
        out.seek(0)
        out.truncate()
        way.follow(end)
        view.finish()
    finally:
        unwatch(kernel, view)
    return out.getvalue().splitlines()
