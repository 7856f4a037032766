"""The console's host side: output to a stream, input from a file or from standard input."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from machemu.core.kernel import Kernel
from machemu.sim import files

LINE_MAX = 1 << 16
"""A console line is looked at for --until in pieces of at most so many bytes."""
READ_SIZE = 4096
STDIN = 0
INPUT: Final = "what the console reads"
INPUT_MAX: Final = 256 << 20
"""Bytes of a file that the console reads at most. A pipe has no such bound: it is read as it comes."""


class ConsoleOutput:
    """Passes what the guest prints to `out`, and stops the kernel once a whole line with `until` has gone out."""

    def __init__(self, kernel: Kernel, out: BinaryIO, until: str | None) -> None:
        self.kernel = kernel
        self.out = out
        self.until = None if until is None else until.encode()
        self.line = b""
        self.seen = False

    def write(self, data: bytes) -> None:
        self.out.write(data)
        self.out.flush()
        if self.until is None:
            return
        *lines, self.line = (self.line + data).split(b"\n")
        self.line = self.line[-LINE_MAX:]
        if any(self.until in line for line in lines):
            self.seen = True
            self.kernel.stop()

    def flush(self) -> None:
        self.out.flush()


def file_input(path: Path) -> Callable[[], bytes]:
    """Gives what a file or a pipe holds, piece by piece; of a pipe, when it comes."""
    if path.is_fifo():
        descriptor = files.open_input(path, INPUT)
        return lambda: os.read(descriptor, READ_SIZE)
    data = files.read(path, INPUT_MAX, INPUT)
    pieces = [data[start : start + READ_SIZE] for start in range(0, len(data), READ_SIZE)]
    pieces.reverse()
    return lambda: pieces.pop() if pieces else b""


def terminal_input() -> bytes:
    """What standard input has next: a line from a terminal."""
    return os.read(STDIN, READ_SIZE)
