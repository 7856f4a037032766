"""What a host-side thread has of its own, and what it needs of the kernel under it."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from machemu.abi.message import CarriedMemory
from machemu.abi.types import ByteOrder, VirtAddr
from machemu.sim.state import U32, PortName, Receive, Right, state
from machemu.user.message import Elsewhere, Message
from machemu.user.task import ServerTask

AREA_SIZE: Final = 64 << 10
"""Bytes of the memory that a thread begins with."""
WORD_AREA: Final = 64


class Memory(Protocol):
    """A task's memory. Raises KernError, MustWait."""

    def read(self, address: VirtAddr, size: int) -> bytes: ...

    def write(self, address: VirtAddr, data: bytes | bytearray | memoryview) -> None: ...

    def ready(self, address: VirtAddr, size: int, writes: bool) -> bool:
        """Whether `read` or `write` would not wait; what is missing has been asked for."""


class KernelView(Protocol):
    """What a host-side thread has of the machine that it runs on."""

    order: ByteOrder

    def trap(self, number: int, arguments: tuple[int, ...]) -> int:
        """A trap that returns at once, by the current thread."""

    def now(self) -> int:
        """Nanoseconds of virtual time."""

    def work(self, handlers: int, messages: int, size: int) -> None:
        """The thread has done the work of handlers, and of messages of so many bytes in sum, by the machine's profile."""

    def note(self, what: str) -> None:
        """Tells whoever watches."""


@state
class Outgoing:
    """A message to be sent. notify: 0, or the port that is told when a full queue has taken it. addresses: its memory so far."""

    __slots__ = ("addresses", "message", "notify", "timeout")
    addresses: list[U32]
    message: Message
    notify: Receive
    timeout: int | None

    def check_saved(self) -> None:
        """ValueError where it cannot be sent."""
        if any(isinstance(item, CarriedMemory) and isinstance(item.copy, Elsewhere) for item in self.message.carried):
            raise ValueError("its memory is elsewhere")

    def __init__(self, message: Message, notify: PortName, timeout: int | None) -> None:
        self.message = message
        self.notify = notify
        self.timeout = timeout
        self.addresses = []


@state
class Own:
    """What a host-side thread has of its own."""

    __slots__ = ("area", "name", "outbox", "size", "task")
    task: ServerTask  # what it shares with the other threads of its task
    name: Right  # its kernel port, of a task with several threads; else 0
    area: U32  # the address of its memory: a word for traps' results, and from `buffer` on messages
    size: U32  # that memory's bytes
    outbox: deque[Outgoing]  # what is still to be sent

    def __init__(self, task: ServerTask, area: int, name: PortName) -> None:
        self.task = task
        self.name = name
        self.area = area
        self.size = AREA_SIZE
        self.outbox = deque()

    @property
    def buffer(self) -> int:
        return self.area + WORD_AREA
