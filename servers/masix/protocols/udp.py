"""The server of user datagrams: what of the protocol touches everybody, and sending and receiving for whom has no library for it.

It registers UDP and ARP with its node's network server, binds ports, and finds stations. A socket with the library gets its
frames from the kernel and sends them itself; for one without it they come here, and what they carry goes on in messages.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import (
    KERN_FAILURE,
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_CAPABILITY,
    KERN_NO_ACCESS,
    KERN_RESOURCE_SHORTAGE,
)
from machemu.abi.message import COPY_SEND, MAKE_SEND, MOVE_SEND, PORT_SEND_ONCE
from machemu.mig.interfaces import device
from machemu.mig.interfaces.mach_port import MACH_PORT_SET_QLIMIT
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS
from machemu.mig.runtime import OutOfLine, PolyPort, Routine
from machemu.sim.state import U16, PortSet, Receive, Right, state
from machemu.user.dispatch import dispatch
from machemu.user.mach import REPLY_ID, Mach
from machemu.user.message import Caller, Header, Message, living, name_of
from masix.interfaces import acs, acs_client, gns_protocol, udp, udp_client
from masix.net import frames
from masix.net.ethernet import NET_RCV_MSG, frame_of
from masix.net.filters import IP_PIECE, IP_SOURCE, IP_TARGET, UDP_SOURCE, UDP_TARGET, WORD
from masix.net.frames import PIECE, Lost, LostError
from masix.net.ip import ETHERTYPE_IPV4, UDP_PORT, UDP_PROTOCOL, ip_of, mac_of
from masix.protocols.arp import ETHERTYPE_ARP, Arp

NAME: Final = b"udp"
GNS: Final = b"gns"
PROTOCOLS: Final = ((b"udp", ETHERTYPE_IPV4, UDP_PROTOCOL), (b"arp", ETHERTYPE_ARP, 0))
EPHEMERAL: Final = range(49152, 65536)
"""What IANA leaves for ports that nobody asks for by number."""
SOCKETS_MAX: Final = 64
QUEUE_MAX: Final = 16
"""Frames that wait for the server at most, a socket: what Mach allows a port."""
WAITING_MAX: Final = 16
"""Datagrams and questions that wait for one station at most."""
FIND_NS: Final = 10_000_000
"""How long until the network server is looked for again."""


@state
class Opening:
    """A socket that the network server was asked for. caller: its opener. frames: the port of the server's own that its
    frames will come to, 0 with the library; receiver: the opener's send right where datagrams go, 0 with it."""

    __slots__ = ("caller", "frames", "port", "receiver", "remote", "remote_port")
    caller: Caller
    frames: Receive
    port: U16
    receiver: Right
    remote: bytes
    remote_port: U16

    def __init__(self, caller: Caller, port: int, remote: bytes, remote_port: int) -> None:
        self.caller = caller
        self.port = port
        self.remote = remote
        self.remote_port = remote_port
        self.frames = 0
        self.receiver = 0


@state
class Socket:
    """connection: a send right to the network server's port for it. The rest as in Opening."""

    __slots__ = ("connection", "frames", "port", "receiver", "remote", "remote_port")
    connection: Right
    frames: Receive
    port: U16
    receiver: Right
    remote: bytes
    remote_port: U16

    def __init__(self, opening: Opening, connection: int) -> None:
        self.connection = connection
        self.frames = opening.frames
        self.receiver = opening.receiver
        self.port = opening.port
        self.remote = opening.remote
        self.remote_port = opening.remote_port


