"""When a node of a cluster makes its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from machemu.core.kernel import Kernel
from machemu.core.observe import unwatch, watch
from machemu.lab.travel import StepKind
from machemu.trace.events import MessageMoved, TraceEvent, Tracer, TrapEntered


class Watched(Protocol):
    """A node. tracers: hear of its events, through restarts too."""

    tracers: list[Tracer]

    @property
    def kernel(self) -> Kernel: ...

    @property
    def powered(self) -> bool: ...


class Moments:
    """When a node made its steps: a Tracer. times: to which the cluster is to be run, so that the step is done; one for each
    point at which the node can stop. after: those of then and earlier are left out. found: is called at each."""

    def __init__(self, member: Watched, kind: StepKind, after: int, found: Callable[[], None]) -> None:
        self.member = member
        self.kind = kind
        self.after = after
        self.found = found
        self.times: list[int] = []
        self._trap = 0
        self._owed = False
        """A message has moved inside a handler, which ends with the next trap."""

    def emit(self, event: TraceEvent) -> None:
        kernel = self.member.kernel
        if isinstance(event, TrapEntered):
            if kernel.in_handler:
                return
            self._trap = event.time + 1  # a trap takes time, and nothing stops inside it
            if self.kind is StepKind.TRAP or self._owed:
                self._owed = False
                self._add(self._trap)
        elif isinstance(event, MessageMoved) and self.kind is StepKind.MESSAGE:
            if kernel.in_handler:
                self._owed = True
            else:
                self._add(event.time if kernel.charged is None else self._trap)

    def _add(self, time: int) -> None:
        if time > self.after and self.times[-1:] != [time]:
            self.times.append(time)
            self.found()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Also when the node boots anew meanwhile."""
        self.member.tracers.append(self)
        if self.member.powered:
            watch(self.member.kernel, self)
        try:
            yield
        finally:
            self.member.tracers.remove(self)
            if self.member.powered:
                unwatch(self.member.kernel, self)
