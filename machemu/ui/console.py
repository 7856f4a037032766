"""The console's host side: output to a stream, input from a file or from standard input."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.core.kernel import Kernel
from machemu.sim import files
from machemu.sim.output import Output
from machemu.ui.interrupt import CtrlC

LINE_MAX = 1 << 16
"""A console line is looked at for --until in pieces of at most so many bytes."""
READ_SIZE = 4096
STDIN = 0
INPUT: Final = "what the console reads"
INPUT_MAX: Final = 256 << 20
"""Bytes of a file that the console reads at most. A pipe has no such bound: it is read as it comes."""


class ConsoleInput:
    """What a console reads: a file's bytes, or with None standard input's. UserError where the file cannot be read.

    What cannot be read later ends the input and calls `stop`, and `check` tells it. keep: told of what standard input gave.
    """

    def __init__(self, path: Path | None, stop: Callable[[], None], interrupt: CtrlC, keep: Callable[[bytes], None]) -> None:
        self.read = partial(interrupt.read, STDIN, READ_SIZE) if path is None else file_input(path, interrupt.read)
        self.stop = stop
        self.keep = keep if path is None else None
        self.name = "standard input" if path is None else str(path)
        self.error: Exception | None = None

    def __call__(self) -> bytes:
        try:
            data = self.read()
            if self.keep is not None:
                self.keep(data)
            return data
        except (OSError, UserError) as error:
            self.error = error
            self.stop()
            return b""

    def check(self) -> None:
        """UserError where something could not be read."""
        if isinstance(self.error, UserError):
            raise self.error
        if self.error is not None:
            raise UserError(f"{self.name}: cannot be read: {getattr(self.error, 'strerror', None) or self.error}")


class ConsoleOutput:
    """Passes what the guest prints to `out`, and stops the kernel once a whole line with `until` has gone out."""

    def __init__(self, kernel: Kernel, out: Output, until: str | None) -> None:
        self.kernel = kernel
        self.out = out
        self.until = None if until is None else until.encode(errors="surrogateescape")
        self.line = b""
        self.seen = False

    def write(self, data: bytes) -> None:
        self.out.write(data)
        if self.until is None:
            return
        *lines, self.line = (self.line + data).split(b"\n")
        self.line = self.line[-LINE_MAX:]
        if any(self.until in line for line in lines):
            self.seen = True
            self.kernel.stop()


def file_input(path: Path, read: Callable[[int, int], bytes] = os.read) -> Callable[[], bytes]:
    """Gives what a file or a pipe holds, piece by piece; of a pipe, as `read` gives what comes of a descriptor."""
    if files.is_fifo(path):
        descriptor = files.open_input(path, INPUT)
        return lambda: read(descriptor, READ_SIZE)
    data = files.read(path, INPUT_MAX, INPUT)
    pieces = [data[start : start + READ_SIZE] for start in range(0, len(data), READ_SIZE)]
    pieces.reverse()
    return lambda: pieces.pop() if pieces else b""
