"""What a request's destination stands for (Mach's convert_port_to_*), and the code where it does not."""

from __future__ import annotations

from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KernReturn
from machemu.device.ds_routines import D_NO_SUCH_DEVICE, Device
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.ipc.space import Space
from machemu.kern import ipc_host, ipc_tt
from machemu.kern.processor import Processor
from machemu.kern.processor_set import ProcessorSet
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.vm.map import VmMap

INVALID_ARGUMENT: Final = int(KernReturn.KERN_INVALID_ARGUMENT)
INVALID_HOST: Final = int(KernReturn.KERN_INVALID_HOST)
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


def host_target(request: Kmsg, code: int = INVALID_ARGUMENT) -> None:
    """Checks that the request came by one of the host's ports."""
    if not ipc_host.is_host(request.remote):
        raise KernError(code)


def host_priv_target(request: Kmsg, code: int = INVALID_HOST) -> None:
    """Checks that the request came by the privileged host port."""
    if not ipc_host.is_host_priv(request.remote):
        raise KernError(code)


def processor_target(request: Kmsg) -> Processor:
    processor = ipc_host.processor_of(request.remote)
    if processor is None:
        raise KernError(INVALID_ARGUMENT)
    return processor


def pset_target(request: Kmsg) -> ProcessorSet:
    """The processor set whose control port the request came by."""
    pset = ipc_host.pset_of(request.remote)
    if pset is None:
        raise KernError(INVALID_ARGUMENT)
    return pset


def pset_name_target(request: Kmsg) -> ProcessorSet:
    """The processor set whose name or control port the request came by."""
    pset = ipc_host.pset_name_of(request.remote)
    if pset is None:
        raise KernError(INVALID_ARGUMENT)
    return pset


def thread_target(request: Kmsg) -> Thread:
    thread = ipc_tt.thread_of(request.remote)
    if thread is None:
        raise KernError(INVALID_ARGUMENT)
    return thread


def device_target(request: Kmsg) -> Device:
    target = request.remote
    if isinstance(target, Port) and target.active and isinstance(target.kobject, Device):
        return target.kobject
    raise KernError(D_NO_SUCH_DEVICE)
