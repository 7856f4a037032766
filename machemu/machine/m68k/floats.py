"""Floating-point instructions that Unicorn does otherwise than the processor, done here: moves of control registers, stores of
bytes and words, packed decimals, remainders, fetoxm1 (M68000 Family Programmer's Reference Manual, chapter 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from machemu.machine.m68k import ea, exceptions, extended, packed
from machemu.machine.m68k.decode import Word, operand
from machemu.machine.m68k.engine import FPCR, FPSR, PC
from machemu.machine.m68k.extended import OPERR, SIGN, Extended
from machemu.machine.m68k.faults import DONE

FLOAT: Final = range(0xF200, 0xF240)
LONG, SINGLE, EXTENDED, PACKED, WORD, DOUBLE, BYTE, DYNAMIC = range(8)
"""Operand formats; the last one is that of packed decimals with a register's k-factor, or of `fmovecr`."""
FORMAT_SIZE: Final = (4, 4, 12, 12, 2, 8, 1, 12)
FROM_REGISTER, FROM_OPERAND, TO_OPERAND, TO_CONTROL, FROM_CONTROL = 0, 2, 3, 4, 5
"""What the second word's first three bits say."""
FPCR_BIT, FPSR_BIT, FPIAR_BIT = 0x1000, 0x0800, 0x0400
"""In the second word of moves of control registers: they lie in memory in this order."""
SELECTED: Final = FPCR_BIT | FPSR_BIT | FPIAR_BIT
REMAINDER: Final = {0x21: extended.TO_ZERO, 0x25: extended.NEAREST}
"""fmod and frem: how their quotients are rounded."""
POWER_LESS_ONE: Final = 0x08
"""fetoxm1."""
TEST, COMPARE = 0x3A, 0x38
QUOTIENT: Final = 0xFF0000
MASK: Final = 0xFFFFFFFF


class FloatUnit(Protocol):
    """fpu.Fpu, as what is done here uses it."""

    def register(self, number: int) -> tuple[int, int]: ...

    def set_register(self, number: int, value: Extended) -> None: ...

    def test(self, number: int) -> None: ...

    def operate(self, function: int, number: int, value: Extended) -> int: ...

    def compute(self, function: str, results: Sequence[int], exponent: int, mantissa: int, address: int) -> int: ...

    def control(self, bit: int) -> int: ...

    def set_control(self, bit: int, value: int) -> None: ...

    def end(self, found: int, address: int) -> int: ...


class FloatUser(ea.Operands, Protocol):
    """The active thread's registers and memory; reads and writes raise UserFault."""

    @property
    def fpu(self) -> FloatUnit: ...

    def write(self, address: int, data: bytes) -> None: ...


def is_done_here(word: Word) -> bool:
    """Whether a sound instruction with a first word of FLOAT is one of these."""
    opcode, extension = word(0), word(2)
    kind, form = extension >> 13, extension >> 10 & 7
    if kind in (TO_CONTROL, FROM_CONTROL):
        return extension & SELECTED != FPCR_BIT or opcode & 0o70 != 0
    if kind == TO_OPERAND:
        return form in (PACKED, DYNAMIC, WORD, BYTE)
    if kind == FROM_OPERAND and form == DYNAMIC:
        return False
    if kind not in (FROM_REGISTER, FROM_OPERAND):
        return False
    return extension & 0x7F in (*REMAINDER, POWER_LESS_ONE) or (kind == FROM_OPERAND and form == PACKED)


def execute(user: FloatUser) -> int | None:
    """Does the instruction under the program counter: DONE, a vector, or None where it is none of these. Raises UserFault, and
    has done nothing then."""
    opcode = user.instruction_word(0)
    if opcode not in FLOAT:
        return None
    extension = user.instruction_word(2)
    kind = extension >> 13
    if kind in (TO_CONTROL, FROM_CONTROL):
        return _move_controls(user, opcode, extension)
    if not is_done_here(user.instruction_word):
        return None
    mode = opcode & 0o77
    if kind != FROM_REGISTER and (mode >> 3 == 1 or mode > (ea.ABSOLUTE_LONG if kind == TO_OPERAND else ea.IMMEDIATE)):
        return None
    if kind == TO_OPERAND:
        if extension >> 10 & 7 in (WORD, BYTE):
            return _store_integer(user, opcode, extension)
        return _store_packed(user, opcode, extension)
    return _operate(user, opcode, extension)


