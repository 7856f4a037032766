"""State comes back from a file as it was, and a file that is not one of ours can fail and do nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any, Final

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import InvariantError, UserError
from machemu.sim import graph, saved
from machemu.sim.graph import Writer
from machemu.sim.pages import PAGE
from machemu.sim.saved import FileKind, SavedFile
from tests.support.states import Cell, Colour, Pair, Special

MEMORY = 64 << 20
"""Bytes that the machine has which the large files claim to be."""
NO_RAM = memoryview(b"")


def load(path: Path, kind: FileKind = FileKind.MACHINE) -> tuple[Any, list[bytes]]:
    with SavedFile(path, kind) as file:
        [(root, memory)] = file.parts()
        return root, [] if memory is None else [bytes(memory)]


def save(path: Path, root: object, ram: bytes | bytearray = b"", kind: FileKind = FileKind.MACHINE) -> None:
    saved.save(path, kind, [saved.part(root, memoryview(bytearray(ram)))])


def saved_file(tmp_path: Path) -> Path:
    path = tmp_path / "machine"
    ram = bytearray(8 * PAGE)
    ram[5 * PAGE + 7] = 9
    save(path, Cell({"key": Colour.RED}, Pair(b"bytes", -5)), ram)
    return path


def test_a_file_gives_state_and_memory_back(tmp_path: Path) -> None:
    root, [memory] = load(saved_file(tmp_path))
    assert isinstance(root, Cell)
    assert root.first == {"key": Colour.RED}
    assert root.second == Pair(b"bytes", -5)
    assert len(memory) == 8 * PAGE
    assert [place for place, byte in enumerate(memory) if byte] == [5 * PAGE + 7]


def test_a_file_may_hold_any_number_of_parts_each_with_a_memory_or_none(tmp_path: Path) -> None:
    path = tmp_path / "machines"
    shared = [1, 2]
    page = b"\1" * PAGE
    memories = [bytearray(memory) for memory in (b"", bytes(PAGE), 2 * page, b"", bytes(3 * PAGE) + page)]
    for count in range(len(memories) + 1):
        parts = [saved.part(Cell(shared, number), memoryview(memory)) for number, memory in enumerate(memories[:count])]
        saved.save(path, FileKind.MACHINE, parts)
        with SavedFile(path, FileKind.MACHINE) as file:
            found = [(root, b"" if memory is None else bytes(memory)) for root, memory in file.parts()]
        assert [memory for _, memory in found] == memories[:count]
        roots = [root for root, _ in found if isinstance(root, Cell)]
        assert [(root.first, root.second) for root in roots] == [(shared, number) for number in range(count)]
        assert len({id(root.first) for root in roots}) == count, "parts share nothing"


def test_a_digest_of_a_memory_tells_where_each_byte_lies() -> None:
    page, zero = b"\1" * PAGE, bytes(PAGE)
    memories = [page + zero, zero + page, zero + zero, page, zero, b""]
    assert len({saved.digest_pages(None, memoryview(bytearray(memory))) for memory in memories}) == len(memories)


def test_pages_of_zeros_take_no_room(tmp_path: Path) -> None:
    save(tmp_path / "machine", None, bytes(1 << 24))
    assert (tmp_path / "machine").stat().st_size < 200


def test_saving_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    saved_file(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["machine"]


def test_a_state_that_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    before = path.read_bytes()
    with pytest.raises(InvariantError):
        save(path, {1, 2})
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        save(tmp_path / "nowhere" / "machine", None)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing.*cannot be read"):
        load(tmp_path / "nothing")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="machine"):
            load(path)


def test_every_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    whole = path.read_bytes()
    expected, memories = load(path)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            root, rams = load(path)
        except UserError:
            continue
        assert Writer().encode(root) == Writer().encode(expected)
        assert rams == memories


def test_something_behind_the_end_is_refused(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(UserError, match="follows its end"):
        load(path)


@pytest.mark.parametrize("kind", list(FileKind))
def test_foreign_files_and_other_versions_are_told_apart(kind: FileKind, tmp_path: Path) -> None:
    path = tmp_path / "saved"
    save(path, None, kind=kind)
    header, _, packed = path.read_bytes().partition(b"\n")
    start = b"machemu saved %s" % kind.value.encode()
    assert header == b"%s %d" % (start, saved.FORMAT)
    for foreign in (
        b"",
        b"\n",
        b"\x7fELF" + bytes(100),
        bytes(1000),
        start + b"\n",
        b"machemu saved cat 3\n",
        header,
        header + b" 1 2\n",
    ):
        path.write_bytes(foreign)
        with pytest.raises(UserError, match=f"is no saved {kind.value}"):
            load(path, kind)
    for number in (b"", b"0", b"-1", b"x", b"03", b"3.0", b"\xb3", b"9" * 10, b"9" * 200):
        path.write_bytes(start + b" " + number + b"\n" + packed)
        with pytest.raises(UserError, match="is damaged: its header names no format"):
            load(path, kind)
    for other, version in ((b" 999", 999), (b" 2 0123456789abcdef", 2), (b" 1", 1)):
        path.write_bytes(start + other + b"\n" + packed)
        with pytest.raises(
            UserError, match=f"another version of machemu, in format {version}, and this one reads format {saved.FORMAT}:"
        ):
            load(path, kind)


def test_another_version_is_told_before_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    path.write_bytes(b"machemu saved cluster 999\n")
    with pytest.raises(UserError, match="in format 999"):
        load(path, FileKind.MACHINE)


def test_a_file_of_another_kind_says_what_it_is_and_who_takes_it(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    with pytest.raises(UserError, match=r"is a saved machine, which `machemu boot --load FILE` takes"):
        load(path, FileKind.CLUSTER)
    save(path, None, kind=FileKind.CLUSTER)
    with pytest.raises(UserError, match=r"is a saved cluster, which `machemu cluster CLUSTERFILE --load FILE` takes"):
        load(path, FileKind.MACHINE)


def test_a_class_that_has_other_slots_than_when_it_was_saved_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved_file(tmp_path)
    name = f"{Cell.__module__}.{Cell.__qualname__}"
    monkeypatch.setattr(Cell, "TRANSIENT", ("engine", "second"))
    with pytest.raises(UserError, match=f"another version of {name.partition('.')[0]}, whose {name} is not the same"):
        load(path)
    monkeypatch.undo()
    assert load(path)[0].first == {"key": Colour.RED}


def test_classes_that_a_file_does_not_hold_do_not_matter_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved_file(tmp_path)
    monkeypatch.setattr(Special, "__slots__", ("fourth",))
    assert load(path)[0].first == {"key": Colour.RED}


def packed_file(path: Path, plain: bytes) -> Path:
    """A file with a right header and checksum around bytes of our choice."""
    path.write_bytes(b"machemu saved machine %d\n" % saved.FORMAT + zstandard.ZstdCompressor(write_checksum=True).compress(plain))
    return path


def head_of(*memories: int) -> bytes:
    return Writer().encode(saved.Head(memories, (), None))


@pytest.mark.parametrize("value", [bytes(1 << 20), [[] for _ in range(20_000)], {n: deque() for n in range(2_000)}])
def test_a_state_that_packs_too_well_is_saved_in_a_file_as_large_as_it_has_to_be(
    value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "ALLOWANCE", 1 << 14)
    path = tmp_path / "machine"
    save(path, value)
    whole = path.read_bytes()
    assert 1 << 13 < len(whole) < 1 << 18
    assert load(path) == (value, [])
    assert zstandard.ZstdDecompressor().stream_reader(whole.partition(b"\n")[2], read_across_frames=True).read(10)
    for other in (whole[:-1], whole + b"\0", whole[: len(whole) // 2]):
        path.write_bytes(other)
        with pytest.raises(UserError, match="damaged"):
            load(path)


BOMB: Final = 8 << 30
RLE_MAX: Final = 128 << 10
"""Bytes that a block of zstandard may repeat (RFC 8878)."""


def bomb(path: Path, plain: bytes, repeated: int) -> Path:
    """A file whose frame unpacks to `plain` and then to 8 GiB of one byte, in a quarter of a mebibyte."""
    frame = (0xFD2FB528).to_bytes(4, "little") + bytes((0, 7 << 3))
    frame += (len(plain) << 3).to_bytes(3, "little") + plain
    block = (RLE_MAX << 3 | 2).to_bytes(3, "little") + bytes((repeated,))
    path.write_bytes(b"machemu saved machine %d\n" % saved.FORMAT + frame + block * (BOMB // RLE_MAX) + b"\1\0\0")
    assert path.stat().st_size < 1 << 18 | 1 << 10
    return path


MEASURE: Final = """
import resource, sys
from pathlib import Path
from machemu.boot.node import Node
from machemu.sim.saved import *
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
before = peak()
try:
    Node.load(Path(sys.argv[1]))
