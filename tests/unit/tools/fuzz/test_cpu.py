"""`fuzz --cpu`: planted faults are found and said so that they can be repeated; a minute of it finds nothing in this tree."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from machemu.abi.errors import InvariantError
from machemu.abi.types import VirtAddr
from machemu.core.kernel import Kernel
from machemu.ipc import mach_port
from machemu.machine.seams import Pcb
from tests.support.guests import Arch
from tools.fuzz import __main__ as command
from tools.fuzz import cpu
from tools.fuzz.hunt import Hunter
from tools.fuzz.make import END, Maker
from tools.fuzz.program import CODE, STACK_TOP, Origin, Program, Step
from tools.fuzz.report import described, found
from tools.fuzz.shrink import smallest
from tools.fuzz.world import RECEIVE

ROOT = Path(__file__).parents[4]
SECONDS_EACH = 10
PLACE = CODE + 0x2000
PATIENCE_S = 0.5
SPIN = {"i386": b"\xeb\xfe", "m68k": b"\x60\xfe"}
NOTHING = {"i386": b"\x90", "m68k": b"\x4e\x71"}


@pytest.fixture(scope="module")
def hunter(arch: Arch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hunter]:
    with Hunter(arch.name, tmp_path_factory.mktemp("fuzz"), PATIENCE_S) as made:
        yield made


def program(arch: Arch, code: bytes, steps: int = 1) -> Program:
    count = 8 if arch.name == "i386" else 16
    registers = [0] * count
    registers[4 if arch.name == "i386" else 15] = STACK_TOP
    step = Step(PLACE, code + END[arch.name], tuple(registers))
    return Program(arch.name, 5, 7, Origin.RANDOM, (step,) * steps)


def fails(_kernel: Kernel) -> None:
    raise InvariantError("on purpose")


def kills(_kernel: Kernel) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def stands_still(_kernel: Kernel) -> None:
    while True:
        pass


def leaks(kernel: Kernel) -> None:
    neighbour = next(task for task in kernel.kern.tasks.values() if task.name == "neighbour")
    mach_port.mach_port_allocate(kernel.ipc, neighbour.space, RECEIVE)


PLANTED: dict[str, Callable[[Kernel], None]] = {
    "traceback: InvariantError in ": fails,
    "signal: SIGSEGV: ": kills,
    "hang: hang: ": stands_still,
    "leak: leak": leaks,
}


def plant(patch: pytest.MonkeyPatch, fault: Callable[[Kernel], None]) -> None:
    """From now on the kernel does that at each exception of a guest."""
    original = Kernel.exception

    def exception(self: Kernel, exception: int, code: int, subcode: int) -> bool:
        fault(self)
        return original(self, exception, code, subcode)

    patch.setattr(Kernel, "exception", exception)


def plant_difference(patch: pytest.MonkeyPatch, hunter: Hunter) -> None:
    """From now on a guest's stack pointer goes down each time that the thread is entered."""
    kind = type(hunter.worlds[0].kernel.cpu)
    original = kind.activate

    def activate(self: object, pcb: Pcb, *others: object) -> None:
        if pcb.pc >= PLACE:
            pcb.set_entry(pcb.pc, VirtAddr(pcb.sp - 4))
        original(self, pcb, *others)  # type: ignore[arg-type]

    patch.setattr(kind, "activate", activate)


def test_a_program_that_does_no_harm_is_no_find(arch: Arch, hunter: Hunter) -> None:
    result = hunter.run(program(arch, NOTHING[arch.name]))
    assert (result.find, result.steps, result.ended) == (None, 1, "stood")
    assert sum(result.exceptions.values()) == 1


@pytest.mark.parametrize("kind", PLANTED)
def test_a_fault_in_a_machine_is_found(arch: Arch, hunter: Hunter, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, PLANTED[kind])
    find = hunter.run(program(arch, NOTHING[arch.name], 2)).find
    assert find is not None
    assert f"{find.kind}: {find.signature}".startswith(kind)
    assert PLANTED[kind].__name__ in find.text or find.kind == "leak"
    assert find.kind == "leak" or (find.run, find.step) == ("whole", 0)


