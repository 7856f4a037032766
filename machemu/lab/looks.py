"""What a machine, or a node of a cluster, shows of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from machemu.core.kernel import Kernel
from machemu.device.mem import screen
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.lab import look, views
from machemu.lab.checks import checked
from machemu.lab.errors import UsageError
from machemu.lab.symbols import Symbols
from machemu.lab.tables import Table
from machemu.trace.names import file_name, short_name


class Looks(ABC):
    """Looking changes nothing. Tables are of the moment: ask anew after each step."""

    _folder: Path
    """Where the paths of its tasks' executables begin."""

    @property
    @abstractmethod
    def kernel(self) -> Kernel:
        """The inside, for what this API has no name for: nothing in it is promised to stay, and going back makes another."""

    @property
    def screen(self) -> str | None:
        """The 25 lines of a PC's text screen, without blanks at their ends; None where the machine has none."""
        return screen(self.kernel.devices.drivers)

    @property
    def tasks(self) -> Table[views.TaskRow]:
        return Table(views.tasks(self.kernel))

    @property
    def threads(self) -> Table[views.ThreadRow]:
        return Table(views.threads(self.kernel))

    @property
    def ports(self) -> Table[views.PortRow]:
        """All ports of the machine."""
        return Table(views.ports(self.kernel))

    @property
    def rights(self) -> Table[views.RightRow]:
        """The port name spaces of all tasks."""
        return Table(views.rights(self.kernel))

    @property
    def messages(self) -> Table[views.MessageRow]:
        """What is in the queues of ports."""
        return Table(views.messages(self.kernel))

    @property
    def maps(self) -> Table[views.RegionRow]:
        """The address maps of all tasks."""
        return Table(views.regions(self.kernel))

    @property
    def symbols(self) -> Symbols:
        """Of the executables that the tasks were booted from."""
        return Symbols(self._folder, {task.number: task.name for task in self.kernel.kern.tasks.values()})

    @checked()
    def task(self, which: int | str) -> Task:
        """A task by its number or name: its path, or the file's name, also without what is behind the dot. UsageError where there
        is none, or several."""
        tasks = list(self.kernel.kern.tasks.values())
        if isinstance(which, int):
            found = [task for task in tasks if task.number == which]
        else:
            ways = (str, file_name, lambda name: Path(file_name(name)).stem, short_name)
            called = ([task for task in tasks if way(task.name) == which] for way in ways)
            found = next(filter(None, called), [])
        if len(found) != 1:
            known = ", ".join(f"{task.number} ({file_name(task.name)})" for task in tasks)
            raise UsageError(f"{'no' if not found else 'more than one'} task {which}: there are {known}")
        return found[0]

    @checked()
    def thread(self, number: int) -> Thread:
        """A thread by its number. UsageError where there is none."""
        found = look.thread_of(self.kernel, number)
        if found is None:
            raise UsageError(f"no thread {number}: see `threads`")
        return found

    @checked(size=0)
    def read(self, task: int | str, address: int, size: int) -> bytes:
        """Memory of a task. UsageError where nothing is mapped, or the page is with its memory manager."""
        return look.read(self.kernel, self.task(task), address, size)

    @checked()
    def registers(self, thread: int) -> dict[str, int]:
        """Of a thread, by their names."""
        return look.registers(self.kernel, self.thread(thread))

    @checked(count=0)
    def disassemble(self, thread: int, count: int = 8, address: int | None = None) -> list[tuple[int, bytes, str]]:
        """Instructions from an address, or from where a thread is: address, bytes, text."""
        found = self.thread(thread)
        return look.disassemble(self.kernel, found.task, found.pcb.pc if address is None else address, count)
