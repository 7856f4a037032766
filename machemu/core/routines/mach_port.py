"""Subsystem mach_port (3200)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.port import PORT_NAME_DEAD, PORT_NULL, RIGHT_DEAD_NAME
from machemu.core import printers
from machemu.core.routines.targets import space_target, words_out_of_line
from machemu.ipc import mach_port as ports
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.space import Space
from machemu.kern.task import NAME_MAX
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel
    from machemu.ipc.port import Right


def tell_bogus(kernel: Kernel, space: Space, name: PortName, doing: str, by: int | None = None) -> None:
    """The kernel says on its console that the current task gives up a name of its own that it has not.

    by: how many references of it, where not one.
    """
    if name in space.table or name in (PORT_NULL, PORT_NAME_DEAD):
        return
    task = kernel.kern.current.task
    if space is task.space:
        count = "" if by is None else f" by {by}"
        text = f"task {task.name[:NAME_MAX]} {doing} a bogus port {name}{count}, most probably a bug.\n"
        printers.print_text(kernel, task, text.encode())


def mach_port_names(kernel: Kernel, request: Kmsg) -> tuple[OutOfLine, OutOfLine]:
    names, types = ports.mach_port_names(space_target(request))
    return words_out_of_line(kernel, names), words_out_of_line(kernel, types)


def mach_port_type(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[int]:
    return (ports.mach_port_type(space_target(request), name),)


def mach_port_rename(kernel: Kernel, request: Kmsg, old_name: PortName, new_name: PortName) -> tuple[()]:
    ports.mach_port_rename(space_target(request), old_name, new_name)
    return ()


def mach_port_allocate_name(kernel: Kernel, request: Kmsg, right: int, name: PortName) -> tuple[()]:
    ports.mach_port_allocate_name(kernel.ipc, space_target(request), right, name)
    return ()


def mach_port_allocate(kernel: Kernel, request: Kmsg, right: int) -> tuple[PortName]:
    return (ports.mach_port_allocate(kernel.ipc, space_target(request), right),)


def mach_port_destroy(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[()]:
    space = space_target(request)
    tell_bogus(kernel, space, name, "destroying")
    ports.mach_port_destroy(kernel.ipc, space, name)
    return ()


def mach_port_deallocate(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[()]:
    space = space_target(request)
    tell_bogus(kernel, space, name, "deallocating")
    ports.mach_port_deallocate(kernel.ipc, space, name)
    return ()


def mach_port_get_refs(kernel: Kernel, request: Kmsg, name: PortName, right: int) -> tuple[int]:
    return (ports.mach_port_get_refs(space_target(request), name, right),)


def mach_port_mod_refs(kernel: Kernel, request: Kmsg, name: PortName, right: int, delta: int) -> tuple[()]:
    space = space_target(request)
    if right <= RIGHT_DEAD_NAME:
        tell_bogus(kernel, space, name, "decreasing" if delta < 0 else "increasing", abs(delta))
    ports.mach_port_mod_refs(kernel.ipc, space, name, right, delta)
    return ()


def mach_port_set_qlimit(kernel: Kernel, request: Kmsg, name: PortName, qlimit: int) -> tuple[()]:
    ports.mach_port_set_qlimit(kernel.ipc, space_target(request), name, qlimit)
    return ()


def mach_port_set_mscount(kernel: Kernel, request: Kmsg, name: PortName, mscount: int) -> tuple[()]:
    ports.mach_port_set_mscount(space_target(request), name, mscount)
    return ()


def mach_port_set_seqno(kernel: Kernel, request: Kmsg, name: PortName, seqno: int) -> tuple[()]:
    ports.mach_port_set_seqno(space_target(request), name, seqno)
    return ()


def mach_port_get_set_status(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[OutOfLine]:
    return (words_out_of_line(kernel, ports.mach_port_get_set_status(space_target(request), name)),)


def mach_port_move_member(kernel: Kernel, request: Kmsg, member: PortName, after: PortName) -> tuple[()]:
    ports.mach_port_move_member(kernel.ipc, space_target(request), member, after)
    return ()


def mach_port_request_notification(
    kernel: Kernel, request: Kmsg, name: PortName, msgh_id: int, sync: int, notify: Right
) -> tuple[Right]:
    return (ports.mach_port_request_notification(kernel.ipc, space_target(request), name, msgh_id, sync, notify),)


def mach_port_insert_right(kernel: Kernel, request: Kmsg, name: PortName, poly: PolyPort) -> tuple[()]:
    ports.mach_port_insert_right(space_target(request), name, poly.port, poly.disposition)
    return ()


def mach_port_extract_right(kernel: Kernel, request: Kmsg, name: PortName, disposition: int) -> tuple[PolyPort]:
    return (PolyPort(*ports.mach_port_extract_right(kernel.ipc, space_target(request), name, disposition)),)


def mach_port_get_receive_status(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[tuple[int, ...]]:
    return (tuple(ports.mach_port_get_receive_status(space_target(request), name)),)


def mach_port_set_protected_payload(kernel: Kernel, request: Kmsg, name: PortName, payload: int) -> tuple[()]:
    ports.mach_port_set_protected_payload(space_target(request), name, payload)
    return ()


def mach_port_clear_protected_payload(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[()]:
    ports.mach_port_clear_protected_payload(space_target(request), name)
    return ()
