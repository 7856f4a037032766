"""The pages of a memory that are not zero: what is written to files, digested and kept in snapshots."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from typing import Final

PAGE: Final = 4096
STEP: Final = 1 << 18
"""Bytes that are looked at once for being zero."""
ZEROS: Final = bytes(PAGE)
NOTHING: Final[Mapping[int, bytes]] = {}

_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


def pages_of(ram: memoryview, known: Mapping[int, bytes] = NOTHING) -> Iterator[tuple[int, bytes]]:
    """The pages that are not zero of a memory that is whole pages and may be written, with their numbers, in order.

    Where one is equal to the `known` one of that number, it is that object.
    """
    if not ram:
        return
    held = ctypes.c_char.from_buffer(ram)
    base = ctypes.addressof(held)
    for start in range(0, len(ram), STEP):
        size = min(STEP, len(ram) - start)
        # Memory is zero where its first page is and it equals itself a page on. That is quick: the host keeps one page of
        # zeros for all that nobody has written.
        if not _memcmp(base + start, ZEROS, PAGE) and not _memcmp(base + start, base + start + PAGE, size - PAGE):
            continue
        for at in range(start, start + size, PAGE):
            page = known.get(at // PAGE)
            if page is not None and not _memcmp(base + at, page, PAGE):
                yield at // PAGE, page
            elif _memcmp(base + at, ZEROS, PAGE):
                yield at // PAGE, bytes(ram[at : at + PAGE])
    del held
