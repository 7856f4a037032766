"""Rights on their way into and out of a port name space (Mach's ipc_right.c and ipc_object.c).

A right under way is a port, None (MACH_PORT_NULL) or PORT_DEAD, with a disposition PORT_RECEIVE, PORT_SEND or PORT_SEND_ONCE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import (
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_CAPABILITY,
    KERN_INVALID_NAME,
    KERN_INVALID_RIGHT,
    KERN_INVALID_TASK,
    KERN_NAME_EXISTS,
    KERN_RIGHT_EXISTS,
    KERN_UREFS_OVERFLOW,
)
from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND,
    MOVE_SEND_ONCE,
    PORT_DEAD,
    PORT_RECEIVE,
    PORT_SEND,
    PORT_SEND_ONCE,
    PortDead,
)
from machemu.abi.port import (
    PORT_NAME_DEAD,
    PORT_NULL,
    TYPE_DEAD_NAME,
    TYPE_NONE,
    TYPE_RECEIVE,
    TYPE_SEND,
    TYPE_SEND_ONCE,
    UREFS_MAX,
)
from machemu.ipc import marequest, notify
from machemu.ipc import port as ports
from machemu.ipc.entry import TYPE_PORT_OR_DEAD, TYPE_PORT_RIGHTS, TYPE_SEND_RIGHTS, Entry
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.ipc.port import Port
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc


OF_RECEIVERS: Final = (MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE)
"""Dispositions that need the receive right."""
TRANSIT: Final = {
    0: 0,
    MOVE_RECEIVE: PORT_RECEIVE,
    MOVE_SEND: PORT_SEND,
    MOVE_SEND_ONCE: PORT_SEND_ONCE,
    COPY_SEND: PORT_SEND,
    MAKE_SEND: PORT_SEND,
    MAKE_SEND_ONCE: PORT_SEND_ONCE,
}
"""The disposition under way of a right that was copied in (ipc_object_copyin_type)."""


# Finding


def lookup(space: Space, name: PortName) -> Entry:
    """ipc_right_lookup: the entry of a name in use."""
    entry = space.table.get(name)
    if entry is None:
        raise KernError(KERN_INVALID_NAME if space.active else KERN_INVALID_TASK)
    return entry


def lookup_receive(space: Space, name: PortName) -> Port:
    """The port to which `name` is the receive right (ipc_port_translate_receive)."""
    entry = lookup(space, name)
    if not entry.type & TYPE_RECEIVE:
        raise KernError(KERN_INVALID_RIGHT)
    return entry.port()


def lookup_send(space: Space, name: PortName) -> Port | None:
    """The live port to which `name` is a send right, or None: how a trap finds what a name stands for."""
    entry = space.table.get(name)
    if entry is None or not entry.type & TYPE_SEND:
        return None
    port = entry.port()
    return port if port.active else None


def lookup_notify(space: Space, name: PortName) -> Port | None:
    """A new send-once right to the port to which `name` is the receive right, or None."""
    entry = space.table.get(name)
    if entry is None or not entry.type & TYPE_RECEIVE:
        return None
    port = entry.port()
    port.sorights += 1
    return port


def reverse(space: Space, port: Port) -> Entry | None:
    """The entry that holds a send or receive right to a live port."""
    if not port.active:
        return None
    if port.receiver is space:
        return space.table[port.receiver_name]
    return space.reverse.get(port.number)


def from_name(name: PortName) -> PortDead | None:
    """The right that MACH_PORT_NULL or MACH_PORT_DEAD stands for."""
    if name == PORT_NULL:
        return None
    if name == PORT_NAME_DEAD:
        return PORT_DEAD
    raise InvariantError(f"{name} is not a name that stands for itself")


def check(space: Space, entry: Entry) -> bool:
    """ipc_right_check: makes a send or send-once right to a dead port the dead name that it is; True where it was one."""
    port = entry.port()
    if port.active:
        return False
    if entry.type & TYPE_SEND:
        if entry.marequest:
            marequest.cancel(space, entry.name)
        del space.reverse[port.number]
    entry.to_dead_name()
    return True


# In


def copyin_check(entry: Entry, disposition: int) -> bool:
    """ipc_right_copyin_check: whether `copyin_entry` with dead rights allowed would succeed."""
    kind = entry.type
    if disposition in OF_RECEIVERS:
        return bool(kind & TYPE_RECEIVE)
    if kind & TYPE_DEAD_NAME:
        return True
    if not kind & TYPE_SEND_RIGHTS:
        return False
    if not entry.port().active:
        return True
    return bool(kind & (TYPE_SEND_ONCE if disposition == MOVE_SEND_ONCE else TYPE_SEND))


def copyin_entry(ipc: Ipc, space: Space, entry: Entry, disposition: int, dead_ok: bool) -> tuple[Port | PortDead, Port | None]:
    """ipc_right_copyin: takes or copies the right out of an entry, and gives the right and the send-once right of its
    dead-name request, where that right is gone from the space (the caller sends port-deleted).

    The caller frees the entry where it is left without a type. KERN_INVALID_RIGHT changes nothing, except that a right
    to a dead port becomes a dead name.
    """
    kind = entry.type
    if disposition in OF_RECEIVERS:
        if not kind & TYPE_RECEIVE:
            raise KernError(KERN_INVALID_RIGHT)
        port = entry.port()
        if disposition == MOVE_RECEIVE:
            return port, _copyin_receive(ipc, space, entry, port)
        if disposition == MAKE_SEND:
            return ports.make_send(ipc, port), None
        port.sorights += 1
        return port, None
    if not kind & TYPE_DEAD_NAME:
        if not kind & TYPE_SEND_RIGHTS:
            raise KernError(KERN_INVALID_RIGHT)
        if not check(space, entry):
            return _copyin_send(space, entry, disposition)
    if not dead_ok:
        raise KernError(KERN_INVALID_RIGHT)
    if disposition != COPY_SEND:
        entry.urefs -= 1
        if not entry.urefs:
            entry.type = TYPE_NONE
    return PORT_DEAD, None


def _copyin_receive(ipc: Ipc, space: Space, entry: Entry, port: Port) -> Port | None:
    """Moves a receive right out; a send right under the same name stays."""
    request = None
    entry.type &= ~TYPE_RECEIVE
    if entry.type:
        space.reverse[port.number] = entry
    else:
        request = _forget(space, entry, port)
    ports.clear_receiver(ipc, port)
    ports.leave_receiver(port)
    return request


def _copyin_send(space: Space, entry: Entry, disposition: int) -> tuple[Port, Port | None]:
    """Moves or copies a send or send-once right to a live port."""
    port = entry.port()
    if disposition == MOVE_SEND_ONCE:
        if not entry.type & TYPE_SEND_ONCE:
            raise KernError(KERN_INVALID_RIGHT)
        entry.type = TYPE_NONE
        entry.urefs = 0
        return port, _forget(space, entry, port)
    if not entry.type & TYPE_SEND:
        raise KernError(KERN_INVALID_RIGHT)
    if disposition == COPY_SEND:
        port.srights += 1
        return port, None
    if entry.urefs > 1:
        entry.urefs -= 1
        port.srights += 1
        return port, None
    return port, drop_send(space, entry, port)


def drop_send(space: Space, entry: Entry, port: Port) -> Port | None:
    """A send right leaves its entry, with all its user references; its count in the port is the caller's."""
    entry.urefs = 0
    entry.type &= ~TYPE_SEND
    if entry.type:
        return None
    del space.reverse[port.number]
    return _forget(space, entry, port)


