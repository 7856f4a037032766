"""What a process manager asks its kernel of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT
from machemu.abi.message import COPY_SEND, MOVE_SEND
from machemu.mig.interfaces.mach import TASK_GET_EMULATION_VECTOR, TASK_THREADS
from machemu.mig.interfaces.mach_host import HOST_PROCESSOR_SET_PRIV, HOST_PROCESSOR_SETS, PROCESSOR_SET_TASKS
from machemu.mig.interfaces.mach_migrate import TASK_GET_FAMILY, TASK_IDENTIFY
from machemu.mig.interfaces.mach_port import MACH_PORT_NAMES
from machemu.mig.runtime import PolyPort
from machemu.sim.state import PortName
from machemu.user.mach import Mach
from machemu.user.message import living, name_of
from masix.migration.state import numbers_of

NO_NUMBER: Final = -1
"""Of a task that has ended."""


def names(mach: Mach, task: PortName) -> int:
    """How many port names a task has."""
    names, _ = mach.call(MACH_PORT_NAMES, task)
    return len(numbers_of(mach.order, names))


def is_dead(mach: Mach, right: PortName) -> bool:
    """Whether a right is none any more, but the name of a dead port."""
    try:
        mach.deallocate(mach.copy_send(right))
    except KernError:
        return True
    return False


def without_ended(mach: Mach, family: Sequence[PortName]) -> list[PortName]:
    """A family, whose first task is the one that is wanted, without others that have ended since it was asked for."""
    ended = [task for task in family[1:] if is_dead(mach, task)]
    mach.give_up((task, MOVE_SEND) for task in ended)
    return [task for task in family if task not in ended]


def is_gone(mach: Mach, task: PortName) -> bool:
    """Whether a task has ended, or is another server's to move, since its family was asked for: its port is not the kernel's."""
    try:
        (told,) = mach.call(TASK_GET_FAMILY, mach.given("host-port"), PolyPort(task, COPY_SEND))
    except KernError:
        return True
    mach.give_up((name_of(each), MOVE_SEND) for each in told)
    return False


def check(mach: Mach, tasks: Iterable[Any], *others: Any) -> None:
    """KERN_INVALID_ARGUMENT where a right is none to a task of this node, which answers at once, or one of the others is null."""
    if None in others or any(is_gone(mach, living(task)) for task in tasks):
        raise KernError(KERN_INVALID_ARGUMENT)


def joined(mach: Mach, family: Sequence[PortName]) -> list[PortName]:
    """Rights to the tasks that have come to belong to a family since it was asked for. What is frozen is told as null; with all
    frozen the family stays as it is. KERN_FAILURE where one that somebody else has frozen belongs to it."""
    (told,) = mach.call(TASK_GET_FAMILY, mach.given("host-port"), PolyPort(family[0], COPY_SEND))
    others = [name for name in map(living, told) if name]
    if len(told) - len(others) > len(family):
        mach.give_up((name, MOVE_SEND) for name in others)
        raise KernError(KERN_FAILURE)
    return others


def threads(mach: Mach, task: PortName) -> list[PortName]:
    """Rights to a task's threads, which the caller gives up."""
    (threads,) = mach.call(TASK_THREADS, task)
    return list(map(name_of, threads))


def vector(mach: Mach, task: PortName) -> tuple[int, ...]:
    """The first trap that is redirected, and the handlers; nothing where none is."""
    try:
        first, handlers = mach.call(TASK_GET_EMULATION_VECTOR, task)
    except KernError:
        return ()
    numbers = numbers_of(mach.order, handlers)
    return (first, *numbers) if numbers else ()


def of_node(mach: Mach) -> Iterator[PortName]:
    """Rights to the tasks of the node that are not held, which the caller gives up."""
    host = mach.given("host-port")
    (names,) = mach.call(HOST_PROCESSOR_SETS, host)
    for name in names:
        (pset,) = mach.call(HOST_PROCESSOR_SET_PRIV, host, name)
        (tasks,) = mach.call(PROCESSOR_SET_TASKS, name_of(pset))
        mach.deallocate(name_of(pset))
        yield from filter(None, map(living, tasks))


class Identity(NamedTuple):
    """The number and the name of a task, and whether a program on the host runs it."""

    number: int
    name: bytes
    is_host_side: bool


def identity(mach: Mach, task: PortName) -> Identity:
    """A task's; no task's where it has just ended."""
    try:
        number, is_host_side, name = mach.call(TASK_IDENTIFY, task)
    except KernError:
        return Identity(NO_NUMBER, b"", True)
    return Identity(number, name, bool(is_host_side))
