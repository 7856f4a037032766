"""Any number of nodes under one virtual clock.

The simulation is conservative. A frame arrives no earlier than `shortest` after it was sent, and takes time into its interface
before: so a node may run until the earliest time at which a frame that is not known yet could reach it. It comes back when it
sends. What has been sent takes its turn on its segment once no node can send anything earlier; faults come between. So nothing
depends on the order in which the nodes happen to run, nor on where a run is cut: what is sent goes by time, node, the node's own
order.

A cluster knows its nodes by their answers to its messages (`cluster.link`), so that each may run in any process. What it saves is
a part for itself and one for each node; its digest is one over itself and the nodes' digests.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from mmap import mmap
from pathlib import Path
from typing import NamedTuple, TypeVar

from machemu.abi.errors import InvariantError, UserError
from machemu.boot.machines import load_all
from machemu.cluster import changes
from machemu.cluster.faults import (
    NAMES,
    Action,
    Crash,
    Cut,
    Fault,
    Heal,
    Mend,
    NodeFault,
    Partition,
    Pause,
    ReplaceServer,
    Restart,
    SetSegment,
    StartServer,
)
from machemu.cluster.file import ClusterSpec
from machemu.cluster.lan import Missed, Segment, Station
from machemu.cluster.link import Arrival, NodeLink, Sent, Status
from machemu.cluster.node import NIC_NAMES, ClusterNode, slack_of
from machemu.cluster.server_specs import ServerSpec
from machemu.cluster.servers import check_actions, load_server
from machemu.cluster.witness import Witness
from machemu.core import board
from machemu.core.board import Board
from machemu.core.interrupt import Interrupt
from machemu.core.kernel import FOREVER
from machemu.sim import saved, snapshot
from machemu.sim.snapshot import Snapshot
from machemu.sim.state import Time, fields, state
from machemu.sim.streams import Stream
from machemu.sim.units import time_text
from machemu.trace.events import ClusterEvent

T = TypeVar("T")


class ClusterStop(Enum):
    """Why `Cluster.run` came back."""

    ASKED = auto()
    """Somebody called `stop`."""
    INTERRUPTED = auto()
    """The user wants the run to end, as `Cluster.interrupt` says."""
    TIME = auto()
    """The deadline was reached."""
    WEDGED = auto()
    """No node will ever do anything any more."""


@state
class Offer(NamedTuple):
    """A frame that a node wants to send. serial: the node's own count."""

    time: Time
    node: int
    serial: int
    interface: int
    frame: bytes


class ClusterSnapshot(NamedTuple):
    cluster: Snapshot
    nodes: tuple[Snapshot, ...]

    def parts(self) -> Iterator[bytes]:
        """The graphs and pages that it holds; snapshots of one cluster share those pages that are equal."""
        for each in (self.cluster, *self.nodes):
            yield each.graph
            yield from each.pages.values()


