"""Programs that store into the code they are running: wherever a machine is cut or saved, it goes on exactly."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from machemu.abi.types import VirtAddr
from tests.support.guests import I386, M68K, Arch
from tests.support.machine import CODE, STACK_END, Machine, add_task, add_thread, empty, load

PRINT, YIELD = 30, 59
TEXT, RESULT, OTHER = CODE + 0xF00, CODE + 0xF10, CODE + 0x800
LETTER = {"i386": TEXT, "m68k": TEXT + 3}
"""Where a word's lowest byte lies."""
SAVES = 6


def constant(arch: Arch) -> int:
    """Where in `arch.load` the constant's word is."""
    return 1 if arch is I386 else 2


def writes_again(machine: Machine) -> None:
    """Stores hundreds of times what one of its own bytes is already."""
    if machine.arch is I386:
        add_task(machine, b"\xb8" + machine.arch.pack("I", CODE + 0x100) + machine.arch.repeat(bytes(2 * 300)))
    else:
        add_task(machine, b"\x41\xf9" + machine.arch.pack("I", CODE + 0x100) + machine.arch.repeat(b"\x81\x10" * 300))


def counts(machine: Machine) -> None:
    """Counts in the constant of the next instruction, and prints it as a letter."""
    arch = machine.arch
    place = CODE + len(arch.increment(0)) + constant(arch)
    letter = arch.unpack("I", b"\0\0\0A" if arch is M68K else b"A\0\0\0")[0]
    body = arch.increment(place) + arch.load(letter) + arch.store(TEXT) + arch.trap(PRINT, LETTER[arch.name])
    add_task(machine, arch.repeat(body))


def is_written_by_another_thread(machine: Machine) -> None:
    """One thread counts in an instruction's constant, which the other stores for all to see."""
    arch = machine.arch
    task, _ = add_task(machine, arch.repeat(arch.load(0) + arch.store(RESULT) + arch.trap(YIELD, 0)))
    task.memory.write(VirtAddr(OTHER), arch.repeat(arch.increment(CODE + constant(arch)) + arch.trap(YIELD, 0)))
    add_thread(machine, task, OTHER, STACK_END - 0x8000)


PROGRAMS = [(writes_again, 40_000), (counts, 1_500_000), (is_written_by_another_thread, 2_500_000)]
"""And for how many nanoseconds they run: the first ends in the middle of its stores."""


def outcome(machine: Machine) -> tuple[bytes, str, bytes]:
    task = machine.tasks[0]
    return machine.console, machine.node.digest(), task.memory.read(VirtAddr(CODE), 0x2000)


@pytest.mark.slow
@pytest.mark.parametrize(("program", "duration"), PROGRAMS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_machine_whose_code_changes_goes_on_exactly_wherever_it_was_cut_or_saved(
    arch: Arch, program: Callable[[Machine], None], duration: int, tmp_path: Path
) -> None:
    with empty(arch) as machine:
        program(machine)
        machine.run(duration)
        expected = outcome(machine)
        executed = machine.kernel.cpu.executed
        end = machine.kernel.kern.clock.now()
    with empty(arch) as machine:
        program(machine)
        pieces = 0
        while machine.kernel.kern.clock.now() < end:
            machine.run(1)
            pieces += 1
        assert (outcome(machine), machine.kernel.cpu.executed) == (expected, executed)
        assert pieces > 100
    chooser = random.Random(program.__name__)
    machine = empty(arch)
    program(machine)
    for now in sorted(chooser.sample(range(1, end), SAVES)):
        machine.run(now - machine.kernel.kern.clock.now())
        machine.node.save(tmp_path / "machine")
        console = machine.console
        machine.node.close()
        machine = load(tmp_path / "machine")
        machine.console = console
    with machine:
        machine.run(end - machine.kernel.kern.clock.now())
        assert outcome(machine) == expected
