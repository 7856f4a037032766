"""The page on messages between nodes is what its table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import far_messages


def test_the_page_is_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert far_messages.main(["--check"]) == 0
    monkeypatch.setattr(far_messages, "PAGE", tmp_path / "page.md")
    assert far_messages.main(["--check"]) == 1
    assert "run python3 tools/dev.py tables far-messages" in capsys.readouterr().err
    assert far_messages.main([]) == 0 and far_messages.main(["--check"]) == 0
