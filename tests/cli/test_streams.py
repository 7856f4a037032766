"""Streams that are closed or full: one line, exit status 2, or 1 where nobody reads a pipe any more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from machemu.abi.errors import UserError
from machemu.ui.commands import parser
from tests.support.commands import ROOT, run
from tests.support.guests import Arch
from tests.support.machine import image

FULL = Path("/dev/full")
NO_SPACE, CLOSED, BROKEN = "No space left on device", "Bad file descriptor", "Broken pipe"
COMMANDS = {"boot": ("boot", ROOT / "images/i386/pingpong.elf"), "cluster": ("cluster", ROOT / "images/two.toml")}

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> tuple[object, ...]:
    found: tuple[object, ...] = COMMANDS[request.param]
    return found


@contextmanager
def full() -> Iterator[Any]:
    with FULL.open("wb") as file:
        yield file


def closing(number: int) -> str:
    """Python that runs with a standard stream closed, as it is from the start."""
    return f"import os\nos.close({number})\nsys.{('stdin', 'stdout', 'stderr')[number]} = None"


@pytest.mark.slow
def test_standard_output_that_is_full_or_closed_is_one_line(command: tuple[object, ...]) -> None:
    with full() as file:
        done = run(*command, stdout=file)
    assert (done.returncode, done.stderr) == (2, f"machemu: standard output: cannot be written: {NO_SPACE}\n")
    done = run(*command, plant=closing(1))
    assert (done.returncode, done.stderr) == (2, f"machemu: standard output: cannot be written: {CLOSED}\n")


def test_a_pipe_that_nobody_reads_is_exit_status_1(command: tuple[object, ...]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    done = run(*command, stdout=writes)
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, f"machemu: standard output: cannot be written: {BROKEN}\n")


@pytest.mark.slow
def test_where_standard_error_is_full_or_closed_standard_output_has_the_line(command: tuple[object, ...]) -> None:
    with full() as file:
        done = run(*command, stderr=file)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (2, f"machemu: standard error: cannot be written: {NO_SPACE}")
    done = run(*command, "--trace", plant=closing(2))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (2, f"machemu: standard error: cannot be written: {CLOSED}")


def test_a_trace_or_a_capture_that_is_full_is_one_line_and_ends_the_run(command: tuple[object, ...]) -> None:
    options = ("--trace-file", "--pcap") if command[0] == "cluster" else ("--trace-file",)
    for option in options:
        done = run(*command, option, FULL)
        assert (done.returncode, done.stderr) == (2, f"machemu: /dev/full: cannot be written: {NO_SPACE}\n")


@pytest.mark.slow
def test_standard_input_that_is_closed_is_told_where_it_is_read(arch: Arch) -> None:
    done = run("boot", image(arch, "echo"), plant=closing(0))
    assert (done.returncode, done.stderr) == (2, f"machemu: standard input: cannot be read: {CLOSED}\n")
    done = run("step", image(arch, "echo"), plant=closing(0))
    assert (done.returncode, done.stderr) == (2, f"machemu: standard input: cannot be read: {CLOSED}\n")
    done = run("boot", image(arch, "hello"), plant=closing(0))
    assert (done.returncode, done.stdout) == (0, "Hello from a Mach task.\n")


@pytest.mark.slow
def test_a_step_whose_output_breaks_says_so_and_not_that_it_was_interrupted(arch: Arch) -> None:
    with full() as file:
        done = run("step", image(arch, "pingpong"), "-c", "run", stdout=file)
    assert (done.returncode, done.stderr) == (2, f"machemu: standard output: cannot be written: {NO_SPACE}\n")
    done = run("step", image(arch, "pingpong"), "-c", "run", plant=closing(1))
    assert (done.returncode, done.stderr) == (2, f"machemu: standard output: cannot be written: {CLOSED}\n")


@pytest.mark.slow
def test_a_machine_whose_output_broke_is_saved_all_the_same(arch: Arch, tmp_path: Path) -> None:
    with full() as file:
        done = run("boot", image(arch, "pingpong"), "--save", tmp_path / "saved", stdout=file)
    assert done.returncode == 2
    whole = run("boot", image(arch, "pingpong"), "--digest")
    rest = run("boot", "--load", tmp_path / "saved", "--digest")
    assert (rest.returncode, rest.stderr.splitlines()[-1]) == (0, whole.stderr.splitlines()[-1])
    assert whole.stdout.endswith(rest.stdout) and rest.stdout


@pytest.mark.parametrize(("arguments", "unbuffered"), [(("--help",), ""), (("boot", "--help"), "1")])
def test_help_that_cannot_be_written_is_exit_status_2(arguments: tuple[str, ...], unbuffered: str) -> None:
    with full() as file:
        done = run(*arguments, stdout=file, unbuffered=unbuffered)
    assert (done.returncode, done.stderr) == (2, f"machemu: standard output: cannot be written: {NO_SPACE}\n")


FILES = [
    ("boot", "--save"), ("boot", "--load"), ("boot", "--trace-file"), ("boot", "--input"), ("boot", "--script"),
    ("cluster", "--save"), ("cluster", "--load"), ("cluster", "--trace-file"), ("cluster", "--pcap"),
]  # fmt: skip


def test_an_empty_name_is_no_file_s() -> None:
    done = run("boot", "images/i386/hello.elf", "--save", "")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "machemu: --save '': a file's name cannot be empty\n")
    for name, option in FILES:
        with pytest.raises(UserError, match=f"^{option} '': a file's name cannot be empty$"):
            parser().parse_args([name, "what.it.runs", option, ""])
    with pytest.raises(UserError, match=r"^file '': a file's name cannot be empty$"):
        parser().parse_args(["cluster", ""])


@pytest.mark.slow
def test_brackets_that_are_nested_too_deeply_are_a_mistake_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 100_000)
    for arguments in (("boot", "images/i386/hello.elf", "--profile", path), ("cluster", path)):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (2, f"machemu: {path}: its brackets are nested too deeply\n")


@pytest.mark.slow
def test_numbers_of_any_length_are_read_or_refused() -> None:
    for option, word in (("--for", "9" * 5000 + "s"), ("--memory", "9" * 5000 + "M")):
        done = run("boot", "images/i386/hello.elf", option, word)
        assert (done.returncode, done.stderr.count("\n"), "Traceback" in done.stderr) == (2, 1, False)


@pytest.mark.slow
def test_names_of_any_length_are_refused_where_they_are_read(tmp_path: Path) -> None:
    name = "n" * 5000
    for arguments in (("--load", name), ("images/i386/hello.elf", "--input", name)):
        done = run("boot", *arguments)
        assert (done.returncode, done.stderr) == (2, f"machemu: {name}: cannot be read: File name too long\n")
    path = tmp_path / "cluster.toml"
    for key in (f'input = "{"n" * 5000}"', f'disks = {{ hd0 = "{"n" * 5000}" }}', 'disks = { hd0 = "loop" }'):
        (tmp_path / "loop").unlink(missing_ok=True)
        (tmp_path / "loop").symlink_to("loop")
        path.write_text(f'[nodes.a]\nmodule = "{ROOT}/images/i386/hello.elf"\n{key}\n')
        done = run("cluster", path)
        assert (done.returncode, done.stderr.count("\n"), "Traceback" in done.stderr) == (2, 1, False)


def test_until_takes_bytes_that_are_no_text(command: tuple[object, ...]) -> None:
    done = run(*command, "--until", b"\xff\xfe".decode(errors="surrogateescape"))
    assert (done.returncode, done.stderr.splitlines()[-1].endswith("ever printed a line with '\\udcff\\udcfe'")) == (1, True)
