"""Messages between two nodes beside the same at home: where they differ, each line with its reason.

tests/conformance/twotasks.c and twotypes.c print what their two tasks see of every message; at home, what the real kernel gives.
`tests/cluster/far_messages.toml` says what becomes of it when the tasks are on two nodes. `python -m tools.far_messages` writes
docs/far-messages.md; with `--check` it compares. Exit status 1 where the page is old.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
MODULES: Final = ROOT / "tests" / "conformance"
NAMES: Final = ("twotasks", "twotypes")
REASONS: Final = ROOT / "tests" / "cluster" / "far_messages.toml"
PAGE: Final = ROOT / "docs" / "far-messages.md"
TASKS: Final = {"sender": "S ", "receiver": "R "}
"""What the lines of each task begin with."""
HEADING: Final = "-- "


@dataclass(frozen=True, slots=True)
class Difference:
    """Lines of a module's task in a section, and what stands in their place where the other task is on another node."""

    module: str
    task: str
    section: str
    home: tuple[str, ...]
    far: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why lines differ. unlike: between different byte orders alone."""

    text: str
    lines: tuple[Difference, ...]
    unlike: bool


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a conformance module sends and these do not. calls: the names of those lines in the module's transcript."""

    module: str
    calls: tuple[str, ...]
    text: str


def load(path: Path = REASONS) -> tuple[list[Reason], list[Elsewhere]]:
    """The table. ValueError where an entry has no text, or a reason no lines."""
    table = tomllib.loads(path.read_text())
    reasons = [
        Reason(_text(entry), tuple(map(_difference, entry.get("lines", ()))), entry.get("unlike", False))
        for entry in table["reason"]
    ]
    for reason in reasons:
        if not reason.lines:
            raise ValueError(f"no lines for: {reason.text}")
    return reasons, [Elsewhere(entry["module"], tuple(entry.get("calls", ())), _text(entry)) for entry in table["elsewhere"]]


def _text(entry: dict[str, Any]) -> str:
    if not entry.get("text"):
        raise ValueError(f"no reason: {entry}")
    return " ".join(entry["text"].split())


def _difference(entry: dict[str, Any]) -> Difference:
    home, far = (tuple(entry[side].strip().splitlines()) for side in ("home", "far"))
    return Difference(entry["module"], entry["task"], entry["section"], home, far)


def lines_of(task: str, printed: Sequence[str]) -> list[str]:
    """A task's lines of a console or a transcript."""
    mark = TASKS[task]
    return [line.removeprefix(mark).strip() for line in printed if line.startswith(mark)]


def at_home(module: str, task: str) -> list[str]:
    """What a module's task prints where both are on one node."""
    return lines_of(task, (MODULES / f"{module}.expected").read_text().splitlines())


def far_away(module: str, task: str, unlike: bool, reasons: Sequence[Reason]) -> list[str]:
    """What a task must print where the other one is on another node. ValueError where lines to be replaced are not there once."""
    lines = at_home(module, task)
    entries = (each for reason in reasons if unlike or not reason.unlike for each in reason.lines)
    for each in (each for each in entries if (each.module, each.task) == (module, task)):
        start = lines.index(HEADING + each.section)
        end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith(HEADING)), len(lines))
        size = len(each.home)
        places = [n for n in range(start, end - size + 1) if tuple(lines[n : n + size]) == each.home]
        if len(places) != 1:
            raise ValueError(f"{each.task}, {each.section}: {len(places)} times there: {each.home}")
        lines[places[0] : places[0] + size] = each.far
    return lines


def page() -> str:
    """The page's text."""
    reasons, elsewhere = load()
    lines = [
        "# What differs between two nodes",
        "",
        "Two tasks send each other the messages of the conformance modules ([twotasks.c](../tests/conformance/twotasks.c),",
        "[twotypes.c](../tests/conformance/twotypes.c)). On one node they see what the real kernel gives; on two nodes, i386 or",
        "m68k, the same but for the lines below. The page is made by `python -m tools.far_messages` out of",
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
        print("docs/far-messages.md is not what the table says: run python -m tools.far_messages", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
