"""The kernel's notifications, as a server takes them. port: the receive right to which each came."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from machemu.mig.interfaces import notify
from machemu.sim.state import PortName


class DeadName(NamedTuple):
    """A right is a dead name: its port is gone. The news brings a user reference of the dead name more."""

    port: PortName
    name: PortName


class NoSenders(NamedTuple):
    """Nobody has a send right. mscount: how many had been made."""

    port: PortName
    mscount: int


class MsgAccepted(NamedTuple):
    """A queue that was full has taken the message that was sent to it with `notify`. name: its port's right."""

    port: PortName
    name: PortName


class PortDestroyed(NamedTuple):
    """A receive right whose holder is gone. right: it is the server's."""

    port: PortName
    right: Any


ROUTINES: Final = {
    DeadName: notify.MACH_NOTIFY_DEAD_NAME,
    NoSenders: notify.MACH_NOTIFY_NO_SENDERS,
    MsgAccepted: notify.MACH_NOTIFY_MSG_ACCEPTED,
    PortDestroyed: notify.MACH_NOTIFY_PORT_DESTROYED,
}
Notification = DeadName | NoSenders | MsgAccepted | PortDestroyed
