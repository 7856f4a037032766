"""The hunt for calls that hurt the kernel: what it makes, that it finds what it is to find, and a short one with a fresh seed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from machemu.abi.errors import InvariantError
from machemu.boot.node import Node
from machemu.core import coverage
from machemu.core.coverage import State
from machemu.core.routines.table import ROUTINES
from machemu.core.traps import ROWS
from machemu.kern import host, processor_set
from tools.fuzz.__main__ import main
from tools.fuzz.traps import Hunter, shrunk
from tools.fuzz.traps_calls import Job
from tools.fuzz.traps_table import operations
from tools.fuzz.world import PROFILES

ARCHITECTURES = tuple(PROFILES)
CALLS = 250
"""More than there are traps and routines."""


def test_every_trap_and_every_routine_of_the_kernel_is_called() -> None:
    every = [operation for architecture in ARCHITECTURES for operation in operations(architecture)]
    assert {operation.number for operation in every if operation.trap is not None} == {row.number for row in ROWS}
    assert {operation.number for operation in every if operation.routine is not None} == set(ROUTINES)
    served = {known.name for known in coverage.routines() if known.state in (State.IMPLEMENTED, State.ANSWERS)}
    assert served <= {operation.name for operation in every}


def test_what_cannot_succeed_is_listed_with_the_reason() -> None:
    reasons = {operation.name: operation.cannot for operation in operations("i386") if operation.cannot}
    assert reasons["processor_exit"] == "answers what the real kernel answers: KERN_FAILURE"
    assert set(reasons) == {
        "trap evc_wait", "trap evc_wait_clear", "task_ras_control", "vm_machine_attribute", "processor_start", "processor_exit",
        "processor_control", "processor_assign", "processor_set_create", "processor_set_destroy", "task_assign",
        "task_assign_default", "thread_assign", "thread_assign_default", "device_intr_ack",
    }  # fmt: skip


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.slow
def test_a_machine_of_a_seed_makes_the_same_calls_each_time(architecture: str, tmp_path: Path) -> None:
    with Hunter(architecture, tmp_path) as hunter:
        first, second = (hunter.run(Job(7, 2, CALLS, tells=True)) for _ in range(2))
        other = hunter.run(Job(7, 4, CALLS, tells=True))
    assert first.find is None and other.find is None
    assert first == second
    assert first.told != other.told
    made = {operation.name for operation in operations(architecture)}
    assert len(made - set(first.outcomes)) < len(made) // 8, "a round goes over all, but for what keeps the machine small"


ROUNDS = 8
"""A call may have another target in one of them."""


def divides(*arguments: object) -> Any:
    return 1 // 0


def stands(*arguments: object) -> Any:
    while True:
        pass


def breaks(*arguments: object) -> Any:
    raise InvariantError("7 are not 8")


def makes(kern: Any, *arguments: object) -> Any:
    kern.ipc.make_kernel_port(None)
    return ()


@pytest.mark.parametrize(
    ("place", "name", "fault", "kind"),
    [
        (host, "info", divides, "traceback"),
        (host, "info", stands, "hang"),
        (host, "info", breaks, "invariant"),
        (host, "info", makes, "leak"),
        (processor_set, "max_priority", makes, "leak"),
    ],
)
def test_a_fault_that_is_planted_is_found(
    place: Any, name: str, fault: Callable[..., Any], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, fault)
    with Hunter("i386", tmp_path, patience=0.5 if kind == "hang" else 60) as hunter:
        found = (hunter.run(Job(1, number)).find for number in range(ROUNDS))
        find = next(filter(None, found), None)
    assert find is not None and find.kind == kind, find


def test_a_machine_that_is_not_what_was_saved_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Node.load

    def other(path: Path) -> Node:
        node = load(path)
        node.kernel.trap_count += 1
        return node

    monkeypatch.setattr(Node, "load", other)
    with Hunter("m68k", tmp_path) as hunter:
        find = hunter.run(Job(1, 0, 20)).find
    assert find is not None and (find.kind, find.signature) == ("load", "the loaded machine has another digest")


def test_a_find_is_shown_by_the_few_calls_that_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "info", divides)
    with Hunter("m68k", tmp_path) as hunter:
        job = Job(2, 0)
        find = hunter.run(job).find
        assert find is not None
        small = shrunk(hunter, job, find)
        told = hunter.run(Job(job.seed, job.number, small.calls, small.skipped, True)).told
    assert small.calls - len(small.skipped) == 1
    assert len(told) == 1 and ": host_info to " in told[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--traps", "--cpu"], "not allowed with argument"),
        (["--traps", "--only", "3"], "--only needs --arch and --seed"),
        (["--traps", "--count", "0"], "0 is too few"),
        (["--traps", "--seed", "-1"], "is no whole number"),
        (["--traps", "--arch", "vax"], "invalid choice"),
    ],
)
def test_options_that_cannot_be_are_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_short_hunt_with_a_fresh_seed_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--traps", "--time", "6"])
    said = capsys.readouterr().out
    print(said.splitlines()[0])
    assert status == 0, said
    figures = re.search(r"([\d,]+) calls, of which ([\d,]+)", said)
    assert figures is not None, said
    calls, successes = (int(figure.replace(",", "")) for figure in figures.groups())
    assert successes >= calls // 2 > 0, said
