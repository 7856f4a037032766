"""What newcomers and contributors read: each page is found from README, links lead there, CONTRIBUTING's commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from machemu.core.routines import table
from machemu.core.traps import ROWS
from machemu.mig import pygen
from machemu.mig.parser import parse

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)")
ANCHOR = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_page_is_found_from_the_readme() -> None:
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page not in seen:
            seen.add(page)
            left += [(page.parent / target).resolve() for target in LINK.findall(page.read_text()) if "://" not in target]
    pages = {*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), ROOT / "images" / "README.md", *(ROOT / "lessons").glob("*.md")}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - seen) == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/python.md", "docs/api.md"])
def test_links_into_pages_lead_to_a_heading(page: str) -> None:
    for target, anchor in ANCHOR.findall((ROOT / page).read_text()):
        path = (ROOT / page).parent / target if target else ROOT / page
        headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, f"{target}#{anchor}"


def test_the_commands_for_contributors_are_there() -> None:
    blocks = "".join(re.findall(r"```sh\n(.*?)```", CONTRIBUTING, re.DOTALL)) + " ".join(re.findall(r"`([^`]*)`", CONTRIBUTING))
    commands = set(re.findall(r"tools/dev\.py ([a-z]+)", blocks))
    help_text = subprocess.run(
        [sys.executable, "tools/dev.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert commands >= {"setup", "test", "check", "images", "oracle", "tables"}
    assert commands <= set(re.findall(r"^([a-z]+) ", help_text, re.MULTILINE))
    listed = subprocess.run([sys.executable, "-m", "tools.tables"], cwd=ROOT, capture_output=True, text=True, check=False).stderr
    for name in re.findall(r"tables ([a-z-]+)", blocks):
        assert name in listed


def test_the_way_to_add_a_routine_is_as_it_is_told() -> None:
    [(defs, module)] = re.findall(r"-m machemu\.mig (\S+) --python (\S+)", CONTRIBUTING)
    assert pygen.generate(parse(ROOT / defs)) == (ROOT / module).read_text()
    assert table.HANDLERS and ROWS
    assert (
        "--write"
        in subprocess.run(
            [sys.executable, "-m", "tools.oracle", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    )


def test_the_changelog_is_of_the_usual_form() -> None:
    headings = re.findall(r"^##+ (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert set(headings) <= {"[Unreleased]", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
