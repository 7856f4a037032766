"""Makes a program that was found smaller, as long as it still does what it was found for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from tools.fuzz.program import Program, Step

TRIES: Final = 150
SECONDS: Final = 20.0


def smallest(program: Program, still: Callable[[Program], bool], tries: int = TRIES, seconds: float = SECONDS) -> Program:
    """The smallest program that was met for which `still` holds, after so many tries or so much time at most."""
    until = time.monotonic() + seconds
    met = True
    while met:
        met = False
        for candidate in _smaller(program):
            if not tries or time.monotonic() > until:
                return program
            tries -= 1
            if still(candidate):
                program, met = candidate, True
                break
    return program


def _smaller(program: Program) -> Iterator[Program]:
    """Programs that are a little smaller, those that lose most first."""
    steps = program.steps
    if program.saved:
        yield replace(program, saved=False)
    if len(steps) > 2:
        half = len(steps) // 2
        yield replace(program, steps=steps[half:])
        yield replace(program, steps=steps[:half])
    if len(steps) > 1:
        for number in range(len(steps)):
            yield replace(program, steps=steps[:number] + steps[number + 1 :])
    for number, step in enumerate(steps):
        for smaller in _smaller_steps(step, 1 if program.architecture == "i386" else 2):
            yield replace(program, steps=(*steps[:number], smaller, *steps[number + 1 :]))


def _smaller_steps(step: Step, unit: int) -> Iterator[Step]:
    if step.resume:
        yield replace(step, resume=())
        yield replace(step, resume=step.resume[:-1])
    for number in range(len(step.extras)):
        yield replace(step, extras=step.extras[:number] + step.extras[number + 1 :])
    if step.flags:
        yield replace(step, flags=0)
    size = len(step.code)
    for length in (size // 2, size // 4, 4 * unit, unit):
        cut = length // unit * unit
        if 0 < cut < size:
            for start in range(size - cut, -1, -cut):
                yield replace(step, code=step.code[:start] + step.code[start + cut :])
    for number, value in enumerate(step.registers):
        if value:
            yield replace(step, registers=(*step.registers[:number], 0, *step.registers[number + 1 :]))
