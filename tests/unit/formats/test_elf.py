"""An executable's segments come out as they are to lie in memory; anything else is refused with file, place and reason."""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import UserError
from machemu.formats.elf import Image, Segment, architecture_of, parse_image
from machemu.formats.packed import read
from tests.support.elves import EM_68K, ET_DYN, PT_INTERP, PT_NOTE, Part, R, W, X, make_elf

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 0xC0000000
PAGE = 4096
PROGRAMS = sorted((ROOT / "images" / "i386").glob("*.elf"))
READ, WRITE, EXECUTE = 1, 2, 4
DYN = 128 << 20
X86_64 = 62


def parse(data: bytes, architecture: str = "i386") -> Image:
    return parse_image("a.elf", data, LIMIT, PAGE, architecture)


@pytest.mark.parametrize(("machine", "order", "name"), [(3, "<", "i386"), (EM_68K, ">", "m68k")])
def test_segments_have_their_bytes_sizes_and_protections(machine: int, order: str, name: str) -> None:
    parts = [
        Part(0x1000, b"code", flags=R | X),
        Part(0x3000, b"data", 0x2000, R | W),
        Part(0x8000, memory_size=5, flags=R | W | X),
    ]
    image = parse(make_elf(*parts, machine=machine, order=order, entry=0x1002), name)
    assert image == Image(
        "a.elf",
        0x1002,
        (
            Segment(0x1000, b"code", 4, READ | EXECUTE),
            Segment(0x3000, b"data", 0x2000, READ | WRITE),
            Segment(0x8000, b"", 5, READ | WRITE | EXECUTE),
        ),
    )


@pytest.mark.parametrize(("machine", "order", "name"), [(3, "<", "i386"), (EM_68K, ">", "m68k")])
def test_a_program_that_can_lie_anywhere_lies_at_128_mib(machine: int, order: str, name: str) -> None:
    parts = [Part(0, b"/lib/ld.so", kind=PT_INTERP), Part(0, b"code"), Part(0x3FF0, b"data", 0x2000, R | W)]
    image = parse(make_elf(*parts, machine=machine, order=order, file_type=ET_DYN, entry=2), name)
    assert image.entry == 0x8000002
    assert [(s.address, s.data, s.size) for s in image.segments] == [(0x8000000, b"code", 4), (0x8003FF0, b"data", 0x2000)]


def test_a_program_that_names_an_interpreter_is_loaded_itself() -> None:
    image = parse(make_elf(Part(0, b"/lib/ld.so", kind=PT_INTERP), GOOD))
    assert (image.entry, [s.address for s in image.segments]) == (0x1000, [0x1000])


