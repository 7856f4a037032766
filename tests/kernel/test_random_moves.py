"""Random requests of mach_migrate at random moments: whoever makes them, the kernel stays sound and nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from machemu.abi.errors import KernError, MustWait
from machemu.abi.message import PORT_RECEIVE, PORT_SEND, PORT_SEND_ONCE
from machemu.abi.migrate import FOREVER, REDO_FAULT, REDO_WORDS
from machemu.ipc import kmsg as kmsgs
from machemu.ipc.port import Right
from machemu.kern import freeze, task_control, thread_control
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.mig.interfaces.mach_migrate import (
    MACH_PORT_EXTRACT_ALL,
    MACH_PORT_INSERT_ALL,
    TASK_ADOPT,
    TASK_GET_ACCOUNT,
    TASK_SET_ACCOUNT,
    TASK_SURRENDER,
    TASK_THAW,
    THREAD_GET_ACCOUNT,
    THREAD_GET_WAIT,
    THREAD_SET_ACCOUNT,
    THREAD_SET_WAIT,
    VM_REGION_SET_MANAGER,
)
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.pager import COPY_TEMPORARY
from tests.support import modules
from tests.support.guests import Arch
from tests.support.machine import RAM, Machine, boot, module
from tests.support.maps import bytes_of, numbers, pages, told_map
from tests.support.moves import SpaceManager
from tests.support.routines import call, send_right

MODULES = (
    "exceptions",
    "gsync",
    "notifications",
    "pagersend",
    "psetwaits",
    "sendtimeouts",
    "switching",
    "taskdeaths",
    "twotasks",
)
STEPS = 100
DISPOSITIONS = (PORT_RECEIVE, PORT_SEND, PORT_SEND_ONCE, PORT_SEND_ONCE)
NUMBERS = (0, 1, 2, 25, 64, 0x10000, 1 << 31, 0xFFFFFFFF)


class Mover:
    """Does one thing after the other to tasks, most often to frozen ones, and holds what it is given."""

    def __init__(self, machine: Machine, rng: random.Random) -> None:
        self.machine, self.rng = machine, rng
        self.kernel, self.kern = machine.kernel, machine.kernel.kern
        self.host = self.kern.host.host_priv_self
        self.surrendered: list[tuple[Any, ...]] = []
        self.waits: list[tuple[Any, ...]] = []
        self.spaces: list[tuple[Any, ...]] = []
        self.steps: tuple[Callable[[Task], object], ...] = (
            self._freeze, self._surrender, self._tell, self._tell, self._set, self._extract, self._insert, self._adopt,
            self._thaw, self._account, self._others, self._drop, self._look, self._manage,
        )  # fmt: skip

    def step(self) -> None:
        tasks = [task for task in self.machine.tasks if task.active and task.itk_self is not None]
        frozen = [task for task in tasks if task.frozen]
        if tasks:
            try:
                self.rng.choice(self.steps)(self.rng.choice(frozen if frozen and self.rng.random() < 0.85 else tasks))
            except (KernError, MustWait):
                return

    def _thread(self, task: Task) -> Thread:
        if not task.threads:
            raise KernError(0)
        return self.rng.choice(list(task.threads.values()))

    def _taken(self, held: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        if not held:
            raise KernError(0)
        return held.pop()

    def _freeze(self, task: Task) -> None:
        freeze.freeze(self.kern, task)

    def _thaw(self, task: Task) -> None:
        call(self.kernel, TASK_THAW, task.itk_self)

    def _surrender(self, task: Task) -> None:
        control, *rights = call(self.kernel, TASK_SURRENDER, task.itk_self)
        kmsgs.destroy_right(self.kernel.ipc, control, PORT_SEND)
        self.surrendered.append(tuple(rights))

    def _tell(self, task: Task) -> None:
        self.waits.append(call(self.kernel, THREAD_GET_WAIT, self._thread(task).ith_self))

    def _set(self, task: Task) -> None:
        rng, thread = self.rng, self._thread(task)
        if self.waits and rng.random() < 0.6:
            wait = self.waits.pop()
        else:
            kind = rng.randint(0, REDO_FAULT + 1)
            count = REDO_WORDS[kind] if kind <= REDO_FAULT else 3
            words = (kind, rng.choice((1, 50, FOREVER)), rng.randrange(4), *rng.choices(NUMBERS, k=count))
            wait = words, self._memory(rng.randbytes(rng.choice((0, 24, 28)))), PolyPort(None, PORT_SEND_ONCE)
        call(self.kernel, THREAD_SET_WAIT, self.host, send_right(self.kernel, thread.ith_self), *wait)

    def _memory(self, data: bytes) -> OutOfLine:
        return OutOfLine(VmMapCopy.from_bytes(self.kernel.vm, data) if data else None, len(data))

    def _extract(self, task: Task) -> None:
        self.spaces.append(call(self.kernel, MACH_PORT_EXTRACT_ALL, task.itk_self))

    def _insert(self, task: Task) -> None:
        space = self._taken(self.spaces)
        call(self.kernel, MACH_PORT_INSERT_ALL, self.host, send_right(self.kernel, task.itk_self), *space)

    def _adopt(self, task: Task) -> None:
        surrendered = self._taken(self.surrendered)
        call(self.kernel, TASK_ADOPT, self.host, send_right(self.kernel, task.itk_self), *surrendered)

    def _account(self, task: Task) -> None:
        thread = self._thread(task)
        for get, put, port in (
            (TASK_GET_ACCOUNT, TASK_SET_ACCOUNT, task.itk_self),
            (THREAD_GET_ACCOUNT, THREAD_SET_ACCOUNT, thread.ith_self),
        ):
            words = [*numbers(self.machine, call(self.kernel, get, port)[0])]
            words[self.rng.randrange(len(words))] = self.rng.choice(NUMBERS)
            data = self.machine.arch.pack(f"{len(words)}I", *words)
            call(self.kernel, put, self.host, send_right(self.kernel, port), self._memory(data))

    def _look(self, task: Task) -> None:
        told = told_map(self.machine, task)
        start, end = (self.rng.choice(told.entries).start for _ in range(2))
        bytes_of(pages(self.machine, task, start, max(end - start, 1), self.rng.random() < 0.2)[1])

    def _manage(self, task: Task) -> None:
        """Memory gets a manager, and is anonymous again at once."""
        entry = self.rng.choice(told_map(self.machine, task).entries)
        manager = SpaceManager(self.machine)
        try:
            call(self.kernel, VM_REGION_SET_MANAGER, task.itk_self, entry.start, send_right(self.kernel, manager.port))
        except (KernError, MustWait):
            kmsgs.destroy_right(self.kernel.ipc, manager.port, PORT_RECEIVE)
            raise
        manager.ready(strategy=COPY_TEMPORARY)
        manager.end()

    def _others(self, task: Task) -> None:
        """What users do meanwhile."""
        thread = self._thread(task)
        if self.rng.random() < 0.1:
            task_control.terminate(self.kern, task)
        elif self.rng.random() < 0.5:
            thread_control.abort(self.kern, thread)
        else:
            self.rng.choice((task_control.suspend, task_control.resume))(self.kern, task)

    def _drop(self, task: Task) -> None:
        held = self.rng.choice((self.surrendered, self.waits, self.spaces))
        self._give_up(held is self.surrendered, self._taken(held))

    def _give_up(self, are_kernel_ports: bool, values: tuple[Any, ...]) -> None:
        rights: list[tuple[Right, int]] = []
        arrays = iter(DISPOSITIONS)
        for value in values:
            if isinstance(value, OutOfLine):
                if isinstance(value.copy, VmMapCopy):
                    value.copy.discard()
            elif isinstance(value, PolyPort):
                rights.append((value.port, value.disposition))
            elif are_kernel_ports:
                rights += [(each, PORT_RECEIVE) for each in (value if isinstance(value, tuple) else (value,))]
            elif len(values) == 1 + len(DISPOSITIONS):
                disposition = next(arrays)
                rights += [(each, disposition) for each in value]
        for right, disposition in rights:
            kmsgs.destroy_right(self.kernel.ipc, right, disposition)

    def end(self) -> None:
        """Gives up all that it holds, and lets every task go on."""
        for held in (self.surrendered, self.waits, self.spaces):
            for values in held:
                self._give_up(held is self.surrendered, values)
        for task in self.machine.tasks:
            if task.frozen:
                freeze.thaw(self.kern, task)


@pytest.mark.parametrize("name", MODULES)
def test_random_moves_leave_a_sound_kernel(arch: Arch, name: str, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng, path = random.Random(seed), module(arch, name)
    lines = modules.more_lines(path, tmp_path)
    with boot(path, ram=modules.ram(path) or RAM, disks=modules.disks(name, arch.name), lines=lines) as machine:
        machine.run(60_000_000_000, rng.randint(30, 1500))
        mover = Mover(machine, rng)
        for _ in range(STEPS):
            mover.step()
            if rng.random() < 0.5:
                machine.run(1_000_000, rng.randint(1, 30))
        mover.end()
        machine.run(50_000_000, 200)
        machine.check()
