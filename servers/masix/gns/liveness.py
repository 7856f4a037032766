"""Liveness probes: nodes that a network server depends on are asked now and then, since a crash makes no noise.

Whoever has rights to a port of another node, or has given some, has to learn of its end, also while nobody sends anything. The
link finds out: it gives up a node that does not acknowledge.
"""

from __future__ import annotations

from typing import Final

from machemu.sim.state import state
from masix.gns.context import Context
from masix.gns.ports import PortTables
from masix.gns.rights import EVERYBODY
from masix.gns.wire import Alive
from masix.net.ip import NodeNumber

ASK_NS: Final = 500_000_000
"""After so long without a word from a node it is asked. Then the link's own time-out runs: both are less than 2 s."""


@state
class Liveness:
    """heard: when each node was heard last, in nanoseconds. at: when that is looked through, None while nobody is depended on."""

    __slots__ = ("at", "heard")
    at: int | None
    heard: dict[NodeNumber, int]

    def __init__(self) -> None:
        self.heard = {}
        self.at = None

    def stirred(self, now: int) -> None:
        """Something has come or gone: there may be somebody to depend on."""
        if self.at is None:
            self.at = now + ASK_NS

    def hear(self, node: int, now: int) -> None:
        self.stirred(now)
        self.heard[node] = now

    def lost(self, node: int) -> None:
        self.heard.pop(node, None)

    def expired(self, context: Context) -> None:
        """Asks those that have been silent for too long."""
        now = context.mach.now()
        if self.at is None or now < self.at:
            return
        nodes = partners(context.tables) - {context.node}
        self.heard = {node: self.heard.get(node, 0) for node in sorted(nodes)}
        for node, time in self.heard.items():
            if now - time >= ASK_NS:
                context.say(node, Alive())
                self.heard[node] = now
        self.at = min(self.heard.values()) + ASK_NS if nodes else None


def partners(tables: PortTables) -> set[int]:
    """The nodes that have rights to ports here, or the other way round."""
    nodes = {node for export in tables.exports.values() for node in export.given if node != EVERYBODY}
    nodes |= {node for proxy in tables.proxies.values() if not proxy.is_idle() for node, _ in proxy.stands_for()}
    return nodes | {leaving.node for leaving in tables.leaving.values()} | {pledge.to for pledge in tables.pledges.values()}
