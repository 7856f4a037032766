"""Operands in memory by their modrm byte (Intel's manual, volume 2, 2.1.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from machemu.machine.i386.pcb import EBP, EBX, EDI, ESI, ESP

PAIRS: Final = ((EBX, ESI), (EBX, EDI), (EBP, ESI), (EBP, EDI), (ESI,), (EDI,), (EBP,), (EBX,))
"""The registers whose sum is a 16-bit address, by the rm field."""
BY_SCALE, NO_BASE, NO_BASE_16 = 4, 5, 6
"""Fields: a byte of scale, index and base follows; without a displacement's size, 32 or 16 bits of it alone."""


def offset(code: bytes, at: int, wide: bool, registers: Sequence[int]) -> int:
    """The operand's distance from its segment's begin. at: where its modrm byte is. wide: addresses have 32 bits.

    registers: EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
    """
    mode, rm = code[at] >> 6, code[at] & 7
    at += 1
    if not wide:
        bare = mode == 0 and rm == NO_BASE_16
        total = 0 if bare else sum(registers[number] for number in PAIRS[rm])
        return total + _displacement(code, at, 2 if bare else mode) & 0xFFFF
    total = 0
    if rm == BY_SCALE:
        scaled, rm = code[at], code[at] & 7
        at += 1
        if scaled >> 3 & 7 != ESP:
            total = registers[scaled >> 3 & 7] << (scaled >> 6)
    bare = mode == 0 and rm == NO_BASE
    if not bare:
        total += registers[rm]
    return total + _displacement(code, at, 4 if bare or mode == 2 else mode) & 0xFFFFFFFF


def immediate(code: bytes, at: int, wide: bool) -> int:
    """The distance that stands in the instruction itself."""
    return int.from_bytes(code[at : at + (4 if wide else 2)], "little")


def _displacement(code: bytes, at: int, size: int) -> int:
    return int.from_bytes(code[at : at + size], "little", signed=True)


def length(code: bytes, at: int, wide: bool) -> int:
    """The bytes of a modrm byte and what belongs to it."""
    mode, rm = code[at] >> 6, code[at] & 7
    if mode == 3:
        return 1
    if not wide:
        return 1 + (2 if mode == 0 and rm == NO_BASE_16 else mode)
    scaled = rm == BY_SCALE
    base = code[at + 1] & 7 if scaled else rm
    return 1 + scaled + (4 if mode == 2 or (mode == 0 and base == NO_BASE) else mode)
