"""Packed decimals: 96 bits of signs, four digits of exponent and 17 digits of mantissa (the manual, 1.6.4 and FMOVE)."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from machemu.machine.m68k import extended
from machemu.machine.m68k.extended import INEX2, LARGEST, OPERR, SIGN, Extended

SIZE: Final = 12
DIGITS: Final = 17
NEGATIVE, NEGATIVE_EXPONENT, SPECIAL = 1 << 95, 1 << 94, 0x7FFF << 80
"""The signs, and both with all bits between: an infinity or a NaN."""
EXPONENT_MAX: Final = 999


def _decimal(bits: int, digits: int) -> int:
    """The number that digits of four bits make; of digits that are none the manual says nothing."""
    return sum((bits >> 4 * n & 0xF) * 10**n for n in range(digits))


def load(bits: int, mode: int) -> Extended:
    """As a number in extended precision; INEX1 where it had to be rounded."""
    sign = SIGN if bits & NEGATIVE else 0
    if bits & SPECIAL == SPECIAL:
        return Extended(sign | LARGEST, bits & extended.MANTISSA)
    exponent = _decimal(bits >> 80, 3)
    if bits & NEGATIVE_EXPONENT:
        exponent = -exponent
    digits = _decimal(bits, DIGITS)
    return extended.rounded(digits * Fraction(10) ** (exponent - DIGITS + 1), mode, 0, bool(sign), extended.INEX1)


def store(number: Extended, factor: int, mode: int) -> tuple[int, int]:
    """A number as packed decimal, and the exceptions that arise.

    factor: k; from 1 on how many digits the mantissa has, else how many digits behind the decimal point the number has, negated.
    """
    sign = NEGATIVE if number.exponent & SIGN else 0
    if extended.is_nan(number):
        quiet = extended.quieted(number)
        return sign | SPECIAL | quiet.mantissa, quiet.exceptions
    if extended.is_infinite(number):
        return sign | SPECIAL, 0
    exact = abs(extended.value(number))
    if not exact:
        return sign, 0
    power = _power(exact)
    wanted = factor if factor > 0 else power + 1 - factor
    exceptions = OPERR if wanted > DIGITS and factor > 0 else 0
    places = min(max(wanted, 1), DIGITS)
    scaled = exact / Fraction(10) ** (power - places + 1)
    digits = extended.to_integer(scaled, mode, bool(sign))
    exceptions |= INEX2 if digits != scaled else 0
    if digits == 10**places:
        digits, power = digits // 10, power + 1
    digits *= 10 ** (DIGITS - places)
    exponent = abs(power)
    if exponent > EXPONENT_MAX:
        exceptions |= OPERR
    upper, lower = divmod(exponent, 1000)
    bits = sign | (NEGATIVE_EXPONENT if power < 0 else 0) | _digits(lower) << 80 | _digits(upper) << 76
    return bits | _digits(digits), exceptions


def _power(exact: Fraction) -> int:
    """The exponent of ten of a number's first digit."""
    power = len(str(exact.numerator)) - len(str(exact.denominator))
    return power if exact >= Fraction(10) ** power else power - 1


def _digits(number: int) -> int:
    return int(str(number), 16)
