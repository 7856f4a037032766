"""Numbers in extended precision, worked out exactly for what Unicorn does not do (M68000 Family Programmer's Reference Manual,
1.6).

A number is two: `exponent`, 15 bits with the sign above, and `mantissa`, 64 bits. Rounding modes and precisions are the control
register's: to nearest, to zero, down, up; extended, single, double.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

BIAS: Final = 16383 + 63
SIGN: Final = 0x8000
LARGEST: Final = 0x7FFF
"""The exponent of infinities and NaNs."""
INTEGER_BIT, QUIET = 1 << 63, 1 << 62
MANTISSA: Final = (1 << 64) - 1
DIGITS: Final = (64, 24, 53, 64)
NEAREST, TO_ZERO, DOWN, UP = range(4)
SNAN, OPERR, OVFL, UNFL, DZ, INEX2, INEX1 = (1 << n for n in range(14, 7, -1))
"""Bits of the status register's exception byte."""


class Extended(NamedTuple):
    """exceptions: what arose when it was made, of the status register's bits."""

    exponent: int
    mantissa: int
    exceptions: int = 0


DEFAULT_NAN: Final = Extended(LARGEST, MANTISSA, OPERR)


def is_nan(number: Extended) -> bool:
    return number.exponent & LARGEST == LARGEST and number.mantissa & ~INTEGER_BIT != 0


def is_infinite(number: Extended) -> bool:
    return number.exponent & LARGEST == LARGEST and not is_nan(number)


def quieted(number: Extended) -> Extended:
    """A NaN as an instruction gives it on."""
    return Extended(number.exponent, number.mantissa | QUIET, 0 if number.mantissa & QUIET else SNAN)


def value(number: Extended) -> Fraction:
    """Of a finite number."""
    power = max(number.exponent & LARGEST, 1) - BIAS
    whole = number.mantissa << power if power >= 0 else Fraction(number.mantissa, 1 << -power)
    return Fraction(-whole if number.exponent & SIGN else whole)


def to_integer(exact: Fraction, mode: int, negative: bool) -> int:
    """The magnitude of a magnitude, rounded; `negative`: the number's sign."""
    whole, rest = divmod(exact.numerator, exact.denominator)
    if not rest or mode == TO_ZERO:
        return whole
    if mode == NEAREST:
        twice = 2 * rest - exact.denominator
        return whole + (twice > 0 or (twice == 0 and whole & 1 == 1))
    return whole + (negative == (mode == DOWN))


def rounded(exact: Fraction, mode: int, precision: int, negative: bool, inexact: int = INEX2) -> Extended:
    """An exact magnitude as a number. inexact: the exception that rounding is."""
    sign = SIGN if negative else 0
    if not exact:
        return Extended(sign, 0)
    digits = DIGITS[precision]
    power = exact.numerator.bit_length() - exact.denominator.bit_length() - digits
    if exact < Fraction(2) ** (power + digits):
        power -= 1
    power += 1
    power = max(power, 1 - BIAS + 64 - digits)
    mantissa = to_integer(exact / Fraction(2) ** power, mode, negative)
    exceptions = inexact if mantissa * Fraction(2) ** power != exact else 0
    power -= 64 - digits
    mantissa <<= 64 - digits
    if mantissa > MANTISSA:
        mantissa, power = mantissa >> 1, power + 1
    if power + BIAS >= LARGEST:
        return _overflowed(sign, mode, digits, inexact)
    if not mantissa & INTEGER_BIT:
        return Extended(sign, mantissa, exceptions | UNFL)
    return Extended(sign | power + BIAS, mantissa, exceptions)


def _overflowed(sign: int, mode: int, digits: int, inexact: int) -> Extended:
    if mode in (TO_ZERO, UP if sign else DOWN):
        return Extended(sign | LARGEST - 1, MANTISSA & -1 << 64 - digits, OVFL | inexact)
    return Extended(sign | LARGEST, 0, OVFL | inexact)


def of_integer(number: int) -> Extended:
    return rounded(Fraction(abs(number)), NEAREST, 0, number < 0)


def of_float(bits: int, exponent_bits: int, fraction_bits: int) -> Extended:
    """A number in single or double precision."""
    sign = SIGN if bits >> exponent_bits + fraction_bits else 0
    largest = (1 << exponent_bits) - 1
    power = bits >> fraction_bits & largest
    fraction = bits & (1 << fraction_bits) - 1
    if power == largest:
        mantissa = fraction << 63 - fraction_bits
        return Extended(sign | LARGEST, mantissa | INTEGER_BIT) if fraction else Extended(sign | LARGEST, 0)
    whole = Fraction(fraction | (1 << fraction_bits if power else 0))
    found = rounded(whole * Fraction(2) ** (max(power, 1) - (largest >> 1) - fraction_bits), NEAREST, 0, False)
    return Extended(sign | found.exponent, found.mantissa)
