"""The server of user datagrams: what of the protocol touches everybody, and sending and receiving for whom has no library for it.

It registers UDP and ARP with its node's network server, binds ports, and finds stations. A socket with the library gets its
frames from the kernel and sends them itself; for one without it they come here, and what they carry goes on in messages.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Annotated, Any, Final

from machemu.abi.device import NET_RCV_MSG_ID
from machemu.abi.errors import KernError
from machemu.abi.kern_return import (
    KERN_FAILURE,
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_CAPABILITY,
    KERN_NO_ACCESS,
    KERN_RESOURCE_SHORTAGE,
    MIG_SERVER_DIED,
)
from machemu.abi.message import COPY_SEND, MAKE_SEND, MOVE_SEND
from machemu.mig.interfaces import device
from machemu.mig.interfaces.mach_port import MACH_PORT_SET_QLIMIT
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import U16, PortName, Receive, Right, Size, state
from machemu.user.heritage import SuccessiveServer
from machemu.user.kit import Answer, answered, notified, serves, takes
from machemu.user.mach import Mach
from machemu.user.message import Caller, Header, Message, living, name_of
from machemu.user.notifications import DeadName, NoSenders
from masix.interfaces import acs, acs_client, gns_protocol, udp, udp_client
from masix.net import frames
from masix.net.ethernet import frame_of
from masix.net.filters import WORD
from masix.net.frames import DATA_MAX, Lost, LostError
from masix.net.ip import ETHERTYPE_IPV4, UDP_PORT, UDP_PROTOCOL, IpAddress, ip_of, mac_of
from masix.protocols.arp import ETHERTYPE_ARP, Arp
from masix.protocols.sockets import Opening, Socket

NAME: Final = b"udp"
GNS: Final = b"gns"
PROTOCOLS: Final = ((b"udp", ETHERTYPE_IPV4, UDP_PROTOCOL), (b"arp", ETHERTYPE_ARP, 0))
EPHEMERAL: Final = range(49152, 65536)
"""What IANA leaves for ports that nobody asks for by number."""
SOCKETS_MAX: Final = 64
SOCKETS_OF_ONE: Final = 16
"""And those of one client. Who shows the device master port has as many as there are."""
QUEUE_MAX: Final = 16
"""Frames that wait for the server at most, a socket: what Mach allows a port."""
WAITING_MAX: Final = 16
"""Datagrams and questions that wait for one station at most."""
AGAIN_NS: Final = 10_000_000
"""How long until it asks again for a server that is not there."""


@state
class Udp(SuccessiveServer):
    """The user datagram server."""

    __slots__ = (
        "again_at", "arp", "arp_frames", "connection", "counts", "device", "gns", "next_port", "receivers", "registered",
        "registration", "sockets", "waiting",
    )  # fmt: skip

    # Its rights:
    gns: Right  # the network server's port
    device: Right  # the interface's
    registered: list[Right]  # its protocols' ports, as in PROTOCOLS
    connection: Right  # ARP's
    arp_frames: Receive  # where ARP's frames come
    registration: Right  # of its name
    again_at: int | None  # when it goes on with its start, where that has to wait

    # Sockets:
    sockets: dict[Receive, Socket]  # by their ports' names
    receivers: dict[Receive, Socket]  # those without the library, by where their frames come
    next_port: U16  # of those that nobody asks for by number

    arp: Arp
    # By address, who waits for its station: the caller of a request, or source port, target port and data of a datagram:
    waiting: dict[IpAddress, deque[Caller | tuple[U16, U16, Annotated[bytes, Size(0, DATA_MAX)]]]]
    counts: list[int]  # of datagrams, as udp_counts gives them

    def __init__(self, node: int) -> None:
        super().__init__()
        self.arp = Arp(ip_of(node), mac_of(node))
        self.counts = [0] * (max(Lost) + 1)
        self.next_port = EPHEMERAL.start
        self.registered = []
        self.sockets = {}
        self.receivers = {}
        self.waiting = {}
        self.arp_frames = self.gns = self.connection = self.device = self.registration = 0
        self.again_at = None

    def check_saved(self) -> None:
        super().check_saved()
        opening = [each.about[0] for each in self.questions.values() if each.then == "_opened"]
        if sorted(opening) != sorted(name for name, each in self.sockets.items() if not each.connection):
            raise ValueError("other sockets are being opened than have no connection")
        if self.receivers != {each.frames: each for each in self.sockets.values() if each.frames}:
            raise ValueError("its receivers are not those of its sockets")
        if len(self.registered) > len(PROTOCOLS):
            raise ValueError("it has registered too many protocols")

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes) -> Udp:
        """The server of a node of a cluster."""
        return cls(node)

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self._go_on(mach)

    def inherited(self, mach: Mach) -> None:
        for name in (self.gns, self.registration, *(each.connection for each in self.sockets.values())):
            if name:
                self._watch(mach, name)
        mach.note("udp: goes on in the place of another one")
        self._settle(mach)

    def _new_receiver(self, mach: Mach) -> int:
        """A port for frames."""
        port = self.new_port(mach)
        mach.call(MACH_PORT_SET_QLIMIT, mach.task_self(), port, QUEUE_MAX)
        return port

    def receive(self, mach: Mach, message: Message) -> None:
        super().receive(mach, message)
        self._settle(mach)

    def expired(self, mach: Mach) -> None:
        if self.again_at is not None and mach.now() >= self.again_at:
            self.again_at = None
            self._go_on(mach)
        self.arp.tick(mach.now())
        self._settle(mach)

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """A receiver's queue is full, or whom a message was for is gone."""
        if message.header.id == udp_client.UDP_DATAGRAM.request.id:
            self.counts[Lost.FULL] += 1
        super().unsent(mach, message, code)

    def _settle(self, mach: Mach) -> None:
        """What the address resolution says goes out, and who waited for it goes on."""
        while self.arp.outbox:
            self._transmit(mach, self.arp.outbox.popleft())
        while self.arp.answers:
            self._found(mach, *self.arp.answers.popleft())
        mach.alarm(min((at for at in (self.arp.next_timer(), self.again_at) if at is not None), default=None))

    # The start: the network server is found, both protocols are registered, ARP's connection is opened, and the name registered;
    # and again what has ended with a network or name server

    def _go_on(self, mach: Mach) -> None:
        """Asks for what is missing next."""
        privilege = PolyPort(mach.given("device-port"), COPY_SEND)
        if not self.gns:
            self.ask(mach, self._met, mach.given("name-server"), (GNS,))
        elif len(self.registered) < len(PROTOCOLS):
            environment = PolyPort(self.service, MAKE_SEND)
            self.ask(mach, self._registered, self.gns, (*PROTOCOLS[len(self.registered)], environment, privilege))
        elif not self.arp_frames:
            self.arp_frames = self._new_receiver(mach)
            self.ask(mach, self._connected, self.registered[1], ((), (), PolyPort(self.arp_frames, MAKE_SEND), privilege))
        elif not self.registration and all(question.then != "_named" for question in self.questions.values()):
            names = mach.name_server()
            self.ask(mach, self._named, names, (NAME, 0, PolyPort(self.service, MAKE_SEND)))

    @answered(acs.ACS_LOOK_UP_HERE)
    def _met(self, mach: Mach, answer: Answer) -> None:
        self.gns = answer.right
        if self.gns:
            self._watch(mach, self.gns)
            self._go_on(mach)
        else:
            self.again_at = mach.now() + AGAIN_NS

    def _watch(self, mach: Mach, name: PortName) -> None:
        """Asks to be told when a port is dead."""
        mach.notify(name, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)

    @answered(gns_protocol.GNS_PROTOCOL_REGISTER)
    def _registered(self, mach: Mach, answer: Answer) -> None:
        if self._may_start(mach, answer):
            self.registered.append(name_of(answer.results[0]))
            self._go_on(mach)

    @answered(gns_protocol.GNS_CONNECTION_OPEN)
    def _connected(self, mach: Mach, answer: Answer) -> None:
        if self._may_start(mach, answer):
            self.connection, self.device = map(name_of, answer.results)
            self._go_on(mach)

    @answered(acs.ACS_REGISTER)
    def _named(self, mach: Mach, answer: Answer) -> None:
        if answer.code == MIG_SERVER_DIED:
            self.again_at = mach.now() + AGAIN_NS
        elif self._may_start(mach, answer):
            self.registration = name_of(answer.results[0])
            self._watch(mach, self.registration)

    def _may_start(self, mach: Mach, answer: Answer) -> bool:
        if answer.code:
            mach.note(f"udp: cannot start: {answer.code:#x}")
        return not answer.code

    def _name_server_died(self, mach: Mach) -> None:
        """Its name is gone, and is registered anew."""
        mach.deallocate(self.registration)
        self.registration = 0
        self._go_on(mach)

    def _network_server_died(self, mach: Mach) -> None:
        """The protocols have ended, and ARP's connection; the sockets' connections say so themselves."""
        for right in (self.gns, *self.registered, self.connection, self.device):
            if right:
                mach.deallocate(right)
        if self.arp_frames:
            mach.destroy_receive(self.arp_frames)
        self.gns = self.connection = self.device = self.arp_frames = 0
        self.registered = []
        self._go_on(mach)

    # Sockets

    @serves(udp.UDP_OPEN)
    def _open(
        self,
        mach: Mach,
        request: Message,
        library: int,
        port: int,
        remote: int,
        remote_port: int,
        receiver: Any,
        privilege: Any,
        client: Any,
    ) -> None:
        if not 0 <= port <= WORD or not 0 <= remote_port <= WORD or bool(remote) != bool(remote_port):
            raise KernError(KERN_INVALID_ARGUMENT)
        peer = struct.pack(">I", remote)
        if remote and (not frames.is_station(peer) or peer == self.arp.ip):
            raise KernError(KERN_INVALID_ARGUMENT)
        if not living(receiver) or receiver in self.sockets or receiver == self.service:
            raise KernError(KERN_INVALID_CAPABILITY)
        if privilege is not None and privilege != mach.given("device-port"):
            raise KernError(KERN_NO_ACCESS)
        if privilege is not None:
            mach.deallocate(privilege)
        station = peer if remote else b""
        wanted = Opening(
            bool(library), port, station, remote_port, receiver, privilege is not None, living(client), request.caller
        )
        self.ask(mach, self._knows_client, mach.given("name-server"), (PolyPort(wanted.client or None, COPY_SEND),), wanted)

    @answered(acs.ACS_IS_CLIENT)
    def _knows_client(self, mach: Mach, answer: Answer, wanted: Opening) -> None:
        """The name server says whether the port that was shown is a client's."""
        if answer.code and wanted.client:
            mach.deallocate(wanted.client)
            wanted = wanted._replace(client=0)
        of_one = sum(each.client == wanted.client and not each.privileged for each in self.sockets.values())
        if not self.registered:
            self._refuse(mach, wanted, KERN_FAILURE)
        elif len(self.sockets) >= SOCKETS_MAX or (of_one >= SOCKETS_OF_ONE and not wanted.privileged):
            self._refuse(mach, wanted, KERN_RESOURCE_SHORTAGE)
        else:
            self._connect(mach, wanted)

    def _refuse(self, mach: Mach, wanted: Opening, code: int) -> None:
        mach.give_up((right, MOVE_SEND) for right in (wanted.receiver, wanted.client) if right)
        mach.answer(wanted.caller, None, code)

    def _connect(self, mach: Mach, wanted: Opening) -> None:
        """Asks the network server for a socket's connection."""
        port = wanted.port or self._free_port()
        socket = Socket(port, wanted.remote, wanted.remote_port, wanted.client, wanted.privileged)
        to = PolyPort(wanted.receiver, MOVE_SEND)
        if not wanted.library:
            socket.receiver = wanted.receiver
            socket.frames = self._new_receiver(mach)
            self.receivers[socket.frames] = socket
            to = PolyPort(socket.frames, MAKE_SEND)
        name = self.new_port(mach)
        self.sockets[name] = socket
        receives, sends = socket.filters(self.arp.ip)
        privilege = PolyPort(mach.given("device-port") if wanted.privileged else None, COPY_SEND)
        self.ask(mach, self._opened, self.registered[0], (receives, sends, to, privilege), name, wanted.caller)

    def _free_port(self) -> int:
        taken = {UDP_PORT, *(each.port for each in self.sockets.values())}
        while self.next_port in taken:
            self.next_port = _after(self.next_port)
        port, self.next_port = self.next_port, _after(self.next_port)
        return port

    @answered(gns_protocol.GNS_CONNECTION_OPEN)
    def _opened(self, mach: Mach, answer: Answer, name: Receive, caller: Caller) -> None:
        """The network server has opened a socket's connection, or refuses, as where the port is taken; or it is closed again."""
        socket = self.sockets[name]
        try:
            if answer.code:
                raise KernError(answer.code)
            connection, link = answer.results
            mach.notify(connection, MACH_NOTIFY_DEAD_NAME.request.id, self.notices)
            mach.notify(mach.make_send(name), MACH_NOTIFY_NO_SENDERS.request.id, name, 1)
        except KernError as error:
            mach.give_up((living(right), MOVE_SEND) for right in answer.results if living(right))
            self._forget(mach, name)
            mach.answer(caller, None, error.code)
            return
        socket.connection = connection
        direct = link is not None
        if not direct and not socket.frames:
            link = mach.copy_send(connection)
        values = (name, link, int(direct), int.from_bytes(self.arp.ip, "big"), self.arp.station, socket.port)
        mach.answer(caller, udp.UDP_OPEN, 0, values)

    def _forget(self, mach: Mach, name: PortName) -> None:
        """Whoever has a right to its port has a dead name from now on."""
        socket = self.sockets.pop(name)
        if socket.frames:
            del self.receivers[socket.frames]
            mach.destroy_receive(socket.frames)
            mach.deallocate(socket.receiver)
        if socket.client:
            mach.deallocate(socket.client)
        mach.destroy_receive(name)

    def _close(self, mach: Mach, name: PortName) -> None:
        mach.request(gns_protocol.GNS_CONNECTION_CLOSE, self.sockets[name].connection, (), 0, MOVE_SEND)
        self._forget(mach, name)

    @notified(NoSenders, at="sockets")
    def _unused(self, mach: Mach, notice: NoSenders) -> None:
        self._close(mach, notice.port)

    @serves(udp.UDP_CLOSE, at="sockets")
    def _end(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        self._close(mach, request.header.local)
        return ()

    @notified(DeadName)
    def _disconnected(self, mach: Mach, notice: DeadName) -> None:
        """A connection is closed, with its protocol or because its receiver is gone; or a server has ended."""
        for port, socket in list(self.sockets.items()):
            if socket.connection == notice.name:
                self._close(mach, port)
        if notice.name == self.gns:
            self._network_server_died(mach)
        if notice.name == self.registration:
            self._name_server_died(mach)
        mach.deallocate(notice.name)

    @serves(acs_client.ACS_SAVE_AND_END)
    def _saved(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        """The node is about to start anew, says anybody who has the service: there is nothing to save, and nothing ends by it."""
        return ()

    @serves(udp.UDP_COUNTS)
    def _count(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        return (tuple(self.counts),)

    # Datagrams

    @serves(udp.UDP_SEND, at="sockets")
    def _send(self, mach: Mach, request: Message, address: int, port: int, data: bytes) -> tuple[Any, ...]:
        socket = self.sockets[request.header.local]
        target = struct.pack(">I", address)
        foreign = socket.remote and (target, port) != (socket.remote, socket.remote_port)
        if not 0 < port <= WORD or foreign or not socket.frames:
            self.counts[Lost.FOREIGN] += 1
            return ()
        station = self.arp.look_up(target, mach.now(), socket.client)
        if station is None:
            self._wait(mach, target, (socket.port, port, data))
        else:
            self._transmit_datagram(mach, station, socket.port, target, port, data)
        return ()

    def _transmit_datagram(self, mach: Mach, station: bytes, source_port: int, target: bytes, port: int, data: bytes) -> None:
        self.counts[0] += 1
        self._transmit(mach, frames.make(station + self.arp.station, self.arp.ip, target, source_port, port, data))

    def _transmit(self, mach: Mach, frame: bytes) -> None:
        """Without a network server the frame is lost."""
        if self.device:
            mach.request(device.DEVICE_WRITE, self.device, (0, 0, OutOfLine(frame, len(frame))))

    @serves(udp.UDP_RESOLVE, at="sockets")
    def _resolve(self, mach: Mach, request: Message, address: int) -> tuple[Any, ...] | None:
        target = struct.pack(">I", address)
        station = self.arp.look_up(target, mach.now(), self.sockets[request.header.local].client)
        if station is not None:
            return (station,)
        self._wait(mach, target, request.caller)
        return None

    def _wait(self, mach: Mach, target: bytes, what: Caller | tuple[int, int, bytes]) -> None:
        """For a station's address; the oldest that wait give way."""
        queue = self.waiting.setdefault(target, deque())
        if len(queue) >= WAITING_MAX:
            self._give_up(mach, queue.popleft())
        queue.append(what)

    def _give_up(self, mach: Mach, what: Caller | tuple[int, int, bytes]) -> None:
        if isinstance(what, Caller):
            mach.answer(what, None, KERN_FAILURE)
        else:
            self.counts[Lost.UNREACHABLE] += 1

    def _found(self, mach: Mach, target: bytes, station: bytes | None) -> None:
        for what in self.waiting.pop(target, ()):
            if station is None:
                self._give_up(mach, what)
            elif isinstance(what, Caller):
                mach.answer(what, udp.UDP_RESOLVE, 0, (station,))
            else:
                source_port, port, data = what
                self._transmit_datagram(mach, station, source_port, target, port, data)

    @takes(NET_RCV_MSG_ID, at="arp_frames")
    def _arp_frame(self, mach: Mach, message: Message) -> None:
        self.arp.frame_arrived(frame_of(message.body, mach.order), mach.now())

    @takes(NET_RCV_MSG_ID, at="receivers")
    def _frame(self, mach: Mach, message: Message) -> None:
        frame, socket = frame_of(message.body, mach.order), self.receivers[message.header.local]
        try:
            datagram = frames.read(frame, self.arp.ip)
        except LostError as error:
            self.counts[error.why] += 1
            return
        if not socket.connection or datagram.target_port != socket.port:
            self.counts[Lost.FOREIGN] += 1
            return
        self.counts[1] += 1
        values = (int.from_bytes(datagram.source, "big"), datagram.source_port, datagram.data)
        body, _ = udp_client.UDP_DATAGRAM.request.pack(mach.order, values)
        header = Header(socket.receiver, COPY_SEND, 0, 0, udp_client.UDP_DATAGRAM.request.id)
        mach.send(Message(header, body, (), False), timeout=0)


def _after(port: int) -> int:
    return port + 1 if port + 1 in EPHEMERAL else EPHEMERAL.start