def _pass(user: FloatUser, opcode: int, immediate: int) -> int:
    """Moves the program counter behind the instruction; where it was."""
    words = user.words
    at: int = words[PC]
    words[PC] = at + 4 + operand(opcode & 0o77, 4, immediate, user.instruction_word) & MASK
    return at


def _place(user: FloatUser, mode: int, size: int) -> tuple[int, int | None, int]:
    """Where an operand in memory is, which register moves and what it becomes."""
    register, becomes = ea.stepped_register(user.words, mode, size)
    if register is None:
        return ea.address(user, mode, 4) & MASK, None, 0
    return becomes if mode >> 3 == ea.PREDECREMENT else user.words[register], register, becomes


def _move_controls(user: FloatUser, opcode: int, extension: int) -> int | None:
    mode = opcode & 0o77
    bits = [bit for bit in (FPCR_BIT, FPSR_BIT, FPIAR_BIT) if extension & bit]
    loads = extension >> 13 == TO_CONTROL
    fits = mode >= 0o20 or (len(bits) == 1 and (mode < 0o10 or bits[0] == FPIAR_BIT))
    if not bits or extension & 0x3FF or not fits or mode > ea.IMMEDIATE or (not loads and mode >= ea.PC_DISPLACED):
        return None
    size = 4 * len(bits)
    words = user.words
    if mode < 0o20:
        if loads:
            user.fpu.set_control(bits[0], words[mode])
        else:
            words[mode] = user.fpu.control(bits[0])
    elif mode == ea.IMMEDIATE:
        for place, bit in enumerate(bits):
            user.fpu.set_control(bit, user.instruction_word(4 + 4 * place) << 16 | user.instruction_word(6 + 4 * place))
    else:
        place, register, becomes = _place(user, mode, size)
        if loads:
            data = user.read(place, size)
            for n, bit in enumerate(bits):
                user.fpu.set_control(bit, int.from_bytes(data[4 * n : 4 * n + 4], "big"))
        else:
            user.write(place, b"".join(user.fpu.control(bit).to_bytes(4, "big") for bit in bits))
        if register is not None:
            words[register] = becomes
    _pass(user, opcode, size)
    return DONE


def _mode(user: FloatUser) -> int:
    return user.words[FPCR] >> 4 & 3


def _store_integer(user: FloatUser, opcode: int, extension: int) -> int:
    """fmove.b and .w: what does not fit becomes the nearest that does, and the rest of a data register stays."""
    size = FORMAT_SIZE[extension >> 10 & 7]
    number = Extended(*user.fpu.register(extension >> 7 & 7))
    limit = 1 << 8 * size - 1
    negative = bool(number.exponent & SIGN)
    found = 0
    if extended.is_nan(number):
        quiet = extended.quieted(number)
        result = quiet.mantissa >> 64 - 8 * size
        found = quiet.exceptions or OPERR
    elif extended.is_infinite(number):
        result, found = (-limit if negative else limit - 1), OPERR
    else:
        exact = abs(extended.value(number))
        magnitude = extended.to_integer(exact, _mode(user), negative)
        result = -magnitude if negative else magnitude
        if not -limit <= result < limit:
            result, found = (-limit if negative else limit - 1), OPERR
        elif magnitude != exact:
            found = extended.INEX2
    mask = (1 << 8 * size) - 1
    if not found & user.words[FPCR] & exceptions.KEEP_OPERANDS:
        if opcode & 0o70 == 0:
            user.words[opcode & 7] = user.words[opcode & 7] & ~mask & MASK | result & mask
        else:
            user.write(_place(user, opcode & 0o77, size)[0], (result & mask).to_bytes(size, "big"))
    register, becomes = ea.stepped_register(user.words, opcode & 0o77, size)
    if register is not None:
        user.words[register] = becomes
    return user.fpu.end(found, _pass(user, opcode, 0))


