"""GNU Mach's boot script language: one module a line, symbols in ${...} and $(...).

A line is a path and arguments. `${name}` stands for a symbol's value, behind text or alone; `$(name)` runs a function or looks at
a symbol; `$(a=b)` gives the symbol a the value of b, a function's result included. task-create and ramdisk-create run while their
line is read; task-resume and prompt-task-resume run, in the order of the lines, after all modules are loaded. A symbol without a
value yet is resolved then. Lines without a task are not run. `#` starts a comment line.

GNU Mach takes a function that it does not know for a symbol that nobody asks for, and goes on. Here it is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn, Protocol

from machemu.abi.errors import InvariantError, UserError

BLANKS: Final = " \t\n"


class BootActions(Protocol):
    """What a script does to the machine. Tasks and ports are the machine's own objects, which the script only hands around."""

    def create_task(self, path: str) -> object:
        """A suspended task for the module at `path`."""

    def create_ramdisk(self, path: str) -> str:
        """Makes a disk in memory of the module at `path`; the disk's name."""

    def insert_right(self, task: object, port: object) -> int:
        """Gives the task a send right to a port (or to a task's port); the name that it has there."""

    def execute(self, task: object, path: str, arguments: list[str]) -> None:
        """Loads the module into its task with these arguments, the path first."""

    def resume(self, task: object) -> None:
        """Lets the task run."""


class PortValue(NamedTuple):
    """The value of a symbol that stands for a port or a task."""

    port: object


@dataclass(slots=True)
class Symbol:
    """A name, and its value once it has one: text, a port, or another symbol to be asked later."""

    name: str
    value: str | PortValue | Symbol | None = None


@dataclass(slots=True)
class Argument:
    text: str | None
    value: str | PortValue | Symbol | None = None


@dataclass(slots=True)
class Command:
    """One module's line. is_read: whether its module is, as a task's program or a disk's contents."""

    path: str
    line: int
    task: object | None = None
    is_read: bool = False
    arguments: list[Argument] = field(default_factory=list)
    at_exec: list[str] = field(default_factory=list)


CREATE: Final = "task-create"
RAMDISK: Final = "ramdisk-create"
AT_EXEC: Final = ("task-resume", "prompt-task-resume")


class BootScript:
    """A script being read and then run. `variables`: the symbols that have a value from the start."""

    def __init__(self, actions: BootActions, variables: Mapping[str, str | PortValue]) -> None:
        self.actions = actions
        self.symbols = {name: Symbol(name, value) for name, value in variables.items()}
        self.commands: list[Command] = []
        self.sources: list[tuple[int, Symbol]] = []
        """What stands last in `$(...)` and is no function, with its line."""

    def read(self, text: str, number: int = 1) -> None:
        """Reads one line; `number` is its own, for messages."""
        LineReader(self, text, number).read()

    def run(self) -> None:
        """Loads every module that has a task, then runs what was to wait for that."""
        for line, symbol in self.sources:
            if symbol.value is None:
                raise UserError(
                    f"boot script line {line}: there is no function or symbol '{symbol.name}'; the functions are "
                    f"{', '.join((CREATE, *AT_EXEC, RAMDISK))}"
                )
        ready = [command for command in self.commands if command.task is not None]
        for command in ready:
            arguments = [command.path]
            for argument in command.arguments:
                arguments.append((argument.text or "") + self._value(command, argument))
            self.actions.execute(command.task, command.path, arguments)
        for command in self.commands:
            for name in command.at_exec:
                if command.task is None:
                    raise UserError(f"boot script line {command.line}: mach error: $({name}) without $({CREATE})")
                self.actions.resume(command.task)

    def _value(self, command: Command, argument: Argument) -> str:
        value = argument.value
        seen: list[Symbol] = []
        while isinstance(value, Symbol):
            if value.value is None or value in seen:
                raise UserError(f"boot script line {command.line}: undefined symbol '{value.name}'")
            seen.append(value)
            value = value.value
        if isinstance(value, PortValue):
            return str(self.actions.insert_right(command.task, value.port))
        return value or ""


def task_paths(lines: Sequence[str]) -> list[str]:
    """The modules that get a task, in order."""
    return [command.path for command in _commands(lines) if command.task is not None]


