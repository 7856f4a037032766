"""Clusters on which a family of processes runs (tests/cluster/guests/family.c), and one that moves while something goes wrong."""

from __future__ import annotations

import random
from functools import cache
from typing import NamedTuple

from machemu.abi.message import COPY_SEND
from machemu.mig.runtime import PolyPort
from machemu.sim.state import Right, state
from machemu.user.kit import Answer, HostServer, answered
from machemu.user.mach import Mach
from machemu.user.message import living
from masix.gps.entry import Kind
from masix.gps.server import Gps
from masix.interfaces import acs, gps
from tests.support.clusters import MS, PORTS, SECOND, START, World, fault
from tests.support.guests import ARCHS, I386, Arch
from tests.support.wanderers import MANAGERS

NODES = ("alpha", "beta", "gamma")
FOUR = (*NODES, "delta")
FAMILY = "tests/cluster/guests/{}/family.elf"
FAULTS = ("crash", "parted for 0.7 s", "parted for 4 s")
CALLS = 40
RESTART = 5 * SECOND
AFTER = 9 * SECOND
"""When all is calm again and the process has ended."""


def cluster(arch: Arch = I386, *families: str, nodes: tuple[str, ...] = NODES, moves: bool = False) -> str:
    """A cluster's file: on the first nodes a family each, as family.c takes its arguments, or none for "". moves: there are
    managers that move tasks."""
    servers = ", ".join(f'"{each}"' for each in (MANAGERS if moves else MANAGERS[:2]))
    text = "seed = 3\n[segments.lan]\n"
    for number, name in enumerate(nodes):
        family = families[number] if number < len(families) else ""
        lines = [f"{FAMILY.format(arch.name)} {PORTS} {family} {START}"] if family else []
        text += f'[nodes.{name}]\nmemory = "16M"\nprofile = "{arch.profile}"\nmodules = {lines}\nnics = {{ eth0 = "lan" }}\n'
        text += f'servers = [{servers}, {{ class = "masix.gps.server:Gps", nodes = "{" ".join(nodes)}" }}]\n'
    return text


def server(world: World, name: str) -> Gps:
    (found,) = world.programs(name, Gps)
    return found


def check_nothing_is_left(world: World) -> None:
    for node in world.cluster.nodes:
        gps = server(world, node.name)
        assert not (gps.table.entries or gps.own.entries or gps.processes or gps.callers or gps.tasks)
        assert not (gps.pending or gps.later or gps.questions or gps.table.waiting or gps.leaving or gps.arriving)
        assert node.kernel is not None
        names = [task.name for task in node.kernel.kern.tasks.values()]
        assert not any("family" in name or "famil" in name for name in names) and names[-1] == "gps"


def try_tree(arch: Arch, children: int) -> int:
    """Two generations of so many children each, who all move to one of four nodes; how many virtual nanoseconds it took.

    AssertionError where the parents count others than there were, or something is left of them.
    """
    with World(cluster(arch, f"nomad 2 {children} {' '.join(FOUR)}", nodes=FOUR, moves=True)) as world:
        time = 0
        while "END" not in world.lines("alpha"):
            time += SECOND
            assert time < 60 * SECOND, f"it has not ended: {world.lines('alpha')}"
            world.run(time)
        assert world.lines("alpha")[-3:] == [f"{1 + children + children**2} processes", "no child -> 00000012", "END"]
        world.run(time + SECOND)
        check_nothing_is_left(world)
        return max(at for at, _, _ in world.printed)


def running(world: World) -> list[str]:
    """On which nodes a copy of the family's program runs: its task is neither suspended nor frozen."""
    return [
        node.name
        for node in world.cluster.nodes
        if node.kernel is not None
        for task in node.kernel.kern.tasks.values()
        if "famil" in task.name and not task.user_stop_count and not task.frozen
    ]


@state
class Flooder(HostServer):
    """Becomes a nomad process, and sends CALLS calls of pm_wait at once. codes: what they were answered."""

    __slots__ = ("codes", "process")
    codes: list[int]
    process: Right

    def __init__(self) -> None:
        super().__init__()
        self.codes = []
        self.process = 0

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(500 * MS)

    def expired(self, mach: Mach) -> None:
        self.ask(mach, self._found, mach.given("name-server"), (b"gps",))

    @answered(acs.ACS_LOOK_UP_HERE)
    def _found(self, mach: Mach, answer: Answer) -> None:
        task = PolyPort(mach.task_self(), COPY_SEND)
        self.ask(mach, self._created, living(answer.results[0]), (task, Kind.NOMAD, b"bare"))

    @answered(gps.GPS_CREATE)
    def _created(self, mach: Mach, answer: Answer) -> None:
        self.process = living(answer.results[1])
        for _ in range(CALLS):
            self.ask(mach, self._waited, self.process, ())

    @answered(gps.PM_WAIT)
    def _waited(self, mach: Mach, answer: Answer) -> None:
        self.codes.append(answer.code)


class Trial(NamedTuple):
    """A process moves from beta to gamma, and at a time, in nanoseconds, something happens to a node."""

    arch: str
    what: str
    node: str
    time: int


@cache
def window(name: str) -> tuple[int, int]:
    """When the move of a trial begins and the process has ended, where nothing goes wrong. Nanoseconds."""
    with World(_text(name)) as world:
        time = 0
        while not any(entry.epoch for entry in server(world, "alpha").table.entries.values()):
            time += MS
            world.run(time)
        world.run(AFTER)
        (end,) = [at for at, _, line in world.printed if line == "END"]
        return time - 2 * MS, end


def _text(name: str) -> str:
    return cluster(ARCHS[name], "", "nomad 0 0 gamma", moves=True)


def trial(seed: int) -> Trial:
    chosen = random.Random(seed)
    arch = chosen.choice(sorted(ARCHS))
    return Trial(arch, chosen.choice(FAULTS), chosen.choice(NODES), chosen.randrange(*window(arch)))


def try_move(wanted: Trial) -> str:
    """What became of the process. AssertionError where two copies of it ran, or something of it is left in the table."""
    begin, end = window(wanted.arch)
    others = [name for name in NODES if name != wanted.node]
    if wanted.what == "crash":
        faults = fault(f"{wanted.time}ns", "crash", node=wanted.node) + fault(f"{RESTART}ns", "restart", node=wanted.node)
    else:
        until = wanted.time + (700 * MS if "0.7" in wanted.what else 4 * SECOND)
        faults = fault(f"{wanted.time}ns", "partition", segment="lan", groups=[[wanted.node], others])
        faults += fault(f"{until}ns", "heal", segment="lan")
    with World(_text(wanted.arch) + faults) as world:
        for time in (*range(begin, end + 100 * MS, MS), *range(end + 100 * MS, AFTER, 100 * MS)):
            world.run(time)
            assert len(running(world)) <= 1, f"at {time} ns copies run at {running(world)}"
        for name in NODES:
            gps = server(world, name)
            assert not (gps.table.entries or gps.tasks or gps.leaving or gps.arriving), f"at {name} something is left"
        is_mute = (wanted.what, wanted.node) == ("crash", "beta")
        lines = [line for time, name, line in world.printed if name == "beta" and not (is_mute and time >= RESTART)]
        if "END" in lines:
            return "it stayed" if any(line.startswith("to gamma") for line in lines) else "it moved"
        return "its console was lost" if is_mute else "it was lost"