def _forget(space: Space, entry: Entry, port: Port) -> Port | None:
    """An entry's last right to a live port is gone: its requests are cancelled. Gives the dead-name request's right."""
    if entry.marequest:
        entry.marequest = False
        marequest.cancel(space, entry.name)
    entry.object = None
    return cancel_request(entry, port)


def cancel_request(entry: Entry, port: Port) -> Port | None:
    """ipc_right_dncancel: the send-once right of the entry's dead-name request, which is no more."""
    if not entry.request:
        return None
    request, entry.request = entry.request, 0
    return ports.dncancel(port, request)


def copyin_two(space: Space, entry: Entry) -> tuple[Port, Port | None]:
    """ipc_right_copyin_two: moves two send rights out of one entry."""
    if not entry.type & TYPE_SEND or entry.urefs < 2 or check(space, entry):
        raise KernError(KERN_INVALID_RIGHT)
    port = entry.port()
    if entry.urefs > 2:
        entry.urefs -= 2
        port.srights += 2
        return port, None
    port.srights += 1
    return port, drop_send(space, entry, port)


def copyin(ipc: Ipc, space: Space, name: PortName, disposition: int) -> tuple[Port | PortDead, int]:
    """ipc_object_copyin: takes or copies a right by its name; gives it with its disposition under way. The caller owns it."""
    entry = lookup(space, name)
    right, request = copyin_entry(ipc, space, entry, disposition, True)
    if not entry.type:
        space.dealloc(entry)
    if request is not None:
        notify.port_deleted(ipc, request, name)
    return right, TRANSIT[disposition]


