"""Subsystem mach_port_array (4650). The real kernel has no such routines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.core.routines.targets import space_target
from machemu.ipc import port_arrays
from machemu.ipc.kmsg import Kmsg
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel
    from machemu.ipc.port import Right


def mach_port_allocate_array(kernel: Kernel, request: Kmsg, count: int) -> tuple[tuple[PortName, ...]]:
    return (port_arrays.allocate(kernel.ipc, space_target(request), count),)


def mach_port_move_member_array(kernel: Kernel, request: Kmsg, members: tuple[PortName, ...], after: PortName) -> tuple[()]:
    port_arrays.move_members(kernel.ipc, space_target(request), members, after)
    return ()


def mach_port_get_receive_status_array(
    kernel: Kernel, request: Kmsg, names: tuple[PortName, ...]
) -> tuple[tuple[tuple[int, ...], ...]]:
    return (tuple(map(tuple, port_arrays.receive_statuses(space_target(request), names))),)


def mach_port_get_receiver_array(kernel: Kernel, request: Kmsg, names: tuple[PortName, ...]) -> tuple[tuple[PortName, ...]]:
    return (port_arrays.receivers(space_target(request), names),)


def mach_port_make_send_once_array(kernel: Kernel, request: Kmsg, names: tuple[PortName, ...]) -> tuple[tuple[Right, ...]]:
    return (port_arrays.make_send_onces(kernel.ipc, space_target(request), names),)


def mach_port_forget_send_once_array(kernel: Kernel, request: Kmsg, onces: tuple[PortName, ...]) -> tuple[()]:
    port_arrays.forget_send_onces(kernel.ipc, space_target(request), onces)
    return ()


def mach_port_count_last_as_sent(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[()]:
    port_arrays.count_last_as_sent(kernel.ipc, space_target(request), name)
    return ()


def mach_port_request_notification_array(
    kernel: Kernel, request: Kmsg, names: tuple[PortName, ...], msgh_id: int, syncs: tuple[int, ...], notify: tuple[Right, ...]
) -> tuple[tuple[Right, ...]]:
    return (port_arrays.request_notifications(kernel.ipc, space_target(request), names, msgh_id, syncs, notify),)
