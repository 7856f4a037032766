"""What messages can make a network server keep for other nodes is bounded, and no task can fill a server's port name space."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from machemu.abi.message import MAKE_SEND_ONCE, CarriedPorts
from machemu.ipc import space
from machemu.mig.interfaces.notify import MACH_NOTIFY_SEND_ONCE
from machemu.user.mach import Mach
from masix.gns import forward, ports, traffic
from masix.gns.rights import WINDOW
from tests.support.actors import Actor, do, look_up, register
from tests.support.clusters import ROOT
from tests.support.guests import Arch
from tests.support.net import Net, StringLink, answer, net, send

DIED = MACH_NOTIFY_SEND_ONCE.request.id
KEPT, RIGHTS, SIZE = 8000, 200, 60_000
Step = Callable[[Actor, Mach], None]


def with_rights(arch: Arch, count: int, msgh_id: int) -> Step:
    """A call that brings so many send-once rights."""

    def step(actor: Actor, mach: Mach) -> None:
        names = (actor.port,) * count
        body = arch.long_item(MAKE_SEND_ONCE, 32, count, False) + bytes(4)
        send(actor, mach, body, (CarriedPorts(12, MAKE_SEND_ONCE, names),), msgh_id)

    return step


def large(msgh_id: int) -> Step:
    return lambda actor, mach: send(actor, mach, bytes(SIZE), msgh_id=msgh_id)


def plain(msgh_id: int) -> Step:
    return lambda actor, mach: send(actor, mach, msgh_id=msgh_id)


def gives_up(actor: Actor, mach: Mach) -> None:
    """What it was sent."""
    for message in actor.received:
        mach.destroy(message)
    actor.received.clear()


def kept(made: Net) -> list[int]:
    """How many ports each network server stands for."""
    return [len(server.tables.exports) + len(server.tables.proxies) for server in made.servers]


def joined(made: Net, service: Actor, *clients: Actor) -> None:
    do(made, service, register(b"service"), slices=4)
    for client in clients:
        do(made, client, look_up(b"service"))


def test_the_page_says_what_a_server_keeps() -> None:
    page = (ROOT / "docs" / "masix.md").read_text()
    most = ports.KEPT_MAX // (2 * ports.SHARE + 1)
    assert f"each stands for {ports.KEPT_MAX:,} ports" in page and f"half of that,\n  {most:,} in" in page
    assert f"more than {ports.WAITING_MAX >> 20} MB wait" in page and f"more than {forward.BACKLOG_MAX >> 20} MB are on" in page


def test_rights_beyond_what_a_server_keeps_go_nowhere_and_calls_go_on(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "KEPT_MAX", KEPT)
    client, service = Actor(), Actor()
    with net((arch, arch), [client], [service]) as made:
        joined(made, service, client)
        for n in range(4):
            do(made, client, with_rights(arch, RIGHTS, 501 + n))
        assert service.ids() == [501, 502] and client.ids() == [DIED] * 2 * (RIGHTS + 1)
        assert kept(made) == [2 * RIGHTS + 3, 2 * RIGHTS + 3]
        client.received.clear()
        do(made, client, plain(510))
        do(made, service, answer)
        assert client.ids() == [610]
        client.received.clear()
        service.received.pop()
        do(made, service, gives_up)
        do(made, client, with_rights(arch, RIGHTS, 520))
        assert service.ids() == [520] and client.ids().count(DIED) == 2 * RIGHTS + 2


def test_who_fills_the_share_of_a_port_leaves_others_theirs(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adversary's accomplice keeps each right that comes, first those in messages and then those to answers; of its end
    nothing is left."""
    monkeypatch.setattr(ports, "KEPT_MAX", KEPT)
    adversary, client, accomplice, service = Actor(), Actor(), Actor(), Actor()
    with net((arch, arch), [adversary, client], [accomplice, service]) as made:
        joined(made, accomplice, adversary)
        do(made, service, register(b"second"), slices=4)
        do(made, client, look_up(b"second"))
        for n in range(4):
            do(made, adversary, with_rights(arch, RIGHTS, 501 + n))
        taken = KEPT // (ports.SHARE + 1)
        for _ in range(taken // WINDOW):
            do(made, adversary, *(plain(510) for _ in range(WINDOW)))
        assert taken - 10 <= min(kept(made)) <= max(kept(made)) <= taken + 10
        client.received.clear()
        for n in range(2):
            do(made, client, with_rights(arch, RIGHTS, 520 + n))
        do(made, client, plain(530))
        do(made, service, answer)
        assert service.ids() == [520, 521, 530] and client.ids() == [630]
        service.received.pop()
        made.end(1, "program 0")
        made.run()
        do(made, service, gives_up)
        assert max(kept(made)) <= 4 and all(len(server.tables.charged) <= 1 for server in made.servers)


@pytest.mark.slow
def test_rights_beyond_what_the_other_server_keeps_die_there(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the queue goes on however many messages of it are destroyed."""
    monkeypatch.setattr(ports, "KEPT_MAX", KEPT)
    first, service, second = Actor(), Actor(), Actor()
    with net((arch, arch, arch), [first], [service], [second]) as made:
        joined(made, service, first, second)
        for n in range(2):
            do(made, first, with_rights(arch, RIGHTS, 501 + n))
        for _ in range(WINDOW + 9):
            do(made, second, with_rights(arch, RIGHTS, 510), slices=12)
        assert service.ids() == [501, 502] and second.ids().count(DIED) == (WINDOW + 9) * (RIGHTS + 1)
        assert kept(made)[2] == 1
        second.received.clear()
        do(made, second, plain(520))
        do(made, service, answer)
        assert second.ids() == [620]


def test_messages_beyond_what_waits_for_full_queues_die_and_other_queues_go_on(
    arch: Arch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "WAITING_MAX", 10 * SIZE)
    first, service, second = Actor(), Actor(), Actor()
    with net((arch, arch, arch), [first], [service], [second]) as made:
        joined(made, service, first, second)
        do(made, service, lambda actor, mach: mach.move_member(actor.port, 0))
        do(made, first, *(large(501 + n) for n in range(20)), slices=120)
        assert made.servers[1].tables.waiting <= 10 * SIZE and len(first.ids()) > 3 and {*first.ids()} == {DIED}
        do(made, second, register(b"second"))
        do(made, first, look_up(b"second"))
        do(made, first, plain(510))
        assert second.ids() == [510]
        lost = len(first.ids())
        do(made, service, lambda actor, mach: mach.move_member(actor.port, actor.other), slices=120)
        assert service.ids() == [501 + n for n in range(20 - lost)] and made.servers[1].tables.waiting == 0


def test_messages_beyond_what_is_on_its_way_to_a_node_die_and_those_to_others_go_on(
    arch: Arch, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, service, second = Actor(), Actor(), Actor()
    with net((arch, arch, arch), [first], [service], [second]) as made:
        joined(made, service, first)
        do(made, second, register(b"second"))
        monkeypatch.setattr(StringLink, "backlog", lambda self, node: forward.BACKLOG_MAX + 1 if node == 2 else 0)
        do(made, first, plain(501))
        do(made, first, look_up(b"second"))
        do(made, first, plain(502))
        assert (first.ids(), service.ids(), second.ids()) == ([DIED], [], [502])


def test_a_task_that_ends_behind_a_message_which_goes_nowhere_leaves_nothing(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "KEPT_MAX", RIGHTS)
    client, service = Actor(), Actor()
    with net((arch, arch), [client], [service]) as made:
        joined(made, service, client)

        def sends_and_ends(actor: Actor, mach: Mach) -> None:
            for n in range(3):
                with_rights(arch, RIGHTS, 501 + n)(actor, mach)

        do(made, client, sends_and_ends, slices=1)
        made.end(0, "program 0")
        made.run(60)
        assert kept(made) == [0, 0]


def test_a_message_with_more_rights_than_a_server_has_names_ends_nobody(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel brings as many of them as there is room for, or says that it cannot name who is to be answered."""
    client, service, other = Actor(), Actor(), Actor()
    with net((arch, arch), [client, other], [service]) as made:
        joined(made, service, client, other)
        monkeypatch.setattr(space, "NAMES_MAX", 60)
        do(made, client, with_rights(arch, 100, 501))
        assert service.ids() == [501] and DIED in client.ids()
        client.received.clear()
        monkeypatch.setattr(space, "NAMES_MAX", 10)
        do(made, client, plain(502))
        assert client.ids() == [DIED]
        monkeypatch.undo()
        do(made, other, plain(503))
        do(made, service, answer)
        assert other.ids() == [603]
