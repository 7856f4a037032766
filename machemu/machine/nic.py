"""An Ethernet interface that is joined to whoever gives it a sink."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from machemu.machine.seams import FrameReceiver, Nic
from machemu.sim.state import Natural, state

ADDRESS_SIZE: Final = 6
FRAME_MIN: Final = 60
"""Bytes that a frame has on the wire at least, without its checksum; shorter ones are filled with zeros."""


@state
class EthernetNic:
    """address: 6 bytes. receiver: the driver. sent, chain: frames that went out, and a SHA-256 chained over them, for digests.

    sink: where frames go on the host's side, each with the nanoseconds until it is out; None for a segment where nobody is.
    """

    __slots__ = ("address", "receiver", "sent", "chain", "sink")
    TRANSIENT = ("sink",)
    address: bytes
    receiver: FrameReceiver | None
    sent: Natural
    chain: bytes

    def check_saved(self) -> None:
        """ValueError where its address is none."""
        if len(self.address) != ADDRESS_SIZE:
            raise ValueError("its address is none of Ethernet's")

    def __init__(self, address: bytes) -> None:
        self.address = address
        self.receiver = None
        self.sent = 0
        self.chain = b""
        self.sink: Callable[[bytes, int], None] | None = None

    def attach(self) -> None:
        self.sink = None

    def take_over(self, old: Nic) -> None:
        assert isinstance(old, EthernetNic)
        self.sink = old.sink

    def transmit(self, frame: bytes, delay: int = 0) -> None:
        frame = frame.ljust(FRAME_MIN, b"\0")
        self.sent += 1
        self.chain = hashlib.sha256(self.chain + frame).digest()
        if self.sink is not None:
            self.sink(frame, delay)

    def accepts(self, frame: bytes) -> bool:
        """Whether anybody would take a frame that came in now."""
        return self.receiver is not None and self.receiver.accepts(frame)

    def receive(self, frame: bytes) -> None:
        if self.receiver is not None:
            self.receiver.frame_arrived(frame)
