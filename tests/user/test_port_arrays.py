"""Many receive rights by one call: as by a call for each, and nothing where one of them fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from machemu.abi.errors import KernError
from machemu.abi.kern_return import (
    KERN_FAILURE,
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_CAPABILITY,
    KERN_INVALID_NAME,
    KERN_INVALID_RIGHT,
    KERN_INVALID_VALUE,
    KERN_NOT_IN_SET,
    KERN_RESOURCE_SHORTAGE,
)
from machemu.abi.message import MAKE_SEND_ONCE, PORT_SEND, PORT_SEND_ONCE
from machemu.abi.port import QLIMIT_DEFAULT
from machemu.core.host_side import launch
from machemu.ipc import space
from machemu.mig.interfaces.mach_port_array import (
    MACH_PORT_ALLOCATE_ARRAY,
    MACH_PORT_COUNT_LAST_AS_SENT,
    MACH_PORT_FORGET_SEND_ONCE_ARRAY,
    MACH_PORT_GET_RECEIVE_STATUS_ARRAY,
    MACH_PORT_MAKE_SEND_ONCE_ARRAY,
    MACH_PORT_MOVE_MEMBER_ARRAY,
    MACH_PORT_REQUEST_NOTIFICATION_ARRAY,
)
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED
from machemu.mig.runtime import PolyPort, Routine
from machemu.sim.state import state
from machemu.user.kit import HostServer
from machemu.user.mach import AT_ONCE, Mach
from machemu.user.message import DEAD_NAME, Header, Message, living
from tests.support.guests import Arch
from tests.support.machine import empty

NO_SENDERS, PORT_DESTROYED = MACH_NOTIFY_NO_SENDERS.request.id, MACH_NOTIFY_PORT_DESTROYED.request.id
MANY = 2 * AT_ONCE + 50
NOBODY = 0x999


@state
class Doing(HostServer):
    """Does something when it starts, and keeps the names of the ports whose notifications come."""

    __slots__ = ("does", "told")

    def __init__(self, does: Callable[[Doing, Mach], None]) -> None:
        super().__init__()
        self.does = does
        self.told: list[int] = []

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.does(self, mach)

    def receive(self, mach: Mach, message: Message) -> None:
        self.told.append(message.header.local)


def done(arch: Arch, does: Callable[[Doing, Mach], None]) -> Doing:
    server = Doing(does)
    with empty(arch) as machine:
        task = launch(machine.kernel, server, "doing")
        machine.run(1_000_000_000)
        machine.check()
        machine.end(task)
        machine.leave_nothing()
    return server


def test_many_ports_are_made_moved_and_asked_as_one_is(arch: Arch) -> None:
    def does(server: Doing, mach: Mach) -> None:
        names = mach.allocate_ports(MANY)
        assert len({*names}) == MANY
        mach.move_members(names, server.ports)
        assert mach.receive_statuses(names) == [mach.receive_status(name) for name in names]
        assert {status.pset for status in mach.receive_statuses(names)} == {server.ports}
        mach.make_send(names[1])
        none = mach.exchange_requests(NO_SENDERS, [(name, 1, server.notices) for name in names])
        assert none == [None] * MANY
        assert all(status.nsrequest for status in mach.receive_statuses(names))
        back = mach.exchange_requests(NO_SENDERS, [(name, 0, name if name == names[1] else 0) for name in names])
        assert len({*map(living, back)}) == MANY and 0 not in back
        for right in back:
            mach.deallocate(living(right))
        mach.deallocate(names[1])

    told = done(arch, does).told
    assert len(told) == MANY + 1


def test_a_task_learns_which_of_its_own_rights_are_to_ports_of_its_own(arch: Arch) -> None:
    def does(server: Doing, mach: Mach) -> None:
        first, second = mach.allocate_ports(2)
        mach.make_send(first)
        mach.exchange_requests(NO_SENDERS, [(second, 1, first)])
        (once,) = map(living, mach.exchange_requests(NO_SENDERS, [(second, 1, 0)]))
        assert once not in (first, second)
        others = [mach.task_self(), mach.host_self()]
        assert mach.receivers([first, once, *others, second]) == [first, first, 0, 0, second]
        mach.deallocate(first)
        mach.destroy_receive(first)
        assert mach.receivers([once]) == [0]
        for name in (0, NOBODY):
            with pytest.raises(KernError) as refused:
                mach.receivers([once, name])
            assert refused.value.code == KERN_INVALID_NAME
        mach.deallocate(once)
        mach.destroy_receive(second)

    done(arch, does)


def test_send_once_rights_are_made_and_forgotten_of_which_their_ports_hear_nothing(arch: Arch) -> None:
    def does(server: Doing, mach: Mach) -> None:
        first, second = mach.allocate_ports(2)
        onces = mach.make_onces([first, second, first])
        assert mach.receivers(onces) == [first, second, first] and len({*onces}) == 3
        assert [status.sorights for status in mach.receive_statuses([first, second])] == [2, 1]
        other, _, _ = onces
        mach.forget_onces([other])
        assert [(status.sorights, status.msgcount) for status in mach.receive_statuses([first, second])] == [(1, 0), (1, 0)]
        mach.notify(onces[1], MACH_NOTIFY_DEAD_NAME.request.id, server.notices)
        mach.forget_onces(onces[1:])
        assert [(status.sorights, status.msgcount) for status in mach.receive_statuses([first, second])] == [(0, 0), (0, 0)]

    assert len(done(arch, does).told) == 1


def test_a_message_by_a_send_once_right_counts_as_sent_by_a_send_right_whatever_the_limit(arch: Arch) -> None:
    def does(server: Doing, mach: Mach) -> None:
        (port,) = mach.allocate_ports(1)
        mach.make_send(port)
        for msgh_id in range(QLIMIT_DEFAULT + 2):
            mach.put(Message(Header(port, MAKE_SEND_ONCE, 0, 0, msgh_id), b"", (), False))
            if msgh_id:
                mach.count_last_as_sent(port)
        status = mach.receive_status(port)
        assert (status.msgcount, status.sorights) == (QLIMIT_DEFAULT + 2, 1)
        came = [message.header for message in iter(lambda: mach.take_message(port), None)]
        assert [header.local_type for header in came] == [PORT_SEND_ONCE, *[PORT_SEND] * (QLIMIT_DEFAULT + 1)]

    done(arch, does)


CALLS: dict[str, tuple[Routine, Callable[[Doing, list[int]], tuple[Any, ...]], int]] = {
    "too many ports": (MACH_PORT_ALLOCATE_ARRAY, lambda server, names: (1025,), KERN_INVALID_ARGUMENT),
    "moved: no name": (
        MACH_PORT_MOVE_MEMBER_ARRAY, lambda server, names: ((*names, NOBODY), server.ports), KERN_INVALID_NAME,
    ),
    "moved: no receive right": (
        MACH_PORT_MOVE_MEMBER_ARRAY, lambda server, names: ((*names, server.ports), server.ports), KERN_INVALID_RIGHT,
    ),
    "moved: no set": (MACH_PORT_MOVE_MEMBER_ARRAY, lambda server, names: (names, server.service), KERN_INVALID_RIGHT),
    "moved out of none": (MACH_PORT_MOVE_MEMBER_ARRAY, lambda server, names: ((server.service, *names), 0), KERN_NOT_IN_SET),
    "status of no name": (MACH_PORT_GET_RECEIVE_STATUS_ARRAY, lambda server, names: ((*names, NOBODY),), KERN_INVALID_NAME),
    "made: no receive right": (
        MACH_PORT_MAKE_SEND_ONCE_ARRAY, lambda server, names: ((*names, server.ports),), KERN_INVALID_RIGHT,
    ),
    "forgotten: no send-once right": (
        MACH_PORT_FORGET_SEND_ONCE_ARRAY, lambda server, names: ((names[0],),), KERN_INVALID_RIGHT,
    ),
    "forgotten: no name": (MACH_PORT_FORGET_SEND_ONCE_ARRAY, lambda server, names: ((NOBODY,),), KERN_INVALID_NAME),
    "no message came": (MACH_PORT_COUNT_LAST_AS_SENT, lambda server, names: (names[0],), KERN_FAILURE),
    "a message came to no receive right": (
        MACH_PORT_COUNT_LAST_AS_SENT, lambda server, names: (server.ports,), KERN_INVALID_RIGHT,
    ),
    "asked: no name": (
        MACH_PORT_REQUEST_NOTIFICATION_ARRAY,
        lambda server, names: ((*names, NOBODY), NO_SENDERS, (1, 1, 1, 1), once(server, 4)), KERN_INVALID_NAME,
    ),
    "asked: no notification": (
        MACH_PORT_REQUEST_NOTIFICATION_ARRAY, lambda server, names: (names, 3, (1, 1, 1), once(server, 3)), KERN_INVALID_VALUE,
    ),
    "asked: a count for what has none": (
        MACH_PORT_REQUEST_NOTIFICATION_ARRAY,
        lambda server, names: (names, PORT_DESTROYED, (0, 0, 1), once(server, 3)), KERN_INVALID_VALUE,
    ),
    "asked: counts are missing": (
        MACH_PORT_REQUEST_NOTIFICATION_ARRAY,
        lambda server, names: (names, NO_SENDERS, (1, 1), once(server, 3)), KERN_INVALID_ARGUMENT,
    ),
    "asked: rights are missing": (
        MACH_PORT_REQUEST_NOTIFICATION_ARRAY,
        lambda server, names: (names, NO_SENDERS, (1, 1, 1), once(server, 2)), KERN_INVALID_ARGUMENT,
    ),
    "asked: a dead right": (
        MACH_PORT_REQUEST_NOTIFICATION_ARRAY,
        lambda server, names: (names, NO_SENDERS, (1, 1, 1), PolyPort((server.notices, DEAD_NAME, 0), MAKE_SEND_ONCE)),
        KERN_INVALID_CAPABILITY,
    ),
}  # fmt: skip


def once(server: Doing, count: int) -> PolyPort:
    return PolyPort((server.notices,) * count, MAKE_SEND_ONCE)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_for_one_has_done_nothing(arch: Arch, name: str) -> None:
    routine, values, code = CALLS[name]

    def does(server: Doing, mach: Mach) -> None:
        names = mach.allocate_ports(3)
        before = mach.receive_statuses([*names, server.service])
        with pytest.raises(KernError) as refused:
            mach.call(routine, mach.task_self(), *values(server, names))
        assert refused.value.code == code
        assert mach.receive_statuses([*names, server.service]) == before

    done(arch, does)


def test_a_full_name_space_gets_no_part_of_the_ports(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    def does(server: Doing, mach: Mach) -> None:
        held = mach.allocate_ports(3)
        monkeypatch.setattr(space, "NAMES_MAX", len(held) + 20)
        for _ in range(2):
            with pytest.raises(KernError) as refused:
                mach.allocate_ports(AT_ONCE)
            assert refused.value.code == KERN_RESOURCE_SHORTAGE
        monkeypatch.undo()

    done(arch, does)
