"""What a machine and a cluster share: they go on, and back to any earlier point of their run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from machemu.core.board import Board
from machemu.core.interrupt import Interrupt
from machemu.core.kernel import FOREVER, Kernel, Stop
from machemu.lab.checks import checked, refuse
from machemu.lab.console import Console
from machemu.lab.errors import EndError, UsageError
from machemu.lab.history import History, Subject
from machemu.lab.hooks import Hooks
from machemu.lab.running import interruptible
from machemu.lab.travel import StepKind
from machemu.sim import files
from machemu.sim.units import parse_time

PIECE_NS: Final = 1_000_000
"""Virtual time of the first piece of a run: a piece without work is followed by one of twice the time."""


class Reason(Enum):
    """Why a run ended."""

    UNTIL = "until"
    """What it was to go on until has come."""
    DURATION = "duration"
    TRAPS = "traps"
    STOPPED = "stopped"
    """A hook called `stop`."""
    WEDGED = "wedged"
    """No thread can run and nothing is under way that could wake one."""
    HALTED = "halted"
    """The machine has ended."""
    INTERRUPTED = "interrupted"
    """By Ctrl-C, in a program that takes it itself: see `Recorded.obey`."""


REASONS: Final = {
    Stop.TIME: Reason.DURATION,
    Stop.TRAPS: Reason.TRAPS,
    Stop.ASKED: Reason.STOPPED,
    Stop.INTERRUPTED: Reason.INTERRUPTED,
    Stop.WEDGED: Reason.WEDGED,
    Stop.HALTED: Reason.HALTED,
}


class Inside(Protocol):
    """What is run, and can be saved."""

    def digest(self) -> str: ...

    def save(self, path: Path, /) -> None: ...

    def close(self) -> None: ...


class Heard(Protocol):
    """A machine with its console and its hooks."""

    console: Console
    hooks: Hooks


P = TypeVar("P", bound=tuple[int, ...])
S = TypeVar("S", bound=Subject[Any])
N = TypeVar("N", bound=Inside)
T = TypeVar("T")


class Recorded(ABC, Generic[P, S, N]):
    """Use it as a context manager, or call `close`. Where the same is booted and done to it, the same happens."""

    _what: ClassVar[str]

    def __init__(self, interrupt: Interrupt, read: Sequence[Path]) -> None:
        """read: the files that it was made of, which it never writes over."""
        self._read = read
        self._interrupt = interrupt
        self._obeys = False
        self._place: Board | None = None

    def _begin(self, inside: N, subject: S, heard: Sequence[Heard], budget: int | None) -> None:
        """budget: bytes of snapshots; None where it is not to go back."""
        self._inside: N | None = inside
        self._subject = subject
        self._heard = heard
        self._running = self._stopped = self._quiet = False
        self._history: History[P] | None = None if budget is None else History(subject, budget)

    def close(self) -> None:
        """Gives the host's resources back. What was read before is still there; nothing else works any more."""
        self._refuse_running("close it afterwards")
        if self._inside is not None:
            self._inside.close()
            self._inside = None

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self) -> N:
        """UsageError where it is closed."""
        if self._inside is None:
            raise UsageError(f"the {self._what} is closed: boot or load another")
        return self._inside

    def digest(self) -> str:
        """SHA-256 over everything that a guest could ever see, in hexadecimal: equal digests, equal machines, or clusters."""
        return self._open().digest()

    @checked()
    def save(self, path: str | Path) -> None:
        """Writes all of it to a file, whole or not at all. A hook cannot: its event is in the middle of a trap. UserError for a
        file that it was booted from."""
        self._refuse_running("save it afterwards")
        inside = self._open()
        files.keep_apart([Path(path)], self._read)
        inside.save(Path(path))

    # Programs around it

    @checked()
    def obey(self, interrupt: Interrupt) -> None:
        """For a program that takes Ctrl-C itself: a run ends when `interrupt` is asked for, and gives Reason.INTERRUPTED."""
        self._interrupt, self._obeys = interrupt, True
        self._rejoin()

    def watch_place(self, place: Board) -> None:
        """Keeps where it is in memory that another process may read: see core.board."""
        self._place = place
        self._rejoin()

    @abstractmethod
    def _rejoin(self) -> None:
        """Has each kernel know of what has changed: see `_join`."""

    def _join(self, kernel: Kernel) -> None:
        """A kernel is to be run."""
        kernel.interrupt = self._interrupt
        if self._place is not None:
            kernel.board = self._place

    # Where it is

    @property
    @abstractmethod
    def time(self) -> int:
        """Nanoseconds of virtual time."""

    @property
    def point(self) -> P:
        """Where it is in its run: `go` comes back here."""
        self._open()
        here: P = self._subject.here()
        return here

    @property
    def earliest(self) -> P:
        """How far back it can go."""
        return self._recorded().first

    def _recorded(self) -> History[P]:
        self._open()
        if self._history is None:
            raise UsageError(f"the {self._what} was made with record=False: it cannot go back")
        return self._history

    # Going on

    def _run(self, until: str | None, duration: str | int | None, advance: Callable[[int], Reason]) -> Reason:
        """Goes on until a console prints a line with a text, in pieces, between which snapshots are taken.

        advance: goes on to a time, and gives why it came back. DURATION is where it may go on.
        """
        deadline = self._deadline(duration)
        text = (until or "").encode(errors="surrogateescape")
        consoles = [] if until is None else [each.console for each in self._heard]
        with self._goes(forwards=True), ExitStack() as looking:
            lookouts = [looking.enter_context(each.looking_for(text, self.stop)) for each in consoles]
            reason = self._advance(deadline, advance)
        return Reason.UNTIL if any(lookout.found for lookout in lookouts) else reason

    def _advance(self, deadline: int, advance: Callable[[int], Reason]) -> Reason:
        piece, subject = PIECE_NS, self._subject
        while True:
            work = subject.work
            reason = advance(deadline if self._history is None else min(deadline, self.time + piece))
            piece = PIECE_NS if subject.work > work else piece * 2
            if reason in (Reason.DURATION, Reason.TRAPS):
                self._mark()
            if reason is not Reason.DURATION or self.time >= deadline:
                return reason

    def _deadline(self, duration: str | int | None) -> int:
        if duration is None:
            return FOREVER
        return self.time + (parse_time(duration) if isinstance(duration, str) else duration)

    def _mark(self) -> None:
        """Takes a snapshot where one is due."""
        if self._history is not None and self._history.due <= 0:
            self._history.mark()

    def stop(self) -> None:
        """Called by a hook: the run ends right after what is under way."""
        self._stopped = True
        self._subject.stop()

    def break_off(self) -> None:
        """What is under way ends between two traps, with KeyboardInterrupt. A signal's handler may call it."""
        self._interrupt.asked = True

    def _step(self, count: int, step: Callable[[], None]) -> P:
        """Goes on by so many steps, or until a hook stops it."""
        with self._goes(forwards=True):
            for _ in range(count):
                step()
                self._mark()
                self._check()
                if self._stopped:
                    break
        return self.point

    # Going back

    def _back(self, count: int, most: Callable[[P], int], back: Callable[[History[P]], bool]) -> P:
        """Goes back by so many steps. most: how many there can be since a point at most. back: by one; False where it cannot, and
        then it may stand anywhere."""
        with self._goes_again() as history:
            start = self.point
            if (limit := most(history.first)) < count:
                raise EndError(f"there are not so many steps back: {limit} at most to the earliest point, {history.first}")
            for done in range(count):
                if not back(history):
                    history.go(start)
                    raise EndError(f"there are not so many steps back: {done} to the earliest point, {history.first}")
        return self.point

    def go(self, point: P) -> None:
        """To a point of this run, earlier or later."""
        here = self.point
        if not isinstance(point, type(here)):
            raise refuse(f"{type(self).__name__}.go", "point", point, f"a {type(here).__name__}, such as `point` is")
        with self._goes_again() as history:
            history.go(point)

    @checked()
    def travel(self, way: Callable[[S, History[P]], T]) -> T:
        """Goes a way of its own, for tools: `way` moves the subject and its history, and gives the result. Hooks hear nothing."""
        with self._goes_again() as history:
            return way(self._subject, history)

    @contextmanager
    def _goes_again(self) -> Iterator[History[P]]:
        """While it goes a way that it has gone before, or to look for something: nobody is told."""
        history = self._recorded()
        with self._goes(), self._unheard():
            yield history

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        """What runs meanwhile runs again, or has run: nobody is told."""
        with ExitStack() as quiet:
            for each in self._heard:
                quiet.enter_context(each.hooks.quiet())
            self._quiet = True
            try:
                yield
            finally:
                self._quiet = False

    @contextmanager
    def _goes(self, forwards: bool = False) -> Iterator[None]:
        """While it runs: Ctrl-C waits for the end of a trap, and hooks may not run it."""
        self._open()
        self._refuse_running("a hook may look into it and call `stop`, and run it afterwards")
        if forwards and self._history is not None:
            self._history.go_on()
        self._running, self._stopped = True, False
        for each in self._heard:
            each.hooks.begin()
        try:
            with nullcontext() if self._obeys else interruptible(self._interrupt):
                yield
        finally:
            self._running = False
        self._check()

    def _refuse_running(self, advice: str) -> None:
        if self._running:
            raise UsageError(f"the {self._what} is running: {advice}")

    def _check(self) -> None:
        """HookError where a hook has raised."""
        for each in self._heard:
            each.hooks.check()

    # What is done to it

    @checked()
    def act(self, action: Callable[[], None]) -> None:
        """Something is done to it from outside, here, and again when it comes here again. Another future is forgotten."""
        self._open()
        self._refuse_running("do it before or after")
        if self._history is None:
            action()
            self._subject.acts += 1
        else:
            self._history.act(action)


def kind_of(kind: StepKind | str) -> StepKind:
    try:
        return StepKind(kind)
    except ValueError:
        raise UsageError(f"no kind of step {kind!r}: there are {', '.join(each.value for each in StepKind)}") from None
