"""What a broadcast in total order and a view change cost: the table of docs/groups.md.

`python3 tools/dev.py tables groups` prints it.
"""

from __future__ import annotations

from masix.groups import Member, Order
from masix.groups.wire import GroupPacketKind
from tests.support.groups import MS, GroupWorld, Recorder

SIZES = (3, 8, 32)
HOP = MS // 2
"""Nanoseconds that each packet takes."""
BURST = 100


class Timed(Recorder):
    """times: when each message was delivered, by any member."""

    __slots__ = ()
    world: GroupWorld
    times: list[int]

    def deliver(self, origin: Member, payload: bytes) -> None:
        super().deliver(origin, payload)
        self.times.append(self.world.now)


def world(size: int) -> GroupWorld:
    """A group that is at rest."""
    made = GroupWorld(1, size, Order.TOTAL, make=Timed)
    Timed.world, Timed.times = made, []
    made.delay = (HOP, HOP)
    made.run(1_050 * MS)
    return made


def counted(made: GroupWorld) -> int:
    return sum(count for kind, count in made.frames.items() if kind is not GroupPacketKind.HEARTBEAT)


def broadcast(size: int, count: int) -> tuple[float, float]:
    """Frames a message, and milliseconds until all have delivered all, of messages that the last member broadcasts at once."""
    made = world(size)
    frames, start = counted(made), made.now
    for _ in range(count):
        made.broadcast(size - 1)
    while len(Timed.times) < size * count:
        made.run(HOP // 10)
    made.run(2 * HOP)
    return (counted(made) - frames) / count, (max(Timed.times) - start) / MS


def change(size: int) -> tuple[int, float]:
    """Frames of a view change after the sequencer's crash, without its STATUS, and milliseconds from the first PREPARE on."""
    made = world(size)
    made.crash(0)
    while not made.frames[GroupPacketKind.PREPARE]:
        made.run(HOP // 10)
    start = made.now
    while any(life.group.view.number == 1 for life in made.lives.values()):
        made.run(HOP // 10)
    kinds = (
        GroupPacketKind.PREPARE,
        GroupPacketKind.PROMISE,
        GroupPacketKind.ACCEPT,
        GroupPacketKind.ACCEPTED,
        GroupPacketKind.DECIDE,
    )
    return sum(made.frames[kind] for kind in kinds), (made.now - start) / MS


def table() -> str:
    lines = [
        "| members | frames a message | ms until all have | frames each of 100 | ms until all have 100 | frames a change | ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        (alone, time), (together, times), (frames, changed) = broadcast(size, 1), broadcast(size, BURST), change(size)
        lines.append(f"| {size} | {alone:.0f} | {time:.1f} | {together:.2f} | {times:.1f} | {frames} | {changed:.1f} |")
    return "\n".join(lines) + "\n"