@state
class Udp:
    """counts: of datagrams, as udp_counts gives them. next_port: of those that nobody asks for by number.

    service, notices, replies, arp_frames, ports: its own ports, and the set of all that it receives from. gns, device: the
    network server's and the interface's port. registered: its protocols' ports, as in PROTOCOLS. sockets: by their ports'
    names; openings: those under way, by the ports that the network server's answers come to. waiting: by address, who waits for
    its station: the caller of a request, or source port, target port and data of a datagram.
    """

    __slots__ = (
        "arp", "arp_frames", "counts", "device", "gns", "next_port", "notices", "openings", "ports", "registered", "replies",
        "service", "sockets", "waiting",
    )  # fmt: skip
    arp: Arp
    arp_frames: Receive
    counts: list[int]
    device: Right
    gns: Right
    next_port: U16
    notices: Receive
    openings: dict[Receive, Opening]
    ports: PortSet
    registered: list[Right]
    replies: Receive
    service: Receive
    sockets: dict[Receive, Socket]
    waiting: dict[bytes, deque[Caller | tuple[int, int, bytes]]]

    def __init__(self, node: int) -> None:
        self.arp = Arp(ip_of(node), mac_of(node))
        self.counts = [0] * (max(Lost) + 1)
        self.next_port = EPHEMERAL.start
        self.registered = []
        self.sockets = {}
        self.openings = {}
        self.waiting = {}
        self.service = self.notices = self.replies = self.arp_frames = self.ports = self.gns = self.device = 0

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes) -> Udp:
        """The server of a node of a cluster."""
        return cls(node)

    def start(self, mach: Mach) -> None:
        self.ports = mach.allocate_port_set()
        self.service = self._new_port(mach)
        self.notices = self._new_port(mach)
        self.replies = self._new_port(mach)
        mach.serve(self.ports)
        self._find(mach)

    def _new_port(self, mach: Mach) -> int:
        port = mach.allocate_port()
        mach.move_member(port, self.ports)
        return port

    def _new_receiver(self, mach: Mach) -> int:
        """A port for frames."""
        port = self._new_port(mach)
        mach.call(MACH_PORT_SET_QLIMIT, mach.task_self(), port, QUEUE_MAX)
        return port

    def receive(self, mach: Mach, message: Message) -> None:
        port = message.header.local
        if port == self.service:
            save = acs_client.ACS_SAVE_AND_END
            self._serve(mach, message, (udp.UDP_OPEN, self._open), (udp.UDP_COUNTS, self._count), (save, self._saved))
        elif port == self.replies:
            self._started(mach, message)
        elif port in self.openings:
            self._opened(mach, port, message)
        elif port in self.sockets:
            self._asked(mach, port, message)
        elif port == self.arp_frames or message.header.id == NET_RCV_MSG:
            self._frame(mach, port, message)
        else:
            self._notified(mach, message)
        self._settle(mach)

    def expired(self, mach: Mach) -> None:
        if not self.gns:
            self._find(mach)
        self.arp.tick(mach.now())
        self._settle(mach)

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """A receiver's queue is full, or whom a message was for is gone."""
        if message.header.id == udp_client.UDP_DATAGRAM.request.id:
            self.counts[Lost.FULL] += 1
        mach.give_back(message)
        opening = self.openings.pop(message.header.local, None)
        if opening is not None:
            mach.destroy_receive(message.header.local)
            self._refuse(mach, opening, KERN_FAILURE)

    def _settle(self, mach: Mach) -> None:
        """What the address resolution says goes out, and who waited for it goes on."""
        while self.arp.outbox:
            self._transmit(mach, self.arp.outbox.popleft())
        while self.arp.answers:
            self._found(mach, *self.arp.answers.popleft())
        if self.gns:
            mach.alarm(self.arp.next_timer())

    # The start

    def _find(self, mach: Mach) -> None:
        mach.request(acs.ACS_LOOK_UP_HERE, mach.given("name-server"), (GNS,), self.replies)

    def _started(self, mach: Mach, message: Message) -> None:
        """An answer to what was asked at the start: the network server found, a protocol registered, ARP's connection open."""
        steps = (acs.ACS_LOOK_UP_HERE, gns_protocol.GNS_PROTOCOL_REGISTER, gns_protocol.GNS_CONNECTION_OPEN, acs.ACS_REGISTER)
        routine = next((step for step in steps if step.request.id + REPLY_ID == message.header.id), None)
        try:
            if routine is None:
                raise KernError(KERN_FAILURE)
            results = routine.unpack_reply(mach.order, message.body, message.carried, message.complex)
        except KernError as error:
            mach.destroy(message)
            if routine is acs.ACS_LOOK_UP_HERE:
                mach.alarm(mach.now() + FIND_NS)
            else:
                mach.note(f"udp: cannot start: {error.code:#x}")
            return
        if routine is acs.ACS_LOOK_UP_HERE:
            self.gns = name_of(results[0])
        elif routine is gns_protocol.GNS_PROTOCOL_REGISTER:
            self.registered.append(name_of(results[0]))
        elif routine is gns_protocol.GNS_CONNECTION_OPEN:
            # The connection's right is kept for as long as the server is there.
            self.device = name_of(results[1])
            mach.request(acs.ACS_REGISTER, mach.given("name-server"), (NAME, 0, PolyPort(self.service, MAKE_SEND)), self.replies)
            return
        else:
            return
        if len(self.registered) < len(PROTOCOLS):
            environment, privilege = PolyPort(self.service, MAKE_SEND), PolyPort(mach.given("device-port"), COPY_SEND)
            values = (*PROTOCOLS[len(self.registered)], environment, privilege)
            mach.request(gns_protocol.GNS_PROTOCOL_REGISTER, self.gns, values, self.replies)
        else:
            self.arp_frames = self._new_receiver(mach)
            self._connect(mach, 1, (), (), PolyPort(self.arp_frames, MAKE_SEND), True, self.replies)

    def _connect(
        self,
        mach: Mach,
        protocol: int,
        receives: tuple[int, ...],
        sends: tuple[int, ...],
        receiver: PolyPort,
        privileged: bool,
        reply: int,
    ) -> None:
        privilege = PolyPort(mach.given("device-port") if privileged else None, COPY_SEND)
        values = (_shorts(receives), _shorts(sends), receiver, privilege)
        mach.request(gns_protocol.GNS_CONNECTION_OPEN, self.registered[protocol], values, reply)

    # Sockets

    def _serve(self, mach: Mach, message: Message, *handlers: tuple[Routine, Any]) -> None:
        dispatch(mach, message, {routine.request.id: (routine, handler) for routine, handler in handlers})

    def _open(
        self, mach: Mach, request: Message, library: int, port: int, remote: int, remote_port: int, receiver: Any, privilege: Any
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
        if len(self.sockets) + len(self.openings) >= SOCKETS_MAX:
            raise KernError(KERN_RESOURCE_SHORTAGE)
        opening = Opening(request.caller, port or self._free_port(), peer if remote else b"", remote_port)
        if privilege is not None:
            mach.deallocate(privilege)
        to = PolyPort(receiver, MOVE_SEND)
        if not library:
            opening.receiver = receiver
            opening.frames = self._new_receiver(mach)
            to = PolyPort(opening.frames, MAKE_SEND)
        answer = self._new_port(mach)
        self.openings[answer] = opening
        own, peer_words = _words(self.arp.ip), _words(opening.remote)
        receives = [*_are(IP_TARGET, own), *_are(UDP_TARGET, (opening.port,))]
        sends = [*_are(IP_SOURCE, own), *_are(UDP_SOURCE, (opening.port,)), IP_PIECE, PIECE, 0]
        if remote:
            receives += [*_are(IP_SOURCE, peer_words), *_are(UDP_SOURCE, (remote_port,))]
            sends += [*_are(IP_TARGET, peer_words), *_are(UDP_TARGET, (remote_port,))]
        self._connect(mach, 0, tuple(receives), tuple(sends), to, privilege is not None, answer)

    def _free_port(self) -> int:
        taken = {UDP_PORT, *(each.port for each in self.sockets.values()), *(each.port for each in self.openings.values())}
        while self.next_port in taken:
            self.next_port = _after(self.next_port)
        port, self.next_port = self.next_port, _after(self.next_port)
        return port

    def _opened(self, mach: Mach, answer: int, message: Message) -> None:
        """The network server has opened a socket's connection, or refuses, as where the port is taken; or it is closed again."""
        opening = self.openings.pop(answer)
        mach.destroy_receive(answer)
        routine = gns_protocol.GNS_CONNECTION_OPEN
        try:
            connection, link = routine.unpack_reply(mach.order, message.body, message.carried, message.complex)
            mach.notify(connection, MACH_NOTIFY_DEAD_NAME.request.id, self.notices)
        except KernError as error:
            mach.destroy(message)
            self._refuse(mach, opening, error.code)
            return
        socket = self._new_port(mach)
        mach.make_send(socket)
        mach.notify(socket, MACH_NOTIFY_NO_SENDERS.request.id, socket, 1)
        self.sockets[socket] = Socket(opening, connection)
        direct = link is not None
        if not direct and not opening.frames:
            link = mach.copy_send(connection)
        values = (socket, link, int(direct), int.from_bytes(self.arp.ip, "big"), self.arp.station, opening.port)
        mach.answer(opening.caller, udp.UDP_OPEN, 0, values)

    def _refuse(self, mach: Mach, opening: Opening, code: int) -> None:
        self._forget(mach, opening)
        mach.answer(opening.caller, None, code)

    def _forget(self, mach: Mach, socket: Opening | Socket) -> None:
        if socket.frames:
            mach.destroy_receive(socket.frames)
            mach.deallocate(socket.receiver)

    def _close(self, mach: Mach, name: int) -> None:
        """Ends a socket: whoever has a right to its port has a dead name from now on."""
        socket = self.sockets.pop(name)
        mach.request(gns_protocol.GNS_CONNECTION_CLOSE, socket.connection, (), 0, MOVE_SEND)
        self._forget(mach, socket)
        mach.destroy_receive(name)

    def _asked(self, mach: Mach, name: int, message: Message) -> None:
        if message.header.local_type == PORT_SEND_ONCE:
            # Of sockets' ports send-once rights are made for the notification that there are no senders.
            self._close(mach, name)
        else:
            self._serve(mach, message, (udp.UDP_SEND, self._send), (udp.UDP_RESOLVE, self._resolve), (udp.UDP_CLOSE, self._end))

    def _end(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        self._close(mach, request.header.local)
        return ()

    def _saved(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        """The node is about to start anew, says anybody who has the service: there is nothing to save, and nothing ends by it."""
        return ()

    def _notified(self, mach: Mach, message: Message) -> None:
        """A connection is closed, with its protocol or because its receiver is gone."""
        if message.header.id == MACH_NOTIFY_DEAD_NAME.request.id:
            (name,) = MACH_NOTIFY_DEAD_NAME.request.unpack(mach.order, message.body, message.carried, message.complex)
            for port, socket in list(self.sockets.items()):
                if socket.connection == name:
                    self._close(mach, port)
            mach.deallocate(name)
        else:
            mach.destroy(message)

    def _count(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        return (tuple(self.counts),)

    # Datagrams

    def _send(self, mach: Mach, request: Message, address: int, port: int, data: bytes) -> tuple[Any, ...]:
        socket = self.sockets[request.header.local]
        target = struct.pack(">I", address)
        foreign = socket.remote and (target, port) != (socket.remote, socket.remote_port)
        if not 0 < port <= WORD or foreign or not socket.frames:
            self.counts[Lost.FOREIGN] += 1
            return ()
        station = self.arp.look_up(target, mach.now())
        if station is None:
            self._wait(mach, target, (socket.port, port, data))
        else:
            self._transmit_datagram(mach, station, socket.port, target, port, data)
        return ()

    def _transmit_datagram(self, mach: Mach, station: bytes, source_port: int, target: bytes, port: int, data: bytes) -> None:
        self.counts[0] += 1
        self._transmit(mach, frames.make(station + self.arp.station, self.arp.ip, target, source_port, port, data))

    def _transmit(self, mach: Mach, frame: bytes) -> None:
        mach.request(device.DEVICE_WRITE, self.device, (0, 0, OutOfLine(frame, len(frame))))

    def _resolve(self, mach: Mach, request: Message, address: int) -> tuple[Any, ...] | None:
        target = struct.pack(">I", address)
        station = self.arp.look_up(target, mach.now())
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

    def _frame(self, mach: Mach, port: int, message: Message) -> None:
        if message.header.id != NET_RCV_MSG:
            mach.destroy(message)
            return
        frame = frame_of(message.body, mach.order)
        if port == self.arp_frames:
            self.arp.frame_arrived(frame, mach.now())
            return
        socket = next((socket for socket in self.sockets.values() if socket.frames == port), None)
        try:
            datagram = frames.read(frame, self.arp.ip)
        except LostError as error:
            self.counts[error.why] += 1
            return
        if socket is None or datagram.target_port != socket.port:
            self.counts[Lost.FOREIGN] += 1
            return
        self.counts[1] += 1
        values = (int.from_bytes(datagram.source, "big"), datagram.source_port, datagram.data)
        body, _ = udp_client.UDP_DATAGRAM.request.pack(mach.order, values)
        header = Header(socket.receiver, COPY_SEND, 0, 0, udp_client.UDP_DATAGRAM.request.id)
        mach.send(Message(header, body, (), False), timeout=0)


def _after(port: int) -> int:
    return port + 1 if port + 1 in EPHEMERAL else EPHEMERAL.start


def _words(address: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(address) // 2}H", address)


def _are(first: int, words: tuple[int, ...]) -> list[int]:
    """Matches for words of a frame that follow each other."""
    return [number for place, word in enumerate(words, first) for number in (place, WORD, word)]


def _shorts(words: tuple[int, ...]) -> tuple[int, ...]:
    """As the interface has them, with a sign."""
    return tuple(word - 0x10000 if word & 0x8000 else word for word in words)
