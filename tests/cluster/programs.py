"""Host-side servers for clusters in tests."""

from __future__ import annotations

from machemu.mig.interfaces.device import DEVICE_OPEN, DEVICE_WRITE_INBAND
from machemu.sim.state import state
from machemu.user.mach import COPY_SEND, MAKE_SEND_ONCE, Mach
from machemu.user.message import Header, Message
from masix.interfaces import acs

PERIOD_MS = 10
MS = 1_000_000


SERVICE = b"service"
CALL_ID = 500


@state
class Ticker:
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
class Answerer:
    """Is the service, and answers calls with what they bring."""

    __slots__ = ("port",)

    def start(self, mach: Mach) -> None:
        self.port = mach.make_send(mach.allocate_port())
        mach.serve(self.port)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (SERVICE, 0, mach.copy_send(self.port)))

    def receive(self, mach: Mach, message: Message) -> None:
        header = Header(message.header.remote, message.header.remote_type, 0, 0, message.header.id + 100)
        mach.send(message._replace(header=header))

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


@state
class Caller:
    """Looks the service up at a time, calls it so many times, one call after the other, and keeps the virtual times in ns at
    which it began, knew the service, and had each answer.
    """

    __slots__ = ("calls", "port", "service", "start_ms", "times")

    def __init__(self, start_ms: int = 20, calls: int = 20) -> None:
        self.start_ms = start_ms
        self.calls = calls
        self.service = 0
        self.times: list[int] = []

    def start(self, mach: Mach) -> None:
        self.port = mach.allocate_port()
        mach.serve(self.port)
        mach.alarm(self.start_ms * MS)

    def expired(self, mach: Mach) -> None:
        self.times.append(mach.now())
        mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (SERVICE,), self.port)

    def receive(self, mach: Mach, message: Message) -> None:
        self.times.append(mach.now())
        if not self.service:
            (right,) = acs.ACS_LOOK_UP.unpack_reply(mach.order, message.body, message.carried, message.complex)
            assert isinstance(right, int)
            self.service = right
        if len(self.times) < self.calls + 2:
            mach.send(Message(Header(self.service, COPY_SEND, self.port, MAKE_SEND_ONCE, CALL_ID), b"", (), False))

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...
