"""What a request's destination stands for (Mach's convert_port_to_*), and the code where it does not; results' forms."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from machemu.abi.device import D_INVALID_OPERATION, D_NO_SUCH_DEVICE
from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_INVALID_HOST, KERN_INVALID_TASK
from machemu.device.ds_routines import Device
from machemu.device.io_perm import IoPerm
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.ipc.space import Space
from machemu.kern import ipc_host, ipc_tt
from machemu.kern.processor import Processor
from machemu.kern.processor_set import ProcessorSet
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.mig.runtime import OutOfLine
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel


def task_target(request: Kmsg) -> Task:
    task = ipc_tt.task_of(request.remote)
    if task is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    return task


def space_target(request: Kmsg) -> Space:
    task = ipc_tt.task_of(request.remote)
    if task is None:
        raise KernError(KERN_INVALID_TASK)
    return task.space


def map_target(request: Kmsg) -> VmMap:
    vm_map = task_target(request).map
    if vm_map is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    return vm_map


def map_of(right: Right) -> VmMap:
    """The address space of a task that comes as an argument; KERN_INVALID_TASK for none."""
    task = ipc_tt.task_of(right)
    if task is None or task.map is None:
        raise KernError(KERN_INVALID_TASK)
    return task.map


def privileged_host(kernel: Kernel, request: Kmsg, code: int = KERN_INVALID_HOST) -> None:
    """The request came by the privileged host port, or `code` is raised."""
    if request.remote is not kernel.kern.host.host_priv_self:
        raise KernError(code)


def host_target(kernel: Kernel, request: Kmsg, code: int = KERN_INVALID_HOST) -> None:
    """The request came by one of the host's ports, or `code` is raised."""
    if request.remote not in (kernel.kern.host.host_self, kernel.kern.host.host_priv_self):
        raise KernError(code)


def processor_target(request: Kmsg) -> Processor:
    processor = ipc_host.processor_of(request.remote)
    if processor is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    return processor


def pset_target(request: Kmsg) -> ProcessorSet:
    """The processor set whose control port the request came by."""
    pset = ipc_host.pset_of(request.remote)
    if pset is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    return pset


def pset_name_target(request: Kmsg) -> ProcessorSet:
    """The processor set whose name or control port the request came by."""
    pset = ipc_host.pset_name_of(request.remote)
    if pset is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    return pset


def thread_target(request: Kmsg) -> Thread:
    thread = ipc_tt.thread_of(request.remote)
    if thread is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    return thread


def device_target(request: Kmsg) -> Device:
    """As in the real kernel a port that stands for I/O ports is a device, too, and one that can nothing."""
    target = request.remote
    if isinstance(target, Port) and target.active and isinstance(target.kobject, Device):
        return target.kobject
    raise KernError(D_INVALID_OPERATION if stands_for_io_ports(request) else D_NO_SUCH_DEVICE)


def stands_for_io_ports(request: Kmsg) -> bool:
    return isinstance(request.remote, Port) and isinstance(request.remote.kobject, IoPerm)


def words_out_of_line(kernel: Kernel, values: Sequence[int]) -> OutOfLine:
    """An array of words as out-of-line data; nothing is owed for it until the reply takes it."""
    if not values:
        return OutOfLine(None, 0)
    data = struct.pack(f"{kernel.ipc.prefix}{len(values)}I", *values)
    return OutOfLine(VmMapCopy.from_bytes(kernel.vm, data), len(data))
