"""IPv4 packets that are longer than a frame, cut and joined."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.device.fragments import CHUNK, DATA_MAX, PACKETS_MAX, Joiner, cut, is_fragment
from masix.net.frames import DATA_MAX as FRAME_DATA_MAX
from masix.net.frames import make, read

STATIONS = b"\x02\0\0\0\x01\0\x02\0\0\0\x02\0"
ONE, TWO = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
FRAGMENTS = 3


def packet(data: bytes, number: int = 1, source: bytes = ONE) -> bytes:
    return make(STATIONS, source, TWO, 7, 7, data, number)


def fragments(number: int = 1, source: bytes = ONE) -> list[bytes]:
    pieces = cut(packet(bytes(2 * CHUNK), number, source))
    assert pieces is not None and len(pieces) == FRAGMENTS
    return pieces


def changed(frame: bytes, at: int, value: int) -> bytes:
    """With another 16-bit word in its IPv4 header, and the checksum for it."""
    header = bytearray(frame[14:34])
    struct.pack_into(">H", header, at, value)
    struct.pack_into(">H", header, 10, 0)
    struct.pack_into(">H", header, 10, -int.from_bytes(header, "big") % 0xFFFF)
    return frame[:14] + bytes(header) + frame[34:]


@given(st.integers(FRAME_DATA_MAX + 1, DATA_MAX - 8), st.randoms(use_true_random=False))
def test_what_is_cut_is_joined_in_any_order(size: int, dice: random.Random) -> None:
    whole = packet(dice.randbytes(size))
    pieces = cut(whole)
    assert pieces is not None and all(len(piece) <= 1514 and is_fragment(piece) for piece in pieces)
    dice.shuffle(pieces)
    joiner = Joiner()
    *early, last = [joiner.add(piece) for piece in [*pieces[:1], *pieces]]
    assert early == [None] * len(pieces) and last == whole and not joiner.packets
    assert read(whole, TWO).data == whole[42:]


@pytest.mark.parametrize("at", [0, 6], ids=["with options", "not to be cut"])
def test_what_may_not_be_cut_is_not(at: int) -> None:
    whole = packet(bytes(5000))
    assert cut(changed(whole, at, 0x4600 if at == 0 else 0x4000)) is None


def test_other_protocols_and_wrong_lengths_are_not_cut() -> None:
    whole = packet(bytes(5000))
    assert cut(whole[:12] + b"\x08\x06" + whole[14:]) is None
    assert cut(whole + b"\0") is None and cut(whole[:-1]) is None and cut(whole[:20]) is None
    assert cut(packet(bytes(DATA_MAX - 7))) is None


def test_packets_of_different_senders_or_numbers_are_not_mixed() -> None:
    joiner = Joiner()
    other = bytes((10, 0, 0, 3))
    mixed = [fragments(1)[0], fragments(2)[1], fragments(1, other)[2], fragments(2)[0], fragments(1)[2]]
    assert [joiner.add(each) for each in mixed] == [None] * 5
    assert joiner.add(fragments(1)[1]) == packet(bytes(2 * CHUNK), 1)


def test_fragments_that_cannot_be_are_refused() -> None:
    first, second, last = fragments()
    joiner = Joiner()
    short = changed(first, 2, 20 + 1001)
    broken = first[:24] + b"\0\0" + first[26:]
    beyond = changed(last, 6, 0x1FFF)
    empty = changed(first, 2, 20)
    longer = changed(first, 2, 1501)
    assert [joiner.add(each) for each in (short, broken, beyond, empty, longer)] == [None] * 5 and not joiner.packets
    overlapping = changed(second, 6, 0x2000 | CHUNK // 8 - 1)
    assert [joiner.add(each) for each in (first, overlapping, last)] == [None] * 3 and not joiner.packets


def test_of_packets_that_are_never_complete_the_oldest_go() -> None:
    joiner = Joiner()
    for number in range(1, PACKETS_MAX + 2):
        assert joiner.add(fragments(number)[0]) is None
    assert len(joiner.packets) == PACKETS_MAX
    assert [joiner.add(each) for each in fragments(1)[1:]] == [None] * 2
    assert [joiner.add(each) is None for each in fragments(PACKETS_MAX + 1)[1:]] == [True, False]
