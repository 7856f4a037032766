"""Messages between two nodes beside the same at home: where they differ, each line with its reason.

tests/conformance/twotasks.c and twotypes.c print what their two tasks see of every message; at home, what the real kernel gives.
`tests/cluster/far_messages.toml` says what becomes of it when the tasks are on two nodes. `python3 tools/dev.py tables
far-messages` writes docs/far-messages.md; with `--check` it compares. Exit status 1 where the page is old.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from tests.support.far_messages import ROOT, Reason, load

PAGE: Final = ROOT / "docs" / "far-messages.md"


def page() -> str:
    """The page's text."""
    reasons, elsewhere = load()
    lines = [
        "# What differs between two nodes",
        "",
        "Two tasks send each other the messages of the conformance modules ([twotasks.c](../tests/conformance/twotasks.c),",
        "[twotypes.c](../tests/conformance/twotypes.c)). On one node they see what the real kernel gives; on two nodes, i386 or",
        "m68k, the same but for the lines below. The page is made by `python3 tools/dev.py tables far-messages` out of",
        "tests/cluster/far_messages.toml; a test runs both tasks on all pairs of machines, and fails where a line has no reason",
        "or a reason no line.",
        "",
    ]
    lines += ["## What distance changes", "", *(line for reason in reasons for line in _shown(reason))]
    lines += ["## What is not sent here", ""]
    for entry in elsewhere:
        calls = " (" + ", ".join(entry.calls) + ")" if entry.calls else ""
        lines.append(f"- {entry.module}{calls}: {entry.text}.")
    return "\n".join([*lines, ""])


def _shown(reason: Reason) -> list[str]:
    where = " *Between different byte orders alone.*" if reason.unlike else ""
    where += f" *From {' to '.join(reason.between)} alone.*" if reason.between else ""
    lines = [f"{reason.text}{where}", "", "```diff"]
    groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for each in reason.lines:
        groups.setdefault((each.task, each.home, each.far), []).append(each.section)
    for (task, home, far), sections in groups.items():
        lines.append(f" {task}: {', '.join(sections)}")
        lines += [f"-{line}" for line in home if line not in far] + [f"+{line}" for line in far if line not in home]
    return [*lines, "```", ""]


def main(arguments: Sequence[str]) -> int:
    """Writes the page, or with --check compares; 1 where it is old."""
    if list(arguments) not in ([], ["--check"]):
        print("usage: far_messages [--check]", file=sys.stderr)
        return 2
    text = page()
    if not arguments:
        PAGE.write_text(text)
    elif not (PAGE.is_file() and PAGE.read_text() == text):
        print("docs/far-messages.md is not what the table says: run python3 tools/dev.py tables far-messages", file=sys.stderr)
        return 1
    return 0
