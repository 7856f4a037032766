"""Functions of libunicorn replaced from inside this process.

The library's source files call each other through pointers that the dynamic linker fills in (System V ABI, AMD64 supplement: the
procedure linkage table). `replace` changes the pointers of one function, for all engines of the process and for good:

    before = interpose.replace("translator_loop_x86_64", LOOP(function))
    original = LOOP(before)    # LOOP: a ctypes.CFUNCTYPE with the function's signature

Calls within one source file do not go through a pointer, and stay as they are.

Unicorn leaves many functions by longjmp (a page fault, also one while it fetches code to translate; the end of a run). That must
never pass a frame of Python: a replacement in Python may call only what returns.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from machemu.machine.engine import library

X86_64_ELF: Final = b"\x7fELF\x02\x01\x01"
MACHINE_X86_64: Final = 62
HEADER: Final = struct.Struct("<16x 2x H 12x Q 16x H 6x")
"""Elf64_Ehdr: machine, where the program headers are, how many there are."""
SEGMENT: Final = struct.Struct("<I 4x Q Q 8x Q 16x")
"""Elf64_Phdr: type, offset in the file, address, bytes in the file."""
LOADED, DYNAMIC = 1, 2
NAMES, NAMES_SIZE, SYMBOLS, HASH, MOVED = 5, 10, 6, 0x6FFFFEF5, ((23, 2), (7, 8))
"""Tags of the dynamic section: DT_STRTAB, DT_STRSZ, DT_SYMTAB, DT_GNU_HASH; DT_JMPREL and DT_PLTRELSZ, DT_RELA and DT_RELASZ."""
NAMELESS: Final = 0x6FFFFFF9
"""The tag (DT_RELACOUNT) of how many pointers of the second table have no symbol; they are the first ones."""
HASHES: Final = 4
"""Words at the head of the hash table: how many buckets; the first symbol in it; how many words of 8 bytes of a filter come next,
before the buckets."""
ENTRY: Final = 24
"""Bytes of an Elf64_Sym (where its name begins among the names, 4 bytes; its value, 8) and of an Elf64_Rela (the pointer's
address, 8 bytes; the symbol's number << 32 | kind, 8)."""
JUMP_SLOT, IN_TABLE = 7, 1
"""R_X86_64_JUMP_SLOT: the pointer that calls of a function go through; R_X86_64_64: one in a table of functions."""

_libc = ctypes.CDLL(None)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_called: dict[str, int] = {}
"""What is called now in the place of each function that was replaced."""
_kept: list[Any] = []
"""All replacements: the library holds their addresses, or a later one does."""


def replace(symbol: str, function: Any, kind: int = JUMP_SLOT) -> int | None:
    """Calls of the library's function `symbol` go to `function` from now on: a ctypes function, which stays alive, or an address.

    Gives the address that was called before: the original's, or an earlier replacement's. None where this library has no such
    function or pointer, or is no ELF library for x86-64; nothing has changed then. kind: which pointers go to it.
    """
    slots = _slots(symbol, kind)
    # Where the linker filled in everything at once, it may have made the pages read-only behind it.
    if not slots or any(_libc.mprotect(slot & -mmap.PAGESIZE, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) for slot in slots):
        return None
    before = _called.get(symbol) or _address(symbol)
    target = function if isinstance(function, int) else ctypes.cast(function, ctypes.c_void_p).value or 0
    for slot in slots:
        ctypes.c_uint64.from_address(slot).value = target
    _called[symbol] = target
    _kept.append(function)
    return before


def _address(symbol: str) -> int:
    return ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value or 0


def _slots(symbol: str, kind: int) -> list[int]:
    """The addresses of the pointers of a kind to a function that the linker filled in."""
    tables = _tables()
    number = None if tables is None else tables.number(symbol)
    if tables is None or number is None:
        return []
    base = _address(symbol) - tables.values[number]
    wanted = number << 32 | kind
    if kind == JUMP_SLOT:
        return [base + tables.called[wanted]] if wanted in tables.called else []
    return [base + place for place in tables.moved(wanted)]


class Tables(NamedTuple):
    """Of the library's file: names; symbols, in words of 4 bytes, and their values, in words of 8; the hash table, in words of 4;
    the places of the pointers that calls go through, by symbol << 32 | kind; and the table (DT_RELA) of the others with symbols,
    of which few are looked for."""

    names: bytes
    symbols: memoryview
    values: memoryview
    hashes: memoryview
    called: dict[int, int]
    others: bytes

    def number(self, symbol: str) -> int | None:
        """Of a symbol, None where it is not there. The hash table is GNU's: the chain of a bucket is symbols in their order, and
        the last one's hash is odd."""
        name = symbol.encode("ascii") + b"\0"
        wanted = 5381
        for byte in name[:-1]:
            wanted = wanted * 33 + byte & 0xFFFFFFFF
        buckets, first, filters, _ = self.hashes[:4]
        chains = HASHES + 2 * filters + buckets
        number = self.hashes[HASHES + 2 * filters + wanted % buckets]
        while number >= first:
            hashed = self.hashes[chains + number - first]
            begin = self.symbols[number * ENTRY // 4]
            if hashed | 1 == wanted | 1 and self.names[begin : begin + len(name)] == name:
                return int(number)
            number = 0 if hashed & 1 else number + 1
        return None

    def moved(self, wanted: int) -> Iterator[int]:
        """The places of other pointers."""
        word = wanted.to_bytes(8, "little")
        at = self.others.find(word)
        while at >= 0:
            if at % ENTRY == 8:
                yield int.from_bytes(self.others[at - 8 : at], "little")
            at = self.others.find(word, at + 1)


@cache
def _tables() -> Tables | None:
    """None where the library is no ELF library for x86-64, or has no such tables."""
    with open(library._name, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        machine, segments, count = HEADER.unpack_from(data)
        if data[: len(X86_64_ELF)] != X86_64_ELF or machine != MACHINE_X86_64:
            return None
        headers = [SEGMENT.unpack_from(data, segments + n * SEGMENT.size) for n in range(count)]
        tags = dict(
            struct.unpack_from("<QQ", data, offset + n)
            for kind, offset, _, size in headers
            if kind == DYNAMIC
            for n in range(0, size, 16)
        )
        place = {
            tag: address - begin + offset
            for tag, address in tags.items()
            for kind, offset, begin, size in headers
            if kind == LOADED and begin <= address < begin + size
        }
        if any(tag not in place for tag in (HASH, *(tag for tag, _ in MOVED))) or place[HASH] > place[SYMBOLS]:
            return None
        # How many symbols there are is written nowhere; linkers put the names behind them, and the hash table before them.
        symbols, hashes = (memoryview(data[place[tag] : place[end]]) for tag, end in ((SYMBOLS, NAMES), (HASH, SYMBOLS)))
        calls, others = (data[place[tag] : place[tag] + tags[size]] for tag, size in MOVED)
        others = others[tags.get(NAMELESS, 0) * ENTRY :]
        moved = memoryview(calls).cast("Q")
        called = dict(zip(moved[1 :: ENTRY // 8].tolist(), moved[:: ENTRY // 8].tolist(), strict=True))
        names = data[place[NAMES] : place[NAMES] + tags[NAMES_SIZE]]
        return Tables(names, symbols.cast("I"), symbols.cast("Q")[1 :: ENTRY // 8], hashes.cast("I"), called, others)
