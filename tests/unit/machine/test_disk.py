"""Disk images: which files can be one, and the overlay against plain bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import UserError
from machemu.machine.disk import SECTOR, ImageDisk

SECTORS = 37
IMAGE = bytes(n * 31 & 0xFF for n in range(SECTORS * SECTOR))


@given(st.lists(st.tuples(st.integers(0, SECTORS - 1), st.integers(1, SECTORS), st.integers(0, 255)), max_size=20))
def test_what_was_written_is_read(writes: list[tuple[int, int, int]]) -> None:
    disk = ImageDisk.of_bytes(IMAGE)
    expected = bytearray(IMAGE)
    for sector, wanted, value in writes:
        count = min(wanted, SECTORS - sector)
        piece = bytes([value]) * (count * SECTOR)
        disk.write(sector, piece)
        expected[sector * SECTOR : (sector + count) * SECTOR] = piece
        assert disk.read(sector, count) == piece
    assert disk.read(0, SECTORS) == bytes(expected)
    assert all(disk.read(sector, 1) == expected[sector * SECTOR :][:SECTOR] for sector in range(SECTORS))


@pytest.mark.parametrize("size", (0, 1, 511, 513, 1000))
def test_an_image_is_whole_sectors(size: int, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(size))
    with pytest.raises(UserError, match=f"has {size} bytes"):
        ImageDisk.of_bytes(bytes(size))
    with pytest.raises(UserError, match=f"image: has {size} bytes"):
        ImageDisk.of_file(path)


def test_what_is_no_file_is_no_image(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, tmp_path / "missing", Path("/dev/null")):
        with pytest.raises(UserError, match=path.name):
            ImageDisk.of_file(path)
    with pytest.raises(UserError, match="cannot be written"):
        ImageDisk.of_file(tmp_path, writable=True)


def test_a_disk_has_less_than_2_to_the_31_sectors(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="less than"):
        ImageDisk.of_file(path)
