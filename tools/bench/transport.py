"""How fast the network servers' transport is on the host, between two nodes and no network: `python -m tools.bench.transport`."""

from __future__ import annotations

import hashlib
import time
from typing import Final

from machemu.sim.state import state
from masix.gns.transport import Transport

MESSAGES: Final = 10_000
BATCH: Final = 10
BULK: Final = 8 << 20
SMALL: Final = bytes(64)
PAUSE: Final = 1_000_000


@state
class Seeded:
    """Randomness from a seed."""

    __slots__ = ("seed",)

    def __init__(self, seed: bytes) -> None:
        self.seed = seed

    def take(self, size: int) -> bytes:
        self.seed = hashlib.sha256(self.seed).digest()
        return hashlib.shake_256(self.seed).digest(size)


class Pair:
    """Two nodes and a perfect link."""

    def __init__(self) -> None:
        self.now = 0
        self.nodes = [Transport(node, bytes(32), Seeded(bytes((node,)))) for node in (1, 2)]
        self.nodes[0].send(2, 1, SMALL, self.now)
        self.rest()

    def pump(self) -> None:
        """Carries frames until there are none."""
        first, second = self.nodes
        while first.outbox or second.outbox:
            for source, target in ((first, second), (second, first)):
                while source.outbox:
                    target.frame_arrived(source.outbox.popleft(), self.now)

    def rest(self) -> None:
        """Lets a while pass; nobody takes the messages."""
        self.pump()
        self.now += PAUSE
        for node in self.nodes:
            timer = node.next_timer()
            if timer is not None and timer <= self.now:
                node.tick(self.now)
            node.inbox.clear()


def one_way() -> float:
    """Small messages a second, BATCH at a time."""
    pair = Pair()
    began = time.perf_counter()
    for number in range(MESSAGES):
        pair.nodes[0].send(2, number % 8, SMALL, pair.now)
        if number % BATCH == BATCH - 1:
            pair.rest()
    return MESSAGES / (time.perf_counter() - began)


def calls() -> float:
    """Small messages a second, each answered by another before the next."""
    pair = Pair()
    began = time.perf_counter()
    for _ in range(MESSAGES // 2):
        for source, target in ((0, 2), (1, 1)):
            pair.nodes[source].send(target, 1, SMALL, pair.now)
            pair.pump()
        pair.rest()
    return MESSAGES / (time.perf_counter() - began)


def bulk() -> float:
    """Millions of bytes a second in one message."""
    pair = Pair()
    began = time.perf_counter()
    pair.nodes[0].send(2, 1, bytes(BULK), pair.now)
    pair.pump()
    return BULK / (time.perf_counter() - began) / 1e6


if __name__ == "__main__":
    print(f"64-byte messages one way     {one_way():8.0f} messages/s")
    print(f"64-byte messages and answers {calls():8.0f} messages/s")
    print(f"one message of 8 MiB         {bulk():8.1f} MB/s")
