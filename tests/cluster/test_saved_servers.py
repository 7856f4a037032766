"""What host-side servers hold is checked when a saved cluster is read: what cannot be is refused, and its slot named."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from machemu.abi.errors import UserError
from machemu.abi.message import MAKE_SEND, MOVE_SEND_ONCE, CarriedPort
from machemu.abi.port import TYPE_RECEIVE
from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from machemu.cluster.lan import Properties, Segment
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.kern.thread import Thread
from machemu.sim import slots
from machemu.user.kit import HostServer, Question
from machemu.user.message import Caller, Header, Message
from machemu.user.own import Outgoing
from machemu.user.task import ServerTask
from machemu.user.thread import ServerThread
from masix.acs.server import Acs
from masix.gns.link import EthernetLink
from masix.gns.ports import FOUND, Export, Leaving, Pledge, PortTables
from masix.gns.protocols import Protocol
from masix.gns.server import Gns
from masix.gns.wire import RightKind
from masix.protocols.arp import Arp, Known
from masix.protocols.sockets import Socket
from masix.protocols.udp import Udp
from masix.transport.membership import Membership
from masix.transport.peers import Handshake
from masix.transport.sender import Sender
from masix.transport.session import Keyring
from tests.support.busy_cluster import IMAGES, TEXT
from tests.support.callers import programs
from tests.support.clusters import MS, World
from tests.support.successors import Sleeper, pushed, sleepers

SPEC = parse_file(TEXT, IMAGES)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(SPEC) as made:
        made.boot()
        made.run(300 * MS)
        yield made


def threads_of(cluster: Cluster) -> list[Thread]:
    """All threads of the first node."""
    kernel = cluster.nodes[0].kernel
    assert kernel is not None
    return [thread for task in kernel.kern.tasks.values() for thread in task.threads.values()]


def thread_of(cluster: Cluster, kind: type) -> ServerThread:
    """The host-side thread that runs a server of the first node."""
    return next(
        t.program for t in threads_of(cluster) if isinstance(t.program, ServerThread) and isinstance(t.program.server, kind)
    )


def part(cluster: Cluster, kind: type) -> Any:
    """A part of the first node's network server, or a server of it."""
    (gns,) = programs(cluster.nodes[0], Gns)
    assert isinstance(gns.link, EthernetLink)
    transport = gns.link.transport
    if kind is Cluster:
        return cluster
    if kind is Segment:
        return cluster.segments[0]
    if kind is Thread:
        return next(thread for thread in threads_of(cluster) if thread.program is thread_of(cluster, Gns))
    if kind is Port:
        entries = part(cluster, Thread).task.space.entries()
        return next(entry.object for _, entry in entries if isinstance(entry.object, Port) and entry.type & TYPE_RECEIVE)
    if kind in (Membership, Keyring):
        return transport if kind is Membership else transport.keyring
    if kind is PortTables:
        return gns.tables
    if kind is Arp:
        return programs(cluster.nodes[0], Udp)[0].arp
    if kind is Sender:
        return next(peer.conversation.sender for peer in transport.peers.values() if peer.conversation is not None)
    if kind in (ServerThread, ServerTask):
        return thread_of(cluster, Gns) if kind is ServerThread else thread_of(cluster, Gns).task
    return programs(cluster.nodes[0], kind)[0]


RECEIVE_RIGHT, SEND_RIGHT = 7, 3
"""Names of the datagram server's task."""


def waiting(*replies: int) -> dict[bytes, deque[Any]]:
    """Who waits for a station's address, by the names of their reply rights."""
    return {bytes(4): deque(Caller(reply, MOVE_SEND_ONCE, 5) for reply in replies)}


NOBODY = Caller(0, 0, 5)


def asked(then: str, *about: Any) -> Callable[[HostServer], dict[int, Question]]:
    """A server's question."""
    return lambda server: {RECEIVE_RIGHT: Question(server, then, about)}


NAME_SERVER = 3
"""A name of the network server's task: a send right."""


def once(name: int) -> Callable[[PortTables], dict[int, Export]]:
    """An export more, of a send-once right."""
    return lambda tables: {**tables.exports, 999: Export(RightKind.SEND_ONCE, name, FOUND)}


def sends(disposition: int, name: int) -> deque[Outgoing]:
    """A message to nobody with a right."""
    return deque([Outgoing(Message(Header(0, 0, 0, 0, 5), bytes(8), (CarriedPort(4, disposition, name),), True), 0, None)])


