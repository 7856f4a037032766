"""Extreme values: what registers, flags and tables are filled with."""

from __future__ import annotations

import struct
from random import Random
from typing import Final

from tools.fuzz.program import (
    CODE,
    CODE_SIZE,
    CONSTANT,
    CONSTANT_SIZE,
    DATA,
    DATA_SIZE,
    NOWHERE,
    STACK,
    STACK_SIZE,
    STACK_TOP,
    Extra,
)

LEAST: Final = 0x80000000
CORE: Final = (0, 1, 0xFFFFFFFF, LEAST, 0x7FFFFFFF)
"""What divisions and shifts stumble over: registers are often filled from these alone."""
NUMBERS: Final = (
    *CORE,
    *(2, 3, 0x1F, 0x20, 0x21, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x10000, 0xFF80, 0xFFFF8000),
    *(0x80000001, 0xFFFFFFFE, 0xFFFFFF80, 0x55555555, 0xAAAAAAAA, 0x00800080),
)
KERNEL: Final = (0xC0000000, 0xC0000300, 0xC0001000, 0xBFFFFFFF, 0xFFFFE000, 0xFFFFFFFC, 0xFFFFFFFF)
DATA_PLACES: Final = (
    DATA,
    DATA + 1,
    DATA + 2,
    DATA + 0x100,
    DATA + DATA_SIZE // 2 - 1,
    DATA + DATA_SIZE - 4,
    DATA + DATA_SIZE - 1,
)
OTHER_PLACES: Final = (
    *(CODE, CODE + CODE_SIZE - 2, CONSTANT, CONSTANT + CONSTANT_SIZE - 2, STACK, STACK + STACK_SIZE - 1, NOWHERE),
    *KERNEL,
)
PATTERN_WORDS: Final = (*CORE, 0x7F800000, 0x7FC00000, 0x7FF00000, 0x00000001, 0x3FF00000, 0x0000FFFF, 0x80000000, 0x7FF80000)
"""What lies in a guest's data: integers, and words that are infinities, NaNs and denormals of some format."""

SIGNS: Final = (0, 0x8000)
FLOATS: Final = (
    *((0, 0), (0, 1), (0, 1 << 63), (1, 1), (0x3FFF, 1 << 63), (0x3FFF, 3 << 62), (0x403E, 1 << 63), (0x401E, 0xFFFFFFFE << 32)),
    *(
        (0x7FFE, (1 << 64) - 1),
        (0x7FFF, 1 << 63),
        (0x7FFF, 1 << 63 | 1),
        (0x7FFF, 3 << 62),
        (0x7FFF, 0),
        (0x3FFF, 0),
        (0x7FFF, 1),
    ),
)
"""Exponents and mantissas: zero, denormals, one, large integers, the largest, infinity, both kinds of NaN, and what is none."""

TRACE_FLAG, DIRECTION, VIRTUAL = 0x100, 0x400, 0x20000
ARITHMETIC_FLAGS: Final = 0x8D5
HIGH_FLAGS: Final = 0x2C7000
"""Nested task, I/O privilege, resume, alignment check and what is behind it, but for VIRTUAL."""
TRACES: Final = (0x8000, 0x4000)
SHARE_OF_TRACES: Final = 0.12
SEGMENT_ACCESS: Final = (0xF2, 0xF3, 0xFA, 0xFB, 0xF6, 0xFE, 0x72, 0x7A, 0xEC, 0xE4, 0x00, 0x80, 0x92, 0x9A)


def floats(random: Random) -> list[tuple[int, int]]:
    """Eight floating-point registers: sign and exponent, mantissa."""
    return [(exponent | random.choice(SIGNS), mantissa) for exponent, mantissa in random.choices(FLOATS, k=8)]


def word(random: Random, own: int) -> int:
    """A register's value. own: where the step's code lies."""
    choice = random.random()
    if choice < 0.35:
        return random.choice(NUMBERS)
    if choice < 0.7:
        return random.choice(DATA_PLACES)
    if choice < 0.8:
        return own + random.randrange(-8, 40) & 0xFFFFFFFF
    if choice < 0.95:
        return random.choice(OTHER_PLACES)
    return random.getrandbits(32)


