"""Every trap and every routine of the kernel, from its own tables, and those that no task's call can succeed in."""

from __future__ import annotations

from typing import Final, NamedTuple

from machemu.core import coverage
from machemu.core.coverage import State
from machemu.core.routines.table import ROUTINES
from machemu.core.traps import ROWS, Trap
from machemu.mig.interfaces import mach_i386
from machemu.mig.runtime import Routine

ALWAYS: Final = ("task_self", "thread_reply", "task_notify", "thread_self", "host_self", "null_port")
"""Traps whose right answer is the null port."""
CANNOT: Final = {
    "device_intr_ack": "no interrupt of these machines is ever left to acknowledge",
}
"""What no task's call succeeds in, beside what the kernel's coverage page says that it answers to everybody."""
MACHINES: Final = ("i386", "m68k")


class Operation(NamedTuple):
    """A trap or a routine. name: with `trap` before a trap's. number: of the trap, or the message's id.

    cannot: why no call of it succeeds; "" for what can.
    """

    name: str
    number: int
    trap: Trap | None
    routine: Routine | None
    cannot: str


def operations(architecture: str) -> list[Operation]:
    """All that a machine of an architecture has."""
    found = [Operation(f"trap {row.name}", row.number, row, None, _reason(row.name)) for row in ROWS]
    for number, row in sorted(ROUTINES.items()):
        if architecture == "i386" or number not in mach_i386.ROUTINES:
            found.append(Operation(row.routine.name, number, None, row.routine, _reason(row.routine.name)))
    return found


def _reason(name: str) -> str:
    if name == "device_map":
        return ""  # the page gives what a disk answers; other devices are mapped
    if name in coverage.ANSWERS:
        return f"{State.ANSWERS.value}: {coverage.ANSWERS[name]}"
    return CANNOT.get(name, "")
