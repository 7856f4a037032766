"""Sines, cosines and tangents of operands that Unicorn's functions must not see: unnormalized numbers lead them into wild memory
or loops without end.

The processor's own package (Motorola's FPSP) normalizes an operand first (MC68040 User's Manual, 9.5.1); so it is done here, and
Unicorn's function then called.
"""

from __future__ import annotations

from typing import Final

from machemu.machine.m68k import ea
from machemu.machine.m68k.decode import operand
from machemu.machine.m68k.engine import PC
from machemu.machine.m68k.extended import LARGEST, MANTISSA
from machemu.machine.m68k.floats import FLOAT, FloatUser

SINE, TANGENT, COSINE, BOTH = 0x0E, 0x0F, 0x1D, range(0x30, 0x38)
FUNCTIONS: Final = {SINE: "fsin", TANGENT: "ftan", COSINE: "fcos", **dict.fromkeys(BOTH, "fsincos")}
"""By the last seven bits of the second word."""
REGISTER, EXTENDED = 0, 0x12
"""Sources, in the second word's first bits: a floating-point register; an operand in extended precision."""
EXTENDED_SIZE: Final = 12


def source(opcode: int, extension: int) -> int | None:
    """Which floating-point register an instruction takes the sine or the like of; EXTENDED where that is an operand in extended
    precision, None where it is something else or no such instruction."""
    if opcode not in FLOAT or extension & 0x7F not in FUNCTIONS:
        return None
    if extension >> 13 == REGISTER:
        return extension >> 10 & 7
    return EXTENDED if extension >> 10 == EXTENDED else None


def execute(user: FloatUser) -> int | None:
    """Does the instruction under the program counter: DONE, a vector, or None where it is none of these. Raises UserFault, and
    has done nothing then."""
    words = user.words
    opcode = user.instruction_word(0)
    if opcode not in FLOAT:
        return None
    extension = user.instruction_word(2)
    taken = source(opcode, extension)
    if taken is None:
        return None
    length = 4
    if taken == EXTENDED:
        mode = opcode & 0o77
        if mode < 0o20 or mode > ea.IMMEDIATE:
            return None
        loaded = ea.load(user, mode, EXTENDED_SIZE, 4)
        if loaded.register is not None:
            words[loaded.register] = loaded.becomes
        exponent, mantissa = loaded.value >> 80, loaded.value & MANTISSA
        length += operand(mode, 4, EXTENDED_SIZE, user.instruction_word)
    else:
        exponent, mantissa = user.fpu.register(taken)
    function = FUNCTIONS[extension & 0x7F]
    results = (extension >> 7 & 7, extension & 7) if function == "fsincos" else (extension >> 7 & 7,)
    at = words[PC]
    words[PC] = at + length & ea.MASK
    return user.fpu.compute(function, results, *normalized(exponent, mantissa), at)


def normalized(exponent: int, mantissa: int) -> tuple[int, int]:
    """A number in extended precision, sign and exponent first, with a one as its first digit as far as its exponent allows."""
    power = exponent & LARGEST
    if power in (0, LARGEST):
        return exponent, mantissa
    shift = min(64 - mantissa.bit_length(), power) if mantissa else power
    return exponent - shift, mantissa << shift
