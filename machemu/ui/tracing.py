"""How the events of nodes become a trace on a stream."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Protocol

from machemu.sim.output import Output, TextOutput
from machemu.trace.events import Tracer
from machemu.trace.filters import Filter, Wanted
from machemu.ui.calls import Calls
from machemu.ui.strace import Strace
from machemu.ui.timeline import Lines, TextLines, Timeline
from machemu.ui.trace_options import wanted


class Trace(Protocol):
    """A trace that is being written. Nodes have numbers from 1; a machine alone is node 1."""

    def start(self, node: int, now: Callable[[], int]) -> Tracer:
        """Who is to hear of a node that begins to run; what was heard of it before is ended. now: its clock."""

    def end(self, node: int) -> None:
        """A node has ended: a call that is under way is shown as far as it has come."""

    def reached(self, time: int) -> None:
        """Nothing earlier than `time` will come."""

    def finish(self, last: int | None = None) -> None:
        """The run is over. What is later than `last` is dropped."""


class TextTrace:
    """Lines as text. names: of a cluster's nodes, () for a machine alone, whose lines go out at once."""

    def __init__(self, out: Output, names: Sequence[str], which: Wanted, full: bool) -> None:
        self.out = out
        self.timeline = Timeline(out, names, out.isatty()) if names else None
        self.which = which
        self.view = Strace if full else Calls
        self.views: dict[int, Strace | Calls] = {}

    def start(self, node: int, now: Callable[[], int]) -> Tracer:
        self.end(node)
        out = TextOutput(self.out) if self.timeline is None else TextLines(Lines(self.timeline, node, now))
        view = self.views[node] = self.view(out)
        return view if self.which.all else Filter(view, self.which)

    def end(self, node: int) -> None:
        if node in self.views:
            self.views.pop(node).finish()

    def reached(self, time: int) -> None:
        if self.timeline is not None:
            self.timeline.reached(time)

    def finish(self, last: int | None = None) -> None:
        for node in list(self.views):
            self.end(node)
        if self.timeline is not None:
            self.timeline.finish(last)


def begin(options: argparse.Namespace, out: Output, names: Sequence[str] = ()) -> Trace:
    """The trace that the options ask for. names: as in `TextTrace`."""
    return TextTrace(out, names, wanted(options), options.trace_full)
