"""The network servers' transport: messages between nodes, each delivered once and in order, or given back as lost.

It does no input or output and knows no clock: frames that come and the time go in, frames to send and events come out. All of it
is saved state; after a load, `attach` makes the ciphers again. Times are in virtual nanoseconds and never go back.

The owner calls `tick` when the node starts, and then at `next_timer`'s time; it sends what is in `outbox` and takes the events
from `inbox` (`next_event`). With nothing under way, and no session just begun, there is no timer: whether a silent node is up is
seen only when something is sent to it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from machemu.sim.state import state
from masix.net.ip import GROUP, NODE_MAX, NODE_MIN
from masix.transport.chunks import ChunkKind
from masix.transport.events import Delivered, Drop, Loss, Settings, StreamWritable, TransportEvent, Unverified
from masix.transport.membership import TOLD_MAX, Membership
from masix.transport.packets import PLAIN_MAX, Packet, PacketError, PacketKind, decode
from masix.transport.peers import UNVERIFIED_MAX, Peer
from masix.transport.sender import OutStream
from masix.transport.session import KEY_SIZE, Randomness, Refused

DEFAULT: Final = Settings()
STREAM_MAX: Final = 0xFFFF_FFFF
MULTICAST_MAX: Final = PLAIN_MAX
"""Bytes of a multicast."""
VERSIONS: Final = (1, 1)
"""The protocol's versions that this module speaks, the lowest and the highest."""


