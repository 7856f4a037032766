"""The administration and configuration server of one node: names, netname, and what follows the death of a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_VALUE, KERN_NO_ACCESS, MIG_BAD_ID
from machemu.core.kernel import FOREVER
from machemu.kern import task_control
from machemu.mig.runtime import Routine
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.acs.server import WATCHERS_MAX
from masix.interfaces import acs, acs_client, netname
from tests.support.guests import Arch
from tests.support.name_servers import both_places
from tests.support.protocols import Task, bench
from tests.support.scripted import NOT_THE_SAME, NOT_THERE, SECOND_NS, SUCCESS, TAKEN, Scripted, own, ran, registration


@both_places
def test_a_service_is_found_by_its_name(arch: Arch, place: str) -> None:
    server = Scripted([(acs.ACS_REGISTER, lambda p, m: (b"files", 0, own(p, m)))])
    client = Scripted(
        [
            (acs.ACS_LOOK_UP, lambda p, m: (b"files",)),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (b"files",)),
            (acs.ACS_LOOK_UP, lambda p, m: (b"nobody",)),
        ]
    )
    with ran(arch, place, server, client):
        assert [code for code, _ in server.answers] == [SUCCESS]
        (first, (one,)), (second, (other,)), (third, _) = client.answers
        assert (first, second, third) == (SUCCESS, SUCCESS, NOT_THERE)
        assert one == other and isinstance(one, int)


@both_places
def test_a_name_is_taken_once_and_given_back_only_by_who_registered_it(arch: Arch, place: str) -> None:
    first = Scripted(
        [
            (acs.ACS_REGISTER, lambda p, m: (b"x", 0, own(p, m))),
            (acs.ACS_REGISTER, lambda p, m: (b"x", 0, own(p, m))),
            (acs.ACS_REGISTER, lambda p, m: (b"", 0, own(p, m))),
            (acs.ACS_REGISTER, lambda p, m: (b"y", 0, None)),
            (acs.ACS_UNREGISTER, lambda p, m: (b"x", m.copy_send(m.given("name-server")))),
            (acs.ACS_UNREGISTER, lambda p, m: (b"x", own(p, m))),
            (acs.ACS_UNREGISTER, registration(b"x")),
            (acs.ACS_UNREGISTER, registration(b"x")),
            (acs.ACS_REGISTER, lambda p, m: (b"x", 0, own(p, m))),
        ]
    )
    with ran(arch, place, first):
        refused = [NOT_THE_SAME, NOT_THE_SAME]
        assert [code for code, _ in first.answers] == [SUCCESS, TAKEN, 18, 18, *refused, SUCCESS, NOT_THERE, SUCCESS]


@both_places
def test_a_service_is_replaced_only_by_who_registered_it(arch: Arch, place: str) -> None:
    def other(program: Scripted, mach: Mach) -> int:
        return mach.copy_send(mach.given("name-server"))

    first = Scripted(
        [
            (acs.ACS_REGISTER, lambda p, m: (b"x", 0, own(p, m))),
            (acs.ACS_REPLACE, lambda p, m: (b"x", own(p, m), other(p, m))),
            (acs.ACS_REPLACE, lambda p, m: (*registration(b"x")(p, m), None)),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (b"x",)),
            (acs.ACS_REPLACE, lambda p, m: (*registration(b"x")(p, m), other(p, m))),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (b"x",)),
            (acs.ACS_REPLACE, lambda p, m: (b"y", own(p, m), own(p, m))),
            (acs.ACS_UNREGISTER, registration(b"x")),
        ]
    )
    with ran(arch, place, first):
        codes = [code for code, _ in first.answers]
        assert codes == [SUCCESS, NOT_THE_SAME, KERN_INVALID_VALUE, SUCCESS, SUCCESS, SUCCESS, NOT_THERE, SUCCESS]
        (mine,), (replaced,) = first.answers[3][1], first.answers[5][1]
        assert mine == first.port != replaced


@both_places
def test_what_was_registered_is_no_business_of_netname_s(arch: Arch, place: str) -> None:
    name = b"svc".ljust(80, b"\0")
    owner = Scripted(
        [
            (acs.ACS_REGISTER, lambda p, m: (b"svc", 0, own(p, m))),
            (netname.NETNAME_CHECK_OUT, lambda p, m: (name, registration(b"svc")(p, m)[1])),
            (netname.NETNAME_CHECK_OUT, lambda p, m: (name, None)),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name, registration(b"svc")(p, m)[1], own(p, m))),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name, None, own(p, m))),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (b"svc",)),
        ]
    )
    with ran(arch, place, owner):
        assert [code for code, _ in owner.answers] == [SUCCESS, 1000, 1000, 1000, 1000, SUCCESS]


@both_places
def test_essential_services_and_generic_servers_names_need_the_privilege(arch: Arch, place: str) -> None:
    names = [b"acs", b"gns", b"gps", b"gfs", b"gms", b"udp"]
    rude = Scripted(
        [
            (acs.ACS_REGISTER, lambda p, m: (b"vital", 1, own(p, m))),
            *((acs.ACS_REGISTER, lambda p, m, name=name: (name, 0, own(p, m))) for name in names),
            *((netname.NETNAME_CHECK_IN, lambda p, m, name=name: (name.ljust(80, b"\0"), None, own(p, m))) for name in names),
        ]
    )
    rude.is_rude = True
    with ran(arch, place, rude) as machine:
        assert [code for code, _ in rude.answers] == [KERN_NO_ACCESS] * (1 + len(names)) + [1000] * len(names)
        machine.end(machine.tasks[1])
        machine.run(5 * SECOND_NS)
        assert machine.kernel.halted is None


@both_places
def test_names_that_begin_with_a_dot_are_there_for_privileged_servers_alone(arch: Arch, place: str) -> None:
    name, padded = b".own", b".own".ljust(80, b"\0")
    owner = Scripted(
        [
            (acs.ACS_REGISTER, lambda p, m: (name, 0, own(p, m))),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (name,)),
            (acs.ACS_LOOK_UP, lambda p, m: (name,)),
            (acs.ACS_LOOK_UP, lambda p, m: (b".other",)),
        ]
    )
    rude = Scripted(
        [
            (acs.ACS_REGISTER, lambda p, m: (b".mine", 0, own(p, m))),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (name,)),
            (acs.ACS_LOOK_UP, lambda p, m: (name,)),
            (acs.ACS_LOOK_UP, lambda p, m: (b".other",)),
            (acs.ACS_REPLACE, lambda p, m: (name, own(p, m), own(p, m))),
            *((netname.NETNAME_LOOK_UP, lambda p, m, host=host: (host.ljust(80, b"\0"), padded)) for host in (b"", b"*", b"b")),
            (netname.NETNAME_CHECK_IN, lambda p, m: (padded, None, own(p, m))),
            (netname.NETNAME_CHECK_OUT, lambda p, m: (padded, None)),
            (acs.ACS_REGISTER, lambda p, m: (b"heard", 0, own(p, m))),
        ]
    )
    rude.is_rude = True
    watcher = Watching()
    with ran(arch, place, owner, watcher, rude) as machine:
        assert [code for code, _ in owner.answers] == [SUCCESS, SUCCESS, SUCCESS, NOT_THERE]
        refused = [KERN_NO_ACCESS] * 4 + [NOT_THE_SAME] + [KERN_NO_ACCESS] * 3 + [1000, 1000]
        assert [code for code, _ in rude.answers] == [*refused, SUCCESS]
        machine.end(machine.tasks[1])
        machine.run(SECOND_NS)
        assert [name for name, _ in watcher.heard] == [b"heard"]


@both_places
def test_the_port_of_privileged_servers_does_nothing_but_register_look_up_and_watch(arch: Arch, place: str) -> None:
    @state
    class Asking(Scripted):
        __slots__ = ()

        def _ask(self, mach: Mach) -> None:
            self.routine = acs.ACS_IS_CLIENT
            if not self.answers:
                mach.request(self.routine, mach.given("privilege"), (own(self, mach),), self.reply)

    program = Asking([])
    with ran(arch, place, program):
        assert [code for code, _ in program.answers] == [MIG_BAD_ID]


@both_places
def test_netname_s_programs_find_their_interface(arch: Arch, place: str) -> None:
    def name(text: bytes) -> bytes:
        return text.ljust(80, b"\0")

    program = Scripted(
        [
            (netname.NETNAME_VERSION, lambda p, m: ()),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name(b"svc"), own(p, m), own(p, m))),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name(b"svc"), None, own(p, m))),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name(b"svc"), own(p, m), own(p, m))),
            (netname.NETNAME_LOOK_UP, lambda p, m: (name(b""), name(b"svc"))),
            (netname.NETNAME_LOOK_UP, lambda p, m: (name(b""), name(b"none"))),
            (netname.NETNAME_LOOK_UP, lambda p, m: (name(b"*"), name(b"none"))),
            (netname.NETNAME_CHECK_OUT, lambda p, m: (name(b"svc"), None)),
            (netname.NETNAME_CHECK_OUT, lambda p, m: (name(b"svc"), own(p, m))),
            (netname.NETNAME_CHECK_OUT, lambda p, m: (name(b"svc"), own(p, m))),
        ]
    )
    with ran(arch, place, program):
        assert [code for code, _ in program.answers] == [0, 0, 1000, 0, 0, 1001, 1001, 1000, 0, 1001]
        assert program.answers[0][1][0].startswith(b"Masix")


def dead(program: Scripted, mach: Mach) -> int:
    """A dead name."""
    port = mach.make_send(mach.allocate_port())
    mach.destroy_receive(port)
    return port


@both_places
def test_dead_rights_and_services_that_cannot_be_change_nothing(arch: Arch, place: str) -> None:
    """The signature of a name that was checked in with a dead one is none."""
    name = b"svc".ljust(80, b"\0")
    program = Scripted(
        [
            (acs.ACS_REGISTER, lambda p, m: (b"dead", 0, dead(p, m))),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (b"dead",)),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name, dead(p, m), own(p, m))),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name, dead(p, m), own(p, m))),
            (netname.NETNAME_CHECK_OUT, lambda p, m: (name, dead(p, m))),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name, own(p, m), own(p, m))),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name, own(p, m), None)),
            (netname.NETNAME_LOOK_UP, lambda p, m: (bytes(80), name)),
            (netname.NETNAME_CHECK_IN, lambda p, m: (b"other".ljust(80, b"\0"), dead(p, m), own(p, m))),
        ]
    )
    with ran(arch, place, program) as machine:
        refused = KERN_INVALID_VALUE
        codes = [code for code, _ in program.answers]
        assert codes == [refused, 15, 0, 0, 0, 0, refused, 0, 0]
        machine.end(machine.tasks[1])
        machine.run(SECOND_NS)
        machine.leave_nothing()


@both_places
def test_a_dead_service_is_forgotten(arch: Arch, place: str) -> None:
    server = Scripted([(acs.ACS_REGISTER, lambda p, m: (b"files", 0, own(p, m)))])
    with ran(arch, place, server) as machine:
        before = machine.usage()
        machine.end(machine.tasks[1])
        machine.run(SECOND_NS)
        assert machine.kernel.halted is None
        assert machine.usage().ports < before.ports


@both_places
def test_when_an_essential_server_dies_the_others_save_and_the_node_reboots(arch: Arch, place: str) -> None:
    essential = Scripted([(acs.ACS_REGISTER, lambda p, m: (b"vital", 1, own(p, m)))])
    other = Scripted([(acs.ACS_REGISTER, lambda p, m: (b"files", 0, own(p, m)))])
    with ran(arch, place, essential, other) as machine:
        machine.end(machine.tasks[1])
        machine.run(5 * SECOND_NS)
        assert other.received == [acs_client.ACS_SAVE_AND_END.request.id]
        assert machine.kernel.halted is not None
        assert machine.kernel.kern.clock.now() < 2 * SECOND_NS


@both_places
def test_a_server_that_does_not_answer_does_not_keep_the_node_up(arch: Arch, place: str) -> None:
    class Silent(Scripted):
        __slots__ = ()

        def receive(self, mach: Mach, message: Message) -> None:
            if message.header.local != self.port:
                super().receive(mach, message)
            else:
                mach.destroy(message)
                mach.serve(0) if False else None

    essential = Scripted([(acs.ACS_REGISTER, lambda p, m: (b"vital", 1, own(p, m)))])
    silent = Silent([(acs.ACS_REGISTER, lambda p, m: (b"mute", 0, own(p, m)))])
    with ran(arch, place, essential, silent) as machine:
        machine.end(machine.tasks[1])
        machine.run(5 * SECOND_NS)
        assert machine.kernel.halted is not None


@both_places
def test_a_network_server_that_dies_while_a_name_is_asked_for_takes_nobody_with_it(arch: Arch, place: str) -> None:
    """The question cannot be sent, and only then the notification comes."""
    with bench(arch, place=place) as on:
        task = Task(on)
        (gns,) = (each for each in on.machine.tasks if each.name == "gns")
        task.ask(on.name_server, acs.ACS_LOOK_UP, b"far away")
        task_control.terminate(on.machine.kernel.kern, gns)
        on.run()
        assert task.answer(acs.ACS_LOOK_UP) == (KERN_FAILURE,)
        assert task.call(on.name_server, acs.ACS_LOOK_UP, b"gns") == (NOT_THERE,)


@state
class Watching(Scripted):
    """Watches the name server, and receives what that tells from a time on. heard: the names that entered, with the name of the
    service's port, and those that left, with 0."""

    __slots__ = ("both", "heard", "time", "watched")

    def __init__(self, time: int = 0) -> None:
        super().__init__([])
        self.time = time
        self.heard: list[tuple[bytes, int]] = []

    def start(self, mach: Mach) -> None:
        self.both = mach.allocate_port_set()
        self.watched = mach.make_send(mach.allocate_port())
        mach.serve(self.both)
        mach.alarm(None if self.time == FOREVER else self.time)
        mach.request(acs.ACS_WATCH, mach.given("name-server"), (mach.copy_send(self.watched),))

    def receive(self, mach: Mach, message: Message) -> None:
        for routine in (acs_client.ACS_NAME_ENTERED, acs_client.ACS_NAME_LEFT):
            if message.header.id == routine.request.id:
                name, *service = routine.request.unpack(mach.order, message.body, message.carried, message.complex)
                self.heard.append((name, service[0] if service else 0))
        mach.destroy(message)

    def expired(self, mach: Mach) -> None:
        mach.move_member(self.watched, self.both)


