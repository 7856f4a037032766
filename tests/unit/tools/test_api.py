"""The page of the Python API."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import api


def test_the_page_is_up_to_date() -> None:
    assert api.main(["--check"]) == 0


def test_an_old_page_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(api, "PAGE", tmp_path / "api.md")
    assert api.main(["--check"]) == 1
    assert "run python3 tools/dev.py tables api" in capsys.readouterr().err
    assert api.main([]) == 0
    assert api.main(["--check"]) == 0
    assert api.main(["--loud"]) == 2
