"""Operands in memory for floating-point instructions, in either byte order ("<" or ">")."""

from __future__ import annotations

import struct
from random import Random
from typing import Final

SINGLES: Final = (0x00000000, 0x80000000, 0x00000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0x7F800000)
SPECIAL_SINGLES: Final = (0xFF800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0xFFA00000)
INTEGERS: Final = (0, 1, -1, 2, 7, 10, 0x7F, -0x80, 0x7FFF, -0x8000, 0x7FFFFFFF, -0x80000000, (1 << 63) - 1, -(1 << 63))


def single_or_double(random: Random, order: str) -> bytes:
    """Extreme ones, NaNs of both kinds, denormal ones, ones by chance."""
    single = random.choice((*SINGLES, *SPECIAL_SINGLES, random.getrandbits(32), random.randrange(0x3F000000, 0x41000000)))
    if random.random() < 0.5:
        return struct.pack(f"{order}I", single)
    sign, power, fraction = single >> 31, single >> 23 & 0xFF, single & 0x7FFFFF
    power = {0: 0, 0xFF: 0x7FF}.get(power, power + 0x380)
    low = random.choice((0, 0, 1, random.getrandbits(29)))
    return struct.pack(f"{order}Q", sign << 63 | power << 52 | fraction << 29 | low)


def integer(random: Random, order: str) -> bytes:
    number = random.choice((*INTEGERS, random.getrandbits(63), random.randrange(-1000, 1000)))
    form = random.choice("hiq")
    bits = 8 * struct.calcsize(f"{order}{form}")
    number = (number + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
    return struct.pack(f"{order}{form}", number)
