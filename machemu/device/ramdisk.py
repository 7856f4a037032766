"""Disks in memory, which the boot script makes (GNU Mach's device/ramdisk.c)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from machemu.abi.device import (
    D_INVALID_OPERATION,
    D_INVALID_RECNUM,
    D_INVALID_SIZE,
    D_NO_SUCH_DEVICE,
    DEV_GET_RECORDS,
    DEV_GET_SIZE,
)
from machemu.abi.errors import KernError
from machemu.device.block import RECORD, TRANSFER_MAX
from machemu.device.driver import Driver, Minor, unit_of
from machemu.device.io import DeviceIo, IoOp, IoRequest
from machemu.device.limits import reading_count
from machemu.device.memory import DeviceMemory
from machemu.sim.state import state

UNITS_MAX: Final = 4
NAME: Final = "rd"
KERNEL_BASE: Final = 0xC0000000
"""Where the kernel sees memory, for those who read its messages."""


@state
class RamdiskDriver(Driver):
    """rd0 and the ones after it. What is read and written is so at once."""

    __slots__ = ("io", "disks")
    io: DeviceIo
    disks: list[DeviceMemory]  # by unit

    def __init__(self, io: DeviceIo) -> None:
        self.io = io
        self.disks = []

    def create(self, contents: bytes) -> str:
        """A further disk, which the console tells of; its name. Raises PageShortage."""
        name = f"{NAME}{len(self.disks)}"
        disk = DeviceMemory(self.io, (NAME, len(self.disks)), contents)
        self.disks.append(disk)
        self.io.print(f"{name}: {disk.size} bytes @{KERNEL_BASE + disk.place(0):x}\n".encode("ascii"))
        return name

    def identify(self, name: str, mode: int) -> Minor | None:
        unit = unit_of(name, NAME)
        return None if unit is None else (NAME, unit)

    def open(self, minor: Minor) -> int:
        self._disk(minor)
        return 0

    def _disk(self, minor: Minor) -> DeviceMemory:
        unit = minor[1]
        if not isinstance(unit, int) or unit >= len(self.disks):
            raise KernError(D_NO_SUCH_DEVICE)
        return self.disks[unit]

    def _range(self, disk: DeviceMemory, request: IoRequest, count: int) -> tuple[int, int]:
        """Where a request begins, in bytes, and how many there are. As on the real kernel the place is counted in 32 bits."""
        start = request.recnum * RECORD & 0xFFFFFFFF
        if start >= disk.size:
            raise KernError(D_INVALID_RECNUM)
        return start, min(count, disk.size - start)

    def read(self, minor: Minor, request: IoRequest) -> bytes | None:
        disk = self._disk(minor)
        count = reading_count(request) if request.op is IoOp.READ_INBAND else min(request.count, TRANSFER_MAX)
        if count < 0:
            raise KernError(D_INVALID_SIZE)
        return disk.read(*self._range(disk, request, count))

    def write(self, minor: Minor, request: IoRequest) -> int | None:
        disk = self._disk(minor)
        start, count = self._range(disk, request, len(request.data))
        disk.write(start, request.data[:count])
        return count

    def get_status(self, minor: Minor, flavor: int, room: int) -> tuple[int, ...]:
        size = self._disk(minor).size
        if flavor == DEV_GET_SIZE:
            return (size, RECORD)
        if flavor == DEV_GET_RECORDS:
            return (size // RECORD, RECORD)
        raise KernError(D_INVALID_OPERATION)

    def set_status(self, minor: Minor, flavor: int, words: tuple[int, ...]) -> None:
        """Any status can be set, and changes nothing."""

    def map(self, minor: Minor) -> DeviceMemory:
        return self._disk(minor)

    def memories(self) -> Iterable[DeviceMemory]:
        return self.disks
