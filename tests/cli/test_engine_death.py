"""When the CPU emulator dies of a signal: exit status 70, and which node, task, thread and pc it was, and how to run it again."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

import pytest

from machemu.core import board
from machemu.sim.units import time_text
from machemu.ui.watch import Board, again, obituary
from tests.support.commands import run
from tests.support.deaths import DEATHS, IN_A_TRAP
from tests.support.elves import Part, elf_with_symbols
from tests.support.guests import I386, Arch
from tests.support.machine import SECOND_NS, boot, image, load

IN_A_START = """
import ctypes, os, signal
from machemu.core.kernel import Kernel
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.m68k.cpu import M68kCpu
starts, go_on = {{each: each._start for each in (I386Cpu, M68kCpu)}}, Kernel._run_user
rounds = 0
def dying(cpu, count):
    if rounds == {round}:
        {death}
    return starts[type(cpu)](cpu, count)
def running(kernel, thread, deadline):
    global rounds
    rounds += 1
    go_on(kernel, thread, deadline)
I386Cpu._start = M68kCpu._start = dying
Kernel._run_user = running
"""
"""The engine dies when a thread goes to user mode for the n-th time."""
LOCK_BTC = b"\xf0\x0f\xbb\xf7"
"""lock btc %esi,%edi, on which Unicorn's translator aborts."""
AFTER_TRAP = I386.trap(28)[I386.trap(28).index(b"\x9a") + 7 :]
"""What a trap's code does behind the trap: a block of its own, at whose begin Unicorn stands."""
FIRST = r"machemu: died of {}, a fault of machemu's own or of its CPU emulator's: please report it with the program"


def program(arch: Arch, tmp_path: Path) -> tuple[Path, bytes]:
    """Makes three traps, of which each is a function of its own; its code."""
    parts = [arch.trap(26) for _ in range(3)]
    code = b"".join(parts) + arch.stay
    path = tmp_path / "three.elf"
    places = {f"trap{n}": 0x1000 + n * len(parts[0]) for n in range(3)}
    path.write_bytes(elf_with_symbols(arch, places, Part(0x1000, code)))
    return path, code


@pytest.mark.parametrize("name", DEATHS)
def test_a_machine_s_death_is_told_with_its_place_and_bytes(arch: Arch, name: str, tmp_path: Path) -> None:
    path, code = program(arch, tmp_path)
    done = run("boot", path, plant=IN_A_TRAP.format(round=2, death=DEATHS[name]))
    assert done.returncode == 70
    first, where, last, command = done.stderr.splitlines()
    assert first == FIRST.format(name)
    found = re.fullmatch(rf"  task 1 \({path}\) thread 1, pc 0x(\w{{8}}) \((trap2\+0x\w+)\), bytes there: ([0-9a-f ]+)", where)
    assert found is not None, where
    offset = int(found[1], 16) - 0x1000
    assert bytes.fromhex(found[3]).startswith(code[offset:])
    assert re.fullmatch(r"  it last went to user mode at 0\.\d+ s, pc 0x\w{8}, after [0-2] traps", last)
    assert command.startswith(f"  to run it again up to there: machemu boot {path}")


@pytest.mark.slow
def test_the_command_that_is_told_runs_it_again_up_to_there(arch: Arch) -> None:
    plant = IN_A_START.format(round=9, death=DEATHS["SIGABRT"])
    done = run("boot", image(arch, "pingpong"), plant=plant)
    assert done.returncode == 70
    command = shlex.split(done.stderr.splitlines()[-1].partition(": ")[2])
    again = run(*command[1:])
    assert again.returncode == 0
    assert done.stdout == again.stdout and again.stdout
    time = re.search(r"user mode at (0\.\d+) s", done.stderr)
    stopped = re.search(r"stopped at (0\.\d+) s", again.stderr)
    assert time and stopped and float(stopped[1]) <= float(time[1])


