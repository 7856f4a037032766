"""Host-side tasks: Python servers that are Mach tasks, made of traps and messages like any guest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_NAME, KERN_INVALID_VALUE
from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_SEND,
    MSG_TYPE_BYTE,
    MSG_TYPE_INTEGER_32,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
    TypeDescriptor,
)
from machemu.abi.port import RIGHT_SEND
from machemu.core.host_side import launch
from machemu.mig.interfaces.mach_port import (
    MACH_PORT_GET_RECEIVE_STATUS,
    MACH_PORT_GET_REFS,
    MACH_PORT_INSERT_RIGHT,
    MACH_PORT_NAMES,
)
from machemu.mig.interfaces.notify import MACH_NOTIFY_SEND_ONCE
from machemu.mig.runtime import PolyPort
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from machemu.user.server import Server
from tests.support.guests import Arch
from tests.support.machine import Machine, empty, load

ECHO, ASK, SECOND_NS = 700, 701, 1_000_000_000


@state
class Echo(Server):
    """Sends every message back to where its answer goes, rights, memory and all; keeps its port's name in `port`."""

    __slots__ = ("count", "port")

    def __init__(self) -> None:
        self.port = 0
        self.count = 0

    def start(self, mach: Mach) -> None:
        self.port = mach.make_send(mach.allocate_port())
        mach.serve(self.port)

    def receive(self, mach: Mach, message: Message) -> None:
        self.count += 1
        header = message.header
        back = Header(header.remote, header.remote_type, 0, 0, header.id + 100)
        mach.send(message._replace(header=back))

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        mach.destroy(message)


@state
class Client(Server):
    """Sends what it is given to a port, one after the other, each when the last one's answer is there, and keeps the answers."""

    __slots__ = ("answers", "codes", "expiries", "port", "reply", "requests")

    def __init__(self, requests: list[Message]) -> None:
        self.requests = requests
        self.answers: list[Message] = []
        self.codes: list[int] = []
        self.expiries: list[int] = []
        self.port = 0
        self.reply = 0

    def start(self, mach: Mach) -> None:
        self.reply = mach.allocate_port()
        mach.serve(self.reply)
        mach.alarm(mach.now() + SECOND_NS)
        self._ask(mach)

    def _ask(self, mach: Mach) -> None:
        if self.requests:
            request = self.requests.pop(0)
            header = Header(self.port, COPY_SEND, self.reply, MAKE_SEND_ONCE, request.header.id)
            mach.send(request._replace(header=header))

    def receive(self, mach: Mach, message: Message) -> None:
        self.answers.append(message)
        self._ask(mach)

    def expired(self, mach: Mach) -> None:
        self.expiries.append(mach.now())

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        self.codes.append(code)


def join(machine: Machine, echo: Echo, client: Client) -> None:
    """Starts a server, and a client that has a send right to it."""
    from machemu.abi.message import PORT_SEND
    from machemu.ipc import mach_port, port
    from machemu.ipc.port import Port

    server = launch(machine.kernel, echo, "echo")
    machine.run(SECOND_NS)
    task = launch(machine.kernel, client, "client")
    target = server.space.lookup(echo.port)
    assert target is not None and isinstance(target.object, Port)
    client.port = 77
    mach_port.mach_port_insert_right(task.space, client.port, port.make_send(machine.kernel.ipc, target.object), PORT_SEND)


def request(body: bytes = b"", carried: tuple[Any, ...] = (), msgh_id: int = ECHO) -> Message:
    return Message(Header(0, 0, 0, 0, msgh_id), body, carried, bool(carried))


def item(arch: Arch, name: int, number: int, inline: bool = True, size: int = 32) -> bytes:
    return arch.pack("I", TypeDescriptor(name, size, number, inline).word(arch.order))


