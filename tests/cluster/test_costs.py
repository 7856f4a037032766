"""The figures of docs/masix.md are those that come out."""

from __future__ import annotations

from tests.cluster import measure_names
from tests.cluster.measure import table
from tests.cluster.world import ROOT


def test_the_page_s_table_is_what_is_measured() -> None:
    assert table() in (ROOT / "docs" / "masix.md").read_text()


def test_what_idle_replicas_cost_is_what_the_page_says() -> None:
    row, _ = measure_names.row(measure_names.SIZES[0])
    assert row in (ROOT / "docs" / "masix.md").read_text()
