"""What a host-side program does to the machine: traps, calls to the kernel, messages. Made anew for each handler."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, Final, TypeVar

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_RESOURCE_SHORTAGE
from machemu.abi.message import (
    COPY_SEND,
    HEADER_SIZE,
    HEADER_SIZE_FIELD,
    MACH_MSG_MASK,
    MACH_MSG_SUCCESS,
    MACH_RCV_BODY_ERROR,
    MACH_RCV_MSG,
    MACH_RCV_TIMEOUT,
    MACH_SEND_MSG,
    MACH_SEND_TIMEOUT,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND_ONCE,
    Carried,
    CarriedPort,
    CarriedPorts,
    TypeDescriptor,
)
from machemu.abi.port import RIGHT_PORT_SET, RIGHT_RECEIVE, RIGHT_SEND, PortStatus
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.mig.interfaces.mach_host import THREAD_WIRE, VM_WIRE
from machemu.mig.interfaces.mach_port import (
    MACH_PORT_GET_RECEIVE_STATUS,
    MACH_PORT_MOD_REFS,
    MACH_PORT_MOVE_MEMBER,
    MACH_PORT_REQUEST_NOTIFICATION,
)
from machemu.mig.interfaces.mach_port_array import (
    MACH_PORT_ALLOCATE_ARRAY,
    MACH_PORT_COUNT_LAST_AS_SENT,
    MACH_PORT_FORGET_SEND_ONCE_ARRAY,
    MACH_PORT_GET_RECEIVE_STATUS_ARRAY,
    MACH_PORT_GET_RECEIVER_ARRAY,
    MACH_PORT_MAKE_SEND_ONCE_ARRAY,
    MACH_PORT_MOVE_MEMBER_ARRAY,
    MACH_PORT_REQUEST_NOTIFICATION_ARRAY,
)
from machemu.mig.runtime import COUNTED, FIXED, POLYMORPHIC, RETCODE, PolyPort, Routine, Type
from machemu.mig.runtime import Message as MessageType
from machemu.sim.state import PortName
from machemu.user import message as messages
from machemu.user.message import Caller, Header, Message
from machemu.user.own import WORD_AREA, KernelView, Memory, Outgoing, Own

if TYPE_CHECKING:
    from machemu.user.server import Server

MACH_MSG, MACH_REPLY_PORT, THREAD_SELF, TASK_SELF, HOST_SELF = 25, 26, 27, 28, 29
VM_ALLOCATE, VM_DEALLOCATE, PORT_ALLOCATE, PORT_DEALLOCATE, INSERT_RIGHT = 65, 66, 72, 73, 74
"""Numbers of traps."""
DESCRIPTOR_SIZE: Final = 4
CALL: Final = MACH_SEND_MSG | MACH_RCV_MSG
REPLY_ID: Final = 100
ROOM: Final = 8 << 10
"""Bytes that the kernel's answer to a call may have."""
T = TypeVar("T")
AT_ONCE: Final = 200
"""Ports of which one call tells or asks."""


