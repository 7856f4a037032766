"""What a console reads: from a file or from standard input."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.sim import files
from machemu.ui.interrupt import CtrlC

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


def file_input(path: Path, read: Callable[[int, int], bytes] = os.read) -> Callable[[], bytes]:
    """Gives what a file or a pipe holds, piece by piece; of a pipe, as `read` gives what comes of a descriptor."""
    if files.is_fifo(path):
        descriptor = files.open_input(path, INPUT)
        return lambda: read(descriptor, READ_SIZE)
    data = files.read(path, INPUT_MAX, INPUT)
    pieces = [data[start : start + READ_SIZE] for start in range(0, len(data), READ_SIZE)]
    pieces.reverse()
    return lambda: pieces.pop() if pieces else b""