def test_unicorn_s_own_abort_is_told_where_the_guard_before_it_is_off(tmp_path: Path) -> None:
    path = tmp_path / "lockbtc.elf"
    path.write_bytes(elf_with_symbols(I386, {"oops": 0x1000}, Part(0x1000, I386.load(1) + I386.trap(28) + LOCK_BTC)))
    plant = "from machemu.machine.i386.guard import Guard\nGuard.begin = Guard._replace = lambda *_: None"
    done = run("boot", path, "--save", tmp_path / "saved", "--trace-file", tmp_path / "trace", plant=plant)
    assert done.returncode == 70
    first, where, _, command = done.stderr.splitlines()
    assert first == FIRST.format("SIGABRT")
    offset = len(I386.load(1) + I386.trap(28)) - len(AFTER_TRAP)
    assert f"thread 1, pc {0x1000 + offset:#010x} (oops+{offset:#x}), bytes there: {(AFTER_TRAP + LOCK_BTC).hex(' ')}" in where
    before = f"  to run it again up to there: machemu boot {path} --trace-file {tmp_path / 'trace'} --for "
    assert command.startswith(before) and re.fullmatch(r"\d+ns", command.removeprefix(before))
    assert "mach_task_self() = " in (tmp_path / "trace").read_text()


def test_the_trace_of_a_machine_that_died_ends_with_the_trap_under_way(arch: Arch, tmp_path: Path) -> None:
    plant = IN_A_TRAP.format(round=7, death=DEATHS["SIGSEGV"])
    done = run("boot", image(arch, "pingpong"), "--trace-file", tmp_path / "trace", plant=plant)
    assert done.returncode == 70
    lines = (tmp_path / "trace").read_text().splitlines()
    assert lines[-1].endswith("<unfinished ...>")
    assert len([line for line in lines if re.search(r"thread \d +\w+\(", line)]) == 8


@pytest.mark.slow
def test_a_cluster_s_death_names_the_node(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text("".join(f"[nodes.{name}]\nmodule = '{image(arch, 'pingpong')}'\n" for name in ("one", "two")))
    done = run("cluster", path, plant=IN_A_START.format(round=12, death=DEATHS["SIGSEGV"]))
    assert done.returncode == 70
    first, where, _, last = done.stderr.splitlines()
    assert first == FIRST.format("SIGSEGV")
    place = r"pc 0x\w{8}( \(\w+\+0x\w+\))?, bytes there: (\w\w ){15}\w\w"
    assert re.fullmatch(rf"  node (one|two), task \d \(.*\) thread \d, {place}", where)
    again = run(*shlex.split(last.partition(": ")[2])[1:])
    assert again.returncode == 0 and "stopped at" in again.stderr


def test_what_was_typed_is_kept_for_the_next_run(arch: Arch, tmp_path: Path) -> None:
    plant = """
import os
from machemu.device.console import Console
receive = Console.receive
def dying(console, data):
    receive(console, data)
    os.abort()
Console.receive = dying
"""
    done = run("boot", image(arch, "echo"), plant=plant, stdin=None, input="hello\n")
    assert done.returncode == 70
    command = shlex.split(done.stderr.splitlines()[-1].partition(": ")[2])
    kept = Path(command[command.index("--input") + 1])
    assert kept.read_text() == "hello\n"
    kept.unlink()


def test_where_the_dying_process_can_say_nothing_the_board_still_tells(arch: Arch, tmp_path: Path) -> None:
    path, _ = program(arch, tmp_path)
    plant = IN_A_START.format(round=1, death="signal.signal(signal.SIGABRT, signal.SIG_DFL)\n        os.abort()")
    done = run("boot", path, plant=plant)
    assert done.returncode == 70
    assert "  task 1 thread 1, pc 0x00001000, bytes there: unknown\n" in done.stderr


def test_a_machine_that_runs_for_more_than_584_years_goes_on_and_is_saved_and_told_with_its_time(
    arch: Arch, tmp_path: Path
) -> None:
    shared = Board()
    with boot(image(arch, "pingpong")) as machine:
        clock = machine.kernel.kern.clock
        clock.base += 1 << 65
        machine.kernel.board = shared.numbers
        shared.begin(clock.now() - 5, 0)
        machine.run(traps=3)
        time = board.time_of(shared.numbers)
        assert 1 << 65 < time <= clock.now() < time + SECOND_NS
        machine.node.save(tmp_path / "saved")
        with load(tmp_path / "saved") as again_there:
            assert again_there.node.digest() == machine.node.digest()
    command = again(shared, ["cluster", "FILE"])
    assert command[:3] == ["machemu", "cluster", "FILE"]
    assert command[3] == "--for" and 5 <= int(command[4].removesuffix("ns")) < SECOND_NS
    lines = obituary(shared, signal.SIGSEGV, ["boot"])
    assert f"at {time_text(time)}, pc" in lines[2]
