"""How long instructions are, and which ones change the flow: what the processor knows and Unicorn does not tell.

Offsets are bytes from the instruction's first word; `word` reads the instruction's 16-bit word at an offset, and raises whatever
it likes where it cannot (M68000 Family Programmer's Reference Manual, chapter 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Word = Callable[[int], int]

LONGEST: Final = 22
"""Bytes of the longest instruction."""
FULL_FORMAT: Final = 0x100
DISPLACEMENT: Final = (0, 0, 2, 4)
"""Bytes of a base or outer displacement by its two bits of size."""


def operand(mode: int, at: int, immediate: int, word: Word) -> int:
    """The bytes of extension words, from offset `at` on, of the operand that an instruction's bits `mode` (six) name."""
    register = mode & 7
    kind = mode >> 3
    if kind == 6 or mode == 0o73:
        return _indexed(word(at))
    if kind == 5 or mode in (0o70, 0o72):
        return 2
    if mode == 0o71:
        return 4
    return immediate if kind == 7 and register == 4 else 0


def _indexed(extension: int) -> int:
    if not extension & FULL_FORMAT:
        return 2
    return 2 + DISPLACEMENT[extension >> 4 & 3] + DISPLACEMENT[extension & 3]


def divide_length(word: Word) -> int:
    """divu, divs, divul, divsl."""
    opcode = word(0)
    if opcode & 0xFFC0 == 0x4C40:
        return 4 + operand(opcode & 0o77, 4, 4, word)
    return 2 + operand(opcode & 0o77, 2, 2, word)


def chk_length(word: Word) -> int:
    """chk, of words or long words; chk2 is not."""
    opcode = word(0)
    return 2 + operand(opcode & 0o77, 2, 2 if opcode & 0x80 else 4, word)


def chk2_length(word: Word) -> int:
    return 4 + operand(word(0) & 0o77, 4, 0, word)


def falls_through(opcode: int) -> int | None:
    """The length of a conditional branch, 0 for an instruction that always goes elsewhere, None for one that changes no flow."""
    if opcode & 0xF000 == 0x6000:
        if opcode & 0xFE00 == 0x6000:
            return 0
        return {0: 4, 0xFF: 6}.get(opcode & 0xFF, 2)
    if opcode & 0xF0F8 == 0x50C8:
        return 4
    if opcode & 0xFF80 == 0xF280:
        return 6 if opcode & 0x40 else 4
    if opcode & 0xFFF8 == 0xF248:
        return 6
    if opcode & 0xFF80 == 0x4E80 or opcode in (0x4E74, 0x4E75, 0x4E77):
        return 0
    return None
