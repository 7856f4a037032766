"""What two tasks print of each other's messages on two nodes: what they print on one, but for the lines of far_messages.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
MODULES: Final = ROOT / "tests" / "conformance"
NAMES: Final = ("twotasks", "twotypes")
REASONS: Final = ROOT / "tests" / "cluster" / "far_messages.toml"
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
    """Why lines differ. unlike: between different byte orders alone; between: from the one machine to the other one alone."""

    text: str
    lines: tuple[Difference, ...]
    unlike: bool
    between: tuple[str, ...] = ()

    def applies(self, sender: str, receiver: str) -> bool:
        return (sender != receiver or not self.unlike) and self.between in ((), (sender, receiver))


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
        Reason(
            _text(entry),
            tuple(map(_difference, entry.get("lines", ()))),
            entry.get("unlike", False),
            tuple(entry.get("between", "").split()),
        )
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


def far_away(module: str, task: str, sender: str, receiver: str, reasons: Sequence[Reason]) -> list[str]:
    """What a task must print where the two are on nodes of these machines.

    ValueError where lines to be replaced are not there once.
    """
    lines = at_home(module, task)
    entries = (each for reason in reasons if reason.applies(sender, receiver) for each in reason.lines)
    for each in (each for each in entries if (each.module, each.task) == (module, task)):
        start = lines.index(HEADING + each.section)
        end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith(HEADING)), len(lines))
        size = len(each.home)
        places = [n for n in range(start, end - size + 1) if tuple(lines[n : n + size]) == each.home]
        if len(places) != 1:
            raise ValueError(f"{each.task}, {each.section}: {len(places)} times there: {each.home}")
        lines[places[0] : places[0] + size] = each.far
    return lines
