"""Conformance modules whose tasks move from node to node of a cluster while they run."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from machemu.abi.message import COPY_SEND
from machemu.cluster.node import ClusterNode
from machemu.core.kernel import Kernel
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern import family, freeze, task_control
from machemu.kern.subsystem import Kern
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.mig.interfaces.mach import TASK_RESUME, TASK_SUSPEND, TASK_THREADS
from machemu.mig.interfaces.mach_host import (
    HOST_PROCESSOR_SET_PRIV,
    HOST_PROCESSOR_SETS,
    THREAD_MAX_PRIORITY,
    THREAD_PRIORITY,
)
from machemu.mig.interfaces.mach_migrate import TASK_IDENTIFY
from machemu.mig.runtime import PolyPort, Routine
from machemu.sim.state import PortName, Right, state
from machemu.user.kit import HostServer
from machemu.user.mach import Mach
from machemu.user.message import name_of
from machemu.user.thread import ServerThread
from machemu.vm.map_copy import VmMapCopy
from masix.interfaces import migration
from masix.migration import node_tasks, report
from masix.migration.manager import MigrationManager
from masix.migration.node_server import NodeServer
from masix.migration.report import Report, report_of
from tests.support import modules
from tests.support.clusters import PORTS, START, World
from tests.support.guests import Arch

MANAGERS: Final = (
    "masix.acs.server:Acs", "masix.gns.server:Gns", "masix.migration.process:ProcessManager",
    "masix.migration.space:SpaceManager", "masix.migration.ipc:IpcManager", "masix.migration.manager:MigrationManager",
)  # fmt: skip
"""The servers of a node whose tasks move."""
NODES: Final = ("alpha", "beta", "gamma")
END: Final = "END"
LIMIT_NS: Final = 60_000_000_000
SLICE_NS: Final = 10_000_000
TOLD_NS: Final = 100_000_000
"""After so long each node has told of its moves."""
ASKED: Final = 40
"""How often a module is asked to move at most: then it runs to its end where it is."""
BEST: Final = 5
"""The servers' priority."""
BEGIN_NS: Final = 100_000_000
"""When the task begins: the managers are ready."""


@state
class Holder(HostServer):
    """Lets the servers of its node run before all others, and a task begin only once they are ready."""

    __slots__ = ("task", "waiting")
    task: str
    waiting: Right  # to the task, until it begins

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task
        self.waiting = 0

    def start(self, mach: Mach) -> None:
        super().start(mach)
        for task in node_tasks.of_node(mach):
            _, _, name = mach.call(TASK_IDENTIFY, task)
            if name.decode() == self.task:
                mach.call(TASK_SUSPEND, task)
                self.waiting = task
            else:
                _hurry(mach, task)
                mach.deallocate(task)
        mach.alarm(BEGIN_NS)

    def expired(self, mach: Mach) -> None:
        if self.waiting:
            mach.call(TASK_RESUME, self.waiting)
            mach.deallocate(self.waiting)
            self.waiting = 0


def _hurry(mach: Mach, task: PortName) -> None:
    """The threads of a server run before those of the task that moves, so that this is taken at any instruction."""
    host = mach.given("host-port")
    (name, *_) = mach.call(HOST_PROCESSOR_SETS, host)[0]
    (pset,) = mach.call(HOST_PROCESSOR_SET_PRIV, host, name)
    for thread in map(name_of, mach.call(TASK_THREADS, task)[0]):
        mach.call(THREAD_MAX_PRIORITY, thread, PolyPort(name_of(pset), COPY_SEND), BEST)
        mach.call(THREAD_PRIORITY, thread, BEST, False)
        mach.deallocate(thread)
    mach.deallocate(name_of(pset))


