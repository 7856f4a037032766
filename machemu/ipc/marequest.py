"""Msg-accepted requests (Mach's ipc_marequest.c): what MACH_SEND_NOTIFY leaves behind when the queue is full."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.message import MACH_SEND_INVALID_NOTIFY, MACH_SEND_NOTIFY_IN_PROGRESS
from machemu.ipc import notify as notifications
from machemu.ipc import right
from machemu.ipc.entry import TYPE_SEND_RECEIVE, Entry
from machemu.sim.state import PortName, state

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.port import Port
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc


@state
class Marequest:
    """A notification that is due."""

    __slots__ = ("goes", "name", "soright", "space")
    name: PortName  # the sender's name for the destination, 0 where it has none any more
    soright: Port  # whom to tell
    space: Space | None  # where the name is; None where the sender's whole name space has gone to another task
    goes: bool  # the receive right of the message's port has gone to another task with all its space

    def __init__(self, space: Space, name: PortName, soright: Port) -> None:
        self.space = space
        self.name = name
        self.soright = soright
        self.goes = False


def create(space: Space, port: Port, notify: PortName) -> Marequest:
    """Asks for a notification to the receive right `notify` when a message to `port` is received. One a name can be pending."""
    entry = right.reverse(space, port) if space.active else None
    if entry is not None and entry.marequest:
        raise KernError(MACH_SEND_NOTIFY_IN_PROGRESS)
    soright = right.lookup_notify(space, notify) if space.active else None
    if soright is None:
        raise KernError(MACH_SEND_INVALID_NOTIFY)
    return Marequest(space, 0, soright) if entry is None else _asked(space, entry, soright)


def _asked(space: Space, entry: Entry, soright: Port) -> Marequest:
    request = space.marequests[entry.name] = Marequest(space, entry.name, soright)
    entry.marequest = True
    return request


def cancel(space: Space, name: PortName) -> None:
    """The name goes: the notification will not tell it."""
    space.marequests.pop(name).name = 0


def leave(space: Space, name: PortName) -> None:
    """The name goes on in another space, with all others: the notification will tell it."""
    space.marequests.pop(name).space = None


def take(entry: Entry, space: Space, going: Collection[Space]) -> tuple[int, Port | None]:
    """Takes the notification that is due to a name out of its message, where this goes along with the space: 1 + the message's
    place in the name's queue, and the right of who is told. 0 and None where none is due, or the message stays. going: the spaces
    that go, too."""
    request = space.marequests.get(entry.name)
    port = entry.port()
    if request is None or not (request.goes or port.receiver is space or port.receiver in going):
        return 0, None
    for place, kmsg in enumerate(port.queued(), 1):
        if kmsg.marequest is request:
            del space.marequests[entry.name]
            kmsg.marequest, entry.marequest = None, False
            return place, request.soright
    return 0, None


def renew(ipc: Ipc, entry: Entry, space: Space, place: int, soright: Port) -> None:
    """Makes anew what `take` has taken. A message that has gone meanwhile is told of at once. Consumes the right."""
    kmsgs = entry.port().queued() if entry.type & TYPE_SEND_RECEIVE else []
    if 0 < place <= len(kmsgs) and kmsgs[place - 1].marequest is None:
        kmsgs[place - 1].marequest = _asked(space, entry, soright)
    else:
        notifications.msg_accepted(ipc, soright, entry.name)


def rename(space: Space, old: int, new: int) -> None:
    request = space.marequests.pop(old)
    request.name = new
    space.marequests[new] = request


def destroy(ipc: Ipc, kmsg: Kmsg) -> None:
    """The message was received or destroyed: sends the notification."""
    request, kmsg.marequest = kmsg.marequest, None
    assert request is not None
    space, name = request.space, request.name
    if space is None:
        pass
    elif not space.active:
        name = 0
    elif name:
        del space.marequests[name]
        space.table[name].marequest = False
    notifications.msg_accepted(ipc, request.soright, name)
