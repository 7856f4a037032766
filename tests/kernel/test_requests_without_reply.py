"""Requests to the kernel that nobody can be answered: what their replies carry goes, with all that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND_ONCE, PORT_SEND_ONCE
from machemu.abi.port import NOTIFY_NO_SENDERS, NOTIFY_SEND_ONCE, RIGHT_RECEIVE
from machemu.abi.types import VirtAddr
from machemu.core.host_side import launch
from machemu.ipc import mach_port, right
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern.task import Task
from machemu.mig.interfaces import device, mach, mach_debug, mach_host
from machemu.mig.interfaces import mach_port as port_interface
from machemu.mig.runtime import Routine
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message, encode
from machemu.user.server import Server
from tests.support.guests import Arch
from tests.support.machine import CODE, SECOND_NS, Machine, add_task, empty, load

MESSAGE = CODE + 0x2000
RESULT = CODE + 0x1000
SEND = 1
HEADER = 24
REPLIES = ("none", "dead name", "dead port")
SENDERS = ("guest", "host-side")


@state
class Sender(Server):
    """Sends messages, one after the other. codes: of those that could not be sent."""

    __slots__ = ("codes", "messages")

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.codes: list[int] = []

    def start(self, mach: Mach) -> None:
        mach.serve(mach.allocate_port())
        for message in self.messages:
            mach.send(message)

    def receive(self, mach: Mach, message: Message) -> None: ...

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        self.codes.append(code)


class Caller:
    """A task that sends requests, as a guest or as a host-side program, when all that it needs is in its space."""

    def __init__(self, machine: Machine, kind: str, reply: str) -> None:
        self.machine = machine
        self.ipc = machine.kernel.ipc
        self.kind = kind
        self.reply = reply
        self.sender = Sender([])
        self.task: Task = add_task(machine, machine.arch.stay)[0] if kind == "guest" else self._program()

    def _program(self) -> Task:
        return launch(self.machine.kernel, self.sender, "sender")

    def name(self, port: Port | None) -> int:
        """The task's name for a port of the kernel's."""
        assert port is not None
        return mach_port.copyout_send(self.ipc, self.task.space, ports.make_send(self.ipc, port))

    def receive_right(self) -> tuple[int, Port]:
        """A port of the task's with no send right, and its name."""
        name = mach_port.mach_port_allocate(self.ipc, self.task.space, RIGHT_RECEIVE)
        return name, right.lookup_receive(self.task.space, name)

    def _reply_right(self) -> tuple[int, int]:
        """A name for the reply and what is to become of it."""
        if self.reply == "none":
            return 0, 0
        if self.reply == "dead name":
            return 0xFFFFFFFF, MAKE_SEND_ONCE
        name, port = self.receive_right()
        once = right.copyout(self.task.space, ports.make_sonce(self.ipc, port), PORT_SEND_ONCE)
        mach_port.mach_port_destroy(self.ipc, self.task.space, name)
        return once, MOVE_SEND_ONCE

    def send(self, requests: Sequence[tuple[Routine, int, tuple[Any, ...]]]) -> None:
        """Sends requests to ports that the task has names for; each is taken by the kernel."""
        arch = self.machine.arch
        wanted: list[Message] = []
        for routine, target, values in requests:
            body, carried = routine.request.pack(arch.order, values)
            header = Header(target, COPY_SEND, *self._reply_right(), routine.request.id)
            wanted.append(Message(header, body, carried, bool(carried)))
        if self.kind == "guest":
            code, place = b"", MESSAGE
            for number, message in enumerate(wanted):
                data, _ = encode(arch.order, message, ())
                self.task.memory.write(VirtAddr(place), data)
                code += arch.trap(25, place, SEND, len(data), 0, 0, 0, 0) + arch.store(RESULT + 4 * number)
                place += len(data)
            self.task.memory.write(VirtAddr(RESULT), b"\xff" * 4 * len(wanted))
            self.task.memory.write(VirtAddr(CODE + 8), code + arch.stay)
            self.task.memory.write(VirtAddr(CODE), arch.jump(CODE + 8))
            self.machine.run(SECOND_NS // 10)
            assert [self.machine.word(self.task, RESULT + 4 * number) for number in range(len(wanted))] == [0] * len(wanted)
        else:
            self.sender.messages += wanted
            self.machine.run(SECOND_NS // 10)
            assert self.sender.codes == []


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("kind", SENDERS)
def test_rights_and_memory_of_a_reply_that_nobody_gets_are_given_up(arch: Arch, kind: str, reply: str, tmp_path: Path) -> None:
    with empty(arch) as machine:
        caller = Caller(machine, kind, reply)
        kern, task = machine.kernel.kern, caller.task
        [thread] = task.threads.values()
        wanted = (
            task.itk_self, thread.ith_self, kern.host.host_self, kern.host.host_priv_self, kern.processors[0].processor_self,
            kern.psets[0].pset_self, machine.kernel.devices.master_port,
        )  # fmt: skip
        self, own, host, privileged, processor, control, master = map(caller.name, wanted)
        caller.send(
            [
                (mach.TASK_CREATE, self, (1,)),
                (mach.TASK_SET_EMULATION, self, (CODE, 40)),
                (mach.TASK_GET_EMULATION_VECTOR, self, ()),
                (mach.TASK_THREADS, self, ()),
                (mach.TASK_GET_SPECIAL_PORT, self, (1,)),
                (mach.MACH_PORTS_LOOKUP, self, ()),
                (mach.THREAD_CREATE, self, ()),
                (mach.THREAD_GET_SPECIAL_PORT, own, (1,)),
                (mach.VM_REGION, self, (0,)),
                (mach_host.HOST_PROCESSORS, privileged, ()),
                (mach_host.PROCESSOR_SET_DEFAULT, host, ()),
                (mach_host.PROCESSOR_GET_ASSIGNMENT, processor, ()),
                (mach_host.PROCESSOR_INFO, processor, (1, 5)),
                (mach_host.PROCESSOR_SET_INFO, control, (1, 5)),
                (mach_host.HOST_PROCESSOR_SETS, host, ()),
                (mach_host.PROCESSOR_SET_TASKS, control, ()),
                (mach_host.PROCESSOR_SET_THREADS, control, ()),
                (mach_host.TASK_GET_ASSIGNMENT, self, ()),
                (mach_host.THREAD_GET_ASSIGNMENT, own, ()),
                (mach_debug.MACH_VM_REGION_INFO, self, (0,)),
                (mach_debug.HOST_VIRTUAL_PHYSICAL_TABLE_INFO, host, (0,)),
                (mach_debug.HOST_SLAB_INFO, host, (0,)),
                (port_interface.MACH_PORT_NAMES, self, ()),
                (device.DEVICE_OPEN, master, (0, b"time")),
            ]
        )
        machine.check()
        machine.node.save(tmp_path / "machine")
        digest = machine.node.digest()
    with load(tmp_path / "machine") as again:
        assert again.node.digest() == digest
        again.check()


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("kind", SENDERS)
def test_an_extracted_right_that_nobody_gets_ends_as_such_rights_do(arch: Arch, kind: str, reply: str) -> None:
    """A receive right's port dies, a send-once right tells its port, the last send right answers a no-senders request."""
    with empty(arch) as machine:
        caller = Caller(machine, kind, reply)
        ipc, space = machine.kernel.ipc, caller.task.space
        (dies, dying), (_, asked), (watched, watcher) = (caller.receive_right() for _ in range(3))
        once = right.copyout(space, ports.make_sonce(ipc, asked), PORT_SEND_ONCE)
        ports.nsrequest(ipc, watcher, 1, ports.make_sonce(ipc, watcher))
        self = caller.name(caller.task.itk_self)
        extract = port_interface.MACH_PORT_EXTRACT_RIGHT
        caller.send(
            [
                (extract, self, (dies, MOVE_RECEIVE)),
                (extract, self, (once, MOVE_SEND_ONCE)),
                (extract, self, (watched, MAKE_SEND)),
            ]
        )
        assert not dying.active
        assert [kmsg.id for kmsg in asked.messages] == [NOTIFY_SEND_ONCE]
        assert [kmsg.id for kmsg in watcher.messages] == [NOTIFY_NO_SENDERS]
        assert (asked.sorights, watcher.srights) == (1, 0)
        machine.check()


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("kind", SENDERS)
def test_the_request_before_that_nobody_gets_back_is_told_that_it_is_gone(arch: Arch, kind: str, reply: str) -> None:
    with empty(arch) as machine:
        caller = Caller(machine, kind, reply)
        ipc = machine.kernel.ipc
        (watched, port), (_, before) = (caller.receive_right() for _ in range(2))
        port.nsrequest = ports.make_sonce(ipc, before)
        self = caller.name(caller.task.itk_self)
        request = port_interface.MACH_PORT_REQUEST_NOTIFICATION
        caller.send([(request, self, (watched, NOTIFY_NO_SENDERS, 1, None))])
        assert port.nsrequest is None
        assert [kmsg.id for kmsg in before.messages] == [NOTIFY_SEND_ONCE]
        machine.check()
