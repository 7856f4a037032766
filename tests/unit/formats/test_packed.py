"""Files packed by gzip are read as what they hold; damaged ones, and those that hold too much, are refused by name."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import UserError
from machemu.formats import packed
from machemu.formats.packed import UNPACKED_MAX, read, unpack

TEXT = bytes(range(256)) * 20
PACKED = gzip.compress(TEXT, mtime=0)


def test_a_packed_file_is_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(PACKED)
    assert read(tmp_path / "a.gz", "an executable") == TEXT


def test_other_bytes_stay_as_they_are() -> None:
    assert unpack("a", TEXT) == TEXT
    assert unpack("a", b"") == b""


def test_several_members_are_one_file_and_padding_behind_them_is_none_of_it() -> None:
    assert unpack("a", PACKED + gzip.compress(b"more") + bytes(100)) == TEXT + b"more"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (PACKED[:-1], "cut short"),
        (PACKED[:20], "cut short"),
        (PACKED[:3], "cut short"),
        (PACKED[:-8] + bytes(8), "damaged: incorrect data check"),
        (PACKED[:-4] + bytes(4), "damaged: incorrect length check"),
        (PACKED[:10] + b"\xff" * 20, "damaged: invalid"),
        (PACKED + PACKED[:5], "cut short"),
    ],
)
def test_a_damaged_one_is_refused_with_its_name(data: bytes, why: str) -> None:
    with pytest.raises(UserError, match=f"^dir/a.gz: is packed by gzip and {why}"):
        unpack("dir/a.gz", data)


@given(st.data())
def test_any_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    damaged = bytearray(PACKED)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert len(unpack("a", bytes(damaged))) <= UNPACKED_MAX
    except UserError as error:
        assert str(error).startswith("a: ")


def test_no_more_is_unpacked_than_may_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 1 << 20
    monkeypatch.setattr(packed, "UNPACKED_MAX", limit)
    assert len(unpack("a", gzip.compress(bytes(limit)))) == limit
    bomb = gzip.compress(bytes(64 << 20))
    tracemalloc.start()
    try:
        for data in (bomb, gzip.compress(bytes(limit)) * 2, gzip.compress(bytes(limit)) + gzip.compress(b"x")):
            with pytest.raises(UserError, match="holds more than 1048576 bytes"):
                unpack("a", data)
        assert tracemalloc.get_traced_memory()[1] < 8 * limit
    finally:
        tracemalloc.stop()


def test_a_file_of_many_pieces_is_unpacked_without_reading_its_rest_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 20_000
    monkeypatch.setattr(packed, "MEMBERS_MAX", most)
    piece = gzip.compress(b"x" * 3)
    copied = Counted(piece * most)
    assert unpack("a", copied) == b"xxx" * most
    assert copied.sliced < most * 2 * packed.PIECE
    with pytest.raises(UserError, match="a: is packed by gzip in more than 20000 pieces, which is the most"):
        unpack("a", piece * (most + 1))


class Counted(bytes):
    """Bytes that count how many of them are copied."""

    sliced = 0

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        self.sliced += len(part) if isinstance(part, bytes) else 1
        return part
