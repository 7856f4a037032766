"""Work under way at devices: requests whose reply comes later, and how they are answered (Mach's io_req_t, ds_*_done)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, Protocol

from machemu.abi.device import D_NO_MEMORY
from machemu.ipc import kmsg as kmsgs
from machemu.ipc.port import Port, Right
from machemu.ipc.subsystem import Ipc
from machemu.kern.clock import Clock
from machemu.mig.interfaces import device_reply
from machemu.mig.runtime import RETCODE, Message, OutOfLine
from machemu.sim.events import EventQueue
from machemu.sim.state import U8, Word, state
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.page import PageShortage
from machemu.vm.subsystem import Vm

EVENT_PRIORITY: Final = 2
"""Devices come after time-outs that end at the same time."""


@state
class IoOp(Enum):
    """What is asked for."""

    OPEN = auto()
    READ = auto()
    READ_INBAND = auto()
    WRITE = auto()
    WRITE_INBAND = auto()


REPLIES: Final = {
    IoOp.OPEN: device_reply.DEVICE_OPEN_REPLY,
    IoOp.READ: device_reply.DEVICE_READ_REPLY,
    IoOp.READ_INBAND: device_reply.DEVICE_READ_REPLY_INBAND,
    IoOp.WRITE: device_reply.DEVICE_WRITE_REPLY,
    IoOp.WRITE_INBAND: device_reply.DEVICE_WRITE_REPLY_INBAND,
}


@state
class IoRequest:
    """A request to a device."""

    __slots__ = ("op", "mode", "recnum", "count", "data", "reply_port", "reply_type")
    op: IoOp

    # The caller's arguments:
    mode: Word
    recnum: Word  # signed
    count: Word
    data: bytes  # what is written, b"" of other requests

    # The right that the answer goes to, the request's own until it is answered:
    reply_port: Port | None  # None for a write that nobody waits for
    reply_type: U8

    def __init__(self, op: IoOp, mode: int, recnum: int, count: int, data: bytes, reply_port: Right, reply_type: int) -> None:
        self.op = op
        self.mode = mode
        self.recnum = recnum
        self.count = count
        self.data = data
        self.reply_port = reply_port if isinstance(reply_port, Port) else None
        self.reply_type = reply_type


class Waiter(Protocol):
    """A state object that waits for an event."""

    def event_due(self, kind: Enum, *args: Any) -> None: ...


@state
class DeviceIo:
    """What drivers need of the node: its messages, memory, time. Transient: print, by which the kernel says something."""

    __slots__ = ("ipc", "vm", "events", "clock", "print")
    TRANSIENT = ("print",)
    ipc: Ipc
    vm: Vm
    events: EventQueue
    clock: Clock
    print: Callable[[bytes], None]

    def __init__(self, ipc: Ipc, vm: Vm, events: EventQueue, clock: Clock) -> None:
        self.ipc = ipc
        self.vm = vm
        self.events = events
        self.clock = clock

    def after(self, delay: int, kind: Enum, waiter: Waiter, *args: object) -> None:
        """Calls `waiter.event_due(kind, *args)` after so many virtual nanoseconds."""
        self.events.schedule(self.clock.now() + delay, EVENT_PRIORITY, kind, (waiter, *args))

    # Each of these answers a request and consumes its reply right; the caller has taken it out of the driver.

    def opened(self, request: IoRequest, right: Port) -> None:
        """device_open_reply; consumes a send right."""
        self._send(request, REPLIES[request.op].request, (0, right))

    def read_done(self, request: IoRequest, code: int, data: bytes) -> None:
        """device_read_reply, inband or not. What goes out of line takes pages now, or is answered with D_NO_MEMORY."""
        value: object = data
        if request.op is IoOp.READ:
            copy = VmMapCopy.from_bytes(self.vm, data) if data else None
            privileged = self.vm.privileged
            # The default memory manager must be able to read what it has, or no frame would ever be free again.
            self.vm.privileged = privileged or self._for_default_manager(request.reply_port)
            try:
                if copy is not None:
                    copy.into_entries()
            except PageShortage:
                self.refuse(request, D_NO_MEMORY)
                return
            finally:
                self.vm.privileged = privileged
            value = OutOfLine(copy, len(data))
        self._send(request, REPLIES[request.op].request, (code, value))

    def _for_default_manager(self, port: Port | None) -> bool:
        """Whether an answer goes to the task of the default memory manager (memory_manager_default_port)."""
        manager = self.vm.default_manager
        return isinstance(manager, Port) and port is not None and port.receiver is manager.receiver

    def write_done(self, request: IoRequest, code: int, written: int) -> None:
        """device_write_reply, inband or not."""
        self._send(request, REPLIES[request.op].request, (code, written))

    def refuse(self, request: IoRequest, code: int) -> None:
        """The short reply of a routine that failed."""
        self._send(request, RETCODE, (code,))

    def _send(self, request: IoRequest, message: Message, values: tuple[Any, ...]) -> None:
        port, request.reply_port = request.reply_port, None
        if port is None:
            return
        body, carried = message.pack(self.ipc.order, values)
        msgh_id = REPLIES[request.op].request.id
        kmsgs.kernel_send(self.ipc, kmsgs.make(self.ipc, port, request.reply_type, None, 0, msgh_id, body, carried))
