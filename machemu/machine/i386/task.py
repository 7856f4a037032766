"""What an i386 task has of the machine: the I/O ports that its threads may use (Mach's machine_task)."""

from __future__ import annotations

from typing import Annotated, Final

from machemu.sim.state import Range, state

PORTS: Final = 1 << 16
SHOWN: Final = 128
"""Bytes of the map that thread_get_state shows: the ports of the ISA bus."""


@state
class I386Task:
    """iopb: the I/O permission bitmap, a bit a port, 0 for a port that may be used; None while none ever was.

    size: how many of its bytes count, as the real kernel keeps it; the bits behind are all 1.
    """

    __slots__ = ("iopb", "size")
    iopb: bytearray | None
    size: Annotated[int, Range(0, PORTS // 8)]

    def check_saved(self) -> None:
        """ValueError where its map is of other ports than there are."""
        if self.iopb is not None and len(self.iopb) != PORTS // 8:
            raise ValueError("its map of ports is not the machine's")

    def __init__(self) -> None:
        self.iopb = None
        self.size = 0

    def io_perm_modify(self, first: int, last: int, enable: bool) -> None:
        """Grants or withdraws the ports `first` to `last`, both included."""
        if not enable and first >> 3 >= self.size:
            return
        if self.iopb is None:
            self.iopb = bytearray(b"\xff" * (PORTS // 8))
        width = last - first + 1
        start, end = first >> 3, (last >> 3) + 1
        bits = int.from_bytes(self.iopb[start:end], "little")
        mask = (1 << width) - 1 << (first & 7)
        self.iopb[start:end] = (bits & ~mask if enable else bits | mask).to_bytes(end - start, "little")
        self.size = max(self.size, end) if enable else len(self.iopb[: self.size].rstrip(b"\xff"))

    def may_use(self, port: int, width: int) -> bool:
        """Whether an access of `width` bytes at a port is allowed."""
        if self.iopb is None or port + width > PORTS:
            return False
        return not any(self.iopb[each >> 3] >> (each & 7) & 1 for each in range(port, port + width))

    def uses_io(self) -> bool:
        """Whether any port is allowed."""
        return self.size > 0

    def shown(self) -> bytes:
        """The state flavor of the ISA port map."""
        return bytes(self.iopb[:SHOWN]) if self.iopb is not None else b"\xff" * SHOWN
