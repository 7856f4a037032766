"""Symbols of executables: which function an address is in."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Final, NamedTuple

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from machemu.abi.errors import UserError
from machemu.formats import packed
from machemu.formats.elf import PF_X

SYMBOLS_MAX: Final = 16 << 20
"""Bytes of a symbol table that are looked at."""
UNREADABLE: Final = (
    ELFError,
    ConstructError,
    ValueError,
    KeyError,
    OverflowError,
    AssertionError,
    AttributeError,
    TypeError,
)
"""What pyelftools raises for files that are damaged."""
KINDS: Final = (0, 2)
"""STT_NOTYPE, as assemblers make labels, and STT_FUNC."""


def symbol_at(path: Path, address: int, code: bytes) -> str:
    """`name+0xoffset` of the function that an address is in, by an executable's symbol table; "" where nothing tells.

    code: what lies at the address in memory, a byte at least. A file that has something else there tells nothing: it is not what
    runs.
    """
    try:
        elf = ELFFile(io.BytesIO(packed.read(path, "an executable")))
        for segment in elf.iter_segments("PT_LOAD"):
            offset = address - segment["p_vaddr"]
            if 0 <= offset < segment["p_filesz"] and segment["p_flags"] & PF_X:
                known = segment.data()[offset : offset + len(code)]
                if not known or not code.startswith(known):
                    return ""
                return _nearest(elf, segment["p_vaddr"], address)
    except (UserError, *UNREADABLE):
        pass
    return ""


class Symbol(NamedTuple):
    """A name for an address. size: in bytes, 0 where the file does not say."""

    name: str
    address: int
    size: int


def symbols_of(path: Path) -> list[Symbol]:
    """The functions, labels and objects of an executable, by address; none where there is no such file, or no table in it."""
    try:
        elf = ELFFile(io.BytesIO(packed.read(path, "an executable")))
        table = elf.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection) or table["sh_size"] > SYMBOLS_MAX:
            return []
        found = [
            Symbol(symbol.name, symbol["st_value"], symbol["st_size"])
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] in ("STT_NOTYPE", "STT_FUNC", "STT_OBJECT") and symbol["st_shndx"] != "SHN_UNDEF"
        ]
    except (UserError, *UNREADABLE):
        return []
    return sorted((each for each in found if each.name and each.name.isprintable()), key=lambda symbol: symbol.address)


def _nearest(elf: ELFFile, first: int, address: int) -> str:
    """The last symbol that is not behind an address, and not before the segment that begins at `first`."""
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return ""
    entry = struct.Struct("<IIIBBH" if elf.little_endian else ">IIIBBH")
    data = table.data()[:SYMBOLS_MAX]
    data = data[: len(data) // entry.size * entry.size]
    found = [
        (value, info >> 4, name)
        for name, value, _, info, _, section in entry.iter_unpack(data)
        if first <= value <= address and section and info & 0xF in KINDS
    ]
    if not found:
        return ""
    value, _, name = max(found)
    text: str = elf.get_section(table["sh_link"]).get_string(name)  # type: ignore[attr-defined]
    return f"{text}+{address - value:#x}" if text.isprintable() and text else ""
