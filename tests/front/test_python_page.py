"""The examples of docs/python.md run in their order and print what the page shows; the API's page has every name."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

import machemu
from machemu.lab import looks, views

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "python.md"
EXAMPLE = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


@pytest.mark.slow
def test_the_page_s_examples_print_what_it_shows() -> None:
    session: dict[str, Any] = {}
    examples = EXAMPLE.findall(PAGE.read_text())
    assert len(examples) > 10
    try:
        for code, shown in examples:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(PAGE), "exec"), session)
            assert printed.getvalue() == shown, code
    finally:
        if "machine" in session:
            session["machine"].close()


def test_the_api_s_page_has_every_name_that_is_exported_and_every_row() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    rows = [name for name in vars(views) if name.endswith("Row")]
    for name in (*machemu.__all__, *rows):
        assert name.startswith("_") or f"### {name}\n" in page, name
    for cls in (machemu.Machine, machemu.Cluster, looks.Looks):
        for name in vars(cls):
            assert name.startswith("_") or f"#### {cls.__name__}.{name}\n" in page, name
