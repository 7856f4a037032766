"""Any number of nodes under one virtual clock.

The simulation is conservative. A frame arrives no earlier than `shortest` after it was sent, and takes time into its interface
before: so a node may run until the earliest time at which a frame that is not known yet could reach it. It comes back when it
sends. What has been sent takes its turn on its segment once no node can send anything earlier; faults come between. So nothing
depends on the order in which the nodes happen to run, nor on where a run is cut: what is sent goes by time, node, the node's own
order.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from machemu.abi.errors import InvariantError, UserError
from machemu.boot.node import Node
from machemu.cluster import changes
from machemu.cluster.faults import Crash, Fault, Heal, Partition, Pause, Restart, Resume, SetSegment
from machemu.cluster.file import ClusterSpec, ServerSpec
from machemu.cluster.lan import Segment, Station
from machemu.cluster.node import NIC_NAMES, Arrival, ClusterNode
from machemu.cluster.servers import load_server
from machemu.core import board
from machemu.core.host_side import unsaved
from machemu.core.interrupt import Interrupt
from machemu.core.kernel import FOREVER
from machemu.kern.host import Halt
from machemu.sim import saved
from machemu.sim.graph import StateError
from machemu.sim.state import Time, state
from machemu.sim.streams import Stream


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


@state
class Cluster:
    """nodes, segments: as in the cluster file, in its order. time: as far as it was run. arrivals: frames heard so far.

    offers: frames that have not had their turn, the next one first. faults: those to come. Use as a context manager, or call
    `close`.

    Transient: spec, the cluster file; stopping; order, a heap of nodes by when they may send next, which may hold entries that
    are out of date, and times, which of them are not; slack, by how much that may be later than what they do next; board, where
    its node and thread are told; running, the node that runs now, or that failed; and who watches: `powered` is called with a
    node that was switched on, before it runs; `captured` with a segment's number, the time at which a frame's last bit is on
    the wire, and the frame; `reached` with a time before which nothing more will happen.
    """

    __slots__ = (
        "seed", "time", "nodes", "segments", "offers", "faults", "arrivals",
        "spec", "stopping", "order", "times", "slack", "running", "interrupt", "board", "powered",
        "captured", "reached",
    )  # fmt: skip
    TRANSIENT = ("spec", "stopping", "order", "times", "slack", "running", "interrupt", "board", "powered", "captured", "reached")
    seed: int
    time: Time
    nodes: list[ClusterNode]
    segments: list[Segment]
    offers: list[Offer]
    faults: list[Fault]
    arrivals: int

    def __init__(self, spec: ClusterSpec, seed: int | None = None) -> None:
        """Everything as the file says, the nodes without power. seed: instead of the file's."""
        self.seed = spec.seed if seed is None else seed
        self.time = 0
        self.nodes = [ClusterNode(node) for node in spec.nodes]
        self.segments = [
            Segment(segment.name, segment.properties, stations_of(spec, number), self.seed)
            for number, segment in enumerate(spec.segments)
        ]
        self.offers = []
        self.faults = list(spec.faults)
        self.arrivals = 0
        self._join(spec)

    def _join(self, spec: ClusterSpec) -> None:
        self.spec = spec
        self.stopping = False
        self.running: ClusterNode | None = None
        self.interrupt = Interrupt()
        self.board = board.new()
        self.order: list[tuple[int, int]] = []
        self.times: dict[int, int] = {}
        self.powered: Callable[[ClusterNode], None] | None = None
        self.captured: Callable[[int, int, bytes], None] | None = None
        self.reached: Callable[[int], None] | None = None
        self.slack = max(node.slack for node in self.nodes)
        for node in self.nodes:
            node.transmit = self._transmit(node)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the host's resources back."""
        for node in self.nodes:
            node.power_off()

    def boot(self) -> None:
        """Switches every node on, at time 0. UserError where one cannot be booted."""
        for node in self.nodes:
            self._power_on(node, 0)

    def _power_on(self, node: ClusterNode, time: int) -> None:
        try:
            node.power_on(time, Stream(self.seed, f"node {node.name} at {time}").word())
        except UserError as error:
            raise UserError(f"node {node.name}: {error}") from None
        if self.powered is not None:
            self.powered(node)

    # Running

    def run(self, deadline: int = FOREVER) -> ClusterStop:
        """Runs until virtual time `deadline`, or until `stop`, or until nothing can happen. Where it is cut changes nothing."""
        self.stopping = False
        self.times = {node.number: node.send_time() for node in self.nodes}
        self.order = [(time, number) for number, time in self.times.items()]
        heapify(self.order)
        lookahead = self._lookahead()
        while not self.stopping:
            if self.interrupt.asked:
                return ClusterStop.INTERRUPTED
            time, number = self._first()
            limit = min(deadline, self._next_fault())
            if self.offers and self.offers[0].time < min(time, self._next_fault()):
                self._carry(self.offers.pop(0))
            elif time < limit:
                self._reached(time - self.slack)
                self._run_node(self.nodes[number - 1], limit, lookahead)
            elif late := [node for node in self.nodes if node.next_time() < limit]:
                for node in late:
                    self._run_node(node, limit, lookahead)
            else:
                for node in self.nodes:
                    node.forget(limit)
                if limit >= FOREVER:
                    self._reached(max((n.kernel.kern.clock.now() for n in self.nodes if n.kernel is not None), default=0))
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
        for node in self.nodes:
            if node.kernel is not None:
                node.kernel.stop()

    def _reached(self, time: int) -> None:
        """Every node has come to `time`."""
        if time > self.time:
            self.time = time
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

    def _set_time(self, node: ClusterNode) -> None:
        """When a node may send next may have changed."""
        time = node.send_time()
        if time != self.times[node.number]:
            self.times[node.number] = time
            heappush(self.order, (time, node.number))

    def _run_node(self, node: ClusterNode, limit: int, lookahead: int) -> None:
        """Runs a node up to the first time at which a frame that is not known yet could reach it, or to `limit`."""
        self.times[node.number] = -1
        others, _ = self._first()
        if self.offers:
            others = min(others, self.offers[0].time)
        self.running = node
        self.board[board.NODE] = node.number
        try:
            node.run(min(limit, others + lookahead))
        except UserError as error:
            raise UserError(f"node {node.name} {error}") from error
        self.running = None
        kernel = node.kernel
        if kernel is not None and kernel.halted is Halt.REBOOT:
            time = kernel.kern.clock.now()
            node.power_off()
            self._power_on(node, time)
        self._set_time(node)

    # Frames

    def _transmit(self, node: ClusterNode) -> Callable[[int, int, bytes], None]:
        def transmit(time: int, interface: int, frame: bytes) -> None:
            node.frames += 1
            insort(self.offers, Offer(time, node.number, node.frames, interface, frame))

        return transmit

    def _carry(self, offer: Offer) -> None:
        """A frame has its turn on its segment."""
        number = self.nodes[offer.node - 1].spec.nics[NIC_NAMES[offer.interface]]
        end, heard = self.segments[number].carry(Station(offer.node, offer.interface), offer.time, len(offer.frame))
        if self.captured is not None:
            self.captured(number, end, offer.frame)
        for time, station in heard:
            self.arrivals += 1
            node = self.nodes[station.node - 1]
            if node.hear(Arrival(time, self.arrivals, station.interface, offer.frame), offer.time):
                self._set_time(node)

    # Faults

    def _befall(self, fault: Fault) -> None:
        if isinstance(fault, Partition):
            self.segments[fault.segment].islands = fault.groups
        elif isinstance(fault, Heal):
            self.segments[fault.segment].islands = ()
        elif isinstance(fault, SetSegment):
            segment = self.segments[fault.segment]
            segment.properties = segment.properties._replace(**dict(fault.changes))  # type: ignore[arg-type]
        else:
            self._befall_node(fault, self.nodes[fault.node - 1])

    def _befall_node(self, fault: Crash | Restart | Pause | Resume, node: ClusterNode) -> None:
        if isinstance(fault, Crash | Restart):
            node.power_off()
            node.inbox.clear()
            self.offers = [offer for offer in self.offers if offer.node != node.number]
            if isinstance(fault, Restart):
                self._power_on(node, fault.time)
        elif node.kernel is not None:
            node.paused = isinstance(fault, Pause)
            if not node.paused:
                node.pass_time(fault.time)
        self._set_time(node)

    # Saving

    def digest(self) -> str:
        """SHA-256 over everything that is in the cluster: equal digests, equal clusters."""
        with self._authors_told():
            return saved.digest_all(self, [machine.kernel.memory.view[machine.cpu.own_memory :] for machine in self._machines()])

    def save(self, path: Path) -> None:
        """Writes the whole cluster to a file."""
        with self._authors_told():
            rams = [machine.kernel.memory.view for machine in self._machines()]
            powered = tuple(node.number for node in self.nodes if node.machine is not None)
            origin = changes.Origin(powered, changes.settings(self.spec), self.spec.faults)
            saved.save(path, saved.Kind.CLUSTER, self, rams, origin)

    @contextmanager
    def _authors_told(self) -> Iterator[None]:
        """What cannot be saved of a host-side server is its author's mistake, a UserError that names the node."""
        try:
            yield
        except StateError as error:
            for node in self.nodes:
                if node.kernel is not None and (told := unsaved(node.kernel, error)) is not None:
                    raise UserError(f"node {node.name} {told}") from None
            raise

    def _machines(self) -> list[Node]:
        """Those that have power, ready to be looked at."""
        machines = [node.machine for node in self.nodes if node.machine is not None]
        for machine in machines:
            machine.kernel.kern.clock.fold()
        return machines

    @classmethod
    def load(cls, path: Path, spec: ClusterSpec) -> Cluster:
        """The cluster that a file holds, ready to run on. spec: its cluster file, which grants it disks and programs.

        What is other in the cluster file than when it was saved holds from now on where that can be. UserError, which names the
        key, where it cannot.
        """
        resumed: list[ClusterNode] = []
        with saved.SavedFile(path, saved.Kind.CLUSTER) as file:
            try:
                origin = changes.origin_of(file.head)
                powered = changes.check(origin, spec)
                servers = (server for node in spec.nodes if node.number in powered for server in node.servers)
                for name in dict.fromkeys(server.name for server in servers if isinstance(server, ServerSpec)):
                    load_server(name)
                root = file.root()
                if not isinstance(root, cls):
                    raise ValueError("its root is no cluster")
                root._resume(file.memories(), spec, resumed)
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

    def _resume(self, rams: list[mmap], spec: ClusterSpec, resumed: list[ClusterNode]) -> None:
        """Puts what was loaded onto new machines, those of `resumed`; believes nothing of it unseen."""
        for node, given in zip(self.nodes, spec.nodes, strict=True):
            if (node.number, node.name, tuple(node.disks)) != (given.number, given.name, tuple(given.disks)):
                raise ValueError("its nodes are not those of its cluster file")
            node.attach(given)
        for number, (segment, named) in enumerate(zip(self.segments, spec.segments, strict=True)):
            if segment.name != named.name or segment.stations != stations_of(spec, number):
                raise ValueError("its segments are not those of its cluster file")
        self._join(spec)
        left = iter(rams)
        for node in self.nodes:
            if node.kernel is not None:
                resumed.append(node)
                node.resume(next(left))
        if next(left, None) is not None:
            raise ValueError("it has a memory too many")

    def _change(self, origin: changes.Origin) -> None:
        """What is other in the cluster file than it was holds from the time on to which every node has come."""
        clocks = [node.kernel.kern.clock.now() for node in self.nodes if node.kernel is not None]
        self.faults = changes.faults(origin, self.faults, self.spec, max((self.time, *clocks)))

    def check_invariants(self) -> None:
        """InvariantError where what is under way is not as it must be."""
        if self.offers != sorted(self.offers) or self.faults != sorted(self.faults, key=lambda fault: fault.time):
            raise InvariantError("frames or faults are out of order")
        if any(node.next_time() < self.time for node in self.nodes):
            raise InvariantError("a node has not come to the time to which all have come")
        for offer in self.offers:
            if self.nodes[offer.node - 1].spec.nics.get(NIC_NAMES[offer.interface]) is None:
                raise InvariantError("a frame is sent by an interface that is not there")
        for node in self.nodes:
            if node.inbox != sorted(node.inbox) or (node.inbox and not node.kernel):
                raise InvariantError(f"frames for node {node.name} are not as they must be")
            if any(arrival.interface not in node.nics for arrival in node.inbox):
                raise InvariantError(f"a frame is for an interface that node {node.name} does not have")


def stations_of(spec: ClusterSpec, segment: int) -> list[Station]:
    """The interfaces that the cluster file joins to a segment."""
    return [
        Station(node.number, number)
        for node in spec.nodes
        for number, name in enumerate(NIC_NAMES)
        if node.nics.get(name) == segment
    ]
