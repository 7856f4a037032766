"""The pictures of the README and of the migration page."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools import picture, picture_of_move


def test_the_picture_is_that_of_the_run() -> None:
    assert picture.main(["--check"]) == 0
    text = picture.PICTURE.read_text()
    ElementTree.fromstring(text)
    assert text.count("message 1000 to port") >= 4
    assert text.index("ping 1") < text.index("pong 1") < text.index("back 2")


def test_an_old_picture_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(picture, "PICTURE", tmp_path / "picture.svg")
    assert picture.main(["--check"]) == 1
    assert "run python3 tools/dev.py tables picture" in capsys.readouterr().err
    assert picture.main(["--loud"]) == 2


@pytest.mark.slow
def test_the_picture_of_a_move_is_that_of_the_run() -> None:
    assert picture_of_move.main(["--check"]) == 0
    text = picture_of_move.PICTURE.read_text()
    ElementTree.fromstring(text)
    steps = (
        "process_hold",
        "process_prepare",
        "space_copy",
        "space_give",
        "process_lead",
        "ipc_lead",
        "ipc_move",
        "process_move",
    )
    places = [text.index(f">{step}<") for step in steps]
    assert places == sorted(places)
