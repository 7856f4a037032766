"""One node's IPC: what its ports, spaces and messages share."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from machemu.abi.message import MSG_TYPE_INTEGER_32, MSG_TYPE_PORT_NAME, PORT_RECEIVE, TypeDescriptor
from machemu.abi.types import ByteOrder
from machemu.ipc import invariants
from machemu.ipc.port import Port, Right
from machemu.ipc.space import Space
from machemu.sim.state import Natural, PortName, state

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.seams import KernelObjects, Scheduler
    from machemu.ipc.thread import IpcThread

MESSAGE_BYTES_MAX: Final = 64 << 20
"""What all messages of a node may hold together in the kernel's memory."""


class MessageObserver(Protocol):
    """Who watches messages. It changes nothing; ports in a message are still port objects when it is told."""

    def sent(self, thread: IpcThread | None, kmsg: Kmsg) -> None:
        """A message is on its way; `thread` sent it, or with None the kernel."""

    def received(self, thread: IpcThread, kmsg: Kmsg) -> None:
        """A thread takes a message."""


@state
class Ipc:
    """A node's IPC."""

    __slots__ = (
        "prefix", "page_size", "kernel_space", "reply_space", "ports", "serial",
        "set_count", "message_count", "message_bytes", "dying", "messages_sent", "messages_received", "sent",
        "scheduler", "kernel", "observer", "order", "little", "header", "word", "long_item", "pair",
        "name_item", "integer_item", "receive_item",
    )  # fmt: skip
    TRANSIENT = (
        "scheduler", "kernel", "observer", "order", "little", "header", "word", "long_item", "pair",
        "name_item", "integer_item", "receive_item",
    )  # fmt: skip
    # The machine's; fixed:
    prefix: str  # its byte order, as `struct` writes it
    page_size: int

    # Ports:
    kernel_space: Space  # the receiver of ports that stand for the kernel's objects
    reply_space: Space  # the receiver of those where a kernel's wait is answered
    ports: dict[int, Port]  # all live ports by number
    serial: Natural  # the last number

    # What there is, and what there was since power-on:
    set_count: Natural  # live port sets
    message_count: Natural  # live messages
    message_bytes: Natural  # what the messages hold
    messages_sent: Natural  # through queues, as is the next
    messages_received: Natural
    sent: list[Natural]  # messages, and bytes in them: to the kernel, to spaces that forward nothing, and to those that do

    dying: deque[Kmsg]  # messages that are being destroyed; empty between traps

    # Transient, besides `order` and the precompiled layouts:
    scheduler: Scheduler  # a seam, as is the next
    kernel: KernelObjects
    # observer: who watches, or None

    def __init__(self, order: ByteOrder, page_size: int) -> None:
        self.prefix = order.prefix
        self.page_size = page_size
        self.kernel_space = Space()
        self.reply_space = Space()
        self.ports = {}
        self.serial = 0
        self.set_count = 0
        self.message_count = 0
        self.message_bytes = 0
        self.messages_sent = 0
        self.messages_received = 0
        self.sent = [0] * 6
        self.dying = deque()
        self._prepare()

    def _prepare(self) -> None:
        order = ByteOrder(self.prefix)
        self.order = order
        self.little = order is ByteOrder.LITTLE
        self.observer: MessageObserver | None = None
        self.header = struct.Struct(self.prefix + "6I")
        self.word = struct.Struct(self.prefix + "I")
        self.pair = struct.Struct(self.prefix + "2I")
        self.long_item = struct.Struct(self.prefix + "IHHI")
        self.name_item = TypeDescriptor(MSG_TYPE_PORT_NAME, 32, 1).word(order)
        self.integer_item = TypeDescriptor(MSG_TYPE_INTEGER_32, 32, 1).word(order)
        self.receive_item = TypeDescriptor(PORT_RECEIVE, 32, 1).word(order)

    def attach(self, scheduler: Scheduler, kernel: KernelObjects) -> None:
        """Joins IPC to the layers above it; also after a load."""
        self._prepare()
        self.scheduler = scheduler
        self.kernel = kernel

    def make_port(self, receiver: Space, name: PortName) -> Port:
        """A new port, its receive right in `receiver`."""
        self.serial += 1
        port = self.ports[self.serial] = Port(self.serial, receiver, name)
        return port

    def make_kernel_port(self, kobject: object | None, reply: bool = False) -> Port:
        """A port that the kernel receives from: it stands for `kobject`, or with `reply` a thread waits there."""
        port = self.make_port(self.reply_space if reply else self.kernel_space, 0)
        port.kobject = kobject
        return port

    def check_invariants(
        self, spaces: Iterable[Space], threads: Iterable[IpcThread] = (), held: Iterable[tuple[Right, int]] = ()
    ) -> None:
        """Checks every object and recounts all rights and messages; InvariantError where anything is wrong.

        spaces: all of the node. threads: all threads, for the messages that they hold. held: each right that the kernel holds
        itself, with its disposition (PORT_SEND, PORT_SEND_ONCE).
        """
        invariants.check(self, list(spaces), list(threads), held)