def _store_packed(user: FloatUser, opcode: int, extension: int) -> int:
    factor = extension & 0x7F
    if extension >> 10 & 7 == DYNAMIC:
        factor = user.words[factor >> 4] & 0x7F
    factor -= (factor & 0x40) << 1
    bits, found = packed.store(Extended(*user.fpu.register(extension >> 7 & 7)), factor, _mode(user))
    place, register, becomes = _place(user, opcode & 0o77, packed.SIZE)
    user.write(place, bits.to_bytes(packed.SIZE, "big"))
    if register is not None:
        user.words[register] = becomes
    return user.fpu.end(found, _pass(user, opcode, 0))


def _loaded(user: FloatUser, opcode: int, form: int) -> tuple[Extended, int | None, int]:
    """An operand as a number, which register moves and what it becomes."""
    size = FORMAT_SIZE[form]
    bits, register, becomes = ea.load(user, opcode & 0o77, size, 4)
    if form in (LONG, WORD, BYTE):
        return extended.of_integer(bits - (bits >> 8 * size - 1 << 8 * size)), register, becomes
    if form == SINGLE:
        return extended.of_float(bits, 8, 23), register, becomes
    if form == DOUBLE:
        return extended.of_float(bits, 11, 52), register, becomes
    if form == PACKED:
        return packed.load(bits, _mode(user)), register, becomes
    return Extended(bits >> 80, bits & extended.MANTISSA), register, becomes


def _operate(user: FloatUser, opcode: int, extension: int) -> int:
    """A remainder, fetoxm1, or any function of a packed decimal."""
    function, target, form = extension & 0x7F, extension >> 7 & 7, extension >> 10 & 7
    register, becomes = None, 0
    if extension >> 13 == FROM_REGISTER:
        number = Extended(*user.fpu.register(form))
        at = _pass(user, 0, 0)
    else:
        number, register, becomes = _loaded(user, opcode, form)
        at = _pass(user, opcode, FORMAT_SIZE[form] + (form == BYTE))
    if register is not None:
        user.words[register] = becomes
    if function not in REMAINDER:
        return user.fpu.end(number.exceptions | user.fpu.operate(function, target, number), at)
    result, quotient = remainder(Extended(*user.fpu.register(target)), number, REMAINDER[function], user.words[FPCR])
    if quotient is not None:
        user.words[FPSR] = user.words[FPSR] & ~QUOTIENT | quotient << 16
    done = user.fpu.end(result.exceptions | number.exceptions, at)
    user.fpu.set_register(target, result)
    user.fpu.test(target)
    return done


def remainder(dividend: Extended, divisor: Extended, rounding: int, control: int) -> tuple[Extended, int | None]:
    """The remainder, and the status register's quotient byte: its sign and last seven bits; None where it stays as it was."""
    for number in (dividend, divisor):
        if extended.is_nan(number):
            signaling = extended.quieted(dividend).exceptions if extended.is_nan(dividend) else 0
            signaling |= extended.quieted(divisor).exceptions if extended.is_nan(divisor) else 0
            return Extended(number.exponent, number.mantissa | extended.QUIET, signaling), None
    infinite = extended.is_infinite(divisor)
    divide_by = 0 if infinite else abs(extended.value(divisor))
    if extended.is_infinite(dividend) or not (infinite or divide_by):
        return extended.DEFAULT_NAN, None
    exact, sign = abs(extended.value(dividend)), bool(dividend.exponent & SIGN)
    quotient = 0 if infinite else extended.to_integer(exact / divide_by, rounding, False)
    rest = exact - quotient * divide_by
    negative = sign != (rest < 0)
    result = extended.rounded(abs(rest), control >> 4 & 3, control >> 6 & 3, negative)
    opposite = (dividend.exponent ^ divisor.exponent) & SIGN
    return result, quotient & 0x7F | (0x80 if opposite else 0)
