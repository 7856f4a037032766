"""What the operations of the table of generic processes cost, in both stores: the table of docs/processes.md.

`python3 tools/dev.py tables processes` prints it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from masix.gps.entry import Kind
from masix.gps.names import NOBODY, UqPid
from masix.gps.operations import Commit, Create, Exit, Look, Move, Operation, Outcome, Result, Wait
from masix.groups import Member
from masix.groups.wire import GroupPacketKind
from tests.support.generic_pages import PagedWorld
from tests.support.generic_replicas import ReplicatedWorld
from tests.support.generic_worlds import MS

SIZES: Final = (3, 8)
ROUNDS: Final = 30
HOP: Final = MS // 2
"""Nanoseconds that each message takes."""
REST: Final = 100 * MS
"""After which nothing of an operation is under way."""
WHAT: Final = {
    "create": "create, without a parent",
    "fork": "create a child",
    "move": "begin a move, and commit it",
    "look": "look at it, from any node",
    "exit": "exit, where it moved to",
    "wait": "wait for it, where the parent is",
}


class Cost(NamedTuple):
    """Of one operation on an average. time: milliseconds until its node has the result."""

    frames: float
    messages: float
    time: float


def scenario(size: int) -> Iterator[tuple[str, int, Operation]]:
    """What is done, at which node, and the operation. Each round: a process has a child, which moves and ends."""
    chosen = random.Random(size)
    for number in range(ROUNDS):
        here, there = chosen.sample(range(size), 2)
        parent, child = UqPid(here, number + 1, 0), UqPid(here, number + 1, 1)
        at, to = Member(here, 1), Member(there, 1)
        yield "create", here, Create(parent, Kind.NOMAD, b"bare", NOBODY, Kind.NOMAD, at, 2)
        yield "fork", here, Create(child, Kind.NOMAD, b"bare", parent, Kind.NOMAD, at, 2)
        yield "move", here, Move(child, at, to)
        yield "move", there, Commit(child, 1)
        yield "look", chosen.randrange(size), Look(child)
        yield "exit", there, Exit(child, to, 0)
        yield "wait", here, Wait(parent)


def costs(world: ReplicatedWorld | PagedWorld) -> dict[str, Cost]:
    """By what was done."""
    world.delay = (HOP, HOP)
    world.run(1_050 * MS)
    sums = dict.fromkeys(WHAT, Cost(0, 0, 0))
    for what, node, operation in scenario(world.size):
        if what == "look" and isinstance(world, ReplicatedWorld):
            continue  # each node has the whole table
        frames, messages, start = _frames(world), world.messages, world.now
        took: list[int] = []
        world.actors[node].do(operation, partial(_done, world, took))
        while not took:
            world.run(HOP // 10)
        world.run(REST)
        spent = Cost(_frames(world) - frames, world.messages - messages, (took[0] - start) / MS)
        sums[what] = Cost(*(one + other / ROUNDS for one, other in zip(sums[what], spent, strict=True)))
    return sums


def _done(world: ReplicatedWorld | PagedWorld, took: list[int], result: Result) -> None:
    assert result.outcome is Outcome.DONE
    took.append(world.now)


def _frames(world: ReplicatedWorld | PagedWorld) -> int:
    if isinstance(world, PagedWorld):
        return world.messages
    return sum(count for kind, count in world.frames.items() if kind is not GroupPacketKind.HEARTBEAT)


def table() -> str:
    lines = [
        "| nodes | operation | replicated: frames | messages | ms | pages: messages | ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        replicated, paged = costs(ReplicatedWorld(1, size)), costs(PagedWorld(1, size))
        for what, text in WHAT.items():
            one, other = replicated[what], paged[what]
            row = f"{one.frames:.1f} | {one.messages:.1f} | {one.time:.1f} | {other.messages:.1f} | {other.time:.1f}"
            lines.append(f"| {size} | {text} | {row} |")
    return "\n".join(lines) + "\n"
