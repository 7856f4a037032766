"""Msg-accepted requests (Mach's ipc_marequest.c): what MACH_SEND_NOTIFY leaves behind when the queue is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.message import MACH_SEND_INVALID_NOTIFY, MACH_SEND_NOTIFY_IN_PROGRESS
from machemu.ipc import notify as notifications
from machemu.ipc import right
from machemu.sim.state import PortName, state

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.port import Port
    from machemu.ipc.space import Space
    from machemu.ipc.subsystem import Ipc


@state
class Marequest:
    """A notification that is due."""

    __slots__ = ("name", "soright", "space")
    name: PortName  # the sender's name for the destination, 0 where it has none any more
    soright: Port  # whom to tell
    space: Space | None  # where the name is; None where the sender's whole name space has gone to another task

    def __init__(self, space: Space, name: PortName, soright: Port) -> None:
        self.space = space
        self.name = name
        self.soright = soright


def create(space: Space, port: Port, notify: PortName) -> Marequest:
    """Asks for a notification to the receive right `notify` when a message to `port` is received. One a name can be pending."""
    entry = right.reverse(space, port) if space.active else None
    if entry is not None and entry.marequest:
        raise KernError(MACH_SEND_NOTIFY_IN_PROGRESS)
    soright = right.lookup_notify(space, notify) if space.active else None
    if soright is None:
        raise KernError(MACH_SEND_INVALID_NOTIFY)
    request = Marequest(space, 0, soright)
    if entry is not None:
        request.name = entry.name
        entry.marequest = True
        space.marequests[entry.name] = request
    return request


def cancel(space: Space, name: PortName) -> None:
    """The name goes: the notification will not tell it."""
    space.marequests.pop(name).name = 0


def leave(space: Space, name: PortName) -> None:
    """The name goes on in another space, with all others: the notification will tell it."""
    space.marequests.pop(name).space = None


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
