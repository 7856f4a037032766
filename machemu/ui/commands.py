"""The command line: its options, and what all commands have in common."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from machemu import __version__
from machemu.abi.errors import UserError
from machemu.machine import accel
from machemu.sim.output import ClosedPipe, Output
from machemu.ui import extensions, parsers
from machemu.ui.interrupt import CtrlC
from machemu.ui.status import Status
from machemu.ui.watch import Board, watched


class Parser(argparse.ArgumentParser):
    """argparse keeps to itself that it could not write."""

    def _print_message(self, message: str, file: Any = None) -> None:
        stream = sys.stderr if file is None else file
        if message and stream is not None:
            stream.write(message)


class Version(argparse.Action):
    """UserError where the engine that was chosen cannot run."""

    def __call__(self, reader: argparse.ArgumentParser, *_: object) -> None:
        if wrong := accel.refused():
            raise UserError(wrong)
        print(f"machemu {__version__} (engine: {accel.engine()})")
        reader.exit()


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """What reads a command line of these words. UserError where they name a command of another package that is broken."""
    main_parser: argparse.ArgumentParser = Parser(prog="machemu", description="Mach 3.0 machines, emulated down to the hardware.")
    main_parser.add_argument("--version", action=Version, nargs=0, help="show machemu's version, and which engine runs")
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers.add_boot(commands)
    parsers.add_cluster(commands)
    parsers.add_step(commands)
    parsers.add_examples(commands)
    parsers.add_lessons(commands)
    extensions.add_parsers(commands, words)
    return main_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; its exit status."""
    hold_descriptors()
    out = Output("standard output", os.fdopen(1, "wb", closefd=False), eager=True)
    errors = Output("standard error", os.fdopen(2, "wb", closefd=False), eager=True)
    try:
        options = parse(arguments, out)
    except SystemExit as end:  # argparse has said what it had to say
        return ended(end.code if isinstance(end.code, int) else Status.OK, out, errors)
    except UserError as error:
        return complain(error, out, errors)
    options.out, options.errors = out, errors
    words = sys.argv[1:] if arguments is None else arguments
    return watched(lambda board: run(options, board), words, errors)


def hold_descriptors() -> None:
    """A standard stream that is closed stays so, and is nothing else's: no file that is opened later takes its number."""
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, flags)


def run(options: argparse.Namespace, board: Board) -> int:
    out, errors = options.out, options.errors
    options.board = board
    with CtrlC() as options.interrupt:
        try:
            if wrong := accel.refused():
                raise UserError(wrong)
            options.interrupt.listen()
            status: int = options.run(options)
            return ended(Status.INTERRUPTED if options.interrupt.asked else status, out, errors)
        except UserError as error:
            return complain(error, out, errors)
        except KeyboardInterrupt:
            errors.line("machemu: interrupted")
            return Status.INTERRUPTED
        except Exception as error:
            errors.line(traceback.format_exc().rstrip())
            errors.line(f"machemu: a fault of machemu's own, please report it: {error or type(error).__name__}")
            return Status.INTERNAL


def ended(status: int, out: Output, errors: Output) -> int:
    """The exit status of a command that has said all; another one where that cannot be written."""
    try:
        for stream in (out, errors):
            stream.flush()
            stream.check()
    except UserError as error:
        return complain(error, out, errors)
    return status


def parse(arguments: Sequence[str] | None, out: Output) -> argparse.Namespace:
    """The options; SystemExit where help was asked for, or where they are wrong."""
    try:
        try:
            words = sys.argv[1:] if arguments is None else arguments
            return parser(words).parse_args(words)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        out.fail(error)
        raise SystemExit(Status.OK) from None


def complain(error: UserError, out: Output, errors: Output) -> int:
    """Says what is wrong, on standard output where standard error is what is wrong."""
    errors.line(f"machemu: {error}")
    if errors.error is not None:
        out.line(f"machemu: {error}")
    return Status.UNMET if isinstance(error, ClosedPipe) else Status.USER
