"""What befalls a cluster, each at a virtual time. Nodes are named by their numbers, segments by theirs."""

from __future__ import annotations

from typing import Final, NamedTuple

from machemu.sim.state import state


@state
class Crash(NamedTuple):
    """The node loses its power: all that it held is lost, but its disks."""

    time: int
    node: int


@state
class Restart(NamedTuple):
    """The node loses its power, where it has it, and boots anew."""

    time: int
    node: int


@state
class Pause(NamedTuple):
    """The node stands still; frames that come wait in its interfaces as far as these have room."""

    time: int
    node: int


@state
class Resume(NamedTuple):
    """The node goes on, and finds that time has passed."""

    time: int
    node: int


@state
class Partition(NamedTuple):
    """Nodes of different groups do not hear each other on the segment; those in no group are one more."""

    time: int
    segment: int
    groups: tuple[tuple[int, ...], ...]


@state
class Heal(NamedTuple):
    """All hear each other again."""

    time: int
    segment: int


@state
class SetSegment(NamedTuple):
    """Some properties of a segment become others: pairs of a field of lan.Properties and its value."""

    time: int
    segment: int
    changes: tuple[tuple[str, int | float], ...]


Fault = Crash | Restart | Pause | Resume | Partition | Heal | SetSegment
NAMES: Final[dict[type[Fault], str]] = {
    Crash: "crash",
    Restart: "restart",
    Pause: "pause",
    Resume: "resume",
    Partition: "partition",
    Heal: "heal",
    SetSegment: "segment",
}
"""By their names in a cluster file."""
