"""Who maps which frame, over all address spaces of a memory management unit, and what was done to the frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from machemu.abi.errors import InvariantError
from machemu.abi.types import Frame, VirtAddr
from machemu.abi.vm import VM_PROT_NONE
from machemu.machine.memory import PhysicalMemory
from machemu.sim.state import state


class Pmap(Protocol):
    """An address space as its memory management unit sees it."""

    def protect(self, start: VirtAddr, end: VirtAddr, protection: int) -> None: ...

    def entry(self, address: int) -> int:
        """Where the entry of a page whose table is there lies, as `read` and `write` want it."""


@state
class Mappings(ABC):
    """The part of machine.seams.Mmu that is the same on every machine."""

    __slots__ = ("changed", "current", "mappers", "memory", "modified", "referenced")
    TRANSIENT: ClassVar[tuple[str, ...]] = ("changed", "current")

    # Bits of an entry:
    MODIFIED: ClassVar[int]
    REFERENCED: ClassVar[int]
    CLEAN: ClassVar[int] = 0  # what it gets when it is made not modified

    # Frames:
    memory: PhysicalMemory
    # For each mapped frame, the (pmap, page address) pairs that map it, as dict keys:
    mappers: dict[Frame, dict[tuple[Pmap, int], None]]
    modified: dict[Frame, None]  # those whose last mapping went while its entry said so, until cleared; as is the next
    referenced: dict[Frame, None]

    # Transient, the CPU's:
    current: object | None  # the pmap that it runs on
    changed: bool  # that pmap's tables took something away since the CPU last loaded them

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.mappers = {}
        self.modified = {}
        self.referenced = {}

    @abstractmethod
    def read(self, place: int) -> int:
        """A page's entry."""

    @abstractmethod
    def write(self, place: int, entry: int) -> None: ...

    @abstractmethod
    def frame_of(self, entry: int) -> int: ...

    def entry_changed(self, pmap: Pmap, address: int) -> None:  # noqa: B027 - most CPUs walk the tables themselves
        """For a CPU that keeps copies of entries."""

    def page_protect(self, frame: Frame, protection: int) -> None:
        for pmap, address in list(self.mappers.get(frame, ())):
            pmap.protect(VirtAddr(address), VirtAddr(address + self.memory.frame_size), protection)

    def forget(self, frame: Frame) -> None:
        if frame in self.mappers:
            self.page_protect(frame, VM_PROT_NONE)
        self.modified.pop(frame, None)
        self.referenced.pop(frame, None)

    def is_modified(self, frame: Frame) -> bool:
        return frame in self.modified or self._any(frame, self.MODIFIED)

    def is_referenced(self, frame: Frame) -> bool:
        return frame in self.referenced or self._any(frame, self.REFERENCED)

    def clear_modified(self, frame: Frame) -> None:
        self.modified.pop(frame, None)
        self._change(frame, self.MODIFIED, self.CLEAN)

    def clear_referenced(self, frame: Frame) -> None:
        self.referenced.pop(frame, None)
        self._change(frame, self.REFERENCED, 0)

    def _any(self, frame: Frame, bit: int) -> bool:
        return any(self.read(pmap.entry(address)) & bit for pmap, address in self.mappers.get(frame, ()))

    def _change(self, frame: Frame, cleared: int, added: int) -> None:
        for pmap, address in self.mappers.get(frame, ()):
            place = pmap.entry(address)
            self.write(place, self.read(place) & ~cleared | added)
            self.entry_changed(pmap, address)
            self.changed = True

    def unmapped(self, pmap: Pmap, address: int, frame: Frame, entry: int) -> None:
        """A mapping has gone; what its entry said of the frame is kept."""
        mappers = self.mappers[frame]
        del mappers[pmap, address]
        if not mappers:
            del self.mappers[frame]
        if entry & self.MODIFIED:
            self.modified[frame] = None
        if entry & self.REFERENCED:
            self.referenced[frame] = None
        self.changed = self.changed or self.current is pmap

    def check_invariants(self) -> None:
        for frame, mappers in self.mappers.items():
            for pmap, address in mappers:
                if self.frame_of(self.read(pmap.entry(address))) != frame:
                    raise InvariantError(f"frame {frame} is not mapped at {address:#x} as listed")
