"""Tasks that are frozen and go on, and what their threads wait in then."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from machemu.abi.errors import KernError
from machemu.abi.map_words import EntryWords
from machemu.abi.message import PORT_DEAD, PORT_RECEIVE
from machemu.abi.migrate import NONE, OBJECT_BEHIND, OBJECT_COPIED
from machemu.core.kernel import Stop
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.kern import freeze, task_control, thread_control
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_migrate import (
    MACH_PORT_EXTRACT_ALL,
    MACH_PORT_INSERT_ALL,
    MEMORY_OBJECT_ADOPT,
    MEMORY_OBJECT_INTERNALIZE,
    MEMORY_OBJECT_SURRENDER,
    TASK_ADOPT,
    TASK_GET_ACCOUNT,
    TASK_SET_ACCOUNT,
    TASK_SURRENDER,
    TASK_THAW,
    THREAD_GET_ACCOUNT,
    THREAD_GET_CONTEXT,
    THREAD_GET_WAIT,
    THREAD_SET_ACCOUNT,
    THREAD_SET_CONTEXT,
    THREAD_SET_WAIT,
    VM_REGION_SET_MANAGER,
)
from machemu.vm.pager import COPY_TEMPORARY
from tests.support import modules
from tests.support.guests import Arch
from tests.support.machine import RAM, Machine, boot, module
from tests.support.managers import Manager
from tests.support.maps import Told, bytes_of, pages, set_map, told_map
from tests.support.routines import call, send_right

TIME_NS = 60_000_000_000
"""Longer than any of the modules takes."""

Waits = Counter[str]
"""How often a thread was found in each wait."""


def give_up(machine: Machine, task: Task, told: bool = False) -> None:
    """A move that is given up after the task's ports have left the kernel. told: its waits have been told already."""
    kern = machine.kernel.kern
    freeze.freeze(kern, task)
    own, threads, replies = freeze.surrender(kern, task)
    for port in (own, *threads, *replies):
        if port is not None:
            port.receiver = None
    for thread in list(task.threads.values()) if told else ():
        freeze.detach(kern, thread)
    freeze.adopt(kern, task, own, threads, replies)
    freeze.thaw(kern, task)


OF_TASK = ("machine", "eml_dispatch", "itk_sself", "itk_exception", "itk_bootstrap", "itk_registered")
OF_THREAD = ("ith_sself", "ith_exception")
"""What a moved task or thread has besides, exchanged with the one in whose place it comes."""


def exchange(a: object, b: object, names: tuple[str, ...]) -> None:
    for name in names:
        one, other = getattr(a, name), getattr(b, name)
        setattr(a, name, other)
        setattr(b, name, one)


class SpaceManager(Manager):
    """A memory object that no task serves."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.kernel = machine, machine.kernel
        self.data = {}
        self.control = None
        self.port = self.kernel.ipc.make_kernel_port(None)
        self.port.receiver = None

    def end(self, internalizes: bool = True) -> None:
        """The object is anonymous again, or another's, and nothing is left of the manager."""
        if internalizes:
            assert self.control is not None
            call(self.kernel, MEMORY_OBJECT_INTERNALIZE, self.control)
        assert self.names() == ["terminate"]
        kmsgs.destroy_right(self.kernel.ipc, self.port, PORT_RECEIVE)


def move_memory(machine: Machine, old: Task, new: Task) -> None:
    """A copy of a frozen task's memory in another one; memory that others share, and managers of users', are the same in both.

    What a memory manager of a user's has to be asked for, which nobody here can wait for, is exchanged by hand.
    """
    kernel, made = machine.kernel, dict[int, SpaceManager]()
    told = told_map(machine, old)
    if PORT_DEAD in told.managers or any(each.flags & OBJECT_BEHIND for each in told.objects):
        exchange(old, new, ("map", "memory"))
        return
    for entry in told.entries:
        number = told.objects[entry.object].number if entry.object != NONE else 0
        is_copied = bool(told.objects[entry.object].flags & OBJECT_COPIED) if entry.object != NONE else False
        if number and not is_copied and told.managers[entry.object] is None and entry.object not in made:
            manager = made[entry.object] = SpaceManager(machine)
            call(kernel, VM_REGION_SET_MANAGER, old.itk_self, entry.start, send_right(kernel, manager.port))
            manager.ready(strategy=COPY_TEMPORARY)
    alone = {
        place: SpaceManager(machine)
        for place, each in enumerate(told.objects)
        if not each.number or (each.flags & OBJECT_COPIED and told.managers[place] is None)
    }
    managed = _surrendered(machine, old, told)
    places = {place: SpaceManager(machine) for place in managed}
    managers = {**made, **alone, **places}
    rights = [managers[place].port if place in managers else right for place, right in enumerate(told.managers)]
    set_map(machine, new, told.words, rights)
    for place, (address, parts) in managed.items():
        assert places[place].names() == ["init"]
        call(kernel, MEMORY_OBJECT_ADOPT, kernel.kern.host.host_priv_self, send_right(kernel, new.itk_self), address, *parts)
    for manager in alone.values():
        manager.ready(strategy=COPY_TEMPORARY)
    for entry in told.entries:
        if entry.object in alone:
            _copy_pages(machine, old, entry, alone[entry.object])
    for place, manager in managers.items():
        manager.end(place not in managed)


