"""What a run writes as it goes: standard output and error, traces, captures. A stream that breaks ends the run."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from machemu.abi.errors import UserError
from machemu.sim import files


class ClosedPipe(UserError):
    """Nobody reads any more what is written. Exit status 1."""


class Output:
    """A stream of bytes, under the name that people know it by.

    What cannot be written raises nothing, since a trap may be under way: it calls `stop`, and from then on everything is dropped.
    `check` tells it. eager: each piece goes out at once.
    """

    def __init__(self, name: str, file: IO[bytes], stop: Callable[[], None] | None = None, eager: bool = False) -> None:
        self.name = name
        self.file = file
        self.stop = stop
        self.eager = eager
        self.error: Exception | None = None

    @classmethod
    def create(cls, path: Path, stop: Callable[[], None] | None = None) -> Output:
        """A file that is made or emptied. UserError where it cannot be, or is the image of a disk."""
        files.refuse_image(path, path)
        try:
            return cls(str(path), path.open("wb"), stop)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None

    def isatty(self) -> bool:
        return self.file.isatty()

    def write(self, data: bytes) -> None:
        if self.error is None:
            try:
                self.file.write(data)
                if self.eager:
                    self.file.flush()
            except (OSError, ValueError) as error:
                self.fail(error)

    def line(self, text: str) -> None:
        """A line for people, which goes out at once."""
        self.write(f"{text}\n".encode(errors="backslashreplace"))
        self.flush()

    def flush(self) -> None:
        if self.error is None:
            try:
                self.file.flush()
            except (OSError, ValueError) as error:
                self.fail(error)

    def close(self) -> None:
        """Nothing more is written. What is still to go out may yet fail."""
        self.flush()
        with suppress(OSError, ValueError):
            self.file.close()

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def check(self) -> None:
        """UserError where something could not be written."""
        if self.error is not None:
            why = getattr(self.error, "strerror", None) or self.error
            kind = ClosedPipe if getattr(self.error, "errno", None) == errno.EPIPE else UserError
            raise kind(f"{self.name}: cannot be written: {why}")

    def fail(self, error: Exception) -> None:
        """The stream is broken."""
        self.error = error
        # What the file still holds shall not fail again when it is closed.
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())
        if self.stop is not None:
            self.stop()


class TextOutput(io.TextIOBase):
    """A text stream over `Output`."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def write(self, text: str) -> int:
        self.output.write(text.encode(errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        self.output.flush()