def test_a_message_goes_there_and_back(arch: Arch) -> None:
    with empty(arch) as machine:
        words = item(arch, MSG_TYPE_INTEGER_32, 2) + arch.pack("2I", 17, 0xCAFE)
        client = Client([request(words), request(b"", (), 800)])
        join(machine, Echo(), client)
        machine.run(SECOND_NS // 2)
        assert [(answer.header.id, answer.body) for answer in client.answers] == [(800, words), (900, b"")]
        assert client.codes == []


def test_rights_and_memory_travel(arch: Arch) -> None:
    with empty(arch) as machine:
        memory = bytes(range(256)) * 100
        body = item(arch, MAKE_SEND, 2) + bytes(8) + item(arch, MSG_TYPE_BYTE, 0, False)
        body = body[:-4] + arch.long_item(MSG_TYPE_BYTE, 8, len(memory), False) + bytes(4)
        body += item(arch, COPY_SEND, 2, False) + bytes(4)

        class Sender(Client):
            __slots__ = ()

            def _ask(self, mach: Mach) -> None:
                if self.requests:
                    port = mach.make_send(mach.allocate_port())
                    carried = (
                        CarriedPort(4, MAKE_SEND, port),
                        CarriedPort(8, MAKE_SEND, None),
                        CarriedMemory(24, len(memory), memory),
                        CarriedPorts(32, COPY_SEND, (port, None)),
                    )
                    self.requests = [request(body, carried)]
                super()._ask(mach)

        client = Sender([request()])
        join(machine, Echo(), client)
        machine.run(SECOND_NS // 2)
        (answer,) = client.answers
        first, null, data, ports = answer.carried
        assert isinstance(data, CarriedMemory) and data.copy == memory
        assert isinstance(first, CarriedPort) and isinstance(null, CarriedPort) and isinstance(ports, CarriedPorts)
        assert (null.port, ports.ports) == (None, (first.port, None))


def test_a_message_larger_than_the_room_makes_more(arch: Arch) -> None:
    with empty(arch) as machine:
        big = item(arch, MSG_TYPE_INTEGER_32, 0)[:-4] + arch.long_item(MSG_TYPE_BYTE, 8, 60_000) + bytes(60_000)
        client = Client([request(big), request(big)])
        echo = Echo()
        join(machine, echo, client)
        machine.run(SECOND_NS // 2)
        assert [len(answer.body) for answer in client.answers] == [len(big)] * 2


def test_a_message_that_is_longer_than_the_server_takes_is_destroyed_and_the_next_one_answered(arch: Arch) -> None:
    with empty(arch) as machine:
        word = item(arch, MSG_TYPE_INTEGER_32, 0)[:-4]
        bodies = [word + arch.long_item(MSG_TYPE_BYTE, 8, size) + bytes(size) for size in (200_000, Echo.message_max, 100)]
        client = Client([request(body) for body in bodies])
        join(machine, Echo(), client)
        machine.run(SECOND_NS // 2)
        first, second, third = ((answer.header.id, len(answer.body)) for answer in client.answers)
        assert first == (third[0], len(bodies[0])) and third[1] == len(bodies[2])
        assert second == (MACH_NOTIFY_SEND_ONCE.request.id, 0)


def test_an_alarm_comes_at_its_time_and_once(arch: Arch) -> None:
    with empty(arch) as machine:
        client = Client([])
        join(machine, Echo(), client)
        began = machine.kernel.kern.clock.now()
        machine.run(5 * SECOND_NS)
        (time,) = client.expiries
        assert SECOND_NS <= time - began <= SECOND_NS + 20_000_000


def test_a_port_that_is_gone_gives_the_message_back(arch: Arch) -> None:
    with empty(arch) as machine:
        client = Client([request()])
        join(machine, Echo(), client)
        machine.end(machine.tasks[0])
        machine.run(SECOND_NS // 2)
        assert client.codes == [0x10000003]


def test_the_kernel_is_called_and_refuses(arch: Arch) -> None:
    found: list[object] = []

    class Caller(Echo):
        __slots__ = ()

        def start(self, mach: Mach) -> None:
            super().start(mach)
            status = mach.call(MACH_PORT_GET_RECEIVE_STATUS, mach.task_self(), self.port)
            found.append(status[0][2])
            with pytest.raises(KernError) as caught:
                mach.call(MACH_PORT_GET_RECEIVE_STATUS, mach.task_self(), 999)
            found.append(caught.value.code)
            with pytest.raises(KernError) as refused:
                mach.deallocate(999)
            found.append(refused.value.code)
            names, types = mach.call(MACH_PORT_NAMES, mach.task_self())
            found.append((names.size, types.size))

    with empty(arch) as machine:
        launch(machine.kernel, Caller(), "caller")
        machine.run(SECOND_NS)
        assert found == [1, KERN_INVALID_NAME, KERN_INVALID_NAME, (12, 12)]


def test_a_conversation_goes_on_after_save_and_load_at_every_trap(arch: Arch, tmp_path: Path) -> None:
    def begin() -> Machine:
        machine = empty(arch)
        words = item(arch, MSG_TYPE_INTEGER_32, 1) + arch.pack("I", 5)
        join(machine, Echo(), Client([request(words, (), 700 + n) for n in range(4)]))
        return machine

    with begin() as machine:
        machine.run(3 * SECOND_NS)
        expected = machine.node.digest()
        count = machine.kernel.trap_count
    for traps in range(1, count - 20, 7):
        machine = begin()
        machine.run(traps=traps)
        machine.node.save(tmp_path / "saved")
        machine.node.close()
        with load(tmp_path / "saved") as again:
            again.kernel.run(4 * SECOND_NS)
            assert again.node.digest() == expected


@state
class Sleeper(Echo):
    """Wakes at a time that it is given, and keeps when that was."""

    __slots__ = ("time", "woken")

    def __init__(self, time: int) -> None:
        super().__init__()
        self.time = time
        self.woken = -1

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(self.time)

    def expired(self, mach: Mach) -> None:
        self.woken = mach.now()


@pytest.mark.parametrize(("begin", "time"), [(0, -5), (0, 300 * 365 * 86_400 * SECOND_NS), (1 << 70, (1 << 70) + SECOND_NS)])
def test_an_alarm_may_be_past_or_years_away_and_the_machine_is_saved_meanwhile(
    arch: Arch, begin: int, time: int, tmp_path: Path
) -> None:
    with empty(arch) as machine:
        machine.kernel.kern.clock.base = begin
        launch(machine.kernel, Sleeper(time), "sleeper")
        machine.run(traps=5)
        machine.run(1)
        machine.node.save(tmp_path / "saved")
        machine.run()
        digest = machine.node.digest()
    with load(tmp_path / "saved") as machine:
        machine.run()
        assert machine.node.digest() == digest
        (task,) = machine.tasks
        (thread,) = task.threads.values()
        woken = thread.program.server.woken  # type: ignore[union-attr]
        assert time <= woken <= max(time, 0) + 20_000_000


@pytest.mark.parametrize(
    ("disposition", "references"), ((COPY_SEND, 3), (MAKE_SEND, 3), (MOVE_SEND, 2), (MAKE_SEND_ONCE, 2), (0, 2))
)
def test_a_right_whose_disposition_its_sender_chooses_goes_with_that(arch: Arch, disposition: int, references: int) -> None:
    """0 names no right. references: what the task has then, which began with two."""
    found: list[int] = []

    class Giver(Echo):
        __slots__ = ()

        def start(self, mach: Mach) -> None:
            super().start(mach)
            mach.make_send(self.port)
            name = 900 if disposition == MAKE_SEND_ONCE else self.port
            try:
                mach.call(MACH_PORT_INSERT_RIGHT, mach.task_self(), name, PolyPort(self.port, disposition))
            except KernError as error:
                found.append(error.code)
            found.extend(mach.call(MACH_PORT_GET_REFS, mach.task_self(), self.port, RIGHT_SEND))

    with empty(arch) as machine:
        launch(machine.kernel, Giver(), "giver")
        machine.run(SECOND_NS)
        assert found == [*([KERN_INVALID_VALUE] if disposition == 0 else []), references]