def test_a_program_for_another_machine_is_refused() -> None:
    with pytest.raises(UserError, match=r"^a\.elf: is a program for m68k, and the machine is an i386$"):
        parse(make_elf(GOOD, machine=EM_68K, order=">"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_our_programs_load(path: Path) -> None:
    image = parse_image(str(path), read(path, "an executable"), LIMIT, PAGE, "i386")
    assert architecture_of(str(path)) == "i386"
    assert any(segment.protection == READ | EXECUTE and segment.address <= image.entry for segment in image.segments)


def test_what_is_not_to_be_loaded_is_passed_over() -> None:
    image = parse(make_elf(Part(0, b"note", kind=PT_NOTE), Part(0x1000, b"code"), Part(0x1000, memory_size=0)))
    assert [segment.address for segment in image.segments] == [0x1000]


GOOD = Part(0x1000, b"code")
CASES = {
    "empty": (b"", "no ELF executable"),
    "text": (b"#!/bin/sh\n" * 20, "no ELF executable"),
    "magic alone": (b"\x7fELF", "no ELF executable"),
    "half a header": (make_elf(GOOD)[:40], "no ELF executable"),
    "header alone": (make_elf(GOOD)[:52], "no ELF executable"),
    "cut in a segment": (make_elf(GOOD)[:-1], "segment 0 wants 4 bytes at 84.*ends at 87"),
    "64-bit": (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, X86_64, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0),
        "64-bit",
    ),
    "foreign machine": (make_elf(GOOD, machine=40), "EM_ARM.*i386 and m68k"),
    "machine without a name": (make_elf(GOOD, machine=0xFEED), "65261"),
    "i386 big-endian": (make_elf(GOOD, order=">"), "EM_386 big-endian"),
    "m68k little-endian": (make_elf(GOOD, machine=EM_68K), "EM_68K little-endian"),
    "object file": (make_elf(GOOD, file_type=1), "is no executable .type ET_REL.: link it with -static"),
    "core": (make_elf(GOOD, file_type=4), "is no executable .type ET_CORE."),
    "anywhere, beyond the user's addresses": (make_elf(Part(LIMIT - DYN - 3, b"code"), file_type=ET_DYN), "reaches 0xc0000001"),
    "anywhere, beyond 32 bits": (make_elf(Part(0xFFFFF000, b"code"), file_type=ET_DYN), "reaches 0x107fff004"),
    "anywhere, entry outside": (make_elf(GOOD, file_type=ET_DYN, entry=DYN + 0x1000), "entry point 0x10001000"),
    "anywhere, nothing to load": (make_elf(Part(0, b"/lib/ld.so", kind=PT_INTERP), file_type=ET_DYN), "nothing to load"),
    "nothing to load": (make_elf(Part(0, b"note", kind=PT_NOTE)), "nothing to load"),
    "no program headers": (make_elf(), "nothing to load"),
    "more file than memory": (
        make_elf(Part(0x1000, b"code", memory_size=2)),
        r"more bytes in the file \(4\) than in memory \(2\)",
    ),
    "kernel address": (make_elf(Part(LIMIT, b"code"), entry=LIMIT), "beyond the user's addresses"),
    "reaches the kernel": (make_elf(GOOD, Part(LIMIT - 4096, b"x", memory_size=4097)), "0xc0000001, beyond"),
    "wraps around": (make_elf(Part(0xFFFFFFFC, b"codecode"), entry=0xFFFFFFFC), "beyond"),
    "all of memory": (make_elf(Part(0x1000, b"code", memory_size=0xFFFFFFFF)), "beyond"),
    "overlap": (make_elf(Part(0x1000, b"codecode"), Part(0x1004, b"data")), "share the page at 0x1000"),
    "same page": (make_elf(Part(0x1000, b"code"), Part(0x1800, b"data")), "share the page at 0x1000"),
    "same page, upper first": (
        make_elf(Part(0x2800, b"data"), Part(0x1000, b"code", memory_size=0x1001)),
        "share the page at 0x2000",
    ),
    "entry below": (make_elf(GOOD, entry=0xFFF), "entry point 0xfff"),
    "entry behind": (make_elf(GOOD, entry=0x1004), "entry point 0x1004"),
    "file size of 4 GiB": (make_elf(Part(0x1000, b"x", file_size=0xFFFFFFFF, memory_size=0xFFFFFFFF)), "cut short"),
    "offset of 4 GiB": (make_elf(Part(0x1000, b"code", offset=0xFFFFFFFF)), "cut short"),
    "too many headers": (make_elf(*[GOOD] * 300), "300 program headers"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_executable_is_refused_with_the_reason(name: str) -> None:
    data, reason = CASES[name]
    with pytest.raises(UserError, match=f"^a.elf: .*{reason}"):
        parse(data)


MULTIBOOT = struct.pack("<3I", 0x1BADB002, 3, -(0x1BADB002 + 3) & 0xFFFFFFFF)


@pytest.mark.parametrize("place", [0, 4, 8192 - 12])
def test_a_kernel_is_refused_as_one(place: int) -> None:
    with pytest.raises(UserError, match=r"^a\.elf: is a kernel \(it has a Multiboot header\)"):
        parse(bytes(place) + MULTIBOOT)


@pytest.mark.parametrize("data", [MULTIBOOT[:8], b"x" + MULTIBOOT, bytes(8192 - 8) + MULTIBOOT, MULTIBOOT[:4] + bytes(8)])
def test_what_only_looks_like_a_multiboot_header_is_none(data: bytes) -> None:
    assert parse(make_elf(Part(0x1000, b"code" + data))).segments[0].data == b"code" + data


def test_the_last_user_byte_can_be_used() -> None:
    assert parse(make_elf(Part(LIMIT - 4, b"code"), entry=LIMIT - 1)).segments[0].address == LIMIT - 4


def test_segments_in_neighbouring_pages_do_not_overlap() -> None:
    assert len(parse(make_elf(Part(0x1000, b"code", memory_size=0x1000), Part(0x2000, b"data"))).segments) == 2


@pytest.mark.slow
def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (
        tmp_path / "missing",
        tmp_path,
        fifo,
        Path("/dev/zero"),
        tmp_path / "loop",
        tmp_path / "nul\0",
        tmp_path / ("x" * 300),
    ):
        with pytest.raises(UserError, match=str(path.name).partition("\0")[0]):
            parse_image(str(path), read(path, "an executable"), LIMIT, PAGE, "i386")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_read_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(make_elf(GOOD))
    path.chmod(0)
    with pytest.raises(UserError, match="secret: cannot be read"):
        parse_image(str(path), read(path, "an executable"), LIMIT, PAGE, "i386")


VALID = [
    ("i386", make_elf(GOOD, Part(0x5000, b"data" * 9, 0x3000, R | W))),
    ("m68k", make_elf(GOOD, machine=EM_68K, order=">")),
    ("i386", PROGRAMS[0].read_bytes()),
]


def acceptable(image: Image) -> bool:
    spans = sorted((s.address // PAGE, -(-(s.address + s.size) // PAGE)) for s in image.segments)
    apart = all(end <= start for (_, end), (start, _) in pairwise(spans))
    inside = all(s.address + s.size <= LIMIT and len(s.data) <= s.size for s in image.segments)
    return apart and inside and any(s.address <= image.entry < s.address + s.size for s in image.segments)


@given(st.sampled_from(VALID), st.data())
def test_a_damaged_program_is_refused_or_still_acceptable(program: tuple[str, bytes], data: st.DataObject) -> None:
    architecture, valid = program
    damaged = bytearray(valid)
    headers = min(len(valid), 52 + 32 * 4)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, headers - 4))
        word = data.draw(st.one_of(st.sampled_from([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(valid)]), st.integers(0, 0xFFFFFFFF)))
        damaged[place : place + 4] = struct.pack("<I", word)
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    try:
        image = parse(bytes(damaged[:cut]), architecture)
    except UserError as error:
        assert "a.elf" in str(error)
    else:
        assert acceptable(image)


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_magic_number_are_refused_or_acceptable(data: bytes) -> None:
    try:
        assert acceptable(parse(b"\x7fELF" + data))
    except UserError as error:
        assert "a.elf" in str(error)