@state
class Transport(Membership):
    """key: the cluster's, KEY_SIZE bytes. randomness: another one each time that the node starts, saved with this."""

    __slots__ = ()

    def __init__(
        self,
        node: int,
        key: bytes,
        randomness: Randomness,
        settings: Settings = DEFAULT,
        versions: tuple[int, int] = VERSIONS,
    ) -> None:
        if not NODE_MIN <= node <= NODE_MAX:
            raise ValueError(f"{node} is no node's number")
        super().__init__(node, key, randomness, settings, versions)

    def send(self, node: int, stream: int, payload: bytes, now: int) -> bool:
        """Sends a message to another node. A stream's messages are delivered in order; streams do not wait for each other.

        False if the stream should take no more until StreamWritable (or PeerLost) comes; this message is taken all the same.
        ValueError for a node, stream or size that cannot be.
        """
        if node == self.node or not NODE_MIN <= node <= NODE_MAX or not 0 <= stream <= STREAM_MAX:
            raise ValueError(f"a message cannot go from node {self.node} to node {node}, stream {stream}")
        if len(payload) > self.settings.message_max:
            raise ValueError(f"a message of {len(payload)} bytes is longer than {self.settings.message_max}")
        peer = self.peer(node)
        conversation = peer.conversation or self.begin_conversation(peer, now)
        writable = conversation.sender.add(stream, payload)
        if conversation.session is None:
            self.begin_handshake(peer, now)
        self._settle(peer, now)
        return writable

    def backlog(self, node: int, stream: int) -> int:
        """Bytes of a stream's messages that are not known to be delivered, and MESSAGE_COST for each of them."""
        sent = self._sent(node, stream)
        return 0 if sent is None else sent.backlog

    def is_writable(self, node: int, stream: int) -> bool:
        """False where `send` has said so, and StreamWritable is still to come."""
        sent = self._sent(node, stream)
        return sent is None or not sent.owed

    def _sent(self, node: int, stream: int) -> OutStream | None:
        peer = self.peers.get(node)
        return None if peer is None or peer.conversation is None else peer.conversation.sender.streams.get(stream)

    def multicast(self, payload: bytes, now: int) -> None:
        """Sends to all other nodes, MULTICAST_MAX bytes at most: each hears it once or not at all, in any order.

        It goes in the lowest version that this node speaks, since nobody knows who listens. ValueError for a longer payload.
        """
        if len(payload) > MULTICAST_MAX:
            raise ValueError(f"{len(payload)} bytes are more than {MULTICAST_MAX}")
        self.told.append((now, self.keyring.sequence + 1))
        if len(self.told) > TOLD_MAX:
            self.told.popleft()
        self.tell(GROUP, PacketKind.GROUP, payload, self.versions[0])

    def hold(self, node: int, stream: int, now: int) -> None:
        """The owner takes no more messages of a stream from a node, in this session and later ones: none comes until `release`,
        not even what is in the inbox already.
        """
        peer = self.peer(node)
        if stream in peer.held:
            return
        held = peer.held[stream] = deque()
        for event in [event for event in self.inbox if isinstance(event, Delivered) and event[:2] == (node, stream)]:
            self.inbox.remove(event)
            held.append(event.payload)
        self._say(peer, ChunkKind.FULL, stream, now)

    def release(self, node: int, stream: int, now: int) -> None:
        """The owner takes messages of a held stream again."""
        peer = self.peers.get(node)
        if peer is None or stream not in peer.held:
            return
        self.inbox.extend(Delivered(node, stream, payload) for payload in peer.held.pop(stream))
        self._say(peer, ChunkKind.ROOM, stream, now)

    def _say(self, peer: Peer, kind: ChunkKind, stream: int, now: int) -> None:
        """Tells a peer about a stream of its; a peer without session hears it when one begins."""
        if peer.session() is not None and peer.conversation is not None:
            peer.conversation.sender.controls.append((kind, stream))
        self._settle(peer, now)

    def give_up(self, node: int, now: int) -> None:
        """The owner knows that a node is dead: what is under way to it comes back with PeerLost."""
        peer = self.peers.get(node)
        if peer is not None and peer.conversation is not None:
            self.lose(peer, Loss.GIVEN_UP)
            self._settle(peer, now)

    def next_event(self) -> TransportEvent | None:
        """Takes the next event out of the inbox."""
        return self.inbox.popleft() if self.inbox else None

    def next_timer(self) -> int | None:
        """When `tick` is wanted next."""
        return min(self.timers.values(), default=None)

    def tick(self, now: int) -> None:
        """Does what is due. The first call, at the node's start, also says from when on it hears multicasts."""
        self.age(now)
        if self.timers.get(GROUP, now + 1) <= now:
            del self.timers[GROUP]
            self.keyring.secret = self.randomness.take(KEY_SIZE)
        for node in [node for node, due in self.timers.items() if due <= now]:
            peer = self.peers[node]
            self.handshake_due(peer, now)
            if peer.session() is not None and peer.conversation is not None and not peer.conversation.sender.tick(now):
                self.lose(peer, Loss.SILENT)
            self._settle(peer, now)

    def frame_arrived(self, frame: bytes, now: int) -> None:
        """Takes a frame, whoever sent it; what is no packet of a member for us, or an old one, is counted in `dropped`."""
        self.age(now)
        try:
            packet = decode(frame, self.node)
        except PacketError:
            self.dropped[Drop.FOREIGN] += 1
            return
        try:
            peer = self._packet_arrived(packet, now)
        except Refused:
            self.dropped[Drop.REFUSED] += 1
        except PacketError:
            self.dropped[Drop.MALFORMED] += 1
        else:
            if peer is not None:
                self._settle(peer, now)

    def _packet_arrived(self, packet: Packet, now: int) -> Peer | None:
        """Takes a packet; the peer for which there may be something to do now."""
        kind = packet.kind
        if kind is PacketKind.DATA:
            return self._data(packet, now)
        if kind is PacketKind.GROUP:
            self._group(packet)
            return None
        if kind is PacketKind.HELLO:
            self.hello(packet, now)
            return None
        if kind is PacketKind.WELCOME:
            return self.welcome(packet, now)
        if kind is PacketKind.FINISH:
            return self.finish(packet, now)
        if kind is PacketKind.UNKNOWN:
            return self.unknown(packet, now)
        return self.refused(packet)

    def _data(self, packet: Packet, now: int) -> Peer | None:
        """A packet of a session: of the open one, or of the one that we finished, which it opens."""
        peer = self.peers.get(packet.source)
        opened = None if peer is None else peer.session()
        session = None if peer is None else opened or peer.pending()
        if peer is None or session is None or session.identifier != packet.session:
            self.dropped[Drop.STRANGER] += 1
            self.unknown_session(packet.source, packet.session)
            return None
        text = session.open(packet)
        if opened is None:
            self.open_session(peer, session)
        assert peer.conversation is not None
        try:
            peer.conversation.arrived(packet, text, now)
        except PacketError:
            self._hand_over(peer)
            self.dropped[Drop.MALFORMED] += 1
            self.lose(peer, Loss.MISBEHAVED)
        return peer

    def _group(self, packet: Packet) -> None:
        """A multicast: heard if its sender's incarnation is verified, given out as Unverified otherwise."""
        if not self.versions[0] <= packet.version <= self.versions[1]:
            raise Refused("its version is not ours")
        unverified = Unverified(packet.source, packet.session, packet.sequence, self.keyring.open(packet))
        peer = self.peers.get(packet.source)
        if peer is None or packet.session != peer.incarnation:
            self.inbox.append(unverified)
        elif not self.hear(peer, unverified):
            raise Refused("it was there before")

    def verify(self, unverified: Unverified, now: int) -> None:
        """Begins a handshake with the sender of an unverified multicast, which is heard after it."""
        peer = self.peer(unverified.node)
        if unverified.incarnation == peer.incarnation:
            self.hear(peer, unverified)
            return
        self.ask_who(peer, now)
        if peer.handshake is not None and len(peer.unverified) < UNVERIFIED_MAX:
            peer.unverified.append(unverified)
        else:
            self.dropped[Drop.ROOM] += 1
        self._settle(peer, now)

    def _hand_over(self, peer: Peer) -> None:
        """Gives the owner what a conversation brought."""
        conversation = peer.conversation
        if conversation is None or not (conversation.messages or conversation.writable):
            return
        for stream, payload in conversation.messages:
            if stream in peer.held:
                peer.held[stream].append(payload)
            else:
                self.inbox.append(Delivered(peer.node, stream, payload))
        conversation.messages.clear()
        if conversation.writable:
            self.inbox.extend(StreamWritable(peer.node, stream) for stream in conversation.writable)
            conversation.writable.clear()

    def _settle(self, peer: Peer, now: int) -> None:
        """Sends and hands over what can be, and sets the peer's timer."""
        if peer.conversation is not None:
            self._hand_over(peer)
            for payload in peer.conversation.packets(now):
                self.transmit(peer.node, payload)
        due = peer.due()
        if due is not None:
            self.timers[peer.node] = due
        else:
            self.timers.pop(peer.node, None)
            if peer.is_stranger():
                self.peers.pop(peer.node, None)
