"""An eventually perfect failure detector (Chandra and Toueg's class ◇P) out of heartbeats and a time-out for each peer.

Whose heartbeats a node waits for, the groups say: in a view that is at rest the first member hears all others, and they hear it.

A crashed peer is silent, so that it is suspected for good. Each false suspicion makes that peer's time-out longer, so that from
some time on, once delays have a bound, whatever the bound, no living peer is suspected. A peer that comes back in a new
incarnation proves that the old one is dead: that is knowledge, not suspicion.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from machemu.sim.state import U64, state
from masix.groups.view import Member

PERIOD: Final = 250_000_000
"""Nanoseconds between two heartbeats to all, and what a false suspicion adds to a time-out."""
REPORT: Final = 2 * PERIOD
"""Nanoseconds between two heartbeats to the first member of a view: the channel loses none."""
TIMEOUT: Final = 1_600_000_000
"""A new peer's time-out in nanoseconds: six heartbeats to all may be lost, and a node may pause for a second."""
PEERS_MAX: Final = 1024


@state
class Change(NamedTuple):
    """`member` is suspected from now on, or trusted (again)."""

    member: Member
    suspected: bool


@state
class Peer:
    """heard: when its last heartbeat came; timeout: how long it may be silent. Nanoseconds."""

    __slots__ = ("heard", "incarnation", "suspected", "timeout")
    heard: int
    incarnation: U64
    suspected: bool
    timeout: int

    def __init__(self, incarnation: int, heard: int) -> None:
        self.incarnation = incarnation
        self.heard = heard
        self.timeout = TIMEOUT
        self.suspected = False


@state
class Detector:
    """peers: by node, each in the newest incarnation known."""

    __slots__ = ("peers",)
    peers: dict[int, Peer]

    def __init__(self) -> None:
        self.peers = {}

    def heard(self, member: Member, now: int) -> tuple[Change, ...]:
        """A heartbeat. A peer's new incarnation is trusted, and what was known of its time-out stays."""
        peer = self.peers.get(member.node)
        if peer is None:
            if len(self.peers) >= PEERS_MAX:
                return ()
            self.peers[member.node] = Peer(member.incarnation, now)
            return (Change(member, False),)
        if member.incarnation < peer.incarnation:
            return ()
        peer.heard = now
        if member.incarnation > peer.incarnation:
            old = Member(member.node, peer.incarnation)
            changes = (Change(member, False),) if peer.suspected else (Change(old, True), Change(member, False))
            peer.incarnation, peer.suspected = member.incarnation, False
            return changes
        if not peer.suspected:
            return ()
        peer.suspected = False
        peer.timeout += PERIOD
        return (Change(member, False),)

    def watch(self, member: Member, now: int) -> None:
        """From now on `member` is expected to send heartbeats, though it may never have."""
        peer = self.peers.get(member.node)
        if peer is None or peer.incarnation < member.incarnation:
            self.heard(member, now)

    def lost(self, node: int) -> tuple[Change, ...]:
        """The channel to a node broke: it is suspected at once."""
        peer = self.peers.get(node)
        if peer is None or peer.suspected:
            return ()
        peer.suspected = True
        return (Change(Member(node, peer.incarnation), True),)

    def tick(self, now: int, excused: Iterable[int] = ()) -> tuple[Change, ...]:
        """Suspects whoever has been silent for too long. excused: nodes that have nothing to say to this one."""
        for node in excused:
            if node in self.peers:
                self.peers[node].heard = now
        silent = [node for node, peer in self.peers.items() if not peer.suspected and now - peer.heard > peer.timeout]
        return tuple(change for node in silent for change in self.lost(node))

    def suspects(self, member: Member) -> bool:
        peer = self.peers.get(member.node)
        return peer is not None and (member.incarnation < peer.incarnation or (self.knows(member) and peer.suspected))

    def knows(self, member: Member) -> bool:
        """This very incarnation of the node was seen, and no later one."""
        peer = self.peers.get(member.node)
        return peer is not None and peer.incarnation == member.incarnation

    def dead(self, member: Member) -> bool:
        """It is certain, not only suspected, that this incarnation has ended."""
        peer = self.peers.get(member.node)
        return peer is not None and member.incarnation < peer.incarnation
