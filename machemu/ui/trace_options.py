"""What is traced, on the command line: the options, checked."""

from __future__ import annotations

import argparse

from machemu.abi.errors import UserError
from machemu.ui.options import PathOption

TEXT, JSON, PERFETTO = FORMATS = "text", "json", "perfetto"
FILTERS = {
    "task": ("TASK", "trace this task alone, a number or a program's name"),
    "port": ("PORT", "trace what concerns this port alone: its number, or a word such as 'device console'"),
    "trap": ("NAME", "trace this trap alone"),
    "id": ("ID", "trace messages of this id alone, a number or a routine's name"),
}


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
    for name, (metavar, text) in FILTERS.items():
        parser.add_argument(
            f"--trace-{name}", dest=f"trace_{name}s", action="append", default=[], metavar=metavar, help=f"{text}; repeatable"
        )


class FormatOption(argparse.Action):
    """The name of a format."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: str | None = None) -> None:
        if values not in FORMATS:
            raise UserError(f"{option} {values}: write {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
        setattr(namespace, self.dest, values)


def check(options: argparse.Namespace) -> None:
    """UserError where options do not go together, or ask for what is not installed."""
    if is_filtered(options):
        from machemu.ui import trace_filters  # not before it is needed: it takes time to load

        trace_filters.wanted(options)
    if options.trace_format == PERFETTO:
        from machemu.export import perfetto  # as above

        perfetto.require()
    if options.trace_format != TEXT:
        if options.trace_file is None:
            raise UserError(f"--trace-format {options.trace_format}: such a trace goes to a file: name it by --trace-file FILE")
        if options.trace_full:
            raise UserError(f"--trace-full: a trace in format {options.trace_format} has all events anyway: leave one option out")


def is_wanted(options: argparse.Namespace) -> bool:
    """Whether anything is to be traced: a filter asks for a trace, too."""
    return bool(options.trace or options.trace_file or options.trace_full or is_filtered(options))


def is_filtered(options: argparse.Namespace) -> bool:
    return any(getattr(options, f"trace_{name}s") for name in FILTERS)
