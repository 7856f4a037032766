"""The `kmsg` device: what the kernel itself has printed, as a stream (GNU Mach's device/kmsg.c)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from machemu.abi.device import D_ALREADY_OPEN, D_INVALID_OPERATION, D_NOWAIT, D_WOULD_BLOCK, DEV_GET_SIZE
from machemu.abi.errors import KernError
from machemu.device.driver import Driver, Minor, unit_of
from machemu.device.io import DeviceIo, IoRequest
from machemu.device.limits import reading_count, wait
from machemu.ipc.port import Right
from machemu.sim.state import state

BUFFER_SIZE: Final = 4095
"""Bytes that wait to be read at most; what the kernel prints beyond them is lost."""


@state
class KmsgDriver(Driver):
    """text: printed and not yet read. pending: reads that wait for text, oldest first; they outlive a close.

    Only one unit can be open at a time.
    """

    __slots__ = ("io", "text", "pending", "in_use")
    io: DeviceIo
    text: bytearray
    pending: deque[IoRequest]
    in_use: bool
    takes_traps = True

    def __init__(self, io: DeviceIo) -> None:
        self.io = io
        self.text = bytearray()
        self.pending = deque()
        self.in_use = False

    def print(self, data: bytes) -> None:
        """The kernel prints something."""
        self.text += data[: BUFFER_SIZE - len(self.text)]
        while self.pending and self.text:
            request = self.pending.popleft()
            self.io.read_done(request, 0, self._take(request.count))

    def _take(self, count: int) -> bytes:
        data = bytes(self.text[:count])
        del self.text[:count]
        return data

    def identify(self, name: str, mode: int) -> Minor | None:
        unit = unit_of(name, "kmsg")
        return None if unit is None else ("kmsg", unit)

    def open(self, minor: Minor) -> int:
        if self.in_use:
            raise KernError(D_ALREADY_OPEN)
        self.in_use = True
        return 0

    def close(self, minor: Minor) -> None:
        self.in_use = False

    def read(self, minor: Minor, request: IoRequest) -> bytes | None:
        request.count = reading_count(request)
        if self.text:
            return self._take(request.count)
        if request.mode & D_NOWAIT:
            self.io.read_done(request, D_WOULD_BLOCK, b"")
        else:
            wait(self.pending, request)
        return None

    def write(self, minor: Minor, request: IoRequest) -> int | None:
        return len(request.data)

    def write_trap(self, minor: Minor, recnum: int, data: bytes) -> None:
        pass

    def get_status(self, minor: Minor, flavor: int, room: int) -> tuple[int, ...]:
        if flavor != DEV_GET_SIZE:
            raise KernError(D_INVALID_OPERATION)
        return (0, 1)

    def set_status(self, minor: Minor, flavor: int, words: tuple[int, ...]) -> None:
        pass

    def held(self) -> Iterable[tuple[Right, int]]:
        return [(request.reply_port, request.reply_type) for request in self.pending]
