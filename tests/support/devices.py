"""A task that speaks to devices from Python: it sends the messages that its guest would, and takes the replies."""

from __future__ import annotations

from typing import Any

from machemu.abi.kern_return import KERN_SUCCESS
from machemu.abi.message import PORT_SEND, PORT_SEND_ONCE, CarriedMemory
from machemu.abi.port import RIGHT_RECEIVE
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mach_port, mqueue, right
from machemu.ipc import port as ports
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.kern.task import Task
from machemu.mig.interfaces import device, device_reply
from machemu.mig.runtime import RETCODE, OutOfLine, Routine
from machemu.vm.map_copy import VmMapCopy
from tests.support.machine import SECOND_NS, Machine

REPLIES = {
    "device_open": device_reply.DEVICE_OPEN_REPLY,
    "device_read": device_reply.DEVICE_READ_REPLY,
    "device_read_inband": device_reply.DEVICE_READ_REPLY_INBAND,
    "device_write": device_reply.DEVICE_WRITE_REPLY,
    "device_write_inband": device_reply.DEVICE_WRITE_REPLY_INBAND,
}


class User:
    """A task without threads, with one reply port. Rights that it is given are in its space."""

    def __init__(self, machine: Machine, task: Task | None = None) -> None:
        """A new task, or one that is in a machine that was loaded, whose first port is its reply port."""
        self.machine = machine
        self.ipc = machine.kernel.ipc
        self.vm = machine.kernel.vm
        self.devices = machine.kernel.devices
        self.task = task or task_control.create(machine.kernel.kern, None, False, "user")
        self.reply_port = self.make_port() if task is None else self.received_ports()[0]

    def received_ports(self) -> list[Port]:
        """The ports whose receive rights the task has, the oldest first."""
        return [port for port in self.ipc.ports.values() if port.receiver is self.task.space]

    def make_port(self) -> Port:
        """A port whose receive right the task has."""
        name = mach_port.mach_port_allocate(self.ipc, self.task.space, RIGHT_RECEIVE)
        entry = self.task.space.lookup(name)
        assert entry is not None and isinstance(entry.object, Port)
        return entry.object

    def destroy_port(self, port: Port) -> None:
        mach_port.mach_port_destroy(self.ipc, self.task.space, port.receiver_name)

    def forget(self, port: Port) -> None:
        """Gives all of its rights to a port up."""
        entry = right.reverse(self.task.space, port)
        assert entry is not None
        mach_port.mach_port_destroy(self.ipc, self.task.space, entry.name)

    def memory(self, data: bytes) -> OutOfLine:
        return OutOfLine(VmMapCopy.from_bytes(self.vm, data) if data else None, len(data))

    def ask(self, target: Port, routine: Routine, *values: Any, answer: bool = True) -> None:
        """Sends a request; with `answer` to be answered at the reply port."""
        body, carried = routine.request.pack(self.ipc.order, values)
        sent_by = ports.copy_send(self.ipc, target)
        reply = ports.make_sonce(self.ipc, self.reply_port) if answer else None
        reply_type = PORT_SEND_ONCE if answer else 0
        msgh_id = routine.request.id
        kmsgs.kernel_send(self.ipc, kmsgs.make(self.ipc, sent_by, PORT_SEND, reply, reply_type, msgh_id, body, carried))

    def take(self, port: Port | None = None) -> Kmsg | None:
        """The next message of a port, the reply port without one; None where there is none. The caller consumes it."""
        port = port or self.reply_port
        if not port.messages:
            return None
        kmsg = port.messages.popleft()
        mqueue.taken(self.ipc, kmsg)
        return kmsg

    def discard(self, port: Port) -> bytes | None:
        """Takes a message that carries nothing, and gives its body."""
        kmsg = self.take(port)
        if kmsg is None:
            return None
        body = bytes(kmsg.body)
        kmsgs.destroy(self.ipc, kmsg)
        return body

    def answer(self, routine: Routine) -> tuple[Any, ...] | None:
        """The next reply's code and results, None where none has come. Memory comes as bytes, a right as its port."""
        kmsg = self.take()
        if kmsg is None:
            return None
        order = self.ipc.order
        assert routine.reply is not None and kmsg.id == routine.reply.id
        message = REPLIES[routine.name].request if routine.name in REPLIES else routine.reply
        values = message.matches(order, kmsg.body, kmsg.carried, kmsg.complex)
        if values is None:
            values = RETCODE.unpack(order, kmsg.body, kmsg.carried, kmsg.complex)
        results = tuple(self._keep(value) for value in values)
        for item in kmsg.carried:
            if isinstance(item, CarriedMemory) and item.copy is not None:
                item.copy.discard()
        kmsg.remote, target = None, kmsg.remote
        ports.release_sonce(self.ipc, target)
        kmsgs.consume(self.ipc, kmsg)
        return results

    def _keep(self, value: Any) -> Any:
        if isinstance(value, OutOfLine):
            return value.copy.to_bytes() if isinstance(value.copy, VmMapCopy) else b""
        if isinstance(value, Port):
            mach_port.copyout_send(self.ipc, self.task.space, value)
        return value

    def call(self, target: Port, routine: Routine, *values: Any) -> tuple[Any, ...]:
        """Asks, lets time pass until the answer is there, and gives its code and results."""
        self.ask(target, routine, *values)
        for _ in range(1000):
            result = self.answer(routine)
            if result is not None:
                return result
            self.machine.run(SECOND_NS // 100)
        raise AssertionError(f"{routine.name} is not answered")

    def open(self, name: str, mode: int = 3) -> Port:
        """Opens a device that can be opened."""
        code, port = self.call(self.devices.master_port, device.DEVICE_OPEN, mode, name.encode())
        assert code == KERN_SUCCESS and isinstance(port, Port)
        return port

    def read(self, target: Port, recnum: int, count: int) -> tuple[Any, ...]:
        return self.call(target, device.DEVICE_READ, 0, recnum, count)

    def write(self, target: Port, recnum: int, data: bytes) -> tuple[Any, ...]:
        return self.call(target, device.DEVICE_WRITE, 0, recnum, self.memory(data))
