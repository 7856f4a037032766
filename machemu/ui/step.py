"""The command line: `machemu step`, the prompt over a machine."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import lone_line
from machemu.debug.clusters import ClusterStepper
from machemu.debug.errors import CommandError
from machemu.debug.looker import AssertError, Looker, Quit, check_line, is_nothing
from machemu.debug.stepper import Stepper
from machemu.lab.cluster import Cluster
from machemu.lab.errors import EndError
from machemu.lab.machine import Machine
from machemu.sim import files
from machemu.ui import boot, lessons
from machemu.ui.calls import Calls
from machemu.ui.console import INPUT, INPUT_MAX
from machemu.ui.crashes import last_words
from machemu.ui.examples import refuse_missing_example
from machemu.ui.grading import Grading
from machemu.ui.prompt import read_lines
from machemu.ui.status import Status
from machemu.ui.streams import Streams

PROMPT: Final = "machemu> "
COMMANDS: Final = "a command file"
CLUSTER: Final = ".toml"
"""How the name of a cluster file ends."""


class Line(NamedTuple):
    """A command. place: where it stands, for messages; "" where somebody types it."""

    place: str
    text: str


def run(options: argparse.Namespace) -> int:
    """The step command; its exit status."""
    lessons.take(options)
    given = read_given(options.given)
    with ExitStack() as stack:
        session = Session(options, stack, question_names(given))
        if any(file.endswith(CLUSTER) for file in options.files):
            stepper = session.over_nodes(stack.enter_context(make_cluster(options)))
        else:
            stepper = session.over(stack.enter_context(make_machine(options)))
        stack.enter_context(interruptible())
        try:
            return session.script(stepper, given) if options.given else session.talk(stepper)
        except KeyboardInterrupt:
            session.streams.check()  # what could not be written has broken the run off
            raise


def read_given(given: list[tuple[str, str]]) -> list[Line]:
    """All commands of the command line, in order, read before anything runs. UserError for a file that is none,
    or has a line that is no text."""
    lines: list[Line] = []
    for option, value in given:
        if option == "-c":
            lines.append(Line("-c", value))
        else:
            text = files.read_text(Path(value), COMMANDS)
            lines += [Line(f"{value}:{number}", line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), 1)]
    for line in lines:
        try:
            check_line(line.text)
        except CommandError as error:
            raise UserError(f"{line.place}: {error}") from None
    return lines


def question_names(lines: Iterable[Line]) -> list[str]:
    """The questions that commands ask, in order."""
    words = (line.text.split() for line in lines)
    return list(dict.fromkeys(given[1] for given in words if given[:1] == ["question"] and len(given) > 1))


def may_save(options: argparse.Namespace, path: Path) -> None:
    """UserError where a machine is not to be saved to a file: what the run reads is not written over."""
    lines = boot.module_lines(options) if options.load is None else []
    boot.check_files(argparse.Namespace(**{**vars(options), "save": path}), lines)
    files.keep_apart([path], [Path(value) for option, value in options.given if option == "-x"])


def make_cluster(options: argparse.Namespace) -> Cluster:
    """The cluster of a cluster file, which takes no options of machines; or goes on with a saved one."""
    if len(options.files) > 1 or options.lines or options.script or options.variable or options.profile or options.memory:
        raise UserError(f"{options.files[0]}: a cluster file says all of its machines: leave modules and their options out")
    if options.disks or options.input:
        raise UserError(f"{options.files[0]}: a cluster file names disks and inputs itself: leave --disk and --input out")
    (file,) = options.files
    return Cluster.boot(file) if options.load is None else Cluster.load(options.load, file)


def make_machine(options: argparse.Namespace) -> Machine:
    """The machine of the options, as `boot` makes it."""
    for file in options.files if options.lesson is None else ():
        refuse_missing_example(file)
    options.lines = [*options.lines, *map(lone_line, options.files)]
    for text in options.disks:
        if text.endswith(boot.WRITABLE):
            raise UserError(f"--disk {text}: what is written to an image cannot be taken back: leave out ,writable")
    lines = boot.module_lines(options) if options.load is None else []
    boot.check_files(options, lines)
    given = b"" if options.input is None else files.read(options.input, INPUT_MAX, INPUT)
    machine = boot.make_machine(options, lines, True, given)
    machine.watch_place(options.board.numbers)
    return machine


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends what a command does, and not the session."""
    before: Any = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Session:
    """What is typed or read, done one after the other, with what it says on standard output.

    grading: holds answers against the questions. Then what the commands and the consoles say is not shown: it has the right ones.
    """

    def __init__(self, options: argparse.Namespace, stack: ExitStack, questions: list[str]) -> None:
        self.options = options
        self.streams = Streams(options, self._broken, stack)
        self.out, self.errors = self.streams.out, self.streams.errors
        self.break_off: Callable[[], None] = lambda: None
        """Ends the run under way: nobody reads any more what is written."""
        self.begins = {"": True}
        self.shown = ""
        self.failed = False
        self.grading: Grading | None = None
        if options.answers is not None:
            self.grading = Grading(options.answers, questions, self.out.line, self.errors.line)

    def _broken(self) -> None:
        self.break_off()

    def over(self, machine: Machine) -> Looker:
        """The commands of one machine."""
        options = self.options
        self.break_off = machine.break_off
        machine.console.echo = lambda data: self._printed("", data)
        options.board.begin(machine.time, machine.traps)
        options.board.describe = lambda: last_words(machine.kernel, "", Path())
        return Stepper(machine, self.say, Calls, lambda path: may_save(options, path))

    def over_nodes(self, cluster: Cluster) -> Looker:
        """The commands of a cluster, whose consoles' lines begin with the nodes' names."""
        self.break_off = cluster.stop
        for member in cluster.nodes.values():
            member.console.echo = partial(self._printed, f"{member.name}: ")
        read = [*self.options.files, *(value for option, value in self.options.given if option == "-x")]
        return ClusterStepper(cluster, self.say, Calls, lambda path: files.keep_apart([path], [Path(name) for name in read]))

    def _printed(self, who: str, data: bytes) -> None:
        """A console prints. who: what its lines begin with."""
        if self.grading is not None:
            return
        for line in data.splitlines(keepends=True):
            if self.shown != who:
                self.begin_line()
                self.shown = who
            if self.begins.get(who, True):
                self.out.write(who.encode())
            self.out.write(line)
            self.begins[who] = line.endswith(b"\n")

    def say(self, text: str) -> None:
        """A line, below what the consoles have printed."""
        if self.grading is not None:
            return
        self.begin_line()
        self.out.line(text)

    def begin_line(self) -> None:
        if not self.begins.get(self.shown, True):
            self.out.write(b"\n")
            self.begins[self.shown] = True

    def script(self, stepper: Looker, lines: list[Line]) -> int:
        """Does commands, and tells on standard error where one failed; where one is faulty, those behind it are left out."""
        if self.grading is not None:
            stepper.asked = self.grading.hold
        for line in lines:
            if is_nothing(line.text):
                continue
            self.say(f"{PROMPT}{line.text.strip()}")
            try:
                stepper.do(line.text)
            except (AssertError, EndError) as error:
                if self.grading is not None and isinstance(error, EndError):
                    raise UserError(f"{line.place}: {error}") from None
                self.say(str(error))
                self.errors.line(f"machemu: {line.place}: {error}")
                self.failed = True
            except Quit:
                break
            except UserError as error:
                raise UserError(f"{line.place}: {error}") from None
            self.streams.check()
        self.begin_line()
        if self.grading is not None:
            self.failed |= not self.grading.finish()
        return Status.UNMET if self.failed else Status.OK

    def talk(self, stepper: Looker) -> int:
        """Does what is typed until the end of it. Errors are told, and it goes on; after Ctrl-C, too, whenever it comes."""
        lines = read_lines(PROMPT, self.out, self.begin_line, stepper.complete)
        while True:
            try:
                for text in lines:
                    self._done(stepper, text)
            except Quit:
                return Status.OK
            except KeyboardInterrupt:
                self.streams.check()
                self.say("interrupted")
            else:
                return Status.OK

    def _done(self, stepper: Looker, text: str) -> None:
        try:
            stepper.do(text)
        except UserError as error:
            self.say(str(error))
        self.streams.check()
