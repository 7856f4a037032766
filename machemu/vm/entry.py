"""Map entries (Mach's vm_map_entry_t)."""

from __future__ import annotations

from typing import Annotated

from machemu.abi.vm import VM_INHERIT_COPY, VM_PROT_ALL, VM_PROT_DEFAULT, VM_PROT_NONE, VM_PROT_NOTIFY
from machemu.sim.state import U3, Natural, Range, state
from machemu.vm.object import VmObject

Protection = Annotated[int, Range(0, VM_PROT_NOTIFY | VM_PROT_ALL)]
"""Accesses that are allowed, and VM_PROT_NOTIFY."""


@state
class VmMapEntry:
    """Addresses [start, end) of a map, or of a copy, and what is there: `object` from `offset` on."""

    __slots__ = (
        "start", "end", "object", "offset", "needs_copy", "is_shared", "protection", "max_protection", "inheritance",
        "wired", "lost", "wired_access", "to_wire",
    )  # fmt: skip
    start: Natural
    end: Natural

    # What is there:
    object: VmObject | None  # a reference to it is owned; None where nothing was touched yet
    offset: Natural
    needs_copy: bool  # to be shadowed before the first write
    is_shared: bool  # another map shows the same object for writing

    # What the task may do with it:
    protection: Protection
    max_protection: U3
    inheritance: Annotated[int, Range(0, 3)]

    # What vm_wire asked for:
    wired: bool  # its pages are held in memory: they then all are in `object` itself, each with one wire count of this entry
    lost: bool  # Mach counts it as wired, but its manager had an error, and its pages are not
    to_wire: bool  # it is wired, but for its pages, which `wire.complete` brings
    wired_access: Protection  # the access, VM_PROT_NONE for none; kept while `protection` forbids every access

    def __init__(
        self,
        start: int,
        end: int,
        obj: VmObject | None,
        offset: int,
        needs_copy: bool = False,
        protection: int = VM_PROT_DEFAULT,
        max_protection: int = VM_PROT_ALL,
        inheritance: int = VM_INHERIT_COPY,
    ) -> None:
        self.start = start
        self.end = end
        self.object = obj
        self.offset = offset
        self.needs_copy = needs_copy
        self.is_shared = False
        self.protection = protection
        self.max_protection = max_protection
        self.inheritance = inheritance
        self.wired = False
        self.lost = False
        self.wired_access = VM_PROT_NONE
        self.to_wire = False

    @property
    def wired_count(self) -> int:
        """As Mach counts."""
        return int(self.wired or self.lost)

    def split(self, at: int) -> VmMapEntry:
        """Cuts the entry at `at` and gives the part from there on, alike in all; it takes a reference of its own."""
        rest = VmMapEntry(
            at, self.end, self.object, self.offset + (at - self.start), self.needs_copy,
            self.protection, self.max_protection, self.inheritance,
        )  # fmt: skip
        rest.is_shared = self.is_shared
        rest.wired = self.wired
        rest.lost = self.lost
        rest.wired_access = self.wired_access
        rest.to_wire = self.to_wire
        self.end = at
        if self.object is not None:
            self.object.ref_count += 1
        return rest

    def duplicate(self, obj: VmObject | None, offset: int) -> VmMapEntry:
        """An entry alike for another map or a copy: of other memory, neither shared nor wired. Takes over the reference."""
        return VmMapEntry(
            self.start, self.end, obj, offset, self.needs_copy, self.protection, self.max_protection, self.inheritance
        )
