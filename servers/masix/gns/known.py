"""Services of other nodes that were made known here before anybody asked, and the proxy ports that were made for them in advance.

Nobody acknowledges a multicast: what is known is believed for a while, and what has left is forgotten when that is heard. A proxy
that nobody here has had a right to goes with its name; its node has given no right for it, and is told of the first (`Claim`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from machemu.sim.state import U31, state
from masix.gns.context import Context
from masix.gns.translate import Translator
from masix.net.ip import NodeNumber

KNOWN_NS: Final = 10_000_000_000
"""How long what was made known is believed without asking: a node that was cut off meanwhile has not heard that it left."""
KNOWN_MAX: Final = 1024


@state
class Place(NamedTuple):
    """Where a service is."""

    node: NodeNumber
    number: U31  # its port's
    source: NodeNumber  # who said so
    time: int  # when


@state
class KnownServices:
    """Services that were made known, by name."""

    __slots__ = ("places", "sweep_at")
    places: dict[bytes, Place]
    sweep_at: int | None  # when proxies whose names nobody tells of any more go; None while there can be none

    def __init__(self) -> None:
        self.places = {}
        self.sweep_at = None

    def learn(self, context: Context, node: int, number: int, name: bytes) -> None:
        """A node says that its port is the service of this name."""
        if name in self.places and self.places[name][:2] != (node, number):
            self._forget(context, name)
        if name in self.places or len(self.places) < KNOWN_MAX:
            self.places[name] = Place(node, number, node, context.mach.now())

    def introduced(self, context: Context, node: int, number: int, name: bytes) -> bool:
        """As `learn`, but believes another node first, and makes a proxy port. Whether the service is a new one."""
        old = self.believed(context, name)
        if old is not None and old.node != node:
            return False
        self.learn(context, node, number, name)
        if name not in self.places:
            return False
        if Translator(context).make_idle(node, number) and self.sweep_at is None:
            self.sweep_at = context.mach.now() + KNOWN_NS
        return old is None or old.number != number

    def believed(self, context: Context, name: bytes) -> Place | None:
        """Where a service is, if that was said not too long ago."""
        place = self.places.get(name)
        if place is not None and context.mach.now() >= place.time + KNOWN_NS:
            self._forget(context, name)
            return None
        return place

    def forget(self, context: Context, which: Callable[[bytes, Place], bool]) -> None:
        """Forgets the services of which this is true."""
        for name in [name for name, place in self.places.items() if which(name, place)]:
            self._forget(context, name)

    def expired(self, context: Context) -> None:
        now = context.mach.now()
        if self.sweep_at is not None and self.sweep_at <= now:
            self.forget(context, lambda name, place: place.time + KNOWN_NS <= now)
            self.sweep_at = min(place.time for place in self.places.values()) + KNOWN_NS if self.places else None

    def _forget(self, context: Context, name: bytes) -> None:
        place = self.places.pop(name)
        for port, proxy in context.tables.proxies_for(place.node, place.number):
            if proxy.is_idle():
                context.tables.drop_proxy(port)
                context.retire(port)
