"""The command that compares histories of generic processes with a model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import generic_model
from tests.support.guests import Arch
from tools import generic
from tools.costs import processes

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "processes.md").read_text()


def test_it_says_how_many_histories_were_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert generic.main(["--histories", "3", "--seed", "5"]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"(\w+): 3 histories from seed 5, \d with faults: 0 wrong", said) == ["replicated", "paged"]


def test_what_differs_is_told_with_its_seed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(generic_model.Model, "differs", lambda *_: "not the same")
    assert generic.main(["--histories", "1", "--seed", "5", "--store", "replicated"]) == 1
    said = capsys.readouterr().out
    assert "replicated: seed 5: at Member(node=0, incarnation=1): not the same" in said
    assert "again: dev.py generic --store replicated --seed 5 --histories 1" in said


def test_the_page_s_commands_are_ones_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = re.findall(r"dev\.py generic(.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert len(commands) == 4
    monkeypatch.setattr(generic, "check", lambda *_: 0)
    monkeypatch.setattr(processes, "table", lambda: "")
    monkeypatch.setattr(generic, "tree", lambda *_: 0)
    assert [generic.main(command.split()) for command in commands] == [0] * 4


def test_trees_are_told_by_their_processor_and_a_wrong_one_with_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def try_tree(arch: Arch, children: int) -> int:
        assert arch.name == "m68k", "a child was lost"
        return 1_500_000_000

    monkeypatch.setattr(generic, "try_tree", try_tree)
    assert generic.main(["--tree", "3"]) == 1
    said = capsys.readouterr().out
    assert "i386: a child was lost" in said and "m68k: 13 processes, all waited for, nothing left; 1.5 s" in said


@pytest.mark.parametrize(
    "arguments", [["--histories", "0"], ["--histories", "many"], ["--tree", "0"], ["--store", "none"], ["more"]]
)
def test_a_wrong_command_line_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        generic.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_the_page_names_every_file() -> None:
    files = {file.name for file in (ROOT / "servers" / "masix" / "gps").glob("[a-z]*.py")}
    named = {line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `") and ".py`" in line}
    assert named == files
