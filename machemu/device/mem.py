"""`mem`: the physical addresses that are not RAM (Mach's i386at/mem.c). A PC has its text screen there, others nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from machemu.abi.vm import VM_PROT_WRITE
from machemu.device.driver import Driver, Minor, PageProvider
from machemu.device.io import DeviceIo
from machemu.device.memory import DeviceMemory
from machemu.device.null import NullDriver
from machemu.sim.state import state
from machemu.vm.page import VmPage

SCREEN: Final = 0xB8000
SCREEN_SIZE: Final = 32 << 10
ROWS, COLUMNS = 25, 80
BLANK: Final = b" \x07"
"""A cell: the character, and its colours, light grey on black."""
KERNELS: Final = range(0x10000, 0x9F000)
"""Of the first megabyte what the real kernel uses. What is before and behind that is the BIOS's."""
MEGABYTE, VIDEO = 0x100000, 0xA0000


@state
class PhysicalAddresses(DeviceMemory):
    """The screen's memory, and what else is at addresses that are no RAM of the kernel's: it may be read."""

    __slots__ = ()

    def own_pages(self) -> list[VmPage]:
        """The screen's: pages of other addresses come and go."""
        return [page for offset, page in self.object.pages.items() if SCREEN <= offset < SCREEN + SCREEN_SIZE]

    def page(self, offset: int, protection: int) -> bytes | None:
        memory = self.vm.memory
        if protection & VM_PROT_WRITE or offset in KERNELS or MEGABYTE <= offset < memory.frame_count * memory.frame_size:
            return None
        return (b"\0" if offset < VIDEO else b"\xff") * self.vm.page_size


@state
class MemDriver(NullDriver):
    """The screen's memory comes out of RAM when somebody first maps `mem`: it shows a blank screen until then."""

    __slots__ = ("io", "screen")
    io: DeviceIo | None  # None where the machine is no PC
    screen: DeviceMemory | None

    def __init__(self, io: DeviceIo | None) -> None:
        super().__init__("mem")
        self.io = io
        self.screen = None

    def map(self, minor: Minor) -> PageProvider:
        if self.io is None:
            return self
        if self.screen is None:
            self.screen = PhysicalAddresses(self.io, minor, BLANK * (SCREEN_SIZE // len(BLANK)), SCREEN)
        return self.screen

    def page(self, offset: int, protection: int) -> bytes | None:
        """PageProvider of a machine that has nothing there."""
        return None

    def memories(self) -> Iterable[DeviceMemory]:
        return () if self.screen is None else (self.screen,)

    def text(self) -> str:
        """The screen's 25 lines, without blanks at their ends; characters are those of code page 437."""
        cells = BLANK * (ROWS * COLUMNS) if self.screen is None else self.screen.read(0, 2 * ROWS * COLUMNS)
        rows = (cells[at : at + 2 * COLUMNS : 2] for at in range(0, len(cells), 2 * COLUMNS))
        return "".join(row.translate(SHOWN).decode("cp437").rstrip() + "\n" for row in rows)


SHOWN: Final = bytes(32 if code < 32 or code == 127 else code for code in range(256))
"""Control characters have pictures on the screen, which a text has not."""


def screen(drivers: Iterable[Driver]) -> str | None:
    """The text screen of the machine of these drivers; None where it has none."""
    mem = next(driver for driver in drivers if isinstance(driver, MemDriver))
    return None if mem.io is None else mem.text()