CASES: list[tuple[type, str, Any, str]] = [
    (Gns, "node", 0, r"masix.gns.server.Gns.node cannot be 0"),
    (Gns, "node", 2, r"masix.gns.server.Gns cannot be so: its parts are of different nodes"),
    (Gns, "tables", None, r"masix.gns.server.Gns.tables cannot be None"),
    (Gns, "notices", 1 << 32, r"masix.gns.server.Gns.notices cannot be 4294967296"),
    (Gns, "notices", 999, r"masix.gns.server.Gns.notices is 999, which names no such right of task 3"),
    (Gns, "ports", 0, r"masix.gns.server.Gns.ports is 0, which names no such right of task 3"),
    (PortTables, "exports", once(0), r"masix.gns.ports.Export is 0, which names no such right of task 3"),
    (PortTables, "exports", once(NAME_SERVER), r"masix.gns.ports.Export is 3, which names no such right of task 3"),
    (
        PortTables,
        "pledges",
        {9: Pledge(0, RightKind.SEND, 2, 2, FOUND)},
        r"masix.gns.ports.Pledge is 0, which names no such right of task 3",
    ),
    (
        PortTables,
        "pledges",
        {9: Pledge(NAME_SERVER, RightKind.SEND_ONCE, 2, 2, FOUND)},
        r"masix.gns.ports.Pledge is 3, which names no such right of task 3",
    ),
    (
        PortTables,
        "pledges",
        {9: Pledge(NAME_SERVER, RightKind.SEND, 2, 2, FOUND)},
        r"a host-side program of task 3 gives the right 3 away 2 times",
    ),
    (PortTables, "leaving", {9: Leaving(0, 2, FOUND)}, r"masix.gns.ports.Leaving.name is 0, which names no such right of task 3"),
    (PortTables, "charged", {FOUND: 99}, r"masix.gns.ports.PortTables cannot be so: what it keeps is charged wrongly"),
    (PortTables, "spares", [0], r"masix.gns.ports.PortTables.spares is 0, which names no such right of task 3"),
    (Udp, "registered", [b"x"], r"masix.protocols.udp.Udp.registered cannot be such a list"),
    (Udp, "next_port", 65536, r"masix.protocols.udp.Udp.next_port cannot be 65536"),
    (Udp, "waiting", waiting(999), r"machemu.user.message.Caller.reply is 999, which names no such right of task 2"),
    (Udp, "waiting", waiting(RECEIVE_RIGHT), r"machemu.user.message.Caller.reply is 7, which names no such right of task 2"),
    (Udp, "waiting", waiting(SEND_RIGHT, SEND_RIGHT), r"a host-side program of task 2 gives the right 3 away 3 times"),
    (ServerThread, "outbox", sends(MAKE_SEND, 999), r"a host-side program of task 3 sends with a right that it has not"),
    (
        Acs,
        "questions",
        {0: Question(Acs(), "start", ())},
        r"masix.acs.server.Acs cannot be so: somebody else waits for its answers",
    ),
    (Acs, "questions", asked("start"), r"machemu.user.kit.Question cannot be so: 'start' takes no answers"),
    (Acs, "questions", asked("_resolved", NOBODY, 1, 0), r"machemu.user.kit.Question cannot be so: 1 is in it"),
    (Acs, "questions", asked("_resolved", NOBODY), r"machemu.user.kit.Question cannot be so: missing a required argument"),
    (Udp, "questions", asked("_opened", RECEIVE_RIGHT, NOBODY), r"masix.protocols.udp.Udp cannot be so: other sockets are being"),
    (Udp, "receivers", {RECEIVE_RIGHT: Socket(5, b"", 0)}, r"masix.protocols.udp.Udp cannot be so: its receivers are not"),
    (Arp, "ip", bytes(5), r"masix\.protocols\.arp\.Arp\.ip cannot be b"),
    (Arp, "known", {bytes(3): Known(bytes(6), 9)}, r"masix\.protocols\.arp\.Arp\.known cannot be such a dict"),
    (Arp, "answers", deque([(bytes(4), bytes(7))]), r"masix\.protocols\.arp\.Arp\.answers cannot be such a deque"),
    (Udp, "sockets", {RECEIVE_RIGHT: Socket(5, bytes(3), 0)}, r"masix\.protocols\.sockets\.Socket\.remote cannot be b"),
    (Udp, "waiting", {bytes(4): deque([(5, 65536, b"x")])}, r"masix\.protocols\.udp\.Udp\.waiting cannot be such a dict"),
    (Keyring, "secret", bytes(31), r"masix\.transport\.session\.Keyring\.secret cannot be b"),
    (Udp, "registered", [SEND_RIGHT] * 3, r"masix.protocols.udp.Udp cannot be so: it has registered too many protocols"),
    (Membership, "timers", {77: 5}, r"masix.transport.transport.Transport cannot be so: something is due for nobody"),
    (Membership, "versions", (2, 1), r"masix.transport.transport.Transport cannot be so: it speaks no version"),
    (Sender, "in_flight", 12345, r"masix.transport.sender.Sender cannot be so: what is under way is counted wrongly"),
    (Sender, "window", 0, r"masix.transport.sender.Sender cannot be so: its window cannot be"),
    (ServerThread, "area", 64, r"a host-side program of task 3 does not have the memory that it says"),
    (ServerThread, "size", 1, r"machemu.user.thread.ServerThread cannot be so: it has too little memory"),
    (ServerThread, "number", 2, r"machemu.user.thread.ServerThread cannot be so: it does not make trap 2 so"),
    (Port, "payload", 3, r"a host-side program of task 3 gets a payload, and not its name, for a port"),
    (ServerTask, "port", 0, r"a host-side program of task 3 receives from nothing"),
    (ServerTask, "names", {"task": 999}, r"a host-side program of task 3 knows another port as task"),
    (ServerThread, "arguments", (), r"a host-side program of task 3 waits in another trap than it made"),
    (Thread, "retval", 99, r"a host-side program of task 3 cannot have got 0x63"),
    (
        Thread,
        "ith_kmsg",
        Kmsg(b""),
        r"a thread waits in MsgContinuation.RECEIVE without what it goes on with",
    ),
    (Cluster, "time", 1 << 61, r"a node has not come to the time to which all have come"),
    (Segment, "properties", Properties(bandwidth=0), r"machemu.cluster.lan.Segment.properties cannot be such a Properties"),
    (
        ServerTask,
        "names",
        lambda task: {"name-server": task.port},
        r"a host-side program of task 3 has no such right as name-server",
    ),
    (ServerTask, "names", {"name-server": 999}, r"a host-side program of task 3 has no such right as name-server"),
    (ServerTask, "server", 5, r"machemu.user.task.ServerTask.server cannot be 5"),
]


