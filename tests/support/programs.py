"""Host-side servers for clusters in tests."""

from __future__ import annotations

from machemu.mig.interfaces.device import DEVICE_OPEN, DEVICE_WRITE_INBAND
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.sim.state import state
from machemu.user.kit import HostServer
from machemu.user.mach import Mach
from machemu.user.message import Message
from machemu.user.server import Server
from masix.interfaces import acs
from tests.support.jugglers import LIVES, NODES, Juggler

PERIOD_MS = 10
START_MS = 100
END_MS = 100_000
MS = 1_000_000


@state
class Ticker(Server):
    """Tells the time and its node on the console, for ever."""

    __slots__ = ("console", "count", "node", "period", "seed")

    def __init__(self, node: int, seed: int, period_ms: int) -> None:
        self.node = node
        self.seed = seed
        self.period = period_ms * MS
        self.count = 0
        self.console = 0

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes, *, period_ms: int = PERIOD_MS) -> Ticker:
        return cls(node, seed, period_ms)

    def start(self, mach: Mach) -> None:
        mach.serve(mach.allocate_port())
        (self.console,) = mach.call(DEVICE_OPEN, mach.given("device-port"), 2, b"console")
        self.expired(mach)

    def receive(self, mach: Mach, message: Message) -> None: ...

    def expired(self, mach: Mach) -> None:
        self.count += 1
        mach.call(DEVICE_WRITE_INBAND, self.console, 0, 0, b"node %d tick %d %x\n" % (self.node, self.count, self.seed))
        mach.alarm(mach.now() + self.period)

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


@state
class Watcher(Server):
    """Has a right to a service, and is told of its end: `ended` is the virtual time in ns, 0 before."""

    __slots__ = ("ended", "name", "port", "right")

    def __init__(self, name: str = "service") -> None:
        self.name = name.encode()
        self.ended = 0
        self.right = 0

    def start(self, mach: Mach) -> None:
        self.port = mach.allocate_port()
        mach.serve(self.port)
        mach.alarm(START_MS * MS)

    def expired(self, mach: Mach) -> None:
        mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (self.name,), self.port)

    def receive(self, mach: Mach, message: Message) -> None:
        if self.right:
            self.ended = mach.now()
            return
        (right,) = acs.ACS_LOOK_UP.unpack_reply(mach.order, message.body, message.carried, message.complex)
        assert isinstance(right, int)
        self.right = right
        mach.notify(right, MACH_NOTIFY_DEAD_NAME.request.id, self.port)

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


@state
class NodesJuggler(Juggler):
    """A juggler on a node of a cluster. script: such as "0send 1pass". At its end it gives up all that it has."""

    __slots__ = ()

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(END_MS * MS)

    def expired(self, mach: Mach) -> None:
        if mach.now() < END_MS * MS:
            super().expired(mach)
            if not self.script:
                mach.alarm(END_MS * MS)
        elif self.port:
            mach.give_up(self.bag)
            for port in (*self.others, self.port):
                mach.deallocate(port)
            for port in (self.port, *self.listening):
                mach.destroy_receive(port)
            self.bag, self.others, self.listening, self.wanted, self.port = [], [], [], [], 0

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes, *, script: str) -> NodesJuggler:
        assert 1 <= node <= len(NODES)
        juggler = cls(node - 1, [(int(step[0]), step[1:]) for step in script.split()])
        juggler.life = seed % LIVES
        return juggler


@state
class Knower(HostServer):
    """Keeps whether it knew the node's name server when it began."""

    __slots__ = ("knows",)
    knows: bool

    def __init__(self) -> None:
        super().__init__()
        self.knows = False

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.knows = mach.given("name-server") != 0
