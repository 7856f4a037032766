"""Devices that only have a name, such as `cn`, which stands for the console before there is one (Mach's nulldev)."""

from __future__ import annotations

from machemu.abi.device import D_INVALID_OPERATION
from machemu.abi.errors import KernError
from machemu.device.driver import Driver, Minor, unit_of
from machemu.device.io import IoRequest
from machemu.sim.state import state


@state
class NullDriver(Driver):
    """Any number of units of one name. What is written goes nowhere, any status can be set and is zeros when got.

    The real kernel gives status words that nobody wrote, and dies of a read.
    """

    __slots__ = ("name",)
    name: str
    takes_traps = True

    def __init__(self, name: str) -> None:
        self.name = name

    def identify(self, name: str, mode: int) -> Minor | None:
        unit = unit_of(name, self.name)
        return None if unit is None else (self.name, unit)

    def read(self, minor: Minor, request: IoRequest) -> bytes | None:
        if request.count:
            raise KernError(D_INVALID_OPERATION)
        return b""

    def write(self, minor: Minor, request: IoRequest) -> int | None:
        return len(request.data)

    def write_trap(self, minor: Minor, recnum: int, data: bytes) -> None:
        pass

    def get_status(self, minor: Minor, flavor: int, room: int) -> tuple[int, ...]:
        return (0,) * room

    def set_status(self, minor: Minor, flavor: int, words: tuple[int, ...]) -> None:
        pass