@pytest.mark.parametrize(("kind", "slot", "value", "message"), CASES, ids=[f"{kind.__name__}.{slot}" for kind, slot, *_ in CASES])
def test_what_a_server_cannot_hold_is_refused_and_named(
    kind: type, slot: str, value: Any, message: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saved"
    changed = part(cluster, kind)
    with monkeypatch.context() as patch:
        patch.setattr(changed, slot, value(changed) if callable(value) else value)
        if isinstance(changed, PortTables) and slot != "charged":
            patch.setattr(changed, "charged", changed.charges())
        cluster.save(path)
    with pytest.raises(UserError, match=f"{path}: is damaged: .*{message}"):
        Cluster.load(path, SPEC)


def test_what_they_do_hold_is_taken(cluster: Cluster, tmp_path: Path) -> None:
    cluster.save(tmp_path / "saved")
    with Cluster.load(tmp_path / "saved", SPEC) as loaded:
        assert loaded.digest() == cluster.digest()


def test_parts_of_a_server_that_could_not_be_sent_are_refused() -> None:
    with pytest.raises(slots.SlotError, match=r"Handshake\.nonce cannot be b"):
        slots.check([Handshake(bytes(15), 0)])
    with pytest.raises(slots.SlotError, match=r"Protocol\.filter cannot be such a dict"):
        slots.check([Protocol(b"x", {6: (65535, 65536)}, 0)])


def test_what_a_question_is_about_names_rights_as_its_method_says() -> None:
    (question,) = asked("_opened", 999, NOBODY)(Udp(1)).values()
    assert [(place, name.types, value) for place, name, value in slots.names_in(question)] == [
        ("machemu.user.kit.Question", TYPE_RECEIVE, 999)
    ]


@pytest.mark.parametrize("architecture", ["i386", "m68k"])
def test_a_cluster_with_messages_that_wait_for_a_full_queue_goes_on_the_same(architecture: str, tmp_path: Path) -> None:
    text = sleepers(architecture, 100)
    with World(text) as world:
        world.run(1200 * MS)
        (server,) = world.programs("a", Gns)
        assert any(export.waiting for export in server.tables.exports.values())
        world.cluster.save(tmp_path / "saved")
        world.run(3000 * MS)
        digest = world.cluster.digest()
    with World(text, load=tmp_path / "saved") as world:
        world.run(3000 * MS)
        assert world.cluster.digest() == digest
        assert world.programs("a", Sleeper)[0].heard == pushed(100)
