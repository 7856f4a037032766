"""What a task does to the rights that it has: user references, giving up, renaming (the rest of Mach's ipc_right.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.kern_return import (
    KERN_INVALID_NAME,
    KERN_INVALID_RIGHT,
    KERN_INVALID_VALUE,
    KERN_NAME_EXISTS,
    KERN_UREFS_OVERFLOW,
)
from machemu.abi.port import (
    RIGHT_DEAD_NAME,
    RIGHT_PORT_SET,
    RIGHT_RECEIVE,
    RIGHT_SEND,
    RIGHT_SEND_ONCE,
    TYPE_DEAD_NAME,
    TYPE_DNREQUEST,
    TYPE_MAREQUEST,
    TYPE_PORT_SET,
    TYPE_RECEIVE,
    TYPE_SEND,
    TYPE_SEND_ONCE,
    UREFS_MAX,
)
from machemu.ipc import marequest, notify, pset, right
from machemu.ipc import port as ports
from machemu.ipc.entry import TYPE_SEND_RECEIVE, TYPE_SEND_RIGHTS, Entry
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.ipc.port import Port
    from machemu.ipc.pset import PortSet
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc


def _set_of(entry: Entry) -> PortSet:
    return entry.object  # type: ignore[return-value]


def _give_up(ipc: Ipc, port: Port, kind: int, request: Port | None, name: PortName) -> None:
    """The rights of type `kind` have left a space; their live port gets to know, and so does the dead-name requester."""
    last_sender = None
    if kind & TYPE_SEND:
        port.srights -= 1
        if not port.srights:
            last_sender, port.nsrequest = port.nsrequest, None
    mscount = port.mscount
    if kind & TYPE_RECEIVE:
        ports.clear_receiver(ipc, port)
        ports.destroy(ipc, port)
    elif kind & TYPE_SEND_ONCE:
        notify.send_once(ipc, port)
    if last_sender is not None:
        notify.no_senders(ipc, last_sender, mscount)
    ports.end_abandoned(ipc, port)
    if request is not None:
        notify.port_deleted(ipc, request, name)


def clean(ipc: Ipc, space: Space, entry: Entry) -> None:
    """ipc_right_clean: gives up an entry's rights while the space, inactive by now, is destroyed."""
    kind = entry.type
    if kind == TYPE_PORT_SET:
        pset.destroy(ipc, _set_of(entry))
    elif kind != TYPE_DEAD_NAME:
        port = entry.port()
        if port.active:
            _give_up(ipc, port, kind, right.cancel_request(entry, port), entry.name)


def destroy(ipc: Ipc, space: Space, entry: Entry) -> None:
    """ipc_right_destroy: frees the name and gives up all rights under it."""
    kind, name = entry.type, entry.name
    if kind in (TYPE_DEAD_NAME, TYPE_PORT_SET):
        target = _set_of(entry)
        space.dealloc(entry)
        if kind == TYPE_PORT_SET:
            pset.destroy(ipc, target)
        return
    port = entry.port()
    if entry.marequest:
        marequest.cancel(space, name)
    if kind == TYPE_SEND:
        del space.reverse[port.number]
    if not port.active:
        entry.request = 0
        space.dealloc(entry)
        return
    request = right.cancel_request(entry, port)
    space.dealloc(entry)
    _give_up(ipc, port, kind, request, name)


def dealloc(ipc: Ipc, space: Space, entry: Entry) -> None:
    """ipc_right_dealloc: takes one user reference of a send right, send-once right or dead name."""
    kind = entry.type
    if kind & TYPE_SEND_ONCE:
        if right.check(space, entry):
            _add_dead(space, entry, -1)
        else:
            _drop_send_once(ipc, space, entry)
    elif kind & TYPE_SEND:
        if right.check(space, entry):
            _add_dead(space, entry, -1)
        else:
            _add_send(ipc, space, entry, -1)
    elif kind == TYPE_DEAD_NAME:
        _add_dead(space, entry, -1)
    else:
        raise KernError(KERN_INVALID_RIGHT)


def _add_dead(space: Space, entry: Entry, delta: int) -> None:
    entry.urefs += delta
    if not entry.urefs:
        space.dealloc(entry)


def _add_send(ipc: Ipc, space: Space, entry: Entry, delta: int) -> None:
    """Changes the user references of a send right to a live port by a delta that was checked."""
    if entry.urefs + delta:
        entry.urefs += delta
        return
    port, name = entry.port(), entry.name
    request = right.drop_send(space, entry, port)
    if not entry.type:
        space.dealloc(entry)
    _give_up(ipc, port, TYPE_SEND, request, name)


