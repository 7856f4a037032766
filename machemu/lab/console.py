"""A machine's console: what was printed, and what is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LINE_MAX: Final = 1 << 16
"""Bytes of a line that are looked at."""


class Console:
    """data: what was printed, up to where the machine is."""

    def __init__(self, type_: Callable[[bytes], None], given: bytes) -> None:
        self.data = bytearray()
        self.shown = 0
        """How much has been given to `echo`: going back shows nothing again."""
        self.echo: Callable[[bytes], None] | None = None
        """Is called with what is printed, each byte once."""
        self.given = given
        """What the console reads, by and by, when a read waits and nothing else can happen."""
        self.taken = 0
        self.found = False
        self._type = type_
        self._text: bytes | None = None
        self._line = b""
        self._stop: Callable[[], None] = lambda: None

    @property
    def text(self) -> str:
        """What was printed, as text; bytes that are none are replaced."""
        return self.data.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def type(self, data: bytes | str) -> None:
        """Types at the console, here. What the run had as its future from here is forgotten."""
        self._type(data.encode() if isinstance(data, str) else data)

    def __repr__(self) -> str:
        return self.text

    def source(self) -> bytes:
        """Kernel.input_sources: all that was given at once."""
        data, self.taken = self.given[self.taken :], len(self.given)
        return data

    def write(self, data: bytes) -> None:
        """The machine prints."""
        self.data += data
        if len(self.data) > self.shown:
            new, self.shown = bytes(self.data[self.shown :]), len(self.data)
            if self.echo is not None:
                self.echo(new)
        if self._text is not None:
            *lines, self._line = (self._line + data).split(b"\n")
            self._line = self._line[-LINE_MAX:]
            if any(self._text in line for line in lines):
                self.found = True
                self._stop()

    def back_to(self, length: int, taken: int) -> None:
        """The machine is where it had printed so much, and read so much."""
        del self.data[length:]
        self.taken = taken

    @contextmanager
    def looking_for(self, text: bytes | None, stop: Callable[[], None]) -> Iterator[None]:
        """Calls `stop` once a whole line with the text has been printed, and sets `found`."""
        self._text, self._stop, self.found, self._line = text, stop, False, b""
        try:
            yield
        finally:
            self._text = None
