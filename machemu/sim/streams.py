"""Named, seeded streams of random numbers: saved state, the same everywhere."""

from __future__ import annotations

import hashlib
from typing import Final

from machemu.sim.state import U64, state

WORD: Final = 1 << 64
STEP: Final = 0x9E3779B97F4A7C15


@state
class Stream:
    """SplitMix64 (Steele, Lea, Flood 2014), begun with what SHA-256 makes of the seed and the name.

    Streams of different names have nothing to do with each other: who draws from one changes nothing in another.
    """

    __slots__ = ("value",)
    value: U64

    def __init__(self, seed: int, name: str) -> None:
        self.value = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")

    def word(self) -> int:
        """The next number, of 64 bits."""
        self.value = (self.value + STEP) % WORD
        mixed = self.value
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % WORD
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % WORD
        return mixed ^ mixed >> 31

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1, each as likely; `limit` is between 1 and 2^64."""
        fair = WORD - WORD % limit
        while (word := self.word()) >= fair:
            pass
        return word % limit

    def chance(self, probability: float) -> bool:
        """True with a probability of 0 to 1. Nothing is drawn where that is 0 or 1."""
        if not 0 < probability < 1:
            return probability >= 1
        return self.word() < probability * WORD
