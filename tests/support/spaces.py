"""A node with IPC alone: tasks whose memory is a dict of pages, a scheduler that only remembers, a kernel that echoes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ADDRESS, KERN_NO_SPACE
from machemu.abi.message import HEADER_SIZE, MAKE_SEND_ONCE, PORT_SEND, TypeDescriptor
from machemu.abi.types import ByteOrder, Nanoseconds, VirtAddr
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mach_msg, mach_port, port, right
from machemu.ipc import space as spaces
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.ipc.seams import MapCopy
from machemu.ipc.subsystem import Ipc
from machemu.ipc.thread import IpcThread, MsgContinuation

PAGE = 4096
BUFFER = 0x2000
BUFFER_SIZE = 0x1000


@dataclass(slots=True)
class Copy:
    """Memory under way. `live` is the memory it counts in."""

    world: IpcWorld
    data: bytes
    offset: int

    @property
    def size(self) -> int:
        return len(self.data)

    def discard(self) -> None:
        self.world.copies -= 1


class Memory:
    """One task's pages. `full`: nothing more can be mapped."""

    def __init__(self, world: IpcWorld) -> None:
        self.world = world
        self.pages: dict[int, bytearray] = {}
        self.next = 0x100000
        self.full = False

    def map(self, address: int, size: int) -> None:
        for page in range(address // PAGE, (address + size + PAGE - 1) // PAGE):
            self.pages[page] = bytearray(PAGE)

    def _pieces(self, address: int, size: int) -> Iterable[tuple[bytearray, int, int]]:
        while size > 0:
            page = self.pages.get(address // PAGE)
            if page is None:
                raise KernError(KERN_INVALID_ADDRESS)
            count = min(size, PAGE - address % PAGE)
            yield page, address % PAGE, count
            address += count
            size -= count

    def read(self, address: VirtAddr, size: int) -> bytes:
        return b"".join(bytes(page[start : start + count]) for page, start, count in self._pieces(address, size))

    def ready(self, address: VirtAddr, size: int, writes: bool) -> bool:
        return sum(count for _, _, count in self._pieces(address, size)) == size

    def write(self, address: VirtAddr, data: bytes | bytearray | memoryview) -> None:
        done = 0
        for page, start, count in self._pieces(address, len(data)):
            page[start : start + count] = data[done : done + count]
            done += count

    def copyin(self, address: VirtAddr, size: int, deallocate: bool) -> Copy:
        copy = Copy(self.world, self.read(address, size), address % PAGE)
        if deallocate:
            self.deallocate(address, size)
        self.world.copies += 1
        return copy

    def copyout(self, copy: MapCopy) -> VirtAddr:
        assert isinstance(copy, Copy)
        copy.discard()
        address = VirtAddr(self.allocate(copy.offset + copy.size) + copy.offset)
        self.write(address, copy.data)
        return address

    def allocate(self, size: int) -> VirtAddr:
        if self.full:
            raise KernError(KERN_NO_SPACE)
        address = self.next
        self.map(address, size)
        self.next += (size + PAGE - 1) // PAGE * PAGE
        return VirtAddr(address)

    def deallocate(self, address: VirtAddr, size: int) -> None:
        for page in range(address // PAGE, (address + size + PAGE - 1) // PAGE):
            self.pages.pop(page, None)


@dataclass
class Scheduler:
    """blocked: time-outs of waiting threads. ready: those woken, in order. handed: those woken by a hand-off."""

    blocked: dict[int, Nanoseconds | None] = field(default_factory=dict)
    ready: list[IpcThread] = field(default_factory=list)
    handed: list[IpcThread] = field(default_factory=list)

    def block(self, thread: IpcThread, continuation: MsgContinuation, timeout: Nanoseconds | None) -> None:
        assert id(thread) not in self.blocked and thread.ith_wait is continuation
        self.blocked[id(thread)] = timeout

    def wait(self, thread: IpcThread, continuation: MsgContinuation, wait: MustWait) -> None:
        self.block(thread, continuation, None)

    def wake(self, thread: IpcThread) -> None:
        del self.blocked[id(thread)]
        assert thread.ith_queue is None
        self.ready.append(thread)

    def hand_off(self, thread: IpcThread) -> bool:
        self.wake(thread)
        self.handed.append(thread)
        return True


@dataclass
class EchoKernel:
    """Serves each request with `serve_with`; by default it keeps nothing and answers with an empty message, id + 100."""

    world: IpcWorld
    requests: list[tuple[int, bytes]] = field(default_factory=list)

    def died(self, port: Port) -> None:
        """Its ports stand for nothing."""

    def finish(self, thread: IpcThread) -> Kmsg | None:
        return None

    def serve(self, request: Kmsg) -> Kmsg | None:
        ipc = self.world.ipc
        self.requests.append((request.id, bytes(request.body)))
        reply, reply_type, msgh_id = request.local, request.local_type, request.id
        if request.remote_type == PORT_SEND:
            port.release_send(ipc, request.remote)
        else:
            port.release_sonce(ipc, request.remote)
        request.remote = request.local = None
        kmsgs.destroy(ipc, request)
        if not isinstance(reply, Port):
            return None
        return kmsgs.make(ipc, reply, reply_type, None, 0, msgh_id + 100)


class IpcWorld:
    """A node. tasks: each with a space, memory and threads."""

    def __init__(self, order: ByteOrder = ByteOrder.LITTLE) -> None:
        self.order = order
        self.ipc = Ipc(order, PAGE)
        self.scheduler = Scheduler()
        self.kernel = EchoKernel(self)
        self.ipc.attach(self.scheduler, self.kernel)
        self.copies = 0
        self.tasks: list[Task] = []

    def task(self) -> Task:
        task = Task(self)
        self.tasks.append(task)
        return task

    def threads(self) -> list[IpcThread]:
        return [thread for task in self.tasks for thread in task.threads]

    def check(self, held: Iterable[tuple[Right, int]] = ()) -> None:
        self.ipc.check_invariants([task.space for task in self.tasks], self.threads(), held)

    def end(self) -> None:
        """Ends every task and checks that nothing is left."""
        for thread in self.threads():
            while thread.ith_wait is not None:
                if thread.ith_queue is not None:
                    mach_msg.interrupted(self.ipc, thread)
                mach_msg.continue_wait(self.ipc, thread)
        for task in self.tasks:
            spaces.destroy(self.ipc, task.space)
        kernel_ports = [p for p in self.ipc.ports.values() if p.receiver is self.ipc.kernel_space]
        for kernel_port in kernel_ports:
            port.dealloc_kernel(self.ipc, kernel_port)
        self.check()
        assert not self.ipc.ports and not self.ipc.message_count and not self.ipc.set_count and not self.copies


class Task:
    """A task whose first thread makes the calls. `buffer` is where its messages lie."""

    def __init__(self, world: IpcWorld) -> None:
        self.world = world
        self.ipc = world.ipc
        self.space = spaces.create(world.ipc)
        self.memory = Memory(world)
        self.memory.map(BUFFER, BUFFER_SIZE)
        self.threads: list[IpcThread] = []
        self.thread = self.new_thread()
        self.prefix = world.order.prefix

    def new_thread(self) -> IpcThread:
        thread = IpcThread(self.space, self.memory)
        self.threads.append(thread)
        return thread

    # Messages

    def item(self, name: int, size: int, number: int, inline: bool = True, deallocate: bool = False) -> int:
        return TypeDescriptor(name, size, number, inline, False, deallocate).word(self.world.order)

    def put(self, bits: int, remote: int, local: int, msgh_id: int, *words: int) -> int:
        """Writes a message into the buffer; its size."""
        size = HEADER_SIZE + 4 * len(words)
        data = struct.pack(f"{self.prefix}{6 + len(words)}I", bits, size, remote, local, 0, msgh_id, *words)
        self.memory.write(VirtAddr(BUFFER), data)
        return size

    def words(self, count: int = 64, address: int = BUFFER) -> tuple[int, ...]:
        return struct.unpack(f"{self.prefix}{count}I", self.memory.read(VirtAddr(address), 4 * count))

    def msg(self, option: int, send: int = 0, size: int = 256, name: int = 0, timeout: int = 0, notify: int = 0) -> int | None:
        """The trap, in the task's first thread."""
        return mach_msg.mach_msg_trap(self.ipc, self.thread, BUFFER, option, send, size, name, timeout, notify)

    def send(self, bits: int, remote: int, local: int, msgh_id: int, *words: int, option: int = 0, notify: int = 0) -> int | None:
        """Sends from the buffer, with time-out 0."""
        return self.msg(0x11 | option, self.put(bits, remote, local, msgh_id, *words), notify=notify)

    def receive(self, name: int, option: int = 0, size: int = 256) -> int | None:
        """Receives into the buffer, with time-out 0."""
        return self.msg(0x102 | option, 0, size, name)

    # Ports

    def port(self) -> int:
        return mach_port.mach_port_allocate(self.ipc, self.space, 1)

    def insert(self, name: int, source: int, disposition: int, other: Task | None = None) -> None:
        mach_port.insert_right_by_name(self.ipc, self.space, (other or self).space, name, source, disposition)

    def give(self, other: Task, name: int, disposition: int) -> int:
        """Gives another task a right, as a message would; its name there."""
        taken, transit = right.copyin(self.ipc, self.space, name, disposition)
        assert isinstance(taken, Port)
        return right.copyout(other.space, taken, transit)

    def type(self, name: int) -> int:
        try:
            return mach_port.mach_port_type(self.space, name)
        except KernError:
            return 0

    def refs(self, name: int, kind: int = 0) -> int:
        return mach_port.mach_port_get_refs(self.space, name, kind)

    def notify(self, name: int, msgh_id: int, sync: int, port_name: int) -> int:
        """mach_port_request_notification with a made send-once right, as the routine does it: lost where it fails."""
        soright, transit = right.copyin(self.ipc, self.space, port_name, MAKE_SEND_ONCE)
        try:
            previous = mach_port.mach_port_request_notification(self.ipc, self.space, name, msgh_id, sync, soright)
        except KernError:
            kmsgs.destroy_right(self.ipc, soright, transit)
            raise
        return right.copyout(self.space, previous, 18) if previous is not None else 0


def code(call: Callable[..., object], *arguments: object) -> int:
    """The code that a routine fails with, or 0."""
    try:
        call(*arguments)
    except KernError as error:
        return error.code
    return 0
