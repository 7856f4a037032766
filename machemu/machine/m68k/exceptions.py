"""The floating-point exceptions: what Unicorn's sticky flags say in the status register's bits, and which of them are raised.

MC68040 User's Manual, chapter 9; M68000 Family Programmer's Reference Manual, 1.2.
"""

from __future__ import annotations

from typing import Final

from machemu.machine.m68k.extended import DZ, INEX1, INEX2, OPERR, OVFL, SNAN, UNFL

BSUN: Final = 0x8000
EXCEPTIONS: Final = 0xFF00
"""The exception byte, of the last instruction; the control register's bits that enable them are the same."""
INVALID, DIVIDED_BY_ZERO, OVERFLOWED, UNDERFLOWED, INEXACT = 1, 4, 8, 16, 32
"""Unicorn's sticky flags (QEMU's float_flag_*)."""
KEEP_OPERANDS: Final = SNAN | OPERR | DZ
"""Enabled, these leave the destination as it was."""
VECTORS: Final = (
    (BSUN, 48),
    (SNAN, 54),
    (OPERR, 52),
    (OVFL, 53),
    (UNFL, 51),
    (DZ, 50),
    (INEX2 | INEX1, 49),
)
"""By priority: exceptions and their vector."""
IOP_ACCRUED, OVFL_ACCRUED, UNFL_ACCRUED, DZ_ACCRUED, INEX_ACCRUED = 0x80, 0x40, 0x20, 0x10, 0x08


def of_flags(flags: int, is_signaling: bool) -> int:
    """The exception byte. is_signaling: what was invalid is a signaling NaN."""
    found = 0
    if flags & INVALID:
        found |= SNAN if is_signaling else OPERR
    if flags & OVERFLOWED:
        found |= OVFL
    if flags & UNDERFLOWED:
        found |= UNFL
    if flags & DIVIDED_BY_ZERO:
        found |= DZ
    return found | (INEX2 if flags & INEXACT else 0)


def accrued(exceptions: int) -> int:
    """What an instruction's exceptions add to the accrued ones."""
    found = IOP_ACCRUED if exceptions & (BSUN | SNAN | OPERR) else 0
    if exceptions & OVFL:
        found |= OVFL_ACCRUED
    if exceptions & UNFL and exceptions & INEX2:
        found |= UNFL_ACCRUED
    if exceptions & DZ:
        found |= DZ_ACCRUED
    return found | (INEX_ACCRUED if exceptions & (INEX1 | INEX2 | OVFL) else 0)


def vector(raised: int) -> int:
    """Of exceptions that are enabled; 0 where there are none."""
    return next((number for bits, number in VECTORS if raised & bits), 0)
