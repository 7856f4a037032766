"""How two nodes come to know each other: hellos, their answers, sessions that begin and end.

    A: HELLO (a nonce; the versions that A speaks)     B keeps nothing of it
    B: WELCOME (A's nonce; B's key; the version)       B is alive and this is its incarnation: A's nonce shows it
    A: FINISH (A's key; shows that A got B's)          A is alive, and so is the session for B
    B: DATA (an acknowledgement)                       the session is open for A

HELLO, WELCOME and FINISH are sealed with the key of their sender's incarnation. Who only wants to know whether a node's
incarnation is alive stops at WELCOME. Where both begin at once, the FINISH of the lower node counts. A FINISH that comes again
finds another generation, and so another key of B. Where the versions have nothing in common, B answers REFUSED. A packet of a
session that a node does not have is answered UNKNOWN, which makes its sender say hello, and nothing else.

A session lasts while both incarnations live and neither takes the other for dead. In another session nothing of the former goes
on: each side gets back what it does not know to be delivered.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from machemu.sim.state import U8, U16, state
from masix.net.ip import GROUP, NODE_MAX, NODE_MIN, NodeNumber
from masix.transport.chunks import ChunkKind
from masix.transport.conversation import Conversation
from masix.transport.events import Drop, Loss, MulticastReceived, PeerLost, PeerUp, Settings, TransportEvent, Unverified
from masix.transport.formats import FINISH, HELLO, REFUSED, UNKNOWN, WELCOME, parse
from masix.transport.packets import Packet, PacketKind, encode
from masix.transport.peers import Handshake, Peer
from masix.transport.session import (
    KEY_SIZE,
    NONCE_SIZE,
    Keyring,
    Randomness,
    Refused,
    ReplayWindow,
    Session,
    Side,
    public_of,
    same,
)

HELLOS_MAX: Final = 4
"""Hellos to a node of which only the incarnation is asked for."""
TOLD_MAX: Final = 64
"""So many of the latest messages to all can be heard by nodes to which this one is new."""


@state
class Membership:
    """The nodes that a node has to do with, and what all have in common."""

    __slots__ = (
        "node", "versions", "settings", "randomness", "keyring", "peers", "outbox", "inbox", "identification", "dropped",
        "born", "told", "timers",
    )  # fmt: skip
    node: NodeNumber  # this one
    versions: tuple[U8, U8]  # the lowest and highest that it speaks
    settings: Settings
    randomness: Randomness
    keyring: Keyring
    born: int | None  # the first time that it was told, None before

    # The others:
    peers: dict[int, Peer]  # by number: members alone, since a seal comes before a record
    timers: dict[int, int]  # when each has something due; GROUP: when the keyring's secret is to be forgotten
    told: deque[tuple[int, int]]  # when the latest multicasts were sent, and their sequence numbers

    # Frames:
    outbox: deque[bytes]  # those to send
    inbox: deque[TransportEvent]  # events for the owner
    identification: U16  # of the last IPv4 packet
    dropped: dict[Drop, int]  # frames thrown away

    def __init__(self, node: int, key: bytes, randomness: Randomness, settings: Settings, versions: tuple[int, int]) -> None:
        self.node = node
        self.versions = versions
        self.settings = settings
        self.randomness = randomness
        self.keyring = Keyring(key, node, randomness)
        self.peers = {}
        self.outbox = deque()
        self.inbox = deque()
        self.identification = 0
        self.dropped = dict.fromkeys(Drop, 0)
        self.born = None
        self.told = deque()
        self.timers = {}

    def check_saved(self) -> None:
        """ValueError where it does not agree with itself."""
        if not NODE_MIN <= self.node <= NODE_MAX or self.keyring.node != self.node or self.node in self.peers:
            raise ValueError("it is of another node")
        if any(number != peer.node or not NODE_MIN <= number <= NODE_MAX for number, peer in self.peers.items()):
            raise ValueError("a peer has another number")
        for peer in self.peers.values():
            for session in (peer.session(), peer.pending()):
                if session is not None and (session.own, session.node) != (self.node, peer.node):
                    raise ValueError("a session is of other nodes")
        if any(node != GROUP and node not in self.peers for node in self.timers):
            raise ValueError("something is due for nobody")
        if not 0 < self.versions[0] <= self.versions[1]:
            raise ValueError("it speaks no version")
        if list(self.dropped) != list(Drop):
            raise ValueError("it does not count what it drops")

    def attach(self) -> None:
        """Makes again what is not saved."""
        self.keyring.attach()
        for peer in self.peers.values():
            for session in (peer.session(), peer.pending()):
                if session is not None:
                    session.attach()

    @property
    def incarnation(self) -> int:
        """Names this incarnation of the node; 64 bits, never 0."""
        return self.keyring.incarnation

    def peer(self, node: int) -> Peer:
        """The record of a node, made if there is none."""
        if node not in self.peers:
            self.peers[node] = Peer(node)
        return self.peers[node]

    def transmit(self, target: int, payload: bytes) -> None:
        """A frame for a node or the group."""
        self.identification = (self.identification + 1) & 0xFFFF
        self.outbox.append(encode(self.node, target, self.identification, payload))

    def tell(self, target: int, kind: PacketKind, text: bytes, version: int | None = None) -> None:
        """Sends a packet outside sessions."""
        self.transmit(target, self.keyring.seal(target, self.versions[1] if version is None else version, kind, text))

    def age(self, now: int) -> int:
        """How long ago this incarnation was first told the time, in nanoseconds."""
        if self.born is None:
            self.born = now
        return max(now - self.born, 0)

    def floor(self, age: int, now: int) -> int:
        """The sequence number of the first multicast since the start of a node that has just said to be so old.

        What it said was under way for a while: its start is taken for later than it was, never for earlier.
        """
        return next((sequence for time, sequence in self.told if time >= now - age), self.keyring.sequence + 1)

    def begin_handshake(self, peer: Peer, now: int) -> None:
        """Says hello, unless that is under way."""
        if peer.handshake is None:
            peer.handshake = Handshake(self.randomness.take(NONCE_SIZE), now)
            self.say_hello(peer, now)

    def begin_conversation(self, peer: Peer, now: int) -> Conversation:
        """Makes what waits for its session: a handshake that only asked who is there goes on in haste."""
        peer.conversation = Conversation(self.settings)
        if peer.handshake is not None:
            peer.handshake.began = now
            peer.handshake.due = min(peer.handshake.due, now + self.settings.timeout_initial)
        return peer.conversation

    def ask_who(self, peer: Peer, now: int) -> None:
        """Says hello only to see who is there; not more often than an unanswered hello is repeated, whatever makes us ask."""
        if peer.asked_at is None or now >= peer.asked_at + self.settings.ask_after:
            peer.asked_at = now
            self.begin_handshake(peer, now)

    def say_hello(self, peer: Peer, now: int) -> None:
        """Sends what the handshake has to say, again or for the first time."""
        handshake = peer.handshake
        assert handshake is not None
        settings = self.settings
        handshake.due = now + (settings.timeout_initial if peer.waits() else settings.ask_after << handshake.tries)
        handshake.tries += 1
        if handshake.pending is not None:
            self.tell(peer.node, PacketKind.FINISH, handshake.finish, handshake.pending.version)
            return
        lowest, highest = self.versions
        self.tell(
            peer.node,
            PacketKind.HELLO,
            HELLO.build({"nonce": handshake.nonce, "lowest": lowest, "highest": highest, "age": self.age(now)}),
        )

    def handshake_due(self, peer: Peer, now: int) -> None:
        """A hello or finish was not answered in time."""
        handshake = peer.handshake
        if handshake is None or handshake.due > now:
            return
        if not peer.waits() and handshake.tries >= HELLOS_MAX:
            peer.handshake = None
            peer.unverified.clear()
        elif peer.waits() and now >= handshake.began + self.settings.dead_after:
            self.lose(peer, Loss.SILENT)
        else:
            self.say_hello(peer, now)

    def hello(self, packet: Packet, now: int) -> None:
        """Answers a hello; nothing is kept of it."""
        hello = parse(HELLO, self.keyring.open(packet))
        lowest, highest = self.versions
        version = min(highest, hello.highest)
        if version < max(lowest, hello.lowest):
            text = REFUSED.build({"nonce": hello.nonce, "lowest": lowest, "highest": highest})
            self.tell(packet.source, PacketKind.REFUSED, text)
            return
        peer = self.peers.get(packet.source)
        session = peer.session() if peer else None
        private = self.keyring.answer(packet.source, packet.session, hello.nonce, peer.generation if peer else 0)
        held = session.identifier if session else 0
        text = WELCOME.build(
            {
                "nonce": hello.nonce,
                "public": public_of(private),
                "version": version,
                "held": held,
                "age": self.age(now),
                "floor": self.floor(hello.age, now),
            }
        )
        self.tell(packet.source, PacketKind.WELCOME, text)

    def _asked(self, packet: Packet, nonce: bytes) -> Peer:
        """The peer whose answer to our hello a packet is. Refused if there is none."""
        peer = self.peers.get(packet.source)
        handshake = None if peer is None else peer.handshake
        if peer is None or handshake is None or handshake.pending is not None or not same(handshake.nonce, nonce):
            raise Refused("it answers no hello of ours")
        return peer

    def welcome(self, packet: Packet, now: int) -> Peer:
        """A peer is up: what we have with it is compared, and a session finished if we have something to say."""
        welcome = parse(WELCOME, self.keyring.open(packet))
        peer = self._asked(packet, welcome.nonce)
        lowest, highest = self.versions
        if not lowest <= welcome.version <= highest:
            raise Refused("it chose a version that was not offered")
        handshake, session = peer.handshake, peer.session()
        if handshake is None or peer.conversation is None or session is not None:
            peer.handshake = None
            self._prove(peer, packet.session, welcome.floor)
            if session is not None and (session.incarnation, session.identifier) != (packet.session, welcome.held):
                self.lose(peer, Loss.REPLACED)
            return peer
        private = self.randomness.take(KEY_SIZE)
        ours = Side(self.node, self.incarnation, public_of(private))
        keys = self.keyring.session_keys(private, ours, Side(peer.node, packet.session, welcome.public), welcome.version)
        self._prove(peer, packet.session, welcome.floor)
        handshake.pending = Session(self.node, peer.node, packet.session, welcome.version, keys, True)
        handshake.tries = 0
        handshake.finish = FINISH.build(
            {
                "nonce": handshake.nonce,
                "public": ours.public,
                "version": welcome.version,
                "incarnation": packet.session,
                "session": keys.identifier,
                "proof": keys.proof,
                "floor": self.floor(welcome.age, now),
            }
        )
        self.say_hello(peer, now)
        return peer

    def refused(self, packet: Packet) -> Peer:
        """A peer is up that has no version in common with us."""
        peer = self._asked(packet, parse(REFUSED, self.keyring.open(packet)).nonce)
        if peer.conversation is not None:
            self.lose(peer, Loss.VERSION)
        peer.unverified.clear()
        peer.handshake = None
        return peer

    def finish(self, packet: Packet, now: int) -> Peer:
        """A peer opens a session, unless it is an old one or ours counts."""
        finish = parse(FINISH, self.keyring.open(packet))
        peer = self.peers.get(packet.source) or Peer(packet.source)
        session = peer.session()
        if session is not None and session.identifier == finish.session:
            self._confirm(peer, now)
            return peer
        private = self.keyring.answer(peer.node, packet.session, finish.nonce, peer.generation)
        theirs = Side(peer.node, packet.session, finish.public)
        keys = self.keyring.session_keys(private, theirs, Side(self.node, self.incarnation, public_of(private)), finish.version)
        lowest, highest = self.versions
        wanted = finish.incarnation == self.incarnation and lowest <= finish.version <= highest
        if not wanted or keys.identifier != finish.session or not same(keys.proof, finish.proof):
            self.unknown_session(packet.source, finish.session)
            raise Refused("it finishes what is not begun")
        if peer.pending() is not None and self.node < peer.node:
            return peer
        self.peers[peer.node] = peer
        self._prove(peer, packet.session, finish.floor)
        if session is not None:
            self.lose(peer, Loss.REPLACED)
        self.open_session(peer, Session(self.node, peer.node, packet.session, finish.version, keys, False))
        self.timers.setdefault(GROUP, now + self.settings.forget_after)
        self._confirm(peer, now)
        return peer

    def _confirm(self, peer: Peer, now: int) -> None:
        """The peer is to hear that its session is open."""
        assert peer.conversation is not None
        peer.conversation.receiver.acknowledge_at = now

    def unknown_session(self, node: int, identifier: int) -> None:
        """Answers a packet of a session that is not open here."""
        self.tell(node, PacketKind.UNKNOWN, UNKNOWN.build({"session": identifier}))

    def unknown(self, packet: Packet, now: int) -> Peer:
        """A peer says that it has no such session: perhaps it is another incarnation, perhaps it is an old packet."""
        identifier = parse(UNKNOWN, self.keyring.open(packet)).session
        peer = self.peers.get(packet.source)
        if peer is None:
            raise Refused("it is none of our sessions")
        session, pending = peer.session(), peer.pending()
        if session is not None and session.identifier == identifier:
            self.ask_who(peer, now)
        elif peer.handshake is not None and pending is not None and pending.identifier == identifier:
            peer.handshake = Handshake(self.randomness.take(NONCE_SIZE), peer.handshake.began)
            self.say_hello(peer, now)
        else:
            raise Refused("it is none of our sessions")
        return peer

    def open_session(self, peer: Peer, session: Session) -> None:
        """A session begins, with what waited for it."""
        conversation = peer.conversation = peer.conversation or Conversation(self.settings)
        conversation.session = session
        conversation.sender.controls.extend((ChunkKind.FULL, stream) for stream in peer.held)
        peer.handshake = None
        peer.unverified.clear()
        peer.generation += 1
        self.inbox.append(PeerUp(peer.node, session.incarnation))

    def _prove(self, peer: Peer, incarnation: int, floor: int) -> None:
        """An incarnation is verified: what it multicast before that, since this node's start, is heard now."""
        if peer.incarnation != incarnation:
            peer.generation += 1 if peer.incarnation else 0
            peer.incarnation = incarnation
            peer.window = ReplayWindow(floor)
        waiting, peer.unverified = peer.unverified, []
        for unverified in waiting:
            if unverified.incarnation == incarnation:
                self.hear(peer, unverified)

    def hear(self, peer: Peer, unverified: Unverified) -> bool:
        """Hands over a multicast of a verified incarnation; whether it is new."""
        is_new = peer.window.is_new(unverified.sequence)
        if is_new:
            peer.window.add(unverified.sequence)
            self.inbox.append(MulticastReceived(peer.node, unverified.payload))
        return is_new

    def lose(self, peer: Peer, reason: Loss) -> None:
        """A conversation ends, and its owner hears what is lost with it."""
        conversation = peer.conversation
        assert conversation is not None
        session = conversation.session
        if session is None:
            peer.handshake = None
            peer.unverified.clear()
        peer.conversation = None
        incarnation = None if session is None else session.incarnation
        self.inbox.append(PeerLost(peer.node, incarnation, reason, conversation.sender.unfinished()))
