"""A machine as what goes back and forth in a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from machemu.boot.node import Node
from machemu.core.kernel import FOREVER, Kernel, Stop
from machemu.lab.console import Console, Place
from machemu.lab.travel import Point, advance, here, reach
from machemu.sim.snapshot import Snapshot

INSTRUCTIONS: Final = 256
"""So many instructions are as much work as a trap."""


class State(NamedTuple):
    """A snapshot of the machine, and where its console was. acts: as of its point."""

    snapshot: Snapshot
    console: Place
    acts: int

    def parts(self) -> Iterable[bytes]:
        return (self.snapshot.graph, *self.snapshot.pages.values())


class Kept(NamedTuple):
    """A state, with what the console had printed: it may be gone back to from another run."""

    state: State
    printed: bytes

    def __repr__(self) -> str:
        snapshot = self.state.snapshot
        return f"<snapshot, {len(snapshot.graph) >> 10} KiB and {len(snapshot.pages)} pages>"


class Machines:
    """history.Subject. joined: is called with each kernel that the node gets."""

    def __init__(self, node: Node, console: Console, joined: Callable[[Kernel], None]) -> None:
        self.node = node
        self.console = console
        self.joined = joined
        self.work = 0
        self.acts = 0
        self._counted = self._executed = 0
        self._follow()

    def _follow(self) -> None:
        """The sinks of the console stay joined when a node is restored."""
        sinks = self.node.kernel.console.sinks
        if self.console.write not in sinks:
            sinks.append(self.console.write)
        self._begin()

    def _begin(self) -> None:
        kernel = self.node.kernel
        self._counted, self._executed = kernel.trap_count, kernel.cpu.executed

    def account(self) -> None:
        """Adds what was done since."""
        kernel = self.node.kernel
        self.work += kernel.trap_count - self._counted + (kernel.cpu.executed - self._executed) // INSTRUCTIONS
        self._begin()

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
        self._follow()
        self.joined(self.node.kernel)
