"""The command line: `machemu boot`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import lone_line
from machemu.boot.script import module_paths
from machemu.core.kernel import Kernel
from machemu.device.kd_event import EventDriver, keys, moves
from machemu.device.lpr import PrinterDriver
from machemu.lab import report
from machemu.lab.machine import Machine
from machemu.lab.recorded import Reason
from machemu.sim import files
from machemu.sim.units import counted, parse_time, time_text
from machemu.ui import running, trace_options
from machemu.ui.crashes import last_words
from machemu.ui.examples import refuse_missing_example
from machemu.ui.running import View

WRITABLE: Final = ",writable"
NEW: Final = ("module", "lines", "script", "profile", "memory", "date", "source", "keyboard", "mouse")
"""The options of a machine that is switched on."""


def run(options: argparse.Namespace) -> int:
    """The boot command; its exit status."""
    trace_options.check(options)
    duration = None if options.duration is None else parse_time(options.duration)
    lines = module_lines(options) if options.load is None else []
    check_files(options, lines)
    with ExitStack() as stack:
        machine = stack.enter_context(make_machine(options, lines, record=False))
        view = MachineView(options, machine, stack)
        return running.run(view, lambda: machine.run(options.until, duration=duration, traps=options.traps))


class MachineView(View):
    never = "the console never"

    def __init__(self, options: argparse.Namespace, machine: Machine, stack: ExitStack) -> None:
        super().__init__(options, machine, machine.traps, stack)
        self.machine = machine
        kernel = self.kernel = machine.kernel
        drivers = kernel.devices.drivers
        events = {driver.name for driver in drivers if isinstance(driver, EventDriver)}
        printer = next((driver for driver in drivers if isinstance(driver, PrinterDriver)), None)
        for option, given, there, what in (
            ("screen", options.screen, machine.screen is not None, "text screen"),
            ("keyboard", options.keyboard is not None, "kbd" in events, "keyboard"),
            ("mouse", options.mouse is not None, "mouse" in events, "mouse"),
            ("printer", options.printer is not None, printer is not None, "printer"),
        ):
            if given and not there:
                raise UserError(f"--{option}: a machine of {kernel.cpu.architecture} has no {what}: it is no PC")
        if printer is not None and options.printer is not None:
            printer.sinks.append(self.streams.create(options.printer).write)
        machine.console.taker = self.streams.out.write
        kernel.input_sources.append(self.streams.open_input(options.input))
        self.crashes.watch(kernel, "machemu: ", Path())
        if trace_options.is_wanted(options):
            from machemu.core.observe import watch  # not before it is needed: it takes time to load

            self.trace = self.begin_trace()
            watch(kernel, self.trace.start(1, kernel.kern.clock.now))

    def kernels(self) -> Iterable[Kernel]:
        return (self.kernel,)

    def last_words(self) -> dict[str, str]:
        return last_words(self.kernel, "", Path())

    def failed(self, error: Exception) -> None:
        if not isinstance(error, UserError):
            self.streams.errors.line(f"machemu: {report.place(self.kernel)}")

    def finish(self) -> None:
        if self.trace is not None:
            self.trace.finish()
        self.streams.flush()

    end_early = finish

    def show_screen(self) -> None:
        if self.options.screen:
            self.streams.out.write((self.machine.screen or "").encode())

    def now(self) -> str:
        return f"{time_text(self.what.time)} after {counted(self.kernel.trap_count, 'trap')}"

    def explain(self, reason: Reason) -> None:
        kernel, say = self.kernel, self.streams.errors.line
        if reason in (Reason.DURATION, Reason.TRAPS):
            say(f"machemu: {report.end_of_time(kernel)}")
        elif reason is Reason.WEDGED and any(task.threads for task in kernel.kern.tasks.values()):
            say(f"machemu: nothing can run any more\n{report.standstill(kernel)}")
        elif reason is Reason.HALTED:
            say(f"machemu: {report.halt(kernel)}")


def check_files(options: argparse.Namespace, lines: Sequence[str]) -> None:
    """UserError where something cannot be saved, or would be written over something that is read."""
    if options.save is not None:
        files.target_of(options.save)
    programs = [options.folder / path for path in module_paths(lines)] if options.source is None else []
    named = [*programs, *(image_path(text) for text in options.disks), options.profile]
    read = [options.script, options.input, options.keyboard, options.mouse, *(Path(name) for name in named if name)]
    files.keep_apart([options.trace_file, options.printer, options.save], read)
    files.keep_apart([options.trace_file, options.printer], [options.load])


def make_machine(options: argparse.Namespace, lines: Sequence[str], record: bool, given: bytes = b"") -> Machine:
    """A new machine, or the saved one. given: what its console reads."""
    disks, writable = disk_images(options.disks)
    if options.load is not None:
        if any(getattr(options, name) for name in NEW):
            raise UserError("--load goes on with a saved machine: it takes no modules, profile, memory, date, keys or mouse")
        return Machine.load(options.load, disks=disks, writable=writable, folder=options.folder, input=given, record=record)
    if not (options.module or options.lines or options.script):
        raise UserError("nothing to boot: name a module, or give --module, --script or --load")
    variables = dict(variable(text) for text in options.variable)
    return Machine.boot(
        lines=lines,
        profile=options.profile,
        memory=options.memory,
        date=options.date,
        disks=disks,
        writable=writable,
        variables=variables,
        input=given,
        keyboard=text_of(options.keyboard, "what is typed", keys),
        mouse=text_of(options.mouse, "what a mouse does", moves),
        folder=options.folder,
        source=options.source,
        record=record,
    )


def text_of(path: Path | None, what: str, events: Callable[[str], object]) -> str:
    """A file's text, of which events can be made; "" without one. UserError, with the file's name."""
    text = "" if path is None else files.read_text(path, what)
    try:
        events(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return text


def disk_images(texts: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The images of the disks of the command line by name, and which are to be written."""
    images: dict[str, str] = {}
    for text in texts:
        name, path = text.partition("=")[0], image_path(text)
        if not name or not path:
            raise UserError(f"--disk {text}: write NAME=FILE or NAME=FILE,writable")
        if name in images:
            raise UserError(f"--disk {text}: there is already a disk {name}")
        images[name] = path
    return images, [text.partition("=")[0] for text in texts if text.endswith(WRITABLE)]


def image_path(text: str) -> str:
    """The file that a disk of the command line is of, "" where it names none."""
    return text.partition("=")[2].removesuffix(WRITABLE)


def module_lines(options: argparse.Namespace) -> list[str]:
    """The boot script lines of the command line, in order: the script's, the --module lines, the lone module."""
    lines: list[str] = []
    if options.script is not None:
        lines += files.read_text(options.script, "a boot script").splitlines()
    lines += options.lines
    if options.module:
        if options.source is None:
            refuse_missing_example(options.module)
        lines.append(lone_line(options.module, options.arguments))
    return lines


def variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UserError(f"--variable {text}: write NAME=VALUE")
    return name, value