def registers(random: Random, own: int, count: int, stack: int) -> tuple[int, ...]:
    """A register file; the stack pointer, number `stack`, mostly points to the stack."""
    core = random.random() < 0.3
    values = [random.choice(CORE) if core else word(random, own) for _ in range(count)]
    if random.random() < 0.85:
        values[stack] = STACK_TOP - 4 * random.randrange(4)
    return tuple(values)


def i386_flags(random: Random) -> int:
    flags = random.getrandbits(12) & (ARITHMETIC_FLAGS | DIRECTION)
    if random.random() < SHARE_OF_TRACES:
        flags |= TRACE_FLAG
    if random.random() < 0.05:
        flags |= random.getrandbits(22) & HIGH_FLAGS
    return flags


def m68k_flags(random: Random) -> int:
    return random.getrandbits(5) | (random.choice(TRACES) if random.random() < SHARE_OF_TRACES else 0)


def i386_extras(random: Random, own: int) -> tuple[tuple[Extra, tuple[int, ...]], ...]:
    """Mostly none."""
    found: list[tuple[Extra, tuple[int, ...]]] = []
    if random.random() < 0.25:
        found.append((Extra.FLOAT, _i386_float(random)))
    if random.random() < 0.08:
        places = [random.choice((own, own + random.randrange(24), DATA, DATA + 0x100, STACK_TOP)) for _ in range(4)]
        found.append((Extra.DEBUG, (*places, 0, 0, 0, random.getrandbits(32) & 0xFFFF0355)))
    if random.random() < 0.04:
        found.append((Extra.PORTS, random.choice(((0, 0xFFFF), (0, 0x3F), (0x80, 0x80)))))
    if random.random() < 0.04:
        table = [word for _ in range(random.randrange(1, 5)) for word in _descriptor(random)]
        found.append((Extra.LOCAL_TABLE, (random.choice((0x27, 0x2F, 0x47)), *table)))
    if random.random() < 0.02:
        found.append((Extra.GLOBAL_TABLE, (*_descriptor(random), *_descriptor(random))))
    if random.random() < 0.04:
        found.append((Extra.SEGMENTS, tuple(random.choice((0x17, 0x1F, 0x27, 0x2F, 0x4B, 0x53, 0, 7, 0xFFFF)) for _ in range(6))))
    if random.random() < 0.03:
        found.append((Extra.VECTOR, (random.choice((-130, -30, 0, 20)), *[random.choice((own, DATA, 0))] * 40)))
    return tuple(found)


def m68k_extras(random: Random, own: int) -> tuple[tuple[Extra, tuple[int, ...]], ...]:
    """Mostly none."""
    found: list[tuple[Extra, tuple[int, ...]]] = []
    if random.random() < 0.3:
        words = [part for sign, mantissa in floats(random) for part in (sign << 16, mantissa >> 32, mantissa & 0xFFFFFFFF)]
        control = random.choice((0, 0x10, 0x40, 0x90, 0xF0, 0xFF00, random.getrandbits(16)))
        found.append((Extra.FLOAT, (*words, control, random.getrandbits(32), own)))
    if random.random() < 0.03:
        found.append((Extra.VECTOR, (random.choice((-130, -30, 0, 20)), *[random.choice((own, DATA, 0))] * 40)))
    return tuple(found)


def _descriptor(random: Random) -> tuple[int, int]:
    """A segment's two words: flat, or of a few bytes, with any kind of access."""
    access = random.choice(SEGMENT_ACCESS)
    low = random.choice((0xFFFF, 0x0FFF, 0x000F, 0x0000FFFF | CODE << 16 & 0xFFFF0000))
    return low, (access << 8 | random.choice((0x00CF0000, 0x00400000, 0x000F0000, 0x00CB0000, 0)))


def _i386_float(random: Random) -> tuple[int, ...]:
    """i386_float_state, with exceptions that are asked for in some."""
    control = random.choice((0x037F, 0x027F, 0x0C7F, 0x0340, 0x0300, random.getrandbits(13)))
    status = random.choice((0, 0x3800, 0x00FF, 0x80FF, random.getrandbits(16)))
    tags = random.choice((0, 0xFFFF, random.getrandbits(16)))
    data = b"".join(struct.pack("<QH", mantissa, exponent) for exponent, mantissa in floats(random))
    return (4, 1, control, status, tags, 0, 0, 0, 0, *struct.unpack("<20I", data), 0)
