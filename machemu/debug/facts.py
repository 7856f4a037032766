"""What expressions can ask a machine for."""

from __future__ import annotations

from typing import Protocol

from machemu.debug import behind, words
from machemu.debug.errors import CommandError
from machemu.debug.expressions import Function
from machemu.ipc.port import Port
from machemu.kern.task import Task
from machemu.kern.thread import TH_WAIT, Thread
from machemu.lab.console import Console
from machemu.lab.look import page_at
from machemu.lab.looks import Looks


class Asked(Protocol):
    """What is asked, where it stands at the moment. reason: why there. screen: its console. sum: the digest."""

    reason: str

    @property
    def looks(self) -> Looks: ...

    @property
    def screen(self) -> Console: ...

    def sum(self) -> str: ...


def facts(asked: Asked) -> dict[str, Function]:
    """By name."""

    def time() -> int:
        return asked.looks.kernel.kern.clock.now()

    return {
        "traps": Function(lambda: asked.looks.kernel.trap_count),
        "time": Function(time),
        "console": Function(lambda: asked.screen.text),
        "digest": Function(asked.sum),
        "reason": Function(lambda: asked.reason),
        **_threads(asked),
        **_ports(asked),
        **_memory(asked),
    }


def _owner(asked: Asked, task: int | str) -> Task:
    return words.task(asked.looks, str(task))


def _chosen(asked: Asked, thread: int | None) -> Thread:
    return words.thread(asked.looks, None if thread is None else str(thread))


def _threads(asked: Asked) -> dict[str, Function]:
    def register(name: str, thread: int | None = None) -> int:
        registers = asked.looks.registers(_chosen(asked, thread).number)
        if name not in registers:
            raise CommandError(f"no register {name}: there are {', '.join(registers)}")
        return registers[name]

    def argument(count: int, thread: int | None = None) -> int:
        found = _chosen(asked, thread)
        registers = asked.looks.registers(found.number)
        return _number(asked, found.task.number, registers.get("esp", registers.get("sp", 0)) + 4 * count, 4)

    def current() -> int:
        thread = asked.looks.kernel.kern.sched.current
        return 0 if thread is None else thread.number

    return {
        "thread": Function(current),
        "tasks": Function(lambda: len(asked.looks.tasks)),
        "threads": Function(lambda: len(asked.looks.threads)),
        "pc": Function(lambda thread=None: int(_chosen(asked, thread).pcb.pc), (int,), 1),
        "register": Function(register, (str, int), 1),
        "argument": Function(argument, (int, int), 1),
        "doing": Function(
            lambda n: next(row.doing for row in asked.looks.threads.where(number=asked.looks.thread(n).number)), (int,)
        ),
        "waits": Function(lambda n: bool(asked.looks.thread(n).state & TH_WAIT), (int,)),
    }


def _ports(asked: Asked) -> dict[str, Function]:
    def port(which: int | str) -> Port:
        return words.port(asked.looks, str(which))

    def name(task: int | str, which: int | str) -> int:
        rows = asked.looks.rights.where(task=_owner(asked, task).number, port=port(which).number)
        return rows[0].name if rows else 0

    def types(task: int | str, wanted: int) -> str:
        rows = asked.looks.rights.where(task=_owner(asked, task).number, name=wanted)
        return " ".join(rows[0].types) if rows else ""

    def receiver(which: int | str) -> int:
        return next(row.receiver for row in asked.looks.ports.where(number=port(which).number))

    which = int | str
    return {
        "queue": Function(lambda which: port(which).msgcount, (which,)),
        "limit": Function(lambda which: port(which).qlimit, (which,)),
        "receiver": Function(receiver, (which,)),
        "sends": Function(lambda which: port(which).srights, (which,)),
        "port": Function(lambda which: port(which).number, (which,)),
        "names": Function(lambda task: len(_owner(asked, task).space.table), (which,)),
        "name": Function(name, (which, which)),
        "types": Function(types, (which, int)),
    }


def _memory(asked: Asked) -> dict[str, Function]:
    def frame(task: int | str, address: int) -> int:
        page = page_at(asked.looks.kernel, _owner(asked, task), address)
        return 0 if page is None else page.frame

    def symbol(name: str, task: int | str | None = None) -> int:
        return words.address(asked.looks, name, None if task is None else _owner(asked, task).number)

    which = int | str
    return {
        "byte": Function(lambda task, address: _number(asked, task, address, 1), (which, int)),
        "word": Function(lambda task, address: _number(asked, task, address, 4), (which, int)),
        "frame": Function(frame, (which, int)),
        "access": Function(lambda task, address: behind.access(_owner(asked, task), address), (which, int)),
        "symbol": Function(symbol, (str, which), 1),
    }


def _number(asked: Asked, task: int | str, address: int, size: int) -> int:
    """Of so many bytes, in the machine's order."""
    data = asked.looks.read(_owner(asked, task).number, address, size)
    return int.from_bytes(data, "little" if asked.looks.kernel.cpu.order.prefix == "<" else "big")
