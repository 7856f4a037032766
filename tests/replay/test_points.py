"""A machine comes to each point of its run again, from any earlier one, and is what it was."""

from __future__ import annotations

import random

import pytest

from machemu.core.kernel import FOREVER
from machemu.lab.travel import ENDS, Point, StepKind, advance, here, reach, step
from machemu.sim.snapshot import Snapshot
from tests.support.guests import ARCHS, Arch
from tests.support.machine import Machine, boot, module

MODULES = ("messages", "threads", "pagercopy", "gsync")
POINTS = 40


def wander(machine: Machine, chooser: random.Random) -> list[tuple[Point, str]]:
    """Points of a run at which it was stopped in all ways, each with its digest."""
    points = []
    for _ in range(POINTS):
        way = chooser.choice((*StepKind, "time", "traps"))
        if isinstance(way, StepKind):
            stop = step(machine.kernel, way)
        elif way == "time":
            stop = advance(machine.kernel, machine.kernel.kern.clock.now() + chooser.randrange(1, 1_000_000))
        else:
            stop = advance(machine.kernel, FOREVER, chooser.randrange(1, 40))
        points.append((here(machine.kernel), machine.node.digest()))
        if stop in ENDS:
            break
    return points


@pytest.mark.parametrize("arch", ARCHS.values(), ids=ARCHS)
@pytest.mark.parametrize("name", MODULES)
def test_every_point_is_reached_again_from_any_earlier_one_with_the_same_digest(arch: Arch, name: str) -> None:
    chooser = random.Random(name)
    with boot(module(arch, name)) as machine:
        start = here(machine.kernel), machine.node.snapshot()
        points = wander(machine, chooser)
        taken: list[tuple[Point, Snapshot]] = [start]
        for point, digest in chooser.sample(points, min(len(points), 12)):
            machine.node.restore(max((each for each in taken if each[0] <= point), key=lambda each: each[0])[1])
            machine.kernel = machine.node.kernel
            reach(machine.kernel, point)
            assert (here(machine.kernel), machine.node.digest()) == (point, digest)
            taken.append((point, machine.node.snapshot()))
