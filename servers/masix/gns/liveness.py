"""How ends that make no noise become known: those of nodes, and of ports to which other nodes have send-once rights.

Whoever has rights to a port of another node, or has given some, has to learn of its end, also while nobody sends anything. Nodes
that a network server depends on are asked now and then; the link gives up one that does not acknowledge. Of the end of a port to
which another node has had a send-once right for a while the kernel is asked to tell: most are used long before.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Final

from machemu.sim.state import U31, state
from masix.gns.context import Context
from masix.gns.large import Arrivals
from masix.gns.ports import EVERYBODY, PortTables
from masix.gns.translate import Translator
from masix.gns.wire import Alive, RightKind
from masix.net.ip import NodeNumber

ASK_NS: Final = 500_000_000
"""After so long without a word from a node it is asked. Then the link's own time-out runs: both are less than 2 s."""
WATCHES: Final = 64
"""Requests for notifications in a row, with other work between: each is a call to the kernel."""


@state
class Liveness:
    """heard: when each node was heard last, in nanoseconds. at: when that is looked through, None while nobody is depended on."""

    __slots__ = ("aged", "at", "heard", "marked", "marked_at", "watched")
    at: int | None
    heard: dict[NodeNumber, int]
    # Send-once rights that others have, by number:
    watched: U31  # ports of those up to this one are watched
    aged: U31  # and are to be, up to this one
    marked: U31  # the last one at the time `marked_at`, ASK_NS after which it has aged
    marked_at: int

    def __init__(self) -> None:
        self.heard = {}
        self.at = None
        self.watched = self.aged = self.marked = self.marked_at = 0

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
        """Asks those that have been silent for too long, and has ports watched."""
        now = context.mach.now()
        if self.at is None or now < self.at:
            return
        nodes = partners(context.tables, context.arrivals) - {context.node}
        self.heard = {node: self.heard.get(node, 0) for node in sorted(nodes)}
        for node, time in self.heard.items():
            if now - time >= ASK_NS:
                context.say(node, Alive())
                self.heard[node] = now
        is_behind = self._watch(context, now)
        self.at = None if not nodes else now if is_behind else min(self.marked_at, *self.heard.values()) + ASK_NS

    def _watch(self, context: Context, now: int) -> bool:
        """Has ports watched to which others have send-once rights that are not new any more. Whether there are more of them."""
        tables = context.tables
        if now >= self.marked_at + ASK_NS:
            self.aged, self.marked, self.marked_at = self.marked, tables.last, now
        newer = takewhile(lambda number: number > self.watched, reversed(tables.exports))
        due = sorted(n for n in newer if n <= self.aged and tables.exports[n].kind is RightKind.SEND_ONCE)
        for number in due[:WATCHES]:
            name = tables.exports[number].name
            tables.numbers[name] = number
            Translator(context).watch_death(name)
        is_behind = len(due) > WATCHES
        self.watched = due[WATCHES - 1] if is_behind else self.aged
        return is_behind


def partners(tables: PortTables, arrivals: Arrivals) -> set[int]:
    """The nodes that have rights to ports here, or the other way round, or of whose messages memory has come."""
    nodes = {node for export in tables.exports.values() for node in export.given if node != EVERYBODY}
    nodes |= {node for proxy in tables.proxies.values() if not proxy.is_idle() for node, _ in proxy.stands_for()}
    nodes |= {coming.node for coming in tables.coming.values()} | {node for node, _ in arrivals.streams}
    return nodes | {leaving.node for leaving in tables.leaving.values()} | {pledge.to for pledge in tables.pledges.values()}
