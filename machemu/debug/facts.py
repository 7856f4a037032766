"""What expressions can ask a machine for."""

from __future__ import annotations

from typing import Protocol

from machemu.debug import words
from machemu.debug.errors import CommandError
from machemu.debug.expressions import Function
from machemu.ipc.port import Port
from machemu.kern.thread import TH_WAIT, Thread
from machemu.lab.console import Console
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

    def port(which: int | str) -> Port:
        return words.port(asked.looks, str(which))

    def chosen(thread: int | None = None) -> Thread:
        return words.thread(asked.looks, None if thread is None else str(thread))

    def register(name: str, thread: int | None = None) -> int:
        registers = asked.looks.registers(chosen(thread).number)
        if name not in registers:
            raise CommandError(f"no register {name}: there are {', '.join(registers)}")
        return registers[name]

    def number(task: int | str, address: int, size: int) -> int:
        data = asked.looks.read(words.task(asked.looks, str(task)).number, address, size)
        return int.from_bytes(data, "little" if asked.looks.kernel.cpu.order.value == "<" else "big")

    def time() -> int:
        return asked.looks.kernel.kern.clock.now()

    def current() -> int:
        thread = asked.looks.kernel.kern.sched.current
        return 0 if thread is None else thread.number

    def symbol(name: str, task: int | str | None = None) -> int:
        return words.address(asked.looks, name, None if task is None else words.task(asked.looks, str(task)).number)

    which = int | str
    return {
        "traps": Function(lambda: asked.looks.kernel.trap_count),
        "time": Function(time),
        "console": Function(lambda: asked.screen.text),
        "digest": Function(asked.sum),
        "reason": Function(lambda: asked.reason),
        "thread": Function(current),
        "tasks": Function(lambda: len(asked.looks.tasks)),
        "threads": Function(lambda: len(asked.looks.threads)),
        "pc": Function(lambda thread=None: int(chosen(thread).pcb.pc), (int,), 1),
        "register": Function(register, (str, int), 1),
        "doing": Function(
            lambda n: next(row.doing for row in asked.looks.threads.where(number=asked.looks.thread(n).number)), (int,)
        ),
        "waits": Function(lambda n: bool(asked.looks.thread(n).state & TH_WAIT), (int,)),
        "queue": Function(lambda which: port(which).msgcount, (which,)),
        "limit": Function(lambda which: port(which).qlimit, (which,)),
        "port": Function(lambda which: port(which).number, (which,)),
        "names": Function(lambda task: len(words.task(asked.looks, str(task)).space.table), (which,)),
        "byte": Function(lambda task, address: number(task, address, 1), (which, int)),
        "word": Function(lambda task, address: number(task, address, 4), (which, int)),
        "symbol": Function(symbol, (str, which), 1),
    }
