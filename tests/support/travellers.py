"""A task that moves many times between the nodes of a cluster, and what it leaves behind on them."""

from __future__ import annotations

import gc
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from machemu.core.invariants import Usage, usage
from masix.gns.server import Gns
from masix.migration import report
from tests.support.clusters import MS, PORTS, ROOT, START, World
from tests.support.guests import Arch
from tests.support.wanderers import MANAGERS, NODES, Operator

PROFILES: Final = {"i386": "pc486dx2-66", "m68k": "sun3-60"}
TRAVELLER: Final = "traveller.elf"
PAUSE: Final = 20
"""Milliseconds between the calls that the task answers."""
LOOK_MS: Final = 3 * PAUSE
"""For how long a node is looked at, to see it when nothing is under way."""
GROWTH: Final = 1500
"""Blocks of Python's memory by which a cluster grows at most between two looks, the first after ten moves at least."""
WAIT_MS: Final = 1000
"""Longer than any move takes."""


class Left(NamedTuple):
    """What a cluster has after so many moves, when the task is at home. blocks: of Python's memory. by_node: the least of what
    the kernel counts (but no timers, of which the caller has some), names that tasks have, and entries in the network server's
    tables."""

    moves: int
    by_node: tuple[tuple[Usage, int, int], ...]
    blocks: int


def travel(arch: Arch, seed: int, at: Sequence[int], folder: Path) -> Iterator[Left]:
    """Moves a task that a caller on its first node keeps asking, and looks after each number of moves."""
    with World(_cluster(arch, seed, folder), folder=folder) as world:
        operator, rng = Operator(world), random.Random(seed)
        time, moves = 200 * MS, 0
        world.run(time)
        for stop in at:
            while moves < stop or operator.where(TRAVELLER) is not world.node(NODES[0]):
                time = _move(operator, rng, moves + 1 >= stop, time + rng.randrange(1, 2 * PAUSE * MS))
                moves += 1
                world.frames.clear()
            seen = [_counts(world)]
            for _ in range(LOOK_MS):
                time += MS
                world.run(time)
                seen.append(_counts(world))
            by_node = tuple([_least(each) for each in zip(*seen, strict=True)])
            answers = sum(line.startswith("answer") for line in world.lines(NODES[0]))
            world.printed.clear()
            assert answers, "nobody has answered"
            gc.collect()
            yield Left(moves, by_node, sys.getallocatedblocks())


def _move(operator: Operator, rng: random.Random, homewards: bool, time: int) -> int:
    """Moves the task once; the time when it has moved."""
    world = operator.world
    world.run(time)
    node = operator.where(TRAVELLER)
    assert node is not None
    others = [each for each in NODES if each != node.name]
    operator.move(node, TRAVELLER, NODES[0] if homewards and NODES[0] in others else rng.choice(others), time)
    for _ in range(WAIT_MS):
        time += MS
        world.run(time)
        if (told := operator.outcome()) is not None:
            assert told[0] == report.MOVED, report.described(*told)
            return time
    raise AssertionError("a move does not end")


def _counts(world: World) -> list[tuple[Usage, int, int]]:
    counts = []
    for node in world.cluster.nodes:
        kernel = node.kernel
        assert kernel is not None
        (network,) = world.programs(node.name, Gns)
        tables = network.tables
        own = (tables.proxies, tables.exports, tables.pledges, tables.coming, tables.leaving)
        entries = sum(len(table) for table in own)
        counts.append(
            (usage(kernel)._replace(events=0), sum(len(task.space.table) for task in kernel.kern.tasks.values()), entries)
        )
    return counts


def _least(seen: Sequence[tuple[Usage, int, int]]) -> tuple[Usage, int, int]:
    """The least of each count, but the most free frames."""
    usages, names, entries = zip(*seen, strict=True)
    least = Usage(*map(min, zip(*usages, strict=True)))
    return least._replace(free_frames=max(each.free_frames for each in usages)), min(names), min(entries)


def _cluster(arch: Arch, seed: int, folder: Path) -> str:
    """The text of the cluster file; its guests come into a folder."""
    lines = []
    for name, role in ((TRAVELLER, "serve greeter"), ("caller.elf", f"call greeter 1000000 {PAUSE}")):
        shutil.copy(ROOT / "images" / arch.name / "greet.elf", folder / name)
        lines.append(f"{name} {PORTS} {role} {START}")
    servers = ", ".join(f'"{server}"' for server in MANAGERS)
    common = f'memory = "4M"\nprofile = "{PROFILES[arch.name]}"\nservers = [{servers}]\nnics = {{ eth0 = "lan" }}\n'
    text = f'seed = {seed}\n[segments.lan]\nbandwidth = "100M"\n'
    for node in NODES:
        text += f"[nodes.{node}]\n{common}"
        text += f"modules = {lines}\n" if node == NODES[0] else ""
    return text
