"""The routines of mach_port.defs (Mach's mach_port.c), for a space that the caller has found; failures are KernError."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import (
    KERN_INVALID_CAPABILITY,
    KERN_INVALID_NAME,
    KERN_INVALID_RIGHT,
    KERN_INVALID_TASK,
    KERN_INVALID_VALUE,
    KERN_NAME_EXISTS,
)
from machemu.abi.message import MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND_ONCE, PORT_DEAD, PORT_SEND
from machemu.abi.port import (
    NOTIFY_DEAD_NAME,
    NOTIFY_NO_SENDERS,
    NOTIFY_PORT_DESTROYED,
    PORT_NAME_DEAD,
    PORT_NULL,
    QLIMIT_MAX,
    RIGHT_DEAD_NAME,
    RIGHT_PORT_SET,
    RIGHT_RECEIVE,
    TYPE_DEAD_NAME,
    TYPE_PORT_SET,
    TYPE_RECEIVE,
    PortStatus,
)
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc import pset as psets
from machemu.ipc import right, right_refs
from machemu.ipc.entry import TYPE_SEND_RIGHTS, Entry
from machemu.ipc.port import Port, Right
from machemu.ipc.pset import PortSet
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.abi.message import PortDead
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc


RIGHT_COUNT: Final = RIGHT_DEAD_NAME + 1
TYPE_SHIFT: Final = 16
"""mach_port_type_t has bit 16 + right."""


def _valid(name: PortName) -> bool:
    return name not in (PORT_NULL, PORT_NAME_DEAD)


# Names


def _fill(ipc: Ipc, space: Space, entry: Entry, kind: int) -> None:
    """Makes a new entry a receive right, a port set or a dead name."""
    if kind == RIGHT_RECEIVE:
        entry.object = ipc.make_port(space, entry.name)
        entry.type = TYPE_RECEIVE
    elif kind == RIGHT_PORT_SET:
        entry.object = PortSet(entry.name)
        entry.type = TYPE_PORT_SET
        ipc.set_count += 1
    else:
        entry.type = TYPE_DEAD_NAME
        entry.urefs = 1


def mach_port_allocate(ipc: Ipc, space: Space, kind: int) -> PortName:
    """A new receive right, port set or dead name; its name."""
    if kind not in (RIGHT_RECEIVE, RIGHT_PORT_SET, RIGHT_DEAD_NAME):
        raise KernError(KERN_INVALID_VALUE)
    entry = space.alloc()
    _fill(ipc, space, entry, kind)
    return entry.name


def mach_port_allocate_name(ipc: Ipc, space: Space, kind: int, name: PortName) -> None:
    """As mach_port_allocate, under a name that the caller chose."""
    if not _valid(name) or kind not in (RIGHT_RECEIVE, RIGHT_PORT_SET, RIGHT_DEAD_NAME):
        raise KernError(KERN_INVALID_VALUE)
    entry = space.alloc_name(name)
    if entry.type:
        raise KernError(KERN_NAME_EXISTS)
    _fill(ipc, space, entry, kind)


def mach_reply_port(ipc: Ipc, space: Space) -> PortName:
    """The trap: a new receive right, or MACH_PORT_NULL where there can be none."""
    try:
        return mach_port_allocate(ipc, space, RIGHT_RECEIVE)
    except KernError:
        return PORT_NULL


def mach_port_names(space: Space) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All names in ascending order, and their types."""
    if not space.active:
        raise KernError(KERN_INVALID_TASK)
    names: list[PortName] = []
    types: list[int] = []
    for name, entry in space.entries():
        kind = entry.type
        if kind & TYPE_SEND_RIGHTS and not entry.port().active:
            types.append(TYPE_DEAD_NAME)
        else:
            types.append(right_refs.kind_of(kind, entry))
        names.append(name)
    return tuple(names), tuple(types)


def mach_port_type(space: Space, name: PortName) -> int:
    return right_refs.info(space, right.lookup(space, name))[0]


def mach_port_rename(space: Space, old_name: PortName, new_name: PortName) -> None:
    if not _valid(new_name):
        raise KernError(KERN_INVALID_VALUE)
    right_refs.rename(space, old_name, new_name)


# References


def mach_port_destroy(ipc: Ipc, space: Space, name: PortName) -> None:
    right_refs.destroy(ipc, space, right.lookup(space, name))


def mach_port_deallocate(ipc: Ipc, space: Space, name: PortName) -> None:
    right_refs.dealloc(ipc, space, right.lookup(space, name))


def mach_port_get_refs(space: Space, name: PortName, kind: int) -> int:
    """User references of one right under a name, 0 where it is not there."""
    if not 0 <= kind < RIGHT_COUNT:
        raise KernError(KERN_INVALID_VALUE)
    types, urefs = right_refs.info(space, right.lookup(space, name))
    if not types & 1 << TYPE_SHIFT + kind:
        return 0
    return 1 if kind in (RIGHT_RECEIVE, RIGHT_PORT_SET) else urefs


def mach_port_mod_refs(ipc: Ipc, space: Space, name: PortName, kind: int, delta: int) -> None:
    if not 0 <= kind < RIGHT_COUNT:
        raise KernError(KERN_INVALID_VALUE)
    right_refs.delta(ipc, space, right.lookup(space, name), kind, delta)


# Receive rights and sets


