"""A segment on which anything happens to frames, nodes that come and go, and what must hold of what they say to each other."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import defaultdict
from dataclasses import dataclass, field

from machemu.device.fragments import Joiner, cut, is_fragment
from machemu.sim.graph import Reader, Writer
from masix.net.ip import MTU
from masix.transport.entropy import Entropy
from masix.transport.events import (
    MILLISECOND,
    SECOND,
    Delivered,
    Loss,
    MulticastReceived,
    PeerLost,
    PeerUp,
    Settings,
    StreamWritable,
    Unverified,
)
from masix.transport.transport import VERSIONS, Transport

KEY = bytes(range(32))
PATIENT = Settings(timeout_initial=200 * MILLISECOND, timeout_most=2 * SECOND, dead_after=60 * SECOND)
"""So that 20 % loss does not make a living node look dead."""
FOREVER = 100_000 * SECOND


@dataclass
class Faults:
    """Chances, and the longest delay in nanoseconds; shortest: the least."""

    loss: float = 0.0
    duplication: float = 0.0
    shortest: int = 50_000
    longest: int = 50_000


@dataclass
class Life:
    """From a node's start to its crash. sent: (node, stream, payload) of each message, and target_lives, in which life of its
    target: what a life has taken dies with it. told: of each multicast. lost: given back.
    """

    transport: Transport
    joiner: Joiner = field(default_factory=Joiner)  # its interface's
    sent: list[tuple[int, int, bytes]] = field(default_factory=list)
    target_lives: dict[tuple[int, int, bytes], int] = field(default_factory=dict)
    told: list[bytes] = field(default_factory=list)
    lost: list[tuple[int, int, bytes]] = field(default_factory=list)
    got: list[Delivered] = field(default_factory=list)
    heard: list[MulticastReceived] = field(default_factory=list)
    ups: list[PeerUp] = field(default_factory=list)
    losses: list[PeerLost] = field(default_factory=list)
    writable: list[StreamWritable] = field(default_factory=list)
    up: dict[int, int] = field(default_factory=dict)


class Network:
    """Nodes 1 to `count`. frames: all that were ever sent, long ones uncut. cut: pairs that do not hear each other."""

    def __init__(self, count: int, seed: int, faults: Faults | None = None, settings: Settings = PATIENT) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.faults = faults or Faults()
        self.settings = settings
        self.now = 0
        self.frames: list[bytes] = []
        self.cut: set[frozenset[int]] = set()
        self.under_way: list[tuple[int, int, int, bytes]] = []
        self.sequence = 0
        self.lives: dict[int, list[Life]] = defaultdict(list)
        for node in range(1, count + 1):
            self.start(node)
        self.now = SECOND

    def start(self, node: int, versions: tuple[int, int] = VERSIONS, key: bytes = KEY) -> None:
        """A new life of a node; the former one ends."""
        source = Entropy(f"{self.seed} {node} {len(self.lives[node])}".encode())
        self.lives[node].append(Life(Transport(node, key, source, self.settings, versions)))
        self.node(node).tick(self.now)

    def life(self, node: int) -> Life:
        return self.lives[node][-1]

    def node(self, node: int) -> Transport:
        return self.life(node).transport

    def send(self, source: int, target: int, stream: int, size: int = 0) -> bytes:
        """Sends a message that is like no other; `size` bytes are added to its name."""
        life = self.life(source)
        name = hashlib.sha256(f"{source} {len(self.lives[source])} {len(life.sent)}".encode()).digest()
        payload = name + bytes(size)
        life.sent.append((target, stream, payload))
        life.target_lives[target, stream, payload] = len(self.lives.get(target, ()))
        life.transport.send(target, stream, payload, self.now)
        self.collect(source)
        return payload

    def multicast(self, source: int) -> bytes:
        life = self.life(source)
        payload = hashlib.sha256(f"all {source} {len(self.lives[source])} {len(life.told)}".encode()).digest()
        life.told.append(payload)
        life.transport.multicast(payload, self.now)
        self.collect(source)
        return payload

    def reload(self, node: int) -> None:
        """Saves a node and goes on with what is loaded."""
        life = self.life(node)
        saved = Writer().encode(life.transport)
        loaded = Reader(saved).decode()
        assert isinstance(loaded, Transport)
        assert Writer().encode(loaded) == saved
        loaded.attach()
        life.transport = loaded

    def collect(self, node: int) -> None:
        """Puts a node's frames on the wire and takes its events."""
        life = self.life(node)
        while life.transport.outbox:
            frame = life.transport.outbox.popleft()
            self.frames.append(frame)
            for piece in [frame] if len(frame) <= MTU + 14 else cut(frame) or []:
                self.spread(node, piece)
        while (event := life.transport.next_event()) is not None:
            if isinstance(event, Unverified):
                life.transport.verify(event, self.now)
                self.collect(node)
            else:
                self.note(life, event)

    def note(self, life: Life, event: object) -> None:
        if isinstance(event, Delivered):
            life.got.append(event)
        elif isinstance(event, MulticastReceived):
            life.heard.append(event)
        elif isinstance(event, PeerUp):
            assert event.node not in life.up, "a peer comes up twice"
            life.up[event.node] = event.incarnation
            life.ups.append(event)
        elif isinstance(event, PeerLost):
            assert life.up.pop(event.node, None) == event.incarnation, "another peer is lost than was there"
            life.losses.append(event)
            life.lost += [(event.node, stream, payload) for stream, payload in event.messages]
        else:
            assert isinstance(event, StreamWritable)
            life.writable.append(event)

    def spread(self, source: int, frame: bytes) -> None:
        """Each other node hears a frame, or not, or twice, now or later."""
        for target in self.lives:
            if target == source or frozenset((source, target)) in self.cut or self.random.random() < self.faults.loss:
                continue
            for _ in range(2 if self.random.random() < self.faults.duplication else 1):
                self.inject(target, frame, self.random.randint(self.faults.shortest, self.faults.longest))

    def inject(self, target: int, frame: bytes, delay: int = 0) -> None:
        """A frame arrives at a node, whoever sent it."""
        self.sequence += 1
        heapq.heappush(self.under_way, (self.now + delay, self.sequence, target, frame))

    def step(self, until: int) -> bool:
        """The next thing that happens, if one does before `until`."""
        times = [self.under_way[0][0]] if self.under_way else []
        for node in self.lives:
            timer = self.node(node).next_timer()
            if timer is not None:
                times.append(max(timer, self.now))
        if not times or min(times) > until:
            return False
        self.now = min(times)
        if self.under_way and self.under_way[0][0] <= self.now:
            _, _, target, frame = heapq.heappop(self.under_way)
            whole = self.life(target).joiner.add(frame) if is_fragment(frame) else frame
            if whole is not None:
                self.node(target).frame_arrived(whole, self.now)
                self.collect(target)
            return True
        for node in self.lives:
            timer = self.node(node).next_timer()
            if timer is not None and timer <= self.now:
                self.node(node).tick(self.now)
                self.collect(node)
                after = self.node(node).next_timer()
                assert after is None or after > self.now, "a timer stands still"
        return True

    def run(self, duration: int = FOREVER) -> None:
        """Lets time pass; without a duration, until nothing is to happen any more."""
        until = self.now + duration
        while self.step(until):
            pass
        if duration != FOREVER:
            self.now = until

    def check(self, faithful: bool) -> None:
        """What must hold when all is quiet. faithful: no node crashed or seemed to, so that nothing may be lost."""
        everything = [(source, life) for source, lives in self.lives.items() for life in lives]
        receivers = [(node, life) for node, lives in self.lives.items() for life in lives]
        arrived: dict[int, dict[tuple[int, int, bytes], int]] = defaultdict(dict)
        for node, life in receivers:
            for event in life.got:
                name = node, event.stream, event.payload
                assert name not in arrived[event.node], "a message is delivered twice"
                arrived[event.node][name] = len(arrived[event.node])
        for source, lives in self.lives.items():
            assert arrived[source].keys() <= {message for life in lives for message in life.sent}, "nobody sent this"
        for source, life in everything:
            places: dict[tuple[int, int], int] = defaultdict(lambda: -1)
            for message in life.sent:
                place = arrived[source].get(message)
                if place is not None:
                    assert place > places[message[:2]], "a stream is out of order"
                    places[message[:2]] = place
                elif life is self.life(source) and life.target_lives[message] == len(self.lives[message[0]]):
                    assert message in life.lost, "a message is neither delivered nor given back"
            assert len(life.lost) == len(set(life.lost)) and set(life.lost) <= set(life.sent)
            if faithful:
                assert not life.losses and set(life.sent) <= arrived[source].keys()
        self.check_multicasts()
        for node in self.lives:
            self.check_quiet(node)

    def check_multicasts(self) -> None:
        for _, lives in self.lives.items():
            heard = [event for life in lives for event in life.heard]
            assert len(heard) == len(set(heard)), "a multicast is heard twice"
            assert all(event.payload in [text for life in self.lives[event.node] for text in life.told] for event in heard)

    def check_quiet(self, node: int) -> None:
        """Nothing is left of what is over."""
        transport = self.node(node)
        assert transport.next_timer() is None and not transport.outbox
        for peer in transport.peers.values():
            assert peer.handshake is None and not peer.unverified and not peer.held
            if peer.conversation is not None:
                assert peer.conversation.session is not None
                sender, receiver = peer.conversation.sender, peer.conversation.receiver
                assert not (sender.unacked or sender.flight or sender.lost or sender.controls or sender.in_flight)
                assert not (sender.ready or sender.blocked or sender.unfinished())
                if self.agree(node, peer.node):
                    assert not sender.streams
                    assert not (receiver.above or receiver.early or receiver.partial)
                    assert receiver.acknowledge_at is None

    def agree(self, node: int, other: int) -> bool:
        """Whether two nodes have the same session."""
        peers = self.node(node).peers.get(other), self.node(other).peers.get(node)
        sessions = [peer.session() for peer in peers if peer is not None]
        return len(sessions) == 2 and all(sessions) and len({session.identifier for session in sessions if session}) == 1


__all__ = ["FOREVER", "KEY", "MILLISECOND", "PATIENT", "SECOND", "Faults", "Loss", "Network"]
