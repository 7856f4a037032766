"""The printer of a PC, `lpr0` (Mach's i386at/lpr.c): a line of bytes that go out. What it prints is the host's to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from machemu.abi.device import D_INVALID_OPERATION, TTY_STATUS, TTY_STATUS_COUNT
from machemu.abi.errors import KernError
from machemu.device.driver import Driver, Minor, unit_of
from machemu.device.io import IoRequest
from machemu.machine.seams import Disk
from machemu.sim.state import Natural, state

NAME: Final = "lpr"


@state
class PrinterDriver(Driver):
    """It is never busy, and has all the paper that it needs."""

    __slots__ = ("printed", "sinks")
    TRANSIENT = ("sinks",)
    printed: Natural  # bytes

    # Transient: where they go on the host.
    sinks: list[Callable[[bytes], None]]

    def __init__(self) -> None:
        self.printed = 0
        self.sinks = []

    def identify(self, name: str, mode: int) -> Minor | None:
        return (NAME,) if unit_of(name, NAME) == 0 else None

    def write(self, minor: Minor, request: IoRequest) -> int | None:
        self.printed += len(request.data)
        for sink in self.sinks:
            sink(request.data)
        return len(request.data)

    def get_status(self, minor: Minor, flavor: int, room: int) -> tuple[int, ...]:
        if flavor != TTY_STATUS:
            raise KernError(D_INVALID_OPERATION)
        return (0,) * TTY_STATUS_COUNT

    def attach(self, disks: Mapping[str, Disk]) -> None:
        self.sinks = []

    def take_over(self, old: Driver) -> None:
        assert isinstance(old, PrinterDriver)
        self.sinks = old.sinks