class Mach:
    """order: the machine's byte order."""

    def __init__(self, thread: Own, kernel: KernelView, memory: Memory) -> None:
        self._thread = thread
        self._kernel = kernel
        self._memory = memory
        self.order = kernel.order

    # Traps

    def trap(self, number: int, *arguments: int) -> int:
        """A trap that does not wait."""
        return self._kernel.trap(number, arguments)

    def now(self) -> int:
        """Nanoseconds of virtual time, as a mapped clock would tell."""
        return self._kernel.now()

    def work(self, handlers: int, messages: int, size: int) -> None:
        """Lets the time pass that the machine's profile has for the work of handlers, and of messages of so many bytes in sum.

        The thread does it for each handler and message; a handler that does the work of several may do it, too.
        """
        self._kernel.work(handlers, messages, size)

    def note(self, what: str) -> None:
        """A line for whoever watches the machine."""
        self._kernel.note(what)

    def given(self, what: str) -> PortName:
        """A right that the task was started with: host-port, device-port, name-server; 0 where it was not.
        The task keeps it for as long as it lives."""
        return self._thread.task.names.get(what, 0)

    def name_server(self) -> PortName:
        """The name server's port for privileged servers, where this one is privileged, else the clients'."""
        return self.given("privilege") or self.given("name-server")

    def take(self, what: str, name: PortName) -> None:
        """From now on the task has this right as if it had been started with it; 0 for none."""
        self._thread.task.names.pop(what, None)
        if name:
            self._thread.task.names[what] = name

    def known(self) -> dict[str, PortName]:
        """All rights that the task was started with or takes for such, by what it knows them as."""
        return dict(self._thread.task.names)

    def deadline(self) -> int | None:
        """What `alarm` was set to, if that time has not come."""
        return self._thread.task.deadline

    def become(self, server: Server) -> None:
        """From the end of this handler on the task's server is this one."""
        self._thread.task.server = server

    def leave(self, leaves: bool) -> None:
        """Whether the task ends as soon as its threads have sent what they have to, and `has_left` says so."""
        self._thread.task.leaves = leaves

    def task_self(self) -> PortName:
        """The task's own port; one user reference, whoever asks."""
        return self._kept("task", TASK_SELF)

    def host_self(self) -> PortName:
        return self._kept("host", HOST_SELF)

    def _kept(self, what: str, number: int) -> PortName:
        names = self._thread.task.names
        if what not in names:
            names[what] = self.trap(number)
        return names[what]

    def allocate_port(self) -> PortName:
        """A new receive right's name."""
        return self._allocate(RIGHT_RECEIVE)

    def allocate_port_set(self) -> PortName:
        return self._allocate(RIGHT_PORT_SET)

    def _allocate(self, right: int) -> PortName:
        self._check(self.trap(PORT_ALLOCATE, self.task_self(), right, self._thread.area))
        return self.word()

    def deallocate(self, name: PortName) -> None:
        """Gives up a user reference of a send, send-once right or dead name."""
        self._check(self.trap(PORT_DEALLOCATE, self.task_self(), name))

    def make_send(self, name: PortName) -> PortName:
        """A send right of a port whose receive right the task has, under the same name."""
        self._check(self.trap(INSERT_RIGHT, self.task_self(), name, name, MAKE_SEND))
        return name

    @staticmethod
    def _check(code: int) -> None:
        if code:
            raise KernError(code)

    # Messages

    def serve(self, port: PortName) -> None:
        """From now on the task's threads receive from a port or port set."""
        self._thread.task.port = port

    def alarm(self, time: int | None) -> None:
        """When a thread calls `expired` at the latest, unless it is set anew; None for never. TypeError for no whole number."""
        self._thread.task.deadline = None if time is None else max(0, int(index(time)))

    def send(self, message: Message, notify: PortName = 0, timeout: int | None = None) -> None:
        """Sends a message after this handler. notify, timeout: for a queue that is full: the port that is told when there is
        room, or milliseconds to wait; without either the thread waits."""
        self._thread.outbox.append(Outgoing(message, notify, 0 if notify and timeout is None else timeout))

    def put(self, message: Message) -> bool:
        """Sends a message in this handler, to a queue that has room; False where there is no memory for it now: nothing is sent.
        Raises KernError."""
        placed = self._place(message)
        if placed is None:
            return False
        size, written = placed
        self._check(self.trap(MACH_MSG, self._thread.buffer, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, 0, 0, 0))
        self.free([*written, *messages.regions(message)])
        self.work(0, 1, size + sum(size for _, size in written))
        return True

    def _place(self, message: Message) -> tuple[int, list[tuple[int, int]]] | None:
        """Writes a message into the thread's buffer: its size, and the memory that it has been given; None where there is no room
        for it now, and nothing is kept."""
        thread = self._thread
        if HEADER_SIZE + len(message.body) > thread.size - WORD_AREA:
            return None
        written: list[tuple[int, int]] = []
        for size in messages.memory_wanted(message):
            written.append((self.allocate(size) if size else 0, size))
            if size and not self.ready(*written[-1], True):
                self.free(written)
                return None
        data, writes = messages.encode(self.order, message, [address for address, _ in written])
        for address, copy in (*writes, (thread.buffer, data)):
            self.write(address, copy)
        return len(data), written

    def take_message(self, port: PortName) -> Message | None:
        """Receives in this handler what waits longest at a port that is in no set, its memory left where it is; None where there
        is nothing, or it is too large: then it is destroyed."""
        thread = self._thread
        option = MACH_RCV_MSG | MACH_RCV_TIMEOUT
        code = self.trap(MACH_MSG, thread.buffer, option, 0, thread.size - WORD_AREA, port, 0, 0)
        if code != MACH_MSG_SUCCESS and code & ~MACH_MSG_MASK != MACH_RCV_BODY_ERROR:
            return None
        size = self.number_at(thread.buffer + HEADER_SIZE_FIELD)
        message, regions = messages.decode(self.order, self.read(thread.buffer, size), self.read, unread=True)
        self.free(regions)
        self.work(0, 1, messages.size_of(message))
        return message

    def revise(self, change: Callable[[Message], Message]) -> None:
        """Changes the messages that this handler has sent, which go after it."""
        for outgoing in self._thread.outbox:
            outgoing.message = change(outgoing.message)

    def request(
        self,
        routine: Routine,
        port: PortName,
        values: Iterable[Any],
        reply: PortName = 0,
        disposition: int = COPY_SEND,
        notify: PortName = 0,
    ) -> None:
        """Sends a routine's request; reply: the port for the answer, of which a send-once right is made. notify: as in `send`."""
        body, carried = self._pack(routine.request, tuple(values))
        header = Header(port, disposition, reply, MAKE_SEND_ONCE if reply else 0, routine.request.id)
        self.send(Message(header, body, carried, bool(carried)), notify)

    def reply(self, request: Message, routine: Routine | None, code: int, values: Iterable[Any] = ()) -> None:
        """Answers a routine's request with its results, or with a code alone; consumes the request's reply right."""
        self.answer(request.caller, routine, code, values)

    def answer(self, to: Caller, routine: Routine | None, code: int, values: Iterable[Any] = ()) -> None:
        """As `reply`, later: `to` is the request's caller, whose reply right was kept.

        Where nobody can be answered the rights among the results are given up; nobody waits for the full queue of a send right.
        """
        kind = RETCODE if code or routine is None or routine.reply is None else routine.reply
        body, carried = self._pack(kind, (code,) if kind is RETCODE else (code, *values))
        header = Header(to.reply, to.disposition, 0, 0, to.id + REPLY_ID)
        message = Message(header, body, carried, bool(carried))
        if to.reply in messages.UNNAMED:
            self.give_back(message)
        else:
            self.send(message, timeout=None if to.disposition == MOVE_SEND_ONCE else 0)

    def destroy(self, message: Message) -> None:
        """Gives up whatever rights and memory a message holds, as mach_msg_destroy does."""
        self.give_up(rights(message))
        self.free(messages.regions(message))

    def give_back(self, message: Message) -> None:
        """Gives up the rights that a message would have taken away if it had been sent, its reply right among them; those that it
        only made or copied are still there."""
        header = message.header
        self.give_up(
            (name, disposition)
            for name, disposition in [*_named((header.local, header.local_type)), *rights(message)]
            if disposition <= MOVE_SEND_ONCE
        )

    def give_up(self, rights: Iterable[tuple[PortName, int]]) -> None:
        """Gives up rights: names, each with its disposition. What came as no right, or as a dead one, is nothing to give up."""
        for name, disposition in rights:
            if name in messages.UNNAMED:
                continue
            if disposition == MOVE_RECEIVE:
                self.destroy_receive(name)
            else:
                self.deallocate(name)

    def destroy_receive(self, name: PortName) -> None:
        self.call(MACH_PORT_MOD_REFS, self.task_self(), name, RIGHT_RECEIVE, -1)

    def call(self, routine: Routine, port: PortName, *values: Any) -> tuple[Any, ...]:
        """Calls the kernel, which answers at once: the results without RetCode. Raises KernError, with
        KERN_RESOURCE_SHORTAGE where there is no memory for the request now.

        For routines that never wait: those of ports, tasks and hosts. A right among the results is a name of the task's.
        """
        thread = self._thread
        names = thread.task.names
        reply = names.get("reply") or self.trap(MACH_REPLY_PORT)
        names["reply"] = reply
        body, carried = self._pack(routine.request, values)
        header = Header(port, COPY_SEND, reply, MAKE_SEND_ONCE, routine.request.id)
        placed = self._place(Message(header, body, carried, bool(carried)))
        if placed is None:
            raise KernError(KERN_RESOURCE_SHORTAGE)
        size, written = placed
        code = self.trap(MACH_MSG, thread.buffer, CALL, size, ROOM, reply, 0, 0)
        self.free(written)
        if code != MACH_MSG_SUCCESS:
            raise KernError(code)
        answer, regions = messages.decode(self.order, self.read(thread.buffer, ROOM), self.read)
        self.free(regions)
        self.work(0, 2, size + sum(size for _, size in written) + messages.size_of(answer))
        return routine.unpack_reply(self.order, answer.body, answer.carried, answer.complex)

    def _pack(self, kind: MessageType, values: tuple[Any, ...]) -> tuple[bytes, tuple[Carried, ...]]:
        """A routine's message. A right or an array of them is moved, unless a PolyPort says what becomes of it."""
        if not any([isinstance(value, PolyPort) for value in values]):
            return kind.pack(self.order, values)
        plain = tuple(v.port if isinstance(v, PolyPort) and _is_plain(t) else v for v, t in zip(values, kind.types, strict=True))
        packed, carried = kind.pack(self.order, plain)
        body = bytearray(packed)
        items = list(carried)
        rights = (index for index, item in enumerate(items) if isinstance(item, CarriedPort))
        for value, argument in zip(values, kind.types, strict=True):
            if not argument.is_port or argument.form not in (FIXED, COUNTED):
                continue
            if isinstance(value, PolyPort) and not MOVE_RECEIVE <= value.disposition <= MAKE_SEND_ONCE:
                continue  # a bare word in the place of a right
            ports = value.port if isinstance(value, PolyPort) else value
            given = (ports,) if argument.form == FIXED else ports
            own = [next(rights) for _ in given]
            if own and isinstance(value, PolyPort):
                place = items[own[0]].offset - DESCRIPTOR_SIZE
                word = TypeDescriptor(value.disposition, argument.size, len(own)).word(self.order)
                struct.pack_into(self.order.prefix + "I", body, place, word)
                for index, port in zip(own, given, strict=True):
                    items[index] = CarriedPort(items[index].offset, value.disposition, port)
        return bytes(body), tuple(items)

    # Rights

    def copy_send(self, name: PortName) -> PortName:
        """One more user reference of a send right, to be moved away."""
        self.call(MACH_PORT_MOD_REFS, self.task_self(), name, RIGHT_SEND, 1)
        return name

    def move_member(self, port: PortName, port_set: PortName) -> None:
        """Puts a receive right into a port set; 0 takes it out of the one that it is in."""
        self.call(MACH_PORT_MOVE_MEMBER, self.task_self(), port, port_set)

    def receive_status(self, name: PortName) -> PortStatus:
        """mach_port_status_t of a receive right."""
        (status,) = self.call(MACH_PORT_GET_RECEIVE_STATUS, self.task_self(), name)
        return PortStatus(*status)

    def notify(self, name: PortName, notification: int, port: PortName, sync: int = 0) -> None:
        """Asks for a notification about `name`, by its message id, at a port of the task's own; at port 0 for none any more."""
        previous = messages.living(self.exchange_request(name, notification, sync, port))
        if previous:
            self.deallocate(previous)

    def exchange_request(self, name: PortName, notification: int, sync: int = 0, port: PortName = 0) -> object | None:
        """As `notify`, or takes the request back (port 0): the send-once right of the request before, which is the task's now."""
        once = PolyPort(port, MAKE_SEND_ONCE)
        (previous,) = self.call(MACH_PORT_REQUEST_NOTIFICATION, self.task_self(), name, notification, sync, once)
        return previous  # type: ignore[no-any-return]

    # Many receive rights, by a call for AT_ONCE of them

    def allocate_ports(self, count: int) -> list[PortName]:
        """As `allocate_port`, so many. Raises KernError; up to a multiple of AT_ONCE are made then."""
        counts = [min(AT_ONCE, count - done) for done in range(0, count, AT_ONCE)]
        return [name for each in counts for name in self.call(MACH_PORT_ALLOCATE_ARRAY, self.task_self(), each)[0]]

    def move_members(self, ports: Sequence[PortName], port_set: PortName) -> None:
        for some in _some(ports):
            self.call(MACH_PORT_MOVE_MEMBER_ARRAY, self.task_self(), some, port_set)

    def receive_statuses(self, names: Sequence[PortName]) -> list[PortStatus]:
        calls = [self.call(MACH_PORT_GET_RECEIVE_STATUS_ARRAY, self.task_self(), some) for some in _some(names)]
        return [PortStatus(*status) for (statuses,) in calls for status in statuses]

    def receivers(self, names: Sequence[PortName]) -> list[PortName]:
        """The names of the task's receive rights to the ports of send and send-once rights, 0 where it has none."""
        return [name for some in _some(names) for name in self.call(MACH_PORT_GET_RECEIVER_ARRAY, self.task_self(), some)[0]]

    def make_onces(self, names: Sequence[PortName]) -> list[PortName]:
        """New send-once rights to the ports of receive rights, in their order."""
        calls = [self.call(MACH_PORT_MAKE_SEND_ONCE_ARRAY, self.task_self(), some) for some in _some(names)]
        return [messages.name_of(once) for (onces,) in calls for once in onces]

    def forget_onces(self, names: Sequence[PortName]) -> None:
        """Gives up send-once rights to the task's own ports, to which it is not told."""
        for some in _some(names):
            self.call(MACH_PORT_FORGET_SEND_ONCE_ARRAY, self.task_self(), some)

    def count_last_as_sent(self, name: PortName) -> None:
        """The message that has come last to a receive right's queue, by a send-once right, counts as sent by a send right."""
        self.call(MACH_PORT_COUNT_LAST_AS_SENT, self.task_self(), name)

    def exchange_requests(self, notification: int, asked: Sequence[tuple[PortName, int, PortName]]) -> list[object | None]:
        """As `exchange_request`, of one notification about many receive rights. asked: name, sync and port of each."""
        previous: list[object | None] = []
        for some in _some(asked):
            names, syncs, ports = zip(*some, strict=True)
            once = PolyPort(ports, MAKE_SEND_ONCE)
            previous += self.call(MACH_PORT_REQUEST_NOTIFICATION_ARRAY, self.task_self(), names, notification, syncs, once)[0]
        return previous

    def notify_all(self, notification: int, asked: Sequence[tuple[PortName, int, PortName]]) -> None:
        """As `notify`, with `asked` as in `exchange_requests`."""
        for previous in filter(None, map(messages.living, self.exchange_requests(notification, asked))):
            self.deallocate(previous)

    # Memory

    def keep_memory(self) -> None:
        """The thread waits for no frame while the kernel keeps some (thread_wire, vm_wire); what it has to say never waits."""
        thread = self._thread
        host = self.given("host-port")
        self.call(THREAD_WIRE, host, PolyPort(thread.name or self._kept("thread", THREAD_SELF), COPY_SEND), True)
        if self.ready(thread.area, thread.size, True):
            self.call(
                VM_WIRE, host, PolyPort(self.task_self(), COPY_SEND), thread.area, thread.size, VM_PROT_READ | VM_PROT_WRITE
            )

    def allocate(self, size: int) -> int:
        """The address of so much new memory. Raises KernError."""
        self.set_word(0)
        self._check(self.trap(VM_ALLOCATE, self.task_self(), self._thread.area, size, 1))
        return self.word()

    def ready(self, address: int, size: int, writes: bool) -> bool:
        """Whether memory of the task's can be read or written without waiting. What is missing has been asked for, as if another
        thread of the task had touched it; ask again a while later. Raises KernError for what never can be."""
        return self._memory.ready(VirtAddr(address), size, writes)

    def read(self, address: int, size: int) -> bytes:
        return self._memory.read(VirtAddr(address), size)

    def write(self, address: int, data: bytes) -> None:
        self._memory.write(VirtAddr(address), data)

    def number_at(self, address: int) -> int:
        return struct.unpack(self.order.prefix + "I", self.read(address, 4))[0]  # type: ignore[no-any-return]

    def word(self) -> int:
        """What a trap has written where its results go."""
        return self.number_at(self._thread.area)

    def set_word(self, value: int) -> None:
        self.write(self._thread.area, struct.pack(self.order.prefix + "I", value))

    def free(self, regions: Iterable[tuple[int, int]]) -> None:
        """Gives memory back: (address, size) of each region."""
        for address, size in regions:
            if size:
                self._check(self.trap(VM_DEALLOCATE, self.task_self(), address, size))


def _some(several: Sequence[T]) -> list[Sequence[T]]:
    """What one call takes of them, and the next."""
    return [several[start : start + AT_ONCE] for start in range(0, len(several), AT_ONCE)]


def _is_plain(argument: Type) -> bool:
    """Whether an argument is rights in line whose disposition its definition says."""
    return argument.is_port and argument.form in (FIXED, COUNTED) and argument.receive != POLYMORPHIC


def rights(message: Message) -> list[tuple[PortName, int]]:
    """(name, disposition) of each right that a message holds, the header's first; null and dead names are left out."""
    header = message.header
    return _named((header.remote, header.remote_type), *(right for item in message.carried for right in _names(item)))


def _named(*held: tuple[int, int]) -> list[tuple[int, int]]:
    """Those that are rights."""
    return [(name, disposition) for name, disposition in held if disposition and name not in messages.UNNAMED]


def _names(item: Carried) -> list[tuple[PortName, int]]:
    if isinstance(item, CarriedPort):
        return [(messages.name_of(item.port), item.disposition)]
    if isinstance(item, CarriedPorts):
        return [(messages.name_of(port), item.disposition) for port in item.ports]
    return []
