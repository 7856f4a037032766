"""Ctrl-C as people use it: exit status 130, one line, and with --save a machine that goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, run
from tests.support.guests import I386, Arch
from tests.support.machine import IMAGES, image

IN_A_TRAP = """
import signal
from machemu.core.kernel import Kernel
call = Kernel.system_call
def interrupted(kernel, number):
    if kernel.trap_count == 8:
        signal.raise_signal(signal.SIGINT)
    return call(kernel, number)
Kernel.system_call = interrupted
"""


@pytest.mark.slow
def test_a_machine_is_saved_where_ctrl_c_came(arch: Arch, tmp_path: Path) -> None:
    done = run("boot", image(arch, "pingpong"), "--save", tmp_path / "saved", plant=IN_A_TRAP)
    assert done.returncode == 130
    assert re.fullmatch(r"machemu: interrupted at 0\.00\d+ s after \d\d traps\n", done.stderr)
    whole = run("boot", image(arch, "pingpong"), "--digest")
    rest = run("boot", "--load", tmp_path / "saved", "--digest")
    assert done.stdout + rest.stdout == whole.stdout
    assert rest.stderr.splitlines()[-1] == whole.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_cluster_is_saved_where_ctrl_c_came(tmp_path: Path) -> None:
    path = ROOT / "images" / "two.toml"
    done = run("cluster", path, "--save", tmp_path / "saved", plant=IN_A_TRAP)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1)
    assert done.stderr.startswith("machemu: interrupted at 0.0")
    whole = run("cluster", path, "--digest")
    rest = run("cluster", path, "--load", tmp_path / "saved", "--digest")
    assert rest.stderr.splitlines()[-1] == whole.stderr.splitlines()[-1]


@pytest.mark.parametrize("source", ["standard input", "a FIFO"])
@pytest.mark.slow
def test_a_wait_for_what_somebody_types_is_ended(arch: Arch, source: str, tmp_path: Path) -> None:
    """The read stays part of the machine: it is answered after a load."""
    fifo, saved = tmp_path / "fifo", tmp_path / "saved"
    os.mkfifo(fifo)
    options = ["--input", str(fifo)] if source == "a FIFO" else []
    command = [sys.executable, "-m", "machemu", "boot", str(image(arch, "echo")), "--save", str(saved), *options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        with fifo.open("wb") if options else process.stdin as typed:
            typed.write(b"hello\n")
            typed.flush()
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        assert process.stderr.read().startswith(b"machemu: interrupted at ")
    rest = run("boot", "--load", saved, "--until", "END", stdin=None, input="Mach 3.0\nquit\n")
    assert first + rest.stdout.encode() == (IMAGES / "src" / "echo.expected").read_bytes()


def start(saved: Path) -> subprocess.Popen[bytes]:
    """A machine that waits for what somebody types, in a process group of its own."""
    command = [sys.executable, "-m", "machemu", "boot", str(image(I386, "echo")), "--save", str(saved)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"hello\n")
    process.stdin.flush()
    assert process.stdout.readline()
    return process


def test_ctrl_c_at_a_terminal_which_all_processes_get_is_one(tmp_path: Path) -> None:
    with start(tmp_path / "saved") as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert re.fullmatch(rb"machemu: interrupted at .*\n", process.stderr.read())
    assert (tmp_path / "saved").is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_killed_leaves_no_process_behind(number: int, tmp_path: Path) -> None:
    with start(tmp_path / "saved") as process:
        process.send_signal(number)
        assert process.wait(60) == -number
        assert process.stdout is not None and process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")  # they end when the last process does
    assert not (tmp_path / "saved").exists()


def test_while_the_command_is_being_loaded_it_ends_with_one_line() -> None:
    """As soon as anything of machemu's own is run."""
    plant = """
import signal
class Finder:
    def find_spec(self, name, *_):
        if name == "machemu.core.kernel":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
    done = run("boot", "images/i386/hello.elf", plant=plant)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "machemu: interrupted\n")


@pytest.mark.parametrize("where", ["machemu.lab.machine.Machine.__enter__", "machemu.ui.watch.signals.become"])
def test_before_machines_run_the_command_ends_at_once(where: str, tmp_path: Path) -> None:
    plant = f"import signal, machemu.lab.machine, machemu.ui.commands\n{where} = lambda *_: signal.raise_signal(signal.SIGINT)"
    done = run("boot", "images/i386/hello.elf", "--save", tmp_path / "saved", plant=plant)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "machemu: interrupted\n")
    assert not (tmp_path / "saved").exists()
