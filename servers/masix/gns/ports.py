"""Which ports a network server stands for: those of its own node that others know, and those of others that its node knows."""

from __future__ import annotations

from collections import deque

from machemu.sim.state import state
from masix.gns.wire import Deliver, Kind


@state
class Export:
    """A port of this node that other nodes know, under the name that the network server has for its right to it.

    kind: SEND or SEND_ONCE. given: how often each node was given it. waiting: messages that came while its queue was full, and
    the node each came from; None while it has room. taken: of each node's messages those that have gone into the queue since it
    was last told.
    """

    __slots__ = ("given", "kind", "taken", "waiting")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.given: dict[int, int] = {}
        self.taken: dict[int, int] = {}
        self.waiting: deque[tuple[int, Deliver]] | None = None


@state
class Proxy:
    """A port that stands for one of another node: the network server has its receive right.

    node, number: what it stands for. count: how often it was given here. kind: SEND, or SEND_ONCE for one message.
    is_watched: the kernel has been asked to tell when nobody can send to it any more.
    under_way: messages that went to the port and have not gone into its queue, as far as is known.
    """

    __slots__ = ("count", "is_watched", "kind", "node", "number", "under_way")

    def __init__(self, kind: Kind, node: int, number: int) -> None:
        self.kind = kind
        self.node = node
        self.number = number
        self.count = 0
        self.is_watched = False
        self.under_way = 0


@state
class PortTables:
    """exports and proxies by their names here; by_number: proxies of kind SEND by node and number.

    leaving: receive rights that went to other nodes, whose new home has not told its number yet: the node, by name.
    """

    __slots__ = ("by_number", "exports", "leaving", "proxies")

    def __init__(self) -> None:
        self.exports: dict[int, Export] = {}
        self.proxies: dict[int, Proxy] = {}
        self.by_number: dict[tuple[int, int], int] = {}
        self.leaving: dict[int, int] = {}

    def add_proxy(self, name: int, proxy: Proxy) -> None:
        self.proxies[name] = proxy
        if proxy.kind is Kind.SEND:
            self.by_number[proxy.node, proxy.number] = name

    def drop_proxy(self, name: int) -> Proxy:
        proxy = self.proxies.pop(name)
        if self.by_number.get((proxy.node, proxy.number)) == name:
            del self.by_number[proxy.node, proxy.number]
        return proxy
