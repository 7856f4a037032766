"""When things that are looked for come in nodes of a cluster.

A node runs in pieces that end where one came. It may be ahead of the others then: the point of the cluster's run at which it has
come is found by going there again, to a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol

from machemu.cluster.node import ClusterNode
from machemu.core.kernel import FOREVER, Kernel, Stop
from machemu.lab.sought import Hit, Place, Sought
from machemu.lab.travel import runs_instructions


class Watched(Place, Protocol):
    """A node of a cluster."""

    @property
    def node(self) -> ClusterNode: ...

    @property
    def powered(self) -> bool: ...


class Moment(NamedTuple):
    """Something came in a piece of a node's run. begin, end: the node's clock before and after it; pieces that take no time
    belong to what was before. which: by its place among what is looked for. number: how often it has come since they are
    counted."""

    begin: int
    end: int
    which: int
    number: int
    hit: Hit


class Moments:
    """sought: what is looked for, each in a node. found: is called whenever one comes. all: when they came, each node's in
    order."""

    def __init__(self, sought: Sequence[tuple[Watched, Sought]], found: Callable[[], None] = lambda: None) -> None:
        self._found = found
        self._of: dict[Watched, list[tuple[int, Sought]]] = {}
        for number, (member, each) in enumerate(sought):
            self._of.setdefault(member, []).append((number, each))
        self._kernels: dict[Watched, Kernel] = {}
        self._begins: dict[Watched, int] = {}
        self._ends: dict[Watched, int] = {}
        self._counts = [0] * len(sought)
        self.all: list[Moment] = []

    def begin(self) -> list[Moment]:
        """What has come so far; they are counted anew from here on."""
        came, self.all = self.all, []
        self._counts = [0] * len(self._counts)
        return came

    @contextmanager
    def watching(self, fresh: bool = True) -> Iterator[None]:
        """Also when nodes boot anew meanwhile. fresh: as Sought.begin."""
        try:
            for member in self._of:
                member.node.pace = partial(self._run, member)
                if member.powered:
                    self._begin(member, fresh)
            yield
        finally:
            for member, sought in self._of.items():
                member.node.pace = None
                if member.powered:
                    for _, each in sought:
                        each.end(member)

    def _begin(self, member: Watched, fresh: bool) -> None:
        self._kernels[member] = member.kernel
        for _, each in self._of[member]:
            each.begin(member, fresh)

    def _run(self, member: Watched, horizon: int) -> Stop:
        """ClusterNode.pace."""
        kernel = member.kernel
        if kernel is not self._kernels.get(member):
            self._begin(member, False)
        clock = kernel.kern.clock
        before = clock.now()
        if before > self._ends.get(member, before):  # it was idle
            self._begins[member] = self._ends[member]
        slow = any(each.slow for _, each in self._of[member])
        if slow:
            self._ask(member)  # a frame that was heard since may have brought it
        if any(each.fine for _, each in self._of[member]) and runs_instructions(kernel):
            horizon = min(horizon, before + 1)
        stop = kernel.run(horizon, 1 if slow else None, 1 if slow else None, wait=False)
        if stop in (Stop.ASKED, Stop.TRAPS):
            kernel.run(clock.now(), wait=False)  # as travel.advance
        if clock.now() > before:
            self._begins[member] = before
        self._ends[member] = clock.now()
        self._ask(member)
        return stop

    def _ask(self, member: Watched) -> None:
        now = member.kernel.kern.clock.now()
        for number, each in self._of[member]:
            hit = each.came(member)
            if hit is not None:
                self._counts[number] += 1
                self.all.append(Moment(self._begins.get(member, now), now, number, self._counts[number], hit))
                self._found()


class Timed(Protocol):
    """A cluster, whose run is cut by time."""

    def run(self, time: int) -> object: ...

    def catch_up(self, member: Any, limit: int) -> None:
        """All nodes come to where one is, which may be ahead, or to a time before."""


def settle(cluster: Timed, watched: Watched, sought: Sought, moment: Moment, limit: int = FOREVER) -> None:
    """Goes on, from where the moments were begun to be counted, to the first time at which one has come, or to `limit`."""
    seen = Moments([(watched, sought)])
    with seen.watching():
        cluster.run(min(moment.end, limit))
        if len(seen.all) < moment.number:  # it took no time, and followed what ended there
            cluster.run(min(moment.end + 1, limit))
    cluster.catch_up(watched, limit)
