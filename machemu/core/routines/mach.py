"""Subsystem mach (2000): tasks, threads and address spaces."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE
from machemu.abi.types import VirtAddr
from machemu.core.routines.targets import map_target, task_target, thread_target, words_out_of_line
from machemu.ipc import port
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.kern import ipc_tt, syscall_emulation, task_control, thread_control
from machemu.kern.syscall_emulation import EmlDispatch
from machemu.kern.task import Task
from machemu.mig.runtime import OutOfLine
from machemu.vm import routines as vm
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel


def task_create(kernel: Kernel, request: Kmsg, inherit_memory: int) -> tuple[Right]:
    task = task_control.create(kernel.kern, task_target(request), bool(inherit_memory))
    return (port.copy_send(kernel.ipc, task.itk_sself),)


def task_terminate(kernel: Kernel, request: Kmsg) -> tuple[()]:
    task_control.terminate(kernel.kern, task_target(request))
    return ()


def task_get_emulation_vector(kernel: Kernel, request: Kmsg) -> tuple[int, OutOfLine]:
    vector = _emulating_task(request).eml_dispatch or EmlDispatch(0, ())
    return vector.minimum, words_out_of_line(kernel, vector.handlers)


def task_set_emulation_vector(kernel: Kernel, request: Kmsg, start: int, vector: OutOfLine) -> tuple[()]:
    """Consumes the vector's memory on success."""
    task = _emulating_task(request)
    copy = vector.copy if isinstance(vector.copy, VmMapCopy) else None
    data = copy.to_bytes() if copy is not None else b""
    count = len(data) // 4
    syscall_emulation.set_vector(kernel.kern, task, start, struct.unpack(f"{kernel.ipc.prefix}{count}I", data[: 4 * count]))
    if copy is not None:
        copy.discard()
    return ()


def task_set_emulation(kernel: Kernel, request: Kmsg, routine_entry_pt: int, routine_number: int) -> tuple[()]:
    syscall_emulation.set_vector(kernel.kern, _emulating_task(request), routine_number, [routine_entry_pt])
    return ()


def _emulating_task(request: Kmsg) -> Task:
    task = ipc_tt.task_of(request.remote)
    if task is None:
        raise KernError(syscall_emulation.EML_BAD_TASK)
    return task


def task_ras_control(kernel: Kernel, request: Kmsg, basepc: int, boundspc: int, flavor: int) -> tuple[()]:
    """Restartable atomic sequences: the real kernel has none on this machine and says so to everybody."""
    raise KernError(KERN_FAILURE)


def task_threads(kernel: Kernel, request: Kmsg) -> tuple[tuple[Right, ...]]:
    threads = task_control.threads(task_target(request))
    return (tuple([port.make_send(kernel.ipc, thread.ith_self) for thread in threads if thread.ith_self is not None]),)


def task_info(kernel: Kernel, request: Kmsg, flavor: int, room: int) -> tuple[tuple[int, ...]]:
    kernel.charge_time()
    return (task_control.info(kernel.kern, task_target(request), flavor, room),)


def task_suspend(kernel: Kernel, request: Kmsg) -> tuple[()]:
    task_control.suspend(kernel.kern, task_target(request))
    return ()


def task_resume(kernel: Kernel, request: Kmsg) -> tuple[()]:
    task_control.resume(kernel.kern, task_target(request))
    return ()


def task_get_special_port(kernel: Kernel, request: Kmsg, which: int) -> tuple[Right]:
    return (ipc_tt.get_task_special_port(kernel.kern, task_target(request), which),)


def task_set_special_port(kernel: Kernel, request: Kmsg, which: int, right: Right) -> tuple[()]:
    ipc_tt.set_task_special_port(kernel.kern, task_target(request), which, right)
    return ()


def mach_ports_register(kernel: Kernel, request: Kmsg, rights: tuple[Right, ...]) -> tuple[()]:
    ipc_tt.ports_register(kernel.kern, task_target(request), list(rights))
    return ()


def mach_ports_lookup(kernel: Kernel, request: Kmsg) -> tuple[tuple[Right, ...]]:
    return (tuple(ipc_tt.ports_lookup(kernel.kern, task_target(request))),)


def thread_create(kernel: Kernel, request: Kmsg) -> tuple[Right]:
    thread = thread_control.create(kernel.kern, task_target(request))
    return (port.copy_send(kernel.ipc, thread.ith_sself),)


def thread_terminate(kernel: Kernel, request: Kmsg) -> tuple[()]:
    thread_control.terminate(kernel.kern, thread_target(request))
    return ()


