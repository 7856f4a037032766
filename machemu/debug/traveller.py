"""The prompt's commands that go forwards and back: by steps and to conditions, with breakpoints and traces on the way."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TextIO

from machemu.core.kernel import FOREVER, Stop
from machemu.debug import search, words
from machemu.debug.conditions import AnyPoint, Condition
from machemu.debug.errors import CommandError
from machemu.debug.fields import Field
from machemu.debug.looker import Command, Looker
from machemu.lab.cluster import Cluster
from machemu.lab.errors import EndError
from machemu.lab.machine import Machine
from machemu.lab.members import Member
from machemu.lab.travel import StepKind
from machemu.sim.units import parse_time
from machemu.trace.events import Tracer

LAST_MAX: Final = 10_000
"""Traps whose trace one command shows."""
ENDED: Final = {
    Stop.TIME: "the time is over",
    Stop.TRAPS: "so many traps are made",
    Stop.WEDGED: "no thread can run, and nothing will wake one",
    Stop.HALTED: "the machine has ended",
    Stop.INTERRUPTED: "interrupted",
    Stop.ASKED: "",
}


class View(Tracer, Protocol):
    """A trace as text."""

    def finish(self) -> None:
        """What is still held goes out."""


class Aim(NamedTuple):
    """A condition that is looked for. label: what is said when it comes. member: in which node of a cluster."""

    label: str
    condition: Condition
    member: Member | None = None


class Break(NamedTuple):
    """A breakpoint: what was typed, and what is looked for, which is several in several nodes."""

    text: str
    aims: list[Aim]


class Traveller(Looker):
    """say: takes a line. view: makes a trace on a stream of text. may_save: UserError for a file that is not to be written."""

    def __init__(
        self,
        say: Callable[[str], None],
        view: Callable[[TextIO], View],
        may_save: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self.view = view
        self.breakpoints: dict[int, Break] = {}
        self.tracing = False
        self._last_number = 0
        super().__init__(say, may_save)

    # What is gone through

    @property
    @abstractmethod
    def whole(self) -> Machine | Cluster:
        """What goes forwards and back."""

    def sum(self) -> str:
        return self.whole.digest()

    def write(self, path: Path) -> None:
        self.whole.save(path)

    @abstractmethod
    def aims(self, given: list[str]) -> list[Aim]:
        """What UNTIL says."""

    @abstractmethod
    def until_traps(self, count: int) -> tuple[int, list[Aim]]:
        """Where so many more traps have been made: a limit, or something to look for."""

    @abstractmethod
    def find(self, aims: list[Aim], way: Callable[[Field], search.Found]) -> search.Found: ...

    @abstractmethod
    def stepped(self, kind: StepKind, count: int) -> None: ...

    @abstractmethod
    def stepped_back(self, kind: StepKind, count: int) -> None: ...

    @abstractmethod
    def told(self, begin: AnyPoint) -> list[str]:
        """The calls since a point, as far as they are the last LAST_MAX traps."""

    @abstractmethod
    def last_told(self, count: int) -> list[str]:
        """The calls of the last traps."""

    @abstractmethod
    def places(self) -> Iterator[str]:
        """Where it is."""

    @abstractmethod
    def begin(self) -> str:
        """How far back it can go."""

    def came(self, aim: Aim) -> None:
        """Something that was looked for is here."""

    # The commands

    def goings(self) -> dict[str, Command]:
        return {
            "step": Command(self.step, "[KIND] [N]", "go on by traps, instructions, messages or switches of threads", ("s",)),
            "back": Command(self.back, "[KIND] [N]", "go back by so many", ("bk",)),
            "run": Command(self.run, "[UNTIL | for TIME | traps N]", "go on to a condition, a breakpoint or the end", ("r", "c")),
            "run-back": Command(self.run_back, "[UNTIL]", "go back to the last point where a condition came", ("rb",)),
            "break": Command(self.break_, "[UNTIL]", "set a breakpoint for all runs, or list them", ("b",)),
            "delete": Command(self.delete, "N | all", "take a breakpoint away", ("d",)),
            "where": Command(self.where, "", "where it is in its run, and how far back it can go", ("w",)),
            "trace": Command(self.trace, "on | off | last N", "show the calls of each run; or those of the last N traps"),
        }

    def step(self, given: list[str], _: str) -> None:
        kind, count = self._kind(given, "step")
        begin = self.whole.point
        try:
            self.stepped(kind, count)
            self.reason = f"step {kind.value}"
        finally:
            self._tell(begin)
        self._here()

    def back(self, given: list[str], _: str) -> None:
        kind, count = self._kind(given, "back")
        self._safely(lambda: self.stepped_back(kind, count))
        self.reason = f"back {kind.value}"
        self._here()

    def run(self, given: list[str], _: str) -> None:
        begin = self.whole.point
        deadline, traps, until, limits = FOREVER, FOREVER, list[Aim](), list[Aim]()
        match given:
            case ["for", time]:
                deadline = self.whole.time + parse_time(time)
            case ["traps", number]:
                traps, limits = self.until_traps(words.count(number))
            case [_, *_]:
                until = self.aims(given)
        aims = [*self._broken(), *until, *limits]
        missing = self._missing(until)
        try:
            found = self.find(aims, lambda field: search.forwards(field, deadline, traps))
            self._reached(found, aims, ENDED[found.stop])
        finally:
            if self.tracing:
                self._tell(begin)
        self.say(self.reason)
        if until and found.condition is None:
            why = f": there was no {missing} where it began" if missing else ""
            raise EndError(f"the run ended before '{' '.join(given)}' came{why}")
        self._here()

    def run_back(self, given: list[str], _: str) -> None:
        aims = [*self._broken(), *(self.aims(given) if given else [])]
        start = self.whole.point
        found = self._safely(lambda: self.find(aims, search.backwards))
        if found.condition is None and given:
            self._go(start)
            raise EndError(f"'{' '.join(given)}' did not come before here")
        self._reached(found, aims, "the earliest point")
        self.say(self.reason)
        self._here()

    def break_(self, given: list[str], _: str) -> None:
        if not given:
            self._lines([f"{number}: {each.text}" for number, each in self.breakpoints.items()] or ["no breakpoints"])
            return
        aims = self.aims(given)
        number = self._last_number = self._last_number + 1
        text = " ".join(given)
        self.breakpoints[number] = Break(text, [aim._replace(label=f"breakpoint {number}: {aim.label}") for aim in aims])
        missing = self._missing(aims)
        self.say(f"breakpoint {number}: {text}" + (f": there is no {missing} yet" if missing else ""))

    def delete(self, given: list[str], _: str) -> None:
        if given == ["all"]:
            self.breakpoints.clear()
            return
        number = words.number(self._one(given, "delete"))
        if self.breakpoints.pop(number, None) is None:
            raise CommandError(f"no breakpoint {number}: `break` lists them")

    def where(self, given: list[str], _: str) -> None:
        self._none(given, "where")
        self._here()
        self.say(f"back to {self.begin()}")

    def trace(self, given: list[str], _: str) -> None:
        match given:
            case ["on" | "off" as which]:
                self.tracing = which == "on"
            case ["last", number]:
                self._lines(self.last_told(min(words.count(number), LAST_MAX)))
            case _:
                raise CommandError(f"trace {' '.join(given)}: one of these is wanted: {self.commands['trace'].usage}")

    # What they share

    def _missing(self, aims: list[Aim]) -> str:
        """What conditions are about, where that is not there yet."""
        powered = [aim for aim in aims if aim.member is None or aim.member.powered]
        missing = [aim.condition.missing((aim.member or self.looks).kernel) for aim in powered]
        return missing[0] if missing and all(missing) else ""

    def _broken(self) -> list[Aim]:
        return [aim for each in self.breakpoints.values() for aim in each.aims]

    def _reached(self, found: search.Found, aims: list[Aim], otherwise: str) -> None:
        if found.condition is None:
            self.reason = otherwise
        else:
            self.reason = aims[found.condition].label
            self.came(aims[found.condition])

    def _safely(self, way: Callable[[], Any]) -> Any:
        """Goes a way back; where the user breaks it off, everything stands where it did."""
        start = self.whole.point
        try:
            return way()
        except KeyboardInterrupt:
            self._go(start)
            raise

    def _go(self, point: Any) -> None:
        self.whole.go(point)

    def _tell(self, begin: AnyPoint) -> None:
        if self.whole.point > begin:
            self._lines(self.told(begin))

    def _viewed(self) -> tuple[View, io.StringIO]:
        out = io.StringIO()
        return self.view(out), out

    def _here(self) -> None:
        self._lines(self.places())
