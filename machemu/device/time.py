"""The `time` device: the clock on a page that tasks map (Mach's mapped_time_value)."""

from __future__ import annotations

import struct

from machemu.abi.vm import VM_PROT_WRITE
from machemu.device.driver import Minor
from machemu.device.io import DeviceIo
from machemu.device.null import NullDriver
from machemu.sim.state import state


@state
class TimeDriver(NullDriver):
    """Every offset shows the same page: words of seconds, microseconds and once more seconds, as of the last clock tick.

    A reader who finds both seconds equal has read all three in one go. Nobody may write it.
    """

    __slots__ = ("io",)
    io: DeviceIo

    def __init__(self, io: DeviceIo) -> None:
        super().__init__("time")
        self.io = io

    def map(self, minor: Minor) -> TimeDriver:
        return self

    def page(self, offset: int, protection: int) -> bytes | None:
        if protection & VM_PROT_WRITE:
            return None
        seconds, microseconds = self.io.clock.time_of_day()
        words = struct.pack(self.io.ipc.prefix + "3i", seconds, microseconds, seconds)
        return words.ljust(self.io.vm.page_size, b"\0")
