"""The streams of a run: what it writes and reads while it goes on."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from machemu.sim.output import Output
from machemu.ui.console import ConsoleInput
from machemu.ui.interrupt import CtrlC
from machemu.ui.watch import Board


class Streams:
    """Standard output and error of the options, and what is opened later. Where one breaks, `stop` is called."""

    def __init__(self, options: argparse.Namespace, stop: Callable[[], None], stack: ExitStack) -> None:
        self.out: Output = options.out
        self.errors: Output = options.errors
        self.out.stop = self.errors.stop = self.stop = stop
        self.interrupt: CtrlC = options.interrupt
        self.board: Board = options.board
        self.stack = stack
        self.written = [self.out, self.errors]
        self.read: list[ConsoleInput] = []

    def create(self, path: Path) -> Output:
        """A file to write, closed with the stack. UserError where there can be none."""
        output = self.stack.enter_context(Output.create(path, self.stop))
        self.written.append(output)
        return output

    def open_input(self, path: Path | None) -> ConsoleInput:
        """What a console reads: a file, or standard input. UserError where it cannot be read."""
        source = ConsoleInput(path, self.stop, self.interrupt, self.board.keep)
        self.read.append(source)
        return source

    def flush(self) -> None:
        """The run is over: all that was written goes out."""
        for output in self.written:
            output.flush()

    @property
    def broken(self) -> bool:
        return any(stream.error is not None for stream in (*self.written, *self.read))

    def check(self) -> None:
        """UserError where a stream is broken."""
        for stream in (*self.written, *self.read):
            stream.check()
