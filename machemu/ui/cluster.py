"""The command line: `machemu cluster`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial

from machemu.abi.errors import UserError
from machemu.cluster.file import SEED_MAX, ClusterSpec, load_file
from machemu.cluster.node import ClusterNode
from machemu.cluster.pcap import Capture
from machemu.core.kernel import Kernel
from machemu.core.observe import watch
from machemu.lab import report
from machemu.lab.cluster import Cluster
from machemu.lab.members import Member
from machemu.lab.recorded import Reason
from machemu.sim import files
from machemu.sim.units import counted, parse_time, time_text
from machemu.trace.events import Befell, ClusterEvent, FrameLost
from machemu.trace.words import cluster_text, owner
from machemu.ui import running, trace_options
from machemu.ui.crashes import last_words
from machemu.ui.running import View
from machemu.ui.timeline import Lines, Timeline


def run(options: argparse.Namespace) -> int:
    """The cluster command; its exit status."""
    trace_options.check(options)
    duration = None if options.duration is None else parse_time(options.duration)
    if options.save is not None:
        files.target_of(options.save)
    spec = load_file(options.file)
    files.keep_apart([options.trace_file, options.pcap, options.save], [options.file, *spec.files()])
    files.keep_apart([options.trace_file, options.pcap], [options.load])
    names = [node.name for node in spec.nodes]
    for name in options.traced or ():
        if name not in names:
            raise UserError(f"--trace-node {name}: there is no such node; there are {', '.join(names)}")
    with ExitStack() as stack:
        cluster = stack.enter_context(make_cluster(options, spec))
        view = ClusterView(options, cluster, stack)
        return running.run(view, lambda: cluster.run(options.until, duration=duration))


def make_cluster(options: argparse.Namespace, spec: ClusterSpec) -> Cluster:
    if options.load is not None:
        if options.seed is not None:
            raise UserError("--load goes on with a saved cluster: it takes no seed")
        return Cluster.load(options.load, spec, record=False, inputs=False)
    if options.seed is not None and not 0 <= options.seed < SEED_MAX:
        raise UserError(f"--seed {options.seed}: a seed is a number from 0 to 2^64 - 1")
    return Cluster.boot(spec, seed=options.seed, record=False, inputs=False)


class ClusterView(View):
    """The nodes' consoles come in the order of time."""

    never = "no console ever"

    def __init__(self, options: argparse.Namespace, cluster: Cluster, stack: ExitStack) -> None:
        super().__init__(options, cluster, 0, stack)
        inner = self.inner = cluster.inner
        self.names = list(cluster.nodes)
        segments = [segment.name for segment in inner.segments]
        self.owners = {name: number for number, name in reversed(list(enumerate((*self.names, *segments), 1)))}
        self.events = options.events
        shown = [*self.names, *segments] if self.events else self.names
        self.console = Timeline(self.streams.out, shown, self.streams.out.isatty(), options.times)
        if trace_options.is_wanted(options) or options.traced:
            self.trace = self.begin_trace([*self.names, *segments])
        self.traced = options.traced
        self.lines: dict[int, Lines] = {}
        self.ended_at: int | None = None
        inner.reached = self.reached
        self.capture = None if options.pcap is None else Capture(self.streams.create(options.pcap), segments)
        if self.events or self.trace is not None or self.capture is not None:
            inner.watch(self._happened)
        for member in cluster.nodes.values():
            member.hooks.follow(partial(self.follow, member))

    def kernels(self) -> Iterable[Kernel]:
        return (node.kernel for node in self.inner.nodes if node.kernel is not None)

    def follow(self, member: Member, kernel: Kernel) -> None:
        """Shows what a node prints from now on, which has power."""
        node = member.node
        self._end(node.number)
        clock = kernel.kern.clock
        lines = self.lines[node.number] = Lines(self.console, node.number, clock.now)
        member.console.taker = lines.write
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
        number = self.inner.running
        return self.inner.nodes[number - 1] if number else None

    def last_words(self) -> dict[str, str]:
        node = self.running
        return {} if node is None or node.kernel is None else last_words(node.kernel, node.name, node.spec.folder)

    def failed(self, error: Exception) -> None:
        """As View.failed. Its trace ends there, too: what other nodes had done later has no place in it."""
        node = self.running
        if node is not None and node.kernel is not None and not isinstance(error, UserError):
            self.streams.errors.line(f"machemu: node {node.name}: {report.place(node.kernel)}")
            self.ended_at = node.kernel.kern.clock.now()

    def end_early(self) -> None:
        node = self.running
        if node is not None and node.kernel is not None:
            self.ended_at = node.kernel.kern.clock.now()
        self.finish()

    def finish(self) -> None:
        for number in list(self.lines):
            self._end(number)
        self.console.finish()
        if self.trace is not None:
            self.trace.finish(self.ended_at)
        if self.capture is not None:
            self.capture.finish()
        self.streams.flush()

    def now(self) -> str:
        return time_text(self.what.time)

    def explain(self, reason: Reason) -> None:
        for line in self.inner.undone:
            self.streams.errors.line(f"machemu: {line}")
        if reason is Reason.UNTIL:
            return
        say = self.streams.errors.line
        frames = sum(segment.frames for segment in self.inner.segments)
        why = "stopped" if reason is Reason.DURATION else "nothing can happen any more"
        say(f"machemu: {why} at {self.now()}, after {counted(frames, 'frame')}")
        for node in self.inner.nodes:
            say(f"{node.name}: {doing(node)}")


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
