"""What the compilers make of Mach's structures, on each machine: the bytes that the kernel reads and writes."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from machemu.abi.errors import UserError
from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND_ONCE,
    MOVE_SEND,
    MSG_TYPE_CHAR,
    MSG_TYPE_INTEGER_32,
    MSGH_BITS_COMPLEX,
    TypeDescriptor,
    decode_type_word,
    msgh_bits,
)
from machemu.abi.types import ByteOrder
from machemu.mig.interfaces import exc, mach, mach_host, mach_port
from machemu.mig.runtime import Message, PolyPort
from tools import images

ORDERS = {"i386": ByteOrder.LITTLE, "m68k": ByteOrder.BIG}
INT = TypeDescriptor(MSG_TYPE_INTEGER_32, 32, 1)
SEND = TypeDescriptor(MOVE_SEND, 32, 1)
DESCRIPTORS = {
    "int": INT,
    "send": SEND,
    "most": TypeDescriptor(0xFF, 0xFE, 0xABC, inline=False, deallocate=True),
    "chars": TypeDescriptor(MSG_TYPE_CHAR, 8, 100, inline=False),
    "nothing": TypeDescriptor(0, 0, 0, inline=False),
    "long_chars": TypeDescriptor(MSG_TYPE_CHAR, 8, 0x12345678, inline=False, longform=True, deallocate=True),
    "long_rights": TypeDescriptor(COPY_SEND, 32, 3, longform=True),
}
HEADER = (msgh_bits(COPY_SEND, MAKE_SEND_ONCE, MSGH_BITS_COMPLEX), 64, 0x01020304, 0x05060708, 9, -7)
MESSAGES: dict[str, tuple[Message, tuple[object, ...], tuple[int, ...]]] = {
    "exception_raise": (exc.EXCEPTION_RAISE.request, (None, None, 6, 0xBC, 0x11223344), (0, 0, 6, 0xBC, 0x11223344)),
    "vm_allocate": (mach.VM_ALLOCATE.request, (0xFFFFE000, 0x2000, 1), (0xFFFFE000, 0x2000, 1)),
    "mod_refs": (mach_port.MACH_PORT_MOD_REFS.request, (0x102, 1, -1), (0x102, 1, -1)),
    "insert_right": (
        mach_port.MACH_PORT_INSERT_RIGHT.request,
        (7, PolyPort(None, MOVE_SEND)),
        (7, 0),
    ),
    "set_time": (mach_host.HOST_SET_TIME.request, ((0x01020304, 999_999),), (0x01020304, 999_999)),
}
"""By name: a message, the values that its codec packs, and the words of the body besides the descriptors."""


def descriptor_source(item: TypeDescriptor) -> str:
    flags = f".msgt_inline = {item.inline:d}, .msgt_longform = {item.longform:d}, .msgt_deallocate = {item.deallocate:d}"
    if item.longform:
        return f"{{ {{ {flags} }}, {item.name:d}, {item.size}, {item.number} }}"
    return f"{{ .msgt_name = {item.name:d}, .msgt_size = {item.size}, .msgt_number = {item.number}, {flags} }}"


def macro_source(item: TypeDescriptor) -> str:
    if item.longform:
        long_form = f"MIG_LONG({item.inline:d}, {item.deallocate:d}), MIG_LONG_NAME({item.name:d}, {item.size}), {item.number}"
        return f"{{ {long_form} }}"
    return f"{{ MIG_SHORT({item.name:d}, {item.size}, {item.number}, {item.inline:d}, {item.deallocate:d}) }}"


def source() -> str:
    """Initialised data: a header, each descriptor as a structure and by MIG's macros, and messages as structures."""
    lines = ["#include <mig.h>", f"mach_msg_header_t header = {{ {', '.join(str(n) for n in HEADER)} }};"]
    for name, item in DESCRIPTORS.items():
        kind = "mach_msg_type_long_t" if item.longform else "mach_msg_type_t"
        lines.append(f"{kind} {name}_type = {descriptor_source(item)};")
        lines.append(f"uint32_t {name}_words[] = {macro_source(item)};")
    for name, (message, _, words) in MESSAGES.items():
        fields, values = [], []
        left = list(words)
        for n, item_type in enumerate(message.types):
            sent = SEND if item_type.is_port else TypeDescriptor(item_type.send, item_type.size, item_type.number)
            fields.append(f"mach_msg_type_t type{n}; int value{n}[{item_type.number}];")
            own, left = left[: item_type.number], left[item_type.number :]
            values.append(f"{descriptor_source(sent)}, {{ {', '.join(map(str, own))} }}")
        lines.append(f"struct {{ {' '.join(fields)} }} {name}_body = {{ {', '.join(values)} }};")
    return "\n".join(lines) + "\n"


def compiled(architecture: images.Architecture, directory: Path, text: str, *flags: str) -> ELFFile:
    try:
        with images.builder(architecture) as work:
            path = directory / "data.c"
            path.write_text(text)
            linked = directory / "linked"
            machine = [flag for flag in architecture.flags if flag.startswith("-m")]
            link = [architecture.compiler, *machine, "-nostdlib", "-static", "-no-pie", "-Wl,-e,0", "-o", str(linked)]
            images.run(architecture, [*link, str(work.compile(path, flags))])
            return ELFFile(io.BytesIO(linked.read_bytes()))
    except UserError as error:
        if "is not installed" not in str(error):
            raise
        pytest.skip(str(error))


