"""Memory managers for tests: tasks without threads, whose messages the test reads and answers in their place."""

from __future__ import annotations

from typing import Any

from machemu.abi.message import PORT_RECEIVE, PORT_SEND, PORT_SEND_ONCE, CarriedPort
from machemu.core.managers import PagingRequest
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mach_port, mqueue, right
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.kern.task import Task
from machemu.mig.interfaces import mach, memory_object, memory_object_default
from machemu.mig.runtime import OutOfLine, PolyPort, Routine
from machemu.vm import routines as vm
from machemu.vm.map_copy import VmMapCopy
from tests.support.machine import Machine

NOBODY = PolyPort(None, PORT_SEND_ONCE)
"""No right to a reply port."""
TOLD = {**memory_object.ROUTINES, **memory_object_default.ROUTINES}
ANSWERS: dict[str, Routine] = {routine.name.removeprefix("memory_object_"): routine for routine in mach.ROUTINES.values()}


class Manager:
    """A memory object's port in a task of its own.

    `pager` is the kernel's side of the object that the last message was about. `data` holds, by memory object port number and
    offset, what was returned.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.kernel = machine.kernel
        self.task = task_control.create(self.kernel.kern, None, False, "manager")
        self.port = self.new_port()
        self.data: dict[tuple[int, int], bytes] = {}
        self.control: Port | None = None

    def new_port(self) -> Port:
        """A port of the manager's."""
        name = mach_port.mach_port_allocate(self.kernel.ipc, self.task.space, 1)
        port = self.task.space.table[name].object
        assert isinstance(port, Port)
        return port

    def map(self, task: Task, size: int, at: int = 0, copy: bool = False, inheritance: int = 1) -> int:
        """Maps the object from offset 0 on into a task, anywhere or at an address."""
        assert task.map is not None
        return vm.vm_map(task.map, at, size, 0, not at, self.port, 0, copy, 3, 7, inheritance)

    def take(self, port: Port | None = None) -> tuple[str, tuple[Any, ...]] | None:
        """The next message: its short name and arguments, those that are memory as bytes. Its rights are given up."""
        ipc = self.kernel.ipc
        queue = (port or self.port).messages
        if not queue:
            return None
        kmsg = queue.popleft()
        mqueue.taken(ipc, kmsg)
        routine = TOLD[kmsg.id]
        values = [
            value.copy.to_bytes() if isinstance(value, OutOfLine) and isinstance(value.copy, VmMapCopy) else value
            for value in routine.request.unpack(ipc.order, kmsg.body, kmsg.carried, kmsg.complex)
        ]
        for value in values:
            if isinstance(value, Port) and isinstance(value.kobject, PagingRequest):
                self.control = value
        kept = [item for item in kmsg.carried if isinstance(item, CarriedPort) and item.disposition == PORT_RECEIVE]
        if routine.name != "memory_object_terminate":
            for item in kept:
                assert isinstance(item.port, Port)
                right.copyout(self.task.space, item.port, PORT_RECEIVE)
            kmsg.carried = [item for item in kmsg.carried if item not in kept]
        kmsgs.destroy(ipc, kmsg)
        return routine.name.removeprefix("memory_object_"), tuple(values)

    def names(self, port: Port | None = None) -> list[str]:
        """What all messages that are there were."""
        found = []
        while (message := self.take(port)) is not None:
            found.append(message[0])
        return found

    def tell(self, name: str, *values: object, control: Port | None = None) -> None:
        """Sends an answer to the kernel, by the control port of the last message."""
        target = control or self.control
        assert target is not None
        ipc = self.kernel.ipc
        if not target.active:
            return
        routine = ANSWERS[name]
        body, carried = routine.request.pack(ipc.order, values)
        kmsgs.kernel_send(
            ipc, kmsgs.make(ipc, ports.make_send(ipc, target), PORT_SEND, None, 0, routine.request.id, body, carried)
        )

    def supply(self, offset: int, data: bytes, lock: int = 0, precious: bool = False, control: Port | None = None) -> None:
        copy = VmMapCopy.from_bytes(self.kernel.vm, data)
        self.tell("data_supply", offset, OutOfLine(copy, len(data)), lock, int(precious), NOBODY, control=control)

    def ready(self, cache: bool = False, strategy: int = 0) -> None:
        """Takes memory_object_init and answers it."""
        message = self.take()
        assert message is not None and message[0] == "init"
        self.tell("ready", int(cache), strategy)


def send_message(machine: Machine, port: object, msgh_id: int) -> None:
    """An empty message from the kernel itself."""
    assert isinstance(port, Port)
    ipc = machine.kernel.ipc
    kmsgs.kernel_send(ipc, kmsgs.make(ipc, ports.make_send(ipc, port), PORT_SEND, None, 0, msgh_id))
