"""ELF executables: checked, and given back as what is to lie in memory.

As a kernel loads its boot modules: there is no interpreter, and nothing is relocated. A program that names an interpreter is
started itself, and an interpreter that is a module is a program like others.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Final, NamedTuple

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.construct.lib.container import Container
from elftools.elf.elffile import ELFFile

from machemu.abi.errors import UserError
from machemu.abi.vm import VM_PROT_EXECUTE, VM_PROT_READ, VM_PROT_WRITE
from machemu.formats import packed
from machemu.sim.saved import is_saved

ARCHITECTURES: Final = {("EM_386", True): "i386", ("EM_68K", False): "m68k"}
"""By e_machine and whether the file is little-endian."""
BASES: Final = {"ET_EXEC": 0, "ET_DYN": 128 << 20}
"""What is added to a file's addresses, by its type: where one that can lie anywhere is put (GNU Mach's elf-load.c)."""
PF_X, PF_W, PF_R = 1, 2, 4
SEGMENTS_MAX: Final = 256
MULTIBOOT: Final = struct.pack("<I", 0x1BADB002)
MULTIBOOT_PLACE: Final = 8192
"""Within how many bytes of a kernel its Multiboot header lies: the magic number, flags, and what makes the sum of all three 0."""


class Segment(NamedTuple):
    """`data` at `address`, zeros up to `size` bytes, pages protected by VM_PROT_*."""

    address: int
    data: bytes
    size: int
    protection: int


class Image(NamedTuple):
    path: str
    entry: int
    segments: tuple[Segment, ...]


def architecture_of(path: str) -> str:
    """The architecture that the executable in a file is for. UserError for whatever is not one."""
    return architecture_in(path, packed.read(Path(path), "an executable"))


def architecture_in(path: str, data: bytes) -> str:
    """As architecture_of, from bytes."""
    return _header(path, data).architecture


def parse_image(path: str, data: bytes, limit: int, page_size: int, architecture: str) -> Image:
    """An executable for a machine, whose addresses must lie below `limit`. UserError for whatever is not one."""
    header = _header(path, data)
    if header.architecture != architecture:
        raise UserError(f"{path}: is a program for {header.architecture}, and the machine is an {architecture}")
    segments = tuple(
        _segment(path, number, data, entry, header.base, limit)
        for number, entry in enumerate(header.segments)
        if entry.p_type == "PT_LOAD" and entry.p_memsz
    )
    _check_layout(path, segments, page_size)
    if not any(s.address <= header.entry < s.address + s.size for s in segments):
        raise UserError(f"{path}: its entry point {header.entry:#x} lies in none of its segments")
    return Image(path, header.entry, segments)


class _Header(NamedTuple):
    """base: what its segments' addresses count from; the entry point is the sum already."""

    architecture: str
    base: int
    entry: int
    segments: list[Container]


def _header(path: str, data: bytes) -> _Header:
    if is_saved(data):
        raise UserError(f"{path}: is no program but a saved machine or cluster: --load goes on with it")
    if is_kernel(data):
        raise UserError(
            f"{path}: is a kernel (it has a Multiboot header), and machemu has its own: give it the modules that a boot loader "
            "gives this one"
        )
    try:
        elf = ELFFile(io.BytesIO(data))
        header = elf.header
        architecture = ARCHITECTURES.get((header.e_machine, elf.little_endian))
        if elf.elfclass != 32 or architecture is None:
            raise UserError(f"{path}: is for {_describe(elf)}; machemu runs 32-bit i386 and m68k programs")
        if header.e_type not in BASES:
            raise UserError(f"{path}: is no executable (type {header.e_type}): link it with -static")
        if header.e_phnum > SEGMENTS_MAX:
            raise UserError(f"{path}: has {header.e_phnum} program headers; {SEGMENTS_MAX} are the most")
        headers = [elf.get_segment(n).header for n in range(header.e_phnum)]
    except (ELFError, ConstructError, ValueError, KeyError, OverflowError, AssertionError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is no ELF executable, or is damaged: {error or type(error).__name__}") from None
    base = BASES[header.e_type]
    return _Header(architecture, base, base + header.e_entry, headers)


def is_kernel(data: bytes) -> bool:
    """Whether a boot loader would take the bytes for a kernel: by the Multiboot header among the first of them."""
    head = data[:MULTIBOOT_PLACE]
    place = head.find(MULTIBOOT)
    while place >= 0:
        if place % 4 == 0 and sum(struct.unpack("<3I", head[place : place + 12].ljust(12, b"\0"))) & 0xFFFFFFFF == 0:
            return True
        place = head.find(MULTIBOOT, place + 1)
    return False


def _describe(elf: ELFFile) -> str:
    return f"{elf.elfclass}-bit {elf.header.e_machine} {'little' if elf.little_endian else 'big'}-endian"


def _segment(path: str, number: int, data: bytes, entry: Container, base: int, limit: int) -> Segment:
    offset, filesz, memsz, address = entry.p_offset, entry.p_filesz, entry.p_memsz, base + entry.p_vaddr
    where = f"{path}: segment {number}"
    if offset + filesz > len(data):
        raise UserError(f"{where} wants {filesz} bytes at {offset}, but the file ends at {len(data)}: it is cut short")
    if filesz > memsz:
        raise UserError(f"{where} has more bytes in the file ({filesz}) than in memory ({memsz})")
    if address + memsz > limit:
        raise UserError(f"{where} reaches {address + memsz:#x}, beyond the user's addresses ({limit:#x})")
    flags = entry.p_flags
    pairs = ((PF_R, VM_PROT_READ), (PF_W, VM_PROT_WRITE), (PF_X, VM_PROT_EXECUTE))
    protection = sum(prot for flag, prot in pairs if flags & flag)
    return Segment(address, data[offset : offset + filesz], memsz, protection)


def _check_layout(path: str, segments: tuple[Segment, ...], page_size: int) -> None:
    if not segments:
        raise UserError(f"{path}: has nothing to load")
    end = 0
    for segment in sorted(segments, key=lambda s: s.address):
        if segment.address // page_size * page_size < end:
            raise UserError(f"{path}: two segments share the page at {segment.address // page_size * page_size:#x}")
        end = -(-(segment.address + segment.size) // page_size) * page_size
