"""A node's end of the group protocol: one failure detector, and the groups that the node is in."""

from __future__ import annotations

from typing import Protocol

from machemu.sim.state import state
from masix.groups import wire
from masix.groups.broadcast import Application, Network, Standing
from masix.groups.detector import PERIOD, REPORT, Change, Detector
from masix.groups.group import Group
from masix.groups.view import Member, Order
from masix.groups.wire import GroupPacketKind, PacketError, packet


class Watcher(Protocol):
    """Whom the detector tells; a state class."""

    def changed(self, change: Change) -> None: ...


@state
class Endpoint:
    """A node's groups. The owner calls `attach` first, and again after a load; `receive` with all that comes, `lost` when the
    channel gives a node up, and `tick` when `deadline` has come, which each of these calls may change.
    """

    __slots__ = ("detector", "groups", "heartbeat_at", "me", "network", "refused", "report_at", "watcher")
    TRANSIENT = ("network",)
    me: Member  # this node in this incarnation
    groups: dict[int, Group]  # by number
    detector: Detector
    watcher: Watcher | None  # told of suspicions
    heartbeat_at: int  # when the next heartbeat is due
    report_at: int  # when the next one to first members of views is
    refused: int  # packets that were none
    network: Network  # transient

    def __init__(self, me: Member, watcher: Watcher | None = None) -> None:
        self.me = me
        self.detector = Detector()
        self.groups = {}
        self.heartbeat_at = 0
        self.report_at = 0
        self.refused = 0
        self.watcher = watcher

    def attach(self, network: Network) -> None:
        self.network = network
        for group in self.groups.values():
            group.network = network

    def open(self, number: int, order: Order, application: Application, founders: tuple[Member, ...] = ()) -> Group:
        """Founds group `number` if this member is one of `founders`, who are the same everywhere; else joins it."""
        if number in self.groups:
            raise ValueError(f"group {number} is open")
        group = self.groups[number] = Group(number, self.me, order, application, self.detector)
        group.network = self.network
        group.status_at = self.network.now
        if self.me in founders:
            group.found(founders)
        return group

    def receive(self, node: int, data: bytes) -> None:
        """Bytes from another node, by channel or multicast. No packet, or one of an ended incarnation, changes nothing."""
        try:
            head = wire.head(data)
            member = Member(node, head.incarnation)
            if node == self.me.node or self.detector.dead(member):
                return
            self._tell(self.detector.heard(member, self.network.now))
            group = self.groups.get(head.group)
            if group is not None:
                group.receive(node, head, data[wire.HEAD.size :])
        except PacketError:
            self.refused += 1

    def lost(self, node: int) -> None:
        """The channel to a node broke."""
        self._tell(self.detector.lost(node))

    def deadline(self) -> int:
        """When `tick` is due, in virtual nanoseconds."""
        times = [time for group in self.groups.values() if (time := group.deadline()) is not None]
        return min([self.heartbeat_at, *times])

    def tick(self) -> None:
        """Does what is due by now."""
        now = self.network.now
        if now >= self.heartbeat_at:
            self.heartbeat_at = now + PERIOD
            self._beat(now)
            self._tell(self.detector.tick(now, self._excused()))
        for group in self.groups.values():
            group.tick()

    def _beat(self, now: int) -> None:
        """Tells that this node is alive: the first members of its views, or all, where it is one itself or in no view at rest."""
        firsts = {group: group.first() for group in self.groups.values() if not group.blocked}
        if not firsts or self.me in firsts.values():
            self.network.multicast(packet(GroupPacketKind.HEARTBEAT, 0, self.me.incarnation, 0))
        if now >= self.report_at:
            self.report_at = now + REPORT
            for group, first in firsts.items():
                if first != self.me:
                    group.to(first.node, GroupPacketKind.HEARTBEAT, b"")

    def _excused(self) -> set[int]:
        """Nodes that do not tell this one that they are alive: in a view at rest only the first member hears of them.

        Who is outside its groups hears of nobody; in no group, of all that are in none either.
        """
        if self.groups and all(group.standing is not Standing.MEMBER for group in self.groups.values()):
            return set(self.detector.peers)
        nodes: set[int] = set()
        heard: set[int] = set()
        for group in self.groups.values():
            members = {member.node for member in group.view.members}
            first = group.first()
            if group.blocked or first == self.me:
                heard |= members if group.standing is Standing.MEMBER else set()
            else:
                nodes |= members
                heard.add(first.node)
        return nodes - heard

    def _tell(self, changes: tuple[Change, ...]) -> None:
        if not changes:
            return
        for change in changes:
            if self.watcher is not None:
                self.watcher.changed(change)
        for group in self.groups.values():
            group.changed()
