"""Small ELF executables, made to order."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.guests import Arch

EM_386, EM_68K = 3, 4
MACHINES = {"i386": EM_386, "m68k": EM_68K}
ET_EXEC, ET_DYN = 2, 3
PT_LOAD, PT_INTERP, PT_NOTE = 1, 3, 4
R, W, X = 4, 2, 1


@dataclass
class Part:
    """A program header and the bytes it stands for; `file_size` and `memory_size` are the data's unless given."""

    address: int
    data: bytes = b""
    memory_size: int | None = None
    flags: int = R | X
    kind: int = PT_LOAD
    file_size: int | None = None
    offset: int | None = None


def make_elf(
    *parts: Part,
    entry: int = 0x1000,
    machine: int = EM_386,
    order: str = "<",
    file_type: int = ET_EXEC,
    elf_class: int = 1,
    entry_size: int = 32,
) -> bytes:
    """A file with these program headers, and the parts' data behind them, one after the other."""
    ident = b"\x7fELF" + bytes((elf_class, 1 if order == "<" else 2, 1)) + bytes(9)
    header = struct.pack(order + "HHIIIIIHHHHHH", file_type, machine, 1, entry, 52, 0, 0, 52, entry_size, len(parts), 40, 0, 0)
    place = 52 + 32 * len(parts)
    table, body = b"", b""
    for part in parts:
        file_size = len(part.data) if part.file_size is None else part.file_size
        memory_size = len(part.data) if part.memory_size is None else part.memory_size
        offset = place + len(body) if part.offset is None else part.offset
        table += struct.pack(
            order + "8I", part.kind, offset, part.address, part.address, file_size, memory_size, part.flags, 4096
        )
        body += part.data
    return ident + header + table + body


def elf_for(arch: Arch, *parts: Part) -> bytes:
    """make_elf for an architecture."""
    return make_elf(*parts, machine=MACHINES[arch.name], order=arch.order.prefix)


def elf_with_symbols(arch: Arch, symbols: Mapping[str, int], *parts: Part) -> bytes:
    """elf_for, with functions at addresses in its symbol table."""
    order = arch.order.prefix
    whole = elf_for(arch, *parts)
    names, table = b"\0", bytes(16)
    for name, address in symbols.items():
        table += struct.pack(order + "IIIBBH", len(names), address, 0, 0x12, 0, 1)
        names += name.encode() + b"\0"
    section_names = b"\0.symtab\0.strtab\0"
    places = [len(whole), len(whole) + len(table), len(whole) + len(table) + len(names)]
    sections = bytes(40)
    sections += struct.pack(order + "10I", 1, 2, 0, 0, places[0], len(table), 2, 1, 4, 16)
    sections += struct.pack(order + "10I", 9, 3, 0, 0, places[1], len(names), 0, 0, 1, 0)
    sections += struct.pack(order + "10I", 9, 3, 0, 0, places[2], len(section_names), 0, 0, 1, 0)
    body = whole + table + names + section_names
    header = struct.pack(order + "I", len(body)) + body[36:48] + struct.pack(order + "HH", 4, 3)
    return body[:32] + header + body[52:] + sections
