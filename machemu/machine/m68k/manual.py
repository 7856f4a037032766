"""Which first words are instructions of the 68040's (M68000 Family Programmer's Reference Manual, chapters 2 and 4 to 6).

Six bits of most first words are an operand's addressing mode, and each instruction has only some of them (table 2-4). A set of
modes is a number with a bit for each of the 64 values of the six bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

EACH: Final = (1 << 64) - 1
DATA_REGISTER, ADDRESS_REGISTER, INDIRECT, POSTINCREMENT, PREDECREMENT, DISPLACED, INDEXED = (0xFF << 8 * n for n in range(7))
ABSOLUTE: Final = 3 << 0o70
RELATIVE: Final = 3 << 0o72
IMMEDIATE: Final = 1 << 0o74
ALL: Final = (2 << 0o74) - 1
DATA: Final = ALL & ~ADDRESS_REGISTER
MEMORY: Final = DATA & ~DATA_REGISTER
CONTROL: Final = INDIRECT | DISPLACED | INDEXED | ABSOLUTE | RELATIVE
ALTERABLE: Final = ALL & ~(RELATIVE | IMMEDIATE)
DATA_ALTERABLE, MEMORY_ALTERABLE, CONTROL_ALTERABLE = DATA & ALTERABLE, MEMORY & ALTERABLE, CONTROL & ALTERABLE
"""The manual's categories."""
REGISTERS: Final = DATA_REGISTER | ADDRESS_REGISTER
STATUS: Final = IMMEDIATE
"""In the place of a destination: the condition codes or the status register."""
WIDTHS: Final = 7 << 0o72
"""In the place of a mode: trapcc's operands."""
WORD_REGISTER, NO_MODE, BYTE, LINE_A, LINE_F, OTHERS = 1, 0, 0, 0xA, 0xF, 3
GROUP: Final = 6
"""Bits of a mode; what is above them is a group of first words."""


def modes(group: int) -> int:
    """The modes with which the ten upper bits of a first word are an instruction, privileged ones too."""
    line, size, is_odd = group >> 6, group & 3, bool(group & 4)
    if line == 0:
        return _immediates(group, size, is_odd)
    if line < 4:
        return _moves(group, line)
    if line == 4:
        return _miscellaneous(group, size, is_odd)
    if line == 5:
        return ADDRESS_REGISTER | DATA_ALTERABLE | WIDTHS if size == OTHERS else _sized(ALTERABLE, size)
    if line == 7:
        return NO_MODE if is_odd else EACH
    if line in (0x8, 0xC):
        return _logic(line, size, is_odd)
    if line in (0x9, 0xB, 0xD):
        return _arithmetic(line, size, is_odd)
    if line == 0xE:
        return _shifts(group, size)
    if line == LINE_F:
        return _others(group)
    return NO_MODE if line == LINE_A else EACH


def _sized(category: int, size: int) -> int:
    """A byte is in no address register."""
    return category & ~ADDRESS_REGISTER if size == BYTE else category


def _immediates(group: int, size: int, is_odd: bool) -> int:
    """ori, andi, subi, addi, eori, cmpi; bits; movep, moves, cas, chk2, cmp2."""
    operation = group >> 3 & 7
    if is_odd:
        return ADDRESS_REGISTER | (DATA if size == 0 else DATA_ALTERABLE)
    if operation == 4:
        return DATA & ~IMMEDIATE if size == 0 else DATA_ALTERABLE
    if size == OTHERS:
        if operation < 3:
            return CONTROL
        return NO_MODE if operation == 3 else MEMORY_ALTERABLE | (IMMEDIATE if operation > 5 else 0)
    if operation == 7:
        return MEMORY_ALTERABLE
    if operation == 6:
        return DATA & ~IMMEDIATE
    return DATA_ALTERABLE | (STATUS if operation in (0, 1, 5) and size < 2 else 0)


def _moves(group: int, line: int) -> int:
    """move and movea: the destination's mode comes with its halves swapped."""
    target = 1 << ((group & 7) << 3 | group >> 3 & 7)
    if target & ADDRESS_REGISTER:
        return NO_MODE if line == 1 else ALL
    return NO_MODE if not target & DATA_ALTERABLE else DATA if line == 1 else ALL


