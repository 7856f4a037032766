"""The name server as a guest: it answers whatever is sent to it as the one in Python does, and what it keeps has limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_SEND
from machemu.kern.task import Task
from machemu.mig.interfaces.mach import VM_ALLOCATE
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.mach import rights as rights_of
from machemu.user.message import Header, Message
from machemu.user.server import Server
from masix.acs.server import GENERIC, LOOK_UPS_OF_ONE, NAMES_OF_ONE
from masix.interfaces import acs, gns, netname
from tests.support.guests import ARCHS, Arch
from tests.support.machine import IMAGES
from tests.support.name_servers import PLACES, both_places
from tests.support.net import serve_two
from tests.support.scripted import NOT_THERE, SECOND_NS, SUCCESS, Scripted, Served, own, ran, registration

NAMES_MAX, LOOK_UPS_MAX = 2048, 64
"""What the guest keeps."""
NO_ROOM, SERVER_DIED = 6, -308
COPY, MAKE, ONCE, MOVE = (int(name) for name in (COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_SEND))
CHAR, STRING, INT, BOOLEAN, NAME = 8, 12, 2, 0, 15


class Part(NamedTuple):
    """An item of a request: its descriptor; its bytes, or the rights that it brings. A long one has a long descriptor."""

    name: int
    size: int
    number: int
    data: bytes = b""
    rights: tuple[str, ...] = ()
    inline: bool = True
    long: bool = False


TEXTS = st.sampled_from([b"", b"a", b"b", b"gns", b"n" * 78 + b"\0x", b"n" * 79, b"n" * 80])
RIGHTS = st.sampled_from(["null", "dead", "own", "other"])
ACS_NAMES = TEXTS.map(lambda text: Part(STRING, 8, 80, text.ljust(80, b"\0")))
NETNAMES = TEXTS.map(lambda text: Part(CHAR, 8, 80, text.ljust(80, b"\0")))
BOOLEANS = st.just(Part(BOOLEAN, 32, 1, bytes(4)))
SERVICES = st.builds(lambda right, name: Part(name, 32, 1, rights=(right,)), RIGHTS, st.sampled_from([COPY, COPY, COPY, ONCE]))
CLIENTS = st.sampled_from(["null", "dead", "own", "acs", "acs"]).map(lambda right: Part(COPY, 32, 1, rights=(right,)))
REGISTRATIONS = st.sampled_from(["registration", "registration", "own"]).map(lambda right: Part(COPY, 32, 1, rights=(right,)))
ROUTINES: dict[int, tuple[st.SearchStrategy[Part], ...]] = {
    acs.ACS_REGISTER.request.id: (ACS_NAMES, BOOLEANS, SERVICES),
    acs.ACS_LOOK_UP.request.id: (ACS_NAMES,),
    acs.ACS_UNREGISTER.request.id: (ACS_NAMES, REGISTRATIONS),
    acs.ACS_REPLACE.request.id: (ACS_NAMES, REGISTRATIONS, SERVICES),
    acs.ACS_LOOK_UP_HERE.request.id: (ACS_NAMES,),
    acs.ACS_WATCH.request.id: (SERVICES,),
    acs.ACS_IS_CLIENT.request.id: (CLIENTS,),
    netname.NETNAME_CHECK_IN.request.id: (NETNAMES, SERVICES, SERVICES),
    netname.NETNAME_LOOK_UP.request.id: (NETNAMES, NETNAMES),
    netname.NETNAME_CHECK_OUT.request.id: (NETNAMES, SERVICES),
    netname.NETNAME_VERSION.request.id: (),
}
WRONG = st.one_of(
    st.builds(
        lambda name, n: Part(name, 8, n, b"ab"), st.sampled_from([CHAR, STRING, INT, 9, NAME]), st.sampled_from([0, 1, 79, 81])
    ),
    st.just(Part(STRING, 8, 80, b"a", long=True)),
    st.just(Part(CHAR, 8, 20_000, b"large", long=True)),
    st.builds(lambda size: Part(CHAR, 8, size, inline=False), st.sampled_from([0, 80, 5000])),
    st.lists(RIGHTS, max_size=3).map(lambda rights: Part(COPY, 32, len(rights), rights=tuple(rights))),
    st.just(Part(COPY, 32, 1, rights=("own",), long=True)),
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[int, list[Part]]:
    """A message id and its items: those of a routine, or with one of them wrong, missing or too many."""
    msgh_id = draw(st.sampled_from([*ROUTINES, *ROUTINES]))
    parts = [draw(part) for part in ROUTINES[msgh_id]]
    what = draw(st.sampled_from(["", "", "", "wrong", "more", "less", "id"]))
    place = draw(st.integers(0, max(0, len(parts) - 1)))
    if what == "wrong":
        parts[place : place + 1] = [draw(WRONG)]
    elif what == "more":
        parts.insert(place, draw(st.one_of(WRONG, SERVICES, ACS_NAMES)))
    elif what == "less" and parts:
        parts.pop(place)
    return draw(st.integers(0, 6000)) if what == "id" else msgh_id, parts


@state
class Talker(Server):
    """Sends requests one after the other. answers: for each its reply's id, bytes and rights, or why it could not be sent.
    heard: what came to the ports that it gives away.
    """

    __slots__ = ("answers", "arch", "both", "heard", "memory", "ports", "reply", "requests")

    def __init__(self, arch: Arch, requests: list[tuple[int, list[Part]]]) -> None:
        self.arch = arch
        self.requests = requests
        self.answers: list[Any] = []
        self.heard: list[Any] = []
        self.ports: dict[str, int] = {}
        self.memory = self.both = self.reply = 0

    def start(self, mach: Mach) -> None:
        mine, self.reply, self.both = serve_two(mach)
        other = mach.make_send(mach.allocate_port())
        mach.move_member(other, self.both)
        self.ports = {"null": 0, "own": mine, "other": other, "acs": mach.given("name-server"), "registration": 0}
        (self.memory,) = mach.call(VM_ALLOCATE, mach.task_self(), 0, 8192, 1)
        self._ask(mach)

    def _ask(self, mach: Mach) -> None:
        if self.requests:
            msgh_id, parts = self.requests.pop(0)
            body = b"".join(self._encoded(mach, part) for part in parts)
            complex = any(part.rights or part.name in (COPY, ONCE) or not part.inline for part in parts)
            header = Header(self.ports["acs"], COPY, self.reply, MAKE_SEND_ONCE, msgh_id)
            mach.send(Message(header, body, (), complex))

    def _encoded(self, mach: Mach, part: Part) -> bytes:
        if part.long:
            head = self.arch.long_item(part.name, part.size, part.number, part.inline)
        else:
            head = self.arch.pack("I", self.arch.item(part.name, part.size, part.number, part.inline))
        if not part.inline:
            return head + self.arch.pack("I", self.memory)
        if part.rights or part.name in (COPY, ONCE):
            return head + self.arch.pack(f"{len(part.rights)}I", *(self._right(mach, right) for right in part.rights))
        size = part.number * part.size // 8
        return head + part.data[:size].ljust(size + -size % 4, b"\0")

    def _right(self, mach: Mach, what: str) -> int:
        if what == "dead":
            port = mach.make_send(mach.allocate_port())
            mach.destroy_receive(port)
            return port
        return self.ports[what]

    def receive(self, mach: Mach, message: Message) -> None:
        labels = {name: what for what, name in self.ports.items()}
        rights = [labels.get(name, "unknown") for name, _ in rights_of(message)]
        found = (message.header.id, len(message.body), message.body[:8] if message.carried else message.body, rights)
        (self.answers if message.header.local == self.reply else self.heard).append(found)
        if message.header.id == acs.ACS_REGISTER.request.id + 100 and message.carried:
            self.ports["registration"] = rights_of(message)[0][0]
        else:
            mach.destroy(message)
        if message.header.local == self.reply:
            self._ask(mach)

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        self.answers.append(code)
        self._ask(mach)


def kept(task: Task) -> tuple[int, int]:
    """How many names a task has, and how many bytes of memory."""
    assert task.map is not None
    return len(list(task.space.entries())), task.map.size


def told(arch: Arch, place: str, asked: list[tuple[int, list[Part]]]) -> tuple[list[Any], list[Any]]:
    talker = Talker(arch, list(asked))
    with Served(arch, place) as machine:
        machine.run(SECOND_NS // 10)
        before = kept(machine.tasks[0])
        machine.add(talker)
        machine.run(SECOND_NS)
        assert machine.kernel.halted is None and not talker.requests
        machine.end(machine.tasks[1])
        machine.run(SECOND_NS)
        assert machine.tasks[0].active
        assert kept(machine.tasks[0]) == before
    return talker.answers, sorted(talker.heard, key=repr)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(list(ARCHS.values())), st.lists(requests(), min_size=5, max_size=40))
def test_whatever_is_sent_to_it_is_answered_as_the_server_in_python_does(arch: Arch, asked: list[Any]) -> None:
    """And both keep nothing, when whoever asked has ended."""
    in_python, in_c = (told(arch, place, asked) for place in PLACES)
    assert in_c == in_python


def test_the_page_says_what_it_has_room_for() -> None:
    page = (IMAGES.parent / "docs" / "masix.md").read_text()
    assert f"The guest keeps {NAMES_MAX:,} names at most" in page and f"and {LOOK_UPS_MAX} look-ups that" in page


def registering(names: Sequence[bytes]) -> list[Any]:
    return [(acs.ACS_REGISTER, lambda p, m, name=name: (name, 0, own(p, m))) for name in names]


@both_places
@pytest.mark.slow
def test_it_has_room_for_so_many_names_and_a_name_that_leaves_makes_room(arch: Arch, place: str) -> None:
    room = NAMES_MAX - len(GENERIC)
    names = [b"n%d" % n for n in range(room + 1)]
    others = [Scripted(registering(names[n : n + NAMES_OF_ONE])) for n in range(0, room - NAMES_OF_ONE, NAMES_OF_ONE)]
    last = names[len(others) * NAMES_OF_ONE :]
    program = Scripted(
        [
            *registering(last),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (last[-2],)),
            (acs.ACS_UNREGISTER, registration(last[7])),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (last[7],)),
            (acs.ACS_REGISTER, lambda p, m: (last[-1], 0, own(p, m))),
            (acs.ACS_LOOK_UP_HERE, lambda p, m: (last[-1],)),
            (acs.ACS_REGISTER, lambda p, m: (last[7], 0, own(p, m))),
        ]
    )
    with Served(arch, place) as machine:
        machine.run(SECOND_NS)
        before = kept(machine.tasks[0])
        for other in others:
            machine.add(other)
        machine.run(10 * SECOND_NS)
        assert all(code == SUCCESS for other in others for code, _ in other.answers)
        machine.add(program)
        machine.run(10 * SECOND_NS)
        codes = [code for code, _ in program.answers]
        assert codes == [*[SUCCESS] * (len(last) - 1), NO_ROOM, SUCCESS, SUCCESS, NOT_THERE, SUCCESS, SUCCESS, NO_ROOM]
        for task in machine.tasks[1:]:
            machine.end(task)
        machine.run(10 * SECOND_NS)
        assert kept(machine.tasks[0]) == before


@state
class Network(Scripted):
    """Stands for the network server: keeps what it is asked, and gives it up unanswered two seconds later."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        super().__init__([])
        self.held: list[Message] = []

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.request(acs.ACS_WATCH, mach.given("privilege"), (own(self, mach),))
        mach.alarm(2 * SECOND_NS)

    def receive(self, mach: Mach, message: Message) -> None:
        assert message.header.id == gns.GNS_RESOLVE.request.id
        self.held.append(message)

    def expired(self, mach: Mach) -> None:
        for message in self.held:
            mach.destroy(message)


