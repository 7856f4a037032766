"""The descriptor tables in the CPU's memory: the active thread's own entries, put there and taken back."""

from __future__ import annotations

from typing import Final

from machemu.machine.i386 import layout, segments
from machemu.machine.i386.engine import REGISTER, I386Engine
from machemu.machine.i386.pcb import I386Pcb
from machemu.machine.i386.pmap import KERNEL_BASE, PAGE_SIZE
from machemu.machine.memory import PhysicalMemory

POP_ORDER: Final = (("GS", 5), ("FS", 4), ("ES", 3), ("DS", 2))
"""The data segment registers as Mach loads them on its way to user mode, each with its place among a thread's selectors."""


class DescriptorTables:
    """gdt: the slots that lie in the global table. ldt: whose bytes lie where a thread's own local table does, or None.

    Both are compared with what a thread has; a context that is restored brings the default local table back into use.
    """

    def __init__(self, engine: I386Engine, memory: PhysicalMemory) -> None:
        self.engine = engine
        self.gdt = bytes(segments.SIZE * layout.USER_GDT_SLOTS)
        self.ldt: bytes | None = None
        self._loaded = b""
        start = layout.GDT - KERNEL_BASE
        self._gdt = memory.view[start : start + layout.GDT_LIMIT + 1]
        self._slots = self._gdt[layout.USER_GDT_INDEX * segments.SIZE :]
        start = layout.LDT - KERNEL_BASE
        self._default = memory.view[start : start + layout.LDT_LIMIT + 1]
        start = layout.USER_LDT_FRAME * PAGE_SIZE
        self._own = memory.view[start : start + layout.USER_LDT_FRAMES * PAGE_SIZE]

    def close(self) -> None:
        for view in (self._slots, self._gdt, self._default, self._own):
            view.release()

    def load(self, pcb: I386Pcb) -> tuple[int, int] | None:
        """Takes a thread's tables, and its data selectors but for V86 mode; the vector and error code where one is refused."""
        if pcb.gdt != self.gdt:
            self.gdt = pcb.gdt
            self._slots[:] = pcb.gdt
        local = self._default
        if pcb.ldt is not None:
            if pcb.ldt is not self.ldt:
                self.ldt = pcb.ldt
                self._loaded = segments.as_loaded(pcb.ldt)
                self._own[: len(self._loaded)] = self._loaded
            local = self._own[: len(pcb.ldt)]
            limit = max(len(pcb.ldt) - 1, 0)
            self.engine.write_table(REGISTER["LDTR"], layout.LDT_SELECTOR, layout.USER_LDT, limit, layout.LDT_FLAGS)
        if pcb.in_v86:
            return None
        for name, place in POP_ORDER:
            fault = segments.load_fault(pcb.segments[place], self._gdt, local)
            if fault is not None:
                return fault
            self.engine.write(REGISTER[name], pcb.segments[place])
        return None

    def save(self, pcb: I386Pcb) -> None:
        """Tells the thread which of its descriptors the processor has marked as accessed, where they are still its own."""
        if pcb.gdt is self.gdt and self._slots != pcb.gdt:
            pcb.gdt = self.gdt = bytes(self._slots)
        if pcb.ldt is not None and pcb.ldt is self.ldt and self._own[: len(pcb.ldt)] != self._loaded:
            self._loaded = bytes(self._own[: len(pcb.ldt)])
            marked = bytearray(pcb.ldt)
            for at in range(segments.ACCESS, len(marked), segments.SIZE):
                marked[at] |= self._loaded[at] & segments.ACCESSED
            pcb.ldt = self.ldt = bytes(marked)

    def segment(self, pcb: I386Pcb, selector: int) -> tuple[int, bool]:
        """The base of one of the active thread's segments, and whether it is one of 32 bits."""
        if pcb.in_v86:
            return selector << 4, False
        return segments.segment(selector, self._gdt, self._default if pcb.ldt is None else self._own)
