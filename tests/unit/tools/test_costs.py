"""The figures of the docs are those that come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.costs import calls, groups, names, processes, protocols, under_way

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("masix", calls.table),
        ("groups", groups.table),
        ("protocols", protocols.table),
        ("processes", processes.table),
        ("migration", under_way.table),
    ],
)
def test_the_page_s_table_is_what_is_measured(page: str, table: Callable[[], str]) -> None:
    assert table() in (DOCS / f"{page}.md").read_text()


@pytest.mark.slow
def test_what_idle_replicas_cost_is_what_the_page_says() -> None:
    row, _ = names.row(names.SIZES[0])
    assert row in (DOCS / "masix.md").read_text()
