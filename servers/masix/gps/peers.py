"""The generic process servers of a cluster among each other: how they meet, and the group that keeps the table.

The cluster file names the nodes that begin the table. The first of these founds the group, but only once it has met all others
and none of them is or was in it: so there is one group, though that node may start anew while others are cut off from it. All
others join, those of other nodes, too: they meet the named ones, and hear from these of each other.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.message import MACH_MSG_SUCCESS
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import OutOfLine
from machemu.sim.state import PortName, Right, Time, state
from machemu.user.kit import Answer, answered, notified, serves
from machemu.user.mach import Mach
from machemu.user.message import Message, living
from machemu.user.notifications import MsgAccepted
from masix.gps.replicated import ReplicatedTable
from masix.groups import Endpoint, Group, Member, Order
from masix.groups.wire import MEMBERS_MAX
from masix.interfaces import acs, gps_peer
from masix.migration.node_server import NodeServer, name_at

NAME: Final = b"gps"
GROUP: Final = 1
SIZE: Final = struct.Struct(">I")
PACKETS_MAX: Final = 1024
"""Packets that wait for a peer; beyond, the oldest are lost, and the group repairs that."""
LOOK_UP_NS: Final = 500_000_000
"""How long it waits before it looks for peers that it has not met once more."""
PEERS_MAX: Final = MEMBERS_MAX - 1
HOST_MAX: Final = 63
"""Bytes of a node's name."""


@state
class Peer:
    """The server of another node. right: to it, null while it has not been found; member: null until it has been met.

    One message at a time goes to it, with all packets that wait by then: so nobody waits for its full queue.
    """

    __slots__ = ("asked", "busy", "in_group", "member", "packets", "right")
    right: Right
    member: Member | None
    asked: bool  # it is being looked up, or asked who it is
    busy: bool  # a message is on its way into its queue
    in_group: bool
    packets: deque[bytes]  # that are to go to it

    def __init__(self) -> None:
        self.right = 0
        self.member = None
        self.asked = self.busy = self.in_group = False
        self.packets = deque()


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
class Peers(NodeServer):
    """What a generic process server has of the others. A subclass says in `settled` what is done after each input: results and
    changes of the table may have come."""

    __slots__ = ("endpoint", "founds", "look_at", "peers", "registering", "table")
    name = NAME
    endpoint: Endpoint
    founds: bool  # it founds the group, if nobody else is in it
    look_at: Time  # when it looks for peers next
    peers: dict[bytes, Peer]  # by the names of their nodes
    registering: bool
    table: ReplicatedTable

    def __init__(self, node: int, host: bytes, nodes: str = "") -> None:
        super().__init__(node, host)
        names = nodes.encode().split()
        if not names:
            raise ValueError("nodes has to name the nodes whose servers begin the table")
        self.peers = {name: Peer() for name in names if name != host}
        self.founds = names[0] == host
        self.endpoint = Endpoint(Member(node, 0))
        self.table = ReplicatedTable(self.endpoint.me)
        self.look_at = 0
        self.registering = False

    def settled(self, mach: Mach) -> None:
        raise NotImplementedError

    def met(self, mach: Mach, peer: Peer) -> None:
        """Another server has been found, and has said who it is."""

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
        if now >= self.look_at:
            self.look_at = now + LOOK_UP_NS
            for host, peer in self.peers.items():
                self._meet(mach, host, peer)
        self._open()
        self.settled(mach)
        mach.alarm(max(now, min(self.endpoint.deadline(), self.look_at)))

    # Its name

    def _register(self, mach: Mach) -> None:
        self.registering = True
        super()._register(mach)

    @answered(acs.ACS_REGISTER)
    def _registered(self, mach: Mach, answer: Answer) -> None:
        self.registering = False
        super()._registered(mach, answer)

    # Others

    def _meet(self, mach: Mach, host: bytes, peer: Peer) -> None:
        """Finds a peer, or asks who it is."""
        if peer.asked or peer.member is not None:
            return
        peer.asked = True
        if peer.right:
            self.ask(mach, self._met, peer.right, (self.host, words_of(self.me)), host)
        else:
            self.ask(mach, self._found, mach.name_server(), (name_at(NAME, host),), host)

    @answered(acs.ACS_LOOK_UP)
    def _found(self, mach: Mach, answer: Answer, host: bytes) -> None:
        peer = self.peers[host]
        peer.asked = False
        peer.right = living(answer.results[0]) if answer.results else 0
        if peer.right:
            mach.notify(peer.right, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
            self._meet(mach, host, peer)

    @answered(gps_peer.GPS_MEET)
    def _met(self, mach: Mach, answer: Answer, host: bytes) -> None:
        peer = self.peers[host]
        peer.asked = False
        if answer.results:
            member, in_group, hosts = answer.results
            peer.in_group = bool(in_group)
            peer.member = member_of(member)
            for each in bytes(hosts.copy or b"").split():
                self._learn(mach, each)
            self.met(mach, peer)

    def _learn(self, mach: Mach, host: bytes) -> bool:
        """There is a server at a node. Whether it is one that this server can have to do with."""
        if host not in self.peers and host != self.host and len(self.peers) < PEERS_MAX and len(host) <= HOST_MAX:
            self.peers[host] = Peer()
            self.look_at = mach.now()
        return host in self.peers

    @serves(gps_peer.GPS_MEET)
    def _is_met(self, mach: Mach, request: Message, host: bytes, by: Sequence[int]) -> tuple[Any, ...]:
        if not self._learn(mach, host):
            raise KernError(KERN_INVALID_ARGUMENT)
        self.look_at = mach.now()
        others = b" ".join(each for each in self.peers if each != host)
        return words_of(self.me), self.group is not None and self.group.highest > 0, OutOfLine(others, len(others))

    def died(self, mach: Mach, name: PortName) -> None:
        """A peer has ended, or is cut off: what it is next is to be found out anew."""
        for peer in self.peers.values():
            if peer.right == name:
                if peer.member is not None:
                    self.endpoint.lost(peer.member.node)
                mach.deallocate(name)
                peer.right, peer.member, peer.busy = 0, None, False
                peer.packets.clear()

    # The group

    @property
    def group(self) -> Group | None:
        return self.endpoint.groups.get(GROUP)

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
            mach.request(gps_peer.GPS_PACKETS, peer.right, (self.node, OutOfLine(data, len(data))), notify=self.notices)

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

    @serves(gps_peer.GPS_PACKETS)
    def _packets(self, mach: Mach, request: Message, node: int, data: Any) -> tuple[Any, ...]:
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


def words_of(member: Member) -> tuple[int, int, int]:
    return member.node, member.incarnation >> 32, member.incarnation & 0xFFFFFFFF


def member_of(words: Sequence[int]) -> Member:
    return Member(words[0], words[1] << 32 | words[2])
