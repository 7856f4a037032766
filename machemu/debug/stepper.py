"""The prompt's commands over one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from machemu.debug import search, story, words
from machemu.debug.fields import Field, InMachine
from machemu.debug.show import location
from machemu.debug.traveller import LAST_MAX, Aim, Traveller, View
from machemu.lab.console import Console
from machemu.lab.looks import Looks
from machemu.lab.machine import Machine
from machemu.lab.travel import StepKind
from machemu.sim.units import counted, time_text


class Stepper(Traveller):
    def __init__(
        self,
        machine: Machine,
        say: Callable[[str], None],
        view: Callable[[TextIO], View],
        may_save: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self.machine = machine
        super().__init__(say, view, may_save)

    @property
    def whole(self) -> Machine:
        return self.machine

    @property
    def looks(self) -> Looks:
        return self.machine

    @property
    def screen(self) -> Console:
        return self.machine.console

    def aims(self, given: list[str]) -> list[Aim]:
        return [Aim(" ".join(given), words.condition(self.machine, given))]

    def until_traps(self, count: int) -> tuple[int, list[Aim]]:
        return self.machine.traps + count, []

    def find(self, aims: list[Aim], way: Callable[[Field], search.Found]) -> search.Found:
        conditions = [aim.condition for aim in aims]
        return self.machine.travel(lambda subject, history: way(InMachine(subject, history, conditions)))

    def stepped(self, kind: StepKind, count: int) -> None:
        self.machine.step(kind, count)

    def stepped_back(self, kind: StepKind, count: int) -> None:
        self.machine.back(kind, count)

    def told(self, begin: Any) -> list[str]:
        end = self.machine.point
        return self.machine.travel(lambda subject, way: story.between(subject, way, begin, end, self._viewed, LAST_MAX))

    def last_told(self, count: int) -> list[str]:
        end = self.machine.point
        traps = max(end.traps - count, self.machine.earliest.traps)
        return self.machine.travel(lambda subject, way: story.of_traps(subject, way, traps, end, self._viewed))

    def places(self) -> Iterator[str]:
        return location(self.machine)

    def begin(self) -> str:
        first = self.machine.earliest
        return f"{time_text(first.time)}, {counted(first.traps, 'trap')}"
