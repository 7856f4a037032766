"""A process that counts (tests/cluster/guests/counts.c), and moves from beta to gamma while something goes wrong.

The witness, on the node alpha, hears from the process its name, epoch and count. Two copies that run would say the same counts.
"""

from __future__ import annotations

import random
import struct
from functools import cache
from itertools import pairwise
from typing import Final, NamedTuple

from machemu.abi.message import COPY_SEND, MOVE_SEND, CarriedPort
from machemu.core.kernel import Kernel
from machemu.kern.task import Task
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import PolyPort
from machemu.sim.state import U32, Right, Time, state
from machemu.user.kit import HostServer, notified, takes
from machemu.user.mach import Mach
from machemu.user.message import Header, Message, living
from machemu.user.notifications import DeadName
from masix.gps.entry import State
from masix.gps.server import Gps
from masix.interfaces import acs
from masix.migration.ipc import IpcManager
from masix.migration.manager import MigrationManager
from masix.migration.process import ProcessManager
from masix.migration.space import SpaceManager
from masix.migration.strategies import DIRECT_COPY
from tests.support.clusters import MS, PORTS, SECOND, START, World, action, fault
from tests.support.families import server
from tests.support.guests import ARCHS
from tests.support.wanderers import MANAGERS

NODES: Final = ("alpha", "beta", "gamma")
ROLES: Final = {"alpha": "a third node", "beta": "the source", "gamma": "the destination"}
FAULTS: Final = ("crash", "pause for 0.7 s", "pause for 4 s", "parted for 0.7 s", "parted for 4 s")
TOLD: Final = 4711
STEPS: Final = tuple(step.name for step in DIRECT_COPY)
COUNTS: Final = "tests/cluster/guests/{}/counts.elf"
TASK: Final = "8"
"""The number of its task: the servers come first."""
ASKS: Final = 300 * MS
"""When the operator asks for the move."""
COUNT: Final = 5
"""At which count the process does."""
CALM: Final = 6 * SECOND
"""How long all is watched after it is calm again."""
GOES_ON: Final = 5 * SECOND
DEAD: Final = 2 * SECOND
BEAT: Final = 600 * MS
"""A process that runs has said something since."""


@state
class Said(NamedTuple):
    """What the process said of itself, and when the witness heard it. at: its count."""

    time: Time
    process: tuple[U32, ...]
    epoch: U32
    at: U32
    wrong: U32
    lost: U32


@state
class Witness(HostServer):
    """The service `witness`. said: what it has heard. died: when a right to the process's port was dead, nanoseconds."""

    __slots__ = ("died", "own", "said")
    died: list[Time]
    own: Right
    said: list[Said]

    def __init__(self) -> None:
        super().__init__()
        self.died, self.said = [], []
        self.own = 0

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (b"witness", 0, PolyPort(self.service, COPY_SEND)))

    @takes(TOLD, at="service")
    def _hear(self, mach: Mach, message: Message) -> None:
        words = struct.unpack_from(f"{mach.order.prefix}8I", message.body, len(message.body) - 32)
        self.said.append(Said(mach.now(), words[:4], *words[4:]))
        (item,) = message.carried
        assert isinstance(item, CarriedPort)
        own = living(item.port)
        if own and own == self.own:
            mach.deallocate(own)
        elif own:
            self.own = own
            mach.notify(own, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)
        header = message.header
        mach.send(Message(Header(header.remote, header.remote_type, 0, 0, TOLD + 100), b"", (), False))

    @notified(DeadName)
    def _died(self, mach: Mach, notice: DeadName) -> None:
        mach.give_up([(notice.name, MOVE_SEND)])
        if notice.name == self.own:
            mach.give_up([(notice.name, MOVE_SEND)])
            self.own = 0
            self.died.append(mach.now())


class Trial(NamedTuple):
    """What happens to a node in a step of the move, at a time in nanoseconds. operator: he asks for the move, not the process."""

    arch: str
    operator: bool
    step: str
    what: str
    node: str
    time: int


def cluster(arch: str, operator: bool) -> str:
    """Its file: the process moves to gamma, as the operator says, or as it asks itself."""
    text = "seed = 3\n[segments.lan]\n"
    for name in NODES:
        servers = [*(f'"{each}"' for each in MANAGERS), '{ class = "masix.gps.server:Gps", nodes = "alpha beta gamma" }']
        if name == "alpha":
            servers.append('"tests.support.witnessed:Witness"')
        counts = f"{COUNTS.format(arch)} {PORTS} {0 if operator else COUNT} gamma {START}"
        lines = [counts] if name == "beta" else []
        text += f'[nodes.{name}]\nmemory = "8M"\nprofile = "{ARCHS[arch].profile}"\nmodules = {lines}\n'
        text += f'servers = [{", ".join(servers)}]\nnics = {{ eth0 = "lan" }}\n'
    if operator:
        text += action(f"{ASKS}ns", "migrate", "beta", task=TASK, to="gamma")
    return text


