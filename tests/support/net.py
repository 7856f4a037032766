"""Nodes with name and network servers over a link that loses nothing, and programs that a test tells what to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE, MOVE_SEND
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.sim.state import state
from machemu.user.kit import takes
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from machemu.user.server import Server
from masix.gns.codec import decode
from masix.gns.context import Context, Link
from masix.gns.server import Gns
from masix.gns.wire import GROUPS, Payload
from masix.interfaces import acs
from masix.net.ip import NODE_MAX, NODE_MIN
from masix.transport.events import Unverified
from tests.support.guests import ARCHS, Arch
from tests.support.machine import Machine, empty
from tests.support.name_servers import HOST, launch_servers

SECOND_NS = 1_000_000_000
SLICE_NS = 2_000_000
PAIRS = list(product(ARCHS.values(), repeat=2))
WAKE = 1


@state
class StringLink(Link):
    """Gives the test what is said, and the server what the test brings."""

    __slots__ = ("inbox", "out", "wake")

    def __init__(self) -> None:
        self.out: deque[tuple[int | None, bytes]] = deque()
        self.inbox: deque[tuple[int, bytes | None]] = deque()
        self.wake = 0

    def attach(self) -> None: ...

    def start(self, context: Context) -> None:
        self.wake = context.mach.make_send(context.new_port())

    @takes(WAKE, at="wake")
    def _woken(self, context: Context, message: Message) -> None: ...

    def send(self, mach: Mach, node: int, stream: int, data: bytes) -> None:
        if not NODE_MIN <= node <= NODE_MAX:
            raise ValueError(f"{node} is no node")
        self.out.append((node, data))

    def backlog(self, node: int) -> int:
        return sum(len(data) for to, data in self.out if to == node)

    def is_full(self, node: int) -> bool:
        return False

    def next_with_room(self) -> int | None:
        return None

    def multicast(self, mach: Mach, data: bytes) -> None:
        self.out.append((None, data))

    def tick(self, mach: Mach) -> None: ...

    def next_timer(self) -> int | None:
        return None

    def next_event(self) -> tuple[int, bytes | None] | None:
        return self.inbox.popleft() if self.inbox else None

    def next_unverified(self) -> Unverified | None:
        return None

    def verify(self, mach: Mach, unverified: Unverified) -> None: ...


def serve_two(mach: Mach) -> tuple[int, int, int]:
    """A port with a send right, one for replies, and the set that both are received from."""
    port, reply = mach.make_send(mach.allocate_port()), mach.allocate_port()
    both = mach.allocate_port_set()
    for each in (port, reply):
        mach.move_member(each, both)
    mach.serve(both)
    return port, reply, both


@state
class Program(Server):
    """A task that does what `steps` say: each is called with the program and `mach` when a message has come, the first at the
    start, the second once the name server has answered. Its own port is `port`; what came there is in `received`."""

    __slots__ = ("found", "other", "port", "received", "reply", "steps", "unsent_codes")

    def __init__(self, *steps: Callable[[Program, Mach], None]) -> None:
        self.steps = list(steps)
        self.received: list[Message] = []
        self.unsent_codes: list[int] = []
        self.found: Any = None
        self.other = 0

    def start(self, mach: Mach) -> None:
        self.port, self.reply, self.other = serve_two(mach)
        self._step(mach)

    def _step(self, mach: Mach) -> None:
        if self.steps:
            self.steps.pop(0)(self, mach)

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.local != self.reply:
            self.received.append(message)
        elif message.header.id == acs.ACS_LOOK_UP.request.id + 100:
            assert message.carried, f"not found: {message.body!r}"
            self.found = message.carried[0].port  # type: ignore[union-attr]
        self._step(mach)

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        self.unsent_codes.append(code)


def register(program: Program, mach: Mach) -> None:
    mach.request(acs.ACS_REGISTER, mach.given("name-server"), (b"service", 0, mach.copy_send(program.port)), program.reply)


def look_up(program: Program, mach: Mach) -> None:
    mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (b"service",), program.reply)


class Net:
    """Nodes, numbered from 1, joined by their links. gone: indices of those that do nothing any more.

    place: where the name servers run.
    """

    def __init__(self, archs: Sequence[Arch], programs: Sequence[Sequence[Program]], place: str = HOST, **options: Any) -> None:
        self.machines: list[Machine] = []
        self.links: list[StringLink] = []
        self.servers: list[Gns] = []
        self.multicasts: list[tuple[int, Payload]] = []
        self.gone: list[int] = []
        for number, (arch, own) in enumerate(zip(archs, programs, strict=True), 1):
            machine = empty(arch)
            link = StringLink()
            server = Gns(number, link, host=b"n%d" % number, **options)
            launch_servers(machine, place, [("gns", server), *((f"program {n}", program) for n, program in enumerate(own))])
            self.machines.append(machine)
            self.links.append(link)
            self.servers.append(server)
        for machine in self.machines:
            machine.run(SLICE_NS)

    def run(self, slices: int = 60, hold: int | None = None) -> None:
        """All nodes in turn, and what they say to each other; node `hold` is not heard yet when it sends a message for a task."""
        for _ in range(slices):
            for number, machine in enumerate(self.machines):
                if number in self.gone:
                    continue
                machine.run(SLICE_NS)
                while self.links[number].out and not (number == hold and self.links[number].out[0][1][:1] == b"\0"):
                    to, data = self.links[number].out.popleft()
                    if to is None and not data.startswith(GROUPS):
                        self.multicasts.append((number + 1, decode(data)))
                    for other in range(len(self.machines)) if to is None else (to - 1,):
                        if other != number and other < len(self.machines):
                            self.links[other].inbox.append((number + 1, data))
                            self.wake(other)

    def wake(self, number: int) -> None:
        machine = self.machines[number]
        (task,) = (task for task in machine.tasks if task.name == "gns")
        entry = task.space.lookup(self.links[number].wake)
        assert entry is not None and isinstance(entry.object, Port)
        ipc = machine.kernel.ipc
        right = ports.make_send(ipc, entry.object)
        kmsgs.kernel_send(ipc, kmsgs.make(ipc, right, MOVE_SEND, None, 0, WAKE, b"", ()))

    def end(self, number: int, name: str) -> None:
        machine = self.machines[number]
        (task,) = (task for task in machine.tasks if task.name == name)
        machine.end(task)

    def quiet(self) -> None:
        """Nothing is left of what programs did, once they have ended; of nodes that are gone nobody knows."""
        for number in set(range(len(self.machines))) - set(self.gone):
            for task in list(self.machines[number].tasks):
                if task.name.startswith("program"):
                    self.machines[number].end(task)
        self.run()
        for server in self.servers:
            if server.node - 1 in self.gone:
                continue
            tables = server.tables
            assert (tables.exports, tables.proxies, tables.pledges) == ({}, {}, {}), server.node
            assert (tables.leaving, tables.coming, tables.owed) == ({}, {}, {}), server.node
            assert (tables.numbers, tables.by_number, tables.onces, tables.watchers) == ({}, {}, {}, {}), server.node
            assert server.names.queries == {} and server.questions == {}
            assert (server.streams.by_token, server.arrivals.streams, server.arrivals.short) == ({}, {}, {}), server.node


@contextmanager
def net(archs: Sequence[Arch], *programs: Sequence[Program], place: str = HOST, **options: Any) -> Iterator[Net]:
    made = Net(archs, programs, place, **options)
    try:
        made.run()
        yield made
        made.quiet()
        for number, machine in enumerate(made.machines):
            if number not in made.gone:
                machine.leave_nothing()
    finally:
        for machine in made.machines:
            machine.node.close()


def send(program: Program, mach: Mach, body: bytes = b"", carried: tuple[Any, ...] = (), msgh_id: int = 500) -> None:
    """A message to what was found, with a reply right to the program's own port."""
    header = Header(program.found, COPY_SEND, program.port, MAKE_SEND_ONCE, msgh_id)
    mach.send(Message(header, body, carried, bool(carried)))


def answer(program: Program, mach: Mach) -> None:
    """Sends back what came last."""
    message = program.received[-1]
    header = Header(message.header.remote, message.header.remote_type, 0, 0, message.header.id + 100)
    mach.send(message._replace(header=header))


def item(arch: Arch, name: int, number: int, inline: bool = True) -> bytes:
    size = {1: 16, 2: 32, 8: 8, 9: 8, 10: 64, 11: 64}.get(name, 32)
    return arch.pack("I", arch.item(name, size, number, inline))
