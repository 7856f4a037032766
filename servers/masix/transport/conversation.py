"""What one node has to say to another and hears from it, within one session or waiting for it."""

from __future__ import annotations

from collections.abc import Iterator

from machemu.sim.state import U32, state
from masix.transport.chunks import ACKNOWLEDGEMENT_MAX, AcknowledgementChunk, ChunkKind, chunks_of
from masix.transport.events import Settings
from masix.transport.packets import Packet
from masix.transport.receiver import Receiver
from masix.transport.sender import Sender
from masix.transport.session import Session


@state
class Conversation:
    """session: None while the nodes do not know each other yet. messages: what `arrived` brought, as (stream, payload); writable:
    the streams that can be written again. The owner empties both.
    """

    __slots__ = ("session", "sender", "receiver", "messages", "writable")
    session: Session | None
    sender: Sender
    receiver: Receiver
    messages: list[tuple[U32, bytes]]
    writable: list[U32]

    def __init__(self, settings: Settings) -> None:
        self.session = None
        self.sender = Sender(settings)
        self.receiver = Receiver(settings)
        self.messages = []
        self.writable = []

    def check_saved(self) -> None:
        """ValueError where it has sent packets that its session has not."""
        if max(self.sender.packets, default=0) > (0 if self.session is None else self.session.sequence):
            raise ValueError("it has sent packets that are still to come")

    def arrived(self, packet: Packet, text: bytes, now: int) -> None:
        """Takes a packet's text. PacketError for one that breaks the protocol."""
        heard = False
        for chunk in chunks_of(text):
            if isinstance(chunk, AcknowledgementChunk):
                self.writable += self.sender.acknowledged(chunk, now)
                continue
            if not heard:
                heard = True
                self.receiver.packet_came(packet.sequence, now)
            for kind, stream, payload in self.receiver.fragment_came(chunk, now):
                if kind == ChunkKind.LAST:
                    self.messages.append((stream, payload))
                elif kind != ChunkKind.PROBE:
                    self.sender.set_full(stream, kind == ChunkKind.FULL)

    def packets(self, now: int) -> Iterator[bytes]:
        """Headers and sealed texts of all that can be sent now."""
        session, sender, receiver = self.session, self.sender, self.receiver
        if session is None:
            return
        while True:
            at = receiver.acknowledge_at
            room = sender.room() if at is None else sender.room() - ACKNOWLEDGEMENT_MAX
            chunks = sender.fill(room, session.sequence + 1, now)
            if at is not None and (chunks or at <= now):
                chunks.insert(0, receiver.acknowledgement(now))
            if not chunks:
                break
            yield session.seal(b"".join(chunks))
        sender.settle(now)

    def due(self) -> int | None:
        """When `tick` is wanted."""
        times = [time for time in (self.sender.due(), self.receiver.acknowledge_at) if time is not None]
        return min(times) if times else None
