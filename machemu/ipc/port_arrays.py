"""Routines of mach_port.defs for many receive rights of a space at once; where one fails for one of them, nothing is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import (
    KERN_FAILURE,
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_CAPABILITY,
    KERN_INVALID_RIGHT,
    KERN_INVALID_VALUE,
    KERN_NOT_IN_SET,
)
from machemu.abi.message import PORT_DEAD, PORT_SEND, PORT_SEND_ONCE
from machemu.abi.port import NOTIFY_PORT_DESTROYED, PORT_NULL, RIGHT_RECEIVE, TYPE_SEND_ONCE, PortStatus
from machemu.ipc import mach_port, notify, right, right_refs
from machemu.ipc import port as ports
from machemu.ipc.entry import TYPE_PORT_RIGHTS, Entry
from machemu.ipc.port import Port

if TYPE_CHECKING:
    from machemu.ipc.port import Right
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc
    from machemu.sim.state import PortName

ARRAY_MAX: Final = 1024


def allocate(ipc: Ipc, space: Space, count: int) -> tuple[PortName, ...]:
    """So many new receive rights. KERN_INVALID_ARGUMENT for more than ARRAY_MAX."""
    if count > ARRAY_MAX:
        raise KernError(KERN_INVALID_ARGUMENT)
    names: list[PortName] = []
    try:
        for _ in range(count):
            names.append(mach_port.mach_port_allocate(ipc, space, RIGHT_RECEIVE))
    except KernError:
        for name in reversed(names):
            right_refs.destroy(ipc, space, right.lookup(space, name))
        raise
    return tuple(names)


def move_members(ipc: Ipc, space: Space, members: Sequence[PortName], after: PortName) -> None:
    """A name that stands there twice moves once."""
    once = dict.fromkeys(members)
    ports = [right.lookup_receive(space, name) for name in once]
    if after == PORT_NULL and any(port.pset is None for port in ports):
        raise KernError(KERN_NOT_IN_SET)
    for name in once:
        mach_port.mach_port_move_member(ipc, space, name, after)


def receive_statuses(space: Space, names: Sequence[PortName]) -> tuple[PortStatus, ...]:
    return tuple([mach_port.mach_port_get_receive_status(space, name) for name in names])


def receivers(space: Space, names: Sequence[PortName]) -> tuple[PortName, ...]:
    """The space's names of receive rights to the ports of these rights, PORT_NULL for those that others receive from."""
    entries = [right.lookup(space, name) for name in names]
    held = [entry.object if entry.type & TYPE_PORT_RIGHTS else None for entry in entries]
    return tuple([port.receiver_name if isinstance(port, Port) and port.receiver is space else PORT_NULL for port in held])


def make_send_onces(ipc: Ipc, space: Space, names: Sequence[PortName]) -> tuple[Port, ...]:
    """A send-once right to each receive right's port."""
    return tuple([ports.make_sonce(ipc, port) for port in [right.lookup_receive(space, name) for name in names]])


def forget_send_onces(ipc: Ipc, space: Space, names: Sequence[PortName]) -> None:
    """KERN_INVALID_RIGHT for what is no send-once right to a port of the space's own, or stands there twice."""
    entries = [right.lookup(space, name) for name in names]
    if len({*names}) != len(names) or any(not _is_own_once(space, entry) for entry in entries):
        raise KernError(KERN_INVALID_RIGHT)
    for entry in entries:
        port, name = entry.port(), entry.name
        request = right.cancel_request(entry, port)
        space.dealloc(entry)
        ports.release_sonce(ipc, port)
        if request is not None:
            notify.port_deleted(ipc, request, name)


def count_last_as_sent(ipc: Ipc, space: Space, name: PortName) -> None:
    """KERN_FAILURE where the message that came last to a receive right did not come by a send-once right, or there is none."""
    port = right.lookup_receive(space, name)
    last = port.queued()[-1:]
    if not last or last[0].remote_type != PORT_SEND_ONCE:
        raise KernError(KERN_FAILURE)
    ports.release_sonce(ipc, port)
    last[0].remote, last[0].remote_type = ports.copy_send(ipc, port), PORT_SEND


def _is_own_once(space: Space, entry: Entry) -> bool:
    return entry.type == TYPE_SEND_ONCE and entry.port().active and entry.port().receiver is space


def request_notifications(
    ipc: Ipc, space: Space, names: Sequence[PortName], msgh_id: int, syncs: Sequence[int], requests: Sequence[Right]
) -> tuple[Port | None, ...]:
    """Consumes the requests on success. KERN_INVALID_ARGUMENT where they or the counts are not as many as the names."""
    if not len(names) == len(syncs) == len(requests):
        raise KernError(KERN_INVALID_ARGUMENT)
    for name in names:
        right.lookup_receive(space, name)
    if any(request is PORT_DEAD for request in requests):
        raise KernError(KERN_INVALID_CAPABILITY)
    if msgh_id == NOTIFY_PORT_DESTROYED and any(syncs):
        raise KernError(KERN_INVALID_VALUE)
    return tuple(
        [
            mach_port.mach_port_request_notification(ipc, space, name, msgh_id, sync, request)
            for name, sync, request in zip(names, syncs, requests, strict=True)
        ]
    )