def test_a_run_that_ends_otherwise_when_it_is_cut_is_found(arch: Arch, hunter: Hunter, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_difference(monkeypatch, hunter)
    find = hunter.run(program(arch, SPIN[arch.name])).find
    assert find is not None
    assert (find.kind, find.signature, find.run) == ("difference", "difference: state", "cut")
    assert re.fullmatch(r"state \([ 0-9a-f]+\) whole, \([ 0-9a-f]+\) cut", find.text)


def test_a_find_says_what_it_is_and_how_to_repeat_it(arch: Arch, hunter: Hunter, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, fails)
    whole = program(arch, NOTHING[arch.name], 3)
    find = hunter.run(whole).find
    assert find is not None
    text = found(whole, find, cpu.shrunk(hunter, whole, find))
    assert text.startswith("FOUND InvariantError in ")
    assert f"\n{arch.name}, seed 5, program 7 (random), run whole, step 0\n" in text
    assert "InvariantError: on purpose" in text
    assert "the smallest that does it, 1 of 3 steps:" in text
    assert text.endswith(f"again: python3 tools/dev.py fuzz --cpu --arch {arch.name} --seed 5 --only 7")


@pytest.mark.slow
def test_a_hunt_that_finds_something_ends_with_status_1_and_so_does_its_repetition(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst, a signal: in the processes of the hunt, which are this one's children."""
    plant(monkeypatch, kills)
    monkeypatch.setattr(cpu, "smallest", lambda program, _still: program)
    assert command.main(["--cpu", "--arch", "i386", "--seed", "5", "--count", "3"]) == 1
    said = capfd.readouterr().out
    again = re.search(r"again: python3 tools/dev.py fuzz (--cpu .*)", said)
    assert again is not None
    assert "fuzz: seed 5" in said
    assert re.search(r"FOUND \d times: SIGSEGV: test_cpu.py:kills; programs \d", said)
    assert command.main(again[1].split()) == 1
    assert "FOUND SIGSEGV" in capfd.readouterr().out


@pytest.mark.slow
def test_no_process_of_a_hunt_outlives_it(tmp_path: Path) -> None:
    """A hunt that is killed cannot end its processes; they end when they have nobody to tell."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    arguments = [sys.executable, "-m", "tools.fuzz", "--cpu", "--arch", "i386", "--jobs", "2", "--time", "60"]
    hunt = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert hunt.stdout is not None
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("*/stderr-*"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    hunt.kill()
    hunt.communicate(timeout=50)  # until the end of what it says, which comes when nobody holds that any more
    assert time.monotonic() < until


def test_the_smallest_program_is_what_is_left_when_nothing_more_can_go(arch: Arch) -> None:
    whole = Maker(arch.name, 4).program(0)
    wanted = whole.steps[3].code[:4]
    small = smallest(whole, lambda candidate: any(wanted in step.code for step in candidate.steps))
    assert [step.code for step in small.steps] == [wanted]
    assert not any(small.steps[0].registers)
    assert wanted.hex() in described(small)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--cpu", "--arch", "vax"],
        ["--cpu", "--seed", "-1"],
        ["--cpu", "--seed", "x"],
        ["--cpu", "--count", "0"],
        ["--cpu", "--time", "0"],
        ["--cpu", "--time", "1.5"],
        ["--cpu", "--jobs", "0"],
        ["--cpu", "--only", "3"],
        ["--cpu", "--only", "3", "--arch", "i386"],
        ["--cpu", "--only", "3", "--seed", "1"],
        ["--cpu", "3"],
    ],
    ids=" ".join,
)
def test_options_that_cannot_be_end_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "fuzz: error: " in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_s_commands_run_and_its_finds_are_all_there_are(capfd: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "fuzz.md").read_text()
    commands = re.findall(r"^python3 tools/dev.py fuzz (--cpu.*)", page, re.MULTILINE)
    assert len(commands) == 4
    for line in commands:
        given = [*line.split(), *([] if "--only" in line else ["--time", "1"])]
        assert command.main(given) == 0, capfd.readouterr().out
    kinds = {kind.partition(":")[0] for kind in PLANTED}
    assert set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) == kinds | {"difference", "neighbour"}


@pytest.mark.slow
def test_fresh_programs_hurt_no_host(arch: Arch, capsys: pytest.CaptureFixture[str]) -> None:
    """With another seed each time, which is printed."""
    command = [sys.executable, "-m", "tools.fuzz", "--cpu", "--arch", arch.name, "--time", str(SECONDS_EACH)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20 * SECONDS_EACH)
    said = done.stdout + done.stderr
    seed = re.match(r"fuzz: seed \d+\n", said)
    assert seed is not None, said
    with capsys.disabled():
        print(f"\n{arch.name}, {seed[0].strip()}")
    assert done.returncode == 0, said
    assert " 0 finds\n" in said
