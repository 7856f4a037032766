"""Protocols that personalities bring, and their connections: what of the network a task may have beside other nodes' ports.

A personality's server shows the device master port and registers a protocol; from then on it opens connections. A connection is
a filter in the kernel for what comes and one here for what goes. It ends when it is closed, when nobody has a right to its port,
when its receiver is gone, and with its protocol. A protocol ends when it is unregistered, when nobody has a right to its port,
and with its environment. Whoever has a right to a connection's port then has a dead name, and can be told.
"""

from __future__ import annotations

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
from machemu.abi.message import COPY_SEND
from machemu.abi.port import TYPE_RECEIVE
from machemu.mig.interfaces.device import DEVICE_OPEN, DEVICE_SET_FILTER, DEVICE_WRITE
from machemu.mig.interfaces.mach_port import MACH_PORT_TYPE
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import PortName, Receive, ReceiveRight, Right, SendRight, state
from machemu.user.kit import Answer, Part, answered, notified, serves
from machemu.user.mach import Mach
from machemu.user.message import Caller, Message, living, name_of
from machemu.user.notifications import NoSenders
from masix.gns.context import Context
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
FRAME_MIN: Final = 14


@state
class Protocol:
    """filter: what all its frames are. environment: a send right; the protocol ends when its port is dead."""

    __slots__ = ("environment", "filter", "name")
    environment: SendRight
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
    protocol: ReceiveRight
    receiver: SendRight
    receives: Filter
    sends: Filter

    def __init__(self, protocol: int, receives: Filter, sends: Filter, receiver: int) -> None:
        self.protocol = protocol
        self.receives = receives
        self.sends = sends
        self.receiver = receiver


@state
class Protocols(Part):
    """A network server's protocols and connections, by the names of their ports, whose receive rights it has."""

    __slots__ = ("connections", "device", "node", "opening", "protocols", "retired", "waiting")
    node: NodeNumber  # whose station address frames are sent from
    protocols: dict[Receive, Protocol]
    connections: dict[Receive, Connection]
    # Receivers of closed connections, with these' protocols: for each the kernel keeps a filter that takes nothing until it is
    # dead:
    retired: dict[int, int]

    # The interface:
    device: Right  # its port, 0 until it is open
    opening: bool  # that is asked
    # The registrations that wait for it: who asked, the name, what the frames are, the environment:
    waiting: list[tuple[Caller, bytes, Filter, Right]]

    def __init__(self, node: int) -> None:
        self.node = node
        self.protocols = {}
        self.connections = {}
        self.waiting = []
        self.retired = {}
        self.device = 0
        self.opening = False

    def watched(self) -> list[PortName]:
        """The ports that the kernel is to tell the end of."""
        environments = [each.environment for each in self.protocols.values()] + [each[3] for each in self.waiting]
        return [*environments, *(each.receiver for each in self.connections.values()), *self.retired]

    def died(self, mach: Mach, name: PortName) -> None:
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

    def register(
        self, context: Context, request: Message, name: bytes, ether_type: int, ip_protocol: int, environment: Any, privilege: Any
    ) -> None:
        """gns_protocol_register."""
        mach = context.mach
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
        mach.notify(environment, MACH_NOTIFY_DEAD_NAME.request.id, context.notices)
        mach.deallocate(privilege)
        self.waiting.append((request.caller, name, filter_, environment))
        if self.device:
            self._enter_waiting(context)
        elif not self.opening:
            self.opening = True
            context.ask(self._opened, mach.given("device-port"), (READ_WRITE, INTERFACE))

    @answered(DEVICE_OPEN)
    def _opened(self, context: Context, answer: Answer) -> None:
        """The interface is open, or cannot be: then the next registration tries anew."""
        self.opening = False
        if not answer.code:
            self.device = name_of(answer.results[0])
            self._enter_waiting(context)
            return
        waiting, self.waiting = self.waiting, []
        for caller, _, _, environment in waiting:
            context.mach.deallocate(environment)
            context.mach.answer(caller, None, answer.code)

    def _enter_waiting(self, context: Context) -> None:
        mach = context.mach
        waiting, self.waiting = self.waiting, []
        for caller, name, filter_, environment in waiting:
            port = self._new_port(context)
            self.protocols[port] = Protocol(name, filter_, environment)
            mach.note(f"gns: protocol {name.decode('latin-1')} is registered")
            mach.answer(caller, gns_protocol.GNS_PROTOCOL_REGISTER, 0, (port,))

    def _new_port(self, context: Context) -> PortName:
        """A port with a send right that goes to a task; when it is lost the kernel tells."""
        port = context.mach.make_send(context.new_port())
        context.mach.notify(port, MACH_NOTIFY_NO_SENDERS.request.id, port, 1)
        return port

    @serves(gns_protocol.GNS_PROTOCOL_UNREGISTER, at="protocols")
    def _unregister(self, context: Context, request: Message) -> tuple[Any, ...]:
        self.close(context.mach, request.header.local)
        return ()

    @notified(NoSenders, at="protocols")
    def _unused(self, context: Context, notice: NoSenders) -> None:
        self.close(context.mach, notice.port)

    def close(self, mach: Mach, port: PortName) -> None:
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

    @serves(gns_protocol.GNS_CONNECTION_CLOSE, at="connections")
    def _disconnect(self, context: Context, request: Message) -> tuple[Any, ...]:
        self.close(context.mach, request.header.local)
        return ()

    @notified(NoSenders, at="connections")
    def _left(self, context: Context, notice: NoSenders) -> None:
        self.close(context.mach, notice.port)

    @serves(gns_protocol.GNS_CONNECTION_OPEN, at="protocols")
    def _open(
        self, context: Context, request: Message, receives: tuple[int, ...], sends: tuple[int, ...], receiver: Any, privilege: Any
    ) -> tuple[Any, ...]:
        mach = context.mach
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
        mach.notify(receiver, MACH_NOTIFY_DEAD_NAME.request.id, context.notices)
        if self.retired.pop(receiver, None) is not None:
            mach.deallocate(receiver)
        connection = self._new_port(context)
        self.connections[connection] = Connection(port, inwards, outwards, receiver)
        if privilege is None:
            return connection, None
        mach.deallocate(privilege)
        return connection, mach.copy_send(self.device)

    def _set_filter(self, mach: Mach, receiver: int, program: tuple[int, ...]) -> None:
        mach.call(DEVICE_SET_FILTER, self.device, PolyPort(receiver, COPY_SEND), filters.PRIORITY, program)

    @serves(gns_protocol.GNS_CONNECTION_WRITE, at="connections")
    def _write(self, context: Context, request: Message, frame: bytes) -> tuple[Any, ...]:
        """A frame that the connection may not send is lost, as one that the interface has no room for."""
        if len(frame) >= FRAME_MIN and filters.takes(self.connections[request.header.local].sends, frame):
            context.mach.request(DEVICE_WRITE, self.device, (0, 0, OutOfLine(frame, len(frame))))
        return ()


def _check_foreign(mach: Mach, right: Any) -> None:
    """Raises KERN_INVALID_CAPABILITY unless it is a send right to a living port of somebody else's."""
    if not living(right):
        raise KernError(KERN_INVALID_CAPABILITY)
    (kinds,) = mach.call(MACH_PORT_TYPE, mach.task_self(), right)
    if kinds & TYPE_RECEIVE:
        raise KernError(KERN_INVALID_CAPABILITY)
