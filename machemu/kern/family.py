"""The tasks that can only move together: they share memory, or know each other's tasks and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.ipc.port import Port
from machemu.kern import ipc_tt

if TYPE_CHECKING:
    from machemu.kern.subsystem import Kern
    from machemu.kern.task import Task


def of(kern: Kern, task: Task) -> list[Task]:
    """A task, and those that are tied to it, in the order in which they are found.

    The kernel's own and those whose programs run on the host tie nobody: whoever moves a task has its port."""
    guests = [each for each in kern.tasks.values() if each.active and not is_host_side(kern, each)]
    shown = {each.number: _memory(each) for each in guests}
    known = {each.number: _known(each) for each in guests}
    family = [task]
    for member in family:
        for other in guests:
            if other in family or member.number not in shown:
                continue
            is_known = other.number in known[member.number] or member.number in known[other.number]
            if is_known or shown[member.number] & shown[other.number]:
                family.append(other)
    return family


def shares_with_host(kern: Kern, task: Task) -> bool:
    """Whether a task shares anonymous memory with one whose program runs on the host. What a memory manager has is shared with
    all that map it, wherever they are."""
    entries = task.map.entries if task.map is not None else ()
    shown = _memory(task) - {id(entry.object) for entry in entries if entry.object is not None and entry.object.external}
    return any(each is not task and is_host_side(kern, each) and shown & _memory(each) for each in kern.tasks.values())


def is_host_side(kern: Kern, task: Task) -> bool:
    """Whether a task is the kernel's own, or its program runs on the host."""
    return task is kern.kernel_task or any(thread.program is not None for thread in task.threads.values())


def _memory(task: Task) -> set[int]:
    """The objects, by identity, that a task shows for writing by itself, or as it would see others write them."""
    entries = task.map.entries if task.map is not None else ()
    return {id(entry.object) for entry in entries if entry.object is not None and not entry.needs_copy}


def _known(task: Task) -> set[int]:
    """The numbers of the tasks of which a task has a port, or one of a thread's."""
    found = set()
    for _, entry in task.space.entries():
        if isinstance(entry.object, Port):
            of_task, of_thread = ipc_tt.task_of(entry.object), ipc_tt.thread_of(entry.object)
            owner = of_task or (of_thread.task if of_thread is not None else None)
            if owner is not None:
                found.add(owner.number)
    return found
