"""The ports of tasks and threads: special ports, registered ports, and what a port stands for (Mach's kern/ipc_tt.c)."""

from __future__ import annotations

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT
from machemu.ipc import port
from machemu.ipc.port import Port, Right
from machemu.kern.subsystem import Kern
from machemu.kern.task import TASK_PORT_REGISTER_MAX, Task
from machemu.kern.thread import Thread

"""A naked send right; a dead or null one stands for itself."""

TASK_KERNEL_PORT, TASK_EXCEPTION_PORT, TASK_BOOTSTRAP_PORT = 1, 3, 4
THREAD_KERNEL_PORT, THREAD_EXCEPTION_PORT = 1, 3


def get_task_special_port(kern: Kern, task: Task, which: int) -> Right:
    """task_get_special_port: a new send right."""
    if which not in (TASK_KERNEL_PORT, TASK_EXCEPTION_PORT, TASK_BOOTSTRAP_PORT):
        raise KernError(KERN_INVALID_ARGUMENT)
    if task.itk_self is None:
        raise KernError(KERN_FAILURE)
    right = {TASK_KERNEL_PORT: task.itk_sself, TASK_EXCEPTION_PORT: task.itk_exception}.get(which, task.itk_bootstrap)
    return port.copy_send(kern.ipc, right)


def set_task_special_port(kern: Kern, task: Task, which: int, right: Right) -> None:
    """task_set_special_port: consumes `right` on success only."""
    if which not in (TASK_KERNEL_PORT, TASK_EXCEPTION_PORT, TASK_BOOTSTRAP_PORT):
        raise KernError(KERN_INVALID_ARGUMENT)
    if task.itk_self is None:
        raise KernError(KERN_FAILURE)
    if which == TASK_KERNEL_PORT:
        task.itk_sself, old = right, task.itk_sself
    elif which == TASK_EXCEPTION_PORT:
        task.itk_exception, old = right, task.itk_exception
    else:
        task.itk_bootstrap, old = right, task.itk_bootstrap
    port.release_send(kern.ipc, old)


def get_thread_special_port(kern: Kern, thread: Thread, which: int) -> Right:
    """thread_get_special_port: a new send right."""
    if which not in (THREAD_KERNEL_PORT, THREAD_EXCEPTION_PORT):
        raise KernError(KERN_INVALID_ARGUMENT)
    if thread.ith_self is None:
        raise KernError(KERN_FAILURE)
    return port.copy_send(kern.ipc, thread.ith_sself if which == THREAD_KERNEL_PORT else thread.ith_exception)


def set_thread_special_port(kern: Kern, thread: Thread, which: int, right: Right) -> None:
    """thread_set_special_port: consumes `right` on success only."""
    if which not in (THREAD_KERNEL_PORT, THREAD_EXCEPTION_PORT):
        raise KernError(KERN_INVALID_ARGUMENT)
    if thread.ith_self is None:
        raise KernError(KERN_FAILURE)
    if which == THREAD_KERNEL_PORT:
        thread.ith_sself, old = right, thread.ith_sself
    else:
        thread.ith_exception, old = right, thread.ith_exception
    port.release_send(kern.ipc, old)


def ports_register(kern: Kern, task: Task, rights: list[Right]) -> None:
    """mach_ports_register: consumes the send rights on success."""
    if len(rights) > TASK_PORT_REGISTER_MAX:
        raise KernError(KERN_INVALID_ARGUMENT)
    if task.itk_self is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    old = task.itk_registered
    task.itk_registered = rights + [None] * (TASK_PORT_REGISTER_MAX - len(rights))
    for right in old:
        port.release_send(kern.ipc, right)


def ports_lookup(kern: Kern, task: Task) -> list[Right]:
    """mach_ports_lookup: a new send right to each registered port."""
    if task.itk_self is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    return [port.copy_send(kern.ipc, right) for right in task.itk_registered]


def task_of(right: Right) -> Task | None:
    """The task that a port stands for, or None (convert_port_to_task)."""
    return right.kobject if isinstance(right, Port) and right.active and isinstance(right.kobject, Task) else None


def thread_of(right: Right) -> Thread | None:
    """The thread that a port stands for, or None (convert_port_to_thread)."""
    return right.kobject if isinstance(right, Port) and right.active and isinstance(right.kobject, Thread) else None
