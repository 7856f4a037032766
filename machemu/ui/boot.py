"""The command line: `machemu boot`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import boot_modules, find_architecture, lone_line
from machemu.boot.modules import Modules
from machemu.boot.node import Node
from machemu.boot.script import module_paths
from machemu.core.kernel import FOREVER, Stop
from machemu.core.observe import watch
from machemu.kern.host import Halt
from machemu.lab import report
from machemu.machine.disk import ImageDisk
from machemu.machine.profile import DEFAULT_PROFILE, DEFAULT_PROFILES, load_profile
from machemu.sim import files
from machemu.sim.units import counted, parse_size, parse_time, time_text
from machemu.ui import running, trace_options
from machemu.ui.console import ConsoleOutput
from machemu.ui.crashes import Crashes, last_words
from machemu.ui.examples import refuse_missing_example
from machemu.ui.status import Status
from machemu.ui.streams import Streams
from machemu.ui.tracing import Trace, begin


def run(options: argparse.Namespace) -> int:
    """The boot command; its exit status."""
    trace_options.check(options)
    deadline = FOREVER if options.duration is None else parse_time(options.duration)
    lines = module_lines(options) if options.load is None else []
    check_files(options, lines)
    with ExitStack() as stack:
        node = stack.enter_context(make_node(options, lines))
        view = View(options, node, stack)
        kernel = node.kernel
        if options.load is None:
            boot_modules(kernel, lines, dict(variable(text) for text in options.variable))
        end = deadline if options.load is None else kernel.kern.clock.now() + deadline
        return running.run(
            options,
            node,
            view,
            lambda: kernel.run(end, options.traps),
            lambda stop: explain(node, stop, options, view),
        )


class View:
    """What is seen of a machine that runs: its console, its trace, what becomes of its guests."""

    def __init__(self, options: argparse.Namespace, node: Node, stack: ExitStack) -> None:
        kernel = self.kernel = node.kernel
        self.streams = Streams(options, kernel.stop, stack)
        kernel.interrupt = options.interrupt
        kernel.board = options.board.numbers
        options.board.begin(kernel.kern.clock.now(), kernel.trap_count)
        options.board.describe, options.board.finish = lambda: last_words(kernel, "", Path()), self.finish
        self.output = ConsoleOutput(kernel, self.streams.out, options.until)
        kernel.console.sinks.append(self.output.write)
        kernel.input_sources.append(self.streams.open_input(options.input))
        self.crashes = Crashes(self.streams.errors.line)
        self.crashes.watch(kernel, "machemu: ", Path())
        self.trace: Trace | None = None
        if trace_options.is_wanted(options):
            out = self.streams.errors if options.trace_file is None else self.streams.create(options.trace_file)
            self.trace = begin(options, out)
            watch(kernel, self.trace.start(1, kernel.kern.clock.now))

    def failed(self, error: Exception) -> None:
        """The run is over before its time: where it was, unless the user's own mistake says it."""
        if not isinstance(error, UserError):
            self.streams.errors.line(f"machemu: {report.place(self.kernel)}")

    def finish(self) -> None:
        """The run is over: what is still held goes out, a trap that is under way included."""
        if self.trace is not None:
            self.trace.finish()
        self.streams.flush()


def check_files(options: argparse.Namespace, lines: Sequence[str]) -> None:
    """UserError where something cannot be saved, or would be written over something that is read."""
    if options.save is not None:
        files.target_of(options.save)
    programs = [options.folder / path for path in module_paths(lines)]
    named = [*programs, *(image_path(text) for text in options.disks), options.profile]
    read = [options.script, options.input, *(Path(name) for name in named if name)]
    files.keep_apart([options.trace_file, options.save], read)
    files.keep_apart([options.trace_file], [options.load])


def make_node(options: argparse.Namespace, lines: Sequence[str]) -> Node:
    """A new machine, or the saved one."""
    if options.load is not None:
        if options.module or options.lines or options.script or options.profile or options.memory:
            raise UserError("--load goes on with a saved machine: it takes no modules, profile or memory")
        disks = make_disks(options.disks)
        try:
            return Node.load(options.load, disks)
        finally:
            for disk in disks.values():
                disk.close()
    if not (options.module or options.lines or options.script):
        raise UserError("nothing to boot: name a module, or give --module, --script or --load")
    profile = load_profile(default_profile(lines, options.folder) if options.profile is None else options.profile)
    ram = None if options.memory is None else parse_size(options.memory)
    disks = make_disks(options.disks)
    try:
        return Node(profile, ram, disks)
    except UserError:
        for disk in disks.values():
            disk.close()
        raise


def default_profile(lines: Sequence[str], folder: Path) -> str:
    """The machine that a boot script's programs are for."""
    architecture = find_architecture(lines, Modules(folder))
    return DEFAULT_PROFILE if architecture is None else DEFAULT_PROFILES[architecture]


def make_disks(texts: Sequence[str]) -> dict[str, ImageDisk]:
    """The disks of the command line by name, opened."""
    disks: dict[str, ImageDisk] = {}
    try:
        for text in texts:
            name, _, place = text.partition("=")
            path = image_path(text)
            if not name or not path:
                raise UserError(f"--disk {text}: write NAME=FILE or NAME=FILE,writable")
            if name in disks:
                raise UserError(f"--disk {text}: there is already a disk {name}")
            disks[name] = ImageDisk.of_file(Path(path), path != place)
    except UserError:
        for disk in disks.values():
            disk.close()
        raise
    return disks


def image_path(text: str) -> str:
    """The file that a disk of the command line is of, "" where it names none."""
    return text.partition("=")[2].removesuffix(",writable")


def module_lines(options: argparse.Namespace) -> list[str]:
    """The boot script lines of the command line, in order: the script's, the --module lines, the lone module."""
    lines: list[str] = []
    if options.script is not None:
        lines += files.read_text(options.script, "a boot script").splitlines()
    lines += options.lines
    if options.module:
        refuse_missing_example(options.module)
        lines.append(lone_line(options.module, options.arguments))
    return lines


def variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UserError(f"--variable {text}: write NAME=VALUE")
    return name, value


def explain(node: Node, stop: Stop, options: argparse.Namespace, view: View) -> Status:
    """Says on standard error why the run ended where that is not plain, and gives the exit status."""
    kernel = node.kernel
    say = options.errors.line
    if view.streams.broken:
        return Status.USER
    if stop is Stop.INTERRUPTED:
        say(f"machemu: interrupted at {time_text(kernel.kern.clock.now())} after {counted(kernel.trap_count, 'trap')}")
        return Status.INTERRUPTED
    if stop in (Stop.TIME, Stop.TRAPS):
        say(f"machemu: {report.end_of_time(kernel)}")
    elif stop is Stop.WEDGED and any(task.threads for task in kernel.kern.tasks.values()):
        say(f"machemu: nothing can run any more\n{report.standstill(kernel)}")
    elif stop is Stop.HALTED:
        say(f"machemu: {report.halt(kernel)}")
    unmet = options.until is not None and not view.output.seen
    if unmet:
        say(f"machemu: the console never printed a line with '{options.until}'")
    if view.crashes.last and not view.output.seen:
        return Status.CRASHED
    return Status.UNMET if unmet or kernel.halted is Halt.PANIC else Status.OK
