"""Files are read out of ext2, ext3 and ext4 file systems as e2fsprogs made them; damaged ones are refused."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machemu.abi.errors import UserError
from machemu.formats import ext2
from machemu.formats.ext2 import Ext2

pytestmark = pytest.mark.skipif(shutil.which("mke2fs") is None, reason="mke2fs (Debian's e2fsprogs) makes the images")

KINDS = (
    "ext2 -b 1024",
    "ext2 -b 4096 -O ^filetype",
    "ext2 -b 1024 -r 0",
    "ext3 -b 2048",
    "ext4 -b 1024",
    "ext4 -b 4096 -O 64bit",
    "ext4 -O metadata_csum,metadata_csum_seed,large_dir,ea_inode",
)
ODD = "na\udcefve"
"""A name that is no UTF-8, as Python has it."""
BIG = b"".join(struct.pack("<I", n) for n in range(90_000))


def of(image: bytes) -> Ext2:
    return Ext2(lambda start, size: image[start : start + size], "hd0s1")


def make(folder: Path, kind: str) -> bytes:
    """An image with the folder's files."""
    image = folder.parent / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    name, *options = kind.split()
    subprocess.run(["mke2fs", "-q", "-t", name, *options, "-d", str(folder), str(image)], check=True, capture_output=True)
    return image.read_bytes()


def fill(folder: Path) -> None:
    (folder / "hurd").mkdir(parents=True)
    (folder / "hurd" / "small").write_bytes(b"small")
    (folder / "hurd" / "empty").write_bytes(b"")
    (folder / "big").write_bytes(BIG)
    with (folder / "holes").open("wb") as file:
        file.seek(300_000)
        file.write(b"end")
    (folder / "many").mkdir()
    for number in range(300):
        (folder / "many" / f"file-with-a-long-name-{number}").write_bytes(str(number).encode())
    (folder / "link").symlink_to("hurd/small")
    (folder / "hurd" / "up").symlink_to("../link")
    (folder / "hurd" / "root").symlink_to("/" + "./" * 60 + "big")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / ODD).write_bytes(b"odd")
    (folder / "odd").symlink_to(ODD)
    (folder / "nothing-odd").symlink_to(ODD + "x")


@pytest.fixture(scope="module", params=KINDS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("ext2") / "files"
    fill(folder)
    return make(folder, request.param)


def test_files_folders_links_and_holes_are_read(image: bytes) -> None:
    files = of(image)
    assert files.read("/hurd/small") == files.read("hurd//./small") == files.read("/hurd/../link") == b"small"
    assert files.read("/hurd/up") == b"small"
    assert files.read("/hurd/empty") == b""
    assert files.read("/odd") == files.read(f"/{ODD}") == b"odd"
    assert files.read("/big") == files.read("/hurd/root") == BIG
    assert files.read("/holes") == bytes(300_000) + b"end"
    assert [files.read(f"/many/file-with-a-long-name-{number}") for number in (0, 150, 299)] == [b"0", b"150", b"299"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nothing", "there is no /nothing: nothing is named nothing"),
        ("/hurd/small/x", "a part of it is no folder"),
        ("/hurd", "/hurd is no file"),
        ("/", "is no file"),
        ("/loop", "leads through too many links"),
        ("/dangling", "nothing is named nowhere"),
        ("/nothing-odd", f"nothing is named {ODD}x"),
        ("/" + "hurd/../" * 300 + "loop", "too many links"),
    ],
)
def test_what_is_no_file_is_refused_by_name(image: bytes, path: str, why: str) -> None:
    with pytest.raises(UserError, match=f"^hd0s1: .*{why}"):
        of(image).read(path)


def test_a_file_larger_than_may_be_is_refused(image: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ext2, "FILE_MAX", len(BIG) - 1)
    with pytest.raises(UserError, match=f"/big has {len(BIG)} bytes, and {len(BIG) - 1} are the most"):
        of(image).read("/big")


def patched(image: bytes, place: int, data: bytes) -> bytes:
    return image[:place] + data + image[place + len(data) :]


@pytest.mark.parametrize(
    ("place", "data", "why"),
    [
        (56, b"XX", "holds no ext2 file system"),
        (24, b"\x07\0\0\0", "damaged: superblock"),
        (40, bytes(4), "damaged: superblock"),
        (96, b"\x02\0\1\0", "features that are not understood .0x10000."),
        (96, b"\x0a\0\0\0", "features that are not understood .0x8."),
    ],
)
def test_a_superblock_that_cannot_be_is_refused(image: bytes, place: int, data: bytes, why: str) -> None:
    if place == 96 and not image[1024 + 76]:
        pytest.skip("a file system of revision 0 has no features")
    with pytest.raises(UserError, match=f"^hd0s1: .*{why}"):
        of(patched(image, 1024 + place, data))


@pytest.mark.parametrize("size", [0, 100, 2047, 4096, 40_000])
def test_an_image_that_is_cut_short_is_refused(image: bytes, size: int) -> None:
    with pytest.raises(UserError, match=r"^hd0s1: .*(holds no|cut short|damaged)"):
        of(image[:size]).read("/big")


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_damage_is_refused_or_harmless(image: bytes, data: st.DataObject) -> None:
    """In what describes the files, in the first 200 KiB."""
    damaged = bytearray(image)
    used = [at for at in range(1024, 200 << 10) if image[at]]
    for _ in range(data.draw(st.integers(1, 12))):
        place = data.draw(st.sampled_from(used))
        damaged[place] = data.draw(st.integers(0, 255))
    for path in ("/big", "/hurd/root", "/many/file-with-a-long-name-299", "/holes"):
        try:
            assert len(of(bytes(damaged)).read(path)) <= ext2.FILE_MAX
        except UserError as error:
            assert str(error).startswith("hd0s1: ")
