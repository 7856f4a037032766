"""Protocols that personalities bring, and their connections: what of the network a task may have beside other nodes' ports.

A personality's server shows the device master port and registers a protocol; from then on it opens connections. A connection is
a filter in the kernel for what comes and one here for what goes. It ends when it is closed, when nobody has a right to its port,
when its receiver is gone, and with its protocol. A protocol ends when it is unregistered, when nobody has a right to its port,
and with its environment. Whoever has a right to a connection's port then has a dead name, and can be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import (
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_CAPABILITY,
    KERN_NAME_EXISTS,
    KERN_NO_ACCESS,
    KERN_RESOURCE_SHORTAGE,
    KERN_RIGHT_EXISTS,
)
from machemu.abi.message import COPY_SEND, PORT_SEND_ONCE
from machemu.mig.interfaces import device
from machemu.mig.interfaces.mach_port import MACH_PORT_TYPE
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS
from machemu.mig.runtime import OutOfLine, PolyPort, Routine
from machemu.sim.state import PortSet, Receive, Right, state
from machemu.user.dispatch import Handler, dispatch
from machemu.user.mach import Mach, rights
from machemu.user.message import Caller, Message, living, name_of
from masix.interfaces import gns_protocol
from masix.net import filters
from masix.net.ethernet import INTERFACE, READ_WRITE
from masix.net.filters import Filter
from masix.net.ip import ETHERTYPE_IPV4, NodeNumber, mac_of

PROTOCOLS_MAX: Final = 32
PROTOCOLS_OF_ONE_MAX: Final = 8
"""Of one environment."""
CONNECTIONS_MAX: Final = 64
"""Of one protocol, with the receivers of closed ones."""
ETHER_TYPES: Final = range(0x600, 0x10000)
"""Ethernet II's; smaller numbers are lengths."""
HAS_RECEIVE: Final = 1 << 17
"""MACH_PORT_TYPE_RECEIVE."""
FRAME_MIN: Final = 14


@state
class Protocol:
    """filter: what all its frames are. environment: a send right; the protocol ends when its port is dead."""

    __slots__ = ("environment", "filter", "name")
    environment: Right
    filter: Filter
    name: bytes

    def __init__(self, name: bytes, filter_: Filter, environment: int) -> None:
        self.name = name
        self.filter = filter_
        self.environment = environment


@state
class Connection:
    """protocol: its port. receives, sends: which frames. receiver: a send right to the port that the kernel sends frames to."""

    __slots__ = ("protocol", "receiver", "receives", "sends")
    protocol: Receive
    receiver: Right
    receives: Filter
    sends: Filter

    def __init__(self, protocol: int, receives: Filter, sends: Filter, receiver: int) -> None:
        self.protocol = protocol
        self.receives = receives
        self.sends = sends
        self.receiver = receiver


