"""How the events of nodes become a trace on a stream."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from machemu.export.json_lines import JsonLines
from machemu.export.perfetto import Perfetto
from machemu.sim.output import Output, TextOutput
from machemu.trace.events import Befell, ClusterEvent, FrameLost, TraceEvent, Tracer
from machemu.trace.filters import Filter, Wanted
from machemu.trace.words import cluster_text, owner
from machemu.ui.calls import Calls
from machemu.ui.strace import WHO_WIDTH, Strace
from machemu.ui.timeline import Lines, Ordered, TextLines, Timeline, stamp
from machemu.ui.trace_filters import wanted
from machemu.ui.trace_options import JSON, PERFETTO, TEXT

FORMATS: Final[dict[str, Callable[[Output], Format]]] = {JSON: JsonLines, PERFETTO: Perfetto}

CLUSTER = "cluster"
"""Who does what happens between nodes."""


class Trace(Protocol):
    """A trace that is being written. Nodes have numbers from 1; a machine alone is node 1."""

    def start(self, node: int, now: Callable[[], int]) -> Tracer:
        """Who is to hear of a node that begins to run; what was heard of it before is ended. now: its clock."""

    def happened(self, event: ClusterEvent) -> None:
        """Something happened between nodes."""

    def end(self, node: int) -> None:
        """A node has ended: a call that is under way is shown as far as it has come."""

    def reached(self, time: int) -> None:
        """Nothing earlier than `time` will come."""

    def finish(self, last: int | None = None) -> None:
        """The run is over. What is later than `last` is dropped."""


class TextTrace:
    """Lines as text. names: of a cluster's nodes, then of its segments; () for a machine alone, whose lines go out at once."""

    def __init__(self, out: Output, names: Sequence[str], which: Wanted, full: bool) -> None:
        self.out = out
        self.timeline = Timeline(out, names, out.isatty()) if names else None
        self.which = which
        self.numbers = {name: number for number, name in reversed(list(enumerate(names, 1)))}
        self.view = Strace if full else Calls
        self.views: dict[int, Strace | Calls] = {}

    def start(self, node: int, now: Callable[[], int]) -> Tracer:
        self.end(node)
        out = TextOutput(self.out) if self.timeline is None else TextLines(Lines(self.timeline, node, now))
        view = self.views[node] = self.view(out)
        return view if self.which.all else Filter(view, self.which)

    def happened(self, event: ClusterEvent) -> None:
        """A line for what goes wrong."""
        if self.timeline is not None and self.which.all and isinstance(event, Befell | FrameLost):
            text = f"{stamp(event.time)} {CLUSTER:<{WHO_WIDTH}} {cluster_text(event)}"
            self.timeline.add(event.time, self.numbers[owner(event)], text.encode(errors="backslashreplace"))

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


Thing = tuple[int, TraceEvent | ClusterEvent]
"""An event, and which boot of its node it is in; 0 for what happens between nodes."""


class Format(Protocol):
    """Events in a format of others' tools; see `export`."""

    def write(self, node: str, boot: int, event: TraceEvent | ClusterEvent) -> None: ...


class EventTrace:
    """Events in a format, each whole. names: as in `TextTrace`."""

    def __init__(self, format: Format, out: Output, names: Sequence[str], which: Wanted) -> None:
        self.format = format
        self.out = out
        self.names = names
        self.which = which
        self.boots: dict[int, int] = {}
        self.order: Ordered[Thing] = Ordered(self._write)

    def start(self, node: int, now: Callable[[], int]) -> Tracer:
        boot = self.boots[node] = self.boots.get(node, 0) + 1
        tracer = NodeTracer(self._write_now if not self.names else self.order.add, node, boot)
        return tracer if self.which.all else Filter(tracer, self.which)

    def happened(self, event: ClusterEvent) -> None:
        if self.which.all:
            self.order.add(event.time, 0, (0, event))

    def end(self, node: int) -> None: ...

    def reached(self, time: int) -> None:
        self.order.reached(time)

    def finish(self, last: int | None = None) -> None:
        self.order.finish(last)
        self.out.flush()

    def _write_now(self, time: int, node: int, thing: Thing) -> None:
        self.format.write("", *thing)

    def _write(self, things: Iterable[tuple[int, Thing]]) -> None:
        for node, (boot, event) in things:
            self.format.write(self.names[node - 1] if node else "", boot, event)


class NodeTracer:
    """Passes on what a node does, with its number and which of its boots it is."""

    def __init__(self, add: Callable[[int, int, Thing], None], node: int, boot: int) -> None:
        self.add = add
        self.node = node
        self.boot = boot

    def emit(self, event: TraceEvent) -> None:
        self.add(event.time, self.node, (self.boot, event))


def begin(options: argparse.Namespace, out: Output, names: Sequence[str] = ()) -> Trace:
    """The trace that the options ask for. names: as in `TextTrace`. UserError where the format needs what is not installed."""
    which = wanted(options)
    if options.trace_format == TEXT:
        return TextTrace(out, names, which, options.trace_full)
    return EventTrace(FORMATS[options.trace_format](out), out, names, which)
