"""The nodes of a cluster as Python has them, and how all of them go on and back together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from machemu.cluster.cluster import Cluster as Inner
from machemu.cluster.cluster import ClusterSnapshot, ClusterStop
from machemu.cluster.node import ClusterNode
from machemu.core.kernel import FOREVER, Kernel
from machemu.core.observe import unwatch, watch
from machemu.lab.checks import checked
from machemu.lab.console import Console, Place
from machemu.lab.errors import UsageError
from machemu.lab.hooks import Hook, Hooks
from machemu.lab.looks import Looks
from machemu.lab.subject import Worker
from machemu.lab.travel import StepKind
from machemu.sim import files
from machemu.trace.events import Tracer

if TYPE_CHECKING:
    from machemu.lab.cluster import Cluster

INPUT_MAX: Final = 256 << 20


class ClusterPoint(NamedTuple):
    """Where a cluster is in its run: all nodes have come to `time`, virtual nanoseconds. acts: how often something was done to it
    from outside."""

    time: int
    acts: int


class ClusterState(NamedTuple):
    """A snapshot, and where each console was."""

    snapshot: ClusterSnapshot
    consoles: tuple[Place, ...]
    acts: int

    def parts(self) -> Iterator[bytes]:
        return self.snapshot.parts()


class Member(Looks):
    """A node of a cluster: what is in it, its console, and hooks on its events."""

    def __init__(self, cluster: Cluster, node: ClusterNode, reads: bool) -> None:
        self._cluster = cluster
        self.node = node
        """Its inside, of which nothing is promised to stay."""
        self._folder = node.spec.folder
        given = b"" if node.spec.input is None or not reads else files.read(node.spec.input, INPUT_MAX, "what the console reads")
        self.console = Console(self._type, given, cluster.screen, self._now)
        self.hooks = Hooks(cluster.stop)
        self.tracers: list[Tracer] = []
        """Who hears of its events beside its hooks, through restarts too."""
        self.join(node)
        node.switched_on = self._switched_on

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def kernel(self) -> Kernel:
        """As Looks.kernel. UsageError where the node has no power."""
        self._cluster.inner  # noqa: B018  closed clusters say so
        if self.node.kernel is None:
            raise UsageError(f"node {self.name} has no power: `restart` it")
        return self.node.kernel

    @property
    def powered(self) -> bool:
        return self.node.kernel is not None

    def __repr__(self) -> str:
        if self.node.kernel is None:
            return f"<node {self.name}, no power>"
        kernel = self.node.kernel
        state = "paused" if self.node.paused else "idle" if self.node.idle else "running"
        return f"<node {self.name}, {kernel.cpu.architecture}, {state}, {kernel.trap_count} traps>"

    def _switched_on(self, node: ClusterNode) -> None:
        self.console.rewind()
        self.join(node)

    def join(self, node: ClusterNode) -> None:
        """Its kernel is another one."""
        if node.kernel is not None:
            if self.console.write not in node.kernel.console.sinks:
                node.kernel.console.sinks.append(self.console.write)
            self._cluster._join(node.kernel)
            node.kernel.input_sources = [self.console.source]
            for tracer in self.tracers:
                watch(node.kernel, tracer)
        self.hooks.join(node.kernel)

    @contextmanager
    def traced(self, tracer: Tracer) -> Iterator[None]:
        """A tracer hears of its events meanwhile, also when it boots anew."""
        self.tracers.append(tracer)
        if self.powered:
            watch(self.kernel, tracer)
        try:
            yield
        finally:
            self.tracers.remove(tracer)
            if self.powered:
                unwatch(self.kernel, tracer)

    @checked()
    def on(self, kind: str, hook: Callable[[Any], None]) -> Hook:
        """As Machine.on, for the events of this node."""
        return self.hooks.add(kind, hook)

    def _now(self) -> int:
        return self.kernel.kern.clock.now()

    def _type(self, data: bytes) -> None:
        self._cluster.act(lambda: self.kernel.console.receive(data))


class Members(dict[str, Member]):
    """The nodes of a cluster by their names. UsageError for a name that none has."""

    def __missing__(self, name: object) -> Member:
        raise UsageError(f"no node {name}: there are {', '.join(self)}")


class Clusters(Worker):
    """history.Subject. levels: a run that is stopped ends at a time to which all nodes have come."""

    def __init__(self, inner: Inner, members: Sequence[Member], levels: bool) -> None:
        self.inner = inner
        self.members = members
        self.levels = levels
        super().__init__()

    def kernels(self) -> Iterator[Kernel]:
        return (node.kernel for node in self.inner.nodes if node.kernel is not None)

    def stop(self) -> None:
        self.inner.stop()

    def here(self) -> ClusterPoint:
        return ClusterPoint(self.inner.time, self.acts)

    def run(self, time: int) -> ClusterStop:
        """Until all nodes have come to a time, or it is asked to stop; then all come to where the first of them is."""
        stop = self.inner.run(time)
        if self.levels and stop in (ClusterStop.ASKED, ClusterStop.INTERRUPTED):
            self.inner.interrupt.asked, asked = False, self.inner.interrupt.asked
            ahead = max(self.inner.time, *(status.now for status in self.inner.standing))
            while self.inner.run(ahead) is ClusterStop.ASKED:
                pass
            self.inner.interrupt.asked = asked
        self.account()
        return stop

    def catch_up(self, member: Member, limit: int = FOREVER) -> None:
        """All come to where one node is, which may be ahead of the others, or to a time before."""
        if member.powered:
            self.run(min(limit, max(self.inner.time, member.kernel.kern.clock.now())))

    def steps_since(self, first: ClusterPoint, member: Member, kind: StepKind) -> int:
        """How many steps of a node back there can be at most to an earlier point. Each takes virtual time, or lies before or
        after what was done from outside."""
        here = self.here()
        times = here.time - first.time
        if kind is StepKind.INSTRUCTION:
            times //= member.node.spec.profile.instruction_ns
        return times + 2 * (here.acts - first.acts)

    def reach(self, point: ClusterPoint) -> None:
        if self.inner.time < point.time:
            self.run(point.time)

    def take(self) -> ClusterState:
        consoles = tuple(member.console.place for member in self.members)
        return ClusterState(self.inner.snapshot(), consoles, self.acts)

    def restore(self, state: ClusterState) -> None:
        self.inner.restore(state.snapshot)
        for member, node, place in zip(self.members, self.inner.nodes, state.consoles, strict=True):
            member.console.go(place)
            member.join(node)
        self.acts = state.acts
        self.begin()

    def after_act(self, point: ClusterPoint) -> ClusterPoint:
        return point._replace(acts=point.acts + 1)
