"""The sending half of a session: messages become fragments, sent as fast as the network and the receiver take them, until
acknowledged.

Each transmission of a fragment has the sequence number of its packet, and an acknowledgement names the latest packet that came:
it is never in doubt which transmission is answered. A fragment is taken for lost when REORDERED later packets came before it, or
when nothing at all was answered in time.

Sources: RFC 6298 (time-outs, after Jacobson and Karels), RFC 5681 (congestion), RFC 9002 (loss by packet numbers).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from machemu.sim.state import U32, state
from masix.transport.chunks import FRAGMENT, FRAGMENT_MAX, NUMBERS_MAX, AcknowledgementChunk, ChunkKind
from masix.transport.events import MICROSECOND, Lost, Settings
from masix.transport.packets import BULK_MAX, PLAIN_MAX, PacketError

REORDERED: Final = 3
TRIPS: Final = 8
"""Round trips that are remembered; the longest one counts for nothing."""
MESSAGE_COST: Final = 64
"""What a message counts in its stream's backlog beside its bytes."""
WINDOW_INITIAL: Final = 10 * PLAIN_MAX
WINDOW_LEAST: Final = 2 * PLAIN_MAX
WINDOW_MOST: Final = 256 << 10
PACKETS_LEAST: Final = 4
"""Packets that a window is enough for: from later ones it is known that one is lost."""


@state
class Message:
    """payload. cut: bytes in fragments already. whole: the last fragment is cut. pending: fragments not acknowledged."""

    __slots__ = ("payload", "cut", "whole", "pending")
    payload: bytes
    cut: int
    whole: bool
    pending: int

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.cut = 0
        self.whole = False
        self.pending = 0


@state
class OutStream:
    """A stream's messages."""

    __slots__ = ("stream", "messages", "uncut", "backlog", "full", "owed", "last")
    stream: U32  # its number
    messages: deque[Message]  # not known to be delivered, the oldest first
    uncut: deque[Message]  # those of which a part waits to be sent
    backlog: int  # the messages' cost
    full: bool  # the receiver can take no more
    owed: bool  # the owner waits until the stream is writable
    last: int  # its last fragment's number

    def check_messages(self, cut: Iterable[Message]) -> None:
        """ValueError where its messages are not as they must be. cut: those of its unacknowledged fragments."""
        pending = Counter(map(id, cut))
        messages = list(self.messages)
        if any(each.cut > len(each.payload) or each.pending != pending.pop(id(each), 0) for each in messages) or pending:
            raise ValueError("a message has other fragments than those that are unacknowledged")
        if list(map(id, self.uncut)) != [id(each) for each in messages if not each.whole]:
            raise ValueError("messages that are not whole do not wait")
        if self.backlog != sum(len(each.payload) + MESSAGE_COST for each in messages):
            raise ValueError("a stream's backlog is counted wrongly")

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.messages = deque()
        self.uncut = deque()
        self.backlog = 0
        self.full = False
        self.owed = False
        self.last = 0


@state
class Fragment:
    """A part of a message, or a word about a stream."""

    __slots__ = ("number", "kind", "back", "stream", "message", "start", "end", "packet", "sent")
    number: int
    kind: ChunkKind
    back: U32  # the number of the one before in its stream
    stream: U32
    message: Message | None  # None for what is no part of one
    start: int  # the message's bytes begin here
    end: int  # and end here

    # Its last transmission:
    packet: int
    sent: int

    def __init__(
        self, number: int, kind: ChunkKind, back: int, stream: int, message: Message | None, start: int, end: int
    ) -> None:
        self.number = number
        self.kind = kind
        self.back = back
        self.stream = stream
        self.message = message
        self.start = start
        self.end = end
        self.packet = 0
        self.sent = 0

    def size(self) -> int:
        return FRAGMENT.size + self.end - self.start

    def data(self) -> bytes:
        data = b"" if self.message is None else self.message.payload[self.start : self.end]
        return FRAGMENT.pack(self.kind, self.number, self.back, self.stream, len(data)) + data


