"""The command that runs conformance modules while they move between nodes."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from machemu.abi.errors import InvariantError, UserError
from machemu.ipc.thread import MsgContinuation
from machemu.kern.thread import Continuation
from machemu.kern.waits import WAITS
from masix.migration.report import Report
from tests.support import modules
from tests.support.guests import Arch
from tests.support.wanderers import Wandered
from tests.support.witnessed import Trial
from tools import migrate

ROOT = Path(__file__).parents[3]
SAMPLE = ("emulation", "lines", "kernelsays", "managerrequests", "memorywaits")
"""Modules that take little time. Each test takes one at random."""
HOME = migrate.Home(b"BEGIN\nEND\n", False, 1000)
SAME = Wandered(b"BEGIN\nEND\n", 10, [], Counter(), Counter({"RECEIVE": 5}))


def test_a_module_prints_the_same_while_it_moves(arch: Arch, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1 << 32)
    name = random.Random(seed).choice(SAMPLE)
    status = migrate.main(["--arch", arch.name, "--first", str(seed), name])
    said = capsys.readouterr().out
    print(said)
    assert status == 0
    assert f"seed {seed}: " in said


def test_the_page_s_commands_are_ones_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    commands = re.findall(r"dev\.py migrate(.*?)(?:  #.*)?$", page, re.MULTILINE)
    assert len(commands) == 4
    monkeypatch.setattr(migrate, "run_all", lambda *_: 0)
    monkeypatch.setattr(migrate, "many_moves", lambda *_: 0)
    monkeypatch.setattr(migrate, "faults", lambda *_: 0)
    assert [migrate.main(command.split()) for command in commands] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("wrong", "reason", "status"),
    [
        (None, None, 0),
        ("it prints something else", None, 1),
        ("it prints something else", migrate.Reason("So.", True), 0),
        ("it prints something else", migrate.Reason("So.", False), 0),
        (None, migrate.Reason("So.", True), 1),
        (None, migrate.Reason("So.", False), 0),
    ],
)
def test_a_module_differs_where_and_only_where_there_is_a_reason(
    wrong: str | None, reason: migrate.Reason | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "at_home", lambda *_: HOME)
    monkeypatch.setattr(migrate, "moved", lambda *_: migrate.Run(1, SAME, wrong))
    monkeypatch.setattr(migrate, "reasons", lambda: {} if reason is None else {("m68k", "lines"): reason})
    assert migrate.main(["--arch", "m68k", "lines"]) == status


def test_a_run_that_hardly_moves_or_begins_late_is_not_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def said(run: Wandered) -> str | None:
        monkeypatch.setattr(migrate, "wander", lambda *_: run)
        return migrate.moved(Arch, "lines", 1, HOME, tmp_path).wrong  # type: ignore[arg-type]

    moves = [Report()] * migrate.MOVES
    assert said(SAME._replace(moves=moves)) is None
    assert said(SAME) == "fewer than 5 moves"
    assert said(SAME._replace(moves=moves, first=400)) == "the first move is not in the first third of its time"
    other = said(SAME._replace(moves=moves, printed=b"BEGIN\nmore\nEND\n"))
    assert other is not None and other.endswith("\n+more\n END")


def test_a_module_that_hardly_runs_stands_still_while_its_move_is_agreed_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    moves = [Report()] * migrate.MOVES

    def run(_arch: object, _name: str, _seed: int, _every: int, is_held: bool, _folder: Path) -> Wandered:
        return SAME._replace(moves=moves) if is_held else SAME

    monkeypatch.setattr(migrate, "wander", run)
    assert migrate.moved(Arch, "pie", 1, HOME, tmp_path).wrong is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("same", "waits", "status"),
    [(5, WAITS, 0), (4, WAITS, 1), (5, list(WAITS)[1:], 1)],
)
def test_all_modules_are_enough_the_same_and_hit_each_wait(
    same: int, waits: Iterable[MsgContinuation | Continuation], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["cd", "disk", "floppy", "lines", "pie", "ports"]
    run = SAME._replace(waits=Counter(kind.name for kind in waits))
    monkeypatch.setattr(migrate, "_names", lambda *_: names)
    monkeypatch.setattr(migrate, "at_home", lambda *_: HOME)
    monkeypatch.setattr(
        migrate, "moved", lambda _arch, name, *_: migrate.Run(1, run, None if names.index(name) < same else "it differs")
    )
    monkeypatch.setattr(migrate, "reasons", lambda: {("i386", name): migrate.Reason("So.", True) for name in names[same:]})
    assert migrate.main(["--arch", "i386"]) == status
    assert migrate.main(["--arch", "i386", *names]) == 0


@pytest.mark.parametrize("error", [InvariantError("a port has no receiver"), UserError("a server has a fault")])
def test_a_run_that_ends_by_a_fault_is_told_and_is_not_the_last(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*_: object) -> Wandered:
        raise error

    monkeypatch.setattr(migrate, "wander", fails)
    run = migrate.moved(Arch, "lines", 1, HOME, tmp_path)  # type: ignore[arg-type]
    assert run == (1, None, f"a fault of machemu's: {error}")


def test_moves_are_told_by_the_node_that_failed_and_a_wrong_one_with_its_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [Trial("i386", True, "COPY", "crash", node, 5) for node in ("beta", "gamma")]
    monkeypatch.setattr(migrate, "trial", lambda seed: trials[seed])

    def try_move(wanted: Trial) -> str:
        assert wanted.node == "beta", "two copies"
        return "it moved"

    monkeypatch.setattr(migrate, "try_move", try_move)
    assert migrate.main(["--faults", "2", "--first", "0"]) == 1
    said = capsys.readouterr().out
    assert "seed 1: " in said and "two copies" in said and "again: dev.py migrate --first 1 --faults 1" in said
    assert "2 moves from seed 0: 1 wrong; in the steps: COPY 2\n       1 the source, crash: it moved\n" in said


def test_each_reason_is_a_sentence_about_a_module() -> None:
    for (architecture, name), (text, _) in migrate.reasons().items():
        assert modules.binary(name, architecture).exists()
        assert text[0].isupper() and text.endswith(".")


def test_a_module_that_is_not_there_is_exit_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate.main(["lines", "nonesuch"]) == 2
    assert "there is no module nonesuch in tests/conformance" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--moves", "-1"], ["--jobs", "0"], ["--arch", "vax"]])
def test_a_wrong_option_is_exit_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        migrate.main(arguments)
    assert stopped.value.code == 2
