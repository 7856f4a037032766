"""What the network servers' transport costs between two nodes and no network, beside what its cryptography alone would cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from masix.transport.entropy import Entropy
from masix.transport.packets import PLAIN_MAX
from masix.transport.transport import Transport

MESSAGES: Final = 10_000
BATCH: Final = 10
BULK: Final = 8 << 20
STARTS: Final = 300
SMALL: Final = bytes(64)
PAUSE: Final = 1_000_000
KEY: Final = bytes(range(32))


class Pair:
    """Two nodes and a perfect link."""

    def __init__(self) -> None:
        self.now = 0
        self.nodes = [Transport(node, KEY, Entropy(bytes((node,)))) for node in (1, 2)]
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


def one_way(divisor: int) -> tuple[float, float]:
    """Seconds for a small message, BATCH at a time, and for its bytes alone."""
    pair, count = Pair(), MESSAGES // divisor
    began = time.perf_counter()
    for number in range(count):
        pair.nodes[0].send(2, number % 8, SMALL, pair.now)
        if number % BATCH == BATCH - 1:
            pair.rest()
    return (time.perf_counter() - began) / count, sealing(len(SMALL), count)


def calls(divisor: int) -> tuple[float, float]:
    """Seconds for a small message that is answered before the next, and its answer; and for the bytes of both alone."""
    pair, count = Pair(), MESSAGES // divisor
    began = time.perf_counter()
    for _ in range(count):
        for source, target in ((0, 2), (1, 1)):
            pair.nodes[source].send(target, 1, SMALL, pair.now)
            pair.pump()
        pair.rest()
    return (time.perf_counter() - began) / count, 2 * sealing(len(SMALL), count)


def bulk(divisor: int) -> tuple[float, float]:
    """Seconds for a packet of one large message, and for its bytes alone."""
    pair, size = Pair(), BULK // divisor
    began = time.perf_counter()
    pair.nodes[0].send(2, 1, bytes(size), pair.now)
    pair.pump()
    packets = -(-size // PLAIN_MAX)
    return (time.perf_counter() - began) / packets, sealing(PLAIN_MAX, packets)


def starts(divisor: int) -> tuple[float, float]:
    """Seconds for a session with a message in it, and for two keys and the two halves of an exchange."""
    pair, count = Pair(), STARTS // divisor
    began = time.perf_counter()
    for _ in range(count):
        pair.nodes[0].give_up(2, pair.now)
        pair.nodes[1].give_up(1, pair.now)
        pair.nodes[0].send(2, 1, SMALL, pair.now)
        pair.rest()
    taken = (time.perf_counter() - began) / count
    began = time.perf_counter()
    for _ in range(count):
        private = X25519PrivateKey.generate()
        private.exchange(private.public_key())
    return taken, 2 * (time.perf_counter() - began) / count


def sealing(size: int, count: int) -> float:
    """Seconds in which the library seals and opens so many bytes once."""
    cipher, text = AESGCM(KEY), bytes(size)
    began = time.perf_counter()
    for number in range(count):
        nonce = number.to_bytes(12, "big")
        cipher.decrypt(nonce, cipher.encrypt(nonce, text, SMALL), SMALL)
    return (time.perf_counter() - began) / count


ROWS: Final[tuple[tuple[str, Callable[[int], tuple[float, float]], str], ...]] = (
    ("64-byte messages, one way", one_way, "sealings of its bytes"),
    ("64-byte messages and their answers", calls, "sealings of their bytes"),
    ("one message of 8 MiB, a packet", bulk, "sealings of its bytes"),
    ("a session with a message in it", starts, "exchanges of keys"),
)


def table(runs: int, divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, figures and ratio; there are no limits to keep."""
    rows = []
    for what, measure, beside in ROWS:
        found = [measure(divisor) for _ in range(runs)]
        us = statistics.median(taken for taken, _ in found) * 1e6
        ratio = statistics.median(taken / alone for taken, alone in found)
        rows.append((what, f"{us:.0f} us", f"{ratio:.1f} {beside}"))
    return rows, True
