"""What one client can make a name server keep: it is refused what is beyond its part, and the others have theirs.

A client is a task that the loader has started, with its children: they have a port of the name server's of their own.
"""

from __future__ import annotations

from typing import Any

from machemu.abi.kern_return import KERN_RESOURCE_SHORTAGE
from machemu.abi.message import COPY_SEND, MAKE_SEND
from machemu.abi.port import QLIMIT_DEFAULT
from machemu.core.host_side import launch
from machemu.core.name_server import client_port
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS
from machemu.mig.runtime import PolyPort
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.acs.server import LOOK_UPS_OF_ONE, NAMES_OF_ONE, WATCHERS_OF_ONE
from masix.interfaces import acs, netname
from tests.support.clusters import ROOT
from tests.support.guests import Arch
from tests.support.name_servers import both_places
from tests.support.scripted import SECOND_NS, SUCCESS, Scripted, own, ran, registration

NO_ROOM = KERN_RESOURCE_SHORTAGE
NAMES = [b"n%d" % n for n in range(NAMES_OF_ONE + 1)]


def padded(name: bytes) -> bytes:
    return name.ljust(80, b"\0")


def registers(*names: bytes) -> list[Any]:
    return [(acs.ACS_REGISTER, lambda p, m, name=name: (name, 0, own(p, m))) for name in names]


def checks_in(name: bytes) -> tuple[Any, Any]:
    return netname.NETNAME_CHECK_IN, lambda p, m: (padded(name), None, own(p, m))


def codes(program: Scripted) -> list[int]:
    return [code for code, _ in program.answers]


def test_the_page_says_what_one_client_may_have() -> None:
    page = (ROOT / "docs" / "masix.md").read_text()
    for kept, most in (
        ("names", NAMES_OF_ONE),
        ("look-ups that wait for the network server", LOOK_UPS_OF_ONE),
        ("watchers", WATCHERS_OF_ONE),
        ("requests in the queue of its port", QLIMIT_DEFAULT),
    ):
        assert f"| {kept} | {most}" in page


@both_places
def test_who_has_all_the_names_that_one_may_have_leaves_the_others_theirs(arch: Arch, place: str) -> None:
    greedy = Scripted(
        [
            checks_in(b"mine"),
            *registers(*NAMES[:-1]),
            checks_in(b"more"),
            checks_in(b"mine"),
            (acs.ACS_UNREGISTER, registration(NAMES[0])),
            *registers(NAMES[-1], NAMES[0]),
        ]
    )
    other = Scripted([*registers(b"other"), (acs.ACS_LOOK_UP, lambda p, m: (NAMES[1],))])
    with ran(arch, place) as machine:
        machine.add(greedy)
        machine.run(5 * SECOND_NS)
        machine.add(other)
        machine.run(SECOND_NS)
        assert codes(greedy) == [*[SUCCESS] * NAMES_OF_ONE, NO_ROOM, NO_ROOM, SUCCESS, SUCCESS, SUCCESS, NO_ROOM]
        assert codes(other) == [SUCCESS, SUCCESS]


@both_places
def test_who_has_all_names_takes_over_no_other_and_leaves_it_as_it_was(arch: Arch, place: str) -> None:
    """A name that was checked in without a signature is free to take."""
    owner = Scripted([checks_in(b"free")])
    greedy = Scripted([*registers(*NAMES[:-1]), checks_in(b"free"), (acs.ACS_LOOK_UP, lambda p, m: (b"free",))])
    looker = Scripted([(acs.ACS_LOOK_UP, lambda p, m: (b"free",))])
    with ran(arch, place, owner) as machine:
        machine.add(greedy)
        machine.add(looker)
        machine.run(5 * SECOND_NS)
        assert codes(greedy) == [*[SUCCESS] * NAMES_OF_ONE, NO_ROOM, SUCCESS]
        assert codes(looker) == [SUCCESS]
        machine.end(machine.tasks[1])
        machine.run(SECOND_NS)
        late = Scripted([(acs.ACS_LOOK_UP_HERE, lambda p, m: (b"free",))])
        machine.add(late)
        machine.run(SECOND_NS)
        assert codes(late) != [SUCCESS], "it was the owner's still"