@state
class Protocols:
    """A network server's protocols and connections, by the names of their ports, whose receive rights it has.

    node: whose station address frames are sent from. ports: the server's port set; notices: its port for dead-name notifications.
    device: the interface's port, 0 until it is open. replies: where the answer to its opening comes, 0 before. waiting: the
    registrations that wait for it: who asked, the name, what the frames are, the environment.
    retired: receivers of connections that are closed, with these' protocols: for each the kernel keeps a filter until it is dead,
    one that takes nothing.
    """

    __slots__ = ("connections", "device", "node", "notices", "ports", "protocols", "replies", "retired", "waiting")
    connections: dict[Receive, Connection]
    device: Right
    node: NodeNumber
    notices: Receive
    ports: PortSet
    protocols: dict[Receive, Protocol]
    replies: Receive
    retired: dict[int, int]
    waiting: list[tuple[Caller, bytes, Filter, Right]]

    def __init__(self, node: int) -> None:
        self.node = node
        self.protocols = {}
        self.connections = {}
        self.waiting = []
        self.retired = {}
        self.device = 0
        self.replies = 0
        self.ports = 0
        self.notices = 0

    def start(self, ports: int, notices: int) -> None:
        self.ports = ports
        self.notices = notices

    def owns(self, port: int) -> bool:
        return port in self.protocols or port in self.connections or port == self.replies

    def receive(self, mach: Mach, message: Message) -> None:
        """A message has come to a port that is owned."""
        port = message.header.local
        if port == self.replies:
            self._opened(mach, message)
        elif message.header.local_type == PORT_SEND_ONCE:
            # Of these ports send-once rights are made for the notification that there are no senders.
            self.close(mach, port)
        else:
            dispatch(mach, message, self._routines(port in self.protocols))

    def died(self, mach: Mach, name: int) -> None:
        """A port that the server had a right to is dead: an environment, a receiver, or none of them."""
        for port, protocol in list(self.protocols.items()):
            if protocol.environment == name:
                self.close(mach, port)
        for port, connection in list(self.connections.items()):
            if connection.receiver == name:
                self.close(mach, port)
        if self.retired.pop(name, None) is not None:
            mach.deallocate(name)
        for request in [request for request in self.waiting if request[3] == name]:
            self.waiting.remove(request)
            mach.deallocate(name)
            mach.answer(request[0], None, KERN_INVALID_CAPABILITY)

    # Protocols

    @property
    def service_routines(self) -> dict[int, tuple[Routine, Handler]]:
        """What the network server's own port understands of this."""
        return {gns_protocol.GNS_PROTOCOL_REGISTER.request.id: (gns_protocol.GNS_PROTOCOL_REGISTER, self._register)}

    def _routines(self, is_protocol: bool) -> Mapping[int, tuple[Routine, Handler]]:
        if is_protocol:
            handlers: tuple[tuple[Routine, Handler], ...] = (
                (gns_protocol.GNS_PROTOCOL_UNREGISTER, self._close_asked),
                (gns_protocol.GNS_CONNECTION_OPEN, self._open),
            )
        else:
            handlers = (
                (gns_protocol.GNS_CONNECTION_CLOSE, self._close_asked),
                (gns_protocol.GNS_CONNECTION_WRITE, self._write),
            )
        return {routine.request.id: (routine, handler) for routine, handler in handlers}

    def _register(
        self, mach: Mach, request: Message, name: bytes, ether_type: int, ip_protocol: int, environment: Any, privilege: Any
    ) -> None:
        if privilege != mach.given("device-port"):
            raise KernError(KERN_NO_ACCESS)
        is_ip = ether_type == ETHERTYPE_IPV4
        if not name or ether_type not in ETHER_TYPES or ip_protocol not in (range(1, 256) if is_ip else (0,)):
            raise KernError(KERN_INVALID_ARGUMENT)
        _check_foreign(mach, environment)
        filter_ = filters.protocol_filter(ether_type, ip_protocol)
        known = [(each.name, each.filter, each.environment) for each in self.protocols.values()]
        known += [each[1:] for each in self.waiting]
        if any(name == other or filter_ == taken for other, taken, _ in known):
            raise KernError(KERN_NAME_EXISTS)
        if len(known) >= PROTOCOLS_MAX or sum(owner == environment for *_, owner in known) >= PROTOCOLS_OF_ONE_MAX:
            raise KernError(KERN_RESOURCE_SHORTAGE)
        mach.notify(environment, MACH_NOTIFY_DEAD_NAME.request.id, self.notices)
        mach.deallocate(privilege)
        self.waiting.append((request.caller, name, filter_, environment))
        if self.device:
            self._enter_waiting(mach)
        elif not self.replies:
            self.replies = mach.allocate_port()
            mach.move_member(self.replies, self.ports)
            mach.request(device.DEVICE_OPEN, mach.given("device-port"), (READ_WRITE, INTERFACE), self.replies)

    def _opened(self, mach: Mach, message: Message) -> None:
        """The interface is open, or cannot be: then the next registration tries anew."""
        mach.destroy_receive(self.replies)
        self.replies = 0
        try:
            (right,) = device.DEVICE_OPEN.unpack_reply(mach.order, message.body, message.carried, message.complex)
        except KernError as error:
            mach.give_up(rights(message))
            waiting, self.waiting = self.waiting, []
            for caller, _, _, environment in waiting:
                mach.deallocate(environment)
                mach.answer(caller, None, error.code)
            return
        self.device = name_of(right)
        self._enter_waiting(mach)

    def _enter_waiting(self, mach: Mach) -> None:
        waiting, self.waiting = self.waiting, []
        for caller, name, filter_, environment in waiting:
            port = self._new_port(mach)
            self.protocols[port] = Protocol(name, filter_, environment)
            mach.note(f"gns: protocol {name.decode('latin-1')} is registered")
            mach.answer(caller, gns_protocol.GNS_PROTOCOL_REGISTER, 0, (port,))

    def _new_port(self, mach: Mach) -> int:
        """A port with a send right that goes to a task; when it is lost the kernel tells."""
        port = mach.make_send(mach.allocate_port())
        mach.move_member(port, self.ports)
        mach.notify(port, MACH_NOTIFY_NO_SENDERS.request.id, port, 1)
        return port

    def _close_asked(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        self.close(mach, request.header.local)
        return ()

    def close(self, mach: Mach, port: int) -> None:
        """Ends a connection, or a protocol with all its connections."""
        connection = self.connections.pop(port, None)
        if connection is None:
            protocol = self.protocols.pop(port)
            for each in [each for each, connection in self.connections.items() if connection.protocol == port]:
                self.close(mach, each)
            mach.note(f"gns: protocol {protocol.name.decode('latin-1')} has ended")
            mach.deallocate(protocol.environment)
        else:
            with suppress(KernError):  # where the receiver is dead the kernel forgets its filter by itself
                self._set_filter(mach, connection.receiver, filters.NOTHING)
            self.retired[connection.receiver] = connection.protocol
        mach.destroy_receive(port)

    # Connections

    def _open(
        self, mach: Mach, request: Message, receives: tuple[int, ...], sends: tuple[int, ...], receiver: Any, privilege: Any
    ) -> tuple[Any, ...]:
        if privilege is not None and privilege != mach.given("device-port"):
            raise KernError(KERN_NO_ACCESS)
        port = request.header.local
        base = self.protocols[port].filter
        inwards = filters.join((base, filters.parse(receives)))
        outwards = filters.join((base, filters.sent_by(mac_of(self.node)), filters.parse(sends)))
        taken = [filters.own_filter(filters.UDP_TARGET), *(each.receives for each in self.connections.values())]
        if any(filters.overlap(inwards, other) for other in taken):
            raise KernError(KERN_NAME_EXISTS)
        if filters.overlap(outwards, filters.own_filter(filters.UDP_SOURCE)):
            raise KernError(KERN_NO_ACCESS)
        _check_foreign(mach, receiver)
        if any(each.receiver == receiver for each in self.connections.values()):
            raise KernError(KERN_RIGHT_EXISTS)
        had = [each.protocol for each in self.connections.values()] + list(self.retired.values())
        if receiver not in self.retired and had.count(port) >= CONNECTIONS_MAX:
            raise KernError(KERN_RESOURCE_SHORTAGE)
        self._set_filter(mach, receiver, filters.program(inwards, mach.order))
        mach.notify(receiver, MACH_NOTIFY_DEAD_NAME.request.id, self.notices)
        if self.retired.pop(receiver, None) is not None:
            mach.deallocate(receiver)
        connection = self._new_port(mach)
        self.connections[connection] = Connection(port, inwards, outwards, receiver)
        if privilege is None:
            return connection, None
        mach.deallocate(privilege)
        return connection, mach.copy_send(self.device)

    def _set_filter(self, mach: Mach, receiver: int, program: tuple[int, ...]) -> None:
        mach.call(device.DEVICE_SET_FILTER, self.device, PolyPort(receiver, COPY_SEND), filters.PRIORITY, program)

    def _write(self, mach: Mach, request: Message, frame: bytes) -> tuple[Any, ...]:
        """A frame that the connection may not send is lost, as one that the interface has no room for."""
        if len(frame) >= FRAME_MIN and filters.takes(self.connections[request.header.local].sends, frame):
            mach.request(device.DEVICE_WRITE, self.device, (0, 0, OutOfLine(frame, len(frame))))
        return ()


def _check_foreign(mach: Mach, right: Any) -> None:
    """Raises KERN_INVALID_CAPABILITY unless it is a send right to a living port of somebody else's."""
    if not living(right):
        raise KernError(KERN_INVALID_CAPABILITY)
    (kinds,) = mach.call(MACH_PORT_TYPE, mach.task_self(), right)
    if kinds & HAS_RECEIVE:
        raise KernError(KERN_INVALID_CAPABILITY)
