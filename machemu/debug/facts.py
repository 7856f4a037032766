"""What expressions can ask a machine for."""

from __future__ import annotations

from collections.abc import Callable

from machemu.debug import words
from machemu.debug.errors import CommandError
from machemu.debug.expressions import Function
from machemu.kern.thread import TH_WAIT
from machemu.lab.machine import Machine


def facts(machine: Machine, reason: Callable[[], str]) -> dict[str, Function]:
    """By name. reason: why the machine stands where it does."""

    def port(which: int | str) -> int:
        return words.port(machine, str(which)).number

    def register(name: str, thread: int | None = None) -> int:
        found = words.thread(machine, None if thread is None else str(thread))
        registers = machine.registers(found.number)
        if name not in registers:
            raise CommandError(f"no register {name}: there are {', '.join(registers)}")
        return registers[name]

    def number(task: int | str, address: int, size: int) -> int:
        data = machine.read(words.task(machine, str(task)).number, address, size)
        return int.from_bytes(data, "little" if machine.kernel.cpu.order.value == "<" else "big")

    def current() -> int:
        thread = machine.kernel.kern.sched.current
        return 0 if thread is None else thread.number

    def symbol(name: str, task: int | str | None = None) -> int:
        return words.address(machine, name, None if task is None else words.task(machine, str(task)).number)

    which = int | str
    return {
        "traps": Function(lambda: machine.traps),
        "time": Function(lambda: machine.time),
        "console": Function(lambda: machine.console.text),
        "digest": Function(machine.digest),
        "reason": Function(reason),
        "thread": Function(current),
        "tasks": Function(lambda: len(machine.tasks)),
        "threads": Function(lambda: len(machine.threads)),
        "pc": Function(lambda *n: int(words.thread(machine, *(map(str, n) if n else (None,))).pcb.pc), (int,), 1),
        "register": Function(register, (str, int), 1),
        "doing": Function(lambda n: next(row.doing for row in machine.threads.where(number=machine.thread(n).number)), (int,)),
        "waits": Function(lambda n: bool(machine.thread(n).state & TH_WAIT), (int,)),
        "queue": Function(lambda which: words.port(machine, str(which)).msgcount, (which,)),
        "limit": Function(lambda which: words.port(machine, str(which)).qlimit, (which,)),
        "port": Function(port, (which,)),
        "names": Function(lambda task: len(words.task(machine, str(task)).space.table), (which,)),
        "byte": Function(lambda task, address: number(task, address, 1), (which, int)),
        "word": Function(lambda task, address: number(task, address, 4), (which, int)),
        "symbol": Function(symbol, (str, which), 1),
    }