def _surrendered(machine: Machine, old: Task, told: Told) -> dict[int, tuple[int, tuple[Any, ...]]]:
    """What the kernel has of memory objects that this task alone shows, each with an address where it does, by place."""
    found = {}
    for entry in told.entries:
        if entry.object == NONE or told.managers[entry.object] is None or entry.object in found:
            continue
        if told.objects[entry.object].users == sum(each.object == entry.object for each in told.entries):
            with suppress(KernError):
                found[entry.object] = entry.start, call(machine.kernel, MEMORY_OBJECT_SURRENDER, old.itk_self, entry.start)
    return found


def _copy_pages(machine: Machine, task: Task, entry: EntryWords, manager: SpaceManager) -> None:
    page = machine.arch.page
    addresses, data = pages(machine, task, entry.start, entry.size, True)
    content = bytes_of(data)
    for index, address in enumerate(addresses):
        manager.supply(address - entry.start + entry.offset, content[index * page : (index + 1) * page])


def relocate(machine: Machine, task: Task) -> Task:
    """Another task in the place of one, which ends. Waits, accounts, registers, rights, kernel ports and memory move by
    routines of the kernel, all else by hand."""
    kernel, kern = machine.kernel, machine.kernel.kern
    host = kern.host.host_priv_self
    freeze.freeze(kern, task)
    control, *surrendered = call(kernel, TASK_SURRENDER, task.itk_self)
    old_threads = list(task.threads.values())
    waits = [call(kernel, THREAD_GET_WAIT, thread.ith_self) for thread in old_threads]
    parts = call(kernel, MACH_PORT_EXTRACT_ALL, control)
    account = call(kernel, TASK_GET_ACCOUNT, control)
    accounts = [call(kernel, THREAD_GET_ACCOUNT, thread.ith_self) for thread in old_threads]
    contexts = [call(kernel, THREAD_GET_CONTEXT, thread.ith_self) for thread in old_threads]
    new = task_control.create(kern, None, False, task.name)
    exchange(task, new, OF_TASK)
    freeze.freeze(kern, new)
    move_memory(machine, task, new)
    threads = [thread_control.create(kern, new) for _ in old_threads]
    call(kernel, MACH_PORT_INSERT_ALL, host, send_right(kernel, new.itk_self), *parts)
    call(kernel, TASK_SET_ACCOUNT, host, send_right(kernel, new.itk_self), *account)
    for old, thread, wait, its, context in zip(old_threads, threads, waits, accounts, contexts, strict=True):
        exchange(old, thread, OF_THREAD)
        call(kernel, THREAD_SET_CONTEXT, host, send_right(kernel, thread.ith_self), *context)
        call(kernel, THREAD_SET_ACCOUNT, host, send_right(kernel, thread.ith_self), *its)
        call(kernel, THREAD_SET_WAIT, host, send_right(kernel, thread.ith_self), *wait)
    call(kernel, TASK_ADOPT, host, send_right(kernel, new.itk_self), *surrendered)
    call(kernel, TASK_THAW, new.itk_self)
    task_control.terminate(kern, task)
    ports.release_send(kernel.ipc, control)
    return new


def disturbed(arch: Arch, name: str, disturb: Callable[[Machine, Task], object], seed: int, folder: Path) -> tuple[bytes, Waits]:
    """What a conformance module prints where `disturb` is done to each of its tasks after each 1 to 60 traps, and the waits in
    which it found threads."""
    rng, waits = random.Random(seed), Waits()
    path = module(arch, name)
    lines = modules.more_lines(path, folder)
    with boot(path, ram=modules.ram(path) or RAM, disks=modules.disks(name, arch.name), lines=lines) as machine:
        machine.until = b"END"
        while machine.kernel.kern.clock.now() < TIME_NS and machine.run(TIME_NS, rng.randint(1, 60)) is Stop.TRAPS:
            for task in machine.tasks:
                if task.active:
                    waits.update(each.continuation.name for each in task.threads.values() if each.continuation is not None)
                    disturb(machine, task)
                    machine.run(1)
        machine.check()
        return modules.comparable(machine.console), waits
