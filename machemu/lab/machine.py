"""A machine to work with from Python: boot it, run it, step forwards and back, look into it, save it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from machemu.boot.bootstrap import boot_modules, find_architecture, lone_line
from machemu.boot.disks import DiskSpec, opened
from machemu.boot.modules import Modules, on_disk
from machemu.boot.node import Node
from machemu.boot.script import module_paths
from machemu.core import invariants
from machemu.core.interrupt import Interrupt
from machemu.core.kernel import FOREVER, Kernel, Stop
from machemu.device.kd_event import keys, moves
from machemu.kern.clock import DEFAULT_DATE
from machemu.lab import back
from machemu.lab.checks import checked
from machemu.lab.console import Console, bytes_of
from machemu.lab.errors import EndError, UsageError
from machemu.lab.history import BUDGET, History
from machemu.lab.hooks import Hook, Hooks
from machemu.lab.looks import Looks
from machemu.lab.recorded import REASONS, Reason, Recorded, kind_of
from machemu.lab.subject import Kept, Machines
from machemu.lab.travel import ENDS, Point, StepKind
from machemu.machine.profile import default_profile, load_profile
from machemu.sim.units import counted, parse_date, parse_size, time_text

Condition = Callable[["Machine"], bool]
"""What a run can go on until: it is asked at each trap, and whenever another thread gets the CPU."""


class Machine(Recorded[Point, Machines, Node], Looks):
    """A machine, made by `Machine.boot` or `Machine.load`."""

    _what = "machine"

    def __init__(
        self,
        node: Node,
        folder: Path = Path(),
        record: bool = True,
        budget: int = BUDGET,
        given: bytes = b"",
        read: Sequence[Path] = (),
    ) -> None:
        super().__init__(Interrupt(), read)
        self._folder = folder
        self.hooks = Hooks(self.stop)
        self.console = Console(self._type, given)
        """What the machine prints, and where it can be typed to."""
        self._joined(node.kernel)
        self._begin(node, Machines(node, self.console, self._joined), [self], budget if record else None)

    @classmethod
    @checked(memory=0, budget=0)
    def boot(
        cls,
        modules: str | Path | Sequence[str | Path] = (),
        *,
        lines: Sequence[str] | None = None,
        profile: str | None = None,
        memory: str | int | None = None,
        disks: Mapping[str, str | Path] | None = None,
        writable: Collection[str] = (),
        variables: Mapping[str, str] | None = None,
        date: str | None = None,
        input: bytes | str = b"",
        keyboard: str = "",
        mouse: str = "",
        folder: str | Path = "",
        source: str | None = None,
        record: bool = True,
        budget: int = BUDGET,
        isolated: bool = False,
    ) -> Machine:
        """A machine with boot modules, switched on.

        modules: an executable, which is started with the host's and the device's port; or several, each an executable or a line
        of a boot script (with blanks in it). lines: of a boot script, as they are, before the modules. profile: a name or a
        file, by the executables' CPU without. memory: bytes, or as "64M". disks: image files by name, such as hd0, sd7 or fd0.
        writable: names of those whose files the machine writes; such a machine cannot go back. variables: of the boot script.
        date: the time of day at power-on, such as "1994-07-01T12:30:00", in UTC; 2000-01-01 without. input: what its console
        reads. keyboard: the text that is typed at a PC's keyboard; mouse: what is done with its mouse, a line each (move DX DY,
        or left, middle or right with down or up). folder: where the modules' paths begin; source: or the disk or partition, such
        as "hd0s1", on whose ext2 file system they are.

        record: whether it can go back. budget: bytes that it may keep for that; beyond, going back takes longer.
        isolated: gives a `machemu.lab.isolated.IsolatedMachine`, which is used alike, and raises EngineDied where the CPU
        emulator dies. UserError where something cannot be booted.
        """
        if isolated:
            from machemu.lab.isolated import boot_isolated

            given: dict[str, Any] = {"profile": profile, "memory": memory, "disks": disks, "variables": variables, "input": input}
            given |= {"lines": lines, "writable": writable, "folder": folder, "record": record, "budget": budget}
            given |= {"date": date, "keyboard": keyboard, "mouse": mouse, "source": source}
            return cast(Machine, boot_isolated(modules, **given))
        named = [_line(each) for each in ((modules,) if isinstance(modules, str | Path) else modules)]
        if lines is None and not named:
            raise UsageError("nothing to boot: name a module")
        script, place = [*(lines or ()), *named], Path(folder)
        ram = parse_size(memory) if isinstance(memory, str) else memory
        seconds = DEFAULT_DATE if date is None else parse_date(date)
        events = {"kbd": keys(keyboard), "mouse": moves(mouse)}
        specs = _specs(disks, writable)
        read = [] if source is not None else [place / path for path in module_paths(script)]
        with opened(specs) as images:
            files = on_disk(source, images) if source is not None else Modules(place)
            hardware = load_profile(default_profile(find_architecture(script, files)) if profile is None else profile)
            node = Node(hardware, ram, images, date=seconds)
            images.clear()
        with _closed_if_it_fails(node):
            node.give(events)
            boot_modules(node.kernel, script, dict(variables or {}), None, files)
            return cls(node, place, record, budget, bytes_of(input), _made_of(specs, profile, read))

    @classmethod
    @checked(budget=0)
    def load(
        cls,
        path: str | Path,
        *,
        disks: Mapping[str, str | Path] | None = None,
        writable: Collection[str] = (),
        input: bytes | str = b"",
        folder: str | Path = "",
        record: bool = True,
        budget: int = BUDGET,
    ) -> Machine:
        """A machine that was saved; it goes on. UserError for a file that holds none. The rest is as in `boot`."""
        specs = _specs(disks, writable)
        with opened(specs) as images:
            node = Node.load(Path(path), images)
        with _closed_if_it_fails(node):
            return cls(node, Path(folder), record, budget, bytes_of(input), _made_of(specs))

    def __enter__(self) -> Machine:
        return self

    def __repr__(self) -> str:
        if self._inside is None:
            return "<machine, closed>"
        kernel = self.kernel
        state = f"{kernel.halted.name.lower()}, " if kernel.halted is not None else ""
        when = f"{time_text(self.time)}, {counted(self.traps, 'trap')}, {counted(len(kernel.kern.tasks), 'task')}"
        return f"<machine {kernel.cpu.architecture}, {state}{when}>"

    # What stands behind

    @property
    def node(self) -> Node:
        """The machine's inside, for what this API has no name for: nothing in it is promised to stay."""
        return self._open()

    @property
    def kernel(self) -> Kernel:
        """As `node`. Going back makes another kernel: ask anew after each step."""
        return self.node.kernel

    def _joined(self, kernel: Kernel) -> None:
        """The kernel is another object: who listens joins it."""
        self._join(kernel)
        kernel.input_sources = [self.console.source]
        self.hooks.join(kernel)

    def _rejoin(self) -> None:
        self._join(self.kernel)

    # Where it is

    @property
    def time(self) -> int:
        """Nanoseconds of virtual time since power-on."""
        return self.kernel.kern.clock.now()

    @property
    def traps(self) -> int:
        """Made since power-on."""
        return self.kernel.trap_count

    # Going on

    @checked(duration=0, traps=0)
    def run(self, until: str | Condition | None = None, *, duration: str | int | None = None, traps: int | None = None) -> Reason:
        """Goes on, and says why it ended.

        until: a text that the console prints in a line, or a condition (a function of the machine): what is asked at each
        trap makes a run several times slower. duration: at most so much virtual time, nanoseconds or as "20ms". traps: at most
        so many. KeyboardInterrupt leaves it between two traps.
        """
        limit = FOREVER if traps is None else self.traps + traps
        if callable(until):
            return self._run_slowly(until, self._deadline(duration), limit)
        return self._run(until, duration, lambda time: self._go_on(time, limit))

    def _go_on(self, deadline: int, limit: int) -> Reason:
        """To a time, a count of traps, or where a snapshot is due."""
        if self.traps >= limit:
            return Reason.TRAPS
        due = FOREVER if self._history is None else max(1, self._history.due)
        traps = min(limit - self.traps, due) if due < FOREVER or limit < FOREVER else None
        stop = self._subject.advance(deadline, traps)
        return Reason.DURATION if stop is Stop.TRAPS and self.traps < limit else REASONS[stop]

    def _run_slowly(self, until: Condition, deadline: int, limit: int) -> Reason:
        with self._goes(forwards=True):
            while self.time < deadline and self.traps < limit:
                stop = self._subject.advance(deadline, 1, 1)
                self._mark()
                if until(self):
                    return Reason.UNTIL
                if stop in ENDS:
                    return REASONS[stop]
                self._check()
                if self._stopped:
                    return Reason.STOPPED
        return Reason.DURATION if self.time >= deadline else Reason.TRAPS

    @checked(count=1)
    def step(self, kind: StepKind | str = StepKind.TRAP, count: int = 1) -> Point:
        """Goes on by so many traps, instructions, messages or switches of threads; where it is then.

        EndError where the run ends before.
        """
        what = kind_of(kind)

        def one() -> None:
            stop = self._subject.step(what)
            if stop in ENDS:
                why = "it is halted" if stop is Stop.HALTED else "no thread can run and nothing will wake one"
                raise EndError(f"there is no further {what.value}: {why}; `back` goes back")

        return self._step(count, one)

    @checked(count=1)
    def back(self, kind: StepKind | str = StepKind.TRAP, count: int = 1) -> Point:
        """Goes back by so many; where it is then. EndError where there are not so many since `earliest`."""
        what = kind_of(kind)
        most = partial(self._subject.steps_since, kind=what)
        return self._back(count, most, lambda history: back.last_before(self._subject, history, what) is not None)

    @checked()
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
            self.travel(lambda subject, way: back.to_trap(subject, way, traps))
        return self.point

    def _type(self, data: bytes) -> None:
        """Bytes are typed at the console, here."""
        self.act(lambda: self.kernel.console.receive(data))

    # Hooks

    @checked()
    def on(self, kind: str, hook: Callable[[Any], None]) -> Hook:
        """Calls `hook` with each event of a kind from now on (`machemu.trace.events`): "trap", "result", "message",
        "exception", "fault" (a page fault of user mode that is satisfied, or waits for its page), "end", "note", or "event" for
        all. Call `remove` of what it gives to end that.

        Going back calls no hooks. A hook that raises stops the run, which then raises HookError.
        """
        self._open()
        return self.hooks.add(kind, hook)

    # Keeping it

    def snapshot(self) -> Kept:
        """The machine as it is, with what its console has printed. `restore` takes it. A hook cannot ask for one."""
        self._open()
        self._refuse_running("take a snapshot afterwards")
        return Kept(self._subject.take(), self.console.data, self._subject.kind)

    @checked()
    def restore(self, kept: Kept) -> None:
        """Makes the machine what it was, and begins a new history there. UsageError for a snapshot of another kind of machine."""
        self._open()
        self._refuse_running("restore it afterwards")
        if kept.kind != self._subject.kind:
            raise UsageError(f"the snapshot is of {kept.kind}, and this is {self._subject.kind}: boot one such as that")
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
    return text if isinstance(module, str) and " " in text.strip() else lone_line(text)


@contextmanager
def _closed_if_it_fails(node: Node) -> Iterator[None]:
    try:
        yield
    except BaseException:
        node.close()
        raise


def _specs(disks: Mapping[str, str | Path] | None, writable: Collection[str]) -> dict[str, DiskSpec]:
    for name in writable:
        if name not in (disks or {}):
            raise UsageError(f"no disk {name} is to be writable: name its image among the disks")
    return {name: DiskSpec(Path(path), name in writable) for name, path in (disks or {}).items()}


def _made_of(specs: Mapping[str, DiskSpec], profile: str | None = None, modules: Iterable[Path] = ()) -> list[Path]:
    """The files that a machine is made of."""
    return [*(spec.path for spec in specs.values()), *([Path(profile)] if profile else []), *modules]