@state
class Cluster:
    """Nodes and segments under one virtual time. Use it as a context manager, or call `close`."""

    __slots__ = (
        "seed", "time", "segments", "offers", "faults", "arrivals", "started",
        "spec", "links", "standing", "nodes", "stopping", "order", "times", "slack", "running", "interrupt", "board",
        "witness", "reached", "undone",
    )  # fmt: skip
    TRANSIENT = (
        "spec", "links", "standing", "nodes", "stopping", "order", "times", "slack", "running", "interrupt", "board",
        "witness", "reached", "undone",
    )  # fmt: skip
    seed: int  # of all chance in it
    time: Time  # as far as it was run
    arrivals: int  # frames heard so far
    started: dict[str, None]  # classes of servers that actions have named

    # What is to come:
    offers: list[Offer]  # frames that have not had their turn, the next one first
    faults: list[Fault]  # those not yet done, by time
    segments: list[Segment]  # as in the cluster file, in its order

    # Transient, what it is made of:
    spec: ClusterSpec  # the cluster file
    links: tuple[NodeLink, ...]  # the nodes, in the file's order
    nodes: list[ClusterNode]  # those that run in this process, for who watches them

    # Transient, whose turn it is:
    standing: list[Status]  # how each node stands
    times: dict[int, int]  # when each node may send next
    order: list[tuple[int, int]]  # a heap of the same, which may hold entries that are out of date
    slack: int  # by how much `times` may be later than what a node does next, in nanoseconds
    running: int  # the number of the node that runs now, or that failed, or 0
    board: Board  # where its node and thread are told
    undone: list[str]  # actions that could not be done, and why
    stopping: bool  # set by `stop`
    interrupt: Interrupt  # the user's wish to end

    # Transient, who watches:
    witness: Witness | None  # of what happens between nodes; None where nobody does
    reached: Callable[[int], None] | None  # called with a time before which nothing more will happen

    def __init__(self, spec: ClusterSpec, seed: int | None = None, links: Sequence[NodeLink] | None = None) -> None:
        """Everything as the file says, the nodes without power. seed: instead of the file's. links: its nodes in its order, where
        they run elsewhere."""
        self.seed = spec.seed if seed is None else seed
        self.time = 0
        nodes = [ClusterNode(node) for node in spec.nodes] if links is None else []
        self.segments = [
            Segment(segment.name, segment.properties, stations_of(spec, number), self.seed)
            for number, segment in enumerate(spec.segments)
        ]
        self.offers = []
        self.faults = list(spec.faults)
        self.arrivals = 0
        self.started = {}
        self._join(spec, nodes, links or nodes)

    def _join(self, spec: ClusterSpec, nodes: list[ClusterNode], links: Sequence[NodeLink]) -> None:
        self.spec = spec
        self.nodes = nodes
        self.links = tuple(links)
        self.standing = []
        self.stopping = False
        self.running = 0
        self.interrupt = Interrupt()
        self.board = board.new()
        self.order = []
        self.times = {}
        self.undone = []
        self.witness = None
        self.reached = None
        self.slack = max(slack_of(node) for node in spec.nodes)
        self._ask_all()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the host's resources back."""
        for link in self.links:
            link.close()

    def watch(self, tell: Callable[[ClusterEvent], None]) -> None:
        """From now on `tell` hears of what happens between the nodes, in place of who did; see `witness`."""
        self.witness = Witness(self.spec, tell)

    def boot(self) -> None:
        """Switches every node on, at time 0. UserError where one cannot be booted, or a server of an action is none."""
        check_actions(self.faults, self.spec)
        for number in range(1, len(self.links) + 1):
            self._power_on(number, 0)

    def _power_on(self, number: int, time: int) -> None:
        name = self._name(number)
        try:
            status = self.links[number - 1].power_on(time, Stream(self.seed, f"node {name} at {time}").word())
        except UserError as error:
            raise UserError(f"node {name}: {error}") from None
        self._note(number, status)

    def _name(self, number: int) -> str:
        return self.spec.nodes[number - 1].name

    # Running

    def run(self, deadline: int = FOREVER) -> ClusterStop:
        """Runs until virtual time `deadline`, or until `stop`, or until nothing can happen. Where it is cut changes nothing."""
        self.stopping = False
        self._ask_all()
        lookahead = self._lookahead()
        while not self.stopping:
            if self.interrupt.asked:
                return ClusterStop.INTERRUPTED
            time, number = self._first()
            fault = self._next_fault()
            limit = min(deadline, fault)
            if self.offers and self.offers[0].time < min(time, fault):
                self._carry(self.offers.pop(0))
            elif time < limit:
                self._reached(time - self.slack)
                self._run_node(number, limit, lookahead)
            elif late := [number for number, status in enumerate(self.standing, 1) if status.next < limit]:
                for number in late:
                    self._run_node(number, limit, lookahead)
            else:
                for link in self.links:
                    link.forget(limit)
                if limit >= FOREVER:
                    self._reached(max(status.now for status in self.standing))
                    return ClusterStop.WEDGED
                self._reached(limit)
                if limit == deadline:
                    return ClusterStop.TIME if time < FOREVER or self.faults else ClusterStop.WEDGED
                self._befall(self.faults.pop(0))
                lookahead = self._lookahead()
        return ClusterStop.ASKED

    def stop(self) -> None:
        """Makes `run` come back after what is under way in the node that runs."""
        self.stopping = True
        for link in self.links:
            link.stop()

    def _reached(self, time: int) -> None:
        """Every node has come to `time`."""
        if time > self.time:
            self.time = time
            if self.witness is not None:
                self.witness.reached(time)
            if self.reached is not None:
                self.reached(time)

    def _lookahead(self) -> int:
        return min((segment.properties.shortest for segment in self.segments), default=FOREVER)

    def _next_fault(self) -> int:
        return self.faults[0].time if self.faults else FOREVER

    def _first(self) -> tuple[int, int]:
        """The node that may send next: when at the earliest, and its number."""
        while self.order and self.times[self.order[0][1]] != self.order[0][0]:
            heappop(self.order)
        return self.order[0] if self.order else (FOREVER, 0)

    def _ask_all(self) -> None:
        """Asks each node how it stands."""
        self.standing = [link.status() for link in self.links]
        self.times = {number: status.send for number, status in enumerate(self.standing, 1)}
        self.order = [(time, number) for number, time in self.times.items()]
        heapify(self.order)
        for number, status in enumerate(self.standing, 1):
            self._offer(number, status.sent)

    def _note(self, number: int, status: Status) -> None:
        """What a node has answered."""
        self.standing[number - 1] = status
        if status.send != self.times[number]:
            self.times[number] = status.send
            heappush(self.order, (status.send, number))
        if status.sent:
            self._offer(number, status.sent)

    def _run_node(self, number: int, limit: int, lookahead: int) -> None:
        """Runs a node up to the first time at which a frame that is not known yet could reach it, or to `limit`."""
        self.times[number] = -1
        others, _ = self._first()
        if self.offers:
            others = min(others, self.offers[0].time)
        self.running = number
        self.board[board.NODE] = number
        try:
            status = self.links[number - 1].run(min(limit, others + lookahead))
        except UserError as error:
            raise UserError(f"node {self._name(number)} {error}") from error
        self.running = 0
        self._note(number, status)
        if status.reboots:
            self._power_on(number, status.now)

    # Frames

    def _offer(self, number: int, frames: Sequence[Sent]) -> None:
        """A node wants to send frames."""
        for time, serial, interface, frame in frames:
            insort(self.offers, Offer(time, number, serial, interface, frame))

    def _carry(self, offer: Offer) -> None:
        """A frame has its turn on its segment."""
        number = self.spec.nodes[offer.node - 1].nics[NIC_NAMES[offer.interface]]
        segment = self.segments[number]
        carried = segment.carry(Station(offer.node, offer.interface), offer.time, len(offer.frame))
        missed = carried.missed
        for time, station in carried.heard:
            self.arrivals += 1
            arrival = Arrival(time, self.arrivals, station.interface, offer.frame)
            status = self.links[station.node - 1].hear(arrival, offer.time)
            if isinstance(status, str):
                missed.append(Missed(time, station, status))
            elif status is not None:
                self._note(station.node, status)
        if self.witness is not None:
            self.witness.carried(offer.time, segment, Station(offer.node, offer.interface), offer.frame, carried)

    # Faults

    def _befall(self, fault: Fault) -> None:
        if isinstance(fault, Action):
            self._act(fault)
            return
        if self.witness is not None:
            self.witness.befell(fault)
        if isinstance(fault, Partition):
            self.segments[fault.segment].islands = fault.groups
        elif isinstance(fault, Heal):
            self.segments[fault.segment].heal()
        elif isinstance(fault, Cut):
            self.segments[fault.segment].cuts.append(fault)
        elif isinstance(fault, Mend):
            if fault.cut in self.segments[fault.segment].cuts:  # nobody has healed the segment meanwhile
                self.segments[fault.segment].cuts.remove(fault.cut)
        elif isinstance(fault, SetSegment):
            segment = self.segments[fault.segment]
            segment.properties = segment.properties._replace(**dict(fault.changes))  # type: ignore[arg-type]
        else:
            self._befall_node(fault, self.links[fault.node - 1])

    def _act(self, action: Action) -> None:
        if isinstance(action, StartServer | ReplaceServer) and isinstance(action.server, ServerSpec):
            self.started[action.server.name] = None
        seed = Stream(self.seed, f"action of {self._name(action.node)} at {action.time}").word()
        status, why = self._of_node(action.node, lambda: self.links[action.node - 1].act(action, seed))
        self._note(action.node, status)
        if why:
            self.undone.append(
                f"at {time_text(action.time)}: node {self._name(action.node)}: {NAMES[type(action)]} {action.told()}: {why}"
            )
        if self.witness is not None:
            self.witness.befell(action, why)

    def _befall_node(self, fault: NodeFault, link: NodeLink) -> None:
        if isinstance(fault, Crash | Restart):
            self._note(fault.node, link.crash())
            self.offers = [offer for offer in self.offers if offer.node != fault.node]
            if isinstance(fault, Restart):
                self._power_on(fault.node, fault.time)
        else:
            self._note(fault.node, link.pause() if isinstance(fault, Pause) else link.resume(fault.time))

    # Saving

    def digest(self) -> str:
        """SHA-256 over everything that is in the cluster, by its nodes' digests: equal digests, equal clusters."""
        self._ask_all()
        digests = tuple(self._of_node(number, link.digest) for number, link in enumerate(self.links, 1))
        return saved.digest((self, digests), saved.NO_RAM)

    def save(self, path: Path) -> None:
        """Writes the whole cluster to a file."""
        self._ask_all()
        parts = [saved.part(self), *(self._of_node(number, link.save) for number, link in enumerate(self.links, 1))]
        powered = tuple(number for number, status in enumerate(self.standing, 1) if status.powered)
        origin = changes.Origin(powered, changes.settings(self.spec), self.spec.faults, tuple(self.started))
        saved.save(path, saved.FileKind.CLUSTER, parts, origin)

    def snapshot(self) -> ClusterSnapshot:
        """The cluster as it is, to go back to with `restore`. All its nodes must run in this process.

        UserError where a node writes a disk image: the file cannot go back.
        """
        self._ask_all()
        nodes = [self._of_node(number, node.snapshot) for number, node in enumerate(self.nodes, 1)]
        return ClusterSnapshot(snapshot.take(self, memoryview(b""), {}), tuple(nodes))

    def restore(self, earlier: ClusterSnapshot) -> None:
        """Makes the cluster what it was. Nobody watches its nodes' kernels, which are other objects."""
        then = earlier.cluster.state()
        for name in fields(Cluster):
            setattr(self, name, getattr(then, name))
        for node, taken in zip(self.nodes, earlier.nodes, strict=True):
            node.restore(taken)
        if self.witness is not None:
            self.witness.flying.clear()
        self._ask_all()

    def _of_node(self, number: int, ask: Callable[[], T]) -> T:
        """A node's answer; what is wrong with it names the node."""
        try:
            return ask()
        except UserError as error:
            raise UserError(f"node {self._name(number)} {error}") from None

    @classmethod
    def load(cls, path: Path, spec: ClusterSpec) -> Cluster:
        """The cluster that a file holds, ready to run on. spec: its cluster file, which grants it disks and programs.

        What is other in the cluster file than when it was saved holds from now on where that can be. UserError, which names the
        key, where it cannot.
        """
        load_all()
        resumed: list[ClusterNode] = []
        with saved.SavedFile(path, saved.FileKind.CLUSTER) as file:
            try:
                origin = changes.origin_of(file.head)
                powered = changes.check(origin, spec)
                servers = (server for node in spec.nodes if node.number in powered for server in node.servers)
                named = (server.name for server in servers if isinstance(server, ServerSpec))
                for name in dict.fromkeys((*named, *origin.started)):
                    load_server(name)
                parts = list(file.parts())
                root = parts[0][0] if parts else None
                if not isinstance(root, cls):
                    raise ValueError("its root is no cluster")
                root._resume(parts[1:], spec, resumed)
                root._change(origin)
                root.check_invariants()
            except Exception as error:
                for node in resumed:
                    node.power_off()
                if isinstance(error, UserError):
                    text = str(error)
                    raise UserError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from None
                # Whatever the graph of objects in a file may be wrong in, it is the file that is wrong.
                why = error or type(error).__name__
                raise UserError(f"{path}: is damaged: it holds no cluster that could be: {why}") from None
        return root

    def _resume(self, parts: Sequence[tuple[object, mmap | None]], spec: ClusterSpec, resumed: list[ClusterNode]) -> None:
        """Puts what was loaded onto new machines, those of `resumed`; believes nothing of it unseen."""
        for number, (segment, named) in enumerate(zip(self.segments, spec.segments, strict=True)):
            if segment.name != named.name or segment.stations != stations_of(spec, number):
                raise ValueError("its segments are not those of its cluster file")
        nodes = []
        for (node, ram), given in zip(parts, spec.nodes, strict=True):
            if not isinstance(node, ClusterNode):
                raise ValueError("one of its nodes is none")
            if (node.number, node.name, tuple(node.disks)) != (given.number, given.name, tuple(given.disks)):
                raise ValueError("its nodes are not those of its cluster file")
            node.attach(given)
            if (node.kernel is None) is not (ram is None):
                raise ValueError("a node has power and no memory, or memory and no power")
            if ram is not None:
                resumed.append(node)
                node.rebuild(ram)
            nodes.append(node)
        self._join(spec, nodes, nodes)

    def _change(self, origin: changes.Origin) -> None:
        """What is other in the cluster file than it was holds from the time on to which every node has come."""
        self.faults = changes.faults(origin, self.faults, self.spec, max(self.time, *(status.now for status in self.standing)))
        check_actions(self.faults, self.spec)

    def check_invariants(self) -> None:
        """InvariantError where what is under way is not as it must be."""
        if self.offers != sorted(self.offers) or self.faults != sorted(self.faults, key=lambda fault: fault.time):
            raise InvariantError("frames or faults are out of order")
        if any(status.next < self.time for status in self.standing):
            raise InvariantError("a node has not come to the time to which all have come")
        for offer in self.offers:
            if self.spec.nodes[offer.node - 1].nics.get(NIC_NAMES[offer.interface]) is None:
                raise InvariantError("a frame is sent by an interface that is not there")
        for node in self.nodes:
            node.check_invariants()


def stations_of(spec: ClusterSpec, segment: int) -> list[Station]:
    """The interfaces that the cluster file joins to a segment."""
    return [
        Station(node.number, number)
        for node in spec.nodes
        for number, name in enumerate(NIC_NAMES)
        if node.nics.get(name) == segment
    ]
