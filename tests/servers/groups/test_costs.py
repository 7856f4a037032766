"""The figures of docs/groups.md are those that come out, and its list of files is whole."""

from __future__ import annotations

from pathlib import Path

from tests.servers.groups.measure import table

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "groups.md").read_text()


def test_the_page_s_table_is_what_is_measured() -> None:
    assert table() in PAGE


def test_the_page_names_every_file() -> None:
    files = {file.name for file in (ROOT / "servers" / "masix" / "groups").glob("[a-z]*.py")}
    named = {name for line in PAGE.splitlines() if line.startswith("| `") for name in line.split("|")[1].split("`")[1::2]}
    assert named == files - {"view.py"}
