"""A host-side server that several threads run: what they share, what each does alone, and that none waits for another."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from machemu.abi.message import COPY_SEND, PORT_SEND
from machemu.core.host_side import launch
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.kern import thread_control
from machemu.kern.thread import Thread
from machemu.machine.profile import load_profile
from machemu.sim.state import Receive, Time, state
from machemu.user.kit import HostServer, takes
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from machemu.user.thread import ServerThread
from tests.support.guests import Arch
from tests.support.machine import Machine, empty, load

BLOCK, TICK, SIZE, LETTER = 4000, 4001, 24, 4002
QUEUE = 5
"""How many messages a port's queue takes."""
MS = 1_000_000
TICK_NS = 10 * MS


@state
class Worker(HostServer):
    """Counts ticks, and sends letters to a port from which nobody receives, with an alarm set."""

    __slots__ = ("expiries", "letterbox", "threads", "ticks")
    expiries: list[Time]
    letterbox: Receive
    threads: int  # type: ignore[misc]
    ticks: int
    attached: ClassVar[int] = 0

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.threads = threads
        self.letterbox = 0
        self.ticks = 0
        self.expiries = []

    def attach(self) -> None:
        Worker.attached += 1

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.letterbox = mach.make_send(mach.allocate_port())
        for _ in range(QUEUE):
            self._write(mach)

    def _write(self, mach: Mach) -> None:
        mach.send(Message(Header(self.letterbox, COPY_SEND, 0, 0, LETTER), b"", (), False))

    @takes(BLOCK, at="service")
    def _block(self, mach: Mach, message: Message) -> None:
        mach.alarm(mach.now() + 50 * MS)
        self._write(mach)

    @takes(TICK, at="service")
    def _tick(self, mach: Mach, message: Message) -> None:
        self.ticks += 1

    def expired(self, mach: Mach) -> None:
        self.expiries.append(mach.now())


class World:
    """A machine with a worker, all of whose threads wait for messages."""

    def __init__(self, arch: Arch, threads: int, server: type[Worker] = Worker) -> None:
        self.machine: Machine = empty(arch)
        self.server = server(threads)
        kernel = self.machine.kernel
        self.task = launch(kernel, self.server, "worker", {"host-port": kernel.kern.host.host_priv_self})
        self.machine.run(50 * MS)

    @property
    def now(self) -> int:
        return self.machine.kernel.kern.clock.now()

    def send(self, *ids: int, size: int = 0) -> None:
        kernel = self.machine.kernel
        entry = self.task.space.lookup(self.server.service)
        assert entry is not None
        for number in ids:
            right = ports.copy_send(kernel.ipc, entry.port())
            kmsgs.kernel_send(kernel.ipc, kmsgs.make(kernel.ipc, right, PORT_SEND, None, 0, number, bytes(size), ()))

    def sending(self) -> list[Thread]:
        """The threads that wait for room in a queue."""
        found = [thread for thread in self.task.threads.values() if isinstance(thread.program, ServerThread)]
        return [thread for thread in found if thread.program.outbox]  # type: ignore[union-attr]

    def close(self) -> None:
        self.machine.leave_nothing()
        self.machine.node.close()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_thread_that_waits_for_a_full_queue_stops_no_other(arch: Arch, threads: int) -> None:
    world = World(arch, threads)
    assert len(world.task.threads) == threads
    world.send(BLOCK, TICK)
    world.machine.run(20 * MS)
    assert len(world.sending()) == 1
    assert world.server.ticks == (threads > 1)
    world.close()


def test_an_alarm_comes_in_time_where_the_thread_that_set_it_waits(arch: Arch) -> None:
    world = World(arch, 2)
    began = world.now
    world.send(BLOCK)
    world.machine.run(100 * MS)
    assert len(world.sending()) == 1
    (time,) = world.server.expiries
    assert began + 50 * MS <= time <= began + 50 * MS + 2 * TICK_NS
    world.send(TICK)
    world.machine.run(100 * MS)
    assert world.server.ticks == 1 and len(world.server.expiries) == 1
    world.close()


def test_each_thread_s_work_takes_time_of_its_own(arch: Arch) -> None:
    world, profile = World(arch, 2), load_profile(arch.profile)
    before, began = [thread.user_time for thread in world.task.threads.values()], world.now
    world.send(TICK, TICK)
    world.machine.run(50 * MS)
    work = profile.server_handler_ns + profile.server_message_ns + SIZE * profile.server_byte_ns
    assert [thread.user_time for thread in world.task.threads.values()] == [time + work for time in before]
    assert world.now >= began + 2 * work
    world.close()


def test_each_thread_makes_room_for_a_large_message_of_its_own(arch: Arch) -> None:
    world = World(arch, 2)
    world.send(TICK, TICK, TICK, size=70_000)
    world.machine.run(50 * MS)
    assert world.server.ticks == 3
    world.machine.check()
    world.close()


@state
class Keeper(Worker):
    """A tick makes the thread that hears it keep its memory."""

    __slots__ = ()

    @takes(TICK, at="service")
    def _tick(self, mach: Mach, message: Message) -> None:
        mach.keep_memory()


def test_each_thread_keeps_memory_for_itself(arch: Arch) -> None:
    world = World(arch, 3, Keeper)
    world.send(TICK, TICK)
    world.machine.run(50 * MS)
    assert sorted(thread.vm_privilege for thread in world.task.threads.values()) == [False, True, True]
    world.machine.check()
    world.close()


def test_where_a_thread_is_terminated_the_others_go_on(arch: Arch) -> None:
    """It had set an alarm, and what it had to send is lost with it."""
    world = World(arch, 3)
    world.send(BLOCK)
    world.machine.run(10 * MS)
    (thread,) = world.sending()
    thread_control.force_terminate(world.machine.kernel.kern, thread)
    world.send(TICK, BLOCK, TICK)
    world.machine.run(100 * MS)
    assert (len(world.task.threads), world.server.ticks, len(world.server.expiries)) == (2, 2, 1)
    world.machine.check()
    world.close()


@state
class Busy(Worker):
    """Asks itself."""

    __slots__ = ()

    def start(self, mach: Mach) -> None:
        super().start(mach)
        for number in (BLOCK, TICK, BLOCK, TICK, TICK):
            mach.send(Message(Header(self.service, COPY_SEND, 0, 0, number), b"", (), False))


@pytest.mark.slow
def test_the_threads_go_on_after_save_and_load_at_every_trap(arch: Arch, tmp_path: Path) -> None:
    def begin() -> Machine:
        machine = empty(arch)
        launch(machine.kernel, Busy(3), "busy")
        return machine

    def end(machine: Machine) -> tuple[str, int]:
        machine.kernel.run(400 * MS)
        return machine.node.digest(), machine.kernel.trap_count

    with begin() as machine:
        expected, count = end(machine)
        (server,) = {thread.program.server for thread in machine.tasks[0].threads.values()}  # type: ignore[union-attr]
        assert (server.ticks, len(server.expiries)) == (3, 1)
    assert count > 25
    for traps in range(1, count):
        machine = begin()
        machine.run(traps=traps)
        machine.node.save(tmp_path / "saved")
        machine.node.close()
        Worker.attached = 0
        with load(tmp_path / "saved") as again:
            assert Worker.attached == 1
            assert end(again) == (expected, count), f"saved after {traps} traps"
