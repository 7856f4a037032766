"""Runs a program twice, whole and cut, in two machines that begin equal, and compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, Protocol

from machemu.abi import names
from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE
from machemu.core.kernel import Stop
from tools.fuzz.program import Program
from tools.fuzz.world import CpuWorld, Stopped

SHORT_CUTS: Final = 12
"""So many cuts of each step come after one instruction or a few each; the later ones are ever further apart."""
STANDSTILL: Final = 10_000
"""So many returns of the kernel's loop without progress in virtual time are a hang."""


class Progress(Protocol):
    """Who is told how far a program is."""

    def at(self, run: str, step: int, time: int) -> None:
        """In run `run`, at step number `step`, and virtual time `time`."""


@dataclass
class Played:
    """One run of a program. digest: of the machine at its end. stops: how each step, and each part of one, ended."""

    stops: list[tuple[int, Stopped]] = field(default_factory=list)
    digest: str = ""
    instructions: int = 0


class Standstill(Exception):
    """The kernel comes back again and again, and virtual time does not go on."""


Run = Callable[[CpuWorld, int], None]
"""Runs a machine until a virtual time, or its guest's first exception."""


def whole(world: CpuWorld, deadline: int) -> None:
    """Without coming back in between."""
    world.kernel.run(deadline)


class Cut:
    """Comes back after few instructions, or a trap, again and again. Where `path` is given, once saves and loads the machine."""

    def __init__(self, seed: int, path: Path | None) -> None:
        self.random = Random(seed)
        self.path = path
        self.save_at = self.random.randrange(60) if path is not None else -1
        self.cuts = 0

    def __call__(self, world: CpuWorld, deadline: int) -> None:
        length, standing = 1.0, 0
        for cut in range(1 << 40):
            clock = world.kern.clock
            now = clock.now()
            if cut >= SHORT_CUTS:
                length *= 1.5
            until = now + self.random.randrange(1, int(length) + 4) * clock.instruction_ns
            stop = world.kernel.run(min(until, deadline), 1 if self.random.random() < 0.2 else None)
            if world.watch.first is not None or stop in (Stop.WEDGED, Stop.HALTED) or world.kern.clock.now() >= deadline:
                return
            standing = standing + 1 if world.kern.clock.now() == now else 0
            if standing > STANDSTILL:
                raise Standstill(f"{STANDSTILL} returns at {now} ns of virtual time")
            self.cuts += 1
            if self.cuts == self.save_at and self.path is not None:
                world.reload(self.path)


def play(world: CpuWorld, program: Program, run: Run, name: str, progress: Progress) -> Played:
    """Runs all steps; where one of the list would find no guest there is a new one. Raises Hurt, and the machine's errors."""
    played = Played()
    began = world.kernel.cpu.executed
    if program.handled:
        world.handle_exceptions()
    for step in program.steps:
        world.write(step)
    for number, step in enumerate(program.steps):
        progress.at(name, number, world.kern.clock.now())
        try:
            if not world.is_alive:
                raise KernError(KERN_FAILURE)
            world.begin(step)
        except KernError:  # the guest has ended, or has given its memory away
            if step.listed is None:
                break
            world.renew_guest()
            if program.handled:
                world.handle_exceptions()
            world.begin(step)
        for move in (*step.resume, None):
            clock = world.kern.clock
            progress.at(name, number, clock.now())
            run(world, clock.now() + step.instructions * clock.instruction_ns)
            is_last = move is None or world.watch.first is None or not world.is_alive
            stopped = world.stopped(is_last)
            played.stops.append((number, stopped))
            if move is None or is_last or not stopped.is_alive:
                break
            world.go_on(move)
    played.digest = world.node.digest()
    played.instructions = world.kernel.cpu.executed - began
    progress.at(name, len(program.steps), world.kern.clock.now())
    return played


class Difference(NamedTuple):
    """Where two runs of a program part: at which step, in what, and the values; "" where only the digests tell."""

    step: int
    what: str
    text: str


def difference(a: Played, b: Played) -> Difference | None:
    """The first difference between the run that was not cut and the one that was."""
    for (number, first), (_, second) in zip(a.stops, b.stops, strict=False):
        if first != second:
            parts = {
                name: f"{name} {_shown(one)} whole, {_shown(other)} cut"
                for name, one, other in zip(Stopped._fields, first, second, strict=True)
                if one != other
            }
            return Difference(number, " ".join(parts), "; ".join(parts.values()))
    if len(a.stops) != len(b.stops):
        return Difference(0, "stops", f"{len(a.stops)} stops whole, {len(b.stops)} cut")
    return Difference(0, "digest", "") if a.digest != b.digest else None


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + " ".join(f"{word:x}" for word in value) + ")"
    return str(value)


def exceptions(played: Played) -> Counter[str]:
    """How often each exception was taken, by name and code."""
    return Counter(
        f"{names.EXCEPTIONS[stopped.raised[0]]} {stopped.raised[1]}" for _, stopped in played.stops if stopped.raised is not None
    )