@cache
def steps(arch: str, operator: bool) -> dict[str, tuple[int, int]]:
    """From when to when each step of the move is under way, where nothing goes wrong. Nanoseconds."""
    found: dict[str, tuple[int, int]] = {}
    with World(cluster(arch, operator)) as world:
        time = 200 * MS
        (manager,) = world.programs("beta", MigrationManager)
        while not found or manager.moves:
            time += MS // 10
            world.run(time)
            assert time < SECOND, "it does not move"
            for move in manager.moves.values():
                if move.steps:
                    first, _ = found.get(move.steps[0].name, (time - MS // 10, 0))
                    found[move.steps[0].name] = first, time
    return found


def trial(seed: int) -> Trial:
    chosen = random.Random(seed)
    arch, operator = chosen.choice(sorted(ARCHS)), chosen.random() < 0.5
    times = steps(arch, operator)
    step = chosen.choice(sorted(times, key=STEPS.index))
    return Trial(arch, operator, step, chosen.choice(FAULTS), chosen.choice(NODES), chosen.randrange(*times[step]))


def _faults(wanted: Trial) -> tuple[str, int]:
    """Of the cluster file; and when all is calm again."""
    others = [name for name in NODES if name != wanted.node]
    kind, _, length = wanted.what.partition(" for ")
    calm = wanted.time + (4 * SECOND if length != "0.7 s" else 700 * MS)
    if kind == "parted":
        begins = fault(f"{wanted.time}ns", "partition", segment="lan", groups=[[wanted.node], others])
        return begins + fault(f"{calm}ns", "heal", segment="lan"), calm
    ends = "restart" if kind == "crash" else "resume"
    return fault(f"{wanted.time}ns", kind, node=wanted.node) + fault(f"{calm}ns", ends, node=wanted.node), calm


def try_move(wanted: Trial) -> str:
    """What became of the process. AssertionError where two copies of it ran, or something is not as it was promised."""
    faults, calm = _faults(wanted)
    end = calm + CALM
    with World(cluster(wanted.arch, wanted.operator) + faults) as world:
        kernels = {node.name: node.kernel for node in world.cluster.nodes}
        said: dict[Said, None] = {}
        died: dict[int, None] = {}
        for time in (
            *range(wanted.time - 5 * MS, wanted.time + 60 * MS, MS),
            *range(wanted.time + 60 * MS, end + 1, 100 * MS),
            end,
        ):
            world.run(time)
            found = [name for name, task in _copies(world, kernels) if not task.user_stop_count and not task.frozen]
            assert len(found) <= 1, f"at {time} ns copies run at {found}"
            for witness in world.programs("alpha", Witness):
                said |= dict.fromkeys(each for each in witness.said if not each.process[1])
                died |= dict.fromkeys(witness.died)
        _check_log(list(said))
        (entries,) = {tuple(server(world, name).table.entries.values()) for name in NODES}
        _check_idle(world)
        last = list(said)[-1]
        places = [name for name, _ in _copies(world, kernels)]
        if not entries:
            assert not places, f"copies are left at {places}"
            assert wanted.node == "alpha" or died, "who knew it was not told that it has ended"
            assert all(time <= max(calm, last.time) + DEAD for time in died), f"who knew it was told at {[*died]}"
            return "it ended"
        (entry,) = entries
        place = NODES[entry.at.node - 1]
        assert entry.state is State.RUNNING and found == [place] == places, f"{entry} runs at {found} of {places}"
        assert end - last.time <= BEAT, f"it has said nothing since {last}"
        assert min(each.time for each in said if each.time >= calm) <= calm + GOES_ON, "it went on late"
        lost = f", and lost {last.lost} rights" if last.lost else ""
        return f"it {'moved' if place == 'gamma' else 'stayed'}{lost}"


def _check_log(said: list[Said]) -> None:
    for one, other in pairwise(said):
        assert one.process == other.process and one.at < other.at and one.epoch <= other.epoch, f"{one}, then {other}"
    for each in said:
        assert not each.wrong, f"something is not as it was: {each}"


def _copies(world: World, kernels: dict[str, Kernel | None]) -> list[tuple[str, Task]]:
    """The nodes where there are copies of the process, and these, whether they run or not. A node that has started anew, and has
    another kernel, has begun another one."""
    nodes = [(node.name, node.kernel) for node in world.cluster.nodes]
    same = [(name, kernel) for name, kernel in nodes if kernel is not None and kernel is kernels[name]]
    return [(name, task) for name, kernel in same for task in kernel.kern.tasks.values() if "count" in task.name]


def _check_idle(world: World) -> None:
    """Nothing of a move is left with the servers."""
    for name in NODES:
        (gps,), (manager,) = world.programs(name, Gps), world.programs(name, MigrationManager)
        (processes,), (space,) = world.programs(name, ProcessManager), world.programs(name, SpaceManager)
        (rights,) = world.programs(name, IpcManager)
        assert not (gps.leaving or gps.arriving or gps.asking), f"at {name} a decision is left"
        assert not manager.moves, f"at {name} a move is left"
        assert not (processes.held or processes.made or processes.come or processes.going), f"at {name} tasks are left"
        assert not (rights.extracted or rights.arrived), f"at {name} rights are left"
        assert not (space.going or space.coming or space.objects), f"at {name} memory is left"
