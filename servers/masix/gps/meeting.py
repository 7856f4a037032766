"""How the generic process servers of a cluster meet, so that each knows who speaks to it.

A server finds another one by its node's name, and gives it a right to a port that is for that server alone. Who is given one asks
the network server on which node it is: only the node's own server is believed. So what comes to such a port is from that node,
and no message says who has sent it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from machemu.abi.errors import KernError, UserError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.message import MAKE_SEND, MOVE_SEND
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import U16, PortName, Receive, Right, SendRight, Time, state
from machemu.user.kit import Answer, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import NULL_NAME, Message, living
from masix.groups import Member
from masix.groups.wire import MEMBERS_MAX
from masix.interfaces import acs, gns, gps_peer
from masix.migration.node_server import NodeServer, name_at
from masix.migration.state import numbers_of

NAME: Final = b"gps"
GNS: Final = b"gns"
LOOK_UP_NS: Final = 500_000_000
"""How long it waits before it looks for peers that it has not met once more."""
PEERS_MAX: Final = MEMBERS_MAX - 1
HOST_MAX: Final = 63
"""Bytes of a node's name."""


@state
class Peer:
    """The server of another node. One message at a time goes to it, with all packets that wait by then: so nobody waits for its
    full queue.
    """

    __slots__ = ("asked", "busy", "in_group", "inlet", "named", "node", "offered", "packets", "right", "says")
    inlet: Receive  # where it speaks to this server
    named: Right  # by which it was found; null while it has not been
    node: U16  # where that is; 0 while it is not known
    right: Right  # to the port where it is spoken to, null while it has not given one
    offered: Right  # one more, of which it is not known yet whether it is its own
    says: Member | None  # who it says that it is
    asked: bool  # it is being looked up, or asked who it is
    busy: bool  # a message is on its way into its queue
    in_group: bool
    packets: deque[bytes]  # that are to go to it

    def __init__(self, inlet: int) -> None:
        self.inlet = inlet
        self.named = self.node = self.right = self.offered = 0
        self.says = None
        self.asked = self.busy = self.in_group = False
        self.packets = deque()

    @property
    def member(self) -> Member | None:
        """Who it is; None until it has been met."""
        return self.says if self.right else None


