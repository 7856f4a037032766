"""The first stack is Mach's: argc, the pointers, 0, an empty environment, the strings, ending at the top."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.types import ByteOrder
from machemu.formats.stack import build_stack

TOP = 0xC0000000


def test_the_layout_is_that_of_the_real_kernel() -> None:
    pointer, data = build_stack(TOP, ByteOrder.LITTLE, ["a", "bcd"])
    assert pointer == TOP - 28
    assert data == struct.pack("<5I", 2, pointer + 20, pointer + 22, 0, 0) + b"a\0bcd\0" + b"\0\0"


def test_a_big_endian_machine_gets_its_own_order() -> None:
    pointer, data = build_stack(TOP, ByteOrder.BIG, ["abc"])
    assert data == struct.pack(">4I", 1, pointer + 16, 0, 0) + b"abc\0"


ARGUMENTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), max_size=10)


@given(ARGUMENTS, st.sampled_from(ByteOrder))
def test_a_program_finds_its_arguments(arguments: list[str], order: ByteOrder) -> None:
    pointer, data = build_stack(TOP, order, arguments)
    assert pointer % 4 == 0
    assert pointer + len(data) == TOP
    count, *vector = struct.unpack(f"{order.prefix}{len(arguments) + 3}I", data[: 4 * (len(arguments) + 3)])
    assert count == len(arguments)
    assert vector[len(arguments) :] == [0, 0]
    found = [data[address - pointer :].partition(b"\0")[0].decode() for address in vector[: len(arguments)]]
    assert found == arguments


@pytest.mark.parametrize("length", range(4))
def test_the_padding_is_behind_the_strings(length: int) -> None:
    _, data = build_stack(TOP, ByteOrder.LITTLE, ["x" * length])
    assert data[16:].rstrip(b"\0") == b"x" * length
    assert len(data) - 16 - length - 1 < 4