def burst(count: int) -> list[tuple[Routine, Callable[[Scripted, Mach], tuple[Any, ...]]]]:
    return [
        step
        for n in range(count)
        for step in (
            (acs.ACS_REGISTER, lambda p, m, n=n: (b"n%d" % n, 0, own(p, m))),
            (acs.ACS_UNREGISTER, registration(b"n%d" % n)),
        )
    ]


@both_places
def test_a_watcher_hears_of_names_that_are_there_come_and_go(arch: Arch, place: str) -> None:
    def name(text: bytes) -> bytes:
        return text.ljust(80, b"\0")

    first = Scripted([(acs.ACS_REGISTER, lambda p, m: (b"old", 0, own(p, m)))])
    second = Scripted(
        [
            (acs.ACS_REGISTER, lambda p, m: (b"new", 0, own(p, m))),
            (acs.ACS_UNREGISTER, registration(b"new")),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name(b"svc"), own(p, m), own(p, m))),
            (netname.NETNAME_CHECK_IN, lambda p, m: (name(b"svc"), own(p, m), m.copy_send(m.given("name-server")))),
            (netname.NETNAME_CHECK_IN, lambda p, m: (b"x" * 80, None, own(p, m))),
        ]
    )
    watcher = Watching()
    with ran(arch, place, first, watcher, second) as machine:
        last: dict[bytes, bool] = {name: bool(port) for name, port in watcher.heard}
        assert last == {b"old": True, b"new": False, b"svc": True}
        assert [bool(port) for name, port in watcher.heard if name == b"svc"] == [True, False, True]
        machine.end(machine.tasks[1])
        machine.run(SECOND_NS)
        assert watcher.heard[-1] == (b"old", 0)


