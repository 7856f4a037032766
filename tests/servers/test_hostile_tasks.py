"""Tasks that send the servers of their node whatever the kernel lets through: no server fails, and nothing is left of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE
from machemu.mig.runtime import FIXED, PolyPort, Routine
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.interfaces import acs, acs_client, gns, gns_protocol, netname
from tests.support.guests import I386, M68K
from tests.support.name_servers import GUEST, HOST
from tests.support.net import Program, item, net

INTERFACES = (acs, acs_client, gns, gns_protocol, netname)
ROUTINES = {routine.name: routine for interface in INTERFACES for routine in interface.ROUTINES.values()}
RIGHTS = ("null", "dead", "own", "server", "task")
NAMES = st.sampled_from((b"", b"gns", b"a", b"b", b"n" * 79))
NUMBERS = st.one_of(st.integers(0, 2), st.integers(0, 1 << 31), st.just(0x800))
CALLS = st.tuples(
    st.sampled_from(("acs", "acs", "gns", "found")),
    st.one_of(*[st.sampled_from(sorted(ROUTINES))] * 4, st.integers(0, 6000), st.sampled_from((64, 70, 71, 72, 4100))),
    st.lists(st.tuples(NAMES, st.sampled_from(RIGHTS), NUMBERS), min_size=5, max_size=5),
    st.sampled_from(("reply", "own", "none")),
)


@state
class Hostile(Program):
    """Sends what `calls` say: the server, the routine or message, its arguments as far as they fit, and where the answer goes."""

    __slots__ = ("arch", "calls", "gns")

    def __init__(self, arch: Any, calls: list[Any]) -> None:
        super().__init__()
        self.arch = arch
        self.calls = calls
        self.gns = 0

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (b"gns",), self.reply)

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.local == self.reply and message.header.id == acs.ACS_LOOK_UP.request.id + 100 and message.carried:
            right = message.carried[0].port  # type: ignore[union-attr]
            if self.gns:
                self.found = right
            self.gns = self.gns or right
        mach.alarm(mach.now())

    def expired(self, mach: Mach) -> None:
        if self.calls:
            self._call(mach, *self.calls.pop(0))
            mach.alarm(mach.now() + 1_000_000)

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...

    def right(self, mach: Mach, what: object) -> int | None:
        if what == "dead":
            port = mach.make_send(mach.allocate_port())
            mach.destroy_receive(port)
            return port
        if what in ("own", "server", "task"):
            return mach.copy_send({"own": self.port, "server": self.gns, "task": mach.task_self()}[str(what)])
        return None

    def _call(self, mach: Mach, server: str, what: Any, values: list[Any], answer: str) -> None:
        to = {"acs": mach.given("name-server"), "gns": self.gns, "found": self.found or self.gns}[server]
        reply = {"reply": self.reply, "own": self.port, "none": 0}[answer]
        if not isinstance(what, str):
            rights = [self.right(mach, kind) or 0 for _, kind, _ in values[: values[0][2] % 4]]
            body = item(self.arch, COPY_SEND, len(rights)) + self.arch.pack(f"{len(rights)}I", *rights)
            mach.send(
                Message(Header(to, COPY_SEND, reply, MAKE_SEND_ONCE if reply else 0, what), body, (), bool(rights)), timeout=1
            )
            return
        routine: Routine = ROUTINES[what]
        arguments: list[Any] = []
        for kind, (text, right_kind, number) in zip(routine.request.types, values, strict=False):
            if kind.is_port and kind.form != FIXED:
                arguments.append([self.right(mach, right_kind) or 0 for _ in range(number % 50)])
            elif kind.is_port:
                right = self.right(mach, right_kind)
                arguments.append(None if right is None else PolyPort(right, COPY_SEND))
            elif kind.form != FIXED:
                arguments.append(text if kind.format == "s" else (number % 50, -1, 1))
            elif kind.string or kind.format.endswith("s"):
                size = int(kind.format[:-1])
                arguments.append(text[: size - 1] if kind.string else text.ljust(size, b"\0")[:size])
            else:
                arguments.append(number)
        if routine.name == acs.ACS_REGISTER.name:
            arguments[1] = 0  # the end of an essential service is the node's
        mach.request(routine, to, arguments, reply)


def check_hostile(place: str, mine: list[Any], other: list[Any]) -> None:
    with net((I386, M68K), [Hostile(I386, list(mine))], [Hostile(M68K, list(other))], place=place) as made:
        made.run(600)  # until nobody looks for a name any more
        for machine in made.machines:
            names = [task.name for task in machine.tasks if task.active]
            assert machine.tasks[0].active and "gns" in names
            machine.check()


SCRIPTS = st.lists(CALLS, min_size=4, max_size=25), st.lists(CALLS, max_size=25)


@settings(deadline=None, max_examples=300)
@given(*SCRIPTS)
def test_whatever_a_task_says_to_the_servers_they_live_and_keep_nothing(mine: list[Any], other: list[Any]) -> None:
    check_hostile(HOST, mine, other)


@settings(deadline=None, max_examples=30)
@given(*SCRIPTS)
def test_whatever_a_task_says_to_the_guest_it_lives_and_keeps_nothing(mine: list[Any], other: list[Any]) -> None:
    check_hostile(GUEST, mine, other)
