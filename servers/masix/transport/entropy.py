"""Randomness that a world repeats and nobody else guesses."""

from __future__ import annotations

import hashlib

from machemu.sim.state import state


@state
class Entropy:
    """Bytes that follow from a seed alone, and nobody else guesses. seed: another one after each use, from which the way does not
    lead back.
    """

    __slots__ = ("seed",)
    seed: bytes

    def __init__(self, seed: bytes) -> None:
        self.seed = seed

    def take(self, size: int) -> bytes:
        self.seed, data = hashlib.sha256(self.seed).digest(), hashlib.shake_256(self.seed).digest(size)
        return data
