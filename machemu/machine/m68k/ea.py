"""Operands by their effective address, for what is done here (M68000 Family Programmer's Reference Manual, 2.2).

An instruction's bits `mode` (six) name an operand; its extension words begin at an offset from the first word.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from machemu.machine.m68k.decode import DISPLACEMENT, FULL_FORMAT
from machemu.machine.m68k.engine import A0, PC, SP

MASK: Final = 0xFFFFFFFF
BASE_SUPPRESSED, INDEX_SUPPRESSED, POST_INDEXED, LONG_INDEX = 0x80, 0x40, 0x04, 0x800
"""Bits of an extension word."""
POSTINCREMENT, PREDECREMENT, DISPLACED, INDEXED = 3, 4, 5, 6
ABSOLUTE_WORD, ABSOLUTE_LONG, PC_DISPLACED, PC_INDEXED, IMMEDIATE = range(0o70, 0o75)


class Operands(Protocol):
    """The active thread's registers and memory; reads raise UserFault."""

    words: memoryview

    def instruction_word(self, offset: int) -> int: ...

    def read(self, address: int, size: int) -> bytes: ...


class Operand(NamedTuple):
    """value: unsigned. register: which of the state's words is to become `becomes` once the instruction is done, or None."""

    value: int
    register: int | None = None
    becomes: int = 0


def load(user: Operands, mode: int, size: int, at: int) -> Operand:
    """The operand of `size` bytes: 1, or an even number. Raises UserFault; changes nothing."""
    words = user.words
    if mode < 0o20:
        return Operand(words[mode] & (1 << 8 * size) - 1)
    if mode == IMMEDIATE:
        return Operand(_extension(user, at, max(size, 2)) & (1 << 8 * size) - 1)
    register = A0 + (mode & 7)
    stepped, becomes = stepped_register(words, mode, size)
    place: int = becomes if mode >> 3 == PREDECREMENT else words[register]
    if stepped is None:
        place = address(user, mode, at)
    return Operand(int.from_bytes(user.read(place & MASK, size), "big"), stepped, becomes)


def stepped_register(words: memoryview, mode: int, size: int) -> tuple[int | None, int]:
    """Which of the state's words an operand's mode moves, or None, and what it becomes. The stack pointer stays even."""
    kind, register = mode >> 3, A0 + (mode & 7)
    if kind not in (POSTINCREMENT, PREDECREMENT):
        return None, 0
    step = 2 if register == SP and size == 1 else size
    return register, words[register] + (step if kind == POSTINCREMENT else -step) & MASK


def address(user: Operands, mode: int, at: int) -> int:
    """Of an operand in memory whose mode moves no register; not reduced to 32 bits."""
    words = user.words
    if mode == ABSOLUTE_WORD:
        return _signed_extension(user, at, 2)
    if mode == ABSOLUTE_LONG:
        return _signed_extension(user, at, 4)
    relative = mode in (PC_DISPLACED, PC_INDEXED)
    base: int = words[PC] + at if relative else words[A0 + (mode & 7)]
    if mode >> 3 == DISPLACED or mode == PC_DISPLACED:
        return base + _signed_extension(user, at, 2)
    if mode >> 3 == INDEXED or mode == PC_INDEXED:
        return _indexed(user, base, at)
    return base


def _indexed(user: Operands, base: int, at: int) -> int:
    extension = user.instruction_word(at)
    index: int = user.words[extension >> 12]
    if not extension & LONG_INDEX:
        index = _signed(index & 0xFFFF, 2)
    index <<= extension >> 9 & 3
    if not extension & FULL_FORMAT:
        return base + index + _signed(extension & 0xFF, 1)
    if extension & BASE_SUPPRESSED:
        base = 0
    size, outer_size = DISPLACEMENT[extension >> 4 & 3], DISPLACEMENT[extension & 3]
    place = base + _signed_extension(user, at + 2, size)
    if not extension & (INDEX_SUPPRESSED | POST_INDEXED):
        place += index
    if not extension & 3:
        return place
    pointer = int.from_bytes(user.read(place & MASK, 4), "big")
    if extension & (INDEX_SUPPRESSED | POST_INDEXED) == POST_INDEXED:
        pointer += index
    return pointer + _signed_extension(user, at + 2 + size, outer_size)


def _signed_extension(user: Operands, at: int, size: int) -> int:
    """The number that extension words hold: none, one or two of them."""
    return _signed(_extension(user, at, size), size)


def _extension(user: Operands, at: int, size: int) -> int:
    value = 0
    for offset in range(at, at + size, 2):
        value = value << 16 | user.instruction_word(offset)
    return value


def _signed(value: int, size: int) -> int:
    return value - (value >> 8 * size - 1 << 8 * size) if size else 0
