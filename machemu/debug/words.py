"""The words of commands: numbers, tasks, threads, ports, addresses and conditions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from machemu.core.kernel import Kernel
from machemu.core.routines import table
from machemu.core.traps import TRAPS
from machemu.debug.conditions import (
    SEND_OR_RECEIVE,
    Condition,
    Message,
    Printed,
    QueueFull,
    Raised,
    Reached,
    Touched,
    Trap,
    Woken,
    Written,
)
from machemu.debug.errors import CommandError
from machemu.ipc.port import Port
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.lab.errors import UsageError
from machemu.lab.looks import Looks
from machemu.trace.words import task_text

NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19}")
UNTIL: Final = (
    "trap [NAME] | message [ID|ROUTINE] [sent|received] | queue PORT | page TASK ADDRESS | woken THREAD | "
    "at SYMBOL|ADDRESS [TASK] | fault [TASK [ADDRESS]] | exception | console TEXT"
)
WAYS: Final = {"sent": (True,), "received": (False,)}


def number(text: str) -> int:
    """A whole number, decimal or hexadecimal."""
    if not NUMBER.fullmatch(text):
        raise CommandError(f"'{text}' is no number: write it in decimal digits, or in hexadecimal ones as 0x1f")
    return int(text, 0) if text[:2].lower() == "0x" else int(text)


def count(text: str) -> int:
    found = number(text)
    if not found:
        raise CommandError("0 is too few: write 1 or more")
    return found


def task(machine: Looks, text: str) -> Task:
    """By its number, or its program's name."""
    return machine.task(number(text) if NUMBER.fullmatch(text) else text)


def thread(machine: Looks, text: str | None) -> Thread:
    """By its number; without one that which has the CPU, or the only one."""
    if text is not None:
        return machine.thread(number(text))
    current = machine.kernel.kern.sched.current
    threads = [each for task in machine.kernel.kern.tasks.values() for each in task.threads.values()]
    found = current if current is not None else threads[0] if len(threads) == 1 else None
    if found is None:
        raise CommandError("no thread has the CPU: name one by its number, see `threads`")
    return found


def port(machine: Looks, text: str) -> Port:
    """By its number in the machine, or as TASK:NAME by a task's name for it."""
    whose, colon, name = text.rpartition(":")
    if not colon:
        found = machine.kernel.ipc.ports.get(number(text))
        if found is None:
            raise CommandError(f"no port {text}: see `ports`, or write TASK:NAME for a task's own name")
        return found
    owner = task(machine, whose)
    entry = owner.space.lookup(number(name))
    if entry is None or not isinstance(entry.object, Port):
        raise CommandError(f"{task_text(owner.number, owner.name)} has no port named {name}: see `ports {owner.number}`")
    return entry.object


def port_to_come(machine: Looks, text: str) -> tuple[Callable[[Kernel], Port | None], str]:
    """Finds a port, which may not be there yet, by its number or as TASK:NAME; and its name in words."""
    whose, colon, name = text.rpartition(":")
    wanted = number(name)
    if not colon:
        return lambda kernel: kernel.ipc.ports.get(wanted), f"port {wanted}"

    def named(kernel: Kernel) -> Port | None:
        try:
            entry = task(machine, whose).space.lookup(wanted)
        except UsageError:
            return None
        return entry.object if entry is not None and isinstance(entry.object, Port) else None

    there = named(machine.kernel)
    if there is not None:
        wanted = there.number
        return lambda kernel: kernel.ipc.ports.get(wanted), f"port {text}"
    return named, f"port {text}"


def task_to_come(machine: Looks, text: str) -> int:
    """A task's number. By number it may not be there yet."""
    return number(text) if NUMBER.fullmatch(text) else task(machine, text).number


def address(machine: Looks, text: str, whose: int | None = None) -> int:
    """A number, or a symbol with or without an offset, such as main+0x10."""
    if NUMBER.fullmatch(text):
        return number(text)
    name, plus, offset = text.partition("+")
    return (machine.symbols.address(name, whose) + (number(offset) if plus else 0)) & 0xFFFFFFFF


def message_ids(text: str) -> frozenset[int]:
    """Of a routine the request's and the reply's."""
    if NUMBER.fullmatch(text):
        return frozenset((number(text),))
    found = frozenset(table.message_ids(text))
    if not found:
        raise CommandError(f"no routine {text}: write its name, or a message id")
    return found


def condition(machine: Looks, words: Sequence[str]) -> Condition:
    """What a run is to go on to, as UNTIL says. CommandError for anything else."""
    kind, rest = words[0], list(words[1:])
    text = " ".join(words)
    match kind, rest:
        case "trap", [] | [_]:
            return Trap(text, _trap(rest[0]) if rest else "")
        case "message", _ if len(rest) <= 2:
            ways = WAYS[rest.pop()] if rest and rest[-1] in WAYS else SEND_OR_RECEIVE
            if len(rest) <= 1:
                return Message(text, message_ids(rest[0]) if rest else None, ways)
        case "queue", [which]:
            return QueueFull(text, *port_to_come(machine, which))
        case "page", [whose, place]:
            owner = task_to_come(machine, whose)
            return Written(text, owner, address(machine, place, owner))
        case "woken", [which]:
            return Woken(text, number(which))
        case "at", [place]:
            return Reached(text, address(machine, place), None)
        case "at", [place, whose]:
            owner = task_to_come(machine, whose)
            return Reached(text, address(machine, place, owner), owner)
        case "fault", []:
            return Touched(text, None, None)
        case "fault", [whose]:
            return Touched(text, task_to_come(machine, whose), None)
        case "fault", [whose, place]:
            owner = task_to_come(machine, whose)
            return Touched(text, owner, address(machine, place, owner))
        case "exception", []:
            return Raised(text)
        case "console", [_, *_]:
            return Printed(text, " ".join(rest).encode())
    raise CommandError(f"no condition '{text}': write {UNTIL}")


def _trap(name: str) -> str:
    if name not in {each.name for each in TRAPS}:
        raise CommandError(f"no trap {name}: see docs/coverage.md for their names")
    return name