class Operator:
    """Asks the migration managers of a cluster from outside."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.reply: Port | None = None
        self.asked: Kernel | None = None
        self.told: tuple[int, Report] | None = None
        self.held: list[Task] = []

    def where(self, task: str) -> ClusterNode | None:
        """The node on which a task is, none where it is on its way or has ended."""
        for node in self.world.cluster.nodes:
            if any(each.name == task and each.active and not each.frozen for each in _tasks(node)):
                return node
        return None

    def move(self, node: ClusterNode, task: str, to: str, time: int) -> None:
        """Asks a node's manager at once to move a task. time: the cluster's, at which it was stopped."""
        self.ask(node, MigrationManager, migration.MIGRATION_MOVE, time, task.encode(), to.encode())

    def hold(self, node: ClusterNode, task: str) -> None:
        """Lets a task and its family stand still until they are frozen, or the move that is asked for next is given up."""
        assert node.kernel is not None
        kern = node.kernel.kern
        (named,) = [each for each in _tasks(node) if each.name == task and each.active][:1]
        self.held = family.of(kern, named)
        for each in self.held:
            task_control.hold(kern, each)

    def let_go(self) -> None:
        """Ends the hold on tasks that the move has come to, or will not."""
        if self.held and (self.outcome() is not None or all(each.frozen or not each.active for each in self.held)):
            assert self.asked is not None
            for each in filter(lambda each: each.active, self.held):
                task_control.release(self.asked.kern, each)
            self.held = []

    def ask(self, node: ClusterNode, manager: type[NodeServer], routine: Routine, time: int, *values: Any) -> None:
        """Sends a manager of a node a request, as it is stopped at a time."""
        kernel = self.asked = node.kernel
        assert kernel is not None
        self.told = None
        node.pass_time(time)
        kernel.kern.charge_events()
        ipc = kernel.ipc
        self.reply = ipc.make_kernel_port(None, reply=True)
        self.reply.receiver = None
        target, once = ports.make_send(ipc, _service(node, manager)), ports.make_sonce(ipc, self.reply)
        self.world.post(node, target, routine, *values, once=once)
        kernel.kern.charge_events(kernel.kern.kernel_task)

    def outcome(self) -> tuple[int, Report] | None:
        """What became of the move that was asked for last; None where that is not known yet."""
        assert self.reply is not None and self.asked is not None
        if self.told is not None or not self.reply.messages:
            return self.told
        ipc = self.asked.ipc
        kmsg = self.reply.messages.popleft()
        outcome, words = migration.MIGRATION_MOVE.unpack_reply(ipc.order, bytes(kmsg.body), kmsg.carried, kmsg.complex)
        assert isinstance(words.copy, VmMapCopy)
        data = words.copy.to_bytes()
        words.copy.discard()
        ports.release_sonce(ipc, self.reply)
        kmsgs.consume(ipc, kmsg)
        self.drop()
        self.told = outcome, report_of(struct.unpack(f"{ipc.prefix}{len(data) // 4}I", data))
        return self.told

    def drop(self) -> None:
        """Gives up the answer to what was asked for last."""
        assert self.reply is not None and self.asked is not None
        self.reply.receiver = self.asked.ipc.reply_space
        ports.dealloc_kernel(self.asked.ipc, self.reply)


def _tasks(node: ClusterNode) -> list[Task]:
    return [] if node.kernel is None else list(node.kernel.kern.tasks.values())


def _service(node: ClusterNode, manager: type[NodeServer]) -> Port:
    """The port of a node's manager of a class."""
    for task in _tasks(node):
        for thread in task.threads.values():
            if isinstance(thread.program, ServerThread) and isinstance(thread.program.server, manager):
                return task.space.table[thread.program.server.service].port()
    raise AssertionError(f"the node has no {manager.__name__}")


class Wandered(NamedTuple):
    """What a module printed on its way; its moves, and how often each other outcome (masix.migration.report) came; and the waits
    out of which its threads were taken. first: when it began to move first, in nanoseconds since it began; None for never."""

    printed: bytes
    first: int | None
    moves: list[Report]
    others: Counter[int]
    waits: Counter[str]


def stay(arch: Arch, name: str, folder: Path) -> tuple[bytes, int]:
    """What a conformance module prints on a node of a cluster, where it stays, and how many nanoseconds it takes."""
    with World(_cluster(arch, name, 0, folder), folder=modules.binary(name, arch.name).parent) as world:
        time = BEGIN_NS
        while time < LIMIT_NS and not _has_ended(world):
            time += SLICE_NS
            world.run(time)
        return _printed(world), max(said for said, _, _ in world.printed) - BEGIN_NS


