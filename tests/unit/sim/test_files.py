"""What a user names is read with a bound and a message, and what is written is written whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.cluster.file import load_file
from machemu.formats.elf import architecture_of
from machemu.machine.disk import ImageDisk
from machemu.machine.profile import load_profile
from machemu.sim import files
from machemu.sim.output import Output
from machemu.ui.console import file_input

READERS: dict[str, Callable[[Path], object]] = {
    "an executable": lambda path: architecture_of(str(path)),
    "a cluster file": load_file,
    "a profile": lambda path: load_profile(str(path)),
    "a boot script": lambda path: files.read_text(path, "a boot script"),
    "the console's input": file_input,
    "a disk image": ImageDisk.of_file,
}


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIPE_WAIT_S", 0.05)


def special(tmp_path: Path) -> Iterator[Path]:
    """What is no file: a FIFO to which nobody writes, a folder, a socket."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    yield fifo
    folder = tmp_path / "folder"
    folder.mkdir()
    yield folder
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        yield tmp_path / "socket"


@pytest.mark.parametrize("what", READERS)
def test_what_is_no_file_is_refused_at_once_whatever_it_is_to_be(what: str, tmp_path: Path) -> None:
    for path in (*special(tmp_path), Path("/dev/zero")):
        with pytest.raises(UserError, match=str(path)):
            READERS[what](path)


def piped(path: Path, data: bytes, endless: bool = False) -> threading.Thread:
    """Somebody who writes to a FIFO."""

    def write() -> None:
        try:
            with path.open("wb", buffering=0) as file:
                while endless:
                    file.write(data)
                file.write(data)
        except BrokenPipeError:
            pass

    os.mkfifo(path)
    writer = threading.Thread(target=write)
    writer.start()
    return writer


@pytest.mark.parametrize("what", ["a profile", "a boot script", "a cluster file"])
def test_a_pipe_without_end_is_read_up_to_a_bound(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "TEXT_MAX", 1 << 16)
    writer = piped(tmp_path / "fifo", b"#" * 4096, endless=True)
    with pytest.raises(UserError, match="is larger than"):
        READERS[what](tmp_path / "fifo")
    writer.join()


def test_an_executable_from_a_pipe_without_end_is_read_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIPE_MAX", 1 << 16)
    writer = piped(tmp_path / "fifo", bytes(4096), endless=True)
    with pytest.raises(UserError, match="is larger than an executable can be"):
        architecture_of(str(tmp_path / "fifo"))
    writer.join()


def test_a_pipe_with_an_end_is_as_good_as_a_file(tmp_path: Path) -> None:
    writer = piped(tmp_path / "fifo", b"text\n" * 40_000)
    assert files.read_text(tmp_path / "fifo", "a boot script") == "text\n" * 40_000
    writer.join()


def test_the_console_reads_a_pipe_as_it_comes_and_a_file_whole(tmp_path: Path) -> None:
    heard = threading.Event()

    def write() -> None:
        with (tmp_path / "fifo").open("wb", buffering=0) as file:
            file.write(b"one\n")
            heard.wait(60)
            file.write(b"two\n")

    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=write)
    writer.start()
    read = file_input(tmp_path / "fifo")
    assert read() == b"one\n"
    heard.set()
    assert [read(), read()] == [b"two\n", b""]
    writer.join()
    (tmp_path / "file").write_bytes(b"line\n" * 2000)
    assert b"".join(iter(file_input(tmp_path / "file"), b"")) == b"line\n" * 2000


def test_a_text_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="text: cannot be read as a profile: it is no UTF-8 text"):
        files.read_text(tmp_path / "text", "a profile")


# Writing


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for target in ("elsewhere/old", "elsewhere/new"):
        link = tmp_path / f"link to {target[-3:]}"
        link.symlink_to(target)
        if target.endswith("old"):
            (tmp_path / target).write_bytes(b"old")
        files.write(link, [b"da", b"ta"])
        assert link.is_symlink()
        assert (tmp_path / target).read_bytes() == b"data"
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["new", "old"]


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(UserError, match="one: cannot be written"):
        files.write(tmp_path / "one", [b""])


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    for path in special(tmp_path):
        mode = path.stat().st_mode
        for write in (files.target_of, lambda path: files.write(path, [b"data"])):
            with pytest.raises(UserError, match=rf"{path}: cannot be written: it is a "):
                write(path)
        assert path.stat().st_mode == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_an_existing_file_keeps_its_mode_and_a_new_one_has_the_users(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    files.write(path, [b"new"])
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "new", [b""])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_nobodys_part_is_taken(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"mine")
    files.write(tmp_path / "file", [b"data"])
    assert (tmp_path / "file.part").read_bytes() == b"mine"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_a_file_that_could_not_be_written_is_as_it_was(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def parts() -> Iterator[bytes]:
        yield b"new"
        raise error

    with pytest.raises(UserError if isinstance(error, OSError) else type(error)):
        files.write(path, parts())
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"old")]


@pytest.mark.parametrize("named", [False, True])
def test_a_file_is_written_with_and_without_unnamed_files(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if named:
        monkeypatch.setattr(files, "_open_unnamed", lambda folder, mode: None)
    for data in (b"new", b"other"):
        files.write(tmp_path / "file", [data])
        assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", data)]


def test_who_is_killed_while_he_writes_leaves_nothing_behind(tmp_path: Path) -> None:
    descriptor = files._open_unnamed(tmp_path, 0o600)
    if descriptor is None:
        pytest.skip("there are no files without names here")
    os.close(descriptor)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    child = os.fork()
    if not child:

        def parts() -> Iterator[bytes]:
            yield bytes(1 << 20)
            os.kill(os.getpid(), signal.SIGKILL)

        files.write(path, parts())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"old")]


def test_file_and_folder_are_on_the_disk_around_the_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def noted_rename(path: Path, target: Path) -> Path:
        done.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    files.write(tmp_path / "file", [b"data"])
    assert done == ["file", "rename", "folder"]


def test_an_image_in_use_is_not_replaced(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(512))
    disk = ImageDisk.of_file(image)
    for write in (files.target_of, Output.create):
        with pytest.raises(UserError, match="in use as a disk image"):
            write(image)
    assert image.read_bytes() == bytes(512)
    disk.close()
    files.target_of(image)
    Output.create(image).close()
