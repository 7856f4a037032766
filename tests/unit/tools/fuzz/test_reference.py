"""`fuzz --reference`: a sample of single instructions does here what it does on the host's processor or in QEMU's m68k.

The lists of differences have no row without a use, and a planted difference is found.
"""

from __future__ import annotations

import math
import secrets
import subprocess
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.support.guests import Arch
from tools.fuzz import __main__ as command
from tools.fuzz import lists, native
from tools.fuzz.lists import BadList, Facts, Row
from tools.fuzz.reference import Case, Fault, NoReference, Outcome

SECONDS_EACH = 6
PLANTED = 600
TRIED = [10 << n for n in range(9)]
"""Batches of so many cases, one after the other, in which a row must explain something."""
REFUSED = {"i386": 6, "m68k": 1}
"""The fault of an instruction that is none."""


@pytest.fixture(scope="module")
def folder(arch: Arch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reference")
    try:
        native.program(arch.name, made)
    except NoReference as error:
        pytest.skip(str(error))
    return made


@pytest.mark.slow
def test_a_sample_is_done_as_by_the_reference(arch: Arch, folder: Path) -> None:
    seed = secrets.randbelow(1 << 32)
    done = native.compare(arch.name, seed, None, SECONDS_EACH, folder, lists.load(arch.name))
    print(f"seed {seed}: {done.cases} cases")
    again = f"python3 tools/dev.py fuzz --reference --arch {arch.name} --seed {seed} --count {done.cases}"
    assert done.unexplained == [], f"{again}\n" + "\n".join(done.unexplained[:5])
    assert done.equal > done.cases // 2


def test_a_planted_difference_is_found(arch: Arch, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = native.REFERENCES[arch.name].Here
    run = here.run

    def changed(self: object, each: Case) -> Outcome:
        outcome: Outcome = run(self, each)
        if outcome.fault is None:
            outcome.registers = (outcome.registers[0] ^ 1, *outcome.registers[1:])
        return outcome

    monkeypatch.setattr(here, "run", changed)
    done = native.compare(arch.name, 1, PLANTED, math.inf, folder, lists.load(arch.name))
    assert len(done.unexplained) > PLANTED // 6
    assert "registers" in done.unexplained[0]


def test_an_instruction_that_is_refused_without_a_reason_is_found(
    arch: Arch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = native.REFERENCES[arch.name].Here
    run = here.run

    def refuses(self: object, each: Case) -> Outcome:
        outcome: Outcome = run(self, each)
        return replace(outcome, fault=Fault(REFUSED[arch.name]))

    monkeypatch.setattr(here, "run", refuses)
    done = native.compare(arch.name, 2, PLANTED, math.inf, folder, lists.load(arch.name))
    assert len(done.unexplained) > PLANTED // 6


@pytest.mark.slow
def test_each_row_of_the_list_explains_something(arch: Arch, folder: Path) -> None:
    module = native.of(arch.name)
    built = native.program(arch.name, folder)
    encodings = [(index, module.facts(index)) for index in native.compared(module)]
    here = module.Here(b"")
    dead = []
    for row in lists.load(arch.name):
        if row.needs and not module.has(row.needs):
            continue
        random = Random(1)
        matching = [index for index, facts in encodings if row.is_of(facts)]
        done = native.Compared()
        for count in TRIED:
            if matching and not done.explained:
                native.batch(module, built, here, random, random.choices(matching, k=count), [row], done)
        if not done.explained:
            dead.append(row.reason)
    here.close()
    assert dead == []


def test_the_list_of_each_architecture_gives_reasons(arch: Arch) -> None:
    rows = lists.load(arch.name)
    assert rows
    assert all(row.reason for row in rows)


ROW = {"opcodes": "0f10-0f12 90", "reason": "why"}


def row(**keys: object) -> Row:
    return lists.parse({"differs": [{**ROW, **keys}]}, "a list")[0]


def test_a_row_is_about_the_encodings_that_it_names() -> None:
    assert row().is_of(Facts(b"\x0f\x11"))
    assert row().is_of(Facts(b"\x90", b"\x66", 3, "memory"))
    assert not row().is_of(Facts(b"\x0f\x13"))
    assert not row(regs=[1]).is_of(Facts(b"\x90", b"", 3))
    assert not row(operand="memory").is_of(Facts(b"\x90", b"", 3, "register"))
    assert not row(prefixes="66 f2").is_of(Facts(b"\x90", b"\xf3"))
    assert row(prefixes="66 f2").is_of(Facts(b"\x90", b"\x67\x66"))


def test_a_row_explains_what_it_names_alone() -> None:
    flags = row(fields=["flags"])
    assert flags.explains(Facts(b"\x90"), frozenset(("flags",)), False)
    assert not flags.explains(Facts(b"\x90"), frozenset(("flags", "pc")), False)
    assert not flags.explains(Facts(b"\x90"), frozenset(("flags",)), True)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"wrong": []}, "no kind of row: wrong"),
        ({"differs": [{"opcodes": "90"}]}, "differs 1: its keys are opcodes; opcodes and reason must be"),
        ({"refused": [{**ROW, "regz": 1}]}, "refused 1: its keys are"),
        ({"differs": [{**ROW, "fields": ["colour"]}]}, "differs 1: no field: colour"),
        ({"differs": [{**ROW, "opcodes": "0f10-11"}]}, "0f10-11 is no range"),
        ({"differs": [{**ROW, "opcodes": "0g"}]}, "differs 1: non-hexadecimal"),
    ],
)
def test_a_list_that_says_what_it_cannot_is_refused(table: dict[str, object], said: str) -> None:
    with pytest.raises(BadList, match=said):
        lists.parse(table, "a list")


def test_a_host_without_the_reference_is_told_what_it_lacks(
    arch: Arch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_arguments: object, **_options: object) -> None:
        raise FileNotFoundError("no compiler")

    monkeypatch.setattr(subprocess, "run", fails)
    native.REFERENCES[arch.name].build.cache_clear()
    assert command.main(["--reference", "--arch", arch.name, "--count", "1"]) == 2
    assert f"there is no reference for the {arch.name} here" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--arch", "i386", "--seed", "1", "--only", "1"], ["--jobs", "2"]])
def test_options_of_other_hunts_are_refused_beside_reference(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--reference", *option])
    assert caught.value.code == 2
    assert "--only and --jobs are for --cpu and --traps" in capsys.readouterr().err
