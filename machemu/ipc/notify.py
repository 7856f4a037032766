"""The kernel's notifications (Mach's ipc_notify.c). Each consumes the send-once right to whom it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.message import PORT_RECEIVE, PORT_SEND_ONCE, CarriedPort
from machemu.abi.port import Notify
from machemu.ipc import kmsg

if TYPE_CHECKING:
    from machemu.ipc.port import Port
    from machemu.ipc.subsystem import Ipc

PORT_DELETED: Final = int(Notify.PORT_DELETED)
MSG_ACCEPTED: Final = int(Notify.MSG_ACCEPTED)
PORT_DESTROYED: Final = int(Notify.PORT_DESTROYED)
NO_SENDERS: Final = int(Notify.NO_SENDERS)
SEND_ONCE: Final = int(Notify.SEND_ONCE)
DEAD_NAME: Final = int(Notify.DEAD_NAME)


def port_deleted(ipc: Ipc, port: Port, name: int) -> None:
    """A name with a dead-name request stopped being one before its port died."""
    _send(ipc, port, PORT_DELETED, ipc.pair.pack(ipc.name_item, name))


def msg_accepted(ipc: Ipc, port: Port, name: int) -> None:
    """A message sent with MACH_SEND_NOTIFY was received; 0 for a name that is no more."""
    _send(ipc, port, MSG_ACCEPTED, ipc.pair.pack(ipc.name_item, name))


def port_destroyed(ipc: Ipc, port: Port, right: Port) -> None:
    """A receive right was to be destroyed: the message carries it instead."""
    carried = (CarriedPort(4, PORT_RECEIVE, right),)
    kmsg.kernel_send(
        ipc, kmsg.make(ipc, port, PORT_SEND_ONCE, None, 0, PORT_DESTROYED, ipc.pair.pack(ipc.receive_item, 0), carried)
    )


def no_senders(ipc: Ipc, port: Port, mscount: int) -> None:
    """The last send right is gone."""
    _send(ipc, port, NO_SENDERS, ipc.pair.pack(ipc.integer_item, mscount))


def send_once(ipc: Ipc, port: Port) -> None:
    """A send-once right was destroyed without a message being sent by it: this message is sent by it."""
    _send(ipc, port, SEND_ONCE, b"")


def dead_name(ipc: Ipc, port: Port, name: int) -> None:
    """A name's port died."""
    _send(ipc, port, DEAD_NAME, ipc.pair.pack(ipc.name_item, name))


def _send(ipc: Ipc, port: Port, msgh_id: int, body: bytes) -> None:
    kmsg.kernel_send(ipc, kmsg.make(ipc, port, PORT_SEND_ONCE, None, 0, msgh_id, body))