@both_places
def test_a_watcher_that_does_not_receive_holds_nobody_up_and_hears_what_holds_when_it_does(arch: Arch, place: str) -> None:
    late = Watching(2 * SECOND_NS)
    busy = Scripted([*burst(200), (acs.ACS_REGISTER, lambda p, m: (b"last", 0, own(p, m)))])
    with ran(arch, place, late, busy) as machine:
        assert len(busy.answers) == 401 and not any(code for code, _ in busy.answers)
        assert not late.heard
        machine.run(2 * SECOND_NS)
        assert len(late.heard) < 30 and late.heard[-1][0] == b"last"
        heard = dict(late.heard)
        assert heard.pop(b"last") and not any(heard.values())


@both_places
def test_watchers_are_few_and_the_place_of_a_dead_one_is_free(arch: Arch, place: str) -> None:
    watchers = [Watching() for _ in range(WATCHERS_MAX + 1)]
    service = Scripted([(acs.ACS_REGISTER, lambda p, m: (b"x", 0, own(p, m)))])
    with ran(arch, place, *watchers, service) as machine:
        deaf = [number for number, watcher in enumerate(watchers) if not watcher.heard]
        assert len(deaf) == 1
        tasks = machine.tasks
        gone = [number for number in range(len(watchers)) if number not in deaf][:2]
        for number in gone:
            machine.end(tasks[1 + number])
        machine.run(SECOND_NS)
        more = [Watching() for _ in range(3)]
        for watcher in more:
            machine.add(watcher)
        machine.run(SECOND_NS)
        assert sorted(len(watcher.heard) for watcher in more) == [0, 1, 1]
        machine.end(tasks[-1])
        machine.run(SECOND_NS)
        for number, watcher in enumerate(watchers):
            assert [bool(port) for _, port in watcher.heard] == (
                [] if number in deaf else [True] if number in gone else [True, False]
            )


