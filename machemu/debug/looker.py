"""Looking into a machine, or a node of a cluster: the prompt's commands that change nothing, and what all prompts share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from machemu.debug import behind, why, words
from machemu.debug.completion import completions
from machemu.debug.errors import CommandError
from machemu.debug.expressions import Function, Value, evaluate, is_true, shown
from machemu.debug.facts import facts
from machemu.debug.show import dump, instruction_lines
from machemu.lab.console import Console
from machemu.lab.looks import Looks
from machemu.lab.tables import Table
from machemu.lab.travel import StepKind
from machemu.sim.units import counted

LINE_MAX: Final = 4096
"""Characters of a command."""
COUNT_MAX: Final = 100_000
"""Steps of one command."""
MEMORY_MAX: Final = 4096
CODE_MAX: Final = 1000
KINDS: Final = {kind.value: kind for kind in StepKind}


class AssertError(CommandError):
    """What was asserted is not so."""


class Quit(Exception):
    """The user wants to leave."""


class Command(NamedTuple):
    """usage: its words behind the name. text: what it does, in a line. short: other names."""

    call: Callable[[list[str], str], None]
    usage: str
    text: str
    short: tuple[str, ...] = ()


class Looker(ABC):
    """say: takes a line. may_save: UserError for a file that is not to be written. reason: why it stands where it does.
    asked: takes a question of a lesson, and what are right answers to it.

    Each command is a function of the words behind its name, and of the rest of the line.
    """

    def __init__(self, say: Callable[[str], None], may_save: Callable[[Path], None]) -> None:
        self.say = say
        self.may_save = may_save
        self.reason = "the beginning"
        self.asked: Callable[[str, list[Value]], None] = lambda name, values: self.say(
            f"question {name}: {' | '.join(map(shown, values))}"
        )
        self.facts: Mapping[str, Function] = facts(self)
        self.commands: dict[str, Command] = {**self.goings(), **self._lookings()}
        self.names = {name: name for name in self.commands} | {
            short: name for name, command in self.commands.items() for short in command.short
        }

    @property
    @abstractmethod
    def looks(self) -> Looks:
        """What is looked into."""

    @property
    @abstractmethod
    def screen(self) -> Console:
        """Its console."""

    @abstractmethod
    def sum(self) -> str:
        """The digest."""

    @abstractmethod
    def write(self, path: Path) -> None:
        """Saves all to a file."""

    @abstractmethod
    def goings(self) -> dict[str, Command]:
        """The commands that go somewhere."""

    def _lookings(self) -> dict[str, Command]:
        return {
            "tasks": Command(lambda w, _: self.table(w, self.looks.tasks), "", "all tasks"),
            "threads": Command(lambda w, _: self.table(w, self.looks.threads), "", "all threads and what they do", ("t",)),
            "ports": Command(self.ports, "[TASK | all]", "ports that tasks receive from; a task's rights; all ports"),
            "queue": Command(self.queue, "PORT", "the messages in a port's queue"),
            "map": Command(self.map, "[TASK]", "the regions of tasks' memory"),
            "regs": Command(self.regs, "[THREAD]", "a thread's registers"),
            "dis": Command(self.dis, "[ADDRESS|SYMBOL] [N] [TASK]", "instructions, from where the thread is without an address"),
            "mem": Command(self.mem, "TASK ADDRESS|SYMBOL [SIZE]", "memory of a task", ("x",)),
            "page": Command(self.page, "TASK ADDRESS|SYMBOL", "what is behind an address: region, objects, frame"),
            "symbols": Command(self.symbols, "[PART]", "symbols whose name holds a part"),
            "why": Command(self.why, "[THREAD]", "what a thread waits for, and who could wake it"),
            "type": Command(self.type, "TEXT", "type a line at the console"),
            "console": Command(self.console, "", "all that the console has printed"),
            "print": Command(self.print, "EXPRESSION", "what an expression is, such as traps or queue(7)", ("p",)),
            "assert": Command(self.assert_, "EXPRESSION", "an error where it is not true"),
            "question": Command(self.question, "NAME EXPRESSION [| EXPRESSION]", "what answers a question of a lesson"),
            "digest": Command(self.digest, "", "SHA-256 over the machine: equal digests, equal machines"),
            "save": Command(self.save, "FILE", "write the whole machine to a file"),
            "help": Command(self.help, "[COMMAND]", "the commands, or what one does", ("h", "?")),
            "quit": Command(self.quit, "", "leave", ("q",)),
        }

    def do(self, line: str) -> None:
        """A line: a command, a comment behind #, or nothing. CommandError and other UserErrors for what cannot be."""
        check_line(line)
        line = line.strip()
        if is_nothing(line):
            return
        name, _, rest = line.partition(" ")
        self.command(name).call(rest.split(), rest.strip())

    def command(self, name: str) -> Command:
        """By its name, a short one, or the begin of one that no other has."""
        full = self.names.get(name)
        if full is None:
            found = [each for each in self.commands if each.startswith(name)]
            if len(found) != 1:
                what = f"'{name}' may be {', '.join(found)}" if found else f"no command '{name[:40]}'"
                raise CommandError(f"{what}: `help` lists the commands")
            full = found[0]
        return self.commands[full]

    def complete(self, before: str, begun: str) -> list[str]:
        """What a word that is begun may be. before: the line in front of it."""
        given = before.split()
        if not given:
            known: Iterable[str] = self.commands
        elif given[0] in ("print", "assert"):
            known = self.facts
        else:
            known = completions(self.looks, given)
        return sorted(word for word in known if word.startswith(begun))

    def table(self, given: list[str], table: Table[Any]) -> None:
        self._none(given, "this command")
        self._lines(repr(table).splitlines())

    def ports(self, given: list[str], _: str) -> None:
        machine = self.looks
        if not given:
            self._lines(repr(Table(row for row in machine.ports if row.receiver)).splitlines())
        elif given == ["all"]:
            self._lines(repr(machine.ports).splitlines())
        else:
            task = words.task(machine, self._one(given, "ports"))
            self._lines(repr(machine.rights.where(task=task.number)).splitlines())

    def queue(self, given: list[str], _: str) -> None:
        port = words.port(self.looks, self._one(given, "queue"))
        senders = f", {counted(len(port.senders.threads), 'thread')} wait to send" if port.senders.threads else ""
        self.say(f"port {port.number}: {counted(port.msgcount, 'message')} of {port.qlimit}{senders}")
        messages = self.looks.messages.where(port=port.number)
        if messages:
            self._lines(repr(messages).splitlines())

    def map(self, given: list[str], _: str) -> None:
        maps = self.looks.maps
        if given:
            maps = maps.where(task=words.task(self.looks, self._one(given, "map")).number)
        self._lines(repr(maps).splitlines())

    def regs(self, given: list[str], _: str) -> None:
        thread = words.thread(self.looks, self._one(given, "regs") if given else None)
        values = [f"{name:>4} {value:#010x}" for name, value in self.looks.registers(thread.number).items()]
        self._lines("  ".join(values[start : start + 4]) for start in range(0, len(values), 4))

    def dis(self, given: list[str], _: str) -> None:
        machine = self.looks
        if len(given) > 3:
            raise CommandError(f"dis {self.commands['dis'].usage}: too many words")
        count = min(words.count(given[1]), CODE_MAX) if len(given) > 1 else 8
        if len(given) > 2:
            task = words.task(machine, given[2])
            thread = next(iter(task.threads.values()), None)
            if thread is None:
                raise CommandError(f"task {task.number} has no threads")
        else:
            thread = words.thread(machine, None)
        place = self._place(given[0], thread.task.number) if given else None
        self._lines(list(instruction_lines(machine, thread, count, place)) or ["no instruction is there"])

    def mem(self, given: list[str], _: str) -> None:
        machine = self.looks
        if not 2 <= len(given) <= 3:
            raise CommandError(f"mem {self.commands['mem'].usage}: two or three words are wanted")
        task = words.task(machine, given[0])
        place = self._place(given[1], task.number)
        size = words.count(given[2]) if len(given) > 2 else 64
        if size > MEMORY_MAX:
            raise CommandError(f"{size} bytes are too many: at most {MEMORY_MAX}")
        self._lines(dump(place, machine.read(task.number, place, size)))

    def page(self, given: list[str], _: str) -> None:
        if len(given) != 2:
            raise CommandError(f"page {self.commands['page'].usage}: two words are wanted")
        task = words.task(self.looks, given[0])
        self._lines(behind.explain(self.looks, task, self._place(given[1], task.number)))

    def symbols(self, given: list[str], _: str) -> None:
        part = self._one(given, "symbols") if given else ""
        found = self.looks.symbols
        lines = [f"task {row.task} {row.address!r} {row.name}" for row in found if part in row.name]
        self._lines(lines or [f"no symbol has '{part}' in its name" if part else "no symbols"])

    def why(self, given: list[str], _: str) -> None:
        thread = words.thread(self.looks, self._one(given, "why") if given else None)
        self._lines(why.explain(self.looks.kernel, thread))

    def type(self, _: list[str], text: str) -> None:
        self.screen.type(text + "\n")

    def console(self, given: list[str], _: str) -> None:
        self._none(given, "console")
        self._lines(self.screen.lines)

    def print(self, _: list[str], text: str) -> None:
        self.say(shown(evaluate(text, self.facts)))

    def assert_(self, _: list[str], text: str) -> None:
        if not is_true(text, self.facts):
            raise AssertError(f"not so: {text}")

    def question(self, given: list[str], text: str) -> None:
        if len(given) < 2:
            raise CommandError(f"question {self.commands['question'].usage}: two words or more are wanted")
        self.asked(given[0], [evaluate(each, self.facts) for each in text.partition(given[0])[2].split("|")])

    def digest(self, given: list[str], _: str) -> None:
        self._none(given, "digest")
        self.say(self.sum())

    def save(self, given: list[str], text: str) -> None:
        if not text:
            raise CommandError("save FILE: name a file")
        self.may_save(Path(text))
        self.write(Path(text))

    def help(self, given: list[str], _: str) -> None:
        if given:
            asked = self._one(given, "help")
            command = self.command(asked)
            name = next((name for name, each in self.commands.items() if each is command), asked)
            self.say(f"{name} {command.usage}".rstrip() + f": {command.text}")
            if command.short:
                self.say(f"also {', '.join(command.short)}")
            if "KIND" in command.usage:
                self.say(f"KIND: {', '.join(KINDS)}; a trap without")
            if "UNTIL" in command.usage:
                self.say(f"UNTIL: {words.UNTIL}")
            if "EXPRESSION" in command.usage:
                self.say(f"names: {', '.join(self.facts)}; signs: or and not == != < <= > >= contains + - *")
            return
        width = max(len(f"{name} {each.usage}") for name, each in self.commands.items())
        for name, each in self.commands.items():
            self.say(f"{f'{name} {each.usage}':<{width}}  {each.text}")

    def quit(self, _: list[str], __: str) -> None:
        raise Quit

    # What they share

    def _place(self, text: str, task: int) -> int:
        """An address: a number, a symbol, or an expression with a bracket and without blanks, such as argument(1)+4."""
        if "(" not in text:
            return words.address(self.looks, text, task)
        found = evaluate(text, self.facts)
        if isinstance(found, bool) or not isinstance(found, int):
            raise CommandError(f"{text} is {shown(found)}, and no address")
        return found & 0xFFFFFFFF

    def _kind(self, given: Sequence[str], name: str) -> tuple[StepKind, int]:
        kind, count, left = StepKind.TRAP, 1, list(given)
        if left and not left[0][:1].isdigit():
            matching = [each for text, each in KINDS.items() if text.startswith(left[0])]
            if len(matching) != 1:
                raise CommandError(f"no kind of step '{left[0]}': there are {', '.join(KINDS)}")
            kind = matching[0]
            del left[0]
        if left:
            count = words.count(left.pop(0))
        if left:
            raise CommandError(f"{name} [KIND] [N]: '{left[0]}' is too much")
        if count > COUNT_MAX:
            raise CommandError(f"{count} steps are too many: at most {COUNT_MAX}; `run traps N` goes further")
        return kind, count

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.say(line)

    def _one(self, given: Sequence[str], name: str) -> str:
        if len(given) != 1:
            raise CommandError(f"{name} {self.commands[name].usage}: one word is wanted, not {len(given)}")
        return given[0]

    def _none(self, given: Sequence[str], name: str) -> None:
        if given:
            raise CommandError(f"{name} takes no words: '{given[0]}' is too much")


def check_line(line: str) -> None:
    """CommandError for what is no text of a line, and for one that is too long."""
    if len(line) > LINE_MAX:
        raise CommandError(f"a line of {len(line)} characters: a command has at most {LINE_MAX}")
    bad = next((character for character in line if not character.isprintable() and character != "\t"), None)
    if bad is not None:
        raise CommandError(f"character {ord(bad):#x} has no place in a command")


def is_nothing(line: str) -> bool:
    """Whether a line is blank or a comment."""
    return line.strip()[:1] in ("", "#")
