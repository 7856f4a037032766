"""Instructions that fault when they have already changed something, and what they began with.

Unicorn changes condition codes before it stores a result, takes off address registers before it loads operands by them, works
out old condition codes in the place of what they are worked out from, and loads a register byte by byte. Where the store or load
then faults, the instruction is made once more, or an exception shows the state: both need it as it was. So before Unicorn's
translation of such an instruction comes code that keeps that, in registers of a unit that a 68040 has not (the ColdFire's
accumulators), and a fault puts it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from machemu.machine.m68k import manual
from machemu.machine.m68k.decode import Word, operand
from machemu.machine.m68k.engine import CC_OP, CC_Z, D0, OPCODES

MEMORY: Final = [mode for mode in range(0o72) if mode >= 0o20]
"""Operands in memory that an instruction may change."""
CODES: Final = CC_Z + 1 - CC_OP
"""How many words condition codes are."""
ADDX, EXTENDED = 0xD108, (0x8108, 0x9108, 0xC108, 0xD108)
"""addx; sbcd, subx, abcd, addx, of operands in memory."""
MOVEP: Final = (0x0108, 0x0148)
"""movep of words and long words from memory to a data register."""
ADDRESS: Final = 8
"""The number of the first address register, behind the data registers."""


@cache
def opcodes() -> frozenset[int]:
    """First words of such instructions."""
    return frozenset(_opcodes()) - frozenset(manual.undefined())


@cache
def table() -> bytes:
    """By first word, whether it is of such an instruction."""
    found = bytearray(OPCODES)
    for opcode in opcodes():
        found[opcode] = True
    return bytes(found)


def _opcodes() -> Iterator[int]:
    """Additions, subtractions, exclusive or, negations, single bits, tas, nbcd, scc, shifts and rotations in memory; and those of
    EXTENDED and MOVEP."""
    registers = [register << 9 for register in range(8)]
    sized = [size << 6 for size in range(3)]
    groups = [first | size for first in (0x0400, 0x0600, 0x4000, 0x4400) for size in sized]
    groups += [0x4800, 0x4AC0, *(0x0800 | kind << 6 for kind in (1, 2, 3)), *(0xE0C0 | kind << 8 for kind in range(8))]
    groups += [
        first | register | size for first in (0x5000, 0x5100, 0x9100, 0xB100, 0xD100) for register in registers for size in sized
    ]
    groups += [0x0100 | register | kind << 6 for register in registers for kind in (1, 2, 3)]
    groups += [0x50C0 | condition << 8 for condition in range(16)]
    for group in groups:
        yield from (group | mode for mode in MEMORY)
    yield from (first | register | base for first in MOVEP for register in registers for base in range(8))
    for first in EXTENDED:
        sizes = sized if first in (ADDX, 0x9108) else sized[:1]
        yield from (first | register | size | source for register in registers for size in sizes for source in range(8))


def length(word: Word) -> int:
    """In bytes, of one of these."""
    opcode = word(0)
    if _is_extended(opcode):
        return 2
    if _is_movep(opcode):
        return 4
    immediate = 0
    if opcode & 0xF100 == 0:
        immediate = 4 if opcode & 0x08C0 == 0x0080 else 2
    return 2 + immediate + operand(opcode & 0o77, 2 + immediate, 0, word)


def registers(opcode: int) -> tuple[int, ...]:
    """The registers that it changes early: 0 to 7 for data, ADDRESS and more for address registers."""
    if _is_movep(opcode):
        return (opcode >> 9 & 7,)
    return (ADDRESS + (opcode & 7), ADDRESS + (opcode >> 9 & 7)) if _is_extended(opcode) else ()


def put_back(words: memoryview, kept: int, opcode: int) -> None:
    """Makes an engine's state what it was before the instruction that has faulted; kept: the first word of it that was kept."""
    words[CC_OP : CC_Z + 1] = words[kept : kept + CODES]
    for place, register in enumerate(registers(opcode), kept + CODES):
        words[D0 + register] = words[place]


def _is_extended(opcode: int) -> bool:
    return opcode & 0xF138 in EXTENDED


def _is_movep(opcode: int) -> bool:
    return opcode & 0xF1F8 in MOVEP
