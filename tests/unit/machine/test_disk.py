"""Disk images: which files can be one, and the overlay against plain bytes."""

from __future__ import annotations

import os
import subprocess
import sys
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


def links(image: Path) -> list[Path]:
    """An image under its own name, by a link and by a second name."""
    hard, soft = image.with_name("hard"), image.with_name("soft")
    hard.hardlink_to(image)
    soft.symlink_to(image)
    return [image, hard, soft]


@pytest.mark.parametrize(
    ("first", "second", "refused"), [(True, True, True), (True, False, True), (False, True, True), (False, False, False)]
)
def test_an_image_that_is_written_is_one_disk_s_alone(first: bool, second: bool, refused: bool, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(IMAGE)
    for path in links(image):
        disk = ImageDisk.of_file(image, writable=first)
        if refused:
            with pytest.raises(UserError, match=f"{path.name}: .*this machine or cluster has it as a disk already"):
                ImageDisk.of_file(path, writable=second)
        else:
            ImageDisk.of_file(path, writable=second).close()
        disk.close()
        ImageDisk.of_file(path, writable=second).close()


def test_the_process_that_has_an_image_is_named(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(IMAGE)
    code = f"""
import sys
from pathlib import Path
from machemu.machine.disk import ImageDisk
disk = ImageDisk.of_file(Path({str(image)!r}), writable=True)
print(flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None and other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UserError, match=f"process {other.pid} has it as a disk already"):
            ImageDisk.of_file(image)
    ImageDisk.of_file(image).close()


def test_a_loaded_disk_has_the_lock_of_the_one_that_was_given(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(IMAGE)
    disk = ImageDisk.of_file(image, writable=True)
    disk.close()
    given_disk = ImageDisk.of_file(image, writable=True)
    disk.attach("hd0", given_disk)
    given_disk.close()
    with pytest.raises(UserError, match="as a disk already"):
        ImageDisk.of_file(image)
    disk.close()
    ImageDisk.of_file(image).close()
