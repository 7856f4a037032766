"""Clusters on which a family of processes runs (tests/cluster/guests/family.c)."""

from __future__ import annotations

from machemu.abi.message import COPY_SEND
from machemu.mig.runtime import PolyPort
from machemu.sim.state import Right, state
from machemu.user.kit import Answer, HostServer, answered
from machemu.user.mach import Mach
from machemu.user.message import living
from masix.gps.entry import Kind
from masix.gps.server import Gps
from masix.interfaces import acs, gps
from tests.support.clusters import MS, PORTS, SECOND, START, World
from tests.support.guests import I386, Arch
from tests.support.wanderers import MANAGERS

NODES = ("alpha", "beta", "gamma")
FOUR = (*NODES, "delta")
RESIDENT = "tests/cluster/guests/{}/resident.elf"
FAMILY = "tests/cluster/guests/{}/family.elf"
CALLS = 40


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


def residents(arch: Arch, count: int, calls: int = 0) -> str:
    """Three nodes, of which beta has so many nomad processes that are services, and callers on gamma."""
    text = cluster(arch, nodes=NODES, moves=True)
    lines = [f"{RESIDENT.format(arch.name)} {PORTS} name{number} {START}" for number in range(count)]
    callers = ", ".join(
        f'{{ class = "tests.support.callers:Caller", start_ms = 500, calls = {calls}, pause_ms = 60, name = "name{number}" }}'
        for number in range(count)
    )
    head, beta = text.split("[nodes.beta]")
    beta, gamma = beta.split("[nodes.gamma]")
    return f"{head}[nodes.beta]{beta.replace('modules = []', f'modules = {lines}')}[nodes.gamma]" + gamma.replace(
        'nodes = "alpha beta gamma" }]', f'nodes = "alpha beta gamma" }}, {callers}]'
    )


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
