"""Subsystem mach_i386 (3800): descriptor tables and I/O ports, on machines that have them; others do not know it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.core.routines.targets import task_target, thread_target
from machemu.device.io_perm import IoPerm
from machemu.ipc import port
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.kern import thread_control
from machemu.kern.thread import Thread
from machemu.machine.seams import DescriptorTables, IoPorts
from machemu.mig.runtime import OutOfLine
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

INLINE_MAX: Final = 256
"""Descriptors that a reply holds; more travel out of line."""

Descriptor = tuple[int, int]


def _tables(thread: Thread) -> DescriptorTables:
    assert isinstance(thread.pcb, DescriptorTables)
    return thread.pcb


def i386_set_ldt(kernel: Kernel, request: Kmsg, first: int, given: tuple[Descriptor, ...] | OutOfLine) -> tuple[()]:
    """Consumes out-of-line descriptors on success."""
    thread = thread_target(request)
    copy = given.copy if isinstance(given, OutOfLine) else None
    if isinstance(given, OutOfLine):
        data = copy.to_bytes()[: given.size] if isinstance(copy, VmMapCopy) else b""
        descriptors = [(low, high) for low, high in struct.iter_unpack(kernel.ipc.prefix + "2i", data)]
    else:
        descriptors = list(given)
    _tables(thread).set_ldt(first, descriptors, thread is kernel.kern.sched.current)
    thread_control.reenter(kernel.kern, thread)
    if isinstance(copy, VmMapCopy):
        copy.discard()
    return ()


def i386_get_ldt(kernel: Kernel, request: Kmsg, first: int, count: int) -> tuple[object]:
    found = _tables(thread_target(request)).get_ldt(first, count)
    if len(found) <= INLINE_MAX:
        return (tuple(found),)
    data = b"".join(struct.pack(kernel.ipc.prefix + "2i", *pair) for pair in found)
    return (OutOfLine(VmMapCopy.from_bytes(kernel.vm, data), len(data)),)


def i386_set_gdt(kernel: Kernel, request: Kmsg, selector: int, descriptor: Descriptor) -> tuple[int]:
    thread = thread_target(request)
    selector = _tables(thread).set_gdt(selector, descriptor)
    thread_control.reenter(kernel.kern, thread)
    return (selector,)


def i386_get_gdt(kernel: Kernel, request: Kmsg, selector: int) -> tuple[Descriptor]:
    return (_tables(thread_target(request)).get_gdt(selector),)


def i386_io_perm_create(kernel: Kernel, request: Kmsg, first: int, last: int) -> tuple[Port]:
    if request.remote is not kernel.devices.master_port:
        raise KernError(KERN_INVALID_ARGUMENT)
    return (kernel.io_perms.create(kernel.ipc, first & 0xFFFF, last & 0xFFFF),)


def i386_io_perm_modify(kernel: Kernel, request: Kmsg, right: Right, enable: int) -> tuple[()]:
    """Consumes the permission's send right on success."""
    task = task_target(request)
    perm = right.kobject if isinstance(right, Port) and right.active else None
    if not isinstance(perm, IoPerm):
        raise KernError(KERN_INVALID_ARGUMENT)
    assert isinstance(task.machine, IoPorts)
    task.machine.io_perm_modify(perm.first, perm.last, bool(enable))
    kernel.io_perms.used(perm)
    port.release_send(kernel.ipc, right)
    return ()
