"""The figures of docs/masix.md are those that come out."""

from __future__ import annotations

from tests.cluster.measure import table
from tests.cluster.world import ROOT


def test_the_page_s_table_is_what_is_measured() -> None:
    assert table() in (ROOT / "docs" / "masix.md").read_text()
