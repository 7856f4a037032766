"""The kernel's own part of an i386 machine: descriptor tables, entry stub and its stack, in frames that no user reaches.

They lie in the lowest frames of RAM and are mapped at KERNEL_BASE in every address space, for the supervisor only. Selectors are
those of Mach's user ABI: the local table holds the call gate for `lcall $7,$0`, user code 0x17 and user data 0x1f.
"""

from __future__ import annotations

import struct
from typing import Final

from machemu.machine.i386.pmap import KERNEL_BASE, PAGE_SIZE, PDE_SHIFT, PRESENT, WRITABLE

TABLES, STACK, PAGE_TABLE, DIRECTORY, USER_LDT_FRAME = range(5)
"""The frames: the first two and the last ones are mapped, as the page table says; the directory is of a CPU without a thread.
The CPU walks neither, but what `shadow` makes of the page table."""
USER_LDT_ENTRIES: Final = 8192
USER_LDT_FRAMES: Final = USER_LDT_ENTRIES * 8 // PAGE_SIZE
FRAMES: Final = USER_LDT_FRAME + USER_LDT_FRAMES

GDT: Final = KERNEL_BASE
GDT_LIMIT: Final = 0x57
USER_GDT_INDEX: Final = 9
USER_GDT_SLOTS: Final = 2
"""The entries of the global table that are each thread's own."""
LDT: Final = KERNEL_BASE + 0x100
LDT_ENTRIES: Final = 4
LDT_LIMIT: Final = 8 * LDT_ENTRIES - 1
USER_LDT: Final = KERNEL_BASE + 0x10000
"""Where the local table of the active thread lies, if it has one of its own."""
TSS: Final = KERNEL_BASE + 0x200
TSS_LIMIT: Final = 0x67
STUB: Final = KERNEL_BASE + 0x300
TRAP_RETURN: Final = STUB + 2
"""The far return behind the stub's interrupt."""
USER_ENTRY: Final = KERNEL_BASE + 0x310
SPIN: Final = KERNEL_BASE + 0x320
BAD_LOAD: Final = KERNEL_BASE + 0x330
BAD_STORE: Final = KERNEL_BASE + 0x340
SOFTWARE: Final = KERNEL_BASE + 0x350
COMPARE: Final = KERNEL_BASE + 0x360
ADD: Final = KERNEL_BASE + 0x370
LOAD_DEBUG: Final = KERNEL_BASE + 0x380
"""Puts EAX, ECX, EDX, EBX into DR0 to DR3 and ESI into DR7."""
LOAD_STACK_SEGMENT: Final = KERNEL_BASE + 0x390
"""Code that only calibration runs: a loop, a load of DS from AX, a store to an address that is not mapped, `int $0x21`, a
comparison and an addition of 32 bits, and a load of SS from AX."""
WRITE_ERROR: Final = 2
"""The error code of that store: a write by the supervisor to a page that is not there."""
STACK_END: Final = KERNEL_BASE + 2 * PAGE_SIZE

KERNEL_CS: Final = 0x08
KERNEL_CS_ACCESS: Final = GDT + KERNEL_CS + 5
"""Where the byte with its present bit is."""
KERNEL_SS: Final = 0x10
LDT_SELECTOR: Final = 0x18
TSS_SELECTOR: Final = 0x20
LDT_FLAGS: Final = 0x8200
TSS_FLAGS: Final = 0x8900

TRAP_INTERRUPT: Final = 0x30

IRET_FRAME: Final = 20
"""Bytes that entry to user mode pops: eip, cs, eflags, esp, ss."""


def _descriptor(base: int, limit: int, access: int, flags: int) -> bytes:
    return struct.pack(
        "<HHBBBB", limit & 0xFFFF, base & 0xFFFF, base >> 16 & 0xFF, access, flags << 4 | limit >> 16 & 0xF, base >> 24
    )


SYSTEM_CALL: Final = struct.pack("<HHBBH", STUB & 0xFFFF, KERNEL_CS, 0, 0xEC, STUB >> 16)
"""The gate of the user's traps."""
USER_LIMIT: Final = (KERNEL_BASE >> 12) - 1
"""Of the user's segments, in pages: up to the kernel. (Unicorn checks no limits; a guest can read it.)"""


def default_ldt() -> bytes:
    """The local table of threads that have none of their own."""
    return SYSTEM_CALL + bytes(8) + _descriptor(0, USER_LIMIT, 0xFA, 0xC) + _descriptor(0, USER_LIMIT, 0xF3, 0xC)


def tables() -> bytes:
    """The bytes of the first frame."""
    flat = 0xFFFFF
    gdt = b"".join(
        (
            bytes(8),
            _descriptor(0, flat, 0x9B, 0xC),
            _descriptor(0, flat, 0x93, 0xC),
            _descriptor(LDT, LDT_LIMIT, 0x82, 0),
            _descriptor(TSS, TSS_LIMIT, 0x89, 0),
        )
    )
    tss = struct.pack("<III", 0, STACK_END, KERNEL_SS) + bytes(TSS_LIMIT + 1 - 14) + struct.pack("<H", TSS_LIMIT + 1)
    page = bytearray(PAGE_SIZE)
    parts = {
        GDT: gdt,
        LDT: default_ldt(),
        TSS: tss,
        STUB: bytes((0xCD, TRAP_INTERRUPT, 0xCB)),
        USER_ENTRY: b"\xcf",
        SPIN: b"\xeb\xfe",
        BAD_LOAD: b"\x8e\xd8",
        BAD_STORE: b"\xa2\x78\x56\x34\x12",
        SOFTWARE: b"\xcd\x21",
        COMPARE: b"\x39\xc0\xeb\xfe",
        ADD: b"\x01\xc0\xeb\xfe",
        LOAD_DEBUG: b"\x0f\x23\xc0\x0f\x23\xc9\x0f\x23\xd2\x0f\x23\xdb\x0f\x23\xfe",
        LOAD_STACK_SEGMENT: b"\x8e\xd0\xeb\xfe",
    }
    for place, part in parts.items():
        page[place - KERNEL_BASE : place - KERNEL_BASE + len(part)] = part
    return bytes(page)


def frames() -> bytes:
    """The bytes of all the frames; what lies in them never changes but for the stack and what is the active thread's own."""
    directory = bytearray(PAGE_SIZE)
    struct.pack_into("<I", directory, 4 * (KERNEL_BASE >> PDE_SHIFT), PAGE_TABLE * PAGE_SIZE | PRESENT | WRITABLE)
    return tables() + bytes(PAGE_SIZE) + page_table() + bytes(directory) + bytes(USER_LDT_FRAMES * PAGE_SIZE)


def page_table() -> bytes:
    """The bytes of the page-table frame."""
    entries = [0] * (PAGE_SIZE // 4)
    entries[:2] = (frame * PAGE_SIZE | PRESENT | WRITABLE for frame in (TABLES, STACK))
    first = USER_LDT - KERNEL_BASE >> 12
    entries[first : first + USER_LDT_FRAMES] = (
        (USER_LDT_FRAME + n) * PAGE_SIZE | PRESENT | WRITABLE for n in range(USER_LDT_FRAMES)
    )
    return struct.pack(f"<{len(entries)}I", *entries)
