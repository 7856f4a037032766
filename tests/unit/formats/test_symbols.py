"""Symbols: the function that an address is in, by the program's own file."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from machemu.formats.symbols import symbol_at
from tests.support.elves import Part, elf_with_symbols
from tests.support.guests import Arch

CODE = bytes(range(1, 65))
SYMBOLS = {"start": 0x1000, "middle": 0x1010, "end": 0x1040}


@pytest.fixture
def program(arch: Arch, tmp_path: Path) -> Path:
    path = tmp_path / "program.elf"
    path.write_bytes(elf_with_symbols(arch, SYMBOLS, Part(0x1000, CODE), Part(0x3000, b"data", flags=6)))
    return path


def test_an_address_is_in_the_function_that_begins_last_before_it(program: Path) -> None:
    for address, symbol in ((0x1000, "start+0x0"), (0x100F, "start+0xf"), (0x1010, "middle+0x0"), (0x103F, "middle+0x2f")):
        assert symbol_at(program, address, CODE[address - 0x1000 :][:4]) == symbol


def test_where_other_code_lies_in_memory_no_symbol_is_told(program: Path) -> None:
    assert symbol_at(program, 0x1010, b"other") == ""
    assert symbol_at(program, 0x1010, b"") == ""
    assert symbol_at(program, 0x1040, b"x") == ""
    assert symbol_at(program, 0x3000, b"data") == ""


def test_a_file_that_tells_nothing_is_no_error(program: Path, tmp_path: Path) -> None:
    assert symbol_at(tmp_path / "gone", 0x1000, CODE[:4]) == ""
    assert symbol_at(tmp_path, 0x1000, CODE[:4]) == ""
    whole = program.read_bytes()
    for cut in range(0, len(whole), 7):
        program.write_bytes(whole[:cut])
        assert symbol_at(program, 0x1000, CODE[:4]) in ("", "start+0x0")
    for at in range(0, len(whole) - 4, 3):
        program.write_bytes(whole[:at] + struct.pack("<I", 0xFFFFFFFF) + whole[at + 4 :])
        symbol_at(program, 0x1000, CODE[:4])
