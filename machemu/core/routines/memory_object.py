"""Subsystem mach (2000): what memory managers tell the kernel, by their objects' control ports; and what they ask of it as one
themselves (2200)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT
from machemu.abi.message import PORT_RECEIVE
from machemu.core.managers import control_pager
from machemu.core.routines.targets import privileged_host
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.mig.interfaces import memory_object as user
from machemu.mig.runtime import OutOfLine, PolyPort, Routine
from machemu.vm import memory_object
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import deallocate
from machemu.vm.pager import Pager

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

WORD: Final = 0xFFFFFFFF


@contextmanager
def object_target(kernel: Kernel, request: Kmsg) -> Iterator[Pager]:
    """The pager whose control port the request was sent to. Its object, which may only be cached, has one more reference until
    its manager is answered; then one that is not used and has no pages any more goes."""
    pager = control_pager(request.remote)
    if pager is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    obj = pager.object
    kernel.vm.reference(obj)
    try:
        yield pager
    finally:
        deallocate(obj)


def _tell(kernel: Kernel, reply_to: PolyPort, routine: Routine, pager: Pager | None, *values: object) -> None:
    """Sends what the manager asked to be told, with the pager's control port before `values`. Consumes its right.

    Nobody is told by a receive right, which is given up; the real kernel sends to it, and the port is never received from again.
    """
    if not isinstance(reply_to.port, Port):
        return
    if reply_to.disposition == PORT_RECEIVE:
        kmsgs.destroy_right(kernel.ipc, reply_to.port, PORT_RECEIVE)
        return
    if pager is not None:
        control = ports.make_send(kernel.ipc, pager.control) if isinstance(pager.control, Port) else None
        values = (control, *values)
    body, carried = routine.request.pack(kernel.ipc.order, values)
    kmsgs.kernel_send(
        kernel.ipc,
        kmsgs.make(kernel.ipc, reply_to.port, reply_to.disposition, None, 0, routine.request.id, body, carried),
    )


def memory_object_data_supply(
    kernel: Kernel, request: Kmsg, offset: int, data: OutOfLine, lock_value: int, precious: int, reply_to: PolyPort
) -> tuple[()]:
    """The data and the reply right are consumed also where a page was there already, of which the manager is told."""
    copy = data.copy if isinstance(data.copy, VmMapCopy) else VmMapCopy.from_bytes(kernel.vm, b"")
    with object_target(kernel, request) as pager:
        result, error_offset = memory_object.data_supply(pager, offset, copy, lock_value & WORD, bool(precious))
        copy.discard()
        completed = user.MEMORY_OBJECT_SUPPLY_COMPLETED
        _tell(kernel, reply_to, completed, pager, offset, data.size, result, error_offset)
    return ()


def memory_object_data_unavailable(kernel: Kernel, request: Kmsg, offset: int, size: int) -> tuple[()]:
    with object_target(kernel, request) as pager:
        memory_object.data_unavailable(pager, offset, size)
    return ()


def memory_object_data_error(kernel: Kernel, request: Kmsg, offset: int, size: int, error_value: int) -> tuple[()]:
    """The manager's own code is not passed on."""
    with object_target(kernel, request) as pager:
        memory_object.data_error(pager, offset, size)
    return ()


def memory_object_lock_request(
    kernel: Kernel,
    request: Kmsg,
    offset: int,
    size: int,
    should_return: int,
    should_flush: int,
    lock_value: int,
    reply_to: PolyPort,
) -> tuple[()]:
    with object_target(kernel, request) as pager:
        memory_object.lock_request(pager, offset, size, should_return, bool(should_flush), lock_value & WORD)
        _tell(kernel, reply_to, user.MEMORY_OBJECT_LOCK_COMPLETED, pager, offset, size)
    return ()


def memory_object_ready(kernel: Kernel, request: Kmsg, may_cache: int, copy_strategy: int) -> tuple[()]:
    with object_target(kernel, request) as pager:
        memory_object.set_attributes(pager, bool(may_cache), copy_strategy)
    return ()


def memory_object_change_attributes(
    kernel: Kernel, request: Kmsg, may_cache: int, copy_strategy: int, reply_to: PolyPort
) -> tuple[()]:
    """The manager is told also where the strategy is none, by its right, which the message then has no more."""
    try:
        with object_target(kernel, request) as pager:
            memory_object.set_attributes(pager, bool(may_cache), copy_strategy)
    finally:
        request.carried = ()
        _tell(kernel, reply_to, user.MEMORY_OBJECT_CHANGE_COMPLETED, None, may_cache, copy_strategy)
    return ()


def memory_object_get_attributes(kernel: Kernel, request: Kmsg) -> tuple[int, int, int]:
    with object_target(kernel, request) as pager:
        return memory_object.get_attributes(pager)


def memory_object_destroy(kernel: Kernel, request: Kmsg, reason: int) -> tuple[()]:
    with object_target(kernel, request) as pager:
        memory_object.destroy(pager)
    return ()


def vm_set_default_memory_manager(kernel: Kernel, request: Kmsg, manager: Right) -> tuple[Right]:
    """The manager before; with a null port nothing changes."""
    privileged_host(kernel, request)
    vm = kernel.vm
    if manager is None:
        return (ports.copy_send(kernel.ipc, cast("Right", vm.default_manager)),)
    old, vm.default_manager = cast("Right", vm.default_manager), manager
    vm.manager_wanted.wake(vm.managers.wake)
    vm.pageout_wanted = True
    vm.managers.pageout()
    return (old,)


def not_a_manager(kernel: Kernel, request: Kmsg, *arguments: object) -> tuple[()]:
    """Requests to memory managers (2200): the kernel is the manager of devices' memory, and takes them from itself alone.

    The real kernel panics where a user's request has the right shape.
    """
    raise KernError(KERN_FAILURE)