# Out


def copyout_entry(entry: Entry, space: Space, disposition: int, overflow: bool, port: Port) -> None:
    """ipc_right_copyout: puts a right to a live port under a name, which is new (its object set) or holds the same port.

    Consumes the right. Where the user references are at their limit they stay there with `overflow`, and without it
    KERN_UREFS_OVERFLOW leaves the right to the caller.
    """
    if disposition == PORT_SEND:
        if entry.type & TYPE_SEND:
            if entry.urefs + 1 < UREFS_MAX:
                entry.urefs += 1
            elif not overflow:
                raise KernError(KERN_UREFS_OVERFLOW)
            port.srights -= 1
            return
        if not entry.type:
            space.reverse[port.number] = entry
        entry.type |= TYPE_SEND
        entry.urefs = 1
    elif disposition == PORT_SEND_ONCE:
        entry.type = TYPE_SEND_ONCE
        entry.urefs = 1
    elif disposition == PORT_RECEIVE:
        port.receiver_name = entry.name
        port.receiver = space
        port.destination = port.payload = None
        if entry.type:
            del space.reverse[port.number]
        entry.type |= TYPE_RECEIVE
    else:
        raise InvariantError(f"a right with disposition {disposition}")


def copyout(space: Space, port: Port, disposition: int) -> PortName:
    """ipc_object_copyout: puts a right under the name that the space has for the port, or a new one, and consumes it.

    A failure leaves the right to the caller: KERN_INVALID_CAPABILITY for a dead port, KERN_INVALID_TASK for a dead space.
    """
    if not space.active:
        raise KernError(KERN_INVALID_TASK)
    entry = reverse(space, port) if disposition != PORT_SEND_ONCE else None
    if entry is None:
        entry = space.alloc()
        if not port.active:
            space.dealloc(entry)
            raise KernError(KERN_INVALID_CAPABILITY)
        entry.object = port
    copyout_entry(entry, space, disposition, True, port)
    return entry.name


def copyout_name(space: Space, port: Port, disposition: int, name: PortName) -> None:
    """ipc_object_copyout_name: as `copyout`, under a name that the caller chose.

    KERN_RIGHT_EXISTS where the space has another name for the port, KERN_NAME_EXISTS where the name is in use.
    """
    entry = space.alloc_name(name)
    known = reverse(space, port) if disposition != PORT_SEND_ONCE else None
    if known is not None:
        if known is not entry:
            if not entry.type:
                space.dealloc(entry)
            raise KernError(KERN_RIGHT_EXISTS)
    else:
        if entry.type:
            raise KernError(KERN_NAME_EXISTS)
        if not port.active:
            space.dealloc(entry)
            raise KernError(KERN_INVALID_CAPABILITY)
        entry.object = port
    copyout_entry(entry, space, disposition, False, port)


def copyout_dest(ipc: Ipc, space: Space, port: Port, disposition: int) -> PortName:
    """ipc_object_copyout_dest: consumes the right that a message came by; the receiver's name for the live port, 0 for none."""
    name = port.receiver_name if port.receiver is space else PORT_NULL
    if disposition == PORT_SEND:
        ports.release_send(ipc, port)
    elif port.receiver is space:
        port.sorights -= 1
    else:
        notify.send_once(ipc, port)
    return name


# Dead-name requests


def dnrequest(ipc: Ipc, space: Space, name: PortName, immediate: bool, request: Port | None) -> Port | None:
    """ipc_right_dnrequest: asks for a dead-name notification, or with None takes it back; gives the previous request's right.

    Consumes `request` on success. With `immediate` a dead name is notified at once.
    """
    entry = lookup(space, name)
    if entry.type & TYPE_PORT_RIGHTS and not check(space, entry):
        port = entry.port()
        previous = cancel_request(entry, port)
        if request is not None:
            entry.request = ports.dnrequest(ipc, port, name, request)
        return previous
    if entry.type & TYPE_DEAD_NAME and immediate and request is not None:
        if entry.urefs + 1 > UREFS_MAX:
            raise KernError(KERN_UREFS_OVERFLOW)
        entry.urefs += 1
        notify.dead_name(ipc, request, name)
        return None
    raise KernError(KERN_INVALID_ARGUMENT if entry.type & TYPE_PORT_OR_DEAD else KERN_INVALID_RIGHT)
