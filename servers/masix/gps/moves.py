"""What a generic process server keeps of processes that go and come."""

from __future__ import annotations

from machemu.sim.state import U32, Right, SendRight, state
from machemu.user.message import NO_CALLER, Caller
from masix.gps.names import UqPid
from masix.groups import Member


@state
class Leaving:
    """A process that moves away. to: the server to which, as long as it is this one. name: the task's name for the right to its
    port here. asks: the migration manager, while it waits for an answer. epoch: 0 until the table has the move. is_parted: the
    rest of the process waits until the nodes have found each other again.
    """

    __slots__ = ("asks", "epoch", "host", "is_parted", "name", "place", "process", "to")
    asks: Caller
    epoch: U32
    host: bytes
    is_parted: bool
    name: U32
    place: U32  # of its task among those that move
    process: UqPid
    to: Member

    def __init__(self, process: UqPid, host: bytes, to: Member, place: int, name: int) -> None:
        self.process, self.host, self.to, self.place, self.name = process, host, to, place, name
        self.asks = NO_CALLER
        self.epoch = 0
        self.is_parted = False


@state
class Arriving:
    """A process that comes. made: the tasks that it and its family become, which are frozen. place: its own among these. name: as
    in Leaving. by: the server that it comes from. asks: that, until it is decided. manager: this node's process manager.
    """

    __slots__ = ("asks", "by", "epoch", "is_complete", "is_here", "made", "manager", "name", "place", "rests")
    asks: Caller
    by: Member
    epoch: U32
    is_complete: bool  # no more is to come
    is_here: bool  # the table says so
    made: list[SendRight]
    manager: Right
    name: U32
    place: U32
    rests: Caller  # that, while it waits for what is said of the rest

    def __init__(self, asks: Caller, by: Member, epoch: int, name: int, place: int, made: list[SendRight]) -> None:
        self.asks, self.by, self.epoch, self.name, self.place, self.made = asks, by, epoch, name, place, made
        self.manager = 0
        self.is_complete = self.is_here = False
        self.rests = NO_CALLER
