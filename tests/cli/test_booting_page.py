"""docs/booting.md is true: its scripts and commands boot, and what they refuse is refused."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from machemu import Machine
from tests.support import testdisk
from tests.support.commands import run
from tests.support.guests import I386, M68K, Arch
from tests.support.machine import image

PAGE = (Path(__file__).parents[2] / "docs" / "booting.md").read_text()


def block(number: int, language: str = "text") -> str:
    return PAGE.split(f"```{language}\n")[number].split("```")[0]


def test_its_boot_script_starts_both_programs(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(block(1))
    done = run("boot", "--script", tmp_path / "script")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["DONE", "GO", "Hello from a Mach task."])


def test_its_pc_prints_the_screen_and_formats_the_floppy(tmp_path: Path) -> None:
    words = block(2, "sh").splitlines()[-1].split()
    assert words[:3] == ["machemu", "boot", "images/i386/pc.elf"]
    (tmp_path / "floppy.img").write_bytes(bytes(1440 << 10))
    (tmp_path / "keys").write_text("Hello!\n")
    (tmp_path / "mouse").write_text("move 5 2\nleft down\n")
    given = [word.replace("fd0=", f"fd0={tmp_path}/") if "=" in word else word for word in words[1:]]
    given = [str(tmp_path / word) if word in ("keys", "mouse") else word for word in given]
    done = run(*given)
    assert done.returncode == 0, done.stderr
    console, screen = done.stdout.split("END\n")
    assert console.splitlines()[1:] == ["typed: Hello!", "clicked at 5 2", "formatted"]
    assert screen.count("\n") == 25
    assert "A PC's text screen" in screen
    assert (tmp_path / "floppy.img").read_bytes()[510:515] == b"\x55\xaa\xf0\xff\xff"


def disk_with(folder: Path, files: dict[str, bytes]) -> Path:
    """An image with a partition table, and on its first partition an ext2 file system with files."""
    tree, part, disk = folder / "tree", folder / "part", folder / "hurd.img"
    for name, contents in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(contents)
    part.write_bytes(bytes(2 << 20))
    subprocess.run(["mke2fs", "-q", "-t", "ext2", "-d", str(tree), str(part)], check=True, capture_output=True)
    head = testdisk.table((testdisk.LINUX, 64, (2 << 20) // 512)).ljust(64 * 512, b"\0")
    disk.write_bytes(head + part.read_bytes())
    return disk


@pytest.mark.skipif(shutil.which("mke2fs") is None, reason="mke2fs (Debian's e2fsprogs) makes the image")
@pytest.mark.slow
def test_modules_come_from_a_partition_packed_or_not(arch: Arch, tmp_path: Path) -> None:
    hello = image(arch, "hello").read_bytes()
    bench = image(arch, "bench").read_bytes()
    disk = disk_with(tmp_path, {"hurd/hello": hello, "boot/bench.gz": gzip.compress(bench)})
    start = "$(task-create) $(task-resume)"
    ports = "${host-port} ${device-port}"
    (tmp_path / "script").write_text(f"/hurd/hello {ports} {start}\n/boot/bench.gz {ports} nulltraps 3 {start}\n")
    words = ["boot", "--disk", f"hd0={disk}", "--from", "hd0s1"]
    done = run(*words, "--script", tmp_path / "script")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["DONE", "GO", "Hello from a Mach task."]), done.stderr
    assert run(*words, "hurd/hello").stdout == "Hello from a Mach task.\n"
    for where, line, why in (
        ("hd0s1", "/hurd/none", "hd0s1: there is no /hurd/none"),
        ("hd0", "/hurd/hello", "hd0: holds no ext2 file system"),
        ("hd0s2", "/hurd/hello", "'hd0s2': no modules can be read there: hd0 has no such partition; it has s1"),
        ("hd1s1", "/hurd/hello", "'hd1s1': no modules can be read there, since it is none of the machine's disks"),
        ("", "/hurd/hello", "'': no modules can be read there, since it is none of the machine's disks"),
    ):
        done = run("boot", "--disk", f"hd0={disk}", "--from", where, line)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"machemu: {why}" in done.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--date", "yesterday"), "'yesterday' is no date"),
        (("--keyboard", "{bad}"), "/bad: line 1: no key of the keyboard means"),
        (("--mouse", "{bad}"), "/bad: line 1: write move DX DY"),
        (("--disk", "fd0={bad}"), "a floppy one of"),
        (("--keyboard", "{none}"), "cannot be read as what is typed"),
    ],
)
def test_what_a_pc_cannot_be_given_is_exit_status_2(words: tuple[str, str], why: str, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes("é".encode().ljust(512))
    names = [word.format(bad=tmp_path / "bad", none=tmp_path / "none") for word in words]
    done = run("boot", image(I386, "hello"), *names)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


@pytest.mark.parametrize(
    ("option", "what"), [("--screen", "text screen"), ("--keyboard", "keyboard"), ("--mouse", "mouse"), ("--printer", "printer")]
)
def test_an_m68k_has_not_what_a_pc_has(option: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    done = run("boot", image(M68K, "hello"), option, *([] if option == "--screen" else [tmp_path / "empty"]))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{option}: a machine of m68k has no {what}" in done.stderr


@pytest.mark.slow
def test_a_date_is_that_of_power_on_and_the_same_in_each_run(arch: Arch) -> None:
    with Machine.boot(image(arch, "hello"), date="1994-07-01T12:30:00") as machine:
        assert machine.kernel.kern.clock.time_of_day() == (773_065_800, 0)
    with Machine.boot(image(arch, "hello")) as machine:
        assert machine.kernel.kern.clock.time_of_day() == (946_684_800, 0)
    digests = {run("boot", image(arch, "hello"), "--date", "1994-07-01", "--digest").stderr.split()[-1] for _ in range(2)}
    assert len(digests) == 1
    assert digests != {run("boot", image(arch, "hello"), "--digest").stderr.split()[-1]}
