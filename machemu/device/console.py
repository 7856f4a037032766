"""The console: what the guest writes goes out byte by byte, what comes in waits until it is read (Mach's tty, in raw mode)."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

from machemu.sim.state import state


@state
class PendingRead:
    """A device_read that waits for input: whom to answer, and how much was asked for."""

    __slots__ = ("reply_port", "reply_type", "inband", "count")

    def __init__(self, reply_port: object, reply_type: int, inband: bool, count: int) -> None:
        self.reply_port = reply_port
        self.reply_type = reply_type
        self.inband = inband
        self.count = count


@state
class Console:
    """written, chain: how many bytes went out, and a SHA-256 chained over the writes, so that a digest covers what was printed.

    input: bytes that came in and were not read yet. pending: reads that wait, oldest first; while there are any, input is empty.
    sink: where output goes on the host, None for nowhere.
    """

    __slots__ = ("written", "chain", "input", "pending", "sink")
    TRANSIENT = ("sink",)

    def __init__(self) -> None:
        self.written = 0
        self.chain = b""
        self.input = bytearray()
        self.pending: deque[PendingRead] = deque()
        self.sink: Callable[[bytes], None] | None = None

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self.chain = hashlib.sha256(self.chain + data).digest()
        if self.sink is not None:
            self.sink(data)

    def take(self, count: int) -> bytes:
        """Up to `count` bytes of input."""
        data = bytes(self.input[:count])
        del self.input[:count]
        return data
