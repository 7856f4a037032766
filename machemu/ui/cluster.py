"""The command line: `machemu cluster`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from machemu.abi.errors import UserError
from machemu.boot.script import module_paths
from machemu.cluster.cluster import Cluster, ClusterStop
from machemu.cluster.file import SEED_MAX, ClusterSpec, load_file
from machemu.cluster.node import ClusterNode
from machemu.cluster.pcap import Capture
from machemu.core.kernel import FOREVER
from machemu.core.observe import watch
from machemu.kern.host import Halt
from machemu.lab import report
from machemu.sim import files
from machemu.sim.units import counted, parse_time, time_text
from machemu.trace.events import Befell, ClusterEvent, FrameLost
from machemu.trace.words import cluster_text, owner
from machemu.ui import running, trace_options
from machemu.ui.crashes import Crashes, last_words
from machemu.ui.status import Status
from machemu.ui.streams import Streams
from machemu.ui.timeline import Lines, Timeline
from machemu.ui.tracing import Trace, begin


def run(options: argparse.Namespace) -> int:
    """The cluster command; its exit status."""
    trace_options.check(options)
    duration = FOREVER if options.duration is None else parse_time(options.duration)
    if options.save is not None:
        files.target_of(options.save)
    spec = load_file(options.file)
    files.keep_apart([options.trace_file, options.pcap, options.save], [options.file, *files_of(spec)])
    files.keep_apart([options.trace_file, options.pcap], [options.load])
    names = [node.name for node in spec.nodes]
    for name in options.traced or ():
        if name not in names:
            raise UserError(f"--trace-node {name}: there is no such node; there are {', '.join(names)}")
    with ExitStack() as stack:
        cluster = stack.enter_context(make_cluster(options, spec))
        view = View(options, cluster, stack)
        for node in cluster.nodes:
            view.watch(node)
            node.switched_on = view.watch
        if options.load is None:
            cluster.boot()
        return running.run(
            options,
            cluster,
            view,
            lambda: cluster.run(cluster.time + duration),
            lambda stop: explain(cluster, stop, options, view),
        )


def files_of(spec: ClusterSpec) -> Iterator[Path | None]:
    """What the nodes of a cluster read."""
    for node in spec.nodes:
        yield node.input
        yield from (disk.path for disk in node.disks.values())
        yield from (node.folder / path for path in module_paths(node.lines))


def make_cluster(options: argparse.Namespace, spec: ClusterSpec) -> Cluster:
    if options.load is not None:
        if options.seed is not None:
            raise UserError("--load goes on with a saved cluster: it takes no seed")
        return Cluster.load(options.load, spec)
    if options.seed is not None and not 0 <= options.seed < SEED_MAX:
        raise UserError(f"--seed {options.seed}: a seed is a number from 0 to 2^64 - 1")
    return Cluster(spec, options.seed)


class View:
    """The nodes' consoles on standard output, their traces, what becomes of their guests. seen: a line of --until has come."""

    def __init__(self, options: argparse.Namespace, cluster: Cluster, stack: ExitStack) -> None:
        self.cluster = cluster
        self.streams = Streams(options, cluster.stop, stack)
        cluster.interrupt = options.interrupt
        cluster.board = options.board.numbers
        options.board.begin(cluster.time, 0)
        options.board.describe, options.board.finish = self._last_words, self._end_early
        self.crashes = Crashes(self.streams.errors.line)
        self.until = None if options.until is None else options.until.encode(errors="surrogateescape")
        self.seen = False
        self.names = [node.name for node in cluster.nodes]
        segments = [segment.name for segment in cluster.segments]
        self.owners = {name: number for number, name in reversed(list(enumerate((*self.names, *segments), 1)))}
        self.events = options.events
        shown = [*self.names, *segments] if self.events else self.names
        self.console = Timeline(self.streams.out, shown, self.streams.out.isatty(), options.times)
        self.trace = self._trace(options, segments) if trace_options.is_wanted(options) or options.traced else None
        self.traced = options.traced
        self.lines: dict[int, Lines] = {}
        self.ended_at: int | None = None
        cluster.reached = self.reached
        self.capture = None if options.pcap is None else Capture(self.streams.create(options.pcap), segments)
        if self.events or self.trace is not None or self.capture is not None:
            cluster.watch(self._happened)

    def _trace(self, options: argparse.Namespace, segments: list[str]) -> Trace:
        out = self.streams.errors if options.trace_file is None else self.streams.create(options.trace_file)
        return begin(options, out, [*self.names, *segments])

    def watch(self, node: ClusterNode) -> None:
        """Shows what a node prints from now on, where it has power."""
        kernel = node.kernel
        if kernel is None:
            return
        self._end(node.number)
        kernel.interrupt, kernel.board = self.cluster.interrupt, self.cluster.board
        clock = kernel.kern.clock
        lines = self.lines[node.number] = Lines(self.console, node.number, clock.now, self._line)
        kernel.console.sinks.append(lines.write)
        if node.spec.input is not None:
            kernel.input_sources.append(self.streams.open_input(node.spec.input))
        self.crashes.watch(kernel, f"machemu: node {node.name}: ", node.spec.folder)
        if self.trace is not None and (self.traced is None or node.name in self.traced):
            watch(kernel, self.trace.start(node.number, clock.now))

    def _happened(self, event: ClusterEvent) -> None:
        """Something happened between nodes."""
        if self.events and isinstance(event, Befell | FrameLost):
            text = f"-- {cluster_text(event)}" + ("" if self.console.times else f", at {time_text(event.time)}")
            number = self.owners[owner(event)]
            self.console.add(event.time, number, text.encode(errors="backslashreplace"))
        if self.trace is not None and (self.traced is None or event.node in self.traced):
            self.trace.happened(event)
        if self.capture is not None:
            self.capture.happened(event)

    def _line(self, line: bytes) -> None:
        if self.until is not None and self.until in line:
            self.seen = True
            self.cluster.stop()

    def reached(self, time: int) -> None:
        self.console.reached(time)
        if self.trace is not None:
            self.trace.reached(time)

    def _end(self, number: int) -> None:
        """What a node had begun to print, as far as it has come."""
        if number in self.lines:
            self.lines.pop(number).finish()

    @property
    def running(self) -> ClusterNode | None:
        """The node that runs now, or that failed."""
        number = self.cluster.running
        return self.cluster.nodes[number - 1] if number else None

    def _last_words(self) -> dict[str, str]:
        node = self.running
        return {} if node is None or node.kernel is None else last_words(node.kernel, node.name, node.spec.folder)

    def failed(self, error: Exception) -> None:
        """The run is over before its time: where it was, unless the user's own mistake says it.

        Its trace ends there, too. What other nodes had done later has no place in it.
        """
        node = self.running
        if node is not None and node.kernel is not None and not isinstance(error, UserError):
            self.streams.errors.line(f"machemu: node {node.name}: {report.place(node.kernel)}")
            self.ended_at = node.kernel.kern.clock.now()

    def _end_early(self) -> None:
        """As `failed` and `finish`, where the process dies."""
        node = self.running
        if node is not None and node.kernel is not None:
            self.ended_at = node.kernel.kern.clock.now()
        self.finish()

    def finish(self) -> None:
        """The run is over."""
        for number in list(self.lines):
            self._end(number)
        self.console.finish()
        if self.trace is not None:
            self.trace.finish(self.ended_at)
        if self.capture is not None:
            self.capture.finish()
        self.streams.flush()


