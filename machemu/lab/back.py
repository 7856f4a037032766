"""Back by a step: to the last point before this one at which a step of that kind ends.

What lies before is found by going forwards again from somewhere earlier: first from near, then from further away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from machemu.lab.history import History
from machemu.lab.subject import Machines
from machemu.lab.travel import ENDS, Point, StepKind

NEAR: Final = 512
"""On a long way a snapshot is kept so many traps before its end: the next step back is from there."""
WINDOW: Final = 4
GROWTH: Final = 16
"""Instructions that are looked through for the last one; and how many times more, as long as there is none."""


def last_before(subject: Machines, history: History[Point], kind: StepKind) -> Point | None:
    """Goes to that point, and gives it. A way back also ends before and after something that was done from outside, and where
    the history begins.

    None, and the subject anywhere, where the history begins here.
    """
    target = subject.here()
    limit = history.segment(target)
    if limit == target:
        if limit == history.first:
            return None
        before = target._replace(acts=target.acts - 1)
        history.go(before)
        return before
    for _ in _starts(subject, history, kind, target, limit):
        found = subject.here()
        best = found if kind is StepKind.TRAP or found == limit else None
        while subject.step(kind) not in ENDS and subject.here() < target:
            best = subject.here()
        if best is not None:
            history.go(best)
            return best
    raise AssertionError("the limit is a point before the target")


def to_trap(subject: Machines, history: History[Point], traps: int) -> None:
    """Goes to where so many traps had been made, which is before here."""
    _after_trap(subject, history, traps, history.segment(Point(traps, 0, 0)))


def follow_to_trap(subject: Machines, history: History[Point], traps: int) -> None:
    """Forwards to where so many traps have been made, as History.follow: what was done from outside on the way is done again."""
    limit = history.segment(Point(traps, 0, 0))
    if subject.here() < limit:
        history.follow(limit)
    if traps > subject.here().traps:
        subject.advance(traps=traps - subject.here().traps)


def _starts(subject: Machines, history: History[Point], kind: StepKind, target: Point, limit: Point) -> Iterator[None]:
    """Brings the subject to points before `target`, each earlier than the one before, to `limit` at last."""
    back = 0
    while True:
        traps = target.traps - back
        base = _after_trap(subject, history, traps, limit)
        if base < target:
            if kind is StepKind.INSTRUCTION:
                yield from _windows(subject, history, target, base)
            history.go(base)
            yield
        if base == limit:
            return
        back = back * 2 or 1


def _after_trap(subject: Machines, history: History[Point], traps: int, limit: Point) -> Point:
    """Goes to where so many traps have been made, or to `limit` where there they had been."""
    if traps <= limit.traps:
        history.go(limit)
        return limit
    history.go(max(history.mark_before(Point(traps, 0, 0)).point, limit))
    if traps - subject.here().traps > 2 * NEAR:
        subject.advance(traps=traps - NEAR - subject.here().traps)
        history.mark()
    follow_to_trap(subject, history, traps)
    return subject.here()


def _windows(subject: Machines, history: History[Point], target: Point, base: Point) -> Iterator[None]:
    """Points between `base` and `target`, from near the target on, so that few instructions are gone through one by one."""
    window = WINDOW
    while (time := target.time - window * subject.instruction_ns) > base.time:
        history.go(base)
        subject.advance(time)
        if subject.here() < target:
            yield
        window *= GROWTH
