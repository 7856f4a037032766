"""The prompt's commands over one machine: it goes on, and back, by steps and to conditions."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, TextIO

from machemu.core.kernel import FOREVER, Stop
from machemu.debug import search, story, words
from machemu.debug.conditions import Condition
from machemu.debug.errors import CommandError
from machemu.debug.looker import Command, Looker
from machemu.debug.show import location
from machemu.lab.console import Console
from machemu.lab.errors import EndError
from machemu.lab.looks import Looks
from machemu.lab.machine import Machine
from machemu.lab.travel import Point
from machemu.sim.units import counted, parse_time, time_text
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


class Stepper(Looker):
    """say: takes a line. view: makes a trace on a stream of text. may_save: UserError for a file that is not to be written."""

    def __init__(
        self,
        machine: Machine,
        say: Callable[[str], None],
        view: Callable[[TextIO], View],
        may_save: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self.machine = machine
        self.view = view
        self.breakpoints: dict[int, Condition] = {}
        self.tracing = False
        self._last_number = 0
        super().__init__(say, may_save)

    @property
    def looks(self) -> Looks:
        return self.machine

    @property
    def screen(self) -> Console:
        return self.machine.console

    def sum(self) -> str:
        return self.machine.digest()

    def write(self, path: Path) -> None:
        self.machine.save(path)

    def goings(self) -> dict[str, Command]:
        return {
            "step": Command(self.step, "[KIND] [N]", "go on by traps, instructions, messages or switches of threads", ("s",)),
            "back": Command(self.back, "[KIND] [N]", "go back by so many", ("bk",)),
            "run": Command(self.run, "[UNTIL | for TIME | traps N]", "go on to a condition, a breakpoint or the end", ("r", "c")),
            "run-back": Command(self.run_back, "[UNTIL]", "go back to the last point where a condition came", ("rb",)),
            "break": Command(self.break_, "[UNTIL]", "set a breakpoint for all runs, or list them", ("b",)),
            "delete": Command(self.delete, "N | all", "take a breakpoint away", ("d",)),
            "where": Command(self.where, "", "where the machine is, and how far back it can go", ("w",)),
            "trace": Command(self.trace, "on | off | last N", "show the calls of each run; or those of the last N traps"),
        }

    # Going

    def step(self, given: list[str], _: str) -> None:
        kind, count = self._kind(given, "step")
        begin = self.machine.point
        try:
            self.machine.step(kind, count)
            self.reason = f"step {kind.value}"
        finally:
            self._tell(begin)
        self._here()

    def back(self, given: list[str], _: str) -> None:
        kind, count = self._kind(given, "back")
        self._safely(lambda: self.machine.back(kind, count))
        self.reason = f"back {kind.value}"
        self._here()

    def run(self, given: list[str], _: str) -> None:
        begin, machine = self.machine.point, self.machine
        deadline, traps, until = FOREVER, FOREVER, []
        match given:
            case ["for", time]:
                deadline = machine.time + parse_time(time)
            case ["traps", number]:
                traps = machine.traps + words.count(number)
            case [_, *_]:
                until = [words.condition(machine, given)]
        numbers = list(self.breakpoints)
        conditions = [*self.breakpoints.values(), *until]
        try:
            found = machine.travel(lambda subject, way: search.forwards(subject, way, conditions, deadline, traps))
            self.reason = self._name(found, numbers, conditions) or ENDED[found.stop]
        finally:
            if self.tracing:
                self._tell(begin)
        self.say(self.reason)
        if until and found.condition is None:
            raise EndError(f"the run ended before '{until[0].text}' came")
        self._here()

    def run_back(self, given: list[str], _: str) -> None:
        machine = self.machine
        conditions = [*self.breakpoints.values(), *([words.condition(machine, given)] if given else [])]
        numbers = list(self.breakpoints)
        start = machine.point
        found = self._safely(lambda: machine.travel(lambda subject, way: search.backwards(subject, way, conditions)))
        if found.condition is None and given:
            machine.go(start)
            raise EndError(f"'{' '.join(given)}' did not come before here")
        self.reason = self._name(found, numbers, conditions) or "the earliest point"
        self.say(self.reason)
        self._here()

    def break_(self, given: list[str], _: str) -> None:
        if given:
            self._last_number += 1
            made = self.breakpoints[self._last_number] = words.condition(self.machine, given)
            self.say(f"breakpoint {self._last_number}: {made.text}")
        else:
            self._lines(f"{number}: {each.text}" for number, each in self.breakpoints.items())

    def delete(self, given: list[str], _: str) -> None:
        if given == ["all"]:
            self.breakpoints.clear()
            return
        number = words.number(self._one(given, "delete"))
        if self.breakpoints.pop(number, None) is None:
            raise CommandError(f"no breakpoint {number}: `break` lists them")

    # Looking

    def where(self, given: list[str], _: str) -> None:
        self._none(given, "where")
        self._here()
        first = self.machine.earliest
        self.say(f"back to {time_text(first.time)}, {counted(first.traps, 'trap')}")

    def trace(self, given: list[str], _: str) -> None:
        match given:
            case ["on" | "off" as which]:
                self.tracing = which == "on"
            case ["last", number]:
                end = self.machine.point
                traps = max(end.traps - min(words.count(number), LAST_MAX), self.machine.earliest.traps)
                self._lines(self.machine.travel(lambda subject, way: story.of_traps(subject, way, traps, end, self._viewed)))
            case _:
                raise CommandError(f"trace {self.commands['trace'].usage}: one of these is wanted")

    # What they share

    def _name(self, found: search.Found, numbers: Sequence[int], conditions: Sequence[Condition]) -> str:
        if found.condition is None:
            return ""
        text = conditions[found.condition].text
        return f"breakpoint {numbers[found.condition]}: {text}" if found.condition < len(numbers) else text

    def _safely(self, way: Callable[[], search.Found | Point]) -> search.Found:
        """Goes a way back; where the user breaks it off, the machine stands where it did."""
        start = self.machine.point
        try:
            found = way()
        except KeyboardInterrupt:
            self.machine.go(start)
            raise
        return found if isinstance(found, search.Found) else search.Found(None, Stop.TIME)

    def _tell(self, begin: Point) -> None:
        """The calls since a point, as far as they are the last LAST_MAX traps."""
        end = self.machine.point
        if end > begin:
            self._lines(self.machine.travel(lambda subject, way: story.between(subject, way, begin, end, self._viewed, LAST_MAX)))

    def _viewed(self) -> tuple[View, io.StringIO]:
        out = io.StringIO()
        return self.view(out), out

    def _here(self) -> None:
        self._lines(location(self.machine))
