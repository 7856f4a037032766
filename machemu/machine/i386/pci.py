"""The PCI bus of an i386 machine: the ports by which it is configured, and nothing on it."""

from __future__ import annotations

from typing import Final

from machemu.sim.state import Natural, state

ADDRESS: Final = 0xCF8
"""The port of 32 bits that chooses a register of a device; behind it lie those that read and write the register."""


@state
class PciBus:
    """Whoever looks for the bus finds that its address can be set, and no device at any."""

    __slots__ = ("address",)
    address: Natural  # what was last written to ADDRESS

    def __init__(self) -> None:
        self.address = 0

    def read(self, port: int, size: int) -> int:
        """What a port of any kind gives: ones where nothing is."""
        return self.address if (port, size) == (ADDRESS, 4) else (1 << 8 * size) - 1

    def write(self, port: int, size: int, value: int) -> None:
        if (port, size) == (ADDRESS, 4):
            self.address = value & 0xFFFFFFFF