@state
class Curious(Scripted):
    """Looks for so many names at once, half a second after its start."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        super().__init__([])
        self.count = count
        self.routine = acs.ACS_LOOK_UP

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(mach.now() + SECOND_NS // 2)

    def expired(self, mach: Mach) -> None:
        for n in range(self.count):
            mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (b"far %d" % n,), self.reply)


@both_places
def test_who_asked_is_told_that_the_network_server_gave_the_question_up(arch: Arch, place: str) -> None:
    network, curious = Network(), Curious(7)
    with ran(arch, place, network, curious) as machine:
        assert len(network.held) == 7 and not curious.answers
        machine.run(2 * SECOND_NS)
        assert [code for code, _ in curious.answers] == [SERVER_DIED] * 7


@both_places
def test_so_many_look_ups_wait_for_the_network_server_and_all_are_answered_when_it_gives_them_up(arch: Arch, place: str) -> None:
    network, curious = Network(), [Curious(LOOK_UPS_OF_ONE) for _ in range(LOOK_UPS_MAX // LOOK_UPS_OF_ONE)]
    everybody = [*curious, Curious(3)]
    with ran(arch, place, network, *everybody) as machine:
        assert [code for each in everybody for code, _ in each.answers] == [NO_ROOM] * 3 and len(network.held) == LOOK_UPS_MAX
        before = kept(machine.tasks[0])[0]
        machine.run(2 * SECOND_NS)
        later = [code for each in everybody for code, _ in each.answers]
        assert sorted(later) == sorted([NO_ROOM] * 3 + [SERVER_DIED] * LOOK_UPS_MAX)
        assert kept(machine.tasks[0])[0] <= before - LOOK_UPS_MAX
        late = Curious(1)
        machine.add(late)
        machine.run(SECOND_NS)
        assert len(network.held) == LOOK_UPS_MAX + 1
        machine.end(machine.tasks[-1])
