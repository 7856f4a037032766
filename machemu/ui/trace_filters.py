"""What is to be traced, as the options of the command line say it, checked."""

from __future__ import annotations

import argparse
import re
from difflib import get_close_matches

from machemu.abi.errors import UserError
from machemu.core.routines import table
from machemu.core.traps import TRAPS
from machemu.trace.filters import Wanted
from machemu.trace.ports import KINDS, NUMBERED, PortKind

ID_MAX = 0xFFFFFFFF
DEVICE = "device "
PORT_KINDS = {KINDS.get(kind, kind.name.lower().replace("_", " ")): kind for kind in PortKind}
UNNAMED = (PortKind.NULL, PortKind.NO_SUCH_NAME, PortKind.DEVICE)
"""Kinds that are no port, and one that says more."""


def wanted(options: argparse.Namespace) -> Wanted:
    """UserError for an option that names nothing that there could be."""
    return Wanted(
        frozenset(task("--trace-task", text) for text in options.trace_tasks),
        frozenset(port("--trace-port", text) for text in options.trace_ports),
        frozenset(trap("--trace-trap", text) for text in options.trace_traps),
        frozenset().union(*(message_ids("--trace-id", text) for text in options.trace_ids)),
    )


def task(option: str, text: str) -> int | str:
    if not text or (number := whole(text)) == 0:
        raise UserError(f"{option} {text}: write a task's number, 1 or more, or a program's name")
    return text if number is None else number


def port(option: str, text: str) -> str:
    """A port as `Wanted` has it."""
    number = whole(text)
    kind, _, which = text.rpartition(" ")
    if number or (PORT_KINDS.get(kind) in NUMBERED and whole(which) is not None):
        return str(number) if number else which if kind == "port" else text
    if (text.startswith(DEVICE) and text != DEVICE) or PORT_KINDS.get(text, PortKind.NULL) not in (*UNNAMED, *NUMBERED):
        return text
    raise UserError(
        f"{option} {text}: write a port's number in the machine, such as 12 of 'port 12', or what the trace calls it, such as "
        "'device console', 'thread 2' or 'task-self'"
    )


def trap(option: str, text: str) -> str:
    names = {each.name for each in TRAPS}
    if text not in names:
        raise UserError(f"{option} {text}: there is no such trap{close(text, names)}")
    return text


def message_ids(option: str, text: str) -> tuple[int, ...]:
    """A message id; of a routine its request's and its reply's."""
    number = whole(text)
    if number is not None and number <= ID_MAX:
        return (number,)
    found = table.message_ids(text)
    if not found:
        hint = close(text, table.routine_names())
        raise UserError(f"{option} {text}: write a message id, from 0 to 2^32 - 1, or a routine's name{hint}")
    return found


def whole(text: str) -> int | None:
    """A whole number, None for what is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else None


def close(text: str, names: set[str]) -> str:
    """A hint for who misspelled a name."""
    found = get_close_matches(text, sorted(names), 3)
    return f"; did you mean {' or '.join(found)}?" if found else ""
