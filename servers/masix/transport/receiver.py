"""The receiving half of a session: fragments become messages, each once, a stream's in order.

Fragments are numbered through the whole session, and each says how far back the one before it in its stream is. So nothing needs
to be remembered of a stream that is at rest, and no stream waits for another's missing fragment.
"""

from __future__ import annotations

from typing import Final

from machemu.sim.state import state
from masix.transport.chunks import NUMBERS_MAX, AcknowledgementChunk, ChunkKind, FragmentChunk, acknowledgement_bytes
from masix.transport.events import MICROSECOND, Settings
from masix.transport.packets import PacketError

PACKETS_UNACKNOWLEDGED: Final = 2
"""So many packets with fragments are acknowledged at once, as RFC 1122 has it."""


@state
class Receiver:
    """What one side of a conversation has received."""

    __slots__ = ("settings", "all_up_to", "above", "early", "partial", "latest", "latest_at", "owed", "acknowledge_at")
    settings: Settings

    # Fragments:
    all_up_to: int  # these have come
    above: dict[int, bool]  # further ones that came, and whether all before them in their streams did too
    early: dict[int, tuple[int, int, int, bytes]]  # those whose predecessor did not come, by the predecessor's number
    partial: dict[int, bytearray]  # the messages under way, by stream

    # Packets:
    latest: int  # the highest sequence number
    latest_at: int  # when it came
    owed: int  # how many are not yet acknowledged
    acknowledge_at: int | None  # when to acknowledge at the latest, None if there is nothing to

    def check_saved(self) -> None:
        """ValueError where it has fragments that could not have come yet."""
        numbers = (*self.above, *(number for number, _, _, _ in self.early.values()))
        if any(not self.all_up_to < number <= self.all_up_to + NUMBERS_MAX for number in numbers):
            raise ValueError("it has fragments that could not have come")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.all_up_to = 0
        self.above = {}
        self.early = {}
        self.partial = {}
        self.latest = 0
        self.latest_at = 0
        self.owed = 0
        self.acknowledge_at = None

    def packet_came(self, sequence: int, now: int) -> None:
        """A packet with fragments is about to be read."""
        if sequence > self.latest:
            self.latest, self.latest_at = sequence, now
        self.owed += 1
        if self.owed >= PACKETS_UNACKNOWLEDGED:
            self.acknowledge_at = now
        elif self.acknowledge_at is None:
            self.acknowledge_at = now + self.settings.acknowledge_after

    def fragment_came(self, chunk: FragmentChunk, now: int) -> list[tuple[int, int, bytes]]:
        """What is complete now: (kind, stream, message), LAST with a message, or another kind without. PacketError for a message
        that is too long.
        """
        number = chunk.number
        if number > self.all_up_to + NUMBERS_MAX:
            return []
        if number <= self.all_up_to or number in self.above:
            self.acknowledge_at = now
            return []
        before = number - chunk.back
        ready = not chunk.back or before <= self.all_up_to or self.above.get(before, False)
        if number == self.all_up_to + 1 and not self.above:
            self.all_up_to = number
        else:
            self.acknowledge_at = now
            self.above[number] = ready
            while self.all_up_to + 1 in self.above:
                self.all_up_to += 1
                del self.above[self.all_up_to]
        if not ready:
            self.early[before] = (number, int(chunk.kind), chunk.stream, chunk.data)
            return []
        done: list[tuple[int, int, bytes]] = []
        self._complete(chunk.kind, chunk.stream, chunk.data, done)
        while (following := self.early.pop(number, None)) is not None:
            number, kind, stream, data = following
            if number in self.above:
                self.above[number] = True
            self._complete(kind, stream, data, done)
        return done

    def _complete(self, kind: int, stream: int, data: bytes, done: list[tuple[int, int, bytes]]) -> None:
        """Takes a fragment whose turn it is."""
        if kind == ChunkKind.FRAGMENT:
            part = self.partial.setdefault(stream, bytearray())
            part += data
            if len(part) > self.settings.message_max:
                raise PacketError("a message is too long")
        elif kind == ChunkKind.LAST and stream in self.partial:
            done.append((kind, stream, bytes(self.partial.pop(stream) + data)))
        else:
            done.append((kind, stream, data))

    def acknowledgement(self, now: int) -> bytes:
        """The chunk that says what came; nothing is owed afterwards."""
        self.owed = 0
        self.acknowledge_at = None
        ranges: list[tuple[int, int]] = []
        for number in sorted(self.above):
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            else:
                ranges.append((number, number))
        delay = min(max(now - self.latest_at, 0) // MICROSECOND, 0xFFFF_FFFF)
        return acknowledgement_bytes(AcknowledgementChunk(self.all_up_to, self.latest, delay, tuple(ranges)))
