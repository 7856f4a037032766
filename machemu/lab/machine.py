"""A machine to work with from Python: boot it, run it, step forwards and back, look into it, save it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules, find_architecture
from machemu.boot.node import Node
from machemu.core import invariants
from machemu.core.interrupt import Interrupt
from machemu.core.kernel import FOREVER, Kernel, Stop
from machemu.lab import back
from machemu.lab.console import Console
from machemu.lab.errors import EndError, UsageError
from machemu.lab.history import BUDGET, History
from machemu.lab.hooks import Hook, Hooks
from machemu.lab.looks import Looks
from machemu.lab.running import interruptible
from machemu.lab.subject import Kept, Machines
from machemu.lab.travel import ENDS, Point, StepKind, step
from machemu.machine.disk import ImageDisk
from machemu.machine.profile import DEFAULT_PROFILE, DEFAULT_PROFILES, load_profile
from machemu.sim.units import counted, parse_size, parse_time, time_text

T = TypeVar("T")
Condition = Callable[["Machine"], bool]
"""What a run can go on until: it is asked at each trap, and whenever another thread gets the CPU."""
CHUNK_NS: Final = 1_000_000
"""Virtual time of the first piece of a run: a piece without work is followed by one of twice the time."""


class Reason(Enum):
    """Why a run ended."""

    UNTIL = "until"
    """What it was to go on until has come."""
    DURATION = "duration"
    TRAPS = "traps"
    STOPPED = "stopped"
    """A hook called `stop`."""
    WEDGED = "wedged"
    """No thread can run and nothing is under way that could wake one."""
    HALTED = "halted"
    """The machine has ended."""


REASONS: Final = {
    Stop.TIME: Reason.DURATION,
    Stop.TRAPS: Reason.TRAPS,
    Stop.ASKED: Reason.STOPPED,
    Stop.INTERRUPTED: Reason.STOPPED,
    Stop.WEDGED: Reason.WEDGED,
    Stop.HALTED: Reason.HALTED,
}


class Machine(Looks):
    """A machine, made by `Machine.boot` or `Machine.load`. Use it as a context manager, or call `close`.

    Where the same is booted and typed, the same happens: `digest` tells whether two machines are equal.
    """

    def __init__(self, node: Node, folder: Path = Path(), record: bool = True, budget: int = BUDGET, given: bytes = b"") -> None:
        self._node: Node | None = node
        self._folder = folder
        self._running = False
        self._interrupt = Interrupt()
        self._place: memoryview | None = None
        self._hooks = Hooks(self._stop)
        self.console = Console(self._type, given)
        """What the machine prints, and where it can be typed to."""
        self._subject = Machines(node, self.console, self._joined)
        self._joined(node.kernel)
        self._history = History(self._subject, budget if record else 0) if record else None

    @classmethod
    def boot(
        cls,
        modules: str | Path | Sequence[str | Path],
        *,
        profile: str | None = None,
        memory: str | int | None = None,
        disks: Mapping[str, str | Path] | None = None,
        variables: Mapping[str, str] | None = None,
        input: bytes | str = b"",
        folder: str | Path = "",
        record: bool = True,
        budget: int = BUDGET,
        isolated: bool = False,
    ) -> Machine:
        """A machine with boot modules, switched on.

        modules: an executable, which is started with the host's and the device's port; or several, each an executable or a line
        of a boot script (with blanks in it). profile: a name or a file, by the executables' CPU without. memory: bytes, or as
        "64M". disks: image files by name, hd0 to hd7 and sd0 to sd7, which the machine does not write. variables: of the boot
        script. input: what its console reads. folder: where the modules' paths begin.

        record: whether it can go back. budget: bytes that it may keep for that; beyond, going back takes longer.
        isolated: gives a `machemu.lab.isolated.IsolatedMachine`, which is used alike, and raises EngineDied where the CPU
        emulator dies. UserError where something cannot be booted.
        """
        if isolated:
            from machemu.lab.isolated import boot_isolated

            given: dict[str, Any] = {"profile": profile, "memory": memory, "disks": disks, "variables": variables, "input": input}
            return cast(Machine, boot_isolated(modules, **given, folder=folder, record=record, budget=budget))
        lines = [_line(each) for each in ((modules,) if isinstance(modules, str | Path) else modules)]
        if not lines:
            raise UsageError("nothing to boot: name a module")
        place = Path(folder)
        if profile is None:
            architecture = find_architecture(lines, place)
            profile = DEFAULT_PROFILE if architecture is None else DEFAULT_PROFILES[architecture]
        ram = parse_size(memory) if isinstance(memory, str) else memory
        opened = _open(disks)
        try:
            node = Node(load_profile(profile), ram, opened)
        except BaseException:
            for disk in opened.values():
                disk.close()
            raise
        try:
            boot_modules(node.kernel, lines, dict(variables or {}), None, place)
            return cls(node, place, record, budget, input.encode() if isinstance(input, str) else input)
        except BaseException:
            node.close()
            raise

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        disks: Mapping[str, str | Path] | None = None,
        input: bytes | str = b"",
        folder: str | Path = "",
        record: bool = True,
        budget: int = BUDGET,
    ) -> Machine:
        """A machine that was saved; it goes on. UserError for a file that holds none."""
        opened = _open(disks)
        try:
            node = Node.load(Path(path), opened)
        finally:
            for disk in opened.values():
                disk.close()
        return cls(node, Path(folder), record, budget, input.encode() if isinstance(input, str) else input)

    def close(self) -> None:
        """Gives the host's resources back. What was read before is still there; nothing else works any more."""
        if self._node is not None:
            self._node.close()
            self._node = None

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._node is None:
            return "<machine, closed>"
        kernel = self.kernel
        state = f"{kernel.halted.name.lower()}, " if kernel.halted is not None else ""
        when = f"{time_text(self.time)}, {counted(self.traps, 'trap')}, {counted(len(kernel.kern.tasks), 'task')}"
        return f"<machine {kernel.cpu.architecture}, {state}{when}>"

    # What stands behind

    @property
    def node(self) -> Node:
        """The machine's inside, for what this API has no name for: nothing in it is promised to stay."""
        if self._node is None:
            raise UsageError("the machine is closed: boot or load another")
        return self._node

    @property
    def kernel(self) -> Kernel:
        """As `node`. Going back makes another kernel: ask anew after each step."""
        return self.node.kernel

    def _joined(self, kernel: Kernel) -> None:
        """The kernel is another object: who listens joins it."""
        kernel.input_sources = [self.console.source]
        kernel.interrupt = self._interrupt
        if self._place is not None:
            kernel.board = self._place
        self._hooks.join(kernel)

    def watch_place(self, place: memoryview) -> None:
        """Keeps where it is in memory that another process may read: see core.board."""
        self._place = self.kernel.board = place

    # Where it is

    @property
    def time(self) -> int:
        """Nanoseconds of virtual time since power-on."""
        return self.kernel.kern.clock.now()

    @property
    def traps(self) -> int:
        """Made since power-on."""
        return self.kernel.trap_count

    @property
    def point(self) -> Point:
        """Where it is in its run: `go` comes back here."""
        self.node  # noqa: B018  closed machines say so
        return self._subject.here()

    @property
    def earliest(self) -> Point:
        """How far back it can go."""
        return self._recorded().first

    def digest(self) -> str:
        """SHA-256 over everything that a guest could ever see, in hexadecimal: equal digests, equal machines."""
        return self.node.digest()

    # Going on

    def run(self, until: str | Condition | None = None, *, duration: str | int | None = None, traps: int | None = None) -> Reason:
        """Goes on, and says why it ended.

        until: a text that the console prints in a line, or a condition (a function of the machine): what is asked at each
        trap makes a run several times slower. duration: at most so much virtual time, nanoseconds or as "20ms". traps: at most
        so many. KeyboardInterrupt leaves it between two traps.
        """
        deadline = FOREVER if duration is None else self.time + (parse_time(duration) if isinstance(duration, str) else duration)
        limit = FOREVER if traps is None else self.traps + traps
        text = until.encode() if isinstance(until, str) else None
        with self._goes(forwards=True):
            if callable(until):
                return self._run_slowly(until, deadline, limit)
            with self.console.looking_for(text, self._stop):
                stop = self._run(deadline, limit)
                return Reason.UNTIL if self.console.found else REASONS[stop]

    def _run(self, deadline: int, limit: int) -> Stop:
        """Runs in pieces, and takes snapshots between them."""
        chunk = CHUNK_NS
        while True:
            kernel, history = self.kernel, self._history
            if self.traps >= limit:
                return Stop.TRAPS
            due = FOREVER if history is None else max(1, history.due)
            until = deadline if history is None else min(deadline, kernel.kern.clock.now() + chunk)
            before = self._subject.work
            stop = self._subject.advance(until, min(limit - kernel.trap_count, due) if due < FOREVER or limit < FOREVER else None)
            chunk = CHUNK_NS if self._subject.work > before else chunk * 2
            if history is not None and history.due <= 0:
                history.mark()
            if stop in (Stop.TIME, Stop.TRAPS) and self.time < deadline and self.traps < limit:
                continue
            return stop

    def _run_slowly(self, until: Condition, deadline: int, limit: int) -> Reason:
        while self.time < deadline and self.traps < limit:
            stop = self._subject.advance(deadline, 1, 1)
            if self._history is not None and self._history.due <= 0:
                self._history.mark()
            if until(self):
                return Reason.UNTIL
            if stop in ENDS:
                return REASONS[stop]
            self._hooks.check()
            if self._hooks.stopped:
                return Reason.STOPPED
        return Reason.DURATION if self.time >= deadline else Reason.TRAPS

    def _stop(self) -> None:
        self.kernel.stop()

    def break_off(self) -> None:
        """What is under way ends between two traps, with KeyboardInterrupt. A signal's handler may call it."""
        self._interrupt.asked = True

    def stop(self) -> None:
        """Called by a hook: the run ends right after the trap under way."""
        self._hooks.stop()

    def step(self, kind: StepKind | str = StepKind.TRAP, count: int = 1) -> Point:
        """Goes on by so many traps, instructions, messages or switches of threads; where it is then.

        EndError where the run ends before.
        """
        what = kind_of(kind)
        with self._goes(forwards=True):
            for _ in range(count_of(count)):
                stop = self._step(what)
                if self._history is not None and self._history.due <= 0:
                    self._history.mark()
                if stop in ENDS:
                    why = "it is halted" if stop is Stop.HALTED else "no thread can run and nothing will wake one"
                    raise EndError(f"there is no further {what.value}: {why}; `back` goes back")
        return self.point

    def _step(self, kind: StepKind) -> Stop:
        stop = step(self.kernel, kind)
        self._subject.account()
        return stop

    def back(self, kind: StepKind | str = StepKind.TRAP, count: int = 1) -> Point:
        """Goes back by so many; where it is then. EndError where there are not so many since `earliest`."""
        what = kind_of(kind)
        history = self._recorded()
        with self._goes(), self._hooks.quiet():
            start = self.point
            for _ in range(count_of(count)):
                if back.last_before(self._subject, history, what, self._step) is None:
                    history.go(start)
                    raise EndError(f"there are not so many steps back: one {what.value} back from here is before {history.first}")
        return self.point

    def go(self, point: Point) -> None:
        """To a point of this run, earlier or later."""
        history = self._recorded()
        with self._goes(), self._hooks.quiet():
            history.go(point)

    def travel(self, way: Callable[[Machines, History[Point]], T]) -> T:
        """Goes a way of its own, for tools: `way` moves the subject and its history, and gives the result. Hooks hear nothing."""
        history = self._recorded()
        with self._goes(), self._hooks.quiet():
            return way(self._subject, history)

    def seek(self, traps: int) -> Point:
        """To where so many traps since power-on have been made, earlier or later; where it is then.

        That may be a few traps further, since a host-side server makes some without a stop in between.
        """
        history = self._recorded()
        if traps < history.first.traps:
            raise EndError(f"{traps} traps are before the earliest point, {history.first}")
        if traps > self.traps:
            self.run(traps=traps - self.traps)
        else:
            with self._goes(), self._hooks.quiet():
                back.to_trap(self._subject, history, traps)
        return self.point

    @contextmanager
    def _goes(self, forwards: bool = False) -> Iterator[None]:
        """While the machine runs: Ctrl-C waits for the end of a trap, and hooks may not run it."""
        if self._running:
            raise UsageError("the machine is running: a hook may look into it and call `stop`, and run it afterwards")
        if self.kernel.halted is not None and not self._history:
            raise EndError("the machine has ended: boot it again")
        if forwards and self._history is not None:
            self._history.go_on()
        self._running = True
        self._hooks.begin()
        try:
            with interruptible(self._interrupt):
                yield
        finally:
            self._running = False
        self._hooks.check()

    def _recorded(self) -> History[Point]:
        if self._history is None:
            raise UsageError("the machine was made with record=False: it cannot go back")
        self.node  # noqa: B018  closed machines say so
        return self._history

    def _type(self, data: bytes) -> None:
        """Bytes are typed at the console, here."""
        if self._running:
            raise UsageError("the machine is running: type before or after")

        def action() -> None:
            self.kernel.console.receive(data)

        if self._history is None:
            action()
            self._subject.acts += 1
        else:
            self._history.act(action)

    # Hooks

    def on(self, kind: str, hook: Callable[[Any], None]) -> Hook:
        """Calls `hook` with each event of a kind from now on (`machemu.trace.events`): "trap", "result", "message",
        "exception", "end", "note", or "event" for all. Call `remove` of what it gives to end that.

        Going back calls no hooks. A hook that raises stops the run, which then raises HookError.
        """
        self.node  # noqa: B018  closed machines say so
        return self._hooks.add(kind, hook)

    # Keeping it

    def save(self, path: str | Path) -> None:
        """Writes the whole machine to a file, whole or not at all."""
        self.node.save(Path(path))

    def snapshot(self) -> Kept:
        """The machine as it is, with what its console has printed. `restore` takes it."""
        return Kept(self._subject.take(), self.console.data)

    def restore(self, kept: Kept) -> None:
        """Makes the machine what it was, and begins a new history there."""
        if self._running:
            raise UsageError("the machine is running: restore it afterwards")
        self._subject.restore(kept.state)
        self.console.begin(kept.printed, kept.state.console.taken)
        if self._history is not None:
            self._history = History(self._subject, self._history.budget)

    def check(self) -> None:
        """Counts all rights, references and frames again. InvariantError where one is wrong, which is machemu's fault."""
        invariants.check(self.kernel)


def _line(module: str | Path) -> str:
    """A line of a boot script."""
    text = str(module)
    return text if isinstance(module, str) and " " in text.strip() else f"{text} {DEFAULT_LINE}"


def _open(disks: Mapping[str, str | Path] | None) -> dict[str, ImageDisk]:
    opened: dict[str, ImageDisk] = {}
    try:
        for name, path in (disks or {}).items():
            opened[name] = ImageDisk.of_file(Path(path), False)
    except UserError:
        for disk in opened.values():
            disk.close()
        raise
    return opened


def kind_of(kind: StepKind | str) -> StepKind:
    try:
        return StepKind(kind)
    except ValueError:
        raise UsageError(f"no kind of step {kind!r}: there are {', '.join(each.value for each in StepKind)}") from None


def count_of(count: int) -> int:
    if count < 1:
        raise UsageError(f"{count} steps: at least one")
    return count
