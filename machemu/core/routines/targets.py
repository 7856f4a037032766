"""What a request's destination stands for (Mach's convert_port_to_*), and the code where it does not."""

from __future__ import annotations

from typing import Final

from machemu.abi.device import IoReturn
from machemu.abi.errors import KernError
from machemu.abi.kern_return import KernReturn
from machemu.device.ds_routines import Device
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.ipc.space import Space
from machemu.kern import ipc_tt
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.vm.map import VmMap

INVALID_ARGUMENT: Final = int(KernReturn.KERN_INVALID_ARGUMENT)
INVALID_TASK: Final = int(KernReturn.KERN_INVALID_TASK)


def task_target(request: Kmsg) -> Task:
    task = ipc_tt.task_of(request.remote)
    if task is None:
        raise KernError(INVALID_ARGUMENT)
    return task


def space_target(request: Kmsg) -> Space:
    task = ipc_tt.task_of(request.remote)
    if task is None:
        raise KernError(INVALID_TASK)
    return task.space


def map_target(request: Kmsg) -> VmMap:
    vm_map = task_target(request).map
    if vm_map is None:
        raise KernError(INVALID_ARGUMENT)
    return vm_map


def thread_target(request: Kmsg) -> Thread:
    thread = ipc_tt.thread_of(request.remote)
    if thread is None:
        raise KernError(INVALID_ARGUMENT)
    return thread


def device_target(request: Kmsg) -> Device:
    target = request.remote
    if isinstance(target, Port) and target.active and isinstance(target.kobject, Device):
        return target.kobject
    raise KernError(IoReturn.D_NO_SUCH_DEVICE)
