"""The maker of the docs' tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.ui.lessons import find
from tools import lessons, tables


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "tables: which table?: name one of calls, names"),
        (["nonesuch"], "tables: there is no table nonesuch: name one of calls, names"),
        (["calls", "now"], "tables: this one takes no arguments: now"),
        (["coverage", "now"], "usage: coverage [--check]"),
        (["lessons", "now"], "usage: lessons [--check]"),
    ],
)
def test_a_wrong_name_or_argument_is_exit_status_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(arguments) == 2
    assert capsys.readouterr().err.startswith(said)


def test_a_page_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["far-messages", "--check"]) == 0


def test_a_lesson_s_transcripts_are_made_anew_and_nothing_else(tmp_path: Path) -> None:
    lesson = find("pager")
    page = lesson.page.read_text()
    old = tmp_path / "pager.md"
    old.write_text(page.replace(" s, 22 traps", " s, 23 traps"))
    assert old.read_text() != page
    assert lessons.made(lesson._replace(page=old)) == page


def test_a_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.printed(lambda: "| a |\n")([]) == 0
    assert capsys.readouterr().out == "| a |\n"
