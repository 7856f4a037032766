"""Servers that hand over all that they have: their successor knows each right by the same name, and nothing is left over."""

from __future__ import annotations

import pytest

from machemu.abi.message import MAKE_SEND_ONCE
from machemu.abi.port import TYPE_RECEIVE
from machemu.core.host_side import launch
from machemu.core.succession import replace
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_port import MACH_PORT_EXTRACT_RIGHT
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.sim.state import AnyName, state
from machemu.user.heritage import Departed, SuccessiveServer
from machemu.user.kit import HostServer, Part, notified
from machemu.user.mach import Mach
from machemu.user.notifications import DeadName
from tests.support.guests import Arch
from tests.support.machine import Machine, empty

OWN = ("task", "host", "reply", "thread")


@state
class Keeper(SuccessiveServer):
    """Has rights of all kinds, under names with holes between. found: how often it has taken over; died: what it was told of."""

    __slots__ = ("died", "found", "kept")
    kept: dict[str, AnyName]
    died: list[str]
    found: int

    def __init__(self) -> None:
        super().__init__()
        self.kept, self.died, self.found = {}, [], 0

    def start(self, mach: Mach) -> None:
        super().start(mach)
        ports = [mach.allocate_port() for _ in range(12)]
        for name in ports[:6]:
            mach.destroy_receive(name)
        inside, outside, several, gone, to, mine = ports[6:]
        mach.move_member(inside, self.ports)
        for name, refs in ((several, 3), (gone, 2), (inside, 1)):
            for _ in range(refs):
                mach.make_send(name)
        mach.destroy_receive(gone)
        (once,) = mach.call(MACH_PORT_EXTRACT_RIGHT, mach.task_self(), to, MAKE_SEND_ONCE)
        mach.make_send(mine)
        self.kept = {"inside": inside, "outside": outside, "several": several, "gone": gone, "to": to, "mine": mine}
        self.kept["once"] = once.port
        self.inherited(mach)
        self.found = 0

    def inherited(self, mach: Mach) -> None:
        self.found += 1
        mach.notify(self.kept["mine"], MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)

    @notified(DeadName)
    def _died(self, mach: Mach, notice: DeadName) -> None:
        self.died += [what for what, name in self.kept.items() if name == notice.name]
        mach.deallocate(notice.name)


@state
class Later(Keeper):
    """Has more in its slots, and a part."""

    __slots__ = ("more",)
    more: int

    def __init__(self) -> None:
        super().__init__()
        self.more = 7

    def parts(self) -> tuple[Part, ...]:
        return (self,)


def keeper(machine: Machine) -> tuple[Task, Keeper]:
    """The server's task, and what it runs."""
    task = next(task for task in machine.tasks if task.active)
    program = next(iter(task.threads.values())).program
    return task, program.server  # type: ignore[union-attr]


def rights(machine: Machine) -> dict[str, tuple[int, int, bool]]:
    """What the server has: type and user references of each right, and whether messages to it come to the server."""
    task, server = keeper(machine)
    found = {}
    for what, name in server.kept.items():
        entry = task.space.lookup(name)
        assert entry is not None, what
        is_member = isinstance(entry.object, Port) and bool(entry.type & TYPE_RECEIVE) and entry.object.pset is not None
        found[what] = entry.type, entry.urefs, is_member
    return found


def follow(machine: Machine, server: HostServer, others: int) -> Task:
    """A server follows that knows so many more rights than the first one."""
    task, _ = keeper(machine)
    rights = {f"other {number}": machine.kernel.kern.host.host_self for number in range(others)}
    return replace(machine.kernel, task, server, "heir", rights)


@pytest.mark.parametrize("others", [0, 1, 3])
@pytest.mark.parametrize("kind", [Keeper, Later])
def test_each_right_has_the_same_name_at_the_successor_and_at_its_own(arch: Arch, kind: type[Keeper], others: int) -> None:
    machine = empty(arch)
    with machine.node:
        launch(machine.kernel, Keeper(), "keeper", {})
        machine.run(10_000_000)
        first, before = rights(machine), keeper(machine)[1].kept
        for number in range(1, 4):
            follow(machine, kind(), others)
            machine.run(10_000_000)
            task, server = keeper(machine)
            assert (rights(machine), server.kept) == (first, before)
            assert (type(server), server.found, server.died) == (kind, number, [])
            assert task.name == "heir"
        assert kind is not Later or server.more == 7  # type: ignore[attr-defined]
        machine.leave_nothing()


@pytest.mark.parametrize("others", [0, 3])
def test_what_comes_back_since_the_successor_has_ended_has_its_names_again(arch: Arch, others: int) -> None:
    machine = empty(arch)
    with machine.node:
        launch(machine.kernel, Keeper(), "keeper", {})
        machine.run(10_000_000)
        first, before = rights(machine), keeper(machine)[1].kept
        heir = follow(machine, Keeper(), others)
        while not isinstance(keeper(machine)[1], Departed):
            machine.run(traps=1)
        task_control.terminate(machine.kernel.kern, heir)
        machine.run(10_000_000)
        task, server = keeper(machine)
        assert (task.name, rights(machine), server.kept, server.found) == ("keeper", first, before, 1)
        machine.leave_nothing()
