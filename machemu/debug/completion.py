"""Words that may stand in a command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from machemu.core.routines.table import routine_names
from machemu.core.traps import TRAPS
from machemu.lab.looks import Looks
from machemu.lab.travel import StepKind

CONDITIONS: Final = ("trap", "message", "queue", "page", "woken", "at", "fault", "exception", "console")
FIRST: Final[dict[str, Sequence[str]]] = {
    "step": [kind.value for kind in StepKind],
    "back": [kind.value for kind in StepKind],
    "run": (*CONDITIONS, "for", "traps"),
    "run-back": CONDITIONS,
    "break": CONDITIONS,
    "delete": ("all",),
    "ports": ("all",),
    "trace": ("on", "off", "last"),
}
"""Behind a command's name."""


def completions(machine: Looks, given: Sequence[str]) -> Iterable[str]:
    """given: the words in front, the command's name first."""
    if len(given) == 1 and given[0] in FIRST:
        return FIRST[given[0]]
    match given[-1]:
        case "trap":
            return sorted({trap.name for trap in TRAPS})
        case "message":
            return sorted(routine_names())
        case "at" | "dis":
            return sorted({row.name for row in machine.symbols})
    return ()
