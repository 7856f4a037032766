"""The console, a serial line: what the guest writes goes out byte by byte, what comes in waits until it is read (Mach's com, in
raw mode)."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from machemu.abi.device import (
    B9600,
    D_DEVICE_DOWN,
    D_INVALID_OPERATION,
    D_INVALID_SIZE,
    D_READ,
    NSPEEDS,
    TF_ANYP,
    TF_CRMOD,
    TF_ECHO,
    TM_BRK,
    TM_CAR,
    TM_CTS,
    TM_DSR,
    TM_DTR,
    TM_HUP,
    TM_RNG,
    TM_RTS,
    TTY_CLEAR_BREAK,
    TTY_FLUSH,
    TTY_MODEM,
    TTY_SET_BREAK,
    TTY_START,
    TTY_STATUS,
    TTY_STATUS_COUNT,
    TTY_STOP,
)
from machemu.abi.errors import KernError
from machemu.device.driver import Driver, Minor, unit_of
from machemu.device.io import DeviceIo, IoRequest
from machemu.device.limits import CHARACTERS_MAX, reading_count, wait
from machemu.ipc.port import Right
from machemu.machine.seams import Disk
from machemu.sim.state import U32, Cost, Natural, Signed, state

MINOR: Final[Minor] = ("com", 0)
HELD_MAX: Final = 2048
"""Bytes of output that a stopped line takes before a writer has to wait; what traps write beyond them is lost."""
WRITERS_MAX: Final = 64
TM_OTHER_SIDE: Final = TM_CTS | TM_CAR | TM_DSR
"""The modem's lines that the other side drives: there is always somebody."""


@state
class Console(Driver):
    """Mach's console: what tasks write goes out on the host, and what the host's user types comes in."""

    __slots__ = (
        "io", "written", "chain", "input", "pending", "status", "modem", "stopped", "held_output", "writers", "byte_ns", "sinks",
    )  # fmt: skip
    TRANSIENT = ("sinks",)
    io: DeviceIo
    status: tuple[int, int, Signed, Signed]  # the line's speeds, break character and flags, which change nothing
    modem: U32  # the modem's lines that this side drives, or says that it does

    # Output:
    written: Natural  # how many bytes went out
    chain: bytes  # a SHA-256 chained over the writes, so that a digest covers what was printed
    byte_ns: Cost  # what a byte costs whoever writes it
    stopped: bool  # output stays in `held_output`
    held_output: bytearray
    writers: deque[IoRequest]  # those whose output did not fit in there any more

    # Input:
    input: bytearray  # bytes that came in and were not read yet
    pending: deque[IoRequest]  # reads that wait, oldest first; while there are any, input is empty

    # Transient: sinks, where output goes on the host.
    takes_traps = True

    def __init__(self, io: DeviceIo, byte_ns: int) -> None:
        self.io = io
        self.written = 0
        self.chain = b""
        self.input = bytearray()
        self.pending = deque()
        self.status = (B9600, B9600, 0, TF_ANYP | TF_ECHO | TF_CRMOD)
        self.modem = TM_DTR | TM_RTS
        self.stopped = False
        self.held_output = bytearray()
        self.writers = deque()
        self.byte_ns = byte_ns
        self.sinks: list[Callable[[bytes], None]] = []

    def print(self, data: bytes) -> None:
        """Bytes go out, the kernel's own among them."""
        self.written += len(data)
        self.chain = hashlib.sha256(self.chain + data).digest()
        for sink in tuple(self.sinks):
            sink(data)

    def receive(self, data: bytes) -> None:
        """Bytes come in: reads that wait are answered first, oldest first."""
        self.input += data
        while self.pending and self.input:
            request = self.pending.popleft()
            self.io.read_done(request, 0, self._take(request.count))

    def _take(self, count: int) -> bytes:
        data = bytes(self.input[:count])
        del self.input[:count]
        return data

    # Driver

    def identify(self, name: str, mode: int) -> Minor | None:
        """`com` and `com0`; every unit of `console` is the same line."""
        return MINOR if unit_of(name, "com") == 0 or unit_of(name, "console") is not None else None

    def close(self, minor: Minor) -> None:
        """Those who wait hear that the device is down."""
        while self.pending:
            self.io.read_done(self.pending.popleft(), D_DEVICE_DOWN, b"")
        while self.writers:
            self.io.write_done(self.writers.popleft(), D_DEVICE_DOWN, 0)

    def read(self, minor: Minor, request: IoRequest) -> bytes | None:
        """Input that is there. D_NOWAIT changes nothing: the real kernel looks at it only while a line has no carrier."""
        request.count = reading_count(request)
        if self.input:
            return self._take(request.count)
        wait(self.pending, request)
        return None

    def write(self, minor: Minor, request: IoRequest) -> int | None:
        size = len(request.data)
        if size > CHARACTERS_MAX:
            raise KernError(D_INVALID_SIZE)
        if self.stopped and len(self.held_output) + size > HELD_MAX:
            wait(self.writers, request, WRITERS_MAX)
            return None
        self._output(request.data)
        return size

    def write_trap(self, minor: Minor, recnum: int, data: bytes) -> None:
        self._output(data)

    def _output(self, data: bytes) -> None:
        if self.stopped:
            self.held_output += data[: HELD_MAX - len(self.held_output)]
            return
        self.print(data)
        self.io.clock.base += len(data) * self.byte_ns

    def get_status(self, minor: Minor, flavor: int, room: int) -> tuple[int, ...]:
        if flavor == TTY_MODEM:
            return (self.modem & ~TM_RNG | TM_OTHER_SIDE,)
        if flavor != TTY_STATUS or room < TTY_STATUS_COUNT:
            raise KernError(D_INVALID_OPERATION)
        return self.status

    def set_status(self, minor: Minor, flavor: int, words: tuple[int, ...]) -> None:
        if flavor == TTY_STOP:
            self.stopped = True
        elif flavor == TTY_START:
            self._start()
        elif flavor == TTY_FLUSH and words:
            if not words[0] or words[0] & D_READ:
                self.input.clear()
            if words[0] != D_READ:
                self.held_output.clear()
        elif flavor == TTY_STATUS and len(words) >= TTY_STATUS_COUNT and all(0 <= speed < NSPEEDS for speed in words[:2]):
            self.status = (words[0], words[1], words[2], words[3])
        elif flavor == TTY_MODEM:
            bits = words[0] & 0xFFFFFFFF if words else TM_HUP
            self.modem = self.modem & ~(TM_DTR | TM_RTS) if bits == TM_HUP else bits
        elif flavor == TTY_SET_BREAK:
            self.modem |= TM_BRK
        elif flavor == TTY_CLEAR_BREAK:
            self.modem &= ~TM_BRK
        else:
            raise KernError(D_INVALID_OPERATION)

    def _start(self) -> None:
        """Output goes on after a stop."""
        self.stopped = False
        held, self.held_output = bytes(self.held_output), bytearray()
        self._output(held)
        while self.writers:
            request = self.writers.popleft()
            self._output(request.data)
            self.io.write_done(request, 0, len(request.data))

    def held(self) -> Iterable[tuple[Right, int]]:
        return [(request.reply_port, request.reply_type) for request in (*self.pending, *self.writers)]

    def attach(self, disks: Mapping[str, Disk]) -> None:
        self.sinks = []

    def take_over(self, old: Driver) -> None:
        assert isinstance(old, Console)
        self.sinks = old.sinks
