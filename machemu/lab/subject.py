"""A machine as what goes back and forth in a history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from machemu.boot.node import Node
from machemu.core.kernel import FOREVER, Kernel, Stop
from machemu.device.block import DiskDriver
from machemu.lab.console import Console, Place
from machemu.lab.travel import Point, StepKind, advance, here, reach, step
from machemu.sim.snapshot import Snapshot

INSTRUCTIONS: Final = 2000
"""So many instructions are as much work as a trap."""


class State(NamedTuple):
    """A snapshot of the machine, and where its console was. acts: as of its point."""

    snapshot: Snapshot
    console: Place
    acts: int

    def parts(self) -> Iterable[bytes]:
        return (self.snapshot.graph, *self.snapshot.pages.values())


class Kept(NamedTuple):
    """A state, with what the console had printed: it may be gone back to from another run, and in another machine of its kind.
    kind: see `Machines.kind`."""

    state: State
    printed: bytes
    kind: str

    def __repr__(self) -> str:
        snapshot = self.state.snapshot
        return f"<snapshot, {len(snapshot.graph) >> 10} KiB and {len(snapshot.pages)} pages>"


class Worker(ABC):
    """How much a history.Subject has done, and how often something was done to it."""

    def __init__(self) -> None:
        self.work = 0
        self.acts = 0
        self.begin()

    @abstractmethod
    def kernels(self) -> Iterable[Kernel]:
        """Of those machines that have power."""

    def begin(self) -> None:
        """What comes from here on is what counts."""
        self._traps = sum(kernel.trap_count for kernel in self.kernels())
        self._executed = sum(kernel.cpu.executed for kernel in self.kernels())

    def account(self) -> None:
        """Adds what was done since. Where a machine has lost its power meanwhile, what it had done before may be missing."""
        traps, executed = self._traps, self._executed
        self.begin()
        self.work += max(0, self._traps - traps) + max(0, self._executed - executed) // INSTRUCTIONS


class Machines(Worker):
    """history.Subject. joined: is called with each kernel that the node gets."""

    def __init__(self, node: Node, console: Console, joined: Callable[[Kernel], None]) -> None:
        self.node = node
        self.console = console
        self.joined = joined
        super().__init__()
        self._listen()

    def kernels(self) -> Iterable[Kernel]:
        return (self.node.kernel,)

    def stop(self) -> None:
        self.node.kernel.stop()

    def _listen(self) -> None:
        """The sinks of the console stay joined when a node is restored."""
        sinks = self.node.kernel.console.sinks
        if self.console.write not in sinks:
            sinks.append(self.console.write)

    @property
    def kernel(self) -> Kernel:
        return self.node.kernel

    @property
    def kind(self) -> str:
        """What must be the same of machines that take over each other's state."""
        kernel = self.kernel
        disks = [driver.name for driver in kernel.devices.drivers if isinstance(driver, DiskDriver)]
        size = kernel.memory.frame_count * kernel.memory.frame_size
        return f"a machine of {kernel.cpu.architecture} with {size >> 20}M of memory and {', '.join(disks) or 'no'} disks"

    def steps_since(self, first: Point, kind: StepKind) -> int:
        """How many steps back there can be at most to an earlier point. Each ends after a trap, a turn or an instruction, and
        before or after what was done from outside."""
        here = self.here()
        most = here.traps - first.traps + here.turns - first.turns + 2 * (here.acts - first.acts)
        return most + (here.time - first.time) // self.instruction_ns if kind is StepKind.INSTRUCTION else most

    @property
    def instruction_ns(self) -> int:
        """Nanoseconds of an instruction."""
        return self.node.kernel.kern.clock.instruction_ns

    def here(self) -> Point:
        return here(self.node.kernel)._replace(acts=self.acts)

    def advance(self, deadline: int = FOREVER, traps: int | None = None, turns: int | None = None) -> Stop:
        """As travel.advance."""
        stop = advance(self.node.kernel, deadline, traps, turns)
        self.account()
        return stop

    def step(self, kind: StepKind) -> Stop:
        """As travel.step."""
        stop = step(self.node.kernel, kind)
        self.account()
        return stop

    def reach(self, point: Point) -> None:
        reach(self.node.kernel, point)
        self.account()

    def after_act(self, point: Point) -> Point:
        return point._replace(acts=point.acts + 1)

    def take(self) -> State:
        return State(self.node.snapshot(), self.console.place, self.acts)

    def restore(self, state: State) -> None:
        self.node.restore(state.snapshot)
        self.console.go(state.console)
        self.acts = state.acts
        self.begin()
        self._listen()
        self.joined(self.node.kernel)