except UserError as error:
    print(peak() - before, error)
"""


@pytest.mark.parametrize(
    ("plain", "repeated", "why"),
    [
        (b"", 0, "no head"),
        (head_of(MEMORY), graph.LIST, "host's memory"),
        (head_of(MEMORY), graph.TUPLE, "host's memory"),
        (head_of(MEMORY) + bytes((graph.LIST, *[0xFF] * 4, 0x7F)), graph.NONE, "host's memory"),
        (head_of(MEMORY) + bytes((graph.BYTES, *[0xFF] * 4, 0x1F)), 0, "host's memory"),
        (head_of(MEMORY) + bytes((graph.STR, *[0xFF] * 2, 0x7F)), ord("a"), "out of order"),
        (head_of(MEMORY) + bytes((graph.NONE,)), 1, "out of order"),
        (head_of(BOMB), 0, "not that of a machine"),
    ],
    ids=["zeros", "lists", "tuples", "elements", "bytes", "text", "pages", "memory"],
)
def test_a_file_that_unpacks_to_eight_gigabytes_is_refused_within_its_machines_memory(
    plain: bytes, repeated: int, why: str, tmp_path: Path
) -> None:
    path = bomb(tmp_path / "bomb", plain, repeated)
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    peak, _, message = done.stdout.partition(" ")
    assert re.search(why, message), message
    assert int(peak) < MEMORY


def test_memory_that_is_larger_than_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no head"):
        load(packed_file(tmp_path / "machine", head_of(saved.MEMORY_MAX * 2)))


@pytest.mark.parametrize("numbers", [(3,), (1, 1), (2, 1)])
def test_pages_outside_the_memory_or_out_of_order_are_refused(numbers: tuple[int, ...], tmp_path: Path) -> None:
    pages = b"".join(bytes((number,)) + bytes(PAGE) for number in numbers)
    plain = head_of(2 * PAGE) + bytes((graph.NONE,)) + pages + b"\0"
    with pytest.raises(UserError, match="outside its memory"):
        load(packed_file(tmp_path / "machine", plain))


def test_a_pipe_gives_a_saved_machine(tmp_path: Path) -> None:
    whole = saved_file(tmp_path).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())", pipe], stdin=subprocess.PIPE
    ) as writer:
        assert writer.stdin is not None
        writer.stdin.write(whole)
        writer.stdin.close()
        assert load(pipe)[0].first == {"key": Colour.RED}


@given(st.binary(max_size=100))
def test_any_content_in_a_right_frame_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, plain: bytes) -> None:
    path = packed_file(tmp_path_factory.getbasetemp() / "any", plain)
    try:
        load(path)
    except UserError as error:
        assert str(path) in str(error)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no file that can be opened and not be read")
def test_a_file_that_cannot_be_read_though_it_can_be_opened_is_named() -> None:
    with pytest.raises(UserError, match=r"^/proc/self/mem: cannot be read: Input/output error$"):
        load(Path("/proc/self/mem"))
