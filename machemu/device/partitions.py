"""The DOS partition table of a disk, as GNU Mach reads it when it finds the disk."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from machemu.machine.seams import DiskError

Slice = tuple[int, int]
"""First sector and number of sectors, both as the table says, whether or not the disk is so large."""

SLICES_MAX: Final = 64
LOGICAL_FIRST: Final = 5
EXTENDED: Final = (0x05, 0x0F, 0x85)
EXTENDED_SHOWN: Final = 2
"""Sectors that an extended partition has as a device: those that a boot loader needs."""
ENTRY: Final = struct.Struct("<4xB3xII")

Entry = tuple[int, int, int]
"""An entry's type, first sector (relative) and number of sectors."""


def read_table(read: Callable[[int], bytes], sectors: int) -> dict[int, Slice]:
    """The slices by number; 0 is the whole disk. `read` gives one sector and may raise DiskError, which ends the table there."""
    slices: dict[int, Slice] = {0: (0, sectors)}
    logical: list[Slice] = []
    for number, (kind, start, count) in enumerate(_entries(read, 0) or (), 1):
        if not count:
            continue
        if kind in EXTENDED:
            slices[number] = (start, min(count, EXTENDED_SHOWN))
            _read_logical(read, start, count, logical)
        else:
            slices[number] = (start, count)
    slices.update((LOGICAL_FIRST + n, piece) for n, piece in enumerate(logical))
    return slices


def _entries(read: Callable[[int], bytes], sector: int) -> list[Entry] | None:
    try:
        data = read(sector)
    except DiskError:
        return None
    if data[510:512] != b"\x55\xaa":
        return None
    return [ENTRY.unpack_from(data, 446 + 16 * n) for n in range(4)]


def _read_logical(read: Callable[[int], bytes], first: int, size: int, logical: list[Slice]) -> None:
    """Follows an extended partition's chain of tables. One that leads back or has only links ends with SLICES_MAX tables."""
    table, table_size = first, size
    for _ in range(SLICES_MAX):
        entries = _entries(read, table)
        if entries is None:
            return
        for n, (kind, start, count) in enumerate(entries):
            begin = table + start
            inside = first <= begin and begin + count <= first + size
            if not count or kind in EXTENDED or (n >= 2 and start + count > table_size and not inside):
                continue
            if len(logical) >= SLICES_MAX - LOGICAL_FIRST:
                return
            logical.append((begin, count))
        link = next(((start, count) for kind, start, count in entries if count and kind in EXTENDED), None)
        if link is None:
            return
        table, table_size = first + link[0], link[1]
