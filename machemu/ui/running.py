"""How a command runs what it has made, and ends: the same for one machine and for a cluster."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar

from machemu.core.kernel import Kernel
from machemu.kern.host import Halt
from machemu.lab.recorded import Reason, Recorded
from machemu.machine import accel
from machemu.machine.seams import Shares
from machemu.sim.units import counted
from machemu.ui.crashes import Crashes
from machemu.ui.status import Status
from machemu.ui.streams import Streams

if TYPE_CHECKING:
    from machemu.ui.tracing import Trace


class View(ABC):
    """What is seen of what runs: its consoles, its trace, what becomes of its guests."""

    never: ClassVar[str]
    """Who has not printed a line of --until."""

    def __init__(self, options: argparse.Namespace, what: Recorded[Any, Any, Any], traps: int, stack: ExitStack) -> None:
        """traps: made before."""
        self.options = options
        self.what = what
        self.streams = Streams(options, what.stop, stack)
        self.crashes = Crashes(self.streams.errors.line)
        self.trace: Trace | None = None
        what.obey(options.interrupt)
        what.watch_place(options.board.numbers)
        options.board.begin(what.time, traps)
        options.board.describe, options.board.finish = self.last_words, self.end_early

    def begin_trace(self, names: Sequence[str] = ()) -> Trace:
        """The trace that the options ask for. names: as in `begin`."""
        from machemu.ui.tracing import begin  # not before it is needed: it takes time to load

        path = self.options.trace_file
        return begin(self.options, self.streams.errors if path is None else self.streams.create(path), names)

    @abstractmethod
    def kernels(self) -> Iterable[Kernel]:
        """Of machines that have power."""

    @abstractmethod
    def last_words(self) -> dict[str, str]:
        """As crashes.last_words, of the machine that runs."""

    @abstractmethod
    def end_early(self) -> None:
        """As `failed` and `finish`, where the process dies."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """The run is over before its time: where it was, unless the user's own mistake says it."""

    @abstractmethod
    def finish(self) -> None:
        """The run is over: what is still held goes out, a trap that is under way included."""

    def show_screen(self) -> None:
        """Prints what is on the screen, where there is one and the options ask for it."""
        return

    @abstractmethod
    def now(self) -> str:
        """Where the run is, in words."""

    @abstractmethod
    def explain(self, reason: Reason) -> None:
        """Says on standard error why the run ended, where that is not plain."""


def run(view: View, go: Callable[[], Reason]) -> Status:
    """Runs by `go`, and then does what the options want of the end; the exit status."""
    options, what = view.options, view.what
    options.interrupt.begin()
    try:
        reason = go()
    except Exception as error:
        view.failed(error)
        raise
    finally:
        view.finish()
    status = status_of(view, reason)
    if options.save is not None:
        what.save(options.save)
    view.show_screen()
    view.streams.check()
    if options.verbose:
        say_engine([kernel.cpu.shares() for kernel in view.kernels()], options.errors.line)
    if options.digest:
        options.errors.line(f"digest {what.digest()}")
    return status


def say_engine(shares: Sequence[Shares | None], say: Callable[[str], None]) -> None:
    """Which engine ran the machines, and how much of their work the extension in C did."""
    done = [each for each in shares if each is not None]
    if accel.native is None or len(done) < len(shares):
        say(f"machemu: engine {accel.engine() if accel.native is None else 'python: Unicorn counts instructions here'}")
        return
    whole, entered, left, instructions, executed = (sum(numbers) for numbers in zip(*done, strict=True))
    traps = whole + entered + left
    say(
        f"machemu: engine native: {percent(whole + entered, traps)} of {counted(traps, 'trap')} entered in C, "
        f"{percent(whole, traps)} done there; {percent(instructions, executed)} of {counted(executed, 'instruction')}"
    )


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole if whole else 100:.1f} %"


def status_of(view: View, reason: Reason) -> Status:
    """The exit status of a run that ended, which is explained on standard error."""
    say, until = view.options.errors.line, view.options.until
    if view.streams.broken:
        return Status.USER
    if reason is Reason.INTERRUPTED:
        say(f"machemu: interrupted at {view.now()}")
        return Status.INTERRUPTED
    view.explain(reason)
    unmet = until is not None and reason is not Reason.UNTIL
    if unmet:
        say(f"machemu: {view.never} printed a line with '{until}'")
    if view.crashes.last and reason is not Reason.UNTIL:
        return Status.CRASHED
    return Status.UNMET if unmet or any(kernel.halted is Halt.PANIC for kernel in view.kernels()) else Status.OK
