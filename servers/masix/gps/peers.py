"""The generic process servers of a cluster among each other: how they meet, and the group that keeps the table.

The cluster file names the nodes that begin the table. The first of these founds the group, but only once it has met all others
and none of them is or was in it: so there is one group, though that node may start anew while others are cut off from it. All
others join, those of other nodes, too: they meet the named ones, and hear from these of each other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from machemu.abi.message import MACH_MSG_SUCCESS
from machemu.mig.runtime import OutOfLine
from machemu.sim.state import PortName, state
from machemu.user.kit import notified, serves
from machemu.user.mach import Mach
from machemu.user.message import Message
from machemu.user.notifications import MsgAccepted
from masix.gps.meeting import Meeting, Peer
from masix.gps.replicated import ReplicatedTable
from masix.groups import Endpoint, Group, Member, Order
from masix.interfaces import gps_peer

GROUP: Final = 1
SIZE: Final = struct.Struct(">I")
PACKETS_MAX: Final = 1024
"""Packets that wait for a peer; beyond, the oldest are lost, and the group repairs that."""


class Carrier:
    """masix.groups.Network over the servers' ports, while a handler runs."""

    def __init__(self, server: Peers, mach: Mach) -> None:
        self._server = server
        self._mach = mach

    @property
    def now(self) -> int:
        return self._mach.now()

    def send(self, node: int, data: bytes) -> None:
        for peer in self._server.peers.values():
            if peer.member is not None and peer.member.node == node:
                self._say(peer, data)

    def multicast(self, data: bytes) -> None:
        for peer in self._server.peers.values():
            if peer.member is not None:
                self._say(peer, data)

    def _say(self, peer: Peer, data: bytes) -> None:
        peer.packets.append(data)
        if len(peer.packets) > PACKETS_MAX:
            peer.packets.popleft()
        self._server.speak(self._mach, peer)


@state
class Peers(Meeting):
    """What a generic process server has of the others. A subclass says in `settled` what is done after each input: results and
    changes of the table may have come."""

    __slots__ = ("endpoint", "founds", "table")
    endpoint: Endpoint
    founds: bool  # it founds the group, if nobody else is in it
    table: ReplicatedTable

    def __init__(self, node: int, host: bytes, nodes: str = "") -> None:
        super().__init__(node, host, nodes)
        self.founds = self.hosts[0] == host
        self.endpoint = Endpoint(Member(node, 0))
        self.table = ReplicatedTable(self.endpoint.me)

    def settled(self, mach: Mach) -> None:
        raise NotImplementedError

    @property
    def me(self) -> Member:
        return self.endpoint.me

    def start(self, mach: Mach) -> None:
        super().start(mach)
        me = Member(self.node, mach.now() + 1)
        self.endpoint = Endpoint(me)
        self.table = ReplicatedTable(me)
        self.endpoint.attach(Carrier(self, mach))
        self._go_on(mach)

    def receive(self, mach: Mach, message: Message) -> None:
        self.endpoint.attach(Carrier(self, mach))
        super().receive(mach, message)
        self._go_on(mach)

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        self.endpoint.attach(Carrier(self, mach))
        super().unsent(mach, message, code)
        self._go_on(mach)

    def expired(self, mach: Mach) -> None:
        self.endpoint.attach(Carrier(self, mach))
        if not self.registration and not self.registering:
            self._register(mach)
        self.endpoint.tick()
        self._go_on(mach)

    def _go_on(self, mach: Mach) -> None:
        now = mach.now()
        self.look(mach)
        self._open()
        self.settled(mach)
        mach.alarm(max(now, min(self.endpoint.deadline(), self.look_at)))

    # The group

    @property
    def group(self) -> Group | None:
        return self.endpoint.groups.get(GROUP)

    def has_group(self) -> bool:
        return self.group is not None and self.group.highest > 0

    def lost(self, node: int) -> None:
        self.endpoint.lost(node)

    def _open(self) -> None:
        """Founds the group or joins it."""
        if self.group is not None:
            return
        founders: tuple[Member, ...] = ()
        if self.founds and not any(peer.in_group for peer in self.peers.values()):
            if any(peer.member is None for peer in self.peers.values()):
                return
            founders = (self.me,)
        self.table.join(self.endpoint.open(GROUP, Order.TOTAL, self.table, founders))

    def speak(self, mach: Mach, peer: Peer) -> None:
        if peer.right and peer.packets and not peer.busy:
            peer.busy = True
            data = b"".join(SIZE.pack(len(packet)) + packet for packet in peer.packets)
            peer.packets.clear()
            mach.request(gps_peer.GPS_PACKETS, peer.right, (OutOfLine(data, len(data)),), notify=self.notices)

    def sent(self, mach: Mach, message: Message, code: int) -> None:
        if code == MACH_MSG_SUCCESS:
            self._accepted(mach, message.header.remote)

    @notified(MsgAccepted)
    def _taken(self, mach: Mach, notice: MsgAccepted) -> None:
        self._accepted(mach, notice.name)

    def _accepted(self, mach: Mach, right: PortName) -> None:
        for peer in self.peers.values():
            if peer.right == right:
                peer.busy = False
                self.speak(mach, peer)

    @serves(gps_peer.GPS_PACKETS, at="inlets")
    def _packets(self, mach: Mach, request: Message, data: Any) -> tuple[Any, ...]:
        node = self.speaker(request)
        for packet in packets_of(bytes(data.copy or b"")):
            self.endpoint.receive(node, packet)
        return ()


def packets_of(data: bytes) -> Iterator[bytes]:
    """The packets of a message; what is cut is none."""
    place = 0
    while place + SIZE.size <= len(data):
        (size,) = SIZE.unpack_from(data, place)
        place += SIZE.size + size
        yield data[place - size : place]