@state
class Meeting(NodeServer):
    """A generic process server, as far as it looks for the others. hosts: those that the cluster file names."""

    __slots__ = ("hosts", "inlets", "look_at", "peers", "registering")
    name = NAME
    hosts: tuple[bytes, ...]
    inlets: dict[Receive, bytes]  # which node's server speaks at each
    look_at: Time  # when it looks for peers next
    peers: dict[bytes, Peer]  # by the names of their nodes
    registering: bool

    def __init__(self, node: int, host: bytes, nodes: str = "") -> None:
        super().__init__(node, host)
        self.hosts = tuple(nodes.encode().split())
        if not self.hosts:
            raise UserError("nodes has to name the nodes whose servers begin the table")
        self.peers, self.inlets = {}, {}
        self.look_at = 0
        self.registering = False

    @property
    def me(self) -> Member:
        raise NotImplementedError

    def has_group(self) -> bool:
        """Whether it is in the group that keeps the table, or was."""
        raise NotImplementedError

    def met(self, mach: Mach, peer: Peer) -> None:
        """Another server has been found, and has said who it is."""

    def lost(self, node: int) -> None:
        """A server that had been met has ended, or is cut off."""

    def start(self, mach: Mach) -> None:
        super().start(mach)
        for host in self.hosts:
            self._learn(mach, host)

    # Its name

    def _register(self, mach: Mach) -> None:
        self.registering = True
        super()._register(mach)

    @answered(acs.ACS_REGISTER)
    def _registered(self, mach: Mach, answer: Answer) -> None:
        self.registering = False
        super()._registered(mach, answer)

    # Others

    def look(self, mach: Mach) -> None:
        """Looks for those that it has not met, if it is time."""
        now = mach.now()
        if now >= self.look_at:
            self.look_at = now + LOOK_UP_NS
            for host, peer in self.peers.items():
                self._meet(mach, host, peer)

    def _learn(self, mach: Mach, host: bytes) -> bool:
        """There is a server at a node. Whether it is one that this server can have to do with."""
        if host not in self.peers and host != self.host and len(self.peers) < PEERS_MAX and len(host) <= HOST_MAX:
            inlet = self.new_port(mach)
            self.peers[host] = Peer(inlet)
            self.inlets[inlet] = host
            self.look_at = mach.now()
        return host in self.peers

    def _meet(self, mach: Mach, host: bytes, peer: Peer) -> None:
        """Goes on to look for a peer: by its name, for its node, and for who it is."""
        if peer.asked or (peer.member is not None and not peer.offered):
            return
        peer.asked = True
        if not peer.named:
            self.ask(mach, self._found, mach.name_server(), (name_at(NAME, host),), host)
        elif not peer.node or peer.offered:
            self.ask(mach, self._network, mach.given("name-server"), (GNS,), host)
        else:
            self.ask(mach, self._met, peer.named, (self.host, PolyPort(peer.inlet, MAKE_SEND)), host)

    @answered(acs.ACS_LOOK_UP)
    def _found(self, mach: Mach, answer: Answer, host: bytes) -> None:
        peer = self.peers[host]
        peer.asked = False
        peer.named = answer.right
        if peer.named:
            mach.notify(peer.named, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
            self._meet(mach, host, peer)

    @answered(acs.ACS_LOOK_UP_HERE)
    def _network(self, mach: Mach, answer: Answer, host: bytes) -> None:
        """Asks where the rights are that it has of a peer."""
        peer = self.peers[host]
        network = answer.right
        rights = []
        for right in filter(None, (peer.named, peer.offered)):
            with suppress(KernError):  # it has just died
                rights.append(mach.copy_send(right))
        if network and rights:
            self.ask(mach, self._placed, network, (rights,), host, tuple(rights), network)
        else:
            mach.give_up((right, MOVE_SEND) for right in rights)
            mach.give_up([(network, MOVE_SEND)])
            peer.asked = False

    @answered(gns.GNS_HOMES)
    def _placed(self, mach: Mach, answer: Answer, host: bytes, rights: tuple[SendRight, ...], network: SendRight) -> None:
        mach.deallocate(network)
        peer = self.peers[host]
        peer.asked = False
        nodes = numbers_of(mach.order, answer.results[0]) if answer.results else ()
        for right, node in zip(rights, nodes, strict=False):
            if right == peer.named and node != self.node:  # where it has died, it is said to be here
                peer.node = node
            if right == peer.offered and peer.node:
                self._take(mach, peer, node == peer.node)
        if nodes:
            self._meet(mach, host, peer)

    def speaker(self, request: Message) -> int:
        """The number of the node whose server speaks."""
        return self.peers[self.inlets[request.header.local]].node

    def _take(self, mach: Mach, peer: Peer, is_its_own: bool) -> None:
        """What was offered as a peer's port is one, or is not."""
        right, peer.offered = peer.offered, 0
        if not is_its_own:
            self._drop(mach, right)
            return
        was_met = peer.member is not None
        if peer.right:
            self._drop(mach, peer.right)
        peer.right, peer.busy = right, False
        if peer.says is not None and not was_met:
            self.met(mach, peer)

    def _drop(self, mach: Mach, right: PortName) -> None:
        with suppress(KernError):  # it has died, and that is told yet
            mach.notify(right, MACH_NOTIFY_DEAD_NAME.request.id, NULL_NAME)
        mach.deallocate(right)

    @answered(gps_peer.GPS_MEET)
    def _met(self, mach: Mach, answer: Answer, host: bytes) -> None:
        peer = self.peers[host]
        peer.asked = False
        if not answer.results:
            return
        words, in_group, hosts = answer.results
        if (member := member_of(words)).node != peer.node:
            return
        peer.in_group = bool(in_group)
        peer.says = member
        for each in bytes(hosts.copy or b"").split():
            self._learn(mach, each)
        if peer.offered:
            self._meet(mach, host, peer)
        elif peer.right:
            self.met(mach, peer)

    @serves(gps_peer.GPS_MEET)
    def _is_met(self, mach: Mach, request: Message, host: bytes, port: Any) -> tuple[Any, ...]:
        if not living(port) or not self._learn(mach, host):
            raise KernError(KERN_INVALID_ARGUMENT)
        peer = self.peers[host]
        if peer.offered:
            self._drop(mach, peer.offered)
        peer.offered = living(port)
        mach.notify(port, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        self._meet(mach, host, peer)
        others = b" ".join(each for each in self.peers if each != host)
        return words_of(self.me), self.has_group(), OutOfLine(others, len(others))

    def died(self, mach: Mach, name: PortName) -> None:
        """A peer has ended, or is cut off: what it is next is to be found out anew."""
        for peer in self.peers.values():
            rights = (peer.named, peer.right, peer.offered)
            if name not in rights:
                continue
            if peer.member is not None and name != peer.offered:
                self.lost(peer.member.node)
            for right in filter(None, rights if name != peer.offered else (name,)):
                if right != name:
                    self._drop(mach, right)
            mach.deallocate(name)
            peer.offered = 0
            if name in (peer.named, peer.right):
                peer.named = peer.right = 0
                peer.says, peer.busy = None, False
                peer.packets.clear()
            return


def words_of(member: Member) -> tuple[int, int, int]:
    return member.node, member.incarnation >> 32, member.incarnation & 0xFFFFFFFF


def member_of(words: Sequence[int]) -> Member:
    return Member(words[0], words[1] << 32 | words[2])
