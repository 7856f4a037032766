"""A host-side server for clusters in tests."""

from __future__ import annotations

from machemu.mig.interfaces.device import DEVICE_OPEN, DEVICE_WRITE_INBAND
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Message

PERIOD_MS = 10
MS = 1_000_000


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