def data(elf: ELFFile) -> dict[str, bytes]:
    """The bytes of each symbol."""
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    found = {}
    for symbol in table.iter_symbols():
        if symbol["st_info"]["type"] == "STT_OBJECT":
            section = elf.get_section(symbol["st_shndx"])
            start = symbol["st_value"] - section["sh_addr"]
            found[symbol.name] = section.data()[start : start + symbol["st_size"]]
    return found


def expected_descriptor(item: TypeDescriptor, order: ByteOrder) -> bytes:
    first = struct.pack(f"{order.prefix}I", item.word(order))
    return first + struct.pack(f"{order.prefix}HHI", item.name, item.size, item.number) if item.longform else first


@pytest.mark.parametrize("architecture", images.ARCHITECTURES, ids=lambda machine: machine.name)
@pytest.mark.slow
def test_the_compiler_s_bytes_are_those_that_the_kernel_reads(architecture: images.Architecture, tmp_path: Path) -> None:
    order = ORDERS[architecture.name]
    elf = compiled(architecture, tmp_path, source())
    assert elf.little_endian == (order is ByteOrder.LITTLE)
    bytes_of = data(elf)
    assert bytes_of["header"] == struct.pack(f"{order.prefix}5Ii", *HEADER)
    for name, item in DESCRIPTORS.items():
        assert bytes_of[f"{name}_type"] == bytes_of[f"{name}_words"] == expected_descriptor(item, order), name
        word = struct.unpack(f"{order.prefix}I", bytes_of[f"{name}_type"][:4])[0]
        first = item._replace(name=0, size=0, number=0) if item.longform else item
        assert decode_type_word(word, order) == first
    for name, (message, values, _) in MESSAGES.items():
        assert bytes_of[f"{name}_body"] == message.pack(order, values)[0], name


@pytest.mark.slow
def test_on_an_m68k_the_bytes_are_those_of_the_manual(tmp_path: Path) -> None:
    """The numbers that Mach's own sources for big-endian machines give, written out."""
    bytes_of = data(compiled(images.M68K, tmp_path, source()))
    assert bytes_of["int_type"].hex() == "02200018"
    assert bytes_of["long_rights_type"].hex() == "0000000c" + "0013" + "0020" + "00000003"
    assert bytes_of["header"].hex() == "80001513" + "00000040" + "01020304" + "05060708" + "00000009" + "fffffff9"
    assert bytes_of["exception_raise_body"].hex() == (
        "11200018"
        + "00000000"
        + "11200018"
        + "00000000"
        + "02200018"
        + "00000006"
        + "02200018"
        + "000000bc"
        + "02200018"
        + "11223344"
    )


def structures(elf: ELFFile) -> dict[str, tuple[int, tuple[tuple[str, int], ...]]]:
    """By tag or type name: each structure's size and its members' offsets; without bit fields."""
    found = {}
    for unit in elf.get_dwarf_info().iter_CUs():
        for die in unit.iter_DIEs():
            if die.tag == "DW_TAG_typedef" and "DW_AT_type" in die.attributes:
                named, name = die.get_DIE_from_attribute("DW_AT_type"), die.attributes["DW_AT_name"].value.decode()
            elif die.tag == "DW_TAG_structure_type" and "DW_AT_name" in die.attributes:
                named, name = die, "struct " + die.attributes["DW_AT_name"].value.decode()
            else:
                continue
            if named.tag == "DW_TAG_structure_type" and "DW_AT_byte_size" in named.attributes:
                found[name] = (named.attributes["DW_AT_byte_size"].value, _members(named))
    return found


def _members(structure: DIE) -> tuple[tuple[str, int], ...]:
    return tuple(
        (member.attributes["DW_AT_name"].value.decode(), member.attributes["DW_AT_data_member_location"].value)
        for member in structure.iter_children()
        if "DW_AT_data_member_location" in member.attributes and "DW_AT_bit_size" not in member.attributes
    )


@pytest.mark.slow
def test_structures_that_stubs_pass_are_alike_on_both_machines(tmp_path: Path) -> None:
    """The m68k aligns words to two bytes only: no structure may depend on that."""
    headers = "".join(f'#include "{name}_user.h"\n' for name in images.SUBSYSTEMS)
    flags = ("-g", "-gdwarf-4", "-fno-eliminate-unused-debug-types")
    i386, m68k = (
        structures(compiled(machine, tmp_path, "#include <mach.h>\n" + headers, *flags)) for machine in images.ARCHITECTURES
    )
    common = (i386.keys() & m68k.keys()) - {"max_align_t"}
    assert {
        "mach_msg_header_t",
        "mach_port_status_t",
        "struct task_basic_info",
        "struct vm_page_info",
        "struct cache_info",
    } <= common
    assert {name: i386[name] for name in sorted(common)} == {name: m68k[name] for name in sorted(common)}
    assert [name for name in i386.keys() ^ m68k.keys() if "i386" not in name and "m68k" not in name] == []