@state
class Asking(Scripted):
    """Sends requests at once, each without waiting for an answer to the one before."""

    __slots__ = ("count", "watches")

    def __init__(self, count: int, watches: bool = False) -> None:
        super().__init__([])
        self.count = count
        self.watches = watches
        self.routine = acs.ACS_LOOK_UP

    def start(self, mach: Mach) -> None:
        super().start(mach)
        for n in range(self.count):
            if self.watches:
                port = PolyPort(mach.allocate_port(), MAKE_SEND)
                mach.request(acs.ACS_WATCH, mach.given("name-server"), (port,), self.reply)
            else:
                mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (b"far %d" % n,), self.reply)


@state
class Silent(Scripted):
    """Stands for a network server that answers nothing."""

    __slots__ = ("asked_for",)

    def __init__(self) -> None:
        super().__init__([])
        self.asked_for = 0

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.request(acs.ACS_WATCH, mach.given("privilege"), (own(self, mach),))

    def receive(self, mach: Mach, message: Message) -> None:
        self.asked_for += 1


@both_places
def test_look_ups_of_one_client_that_wait_leave_the_others_room(arch: Arch, place: str) -> None:
    network, greedy, other = Silent(), Asking(LOOK_UPS_OF_ONE + 5), Asking(1)
    with ran(arch, place, network) as machine:
        machine.add(greedy)
        machine.run(SECOND_NS)
        assert codes(greedy) == [NO_ROOM] * 5 and network.asked_for == LOOK_UPS_OF_ONE
        machine.add(other)
        machine.run(SECOND_NS)
        assert not other.answers and network.asked_for == LOOK_UPS_OF_ONE + 1
        for task in reversed(machine.tasks[1:]):
            machine.end(task)


@both_places
def test_one_client_has_few_watchers(arch: Arch, place: str) -> None:
    greedy, other = Asking(WATCHERS_OF_ONE + 3, watches=True), Asking(1, watches=True)
    with ran(arch, place) as machine:
        machine.add(greedy)
        machine.add(other)
        machine.run(SECOND_NS)
        assert codes(greedy) == [SUCCESS] * WATCHERS_OF_ONE + [NO_ROOM] * 3 and codes(other) == [SUCCESS]


@both_places
def test_a_client_that_ends_leaves_nothing_of_its_port(arch: Arch, place: str) -> None:
    with ran(arch, place) as machine:
        before = len(machine.kernel.ipc.ports), len(list(machine.tasks[0].space.entries()))
        for _ in range(3):
            for _ in range(5):
                machine.add(Scripted(registers(b"x")))
            machine.run(SECOND_NS)
            for task in machine.tasks[1:]:
                machine.end(task)
            machine.run(SECOND_NS)
            assert (len(machine.kernel.ipc.ports), len(list(machine.tasks[0].space.entries()))) == before
        assert len([port for port in machine.name_server.clients if port.active]) == 0


@state
class Forger(Scripted):
    """Tells the name server that nobody has its own port any more, and then asks on."""

    __slots__ = ()

    def start(self, mach: Mach) -> None:
        self.forge(mach)
        super().start(mach)

    def forge(self, mach: Mach) -> None:
        body = (mach.order.prefix == "<" and b"\x02\x20\x01\x10") or b"\x02\x20\x00\x18"
        server = mach.given("name-server")
        mach.send(Message(Header(server, COPY_SEND, 0, 0, MACH_NOTIFY_NO_SENDERS.request.id), body + bytes(4), (), False))


@both_places
def test_the_end_of_a_client_cannot_be_forged(arch: Arch, place: str) -> None:
    forger = Forger(registers(*NAMES))
    with ran(arch, place) as machine:
        machine.add(forger)
        machine.run(5 * SECOND_NS)
        assert codes(forger) == [*[SUCCESS] * NAMES_OF_ONE, NO_ROOM]


@both_places
def test_who_shares_a_port_shares_its_part(arch: Arch, place: str) -> None:
    """As a task and its children do."""
    half = NAMES_OF_ONE // 2
    with ran(arch, place) as machine:
        port = client_port(machine.kernel, machine.name_server)
        programs = [Scripted(registers(*names)) for names in (NAMES[:half], NAMES[half:])]
        for program in programs:
            launch(machine.kernel, program, "family", {"name-server": port})
        machine.run(5 * SECOND_NS)
        assert [code for program in programs for code in codes(program)].count(NO_ROOM) == 1
