"""Divisions that must not reach Unicorn: signed ones of the least number, on which the host's own division traps."""

from __future__ import annotations

from typing import Final, NamedTuple

from machemu.machine.m68k import ea, flags
from machemu.machine.m68k.decode import Word, divide_length
from machemu.machine.m68k.engine import PC
from machemu.machine.m68k.faults import DONE, ZERO_DIVIDE

DIVIDE_LONG: Final = 0x4C40
SIGNED, WIDE = 0x800, 0x400
"""In the second word of a division of long words: with a sign; of 64 bits."""
LEAST: Final = 0x80000000
MASK: Final = 0xFFFFFFFF


class Division(NamedTuple):
    """size: of divisor and quotient, in bytes. low, high: the dividend's data registers; `high` is the remainder's too and,
    unless `wide`, not part of the dividend."""

    size: int
    low: int
    high: int
    wide: bool
    signed: bool

    def least(self) -> list[tuple[int, int]]:
        """Data registers and what they hold where the dividend is the least number; none where it cannot be."""
        if not self.signed or (self.wide and self.high == self.low):
            return []
        return [(self.high, LEAST), (self.low, 0)] if self.wide else [(self.low, LEAST)]


def division(word: Word) -> Division:
    """Which one an instruction is: divu, divs, divul or divsl."""
    opcode = word(0)
    if opcode & 0xFFC0 == DIVIDE_LONG:
        extension = word(2)
        return Division(4, extension >> 12 & 7, extension & 7, bool(extension & WIDE), bool(extension & SIGNED))
    register = opcode >> 9 & 7
    return Division(2, register, register, False, bool(opcode & 0x100))


def execute(user: ea.Operands) -> int:
    """Does the division under the program counter, which Unicorn refused as one by zero: ZERO_DIVIDE where it is, or DONE.

    The program counter is behind it then. Raises UserFault, and has done nothing.
    """
    words = user.words
    found = division(user.instruction_word)
    mode = user.instruction_word(0) & 0o77
    least = found.least()
    length = divide_length(user.instruction_word)
    if least and all(words[register] == value for register, value in least):
        divisor = ea.load(user, mode, found.size, 2 if found.size == 2 else 4)
    else:
        divisor = ea.Operand(0, *ea.stepped_register(words, mode, found.size))
    if divisor.register is not None:
        words[divisor.register] = divisor.becomes
    words[PC] = words[PC] + length & MASK
    kept = flags.read(words) & ~flags.C
    if not divisor.value:
        flags.write(words, kept)
        return ZERO_DIVIDE
    _divide_least(words, found, divisor.value, kept)
    return DONE


def _divide_least(words: memoryview, found: Division, divisor: int, kept: int) -> None:
    """kept: the condition codes before. A quotient that is too large sets V, clears N and Z, which the manual calls undefined,
    and keeps the operands: that of the least number is, but for a dividend as long as the divisor."""
    bits = 8 * found.size
    divisor -= divisor >> bits - 1 << bits
    magnitude = LEAST << 32 if found.wide else LEAST
    quotient, remainder = divmod(magnitude, abs(divisor))
    if divisor > 0:
        quotient = -quotient
    if not -1 << bits - 1 <= quotient < 1 << bits - 1:
        flags.write(words, kept & flags.X | flags.V)
        return
    flags.write(words, kept & flags.X | flags.N * (quotient < 0) | flags.Z * (quotient == 0))
    words[found.high] = -remainder & MASK
    words[found.low] = quotient & MASK
