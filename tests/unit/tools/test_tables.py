"""The maker of the docs' tables."""

from __future__ import annotations

import pytest

from tools import tables


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "tables: which table?: name one of calls, names"),
        (["nonesuch"], "tables: there is no table nonesuch: name one of calls, names"),
        (["calls", "now"], "tables: this one takes no arguments: now"),
        (["coverage", "now"], "usage: coverage [--check]"),
    ],
)
def test_a_wrong_name_or_argument_is_exit_status_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(arguments) == 2
    assert capsys.readouterr().err.startswith(said)


def test_a_page_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["far-messages", "--check"]) == 0


def test_a_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.printed(lambda: "| a |\n")([]) == 0
    assert capsys.readouterr().out == "| a |\n"
