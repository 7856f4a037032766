"""Kinds of `[[actions]]` for tasks that move: `migrate`, `stay` and `block`.

Each asks its node's migration manager, and says on the node's console what became of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, Self

from machemu.abi.device import D_WRITE
from machemu.abi.kern_return import KERN_NO_ACCESS
from machemu.mig.interfaces.device import DEVICE_OPEN, DEVICE_WRITE_INBAND
from machemu.mig.interfaces.mach import TASK_TERMINATE
from machemu.sim.state import U32, Right, state
from machemu.user.kit import Answer, HostServer, answered
from machemu.user.mach import Mach
from masix.control import options
from masix.interfaces import acs, migration
from masix.migration import manager, report
from masix.migration.node_server import name_at
from masix.migration.state import numbers_of

TASK_MAX: Final = 1023
"""Bytes of a task's name, or its number."""
NODE_MAX: Final = 79
"""Bytes of a node's name."""
TASK: Final = 'a name or a number in quotes, such as task = "8"'
NODE: Final = 'the name of a node, such as to = "beta"'
INBAND_MAX: Final = 128
"""Bytes that a request to write may bring in line."""


@state
class Operator(HostServer):
    """Asks its node's migration manager what a subclass says, and ends once all that it had to say is written."""

    __slots__ = ("console", "ends", "host", "lines", "manager", "node")
    kind: ClassVar[str]
    host: str  # the node's name
    node: U32  # its number
    console: Right  # its console, or 0
    lines: list[bytes]  # pieces still to be written there, the first one under way
    manager: Right
    ends: bool  # it has nothing more to ask

    def __init__(self, node: int, host: str) -> None:
        super().__init__()
        self.node = node
        self.host = host
        self.console = self.manager = 0
        self.lines = []
        self.ends = False

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes, host: str, **given: Any) -> Self:
        return cls(node, host, **given)

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.ask(mach, self._opened, mach.given("device-port"), (D_WRITE, b"console"))

    @answered(DEVICE_OPEN)
    def _opened(self, mach: Mach, answer: Answer) -> None:
        self.console = answer.right
        self.ask(mach, self._found, mach.name_server(), (name_at(manager.NAME, self.host.encode()),))

    @answered(acs.ACS_LOOK_UP_HERE)
    def _found(self, mach: Mach, answer: Answer) -> None:
        self.manager = answer.right
        if self.manager:
            self.begin(mach)
        elif answer.code == KERN_NO_ACCESS:
            self.end(mach, [f"{self.kind}: the cluster file's list `privileged` lacks the package masix, whose digest it needs"])
        else:
            self.end(mach, [f"{self.kind}: {self.host} has no migration manager: its `servers` lack those of docs/migration.md"])

    def begin(self, mach: Mach) -> None:
        """Asks the manager, which is there."""
        raise NotImplementedError

    def say(self, mach: Mach, lines: Iterable[str]) -> None:
        is_idle = not self.lines
        for line in lines:
            mach.note(line)
            data = f"{line}\n".encode()
            self.lines += [data[start : start + INBAND_MAX] for start in range(0, len(data), INBAND_MAX)]
        if is_idle and self.lines:
            self._write(mach)

    def end(self, mach: Mach, lines: Iterable[str]) -> None:
        self.ends = True
        self.say(mach, lines)

    def _write(self, mach: Mach) -> None:
        self.ask(mach, self._written, self.console, (0, 0, self.lines[0]))

    @answered(DEVICE_WRITE_INBAND)
    def _written(self, mach: Mach, answer: Answer) -> None:
        del self.lines[0]
        if self.lines:
            self._write(mach)
        elif self.ends:
            mach.request(TASK_TERMINATE, mach.task_self(), ())


@state
class Migrate(Operator):
    """`migrate`: moves the tasks called `task`, and those that can only move with them, to the node `to`."""

    __slots__ = ("task", "to")
    kind = "migrate"
    task: str
    to: str

    def __init__(self, node: int, host: str, task: str, to: str) -> None:
        super().__init__(node, host)
        self.task = options.text("task", task, TASK_MAX, TASK)
        self.to = options.text("to", to, NODE_MAX, NODE)

    def check_nodes(self, names: Sequence[str]) -> None:
        options.node("to", self.to, names)

    @staticmethod
    def in_words(words: Sequence[str]) -> dict[str, str]:
        """At the stepper's prompt. ValueError for other words."""
        match words:
            case [task, "to", node]:
                return {"task": task, "to": node}
        raise ValueError("write TASK to NODE, of a task of the node that is chosen")

    def begin(self, mach: Mach) -> None:
        self.say(mach, [f"migrate: {self.task} goes to {self.to}"])
        self.ask(mach, self._moved, self.manager, (self.task.encode(), self.to.encode()))

    @answered(migration.MIGRATION_MOVE)
    def _moved(self, mach: Mach, answer: Answer) -> None:
        if answer.code:
            self.end(mach, [f"migrate: {self.task}: {report.refusal(answer.code)}"])
            return
        outcome, words = answer.results
        told = report.report_of(numbers_of(mach.order, words))
        lines = [f"migrate: {self.task}: {report.described(outcome, told)}"]
        if outcome == report.MOVED:
            lines += [f"  {line}" for line in report.table(told, self.node, self.host)]
        self.end(mach, lines)


@state
class Stay(Operator):
    """`stay`: the tasks called `task` stay where they are; with `stays = false` they need not any more."""

    __slots__ = ("stays", "task")
    kind = "stay"
    task: str
    stays: bool

    def __init__(self, node: int, host: str, task: str, stays: bool = True) -> None:
        super().__init__(node, host)
        self.task = options.text("task", task, TASK_MAX, TASK)
        self.stays = options.truth("stays", stays)

    @staticmethod
    def in_words(words: Sequence[str]) -> dict[str, str]:
        match words:
            case [task]:
                return {"task": task}
        raise ValueError("write TASK, of the node that is chosen")

    def begin(self, mach: Mach) -> None:
        self.ask(mach, self._done, self.manager, (self.task.encode(), self.stays))

    @answered(migration.MIGRATION_STAY)
    def _done(self, mach: Mach, answer: Answer) -> None:
        said = "stays" if self.stays else "may move"
        self.end(mach, [f"stay: {self.task} {said}" if not answer.code else f"stay: {self.task}: {report.refusal(answer.code)}"])


@state
class Block(Operator):
    """`block`: no task may come to the node; with `blocks = false` they may again."""

    __slots__ = ("blocks",)
    kind = "block"
    blocks: bool

    def __init__(self, node: int, host: str, blocks: bool = True) -> None:
        super().__init__(node, host)
        self.blocks = options.truth("blocks", blocks)

    @staticmethod
    def in_words(words: Sequence[str]) -> dict[str, str]:
        if words:
            raise ValueError("write nothing behind it: the node is the one that is chosen")
        return {}

    def begin(self, mach: Mach) -> None:
        self.ask(mach, self._done, self.manager, (self.blocks,))

    @answered(migration.MIGRATION_BLOCK)
    def _done(self, mach: Mach, answer: Answer) -> None:
        said = f"takes {'no ' if self.blocks else ''}tasks" if not answer.code else report.refusal(answer.code)
        self.end(mach, [f"block: {self.host}: {said}" if answer.code else f"block: {self.host} {said}"])
