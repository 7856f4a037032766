"""Host-side programs of which one calls the other by name, from wherever it runs."""

from __future__ import annotations

from typing import Final, TypeVar

from machemu.abi.errors import KernError
from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE
from machemu.cluster.node import ClusterNode
from machemu.machine.profile import DEFAULT_PROFILES
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from machemu.user.server import Server
from machemu.user.thread import ServerThread
from masix.interfaces import acs

SERVICE: Final = "service"
CALL_ID: Final = 500
MS: Final = 1_000_000
T = TypeVar("T")


@state
class Answerer(Server):
    """Is a service, and answers calls with what they bring."""

    __slots__ = ("name", "port")

    def __init__(self, name: str = SERVICE) -> None:
        self.name = name.encode()

    def start(self, mach: Mach) -> None:
        self.port = mach.make_send(mach.allocate_port())
        mach.serve(self.port)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (self.name, 0, mach.copy_send(self.port)))

    def receive(self, mach: Mach, message: Message) -> None:
        header = Header(message.header.remote, message.header.remote_type, 0, 0, message.header.id + 100)
        mach.send(message._replace(header=header))

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


@state
class Caller(Server):
    """Looks a service up at a time, and calls it, not before another one, so many times, one call after the other with a pause
    between, and keeps the virtual times in ns at which it began, knew the service, and had each answer.
    """

    __slots__ = ("calls", "calls_ms", "name", "pause_ms", "port", "service", "start_ms", "times")

    def __init__(self, start_ms: int = 20, calls: int = 20, name: str = SERVICE, calls_ms: int = 0, pause_ms: int = 0) -> None:
        self.pause_ms = pause_ms
        self.name = name.encode()
        self.start_ms = start_ms
        self.calls = calls
        self.calls_ms = calls_ms
        self.service = 0
        self.times: list[int] = []

    def start(self, mach: Mach) -> None:
        self.port = mach.allocate_port()
        mach.serve(self.port)
        mach.alarm(self.start_ms * MS)

    def expired(self, mach: Mach) -> None:
        if self.service:
            self._call(mach)
            return
        self.times.append(mach.now())
        mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (self.name,), self.port)

    def receive(self, mach: Mach, message: Message) -> None:
        if not self.service:
            try:
                (right,) = acs.ACS_LOOK_UP.unpack_reply(mach.order, message.body, message.carried, message.complex)
            except KernError:  # where very many look a name up at once, its node does not answer all in time
                mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (self.name,), self.port)
                return
            assert isinstance(right, int)
            self.service = right
        self.times.append(mach.now())
        if self.times[1] < self.calls_ms * MS and len(self.times) == 2:
            mach.alarm(self.calls_ms * MS)
        elif len(self.times) < self.calls + 2:
            if self.pause_ms:
                mach.alarm(mach.now() + self.pause_ms * MS)
            else:
                self._call(mach)

    def _call(self, mach: Mach) -> None:
        mach.send(Message(Header(self.service, COPY_SEND, self.port, MAKE_SEND_ONCE, CALL_ID), b"", (), False))

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


def programs(node: ClusterNode, kind: type[T]) -> list[T]:
    """The host-side programs of a class that run on a node; none where it has no power."""
    tasks = [] if node.kernel is None else node.kernel.kern.tasks.values()
    threads = [thread.program for task in tasks for thread in task.threads.values()]
    return [each.server for each in threads if isinstance(each, ServerThread) and isinstance(each.server, kind)]


MACHINES: Final = ("i386", "m68k")
PROFILES: Final = tuple(DEFAULT_PROFILES[machine] for machine in MACHINES)
CALLS_MS: Final = 3000
"""When calls begin; look-ups have ended by then."""


def calls_text(count: int, calls: int) -> str:
    """So many nodes of both machines in turn with the Masix servers: each even one calls a service of the one before it. One
    alone calls its own.
    """
    nodes = ["[segments.lan]\n"]
    for n in range(1, count + 1):
        answerer = f'{{ class = "tests.support.callers:Answerer", name = "of {n}" }}'
        caller = (
            f'{{ class = "tests.support.callers:Caller", calls = {calls}, calls_ms = {CALLS_MS}, name = "of {max(n - 1, 1)}" }}'
        )
        own = (answerer, caller) if count == 1 else ((caller,), (answerer,))[n % 2]
        profile = PROFILES[n // 2 % 2]
        servers = ", ".join(('"masix.acs.server:Acs"', '"masix.gns.server:Gns"', *own))
        nodes.append(f'[nodes.n{n}]\nprofile = "{profile}"\nservers = [{servers}]\nnics = {{ eth0 = "lan" }}\n')
    return "".join(nodes)
