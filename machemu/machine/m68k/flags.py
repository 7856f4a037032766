"""Condition codes: as Unicorn keeps them, and what the processor's conditions say of them."""

from __future__ import annotations

from typing import Final

from machemu.machine.m68k.engine import CC_C, CC_N, CC_OP, CC_V, CC_X, CC_Z

C, V, Z, N, X = 1, 2, 4, 8, 16

FLAGS, ADD, SUBTRACT, COMPARE, LOGIC = 1, 2, 5, 8, 11
"""How Unicorn keeps them: each worked out; or the result and an operand of an addition, subtraction (of bytes; words and long
words follow) or comparison; or the result of a logical operation (QEMU's CCOp)."""
MASK: Final = 0xFFFFFFFF


def read(words: memoryview) -> int:
    """The condition codes that an engine's state holds."""
    how = words[CC_OP]
    x, n, v = words[CC_X], words[CC_N], words[CC_V]
    if how == FLAGS:
        return X * x | N * (n >> 31) | Z * (words[CC_Z] == 0) | V * (v >> 31) | C * words[CC_C]
    if how == LOGIC:
        return X * x | N * (n >> 31) | Z * (n == 0)
    if how >= COMPARE:
        result = _signed(n - v, how - COMPARE)
        return X * x | N * (result >> 31) | Z * (result == 0) | V * (((result ^ n) & (n ^ v)) >> 31) | C * (n < v)
    if how >= SUBTRACT:
        first = _signed(n + v, how - SUBTRACT)
        overflow = (n ^ first) & (first ^ v)
    else:
        first = _signed(n - v, how - ADD)
        overflow = (n ^ first) & ~(first ^ v)
    return X * x | N * (n >> 31) | Z * (n == 0) | V * (overflow >> 31 & 1) | C * x


def _signed(value: int, size: int) -> int:
    """A byte, word or long word (0, 1, 2) sign-extended to 32 bits, unsigned."""
    sign = 0x80 << (8 * size if size < 2 else 24)
    return ((value & 2 * sign - 1 ^ sign) - sign) & MASK


def write(words: memoryview, codes: int) -> None:
    """Makes an engine's state hold condition codes, each worked out."""
    words[CC_OP] = FLAGS
    words[CC_X] = codes >> 4 & 1
    words[CC_N] = MASK if codes & N else 0
    words[CC_V] = MASK if codes & V else 0
    words[CC_C] = codes & 1
    words[CC_Z] = not codes & Z


def holds(condition: int, codes: int) -> bool:
    """Whether a condition, 0 (true) to 15 (less or equal), is met; odd ones are the opposites of those before."""
    c, v, z, n = bool(codes & C), bool(codes & V), bool(codes & Z), bool(codes & N)
    less = n != v
    met = (True, not (c or z), not c, not z, not v, not n, not less, not (z or less))[condition >> 1]
    return met != bool(condition & 1)


FPU_N, FPU_Z, FPU_NAN = 1 << 27, 1 << 26, 1 << 24


def float_holds(predicate: int, status: int) -> bool:
    """Whether a floating-point predicate, 0 to 31, is met by the condition bits of the status register.

    The upper 16 are the lower ones with an exception for unordered operands, which Unicorn raises nowhere.
    """
    n, z, unordered = bool(status & FPU_N), bool(status & FPU_Z), bool(status & FPU_NAN)
    if predicate & 8:
        return not float_holds(~predicate & 7, status)
    return (
        False,
        z,
        not (unordered or z or n),
        z or not (unordered or n),
        n and not (unordered or z),
        z or (n and not unordered),
        not (unordered or z),
        not unordered,
    )[predicate & 7]