@state
class Sender:
    """What one side of a conversation sends: streams cut into fragments, sent again until acknowledged, within a window."""

    __slots__ = (
        "settings", "streams", "ready", "blocked", "controls", "control_last", "next_number", "unacked", "flight", "lost",
        "in_flight", "latest", "packets", "measured", "window", "threshold", "recovery", "srtt", "variance", "trips", "backoff",
        "progress", "probe_at",
    )  # fmt: skip
    settings: Settings

    # Streams:
    streams: dict[U32, OutStream]  # those that have something unacknowledged or are full
    ready: dict[int, OutStream]  # those with something to cut, in turn
    blocked: dict[int, OutStream]  # those that only the receiver's lack of room holds up
    controls: deque[tuple[ChunkKind, U32]]  # what else is to be said, as (kind, stream)
    control_last: int  # the last one's number

    # Fragments, by number:
    next_number: int  # the next one's
    unacked: dict[int, Fragment]
    flight: dict[int, Fragment]  # those of them that may still arrive, by last transmission
    lost: dict[int, Fragment]  # the others, to be sent again
    in_flight: int  # bytes of `flight`
    latest: int  # the latest packet that the peer named
    packets: dict[int, int]  # when those after it were sent, in their order
    measured: int  # the last packet that was sent when a round trip was last measured

    # The window:
    window: int  # the congestion window, bytes
    threshold: int  # the slow start threshold, bytes
    recovery: int  # losses up to this packet are answered

    # Time, in nanoseconds:
    srtt: int  # the round trip, smoothed; 0 before the first
    variance: int  # the round trip's
    trips: list[int]  # the last ones
    backoff: int  # how often the time-out is doubled
    progress: int  # when something was last acknowledged or began to wait
    probe_at: int | None  # when to ask a peer that has only full streams

    def check_saved(self) -> None:
        """ValueError where its books do not agree."""
        if any(number != each.number or not 0 < number < self.next_number for number, each in self.unacked.items()):
            raise ValueError("unacknowledged fragments have other numbers")
        if list(self.unacked) != sorted(self.unacked) or {*self.flight, *self.lost} != {*self.unacked}:
            raise ValueError("unacknowledged fragments are neither under way nor lost")
        if any(self.unacked[number] is not each for part in (self.flight, self.lost) for number, each in part.items()):
            raise ValueError("a fragment is there twice")
        if len(self.flight) + len(self.lost) != len(self.unacked) or self.in_flight != sum(
            map(Fragment.size, self.flight.values())
        ):
            raise ValueError("what is under way is counted wrongly")
        if list(self.packets) != sorted(self.packets):
            raise ValueError("its packets are out of order")
        lasts = [self.control_last, *(out.last for out in self.streams.values())]
        if any(last >= self.next_number for last in lasts) or any(part.back >= part.number for part in self.unacked.values()):
            raise ValueError("a fragment is chained to none")
        if not WINDOW_LEAST <= self.window <= WINDOW_MOST:
            raise ValueError("its window cannot be")
        self._check_streams()

    def _check_streams(self) -> None:
        if any(stream != out.stream for stream, out in self.streams.items()):
            raise ValueError("a stream has another number")
        if any(self.streams.get(stream) is not out for part in (self.ready, self.blocked) for stream, out in part.items()):
            raise ValueError("a stream that waits is not known")
        if any((stream in self.ready) + (stream in self.blocked) != bool(out.uncut) for stream, out in self.streams.items()):
            raise ValueError("a stream with something to send does not wait")
        parts = [fragment for fragment in self.unacked.values() if fragment.message is not None]
        if any(part.stream not in self.streams or not part.start <= part.end <= part.start + FRAGMENT_MAX for part in parts):
            raise ValueError("a fragment is of no stream, or too long")
        for out in self.streams.values():
            out.check_messages([part.message for part in parts if part.stream == out.stream and part.message is not None])

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.streams = {}
        self.ready = {}
        self.blocked = {}
        self.controls = deque()
        self.control_last = 0
        self.next_number = 1
        self.unacked = {}
        self.flight = {}
        self.lost = {}
        self.in_flight = 0
        self.latest = 0
        self.packets = {}
        self.measured = 0
        self.window = WINDOW_INITIAL
        self.threshold = WINDOW_MOST
        self.recovery = 0
        self.srtt = 0
        self.variance = 0
        self.trips = []
        self.backoff = 0
        self.progress = 0
        self.probe_at = None

    def add(self, stream: int, payload: bytes) -> bool:
        """Takes a message; whether the stream can take more now."""
        out = self._stream(stream)
        message = Message(payload)
        out.messages.append(message)
        out.uncut.append(message)
        out.backlog += len(payload) + MESSAGE_COST
        (self.blocked if out.full else self.ready)[stream] = out
        out.owed = out.owed or out.backlog > self.settings.backlog_max
        return not out.owed

    def unfinished(self) -> tuple[Lost, ...]:
        """The messages that are not known to be delivered."""
        return tuple(Lost(out.stream, message.payload) for out in self.streams.values() for message in out.messages)

    def set_full(self, stream: int, full: bool) -> None:
        """The receiver says whether it can take more of a stream."""
        out = self._stream(stream)
        out.full = full
        for queue in (self.ready, self.blocked):
            queue.pop(stream, None)
        if out.uncut:
            (self.blocked if full else self.ready)[stream] = out
        self._forget(out)

    def _stream(self, stream: int) -> OutStream:
        out = self.streams.get(stream)
        if out is None:
            out = self.streams[stream] = OutStream(stream)
        return out

    def _forget(self, out: OutStream) -> None:
        """All fragments of a stream without messages came, each after those before it: nothing of it needs to be known."""
        if not out.messages and not out.full:
            self.streams.pop(out.stream, None)

    def room(self) -> int:
        """Bytes of a packet at most. One of several frames is lost with any of them: so its part of the window is small."""
        return max(PLAIN_MAX, min(self.window // PACKETS_LEAST, BULK_MAX))

    def fill(self, room: int, packet: int, now: int) -> list[bytes]:
        """Chunks for the packet with this sequence number, of `room` bytes at most: what was lost first, then what is new."""
        parts: list[bytes] = []
        if self._saves_up():
            return parts
        while self.lost or self.controls or self.ready:
            fragment = next(iter(self.lost.values()), None) or self._cut(room)
            if fragment is None or (size := fragment.size()) > room:
                return parts
            if self.in_flight and self.in_flight + size > self.window:
                return parts
            if not self.unacked:
                self.progress = now
            if not self.lost.pop(fragment.number, None):
                self._commit(fragment)
            fragment.packet, fragment.sent = packet, now
            self.packets[packet] = now
            self.flight[fragment.number] = fragment
            self.in_flight += size
            room -= size
            parts.append(fragment.data())
        return parts

    def _saves_up(self) -> bool:
        """Whether what is new waits until the window has room for a large packet: else one small packet brings on the next."""
        if self.lost or self.controls or not self.ready or not self.in_flight:
            return False
        free = self.window - self.in_flight
        message = next(iter(self.ready.values())).uncut[0]
        return free < min(self.room(), len(message.payload) - message.cut)

    def _cut(self, room: int) -> Fragment | None:
        """The next new fragment, of which `_commit` makes what it is; None if there is none or no room."""
        if self.next_number > (next(iter(self.unacked), self.next_number)) + NUMBERS_MAX - 1:
            return None
        if self.controls:
            kind, stream = self.controls[0]
            return Fragment(self.next_number, kind, self._back(self.control_last), stream, None, 0, 0)
        out = next(iter(self.ready.values()), None)
        if out is None:
            return None
        message = out.uncut[0]
        end = min(len(message.payload), message.cut + FRAGMENT_MAX)
        if FRAGMENT.size + end - message.cut > room:
            return None
        kind = ChunkKind.LAST if end == len(message.payload) else ChunkKind.FRAGMENT
        return Fragment(self.next_number, kind, self._back(out.last), out.stream, message, message.cut, end)

    def _back(self, last: int) -> int:
        """How far back a chain's last fragment is; 0 where it and all before it have come."""
        return self.next_number - last if last >= next(iter(self.unacked), self.next_number) else 0

    def _commit(self, fragment: Fragment) -> None:
        """A new fragment is about to be sent; the streams take turns."""
        self.next_number += 1
        self.unacked[fragment.number] = fragment
        message = fragment.message
        if message is None:
            self.controls.popleft()
            self.control_last = fragment.number
            return
        out = self.ready.pop(fragment.stream)
        out.last = fragment.number
        message.cut = fragment.end
        message.pending += 1
        if fragment.kind is ChunkKind.LAST:
            message.whole = True
            out.uncut.popleft()
        if out.uncut:
            self.ready[out.stream] = out

    def acknowledged(self, chunk: AcknowledgementChunk, now: int) -> list[int]:
        """Takes an acknowledgement; the streams that are writable again. PacketError for one of what was never sent."""
        if max(chunk.all_up_to, chunk.ranges[-1][1] if chunk.ranges else 0) >= self.next_number:
            raise PacketError("a fragment is acknowledged that was not sent")
        came = []
        for number in self.unacked:
            if number > chunk.all_up_to:
                break
            came.append(number)
        for first, last in chunk.ranges:
            came += [number for number in range(first, last + 1) if number in self.unacked]
        self._named(chunk, now)
        writable = self._arrived(came, now) if came else []
        self._find_lost()
        return writable

    def _named(self, chunk: AcknowledgementChunk, now: int) -> None:
        """The peer names the latest packet that came: how long that took there and back is known, and measured once a trip."""
        sent = self.packets.get(chunk.latest)
        if sent is None:
            return
        if chunk.latest > self.measured:
            self.measured = next(reversed(self.packets))
            self._measured(max(now - sent - chunk.delay * MICROSECOND, 0))
        while self.packets and (first := next(iter(self.packets))) <= chunk.latest:
            del self.packets[first]
        self.latest = chunk.latest

    def _arrived(self, came: Iterable[int], now: int) -> list[int]:
        """Removes what came, and learns from it how the network is."""
        limited = 2 * self.in_flight >= self.window
        writable = []
        size = 0
        for number in came:
            fragment = self.unacked.pop(number)
            bytes_ = fragment.size()
            if self.flight.pop(number, None):
                self.in_flight -= bytes_
            else:
                del self.lost[number]
            size += bytes_
            if fragment.message is not None and self._delivered(fragment.message, fragment.stream):
                writable.append(fragment.stream)
        self.progress = now
        if limited:
            grown = size if self.window < self.threshold else PLAIN_MAX * size // self.window
            self.window = min(self.window + grown, WINDOW_MOST)
        return writable

    def _delivered(self, message: Message, stream: int) -> bool:
        """A fragment of a message came. Whether the owner is to hear that the stream is writable."""
        message.pending -= 1
        out = self.streams[stream]
        while out.messages and out.messages[0].whole and not out.messages[0].pending:
            out.backlog -= len(out.messages.popleft().payload) + MESSAGE_COST
        writable = out.owed and 2 * out.backlog <= self.settings.backlog_max
        if writable:
            out.owed = False
        self._forget(out)
        return writable

    def _measured(self, trip: int) -> None:
        """A round trip took so long: only that ends a back-off, not an acknowledgement of who knows which transmission."""
        self.backoff = 0
        self.trips = [*self.trips[1 - TRIPS :], trip]
        if not self.srtt:
            self.srtt, self.variance = max(trip, 1), trip // 2
            return
        self.variance += (abs(trip - self.srtt) - self.variance) // 4
        self.srtt = max(self.srtt + (trip - self.srtt) // 8, 1)

    def timeout(self) -> int:
        """How long to wait for an answer now. One trip that took long is no reason to wait longer: the peer had paused."""
        settings = self.settings
        base = self.srtt + 4 * self.variance + settings.acknowledge_after if self.srtt else settings.timeout_initial
        wanted = max(base, settings.timeout_least) << min(self.backoff, 16)
        if wanted <= settings.timeout_most:
            return wanted
        return min(wanted, max(2 * min(sorted(self.trips)[-2:], default=0), settings.timeout_most))

    def _find_lost(self) -> None:
        """What later packets have overtaken is lost, and the window is halved once for all losses of a round trip."""
        while self.flight:
            fragment = next(iter(self.flight.values()))
            if fragment.packet + REORDERED > self.latest:
                return
            self._lose(fragment)
            if fragment.packet > self.recovery:
                self._shrink(max(self.window // 2, WINDOW_LEAST))

    def _lose(self, fragment: Fragment) -> None:
        del self.flight[fragment.number]
        self.in_flight -= fragment.size()
        self.lost[fragment.number] = fragment

    def _shrink(self, window: int) -> None:
        self.threshold = max(self.window // 2, WINDOW_LEAST)
        self.window = window
        self.recovery = max(fragment.packet for fragment in self.unacked.values())

    def due(self) -> int | None:
        """When `tick` is wanted."""
        if self.flight:
            return min(self._overdue(), self.progress + self.settings.dead_after)
        return self.probe_at

    def _overdue(self) -> int:
        """When what is under way is taken for lost. Each answer begins that anew: what waits behind much else is not lost."""
        return max(next(iter(self.flight.values())).sent, self.progress) + self.timeout()

    def tick(self, now: int) -> bool:
        """Does what is due; False if the peer is dead."""
        if self.flight and now >= self.progress + self.settings.dead_after:
            return False
        if self.flight and now >= self._overdue():
            self._shrink(WINDOW_LEAST)
            self.backoff += 1
            for fragment in tuple(self.flight.values()):
                self._lose(fragment)
        if self.probe_at is not None and now >= self.probe_at:
            self.probe_at = None
            self.controls.append((ChunkKind.PROBE, 0))
        return True

    def settle(self, now: int) -> None:
        """Sees to it that a peer whose full streams are all there is to do for is asked now and then."""
        if not self.blocked or self.unacked or self.ready:
            self.probe_at = None
        elif self.probe_at is None:
            self.probe_at = now + self.settings.probe_after