def mach_port_set_qlimit(ipc: Ipc, space: Space, name: PortName, qlimit: int) -> None:
    if qlimit > QLIMIT_MAX:
        raise KernError(KERN_INVALID_VALUE)
    ports.set_qlimit(ipc, right.lookup_receive(space, name), qlimit)


def mach_port_set_mscount(space: Space, name: PortName, mscount: int) -> None:
    right.lookup_receive(space, name).mscount = mscount


def mach_port_set_seqno(space: Space, name: PortName, seqno: int) -> None:
    right.lookup_receive(space, name).seqno = seqno


def mach_port_set_protected_payload(space: Space, name: PortName, payload: int) -> None:
    right.lookup_receive(space, name).payload = payload


def mach_port_clear_protected_payload(space: Space, name: PortName) -> None:
    right.lookup_receive(space, name).payload = None


def mach_port_get_receive_status(space: Space, name: PortName) -> PortStatus:
    port = right.lookup_receive(space, name)
    return PortStatus(
        port.pset.local_name if port.pset is not None else PORT_NULL,
        port.seqno,
        port.mscount,
        port.qlimit,
        port.msgcount,
        port.sorights,
        int(port.srights > 0),
        int(port.pdrequest is not None),
        int(port.nsrequest is not None),
    )


def mach_port_get_set_status(space: Space, name: PortName) -> tuple[int, ...]:
    """The names of a set's members, in ascending order."""
    pset = right.lookup(space, name).object
    if not isinstance(pset, PortSet):
        raise KernError(KERN_INVALID_RIGHT)
    return tuple(sorted(port.receiver_name for port in pset.members.values()))


def mach_port_move_member(ipc: Ipc, space: Space, member: PortName, after: PortName) -> None:
    """Moves a port into the set `after`, or with MACH_PORT_NULL out of its set."""
    port = right.lookup_receive(space, member)
    pset = None
    if after != PORT_NULL:
        entry = space.lookup(after)
        if entry is None:
            raise KernError(KERN_INVALID_NAME)
        if not isinstance(entry.object, PortSet):
            raise KernError(KERN_INVALID_RIGHT)
        pset = entry.object
    psets.move(ipc, port, pset)


# Notifications and rights by name


def mach_port_request_notification(
    ipc: Ipc, space: Space, name: PortName, msgh_id: int, sync: int, request: Right
) -> Port | None:
    """Asks for a notification, or with None takes the request back; the previous request's send-once right, now the caller's.

    Consumes the send-once right `request` on success.
    """
    if request is PORT_DEAD:
        raise KernError(KERN_INVALID_CAPABILITY)
    soright = request if isinstance(request, Port) else None
    if msgh_id == NOTIFY_PORT_DESTROYED:
        if sync:
            raise KernError(KERN_INVALID_VALUE)
        port = right.lookup_receive(space, name)
        previous, port.pdrequest = port.pdrequest, soright
        return previous
    if msgh_id == NOTIFY_NO_SENDERS:
        return ports.nsrequest(ipc, right.lookup_receive(space, name), sync, soright)
    if msgh_id == NOTIFY_DEAD_NAME:
        return right.dnrequest(ipc, space, name, sync != 0, soright)
    raise KernError(KERN_INVALID_VALUE)


def mach_port_insert_right(space: Space, name: PortName, poly: Right, disposition: int) -> None:
    """Puts a right under a name. Consumes it on success."""
    if not _valid(name) or not MOVE_RECEIVE <= disposition <= MOVE_SEND_ONCE:
        raise KernError(KERN_INVALID_VALUE)
    if not isinstance(poly, Port):
        raise KernError(KERN_INVALID_CAPABILITY)
    right.copyout_name(space, poly, disposition, name)


def mach_port_extract_right(ipc: Ipc, space: Space, name: PortName, disposition: int) -> tuple[Port | PortDead, int]:
    """Takes or copies a right out of a space: the right, now the caller's, and its disposition under way."""
    if not MOVE_RECEIVE <= disposition <= MAKE_SEND_ONCE:
        raise KernError(KERN_INVALID_VALUE)
    return right.copyin(ipc, space, name, disposition)


def insert_right_by_name(ipc: Ipc, current: Space, target: Space, name: PortName, source: PortName, disposition: int) -> None:
    """The trap mach_port_insert_right: takes a right from the caller's space and puts it into the target's; lost on failure."""
    if not MOVE_RECEIVE <= disposition <= MAKE_SEND_ONCE:
        raise KernError(KERN_INVALID_VALUE)
    poly: Right
    if _valid(source):
        poly, transit = right.copyin(ipc, current, source, disposition)
    else:
        poly, transit = right.from_name(source), right.TRANSIT[disposition]
    try:
        mach_port_insert_right(target, name, poly, transit)
    except KernError:
        kmsgs.destroy_right(ipc, poly, transit)
        raise


def copyout_send(ipc: Ipc, space: Space, sright: Right) -> PortName:
    """ipc_port_copyout_send: a name for a send right, which is consumed; MACH_PORT_DEAD or MACH_PORT_NULL where there is none."""
    if not isinstance(sright, Port):
        return PORT_NAME_DEAD if sright is PORT_DEAD else PORT_NULL
    try:
        return right.copyout(space, sright, PORT_SEND)
    except KernError as error:
        ports.release_send(ipc, sright)
        return PORT_NAME_DEAD if error.code == KERN_INVALID_CAPABILITY else PORT_NULL
