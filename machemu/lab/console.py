"""A machine's console: what was printed, and what is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Final, NamedTuple

from machemu.lab.checks import checked
from machemu.lab.errors import UsageError

LINE_MAX: Final = 1 << 16
"""Bytes of a line that are looked at."""


class Place(NamedTuple):
    """Where a run of the console is: how many bytes were printed, and taken of what was given to it."""

    printed: int
    taken: int


class Screen:
    """Shows what consoles print: at once; or held while what is ahead is looked at, and then in the order of virtual time."""

    def __init__(self) -> None:
        self._holds = False
        self._waiting: list[tuple[int, Console, int]] = []
        """When something was printed, where, and up to where."""

    def printed(self, console: Console) -> None:
        if self._holds:
            self._waiting.append((console.now(), console, console.place.printed))
        else:
            console.show(console.place.printed)

    def hold(self) -> None:
        """What is printed from now on waits for `show`."""
        self._holds = True

    def show(self) -> None:
        """Shows what waits, as far as the consoles have printed it where they are now, and holds nothing more."""
        waiting, self._waiting, self._holds = self._waiting, [], False
        for _, console, end in sorted(waiting, key=itemgetter(0)):
            console.show(end)


class Lookout:
    """Who looks for a line with a text. found: it has been printed. stop: is called then."""

    def __init__(self, text: bytes, stop: Callable[[], None]) -> None:
        self.text = text
        self.stop = stop
        self.found = False
        self.line = b""
        """What has been printed of one."""

    def write(self, data: bytes) -> None:
        *lines, self.line = (self.line + data).split(b"\n")
        self.line = self.line[-LINE_MAX:]
        if any(self.text in line for line in lines):
            self.found = True
            self.stop()


class Console:
    """What is printed is kept once, whatever goes back and forth in it."""

    def __init__(
        self, type_: Callable[[bytes], None], given: bytes, screen: Screen | None = None, now: Callable[[], int] = lambda: 0
    ) -> None:
        self._run = bytearray()
        """What was printed in the run, also beyond where the machine is now."""
        self._printed = self._shown = 0
        self.screen = screen or Screen()
        self.now = now
        """The machine's virtual time."""
        self.echo: Callable[[bytes], None] | None = None
        """Is called with what is printed, each byte once."""
        self.taker: Callable[[bytes], None] | None = None
        """Takes what is printed from now on in place of the console, which keeps nothing of it."""
        self.given = given
        """What the console reads, by and by, when a read waits and nothing else can happen."""
        self._taken = 0
        self._type = type_
        self._lookouts: list[Lookout] = []

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

    @checked()
    def type(self, data: bytes | str) -> None:
        """Types at the console, here. What the run had as its future from here is forgotten."""
        self._type(bytes_of(data))

    def __repr__(self) -> str:
        return self.text

    def source(self) -> bytes:
        """Kernel.input_sources: all that was given at once."""
        data, self._taken = self.given[self._taken :], len(self.given)
        return data

    def write(self, data: bytes) -> None:
        """The machine prints."""
        if self.taker is None:
            self._keep(data)
        else:
            self.taker(data)
        for lookout in self._lookouts:
            lookout.write(data)

    def _keep(self, data: bytes) -> None:
        known = self._run[self._printed : self._printed + len(data)]
        if not data.startswith(known):  # what was printed from here on was in another future
            del self._run[self._printed :]
            self._shown = min(self._shown, self._printed)
            known.clear()
        self._printed += len(data)
        self._run += data[len(known) :]
        self.screen.printed(self)

    def show(self, end: int) -> None:
        """Gives `echo` what was printed up to there, and it has not had."""
        end = min(end, self._printed)
        if end > self._shown:
            new, self._shown = bytes(self._run[self._shown : end]), end
            if self.echo is not None:
                self.echo(new)

    @property
    def place(self) -> Place:
        return Place(self._printed, self._taken)

    def go(self, place: Place) -> None:
        """To a place of the run, earlier or later."""
        self._printed, self._taken = place
        for lookout in self._lookouts:
            lookout.line = self._begun()

    def _begun(self) -> bytes:
        """What has been printed of a line."""
        return bytes(self._run[max(0, self._printed - LINE_MAX) : self._printed].rpartition(b"\n")[2])

    def rewind(self) -> None:
        """What is given to it is there again, from the beginning."""
        self._taken = 0

    def begin(self, printed: bytes, taken: int) -> None:
        """To a place of another run, and this one begins there."""
        self._run[:] = printed
        self._printed = self._shown = len(printed)
        self._taken = taken

    @contextmanager
    def looking_for(self, text: bytes, stop: Callable[[], None]) -> Iterator[Lookout]:
        """Calls `stop` whenever a whole line with the text has been printed."""
        lookout = Lookout(text, stop)
        lookout.line = self._begun()
        self._lookouts.append(lookout)
        try:
            yield lookout
        finally:
            self._lookouts.remove(lookout)


def bytes_of(data: bytes | str) -> bytes:
    """What a console reads, given as bytes or as text; characters that stand for single bytes are these."""
    try:
        return data.encode(errors="surrogateescape") if isinstance(data, str) else data
    except UnicodeEncodeError as error:
        raise UsageError(f"{data[error.start]!r} at {error.start} is no character: give text, or bytes") from None