@both_places
def test_what_cannot_watch_and_who_watches_twice_changes_nothing(arch: Arch, place: str) -> None:
    """Whose requests carry no right, and the name server itself."""
    watch = Routine("acs_watch", acs.ACS_WATCH.request, acs.ACS_UNREGISTER.reply)
    program = Scripted(
        [
            (watch, lambda p, m: (None,)),
            (watch, lambda p, m: (m.copy_send(m.given("name-server")),)),
            (watch, lambda p, m: (m.copy_send(m.given("name-server")),)),
            (acs.ACS_REGISTER, lambda p, m: (b"x", 0, own(p, m))),
            (acs.ACS_UNREGISTER, registration(b"x")),
        ]
    )
    with ran(arch, place, program):
        assert [code for code, _ in program.answers] == [18, SUCCESS, 6, SUCCESS, SUCCESS]


@both_places
def test_a_service_whose_queue_is_full_does_not_keep_the_node_up(arch: Arch, place: str) -> None:
    @state
    class Full(Scripted):
        __slots__ = ()

        def start(self, mach: Mach) -> None:
            super().start(mach)
            mach.move_member(self.port, 0)
            for _ in range(8):
                mach.send(Message(Header(self.port, 19, 0, 0, 1), b"", (), False), timeout=1)

        def unsent(self, mach: Mach, message: Message, code: int) -> None: ...

    essential = Scripted([(acs.ACS_REGISTER, lambda p, m: (b"vital", 1, own(p, m)))])
    full = Full([(acs.ACS_REGISTER, lambda p, m: (b"full", 0, own(p, m)))])
    with ran(arch, place, essential, full) as machine:
        machine.end(machine.tasks[1])
        machine.run(5 * SECOND_NS)
        assert machine.kernel.halted is not None
