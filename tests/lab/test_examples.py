"""The programs that come with machemu are found by name, from Python and by a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import machemu
from tests.support.machine import IMAGES


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "machemu", "examples", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_program_is_found_for_either_cpu_and_a_cluster_file_for_both() -> None:
    assert machemu.example("hello.elf") == IMAGES / "i386" / "hello.elf"
    assert machemu.example("hello.elf", "m68k") == IMAGES / "m68k" / "hello.elf"
    assert machemu.example("greet.toml", "m68k") == machemu.example("greet.toml") == IMAGES / "greet.toml"


def test_all_programs_and_cluster_files_are_listed() -> None:
    expected = {*IMAGES.glob("i386/*.elf"), *IMAGES.glob("m68k/*.elf"), *IMAGES.glob("*.toml")}
    rows = machemu.examples()
    assert {row.path for row in rows} == expected
    assert len(rows) == len(expected)
    assert len(rows.where(cpu="i386")) == len(rows.where(cpu="m68k"))


@pytest.mark.parametrize("name", ["nothing.elf", "../README.md", "", "i386/hello.elf"])
def test_what_there_is_not_is_refused_with_a_list(name: str) -> None:
    with pytest.raises(machemu.UsageError, match=r"^no example .*: there are .*hello\.elf.*greet\.toml"):
        machemu.example(name)


def test_another_cpu_is_refused() -> None:
    with pytest.raises(machemu.UsageError, match="no examples for a CPU vax: there are i386 and m68k"):
        machemu.example("hello.elf", "vax")


def test_the_command_lists_them_and_gives_a_path() -> None:
    listed = command().stdout.splitlines()
    assert listed[0] == f"{IMAGES}:"
    assert {line.strip() for line in listed[1:]} == {str(row.path.relative_to(IMAGES)) for row in machemu.examples()}
    listed = command("--cpu", "m68k").stdout.split()[1:]
    assert listed == [str(row.path.relative_to(IMAGES)) for row in machemu.examples("m68k")]
    assert "m68k/echo.elf" in listed and "greet.toml" in listed and "i386/echo.elf" not in listed
    assert (command("--cpu", "vax").returncode, command("--cpu", "vax").stdout) == (2, "")
    assert command("echo.elf", "--cpu", "m68k").stdout == f"{IMAGES / 'm68k' / 'echo.elf'}\n"


def test_the_command_refuses_what_there_is_not() -> None:
    done = command("nothing.elf")
    assert done.returncode == 2
    assert done.stderr.startswith("machemu: no example nothing.elf: there are acs.elf")


@pytest.mark.parametrize("command", ["boot", "step"])
def test_it_is_said_where_a_program_is_whose_name_is_given_without_its_path(command: str, tmp_path: Path) -> None:
    def boot() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "machemu", command, "hello.elf", *(["-c", "run"] if command == "step" else [])],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(IMAGES.parent)},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    done = boot()
    assert done.returncode == 2
    assert done.stderr.startswith("machemu: hello.elf: there is no such file here; `machemu examples hello.elf` prints the path")
    (tmp_path / "hello.elf").write_bytes((IMAGES / "i386" / "hello.elf").read_bytes())
    assert "Hello from a Mach task.\n" in boot().stdout