def _miscellaneous(group: int, size: int, is_odd: bool) -> int:
    operation = group >> 2 & 0xF
    if is_odd:  # chk, lea, extb
        if size == OTHERS:
            return CONTROL | (DATA_REGISTER if group == 0x49C0 >> GROUP else 0)
        return NO_MODE if size & 1 else DATA
    if operation in (0, 2, 4, 6):  # negx, clr, neg, not; moves from and to the status register
        return DATA if size == OTHERS and operation > 2 else DATA_ALTERABLE
    if operation == 8:  # nbcd, link; swap, bkpt, pea; ext, movem
        return (
            ADDRESS_REGISTER | DATA_ALTERABLE,
            REGISTERS | CONTROL,
            *2 * (DATA_REGISTER | CONTROL_ALTERABLE | PREDECREMENT,),
        )[size]
    if operation == 0xA:  # tst, tas, illegal
        return DATA_ALTERABLE if size == OTHERS else _sized(ALL, size)
    if operation == 0xC:  # mulu, muls; divu, divs; movem
        return DATA if size < 2 else CONTROL | POSTINCREMENT
    if operation == 0xE:
        return (NO_MODE, _WITHOUT_OPERANDS, CONTROL, CONTROL)[size]  # jsr, jmp
    return NO_MODE


_WITHOUT_OPERANDS: Final = (1 << 0o60) - 1 | sum(1 << 0o60 + n for n in (*range(8), 0xA, 0xB))
"""trap, link, unlk, move of the user's stack pointer; reset, nop, stop, rte, rtd, rts, trapv, rtr, movec."""


def _logic(line: int, size: int, is_odd: bool) -> int:
    """or, and; divisions and multiplications of words; sbcd, pack, unpk; abcd, exg."""
    if size == OTHERS or not is_odd:
        return DATA
    return MEMORY_ALTERABLE | (ADDRESS_REGISTER if line == 0xC and size == 2 else REGISTERS)


def _arithmetic(line: int, size: int, is_odd: bool) -> int:
    """sub, cmp, add and theirs to address registers; subx, cmpm, addx, eor."""
    if size == OTHERS:
        return ALL
    if not is_odd:
        return _sized(ALL, size)
    return ADDRESS_REGISTER | DATA_ALTERABLE if line == 0xB else REGISTERS | MEMORY_ALTERABLE


def _shifts(group: int, size: int) -> int:
    """Shifts and rotations, of memory by one; bit fields, of which some only read."""
    if size != OTHERS:
        return EACH
    if not group & 0x20:
        return MEMORY_ALTERABLE
    reads = group >> 2 & 7 in (0, 1, 3, 5)
    return DATA_REGISTER | (CONTROL if reads else CONTROL_ALTERABLE)


def _others(group: int) -> int:
    """Floating point; caches and translations, which are privileged; move16."""
    return {
        0x3C8: EACH,
        0x3C9: ADDRESS_REGISTER | DATA_ALTERABLE | WIDTHS,
        **dict.fromkeys((0x3CA, 0x3CB), 0xFFFFFFFF),
        0x3CC: CONTROL_ALTERABLE | PREDECREMENT,
        0x3CD: CONTROL | POSTINCREMENT,
        **dict.fromkeys(range(0x3D0, 0x3D4), EACH & ~(0xFF | 0xFF << 0o40)),
        0x3D4: (1 << 0o40) - 1,
        0x3D5: 0xFF << 0o10 | 0xFF << 0o50,
        0x3D8: (1 << 0o50) - 1,
    }.get(group, NO_MODE)


@cache
def undefined() -> tuple[int, ...]:
    """Every first word that is no instruction."""
    return tuple(_undefined())


def _undefined() -> Iterator[int]:
    for group in range(1 << 16 - GROUP):
        missing = ~modes(group) & EACH
        while missing:
            lowest = missing & -missing
            yield group << GROUP | lowest.bit_length() - 1
            missing ^= lowest