def module_paths(lines: Sequence[str]) -> list[str]:
    """The modules that are read, in order: those that get a task, and those that become disks."""
    return [command.path for command in _commands(lines) if command.is_read]


def _commands(lines: Sequence[str]) -> list[Command]:
    script = BootScript(_NoMachine(), {})
    for number, line in enumerate(lines, 1):
        script.read(line, number)
    return script.commands


class _NoMachine:
    """BootActions for a script that is read and not run."""

    def create_task(self, path: str) -> object:
        return path

    def create_ramdisk(self, path: str) -> str:
        return path

    def _never(self, *_: object) -> NoReturn:
        raise InvariantError("a script runs without a machine")

    insert_right = execute = resume = _never


class LineReader:
    """Reads one line of a script."""

    def __init__(self, script: BootScript, text: str, number: int) -> None:
        self.script = script
        self.text = text
        self.number = number
        self.place = 0

    def read(self) -> None:
        self._skip_blanks()
        if self.place == len(self.text) or self.text[self.place] == "#":
            return
        command = Command(self._word(), self.number)
        argument: Argument | None = None
        while True:
            if argument is None:
                self._skip_blanks()
            if self.place == len(self.text):
                break
            if self.text.startswith(("${", "$("), self.place):
                self._symbol(command, argument)
                argument = None
            else:
                argument = Argument(self._word(until_symbol=True))
                command.arguments.append(argument)
                if not self.text.startswith("${", self.place):
                    argument = None
        self.script.commands.append(command)

    def _skip_blanks(self) -> None:
        while self.place < len(self.text) and self.text[self.place] in BLANKS:
            self.place += 1

    def _word(self, until_symbol: bool = False) -> str:
        start = self.place
        while self.place < len(self.text) and self.text[self.place] not in BLANKS:
            if until_symbol and self.place > start and self.text.startswith("${", self.place):
                break
            self.place += 1
        return self.text[start : self.place]

    def _symbol(self, command: Command, argument: Argument | None) -> None:
        """`${...}` or `$(...)`, with any number of assignments inside."""
        start = self.place
        end = "}" if self.text[self.place + 1] == "{" else ")"
        self.place += 2
        target: Symbol | None = None
        while True:
            name_start = self.place
            while self.place < len(self.text) and self.text[self.place] not in BLANKS + "=" + end:
                self.place += 1
            name = self.text[name_start : self.place]
            if not name or self.place == len(self.text) or self.text[self.place] in (BLANKS if end == ")" else BLANKS + "="):
                raise self._error(start, "syntax error")
            last = self.text[self.place] == end
            self.place += 1
            value = self._look(command, name, end, last, start)
            if target is not None:
                target.value = value
            if last:
                self._use(command, argument, value, end)
                return
            target = self.script.symbols[name]

    def _look(self, command: Command, name: str, end: str, last: bool, start: int) -> str | PortValue | Symbol | None:
        """A symbol's value now; a function's result."""
        if name in (CREATE, RAMDISK, *AT_EXEC):
            if end == "}":
                raise self._error(start, f"invalid variable in expression: '{name}' is a function")
            if not last:
                raise self._error(start, f"invalid variable in assignment: '{name}' is a function")
            if name in AT_EXEC:
                command.at_exec.append(name)
                return None
            command.is_read = True
            if name == RAMDISK:
                return self.script.actions.create_ramdisk(command.path)
            if command.task is None:
                command.task = self.script.actions.create_task(command.path)
            return PortValue(command.task)
        symbol = self.script.symbols.setdefault(name, Symbol(name))
        if last and end == ")":
            self.script.sources.append((self.number, symbol))
        return symbol if symbol.value is None else symbol.value

    def _use(self, command: Command, argument: Argument | None, value: str | PortValue | Symbol | None, end: str) -> None:
        if end != "}":
            return
        if argument is not None:
            argument.value = value
        else:
            command.arguments.append(Argument(None, value))

    def _error(self, place: int, what: str) -> UserError:
        return UserError(f"boot script line {self.number}, column {place + 1}: {what}: {self.text.strip()}")
