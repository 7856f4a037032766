"""Large messages under way: what a network server keeps of those that go, and of those that come."""

from __future__ import annotations

from collections import deque
from typing import Final

from machemu.sim.state import U8, U31, U32, PortName, state
from machemu.user.message import Message, Region
from masix.gns.ports import Proxy
from masix.gns.wire import Lay
from masix.net.ip import NodeNumber

RETRY_NS: Final = 10_000_000
"""After so long frames, or memory that was not there, are looked for again."""


@state
class Piece:
    """Memory of a message."""

    __slots__ = ("address", "at", "end", "size", "start", "unit")
    address: U32
    start: U32  # what is before it has been freed
    at: U32  # what is before it has been sent
    end: int
    size: U32  # at first
    unit: U8  # bytes that change places between byte orders

    def __init__(self, region: Region, unit: int) -> None:
        self.address = self.start = self.at = region.address
        self.end = region.address + region.size
        self.size = region.size
        self.unit = unit


@state
class Stream:
    """A message whose memory goes before it."""

    __slots__ = ("message", "name", "node", "pieces", "proxy", "since", "total", "under_way", "waits")
    name: PortName  # the proxy port that it came to, which may be gone
    proxy: Proxy
    node: NodeNumber  # where it goes
    message: Message
    pieces: list[Piece]  # its memory
    total: U32  # bytes of that
    under_way: U32  # bytes sent and not in place yet
    waits: bool  # its next part is not in memory
    since: int  # when it last went on

    def __init__(self, name: PortName, proxy: Proxy, message: Message, pieces: list[Piece], now: int) -> None:
        self.name = name
        self.proxy = proxy
        self.node = proxy.node
        self.message = message
        self.pieces = pieces
        self.total = sum(piece.size for piece in pieces)
        self.under_way = 0
        self.waits = False
        self.since = now


@state
class Streams:
    """Messages that go and cannot at once: large ones, and those behind a full window."""

    __slots__ = ("by_token", "full")
    by_token: dict[U31, Stream]  # those that are not finished, in the order of their turns
    full: dict[PortName, int]  # proxies whose window is full, and when it is looked whether receive rights wait behind it

    def __init__(self) -> None:
        self.by_token = {}
        self.full = {}

    def next_timer(self, now: int) -> int | None:
        """When memory that was not there is to be looked for again, or behind a full window."""
        again = [now + RETRY_NS] if any([stream.waits for stream in self.by_token.values()]) else []
        return min([*again, *self.full.values()], default=None)


@state
class Arriving:
    """The memory of a message that is still to come."""

    __slots__ = ("regions", "since", "waiting")
    regions: dict[U32, tuple[Region, U32]]  # by the item's place in the message, with how much of it is filled
    waiting: deque[Lay]  # parts for which there is no room yet
    since: int  # when the first of them came

    def __init__(self) -> None:
        self.regions = {}
        self.waiting = deque()
        self.since = 0


@state
class Arrivals:
    """Large messages that come."""

    __slots__ = ("late", "short", "streams")
    streams: dict[tuple[NodeNumber, U32], Arriving | None]  # by node and its token; None for a refused one, until the node knows
    short: dict[U32, int]  # the numbers of the ports whose first waiting message waits for frames, and since when
    # The same of those whose first waiting message waits for its receive rights, and of those with a full queue for which some
    # wait in messages, and when that is looked at:
    late: dict[U32, int]

    def __init__(self) -> None:
        self.short = {}
        self.late = {}
        self.streams = {}

    def next_timer(self, now: int) -> int | None:
        """When what waits is to be tried again."""
        is_short = self.streams and any([each is not None and each.waiting for each in self.streams.values()])
        again = [now + RETRY_NS] if self.short or is_short else []
        return min([*again, *self.late.values()], default=None)