def thread_get_state(kernel: Kernel, request: Kmsg, flavor: int, room: int) -> tuple[tuple[int, ...]]:
    return (tuple(thread_control.get_state(kernel.kern, thread_target(request), flavor, room)),)


def thread_set_state(kernel: Kernel, request: Kmsg, flavor: int, words: tuple[int, ...]) -> tuple[()]:
    thread_control.set_state(kernel.kern, thread_target(request), flavor, words)
    return ()


def thread_info(kernel: Kernel, request: Kmsg, flavor: int, room: int) -> tuple[tuple[int, ...]]:
    kernel.charge_time()
    return (thread_control.info(kernel.kern, thread_target(request), flavor, room),)


def thread_suspend(kernel: Kernel, request: Kmsg) -> tuple[()]:
    thread_control.suspend(kernel.kern, thread_target(request))
    return ()


def thread_resume(kernel: Kernel, request: Kmsg) -> tuple[()]:
    thread_control.resume(kernel.kern, thread_target(request))
    return ()


def thread_abort(kernel: Kernel, request: Kmsg) -> tuple[()]:
    thread_control.abort(kernel.kern, thread_target(request))
    return ()


def thread_get_special_port(kernel: Kernel, request: Kmsg, which: int) -> tuple[Right]:
    return (ipc_tt.get_thread_special_port(kernel.kern, thread_target(request), which),)


def thread_set_special_port(kernel: Kernel, request: Kmsg, which: int, right: Right) -> tuple[()]:
    ipc_tt.set_thread_special_port(kernel.kern, thread_target(request), which, right)
    return ()


def vm_allocate(kernel: Kernel, request: Kmsg, address: int, size: int, anywhere: int) -> tuple[int]:
    return (vm.vm_allocate(map_target(request), address, size, bool(anywhere)),)


def vm_deallocate(kernel: Kernel, request: Kmsg, address: int, size: int) -> tuple[()]:
    vm.vm_deallocate(map_target(request), address, size)
    return ()


def vm_protect(kernel: Kernel, request: Kmsg, address: int, size: int, set_maximum: int, protection: int) -> tuple[()]:
    vm.vm_protect(map_target(request), address, size, bool(set_maximum), protection)
    return ()


def vm_inherit(kernel: Kernel, request: Kmsg, address: int, size: int, inheritance: int) -> tuple[()]:
    vm.vm_inherit(map_target(request), address, size, inheritance)
    return ()


def vm_read(kernel: Kernel, request: Kmsg, address: int, size: int) -> tuple[OutOfLine]:
    return (OutOfLine(vm.vm_read(map_target(request), VirtAddr(address), size), size),)


def vm_write(kernel: Kernel, request: Kmsg, address: int, data: OutOfLine) -> tuple[()]:
    map_ = map_target(request)
    if isinstance(data.copy, VmMapCopy):
        vm.vm_write(map_, address, data.copy, data.size)
    return ()


def vm_copy(kernel: Kernel, request: Kmsg, source: int, size: int, target: int) -> tuple[()]:
    """A read and a write; the message keeps what was read while the write waits."""
    map_ = map_target(request)
    if request.kept is None:
        request.kept = vm.vm_read(map_, VirtAddr(source), size)
    if isinstance(request.kept, VmMapCopy):
        vm.vm_write(map_, target, request.kept, size)
    request.kept = None
    return ()


def vm_region(kernel: Kernel, request: Kmsg, address: int) -> tuple[object, ...]:
    """address, size, protection, maximum, inheritance, shared, a send right to the object's name port, offset."""
    *region, name, offset = vm.vm_region(map_target(request), address)
    return (*region, port.make_send(kernel.ipc, name) if isinstance(name, Port) else None, offset)


def vm_statistics(kernel: Kernel, request: Kmsg) -> tuple[tuple[int, ...]]:
    return (vm.vm_statistics(map_target(request)),)


def vm_map(
    kernel: Kernel,
    request: Kmsg,
    address: int,
    size: int,
    mask: int,
    anywhere: int,
    memory_object: Right,
    offset: int,
    copy: int,
    cur_protection: int,
    max_protection: int,
    inheritance: int,
) -> tuple[int]:
    got = vm.vm_map(
        map_target(request), address, size, mask, bool(anywhere), memory_object, offset, bool(copy),
        cur_protection, max_protection, inheritance,
    )  # fmt: skip
    port.release_send(kernel.ipc, memory_object)
    return (got,)


def vm_machine_attribute(kernel: Kernel, request: Kmsg, address: int, size: int, attribute: int, value: int) -> tuple[int]:
    return (vm.vm_machine_attribute(map_target(request), address, size, attribute, value),)
