"""Segment descriptors that a task gives its threads, and what of them the processor gets to see (Mach's i386/user_ldt.c).

A descriptor is 8 bytes: limit 0-15, base 0-15, base 16-23, access, flags and limit 16-19, base 24-31. A thread may have a local
table of its own and two slots of the global table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_NO_SPACE, KERN_RESOURCE_SHORTAGE
from machemu.machine.i386 import layout

SIZE: Final = 8
ACCESS, FLAGS = 5, 6
"""Places of the access byte and of the flags within a descriptor."""
ACCESSED, PRESENT, USER_SEGMENT, CODE, READABLE, CONFORMING = 0x01, 0x80, 0x10, 0x08, 0x02, 0x04
USER_PRIVILEGE: Final = 0x60
CALL_GATE_16, CALL_GATE = 0x04, 0x0C
SZ_64, SZ_32 = 0x20, 0x40
"""Segments of 64 and of 32 bits among the flags."""
EMPTY: Final = bytes(SIZE)
ABSENT: Final = bytes((0, 0, 0, 0, 0, PRESENT, 0, 0))
"""What fills a new table's entries before the first that was set."""

LDT_MAX: Final = layout.USER_LDT_ENTRIES
SELECTOR_LOCAL, SELECTOR_PRIVILEGE = 4, 3
NEW_SELECTOR: Final = -1
GENERAL_PROTECTION, NOT_PRESENT = 13, 11

Descriptor = tuple[int, int]
"""Its two words, as signed integers like those of a message."""


def pack(descriptors: Sequence[Descriptor]) -> bytes:
    return b"".join(word.to_bytes(4, "little", signed=word < 0) for pair in descriptors for word in pair)


def unpack(table: bytes) -> tuple[Descriptor, ...]:
    words = [int.from_bytes(table[at : at + 4], "little", signed=True) for at in range(0, len(table), 4)]
    return tuple(zip(words[::2], words[1::2], strict=True))


def checked(descriptor: bytes) -> bytes:
    """A descriptor as a local table takes it; KERN_INVALID_ARGUMENT for a kind that user tables may not hold."""
    access = descriptor[ACCESS] & ~ACCESSED
    if access in (0, PRESENT) or access & (PRESENT | USER_PRIVILEGE | USER_SEGMENT) == PRESENT | USER_PRIVILEGE | USER_SEGMENT:
        return descriptor
    if access == PRESENT | CALL_GATE:
        return layout.SYSTEM_CALL
    if access in (PRESENT | USER_PRIVILEGE | CALL_GATE_16, PRESENT | USER_PRIVILEGE | CALL_GATE):
        return descriptor
    raise KernError(KERN_INVALID_ARGUMENT)


def as_loaded(table: bytes) -> bytes:
    """What the processor sees of a table: segments of user privilege, and the kernel's own gate.

    The real kernel lets a task put gates to any place of the kernel into its table. Here they are as good as absent: no
    instruction of a guest's ever runs in the kernel's ring.
    """
    shown = bytearray(table)
    for at in range(0, len(table), SIZE):
        descriptor = table[at : at + SIZE]
        access = descriptor[ACCESS]
        if access & (USER_SEGMENT | USER_PRIVILEGE) != USER_SEGMENT | USER_PRIVILEGE and descriptor != layout.SYSTEM_CALL:
            shown[at : at + SIZE] = EMPTY
    return bytes(shown)


def set_ldt(old: bytes | None, first: int, descriptors: Sequence[Descriptor], is_current: bool) -> bytes:
    """i386_set_ldt: the thread's new table. KERN_INVALID_ARGUMENT for what does not fit or may not be."""
    index = first >> 3
    if not (layout.LDT_ENTRIES if is_current else 0) <= index < LDT_MAX or index + len(descriptors) >= LDT_MAX:
        raise KernError(KERN_INVALID_ARGUMENT)
    data = pack(descriptors)
    new = b"".join(checked(data[at : at + SIZE]) for at in range(0, len(data), SIZE))
    start, end = index * SIZE, index * SIZE + len(new)
    if old is None:
        old = (layout.default_ldt() + ABSENT * max(0, index - layout.LDT_ENTRIES))[:start]
    return old[:start].ljust(start, b"\0") + new + old[end:]


