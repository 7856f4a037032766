"""Subsystem gnumach (4200): GNU Mach's additions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_INVALID_TASK
from machemu.core.routines.targets import map_of, privileged_host, task_target
from machemu.ipc import mach_port, port
from machemu.ipc.kmsg import Kmsg
from machemu.kern import gsync, ipc_tt, task_control, thread_control
from machemu.kern.task import NAME_MAX, Task
from machemu.vm import routines as vm
from machemu.vm import wire
from machemu.vm.contiguous import allocate_contiguous

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel
    from machemu.ipc.port import Right


def _task(request: Kmsg) -> Task:
    task = ipc_tt.task_of(request.remote)
    if task is None:
        raise KernError(KERN_INVALID_TASK)
    return task


def thread_terminate_release(
    kernel: Kernel, request: Kmsg, task_port: Right, thread_name: int, reply_port: int, address: int, size: int
) -> tuple[()]:
    """Consumes the task's right on success. What the thread leaves behind goes first, never mind if it is not there."""
    task = ipc_tt.task_of(task_port)
    thread = ipc_tt.thread_of(request.remote)
    if task is None or thread is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    steps: list[Callable[[], None]] = [lambda: mach_port.mach_port_deallocate(kernel.ipc, task.space, thread_name)]
    if reply_port:
        steps.append(lambda: mach_port.mach_port_destroy(kernel.ipc, task.space, reply_port))
    if (address or size) and task.map is not None:
        map_ = task.map
        steps.append(lambda: vm.vm_deallocate(map_, address, size))
    for step in steps:
        try:
            step()
        except KernError:
            continue
    thread_control.terminate(kernel.kern, thread)
    port.release_send(kernel.ipc, task_port)
    return ()


def task_set_name(kernel: Kernel, request: Kmsg, name: bytes) -> tuple[()]:
    task_target(request).name = name[:NAME_MAX].decode("latin-1")
    return ()


def task_set_essential(kernel: Kernel, request: Kmsg, essential: int) -> tuple[()]:
    """Kept, and nothing more: the real kernel's debugger alone looks at it."""
    task_target(request).essential = bool(essential)
    return ()


def register_new_task_notification(kernel: Kernel, request: Kmsg, notification: Right) -> tuple[()]:
    """Consumes the right on success."""
    privileged_host(kernel, request)
    task_control.register_notification(kernel.kern, notification)
    return ()


def gsync_wait(kernel: Kernel, request: Kmsg, addr: int, val1: int, val2: int, msec: int, flags: int) -> None:
    gsync.wait(kernel.kern, _task(request), addr, val1, val2, msec, flags)


def gsync_wake(kernel: Kernel, request: Kmsg, addr: int, val: int, flags: int) -> tuple[()]:
    gsync.wake(kernel.kern, _task(request), addr, val, flags)
    return ()


def gsync_requeue(kernel: Kernel, request: Kmsg, src_addr: int, dst_addr: int, wake_one: int, flags: int) -> tuple[()]:
    gsync.requeue(kernel.kern, _task(request), src_addr, dst_addr, bool(wake_one), flags)
    return ()


def vm_wire_all(kernel: Kernel, request: Kmsg, task_port: Right, flags: int) -> tuple[()]:
    """Consumes the task's right on success."""
    privileged_host(kernel, request)
    wire.pageable_all(map_of(task_port), flags)
    port.release_send(kernel.ipc, task_port)
    return ()


def vm_allocate_contiguous(
    kernel: Kernel, request: Kmsg, task_port: Right, size: int, pmin: int, pmax: int, palign: int
) -> tuple[int, int]:
    """The virtual and the physical address. Consumes the task's right on success."""
    privileged_host(kernel, request)
    found = allocate_contiguous(map_of(task_port), size, pmin, pmax, palign)
    port.release_send(kernel.ipc, task_port)
    return found