def _drop_send_once(ipc: Ipc, space: Space, entry: Entry) -> None:
    port, name = entry.port(), entry.name
    request = right.cancel_request(entry, port)
    space.dealloc(entry)
    _give_up(ipc, port, TYPE_SEND_ONCE, request, name)


def delta(ipc: Ipc, space: Space, entry: Entry, kind: int, amount: int) -> None:
    """ipc_right_delta: changes the user references of one right under a name; `kind` is a mach_port_right_t."""
    if kind == RIGHT_SEND:
        _delta_send(ipc, space, entry, amount)
    elif kind == RIGHT_DEAD_NAME:
        _delta_dead(space, entry, amount)
    elif kind == RIGHT_SEND_ONCE:
        if not entry.type & TYPE_SEND_ONCE:
            raise KernError(KERN_INVALID_RIGHT)
        if amount not in (0, -1):
            raise KernError(KERN_INVALID_VALUE)
        if right.check(space, entry):
            raise KernError(KERN_INVALID_RIGHT)
        if amount:
            _drop_send_once(ipc, space, entry)
    else:
        wanted = TYPE_RECEIVE if kind == RIGHT_RECEIVE else TYPE_PORT_SET
        if not entry.type & wanted:
            raise KernError(KERN_INVALID_RIGHT)
        if amount not in (0, -1):
            raise KernError(KERN_INVALID_VALUE)
        if amount and kind == RIGHT_PORT_SET:
            destroy(ipc, space, entry)
        elif amount:
            _drop_receive(ipc, space, entry)


def _drop_receive(ipc: Ipc, space: Space, entry: Entry) -> None:
    """Gives up a receive right; a send right under the same name becomes a dead name at once."""
    port, name = entry.port(), entry.name
    request = None
    if entry.marequest:
        marequest.cancel(space, name)
    if entry.type & TYPE_SEND:
        if entry.request:
            port.lost_requests.append(entry.request)
        entry.to_dead_name()
        port.lost_srights += 1
    else:
        request = right.cancel_request(entry, port)
        space.dealloc(entry)
    _give_up(ipc, port, TYPE_RECEIVE, request, name)


def _delta_dead(space: Space, entry: Entry, amount: int) -> None:
    if entry.type & TYPE_SEND_RIGHTS:
        if not right.check(space, entry):
            raise KernError(KERN_INVALID_RIGHT)
    elif not entry.type & TYPE_DEAD_NAME:
        raise KernError(KERN_INVALID_RIGHT)
    _check_sum(entry.urefs, entry.urefs, amount)
    _add_dead(space, entry, amount)


def _delta_send(ipc: Ipc, space: Space, entry: Entry, amount: int) -> None:
    if not entry.type & TYPE_SEND:
        raise KernError(KERN_INVALID_RIGHT)
    _check_sum(entry.urefs, entry.urefs + 1, amount)
    if right.check(space, entry):
        raise KernError(KERN_INVALID_RIGHT)
    _add_send(ipc, space, entry, amount)


def _check_sum(urefs: int, above: int, amount: int) -> None:
    if amount < 0 and -amount > urefs:
        raise KernError(KERN_INVALID_VALUE)
    if amount > 0 and above + amount > UREFS_MAX:
        raise KernError(KERN_UREFS_OVERFLOW)


def info(space: Space, entry: Entry) -> tuple[int, int]:
    """ipc_right_info: the name's mach_port_type_t, pending requests included, and its user references."""
    if entry.type & TYPE_SEND_RIGHTS:
        right.check(space, entry)
    return kind_of(entry.type, entry), entry.urefs


def kind_of(kind: int, entry: Entry) -> int:
    """A mach_port_type_t with the bits of the requests that are pending on an entry."""
    return kind | (TYPE_DNREQUEST if entry.request else 0) | (TYPE_MAREQUEST if entry.marequest else 0)


def rename(space: Space, old_name: PortName, new_name: PortName) -> None:
    """ipc_object_rename: gives all rights under one name another, unused one."""
    new = space.alloc_name(new_name)
    if new.type:
        raise KernError(KERN_NAME_EXISTS)
    old = space.lookup(old_name)
    if old_name == new_name or old is None:
        space.dealloc(new)
        raise KernError(KERN_INVALID_NAME)
    if old.request and not right.check(space, old):
        ports.dnrename(old.port(), old.request, new_name)
    if old.marequest:
        marequest.rename(space, old_name, new_name)
    new.type, new.urefs, new.object = old.type, old.urefs, old.object
    new.request, new.marequest = old.request, old.marequest
    if new.type == TYPE_SEND:
        space.reverse[new.port().number] = new
    elif new.type in (TYPE_RECEIVE, TYPE_SEND_RECEIVE):
        new.port().receiver_name = new_name
    elif new.type == TYPE_PORT_SET:
        _set_of(new).local_name = new_name
    old.request = 0
    space.dealloc(old)
