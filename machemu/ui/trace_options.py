"""What is traced, on the command line: the options, checked."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

from machemu.abi.errors import UserError
from machemu.core.routines import table
from machemu.core.traps import TRAPS
from machemu.trace.events import PortKind
from machemu.trace.filters import Wanted
from machemu.trace.words import KINDS, NUMBERED
from machemu.ui.options import PathOption

TEXT, JSON, PERFETTO = FORMATS = "text", "json", "perfetto"
ID_MAX = 0xFFFFFFFF
DEVICE = "device "
PORT_KINDS = {KINDS.get(kind, kind.name.lower().replace("_", " ")): kind for kind in PortKind}
UNNAMED = (PortKind.NULL, PortKind.NO_SUCH_NAME, PortKind.DEVICE)
"""Kinds that are no port, and one that says more."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trace", action="store_true", help="show each call and message on standard error")
    parser.add_argument("--trace-file", action=PathOption, metavar="FILE", help="write the trace to FILE")
    parser.add_argument(
        "--trace-format",
        action=FormatOption,
        default=TEXT,
        metavar="FORMAT",
        help="what the trace's file is: text (default), json or perfetto",
    )
    parser.add_argument("--trace-full", action="store_true", help="a line each trap and each message, not one a call")
    values: tuple[tuple[str, str, str, Callable[[str, str], object]], ...] = (
        ("task", "TASK", "trace this task alone, a number or a program's name", task),
        ("port", "PORT", "trace what concerns this port alone: its number, or a word such as 'device console'", port),
        ("trap", "NAME", "trace this trap alone", trap),
        ("id", "ID", "trace messages of this id alone, a number or a routine's name", message_ids),
    )
    for name, metavar, text, read in values:
        option = f"--trace-{name}"
        keywords = {"dest": f"trace_{name}s", "default": [], "metavar": metavar, "help": f"{text}; repeatable"}
        parser.add_argument(option, action="append", type=partial(read, option), **keywords)  # type: ignore[arg-type]


class FormatOption(argparse.Action):
    """The name of a format."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: str | None = None) -> None:
        if values not in FORMATS:
            raise UserError(f"{option} {values}: write {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
        setattr(namespace, self.dest, values)


def check(options: argparse.Namespace) -> None:
    """UserError where options do not go together, or ask for what is not installed."""
    if options.trace_format == PERFETTO:
        from machemu.export import perfetto  # not before it is needed: it takes time to load

        perfetto.require()
    if options.trace_format != TEXT:
        if options.trace_file is None:
            raise UserError(f"--trace-format {options.trace_format}: such a trace goes to a file: name it by --trace-file FILE")
        if options.trace_full:
            raise UserError(f"--trace-full: a trace in format {options.trace_format} has all events anyway: leave one option out")


def is_wanted(options: argparse.Namespace) -> bool:
    """Whether anything is to be traced: a filter asks for a trace, too."""
    return bool(options.trace or options.trace_file or options.trace_full or not wanted(options).all)


def wanted(options: argparse.Namespace) -> Wanted:
    ids = frozenset().union(*options.trace_ids)
    return Wanted(frozenset(options.trace_tasks), frozenset(options.trace_ports), frozenset(options.trace_traps), ids)


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
