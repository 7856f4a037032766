"""What the m68k prints otherwise than the i386 has a reason, line by line, and the page of differences is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import differences

REASONS = differences.load_reasons()
MODULES = differences.transcripts()


@pytest.mark.parametrize("module", MODULES)
def test_every_line_that_differs_has_a_reason(module: str) -> None:
    found = differences.differences(module, *MODULES[module], REASONS)
    assert [difference for difference in found if not difference.reasons] == []
    assert found


def test_the_page_is_up_to_date() -> None:
    assert differences.main(["--check"]) == 0


def test_every_reason_is_needed() -> None:
    used = {
        reason
        for module, both in MODULES.items()
        for difference in differences.differences(module, *both, REASONS)
        for reason in difference.reasons
    }
    assert {rule.reason for rule in REASONS.rules} | {block.reason for block in REASONS.blocks} <= used
    assert set(REASONS.kinds.values()) <= used


@pytest.mark.parametrize(
    ("i386", "m68k", "kind"),
    (
        ("item 10012002", "item 02200018", "descriptor"),
        ("0000000c 00200011", "0000000c 00110020", "halves"),
        ("at 00003080", "at 00006080", "pages"),
        ("starts -8192", "starts -16384", "pages"),
        ("at bffff000", "at ffffc000", "from the end"),
        ("offset 4046", "offset 8142", "rest of a page"),
    ),
)
def test_a_number_that_follows_from_the_i386_s_is_explained(i386: str, m68k: str, kind: str) -> None:
    assert differences.explain("ports", i386, m68k, REASONS) == (REASONS.kinds[kind],)


@pytest.mark.parametrize(
    ("i386", "m68k"),
    (
        ("refs 1", "refs 2"),
        ("count 5", "count 10"),
        ("-> 00000000", "-> 00000004"),
        ("at 00003080", "at 00006100"),
        ("item 10012002", "item 02200019"),
        ("a line", "another line"),
        ("a line", "a line and more"),
        ("exception 2 code 1 subcode 00000000", "exception 2 code 17 subcode 00000000"),
    ),
)
def test_a_line_that_differs_otherwise_has_no_reason(i386: str, m68k: str) -> None:
    assert differences.explain("ports", i386, m68k, REASONS) == ()


def test_lines_that_are_missing_or_too_many_have_no_reason() -> None:
    for m68k in (["-- a", "x"], ["-- a", "x", "y", "z"], ["-- a", "x", "y", "-- b"]):
        found = differences.differences("ports", ["-- a", "x", "y"], m68k, REASONS)
        assert [difference.reasons for difference in found] == [()]


def test_an_entry_without_a_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reasons.toml"
    path.write_text(differences.REASONS.read_text().replace('source = "MK83 mach/message.h"', 'source = ""', 1))
    with pytest.raises(ValueError, match="no reason or no source"):
        differences.load_reasons(path)


def test_an_old_page_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(differences, "PAGE", tmp_path / "page.md")
    assert differences.main(["--check"]) == 1
    assert "run python3 tools/dev.py tables differences" in capsys.readouterr().err
    assert differences.main([]) == 0
    assert differences.main(["--check"]) == 0
