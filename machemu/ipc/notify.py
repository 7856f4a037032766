"""The kernel's notifications (Mach's ipc_notify.c). Each consumes the send-once right to whom it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.message import PORT_RECEIVE, PORT_SEND_ONCE, CarriedPort
from machemu.abi.port import (
    NOTIFY_DEAD_NAME,
    NOTIFY_MSG_ACCEPTED,
    NOTIFY_NO_SENDERS,
    NOTIFY_PORT_DELETED,
    NOTIFY_PORT_DESTROYED,
    NOTIFY_SEND_ONCE,
)
from machemu.ipc import kmsg as kmsgs
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.ipc.port import Port
    from machemu.ipc.subsystem import Ipc


def port_deleted(ipc: Ipc, port: Port, name: PortName) -> None:
    """A name with a dead-name request stopped being one before its port died."""
    _send(ipc, port, NOTIFY_PORT_DELETED, ipc.pair.pack(ipc.name_item, name))


def msg_accepted(ipc: Ipc, port: Port, name: PortName) -> None:
    """A message sent with MACH_SEND_NOTIFY was received; 0 for a name that is no more."""
    _send(ipc, port, NOTIFY_MSG_ACCEPTED, ipc.pair.pack(ipc.name_item, name))


def port_destroyed(ipc: Ipc, port: Port, right: Port) -> None:
    """A receive right was to be destroyed: the message carries it instead."""
    carried = (CarriedPort(4, PORT_RECEIVE, right),)
    kmsgs.kernel_send(
        ipc, kmsgs.make(ipc, port, PORT_SEND_ONCE, None, 0, NOTIFY_PORT_DESTROYED, ipc.pair.pack(ipc.receive_item, 0), carried)
    )


def no_senders(ipc: Ipc, port: Port, mscount: int) -> None:
    """The last send right is gone."""
    _send(ipc, port, NOTIFY_NO_SENDERS, ipc.pair.pack(ipc.integer_item, mscount))


def send_once(ipc: Ipc, port: Port) -> None:
    """A send-once right was destroyed without a message being sent by it: this message is sent by it."""
    _send(ipc, port, NOTIFY_SEND_ONCE, b"")


def dead_name(ipc: Ipc, port: Port, name: PortName) -> None:
    """A name's port died."""
    _send(ipc, port, NOTIFY_DEAD_NAME, ipc.pair.pack(ipc.name_item, name))


def _send(ipc: Ipc, port: Port, msgh_id: int, body: bytes) -> None:
    kmsgs.kernel_send(ipc, kmsgs.make(ipc, port, PORT_SEND_ONCE, None, 0, msgh_id, body))
