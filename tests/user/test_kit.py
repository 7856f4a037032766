"""The kit for host-side servers: ports of several kinds, parts with handlers of their own, and what clients cannot feign."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from machemu.abi.kern_return import MIG_BAD_ID
from machemu.abi.message import PORT_SEND
from machemu.core.host_side import launch
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.machine.profile import load_profile
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS
from machemu.sim.state import Receive, state
from machemu.user.kit import HostServer, Part, notified, serves, takes
from machemu.user.mach import Mach
from machemu.user.message import Message
from machemu.user.notifications import NoSenders
from masix.interfaces import acs, gns_protocol, udp
from tests.support.devices import User
from tests.support.guests import Arch
from tests.support.machine import Machine, empty

OPEN, CLOSE, COUNT = acs.ACS_LOOK_UP, gns_protocol.GNS_CONNECTION_CLOSE, udp.UDP_COUNTS
TICK = 4000


@state
class Bell(Part):
    """Counts what comes to its port, of any sender."""

    __slots__ = ("port", "rung")
    port: Receive

    def __init__(self) -> None:
        self.port = 0
        self.rung = 0

    @takes(TICK, at="port")
    def _ring(self, mach: Mach, message: Message) -> None:
        self.rung += 1


@state
class Desks(HostServer):
    """Opens desks; each counts its requests, and goes when nobody has a right to it."""

    __slots__ = ("bell", "desks")
    desks: dict[Receive, int]

    def __init__(self) -> None:
        super().__init__()
        self.bell = Bell()
        self.desks = {}

    def parts(self) -> tuple[Part, ...]:
        return self, self.bell

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.bell.port = mach.make_send(self.new_port(mach))

    @serves(OPEN)
    def _open(self, mach: Mach, request: Message, name: bytes) -> tuple[Any, ...]:
        desk = mach.make_send(self.new_port(mach))
        self.desks[desk] = 0
        mach.notify(desk, MACH_NOTIFY_NO_SENDERS.request.id, desk, 1)
        return (desk,)

    @serves(CLOSE, at="desks")
    def _count(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        self.desks[request.header.local] += 1
        return ()

    @notified(NoSenders, at="desks")
    def _left(self, mach: Mach, notice: NoSenders) -> None:
        del self.desks[notice.port]
        mach.destroy_receive(notice.port)


class World:
    def __init__(self, arch: Arch) -> None:
        self.machine: Machine = empty(arch)
        self.server = Desks()
        self.task = launch(self.machine.kernel, self.server, "desks")
        self.machine.run(50_000_000)
        self.client = User(self.machine)

    def port(self, name: int) -> Port:
        entry = self.task.space.lookup(name)
        assert entry is not None and isinstance(entry.object, Port)
        return entry.object

    def open(self) -> Port:
        code, desk = self.client.call(self.port(self.server.service), OPEN, b"desk")
        assert code == 0
        assert isinstance(desk, Port)
        return desk

    def close(self) -> None:
        """Nothing is left of clients, and nothing leaks."""
        self.machine.end(self.client.task)
        self.machine.run(50_000_000)
        assert self.server.desks == {}
        self.machine.leave_nothing()
        self.machine.node.close()


def test_each_kind_of_port_has_handlers_of_its_own(arch: Arch) -> None:
    world = World(arch)
    one, two = world.open(), world.open()
    for desk in (one, two, two):
        assert world.client.call(desk, CLOSE) == (0,)
    assert list(world.server.desks.values()) == [1, 2]
    assert world.client.call(world.port(world.server.service), CLOSE) == (MIG_BAD_ID,)
    assert world.client.call(one, OPEN, b"desk") == (MIG_BAD_ID,)
    assert world.client.call(one, COUNT) == (MIG_BAD_ID,)
    world.client.forget(one)
    world.machine.run(50_000_000)
    assert list(world.server.desks.values()) == [2]
    world.close()


def test_a_client_cannot_feign_a_notification(arch: Arch) -> None:
    world = World(arch)
    desk = world.open()
    world.client.ask(desk, MACH_NOTIFY_NO_SENDERS, 0)
    world.machine.run(50_000_000)
    answer = world.client.discard(world.client.reply_port)
    assert answer is not None and struct.unpack(arch.order.prefix + "i", answer[4:8]) == (MIG_BAD_ID,)
    assert list(world.server.desks.values()) == [0]
    world.close()


def test_a_part_takes_messages_as_they_are_at_its_port_alone(arch: Arch) -> None:
    world = World(arch)
    ipc = world.machine.kernel.ipc
    for name in (world.server.bell.port, world.server.service, world.server.bell.port):
        right = ports.copy_send(ipc, world.port(name))
        kmsgs.kernel_send(ipc, kmsgs.make(ipc, right, PORT_SEND, None, 0, TICK, struct.pack("I", 5), ()))
    world.machine.run(50_000_000)
    assert world.server.bell.rung == 2
    world.close()


def test_two_handlers_of_one_message_at_one_kind_of_port_are_refused() -> None:
    with pytest.raises(TypeError, match=f"{OPEN.request.id} at service has two handlers: _one and _two"):

        class Twice(HostServer):
            @serves(OPEN)
            def _one(self, mach: Mach, request: Message, name: bytes) -> None: ...

            @serves(OPEN)
            def _two(self, mach: Mach, request: Message, name: bytes) -> None: ...


def test_a_slot_that_a_class_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="_one is at desk, which Nowhere has not"):

        class Nowhere(HostServer):
            @serves(OPEN, at="desk")
            def _one(self, mach: Mach, request: Message, name: bytes) -> None: ...


def test_a_server_s_work_takes_the_time_of_the_machine_s_profile(arch: Arch) -> None:
    """It is the thread's own, and the clock's: for a handler, for a message, and for each byte of that."""
    world = World(arch)
    kernel, profile = world.machine.kernel, load_profile(arch.profile)
    (thread,) = world.task.threads.values()
    for size in (4, 1004):
        before = thread.user_time, kernel.kern.clock.now()
        right = ports.copy_send(kernel.ipc, world.port(world.server.bell.port))
        kmsgs.kernel_send(kernel.ipc, kmsgs.make(kernel.ipc, right, PORT_SEND, None, 0, TICK, bytes(size), ()))
        world.machine.run(50_000_000)
        work = profile.server_handler_ns + profile.server_message_ns + (24 + size) * profile.server_byte_ns
        assert thread.user_time == before[0] + work
        assert kernel.kern.clock.now() >= before[1] + work
    world.close()
