"""A machine's console: what was printed, and what is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

LINE_MAX: Final = 1 << 16
"""Bytes of a line that are looked at."""


class Place(NamedTuple):
    """Where a run of the console is: how many bytes were printed, and taken of what was given to it."""

    printed: int
    taken: int


class Console:
    """What is printed is kept once, whatever goes back and forth in it."""

    def __init__(self, type_: Callable[[bytes], None], given: bytes) -> None:
        self._run = bytearray()
        """What was printed in the run, also beyond where the machine is now. All of it has been given to `echo`."""
        self._printed = 0
        self.echo: Callable[[bytes], None] | None = None
        """Is called with what is printed, each byte once."""
        self.given = given
        """What the console reads, by and by, when a read waits and nothing else can happen."""
        self._taken = 0
        self.found = False
        self._type = type_
        self._text: bytes | None = None
        self._line = b""
        self._stop: Callable[[], None] = lambda: None

    @property
    def data(self) -> bytes:
        """What was printed, up to where the machine is."""
        return bytes(self._run[: self._printed])

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
        data, self._taken = self.given[self._taken :], len(self.given)
        return data

    def write(self, data: bytes) -> None:
        """The machine prints."""
        known = self._run[self._printed : self._printed + len(data)]
        if not data.startswith(known):  # what was printed from here on was in another future
            del self._run[self._printed :]
            known.clear()
        self._printed += len(data)
        if new := data[len(known) :]:
            self._run += new
            if self.echo is not None:
                self.echo(new)
        if self._text is not None:
            *lines, self._line = (self._line + data).split(b"\n")
            self._line = self._line[-LINE_MAX:]
            if any(self._text in line for line in lines):
                self.found = True
                self._stop()

    @property
    def place(self) -> Place:
        return Place(self._printed, self._taken)

    def go(self, place: Place) -> None:
        """To a place of the run, earlier or later."""
        self._printed, self._taken = place

    def begin(self, printed: bytes, taken: int) -> None:
        """To a place of another run, and this one begins there."""
        self._run[:] = printed
        self._printed, self._taken = len(printed), taken

    @contextmanager
    def looking_for(self, text: bytes | None, stop: Callable[[], None]) -> Iterator[None]:
        """Calls `stop` once a whole line with the text has been printed, and sets `found`."""
        self._text, self._stop, self.found, self._line = text, stop, False, b""
        try:
            yield
        finally:
            self._text = None
