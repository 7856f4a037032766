"""The orders that a group can promise, each a layer over messages that are reliable and in their sender's order.

A layer is made for one view. `stamp` is what a member sends for a payload; `arrived` is told of each message as it is received,
before it is known to be stable; `take` gets each stable message, in its sender's order, and gives the payloads that may be
delivered now; `finish` gives the rest when the view ends, in the same way at all members, as all were given the same messages.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final, Protocol

from machemu.sim.state import state
from masix.groups.view import Order

Delivery = tuple[int, bytes]
"""The sender's index in the view and the payload."""

PAYLOAD: Final = 0
ORDER: Final = 1
ENTRIES_MAX: Final = 512
"""Messages that one message of the sequencer orders at most."""


class Layer(Protocol):
    """A view's order."""

    def stamp(self, payload: bytes) -> bytes: ...

    def arrived(self, sender: int, body: bytes) -> None: ...

    def own(self) -> bytes | None:
        """A message that the layer itself wants to be broadcast by this member now."""

    def take(self, sender: int, body: bytes) -> list[Delivery]: ...

    def finish(self) -> list[Delivery]: ...


def layer(order: Order, size: int, me: int) -> Layer:
    """A new view's layer, for its member `me` of `size`."""
    layers: dict[Order, type[Fifo] | type[Causal] | type[Total]]
    layers = {Order.FIFO: Fifo, Order.CAUSAL: Causal, Order.TOTAL: Total}
    return layers[order](size, me)


@state
class Fifo:
    """The senders' order, which is there already."""

    __slots__ = ()

    def __init__(self, size: int, me: int) -> None:
        del size, me

    def stamp(self, payload: bytes) -> bytes:
        return payload

    def arrived(self, sender: int, body: bytes) -> None:
        pass

    def own(self) -> bytes | None:
        return None

    def take(self, sender: int, body: bytes) -> list[Delivery]:
        return [(sender, body)]

    def finish(self) -> list[Delivery]:
        return []


@state
class Causal:
    """Vector clocks: each message begins with how many of each member's messages in this view its sender had delivered, u32 each.

    clock: how many were delivered here; of this member's own, how many were sent. held: by sender, those that wait for others.
    """

    __slots__ = ("clock", "delivered", "held", "me")
    clock: list[int]
    delivered: list[int]
    held: list[deque[bytes]]
    me: int

    def __init__(self, size: int, me: int) -> None:
        self.me = me
        self.clock = [0] * size
        self.delivered = [0] * size
        self.held = [deque() for _ in range(size)]

    def stamp(self, payload: bytes) -> bytes:
        head = struct.pack(f">{len(self.clock)}I", *self.clock)
        self.clock[self.me] += 1
        return head + payload

    def arrived(self, sender: int, body: bytes) -> None:
        pass

    def own(self) -> bytes | None:
        return None

    def take(self, sender: int, body: bytes) -> list[Delivery]:
        self.held[sender].append(body)
        return self._release()

    def _release(self) -> list[Delivery]:
        found: list[Delivery] = []
        size = 4 * len(self.clock)
        moved = True
        while moved:
            moved = False
            for sender, queue in enumerate(self.held):
                while queue and self._ripe(sender, queue[0]):
                    found.append((sender, queue.popleft()[size:]))
                    self.delivered[sender] += 1
                    if sender != self.me:
                        self.clock[sender] += 1
                    moved = True
        return found

    def _ripe(self, sender: int, body: bytes) -> bool:
        """What the message's sender had delivered, but for its own, is delivered here. One with too short a clock waits for
        none."""
        count = len(self.clock)
        if len(body) < 4 * count:
            return True
        clock = struct.unpack_from(f">{count}I", body)
        return all(clock[other] <= self.delivered[other] for other in range(count) if other != sender)

    def finish(self) -> list[Delivery]:
        """Nothing is left, unless a sender's clock was false: then in the senders' order."""
        size = 4 * len(self.clock)
        return [(sender, body[size:]) for sender, queue in enumerate(self.held) for body in queue]


@state
class Total:
    """A sequencer: the view's first member broadcasts whose message is next, u16 indices, as messages of its own.

    Why not a consensus for each message: the view change agrees once for all when the sequencer is gone, and without failures a
    message costs one more multicast, and many together share it: the next ORDER waits until the last one is stable.

    Messages begin with a byte, PAYLOAD or ORDER. arrivals: at the sequencer, the senders of messages not ordered yet; asked: an
    ORDER is on its way. entries: the order known so far and not delivered; held: by sender, the stable payloads.
    """

    __slots__ = ("arrivals", "asked", "entries", "held", "me")
    arrivals: deque[int]
    asked: bool
    entries: deque[int]
    held: list[deque[bytes]]
    me: int

    def __init__(self, size: int, me: int) -> None:
        self.me = me
        self.arrivals = deque()
        self.asked = False
        self.entries = deque()
        self.held = [deque() for _ in range(size)]

    def stamp(self, payload: bytes) -> bytes:
        return bytes((PAYLOAD,)) + payload

    def arrived(self, sender: int, body: bytes) -> None:
        if self.me == 0 and body[:1] == bytes((PAYLOAD,)):
            self.arrivals.append(sender)

    def own(self) -> bytes | None:
        if self.asked or not self.arrivals:
            return None
        self.asked = True
        entries = [self.arrivals.popleft() for _ in range(min(len(self.arrivals), ENTRIES_MAX))]
        return struct.pack(f">B{len(entries)}H", ORDER, *entries)

    def take(self, sender: int, body: bytes) -> list[Delivery]:
        if body[:1] == bytes((PAYLOAD,)):
            self.held[sender].append(body[1:])
        elif sender == 0 and body[:1] == bytes((ORDER,)) and len(body) % 2:
            self.asked = False
            self.entries.extend(index for (index,) in struct.iter_unpack(">H", body[1:]) if index < len(self.held))
        found = []
        while self.entries and self.held[self.entries[0]]:
            index = self.entries.popleft()
            found.append((index, self.held[index].popleft()))
        return found

    def finish(self) -> list[Delivery]:
        """By sender: what was not ordered, or ordered after something that nobody has."""
        return [(sender, body) for sender, queue in enumerate(self.held) for body in queue]
