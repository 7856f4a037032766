"""Rights between a node and the network: what a task's right becomes for another node, and what that node makes of it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.message import (
    PORT_DEAD,
    PORT_RECEIVE,
    PORT_SEND,
    PORT_SEND_ONCE,
    Carried,
    CarriedPort,
    CarriedPorts,
)
from machemu.abi.port import QLIMIT_MAX
from machemu.abi.types import ByteOrder
from machemu.mig.interfaces.mach_port import MACH_PORT_GET_RECEIVE_STATUS, MACH_PORT_SET_QLIMIT
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS
from machemu.user.mach import MAKE_SEND_ONCE, Mach
from machemu.user.message import Item, Message, items
from masix.gns.ports import Export, PortTables, Proxy
from masix.gns.wire import DEAD, NULL, Homed, Kind, NetRight

MSCOUNT: Final = 2
QLIMIT: Final = 3
"""Their places in mach_port_status_t."""
SENT: Final = {PORT_RECEIVE: PORT_RECEIVE, PORT_SEND: PORT_SEND, PORT_SEND_ONCE: MAKE_SEND_ONCE}
"""How a right is sent that came to another node so: receive and send rights are moved, send-once rights made of their proxy."""


class Translator:
    """Of one network server, for one handler. send: says something to another node's server."""

    def __init__(self, mach: Mach, node: int, tables: PortTables, ports: int, notices: int, send: Callable[[int, Homed], None]):
        self._mach = mach
        self._node = node
        self._tables = tables
        self._ports = ports
        self._notices = notices
        self._send = send

    # From a task to the network: the server owns the right, and gives it away

    def give(self, right: object | None, disposition: int, node: int) -> NetRight:
        """What a right that came in a message is for another node."""
        if right is None:
            return NULL
        if right is PORT_DEAD or not isinstance(right, int):
            return DEAD
        if disposition == PORT_RECEIVE:
            self._tables.leaving[right] = node
            return NetRight(Kind.RECEIVE, self._node, right, self._status(right, QLIMIT))
        if disposition == PORT_SEND_ONCE:
            self._export(right, Kind.SEND_ONCE, node)
            return NetRight(Kind.SEND_ONCE, self._node, right)
        proxy = self._tables.proxies.get(right)
        if proxy is not None and proxy.node == node:
            self._mach.deallocate(right)
            return NetRight(Kind.SEND, node, proxy.number)
        if right in self._tables.exports:
            self._mach.deallocate(right)
        self._export(right, Kind.SEND, node)
        return NetRight(Kind.SEND, self._node, right)

    def _export(self, name: int, kind: Kind, node: int) -> None:
        export = self._tables.exports.get(name)
        if export is None:
            export = self._tables.exports[name] = Export(kind)
            if kind is Kind.SEND and name not in self._tables.proxies:
                self._mach.notify(name, MACH_NOTIFY_DEAD_NAME.request.id, self._notices)
        export.given[node] = export.given.get(node, 0) + 1

    # From the network to a task

    def take(self, right: NetRight, node: int) -> object | None:
        """The name of what a right that came from a node is here, to be sent to a task with the disposition of `SENT`.

        Of a send right the server has a user reference more, which it moves away.
        """
        if right.kind is Kind.NULL:
            return None
        if right.kind is Kind.SEND and right.node == self._node:
            export = self._tables.exports.get(right.number)
            known = export is not None and export.kind is Kind.SEND and node in export.given
            return self.own(right.number) if known else PORT_DEAD
        if right.node != node or right.kind is Kind.DEAD:
            return PORT_DEAD
        if right.kind is Kind.SEND_ONCE:
            return self._new_proxy(Proxy(Kind.SEND_ONCE, node, right.number))
        if right.kind is Kind.RECEIVE:
            return self._new_home(node, right.number, right.limit)
        name = self._tables.by_number.get((node, right.number))
        if name is None:
            name = self._new_proxy(Proxy(Kind.SEND, node, right.number))
        self._tables.proxies[name].count += 1
        self._mach.make_send(name)
        self.watch(name)
        return name

    def own(self, name: int) -> object:
        """One more user reference of a port of this node, to be moved away; PORT_DEAD where its death has not been told yet."""
        try:
            return self._mach.copy_send(name)
        except KernError:
            return PORT_DEAD

    def _new_proxy(self, proxy: Proxy) -> int:
        name = self._mach.allocate_port()
        self._mach.move_member(name, self._ports)
        self._tables.add_proxy(name, proxy)
        return name

    def _new_home(self, node: int, token: int, limit: int) -> int:
        """The port whose receive right a task here gets; the server it came from sends to it from now on."""
        name = self._mach.allocate_port()
        self._mach.call(MACH_PORT_SET_QLIMIT, self._mach.task_self(), name, min(limit, QLIMIT_MAX))
        self._mach.make_send(name)
        export = self._tables.exports[name] = Export(Kind.SEND)
        export.given[node] = 1
        self._mach.notify(name, MACH_NOTIFY_DEAD_NAME.request.id, self._notices)
        self._send(node, Homed(token, name))
        return name

    def watch(self, name: int) -> None:
        """Asks to be told when nobody here has a send right to a proxy port any more."""
        proxy = self._tables.proxies[name]
        if proxy.is_watched:
            return
        proxy.is_watched = True
        self._mach.notify(name, MACH_NOTIFY_NO_SENDERS.request.id, name, self.made(name))

    def made(self, name: int) -> int:
        """How many send rights have been made of a proxy port."""
        return self._status(name, MSCOUNT)

    def _status(self, name: int, what: int) -> int:
        (status,) = self._mach.call(MACH_PORT_GET_RECEIVE_STATUS, self._mach.task_self(), name)
        return int(status[what])


def give_all(message: Message, give: Callable[[object | None, int], NetRight]) -> Message:
    """A message with its rights given away."""
    carried: list[Carried] = []
    for item in message.carried:
        if isinstance(item, CarriedPort):
            carried.append(item._replace(port=give(item.port, item.disposition)))
        elif isinstance(item, CarriedPorts):
            carried.append(item._replace(ports=tuple(give(port, item.disposition) for port in item.ports)))
        else:
            carried.append(item)
    return message._replace(carried=tuple(carried))


def take_all(message: Message, order: ByteOrder, take: Callable[[NetRight], object | None]) -> Message:
    """A message with its rights taken, and descriptors that say how they are sent."""
    body = bytearray(message.body)
    for item in items(message.body, order) if message.complex else ():
        if item.is_right:
            set_disposition(body, item, SENT[item.descriptor.name], order)
    carried: list[Carried] = []
    for each in message.carried:
        if isinstance(each, CarriedPort) and isinstance(each.port, NetRight):
            carried.append(CarriedPort(each.offset, SENT[each.disposition], take(each.port)))
        elif isinstance(each, CarriedPorts):
            names = tuple(take(right) for right in each.ports if isinstance(right, NetRight))
            carried.append(CarriedPorts(each.offset, SENT[each.disposition], names))
        else:
            carried.append(each)
    return message._replace(body=bytes(body), carried=tuple(carried))


def set_disposition(body: bytearray, item: Item, disposition: int, order: ByteOrder) -> None:
    """Makes a descriptor say how its rights are sent."""
    kind = item.descriptor._replace(name=disposition)
    struct.pack_into(order.value + "I", body, item.start, kind.word(order))
    if kind.longform:
        struct.pack_into(order.value + "H", body, item.start + 4, disposition)
