"""Data between byte orders: what is described comes as what it was, and whatever else comes does no harm."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.message import CarriedMemory, TypeDescriptor
from machemu.abi.types import ByteOrder
from machemu.user.message import Header, Message
from masix.gns.convert import convert
from tests.support.guests import I386, M68K, Arch

BOTH = pytest.mark.parametrize(("mine", "other"), [(I386, M68K), (M68K, I386)])
INTEGER_16, INTEGER_32, CHAR, INTEGER_64 = 1, 2, 8, 11


def turn(mine: Arch, other: Arch, body: bytes, *carried: CarriedMemory[bytes]) -> Message:
    return convert(Message(Header(0, 0, 0, 0, 1), body, carried, bool(carried)), mine.order, other.order)


@BOTH
@pytest.mark.parametrize(("size", "data"), [(1, b"a"), (7, b"abc"), (9, b"abcd"), (31, b"abcdefghijkl"), (33, b"abcdefghijklm")])
def test_numbers_that_are_no_whole_bytes_stay_as_they_are(mine: Arch, other: Arch, size: int, data: bytes) -> None:
    padded = data + bytes(-len(data) % 4)
    body = mine.pack("I", mine.item(INTEGER_32, size, 3)) + padded
    assert turn(mine, other, body).body == other.pack("I", other.item(INTEGER_32, size, 3)) + padded


@BOTH
def test_the_word_of_memory_in_a_simple_message_is_a_number(mine: Arch, other: Arch) -> None:
    body = mine.pack("II", mine.item(CHAR, 8, 40, inline=False), 0x60000000)
    assert turn(mine, other, body).body == other.pack("II", other.item(CHAR, 8, 40, inline=False), 0x60000000)


@BOTH
def test_a_body_that_ends_within_an_item_stays_from_there_on(mine: Arch, other: Arch) -> None:
    first = "IH2x", INTEGER_16, 16
    good, turned = (arch.pack(first[0], arch.item(*first[1:], 1), 7) for arch in (mine, other))
    for end in (
        mine.pack("II", mine.item(INTEGER_32, 32, 9), 1),
        mine.pack("I", mine.item(CHAR, 8, 40, inline=False)),
        mine.pack("I", TypeDescriptor(0, 0, 0, True, True).word(mine.order)),
        mine.long_item(INTEGER_64, 64, 1)[:8],
        b"\xff\xff\xff",
    ):
        assert turn(mine, other, good + end).body == turned + end


@given(st.binary(max_size=80), st.sampled_from([(I386, M68K), (M68K, I386)]))
def test_no_body_does_harm(body: bytes, machines: tuple[Arch, Arch]) -> None:
    """The kernel looks at the bodies of complex messages alone."""
    there = turn(*machines, body)
    assert len(there.body) == len(body)


@given(st.lists(st.integers(0, 0xFFFFFFFF), max_size=12), st.binary(max_size=8), st.integers(0, 48))
def test_memory_that_no_descriptor_tells_of_stays_as_it_is(words: list[int], memory: bytes, offset: int) -> None:
    body = struct.pack(f"<{len(words)}I", *words)
    message = Message(Header(0, 0, 0, 0, 1), body, (CarriedMemory(offset * 4 + 2, len(memory), memory),), True)
    assert convert(message, ByteOrder.LITTLE, ByteOrder.BIG).carried == message.carried