def wander(arch: Arch, name: str, seed: int, every: int, is_held: bool, folder: Path) -> Wandered:
    """Runs a conformance module on a cluster of three nodes, between which it moves. every: nanoseconds that it runs on one, on
    the average. is_held: not while the nodes agree about a move, which takes a millisecond."""
    path = modules.binary(name, arch.name)
    rng = random.Random(seed)
    asked: list[tuple[int, Operator]] = []
    with _counted() as waits, World(_cluster(arch, name, seed, folder), folder=path.parent) as world:
        time = BEGIN_NS
        while time < LIMIT_NS and not _has_ended(world):
            operator = Operator(world)
            time += rng.randint(1, 2 * every) if len(asked) < ASKED else SLICE_NS
            world.run(time)
            node = operator.where(path.name)
            if node is None or len(asked) == ASKED:
                continue
            if is_held:
                operator.hold(node, path.name)
            operator.move(node, path.name, rng.choice([each for each in NODES if each != node.name]), time)
            asked.append((time - BEGIN_NS, operator))
            # It is asked again where it runs, though the first node tells of its move only later.
            while time < LIMIT_NS and operator.outcome() is None and operator.where(path.name) in (None, node):
                time += min(every, SLICE_NS // 20)
                world.run(time)
                operator.let_go()
        world.run(time + TOLD_NS)
        for _, operator in asked:
            if operator.outcome() is None:
                operator.drop()
        told = [(at, *operator.told) for at, operator in asked if operator.told is not None]
        moves = [(at, each) for at, outcome, each in told if outcome == report.MOVED]
        others = Counter(outcome for _, outcome, _ in told if outcome != report.MOVED)
        return Wandered(_printed(world), moves[0][0] if moves else None, [each for _, each in moves], others, waits)


def _has_ended(world: World) -> bool:
    return any(line == END for _, _, line in world.printed)


def _printed(world: World) -> bytes:
    lines = sorted(world.printed, key=lambda said: said[0])
    return modules.comparable("".join(f"{line}\n" for _, _, line in lines).encode())


def _cluster(arch: Arch, name: str, seed: int, folder: Path) -> str:
    """The text of its cluster file."""
    path = modules.binary(name, arch.name)
    holder = f'{{ class = "tests.support.wanderers:Holder", task = "{path.name}" }}'
    servers = ", ".join([*(f'"{server}"' for server in MANAGERS), holder])
    lines = [f"{path.name} {PORTS} {START}", *modules.more_lines(path, folder)]
    text = f'seed = {seed}\n[segments.lan]\nbandwidth = "100M"\n'
    for node in NODES:
        text += f'[nodes.{node}]\nprofile = "{modules.PROFILES[arch.name]}"\nservers = [{servers}]\nnics = {{ eth0 = "lan" }}\n'
        if node == NODES[0]:
            text += f"modules = {lines}\n{_disks(arch, name, folder)}"
        if (ram := modules.ram(path)) is not None:
            text += f'memory = "{ram >> 20}M"\n'
    return text


def _disks(arch: Arch, name: str, folder: Path) -> str:
    """The line of a node that has the module's disks, whose files come into a folder; nothing where it needs none."""
    files = {}
    for drive, (file, contents) in modules.images(name, arch.name).items():
        files[drive] = folder / file
        files[drive].write_bytes(contents)
    return "disks = { " + ", ".join(f'{drive} = "{path}"' for drive, path in files.items()) + " }\n" if files else ""


@contextmanager
def _counted() -> Iterator[Counter[str]]:
    """Counts the waits out of which threads are taken."""
    waits: Counter[str] = Counter()
    detach = freeze.detach

    def counting(kern: Kern, thread: Thread) -> None:
        if thread.continuation is not None:
            waits[thread.continuation.name] += 1
        detach(kern, thread)

    freeze.detach = counting
    try:
        yield waits
    finally:
        freeze.detach = detach