def get_ldt(table: bytes | None, first: int, count: int) -> tuple[Descriptor, ...]:
    """i386_get_ldt: nothing of a thread without a table of its own.

    Past the table's end the real kernel gives whatever lies in its memory there; here those descriptors are empty.
    """
    index = first >> 3
    if not 0 <= index < LDT_MAX or index + count >= LDT_MAX:
        raise KernError(KERN_INVALID_ARGUMENT)
    if table is None:
        return ()
    room = len(table) // SIZE - index & 0xFFFFFFFF
    wanted = min(room, count & 0xFFFFFFFF)
    if wanted > LDT_MAX:
        raise KernError(KERN_RESOURCE_SHORTAGE)
    return unpack(table[index * SIZE : (index + wanted) * SIZE].ljust(wanted * SIZE, b"\0"))


def _slot(selector: int) -> int:
    slot = (selector >> 3) - layout.USER_GDT_INDEX
    if selector & (SELECTOR_LOCAL | SELECTOR_PRIVILEGE) != SELECTOR_PRIVILEGE or not 0 <= slot < layout.USER_GDT_SLOTS:
        raise KernError(KERN_INVALID_ARGUMENT)
    return slot


def set_gdt(slots: bytes, selector: int, descriptor: Descriptor) -> tuple[bytes, int]:
    """i386_set_gdt: the thread's slots, and the selector, chosen where NEW_SELECTOR asks for it."""
    if selector == NEW_SELECTOR:
        free = [n for n in range(layout.USER_GDT_SLOTS) if not slots[n * SIZE + ACCESS] & PRESENT]
        if not free:
            raise KernError(KERN_NO_SPACE)
        slot = free[0]
        selector = slot + layout.USER_GDT_INDEX << 3 | SELECTOR_PRIVILEGE
    else:
        slot = _slot(selector)
    new = pack([descriptor])
    access = new[ACCESS]
    if not access & PRESENT:
        new = EMPTY
    elif access & (USER_SEGMENT | USER_PRIVILEGE) != USER_SEGMENT | USER_PRIVILEGE or new[FLAGS] & SZ_64:
        raise KernError(KERN_INVALID_ARGUMENT)
    return slots[: slot * SIZE] + new + slots[(slot + 1) * SIZE :], selector


def get_gdt(slots: bytes, selector: int) -> Descriptor:
    """i386_get_gdt."""
    slot = _slot(selector)
    return unpack(slots[slot * SIZE : (slot + 1) * SIZE])[0]


def load_fault(selector: int, gdt: memoryview, ldt: memoryview) -> tuple[int, int] | None:
    """What the kernel's load of a data segment register meets: the fault's vector and error code, or None.

    The kernel loads them in its own ring; those that user mode may not have then become null as user mode is entered.
    """
    table = ldt if selector & SELECTOR_LOCAL else gdt
    at = selector >> 3 << 3
    if not selector & ~SELECTOR_PRIVILEGE:
        return None
    error = selector & ~SELECTOR_PRIVILEGE
    if at + SIZE > len(table):
        return GENERAL_PROTECTION, error
    access = table[at + ACCESS]
    conforming = access & (CODE | CONFORMING) == CODE | CONFORMING
    if (
        not access & USER_SEGMENT
        or access & (CODE | READABLE) == CODE
        or (not conforming and selector & SELECTOR_PRIVILEGE > access >> 5 & 3)
    ):
        return GENERAL_PROTECTION, error
    return None if access & PRESENT else (NOT_PRESENT, error)


def segment(selector: int, gdt: memoryview, ldt: memoryview) -> tuple[int, bool]:
    """The base of a segment, and whether it is one of 32 bits."""
    table = ldt if selector & SELECTOR_LOCAL else gdt
    at = selector >> 3 << 3
    base = int.from_bytes(bytes((*table[at + 2 : at + 5], table[at + 7])), "little")
    return base, bool(table[at + FLAGS] & SZ_32)
