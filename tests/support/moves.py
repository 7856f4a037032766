"""Tasks that are frozen and go on, and what their threads wait in then."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machemu.abi.message import PORT_SEND, PORT_SEND_ONCE
from machemu.core.kernel import Kernel, Stop
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Right
from machemu.kern import freeze, task_control, thread_control
from machemu.kern.task import Task
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
)
from machemu.mig.runtime import Routine
from tests.support import modules
from tests.support.guests import Arch
from tests.support.machine import RAM, Machine, boot, module

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


OF_TASK = ("map", "memory", "machine", "eml_dispatch", "itk_sself", "itk_exception", "itk_bootstrap", "itk_registered")
OF_THREAD = ("pcb", "retval", "ith_sself", "ith_exception")
"""What a moved task or thread has besides, exchanged with the one in whose place it comes."""


def call(kernel: Kernel, routine: Routine, target: Right, *values: Any) -> tuple[Any, ...]:
    """What the kernel answers to a request by a copy of a send right: the results. Raises KernError."""
    ipc = kernel.ipc
    reply_port = ipc.make_kernel_port(None, reply=True)
    body, carried = routine.request.pack(ipc.order, values)
    sonce = ports.make_sonce(ipc, reply_port)
    assert isinstance(target, ports.Port)
    right = ports.make_send(ipc, target)
    reply = kernel.serve(kmsgs.make(ipc, right, PORT_SEND, sonce, PORT_SEND_ONCE, routine.request.id, body, carried))
    assert reply is not None
    try:
        return routine.unpack_reply(ipc.order, bytes(reply.body), reply.carried, reply.complex)
    finally:
        ports.release_sonce(ipc, reply_port)
        kmsgs.consume(ipc, reply)
        ports.dealloc_kernel(ipc, reply_port)


def exchange(a: object, b: object, names: tuple[str, ...]) -> None:
    for name in names:
        one, other = getattr(a, name), getattr(b, name)
        setattr(a, name, other)
        setattr(b, name, one)


def send_right(kernel: Kernel, port: Right) -> Right:
    """A send right to a kernel port."""
    assert isinstance(port, ports.Port)
    return ports.make_send(kernel.ipc, port)


def relocate(machine: Machine, task: Task) -> Task:
    """Another task in the place of one, which ends. Waits, accounts, rights and kernel ports move by the kernel's routines, all
    else by hand."""
    kernel, kern = machine.kernel, machine.kernel.kern
    host = kern.host.host_priv_self
    freeze.freeze(kern, task)
    control, *surrendered = call(kernel, TASK_SURRENDER, task.itk_self)
    old_threads = list(task.threads.values())
    waits = [call(kernel, THREAD_GET_WAIT, thread.ith_self) for thread in old_threads]
    parts = call(kernel, MACH_PORT_EXTRACT_ALL, control)
    account = call(kernel, TASK_GET_ACCOUNT, control)
    accounts = [call(kernel, THREAD_GET_ACCOUNT, thread.ith_self) for thread in old_threads]
    new = task_control.create(kern, None, False, task.name)
    exchange(task, new, OF_TASK)
    threads = [thread_control.create(kern, new) for _ in old_threads]
    freeze.freeze(kern, new)
    call(kernel, TASK_SET_ACCOUNT, host, send_right(kernel, new.itk_self), *account)
    for old, thread, wait, its in zip(old_threads, threads, waits, accounts, strict=True):
        exchange(old, thread, OF_THREAD)
        call(kernel, THREAD_SET_ACCOUNT, host, send_right(kernel, thread.ith_self), *its)
        call(kernel, THREAD_SET_WAIT, host, send_right(kernel, thread.ith_self), *wait)
    call(kernel, MACH_PORT_INSERT_ALL, host, send_right(kernel, new.itk_self), *parts)
    call(kernel, TASK_ADOPT, host, send_right(kernel, new.itk_self), *surrendered)
    call(kernel, TASK_THAW, new.itk_self)
    ports.release_send(kernel.ipc, control)
    task_control.terminate(kern, task)
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
