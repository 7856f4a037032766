"""Named, seeded streams of random numbers: xoshiro256** (Blackman and Vigna, 2018), whose state is four integers.

Who draws from one stream does not disturb another: a new use of chance leaves every other run as it was.
"""

from __future__ import annotations

import hashlib
from typing import Final

from machemu.abi.errors import InvariantError
from machemu.sim.state import state

MASK: Final = (1 << 64) - 1


@state
class Stream:
    """One stream. words: the generator's four 64-bit words, never all zero."""

    __slots__ = ("words",)

    def __init__(self, seed: int, name: str) -> None:
        """The stream that a run with `seed` (any integer) has under `name`."""
        key = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        self.words = [int.from_bytes(key[place : place + 8], "little") for place in range(0, 32, 8)]

    def bits(self) -> int:
        """The next number, of 64 bits."""
        first, second, third, fourth = self.words
        product = second * 5 & MASK
        result = (product << 7 | product >> 57) * 9 & MASK
        third ^= first
        fourth ^= second
        self.words = [first ^ fourth, second ^ third, third ^ second << 17 & MASK, (fourth << 45 | fourth >> 19) & MASK]
        return result

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1, each as likely; `limit` is at most 2**64."""
        if not 0 < limit <= 1 << 64:
            raise InvariantError(f"no random number is below {limit}")
        whole = (1 << 64) - (1 << 64) % limit
        while (number := self.bits()) >= whole:
            pass
        return number % limit

    def chance(self, parts: int, whole: int) -> bool:
        """True in `parts` of `whole` cases."""
        return self.below(whole) < parts

    def check_invariants(self) -> None:
        if len(self.words) != 4 or not any(self.words) or any(not 0 <= word <= MASK for word in self.words):
            raise InvariantError("a random stream has no state")
