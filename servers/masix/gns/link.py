"""The network server's link: its transport over the node's first Ethernet interface."""

from __future__ import annotations

from collections import deque
from typing import Final

from machemu.abi.device import CUT_IPV4, NET_RCV_MSG_ID
from machemu.abi.message import MAKE_SEND
from machemu.mig.interfaces.device import DEVICE_OPEN, DEVICE_SET_FILTER, DEVICE_WRITE
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import Receive, Right, state
from machemu.user.kit import Answer, answered, takes
from machemu.user.mach import Mach
from machemu.user.message import Message, name_of
from masix.gns.context import SERVER_STREAM, Context, Link
from masix.net import filters
from masix.net.ethernet import INTERFACE, READ_WRITE, frame_of
from masix.net.ip import NodeNumber
from masix.transport.events import Delivered, MulticastReceived, PeerLost, StreamWritable, Unverified
from masix.transport.transport import Transport

BACKLOG_MAX: Final = 256
"""Frames that wait for the interface at most; more are lost, as on any network."""


@state
class EthernetLink(Link):
    """The other nodes, on an Ethernet."""

    __slots__ = ("device", "frames", "inbox", "replies", "unverified", "transport", "with_room", "writing")
    transport: Transport
    inbox: deque[tuple[NodeNumber, bytes | None]]  # what has come for the server, as the next
    unverified: deque[Unverified]
    with_room: deque[NodeNumber]  # nodes that were full

    # The interface:
    device: Right  # its port, 0 until it is open
    frames: Receive  # where frames come
    replies: Receive  # where the answers to those sent come
    writing: bool  # a frame is on its way to it, and the others wait

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.device = 0
        self.frames = 0
        self.replies = 0
        self.writing = False
        self.inbox = deque()
        self.unverified = deque()
        self.with_room = deque()

    def attach(self) -> None:
        """Makes again what is not saved."""
        self.transport.attach()

    def start(self, context: Context) -> None:
        self.transport.tick(context.mach.now())
        self.frames = context.new_port()
        self.replies = context.new_port()
        context.ask(self._opened, context.mach.given("device-port"), (READ_WRITE, INTERFACE))

    @answered(DEVICE_OPEN)
    def _opened(self, context: Context, answer: Answer) -> None:
        mach = context.mach
        if answer.code:
            mach.note(f"gns: {INTERFACE.decode()} cannot be opened: {answer.code:#x}")
            return
        self.device = name_of(answer.results[0])
        program = filters.program(filters.own_filter(filters.UDP_TARGET), mach.order, joins=True)
        mach.request(DEVICE_SET_FILTER, self.device, (PolyPort(self.frames, MAKE_SEND), filters.PRIORITY, program))
        self._flush(mach)

    @answered(DEVICE_WRITE, at="replies")
    def _written(self, context: Context, answer: Answer) -> None:
        self.writing = False
        self._flush(context.mach)

    @takes(NET_RCV_MSG_ID, at="frames")
    def _frame(self, context: Context, message: Message) -> None:
        self.transport.frame_arrived(frame_of(message.body, context.mach.order), context.mach.now())
        self._take_events()
        self._flush(context.mach)

    def send(self, mach: Mach, node: int, stream: int, data: bytes) -> None:
        self.transport.send(node, stream, data, mach.now())
        self._flush(mach)

    def backlog(self, node: int) -> int:
        return self.transport.backlog(node, SERVER_STREAM)

    def is_full(self, node: int) -> bool:
        return not self.transport.is_writable(node, SERVER_STREAM)

    def next_with_room(self) -> int | None:
        return self.with_room.popleft() if self.with_room else None

    def multicast(self, mach: Mach, data: bytes) -> None:
        self.transport.multicast(data, mach.now())
        self._flush(mach)

    def tick(self, mach: Mach) -> None:
        self.transport.tick(mach.now())
        self._take_events()
        self._flush(mach)

    def next_timer(self) -> int | None:
        return self.transport.next_timer()

    def next_event(self) -> tuple[int, bytes | None] | None:
        return self.inbox.popleft() if self.inbox else None

    def next_unverified(self) -> Unverified | None:
        return self.unverified.popleft() if self.unverified else None

    def verify(self, mach: Mach, unverified: Unverified) -> None:
        self.transport.verify(unverified, mach.now())
        self._take_events()
        self._flush(mach)

    def _take_events(self) -> None:
        while (event := self.transport.next_event()) is not None:
            if isinstance(event, Delivered | MulticastReceived):
                self.inbox.append((event.node, event.payload))
            elif isinstance(event, Unverified):
                self.unverified.append(event)
            elif isinstance(event, StreamWritable):
                self.with_room.append(event.node)
            elif isinstance(event, PeerLost):
                self.inbox.append((event.node, None))

    def _flush(self, mach: Mach) -> None:
        """Gives the interface the next frame, one at a time."""
        outbox = self.transport.outbox
        while len(outbox) > BACKLOG_MAX:
            outbox.popleft()
        if self.device and outbox and not self.writing:
            self.writing = True
            frame = outbox.popleft()
            arguments = (CUT_IPV4, 0, OutOfLine(frame, len(frame)))
            mach.request(DEVICE_WRITE, self.device, arguments, self.replies)
