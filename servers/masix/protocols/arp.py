"""Address resolution: which station has an IPv4 address. A library without input or output, driven by its owner.

Sources: RFC 826; RFC 1122, 2.3.2 (questions are asked once a second at most, and what is known grows old).
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final, NamedTuple

from machemu.sim.state import U32, state
from masix.net.frames import is_station
from masix.net.ip import ETHER, ETHERTYPE_IPV4, IpAddress, StationAddress

ETHERTYPE_ARP: Final = 0x0806
PACKET: Final = struct.Struct(">HHBBH6s4s6s4s")
KIND: Final = (1, ETHERTYPE_IPV4, 6, 4)
"""Ethernet, IPv4, and their addresses' lengths."""
REQUEST, REPLY = 1, 2
ALL: Final = b"\xff" * 6
NOBODY: Final = bytes(6)
SECOND: Final = 1_000_000_000
AGAIN_NS: Final = SECOND
TRIES: Final = 3
KEPT_NS: Final = 60 * SECOND
KNOWN_MAX: Final = 256
ASKED_MAX: Final = 64
ASKED_OF_ONE: Final = 16
"""Addresses that are asked for at once, and for one client."""


@state
class Known(NamedTuple):
    """until: a time in nanoseconds, after which the answer is no longer believed."""

    station: StationAddress
    until: int


@state
class Question:
    """time: when it is asked again; tries: how often yet; client: for whom, as the owner numbers them."""

    __slots__ = ("client", "time", "tries")
    client: U32
    time: int
    tries: int

    def __init__(self, time: int, client: int) -> None:
        self.client = client
        self.time = time
        self.tries = TRIES


@state
class Arp:
    """Which station has which address."""

    __slots__ = ("answers", "asked", "dropped", "ip", "known", "outbox", "station")
    ip: IpAddress  # this node's own, as is the next
    station: StationAddress
    known: dict[IpAddress, Known]
    asked: dict[IpAddress, Question]
    # Addresses that were asked for, each with its station, or None where nobody has it:
    answers: deque[tuple[IpAddress, StationAddress | None]]
    outbox: deque[bytes]  # frames to be sent
    dropped: int  # frames that made no sense

    def __init__(self, ip: bytes, station: bytes) -> None:
        self.ip = ip
        self.station = station
        self.known = {}
        self.asked = {}
        self.outbox = deque()
        self.answers = deque()
        self.dropped = 0

    def look_up(self, ip: bytes, now: int, client: int = 0) -> bytes | None:
        """The station that has an address, if it is known; otherwise the answer comes into `answers`. client: for whom."""
        known = self.known.get(ip)
        if known is not None and now < known.until:
            return known.station
        if ip not in self.asked:
            of_one = sum(question.client == client for question in self.asked.values())
            if len(self.asked) >= ASKED_MAX or of_one >= ASKED_OF_ONE or ip == self.ip or not is_station(ip):
                self.answers.append((ip, None))
            else:
                self.asked[ip] = Question(now, client)
                self.tick(now)
        return None

    def tick(self, now: int) -> None:
        for ip, question in list(self.asked.items()):
            if question.time > now:
                continue
            if question.tries:
                question.tries -= 1
                question.time = now + AGAIN_NS
                self._say(REQUEST, ALL, NOBODY, ip)
            else:
                del self.asked[ip]
                self.answers.append((ip, None))

    def next_timer(self) -> int | None:
        return min((question.time for question in self.asked.values()), default=None)

    def frame_arrived(self, frame: bytes, now: int) -> None:
        """A frame of this protocol's type, from anybody."""
        if len(frame) < ETHER.size + PACKET.size:
            self.dropped += 1
            return
        *kind, operation, sender, sender_ip, target, target_ip = PACKET.unpack_from(frame, ETHER.size)
        nobody = sender[0] & 1 or sender in (NOBODY, self.station) or sender_ip == self.ip or not is_station(sender_ip)
        if tuple(kind) != KIND or operation not in (REQUEST, REPLY) or nobody:
            self.dropped += 1
            return
        mine = target_ip == self.ip and (operation == REQUEST or target == self.station)
        if sender_ip in self.known or sender_ip in self.asked or mine:
            self._learn(sender_ip, sender, now)
        if mine and operation == REQUEST:
            self._say(REPLY, sender, sender, sender_ip)

    def _learn(self, ip: bytes, station: bytes, now: int) -> None:
        self.known.pop(ip, None)
        if len(self.known) >= KNOWN_MAX:
            del self.known[next(iter(self.known))]
        self.known[ip] = Known(station, now + KEPT_NS)
        if self.asked.pop(ip, None) is not None:
            self.answers.append((ip, station))

    def _say(self, operation: int, to: bytes, target: bytes, target_ip: bytes) -> None:
        packet = PACKET.pack(*KIND, operation, self.station, self.ip, target, target_ip)
        self.outbox.append(to + self.station + ETHERTYPE_ARP.to_bytes(2, "big") + packet)