def explain(cluster: Cluster, stop: ClusterStop, options: argparse.Namespace, view: View) -> Status:
    """Says on standard error why the run ended where that is not plain, and gives the exit status."""
    say = options.errors.line
    if view.streams.broken:
        return Status.USER
    if stop is ClusterStop.INTERRUPTED:
        say(f"machemu: interrupted at {time_text(cluster.time)}")
        return Status.INTERRUPTED
    if stop is not ClusterStop.ASKED:
        frames = sum(segment.frames for segment in cluster.segments)
        why = "stopped" if stop is ClusterStop.TIME else "nothing can happen any more"
        say(f"machemu: {why} at {time_text(cluster.time)}, after {counted(frames, 'frame')}")
        for node in cluster.nodes:
            say(f"{node.name}: {doing(node)}")
    unmet = options.until is not None and not view.seen
    if unmet:
        say(f"machemu: no console ever printed a line with '{options.until}'")
    if view.crashes.last and not view.seen:
        return Status.CRASHED
    died = any(node.kernel is not None and node.kernel.halted is Halt.PANIC for node in cluster.nodes)
    return Status.UNMET if unmet or died else Status.OK


def doing(node: ClusterNode) -> str:
    """What a node does, in words; its threads on lines of their own."""
    kernel = node.kernel
    if kernel is None:
        return "has no power"
    if kernel.halted is not None:
        return report.halt(kernel)
    state = "stands still" if node.paused else "waits" if node.idle else "runs"
    return (
        f"{state} since {time_text(kernel.kern.clock.now())}, {counted(node.frames, 'frame')} sent\n{report.standstill(kernel)}"
    )
