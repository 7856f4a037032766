"""The prompt's commands over a machine: each is a function of the words behind its name, and says what it has to say."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TextIO

from machemu.core.kernel import FOREVER, Stop
from machemu.debug import search, story, why, words
from machemu.debug.completion import completions
from machemu.debug.conditions import Condition
from machemu.debug.errors import CommandError
from machemu.debug.expressions import Function, evaluate, is_true, shown
from machemu.debug.facts import facts
from machemu.debug.show import dump, instruction_lines, location
from machemu.lab.errors import EndError
from machemu.lab.machine import Machine
from machemu.lab.travel import Point, StepKind
from machemu.sim.units import counted, parse_time, time_text
from machemu.trace.events import Tracer

LINE_MAX: Final = 4096
"""Characters of a command."""
COUNT_MAX: Final = 100_000
"""Steps of one command."""
LAST_MAX: Final = 10_000
"""Traps whose trace one command shows."""
MEMORY_MAX: Final = 4096
CODE_MAX: Final = 1000
KINDS: Final = {kind.value: kind for kind in StepKind}
ENDED: Final = {
    Stop.TIME: "the time is over",
    Stop.TRAPS: "so many traps are made",
    Stop.WEDGED: "no thread can run, and nothing will wake one",
    Stop.HALTED: "the machine has ended",
    Stop.INTERRUPTED: "interrupted",
    Stop.ASKED: "",
}


class View(Tracer, Protocol):
    """A trace as text."""

    def finish(self) -> None:
        """What is still held goes out."""


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


class Stepper:
    """say: takes a line. view: makes a trace on a stream of text. may_save: UserError for a file that is not to be written."""

    def __init__(
        self,
        machine: Machine,
        say: Callable[[str], None],
        view: Callable[[TextIO], View],
        may_save: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self.machine = machine
        self.say = say
        self.view = view
        self.may_save = may_save
        self.breakpoints: dict[int, Condition] = {}
        self.tracing = False
        self.reason = "the beginning"
        self._last_number = 0
        self.facts: dict[str, Function] = facts(machine, lambda: self.reason)
        self.commands = self._commands()
        self.names = {name: name for name in self.commands} | {
            short: name for name, command in self.commands.items() for short in command.short
        }

    def _commands(self) -> dict[str, Command]:
        machine = self.machine
        return {
            "step": Command(self.step, "[KIND] [N]", "go on by traps, instructions, messages or switches of threads", ("s",)),
            "back": Command(self.back, "[KIND] [N]", "go back by so many", ("bk",)),
            "run": Command(self.run, "[UNTIL | for TIME | traps N]", "go on to a condition, a breakpoint or the end", ("r", "c")),
            "run-back": Command(self.run_back, "[UNTIL]", "go back to the last point where a condition came", ("rb",)),
            "break": Command(self.break_, "[UNTIL]", "set a breakpoint for all runs, or list them", ("b",)),
            "delete": Command(self.delete, "N | all", "take a breakpoint away", ("d",)),
            "where": Command(self.where, "", "where the machine is, and how far back it can go", ("w",)),
            "tasks": Command(lambda w, _: self.table(w, machine.tasks), "", "all tasks"),
            "threads": Command(lambda w, _: self.table(w, machine.threads), "", "all threads and what they do", ("t",)),
            "ports": Command(self.ports, "[TASK | all]", "ports that tasks receive from; a task's rights; all ports"),
            "queue": Command(self.queue, "PORT", "the messages in a port's queue"),
            "map": Command(self.map, "[TASK]", "the regions of tasks' memory"),
            "regs": Command(self.regs, "[THREAD]", "a thread's registers"),
            "dis": Command(self.dis, "[ADDRESS|SYMBOL] [N] [TASK]", "instructions, from where the thread is without an address"),
            "mem": Command(self.mem, "TASK ADDRESS|SYMBOL [SIZE]", "memory of a task", ("x",)),
            "symbols": Command(self.symbols, "[PART]", "symbols whose name holds a part"),
            "why": Command(self.why, "[THREAD]", "what a thread waits for, and who could wake it"),
            "trace": Command(self.trace, "on | off | last N", "show the calls of each run; or those of the last N traps"),
            "type": Command(self.type, "TEXT", "type a line at the console"),
            "console": Command(self.console, "", "all that the console has printed"),
            "print": Command(self.print, "EXPRESSION", "what an expression is, such as traps or queue(7)", ("p",)),
            "assert": Command(self.assert_, "EXPRESSION", "an error where it is not true"),
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
            known = completions(self.machine, given)
        return sorted(word for word in known if word.startswith(begun))

    # Going

    def step(self, given: list[str], _: str) -> None:
        kind, count = self._kind(given, "step")
        begin = self.machine.point
        try:
            self.machine.step(kind, count)
            self.reason = f"step {kind.value}"
        finally:
            self._tell(begin)
        self._here()

    def back(self, given: list[str], _: str) -> None:
        kind, count = self._kind(given, "back")
        self._safely(lambda: self.machine.back(kind, count))
        self.reason = f"back {kind.value}"
        self._here()

    def run(self, given: list[str], _: str) -> None:
        begin, machine = self.machine.point, self.machine
        deadline, traps, until = FOREVER, FOREVER, []
        match given:
            case ["for", time]:
                deadline = machine.time + parse_time(time)
            case ["traps", number]:
                traps = machine.traps + words.count(number)
            case [_, *_]:
                until = [words.condition(machine, given)]
        numbers = list(self.breakpoints)
        conditions = [*self.breakpoints.values(), *until]
        try:
            found = machine.travel(lambda subject, way: search.forwards(subject, way, conditions, deadline, traps))
            self.reason = self._name(found, numbers, conditions) or ENDED[found.stop]
        finally:
            if self.tracing:
                self._tell(begin)
        self.say(self.reason)
        if until and found.condition is None:
            raise EndError(f"the run ended before '{until[0].text}' came")
        self._here()

    def run_back(self, given: list[str], _: str) -> None:
        machine = self.machine
        conditions = [*self.breakpoints.values(), *([words.condition(machine, given)] if given else [])]
        numbers = list(self.breakpoints)
        start = machine.point
        found = self._safely(lambda: machine.travel(lambda subject, way: search.backwards(subject, way, conditions)))
        if found.condition is None and given:
            machine.go(start)
            raise EndError(f"'{' '.join(given)}' did not come before here")
        self.reason = self._name(found, numbers, conditions) or "the earliest point"
        self.say(self.reason)
        self._here()

    def break_(self, given: list[str], _: str) -> None:
        if given:
            self._last_number += 1
            made = self.breakpoints[self._last_number] = words.condition(self.machine, given)
            self.say(f"breakpoint {self._last_number}: {made.text}")
        else:
            self._lines(f"{number}: {each.text}" for number, each in self.breakpoints.items())

    def delete(self, given: list[str], _: str) -> None:
        if given == ["all"]:
            self.breakpoints.clear()
            return
        number = words.number(self._one(given, "delete"))
        if self.breakpoints.pop(number, None) is None:
            raise CommandError(f"no breakpoint {number}: `break` lists them")

    # Looking

    def where(self, given: list[str], _: str) -> None:
        self._none(given, "where")
        self._here()
        first = self.machine.earliest
        self.say(f"back to {time_text(first.time)}, {counted(first.traps, 'trap')}")

    def table(self, given: list[str], table: object) -> None:
        self._none(given, "this command")
        self._lines(repr(table).splitlines())

    def ports(self, given: list[str], _: str) -> None:
        machine = self.machine
        if not given:
            self._lines(repr(type(machine.ports)(row for row in machine.ports if row.receiver)).splitlines())
        elif given == ["all"]:
            self._lines(repr(machine.ports).splitlines())
        else:
            task = words.task(machine, self._one(given, "ports"))
            self._lines(repr(machine.rights.where(task=task.number)).splitlines())

    def queue(self, given: list[str], _: str) -> None:
        port = words.port(self.machine, self._one(given, "queue"))
        senders = f", {counted(len(port.senders.threads), 'thread')} wait to send" if port.senders.threads else ""
        self.say(f"port {port.number}: {counted(port.msgcount, 'message')} of {port.qlimit}{senders}")
        messages = self.machine.messages.where(port=port.number)
        if messages:
            self._lines(repr(messages).splitlines())

    def map(self, given: list[str], _: str) -> None:
        maps = self.machine.maps
        if given:
            maps = maps.where(task=words.task(self.machine, self._one(given, "map")).number)
        self._lines(repr(maps).splitlines())

    def regs(self, given: list[str], _: str) -> None:
        thread = words.thread(self.machine, self._one(given, "regs") if given else None)
        values = [f"{name:>4} {value:#010x}" for name, value in self.machine.registers(thread.number).items()]
        self._lines("  ".join(values[start : start + 4]) for start in range(0, len(values), 4))

    def dis(self, given: list[str], _: str) -> None:
        machine = self.machine
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
        place = words.address(machine, given[0], thread.task.number) if given else None
        self._lines(instruction_lines(machine, thread, count, place))

    def mem(self, given: list[str], _: str) -> None:
        machine = self.machine
        if not 2 <= len(given) <= 3:
            raise CommandError(f"mem {self.commands['mem'].usage}: two or three words are wanted")
        task = words.task(machine, given[0])
        place = words.address(machine, given[1], task.number)
        size = words.count(given[2]) if len(given) > 2 else 64
        if size > MEMORY_MAX:
            raise CommandError(f"{size} bytes are too many: at most {MEMORY_MAX}")
        self._lines(dump(place, machine.read(task.number, place, size)))

    def symbols(self, given: list[str], _: str) -> None:
        part = self._one(given, "symbols") if given else ""
        found = self.machine.symbols
        self._lines(f"task {row.task} {row.address!r} {row.name}" for row in found if part in row.name)

    def why(self, given: list[str], _: str) -> None:
        thread = words.thread(self.machine, self._one(given, "why") if given else None)
        self._lines(why.explain(self.machine.kernel, thread))

    def trace(self, given: list[str], _: str) -> None:
        match given:
            case ["on" | "off" as which]:
                self.tracing = which == "on"
            case ["last", number]:
                end = self.machine.point
                traps = max(end.traps - min(words.count(number), LAST_MAX), self.machine.earliest.traps)
                self._lines(self.machine.travel(lambda subject, way: story.of_traps(subject, way, traps, end, self._viewed)))
            case _:
                raise CommandError(f"trace {self.commands['trace'].usage}: one of these is wanted")

    def type(self, _: list[str], text: str) -> None:
        self.machine.console.type(text + "\n")

    def console(self, given: list[str], _: str) -> None:
        self._none(given, "console")
        self._lines(self.machine.console.lines)

    def print(self, _: list[str], text: str) -> None:
        self.say(shown(evaluate(text, self.facts)))

    def assert_(self, _: list[str], text: str) -> None:
        if not is_true(text, self.facts):
            raise AssertError(f"not so: {text}")

    def digest(self, given: list[str], _: str) -> None:
        self._none(given, "digest")
        self.say(self.machine.digest())

    def save(self, given: list[str], text: str) -> None:
        if not text:
            raise CommandError("save FILE: name a file")
        self.may_save(Path(text))
        self.machine.save(Path(text))

    def help(self, given: list[str], _: str) -> None:
        if given:
            command = self.command(self._one(given, "help"))
            name = next(name for name, each in self.commands.items() if each is command)
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

    def _name(self, found: search.Found, numbers: Sequence[int], conditions: Sequence[Condition]) -> str:
        if found.condition is None:
            return ""
        text = conditions[found.condition].text
        return f"breakpoint {numbers[found.condition]}: {text}" if found.condition < len(numbers) else text

    def _safely(self, way: Callable[[], search.Found | Point]) -> search.Found:
        """Goes a way back; where the user breaks it off, the machine stands where it did."""
        start = self.machine.point
        try:
            found = way()
        except KeyboardInterrupt:
            self.machine.go(start)
            raise
        return found if isinstance(found, search.Found) else search.Found(None, Stop.TIME)

    def _tell(self, begin: Point) -> None:
        """The calls since a point, as far as they are the last LAST_MAX traps."""
        end = self.machine.point
        if end > begin:
            self._lines(self.machine.travel(lambda subject, way: story.between(subject, way, begin, end, self._viewed, LAST_MAX)))

    def _viewed(self) -> tuple[View, io.StringIO]:
        out = io.StringIO()
        return self.view(out), out

    def _here(self) -> None:
        self._lines(location(self.machine))

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
