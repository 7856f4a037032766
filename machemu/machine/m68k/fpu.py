"""The floating-point unit: the active thread's registers, put into the engine's state and taken back."""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Sequence
from typing import Final

from machemu.machine.engine import exported
from machemu.machine.m68k import exceptions, extended, flags, floats, trigonometry
from machemu.machine.m68k.engine import FPCR, FPSR, FPU, FPU_WORDS, GATHERED, INSTRUCTION, ROUNDING, STICKY, M68kEngine
from machemu.machine.m68k.extended import Extended
from machemu.machine.m68k.pcb import FPU_REGISTERS, FPU_STATUS, FpuState, rounding_of

REGISTER_FILE: Final = slice(4 * FPU, 4 * (FPU + FPU_WORDS))
_LIVE: Final = struct.Struct("QH6x" * FPU_REGISTERS)
_REGISTER: Final = struct.Struct("QH6x")
_KEPT: Final = struct.Struct(">" + "H2xQ" * FPU_REGISTERS)
"""Mantissa and exponent as the engine keeps them, in the host's byte order, and exponent and mantissa as a thread does."""

WATCHED: Final = 0x20
"""In MACSR: the thread has enabled exceptions. Unicorn tells blocks apart by it, as by steps.APART."""
CONDITIONS: Final = 0xF << 24
NO_INSTRUCTION: Final = 0xFFFF
FUNCTIONS: Final = {
    **{0x01: "firound", 0x02: "fsinh", 0x03: "fitrunc", 0x04: "fsqrt", 0x41: "fssqrt", 0x45: "fdsqrt", 0x06: "flognp1"},
    **{0x09: "ftanh", 0x0A: "fatan", 0x0C: "fasin", 0x0D: "fatanh", 0x0E: "fsin", 0x0F: "ftan", 0x10: "fetox", 0x11: "ftwotox"},
    **{0x12: "ftentox", 0x14: "flogn", 0x15: "flog10", 0x16: "flog2", 0x18: "fabs", 0x58: "fsabs", 0x5C: "fdabs", 0x19: "fcosh"},
    **{0x1A: "fneg", 0x5A: "fsneg", 0x5E: "fdneg", 0x1C: "facos", 0x1D: "fcos", 0x1E: "fgetexp", 0x1F: "fgetman"},
    **{0x40: "fsround", 0x44: "fdround"},
}
"""Unicorn's functions of one number, by an instruction's last seven bits."""
FUNCTIONS_OF_TWO: Final = {
    **{0x20: "fdiv", 0x60: "fsdiv", 0x64: "fddiv", 0x22: "fadd", 0x62: "fsadd", 0x66: "fdadd", 0x23: "fmul", 0x63: "fsmul"},
    **{0x67: "fdmul", 0x24: "fsgldiv", 0x26: "fscale", 0x27: "fsglmul", 0x28: "fsub", 0x68: "fssub", 0x6C: "fdsub"},
}
MOVES: Final = (0x00, 0x18, 0x1A, 0x40, 0x44, 0x58, 0x5A, 0x5C, 0x5E, floats.COMPARE, floats.TEST)
"""What only a signaling NaN makes invalid."""


class _Number(ctypes.Structure):
    """floatx80."""

    _fields_ = (("mantissa", ctypes.c_uint64), ("exponent", ctypes.c_uint16))


class Fpu:
    """loaded: what the engine was given last; while it has not changed it is the active thread's still.

    mode, address: which words of the engine's state MACSR and, since it is no instruction's here, MAC_MASK are; the latter is the
    instruction address register.
    """

    def __init__(self, engine: M68kEngine, mode: int, address: int) -> None:
        self.engine = engine
        self._loaded: FpuState | None = None
        self._raw = b""
        self._mode, self._address = mode, address
        self._place = ctypes.addressof(ctypes.c_char.from_buffer(engine.bytes))
        self._modes: dict[bytes, int] = {}
        for value, rounding in enumerate(engine.roundings):
            self._modes.setdefault(rounding, value)

    def load(self, fpu: FpuState) -> None:
        if fpu is self._loaded:
            return
        self._loaded = fpu
        state, words = self.engine.bytes, self.engine.words
        values = _KEPT.unpack(fpu.data)
        self._raw = _LIVE.pack(*(values[n ^ 1] for n in range(2 * FPU_REGISTERS)))
        state[REGISTER_FILE] = self._raw
        words[FPCR], words[FPSR], words[self._address] = fpu.control, fpu.status, fpu.address
        state[ROUNDING] = self.engine.roundings[fpu.rounding]
        self._forget()
        self._watch()

    def _forget(self) -> None:
        """Nothing has been done since the status register was right."""
        self.engine.bytes[STICKY] = self.engine.bytes[4 * self._mode + GATHERED] = 0
        self._set_instruction(NO_INSTRUCTION)

    def _set_instruction(self, extension: int) -> None:
        place = 4 * self._mode + INSTRUCTION
        self.engine.bytes[place : place + 2] = extension.to_bytes(2, sys.byteorder)

    def _instruction(self) -> int:
        place = 4 * self._mode + INSTRUCTION
        return int.from_bytes(self.engine.bytes[place : place + 2], sys.byteorder)

    def _watch(self) -> None:
        words = self.engine.words
        enabled = words[FPCR] & exceptions.EXCEPTIONS
        words[self._mode] = words[self._mode] & ~WATCHED | (WATCHED if enabled else 0)

    def watches(self) -> bool:
        """Whether the active thread has enabled exceptions, and its instructions are looked at."""
        return bool(self.engine.words[self._mode] & WATCHED)

    def let_alone(self, lets: bool) -> None:
        """Whether the next instruction runs as if no exceptions were enabled."""
        words = self.engine.words
        words[self._mode] = words[self._mode] & ~WATCHED | (0 if lets else WATCHED)

    def settle(self) -> None:
        """Brings the status register up to date with what Unicorn has done."""
        state, words = self.engine.bytes, self.engine.words
        extension, gathered, last = self._instruction(), state[4 * self._mode + GATHERED], state[STICKY]
        if extension == NO_INSTRUCTION and not gathered:
            return
        words[FPSR] |= exceptions.accrued(exceptions.of_flags(gathered, False))
        if extension != NO_INSTRUCTION:
            found = exceptions.of_flags(last, self._is_signaling(extension))
            words[FPSR] = words[FPSR] & ~exceptions.EXCEPTIONS | found | exceptions.accrued(found)
        self._forget()

    def _is_signaling(self, extension: int) -> bool:
        """Whether what the last instruction found invalid was a signaling NaN: otherwise it gave a NaN of its own."""
        number = Extended(*self.register(extension >> 7 & 7))
        if extension >> 13 == floats.TO_OPERAND:
            return extended.is_nan(number) and not number.mantissa & extended.QUIET
        return extension & 0x7F in MOVES or number[:2] != extended.DEFAULT_NAN[:2]

    def end(self, found: int, address: int) -> int:
        """An instruction at an address ended with exceptions: the vector that is raised, or 0."""
        self.settle()
        words = self.engine.words
        words[FPSR] = words[FPSR] & ~exceptions.EXCEPTIONS | found | exceptions.accrued(found)
        words[self._address] = address
        return self.raised()

    def raised(self) -> int:
        """The vector of the last instruction's exceptions that are enabled, or 0."""
        words = self.engine.words
        return exceptions.vector(words[FPSR] & words[FPCR] & exceptions.EXCEPTIONS)

    def compare_unordered(self, address: int) -> int:
        """A condition that is not for NaNs is evaluated: the vector that it raises, or 0."""
        return self.end(exceptions.BSUN, address) if self.engine.words[FPSR] & flags.FPU_NAN else 0

    def has_worked(self) -> bool:
        """Whether Unicorn has done an instruction that may raise exceptions since the status register was right."""
        return self._instruction() != NO_INSTRUCTION

    def take_back(self, before: FpuState) -> int:
        """An instruction is done: the vector that it raises, or 0. before: what was before it; where it was invalid or divided by
        zero, and that is enabled, registers and conditions are so again."""
        words = self.engine.words
        self.settle()
        if words[FPSR] & words[FPCR] & exceptions.KEEP_OPERANDS:
            values = _KEPT.unpack(before.data)
            self.engine.bytes[REGISTER_FILE] = _LIVE.pack(*(values[n ^ 1] for n in range(2 * FPU_REGISTERS)))
            words[FPSR] = words[FPSR] & ~CONDITIONS | before.status & CONDITIONS
        return self.raised()

    def control(self, bit: int) -> int:
        """A control register, by its bit in a move's second word."""
        self.settle()
        words = self.engine.words
        return words[{floats.FPCR_BIT: FPCR, floats.FPSR_BIT: FPSR}.get(bit, self._address)]

    def set_control(self, bit: int, value: int) -> None:
        """What the processor does when a control register is loaded."""
        self.settle()
        words = self.engine.words
        if bit == floats.FPCR_BIT:
            words[FPCR] = value & 0xFFF0
            self.engine.bytes[ROUNDING] = self.engine.roundings[rounding_of(value)]
            self._watch()
        elif bit == floats.FPSR_BIT:
            words[FPSR] = value & FPU_STATUS
        else:
            words[self._address] = value

    def register(self, number: int) -> tuple[int, int]:
        """Sign and exponent, and mantissa, of an active thread's register."""
        mantissa, exponent = _REGISTER.unpack_from(self.engine.bytes, 4 * FPU + number * _REGISTER.size)
        return exponent, mantissa

    def set_register(self, number: int, value: Extended) -> None:
        _REGISTER.pack_into(self.engine.bytes, 4 * FPU + number * _REGISTER.size, value.mantissa, value.exponent)

    def test(self, number: int) -> None:
        """Sets the conditions by a register."""
        self._call("ftst", self._register_place(number))

    def _register_place(self, number: int) -> int:
        return self._place + 4 * FPU + number * _REGISTER.size

    def _call(self, function: str, *places: int) -> None:
        exported(f"helper_{function}_m68k", None, *[ctypes.c_void_p] * (1 + len(places)))(self._place, *places)

    def compute(self, function: str, results: Sequence[int], exponent: int, mantissa: int, address: int) -> int:
        """Makes registers the results of a function of one number as Unicorn computes it; the first sets the conditions."""
        self.settle()
        value = ctypes.create_string_buffer(_REGISTER.pack(mantissa, exponent), _REGISTER.size)
        self._call(function, *(self._register_place(number) for number in results), ctypes.addressof(value))
        self.test(results[0])
        return self.end(self._found(trigonometry.SINE | results[0] << 7), address)

    def operate(self, function: int, number: int, value: Extended) -> int:
        """An instruction's function of a register and a number, as Unicorn computes it; its exceptions."""
        self.settle()
        place = self._register_place(number)
        operand = ctypes.create_string_buffer(_REGISTER.pack(value.mantissa, value.exponent), _REGISTER.size)
        source = ctypes.addressof(operand)
        if function in (floats.COMPARE, floats.TEST):
            self._call("fcmp" if function == floats.COMPARE else "ftst", source, *[place] * (function == floats.COMPARE))
            return self._found(function | number << 7)
        if function == floats.POWER_LESS_ONE:
            self.set_register(number, self._power_less_one(value))
        elif function in FUNCTIONS_OF_TWO:
            self._call(FUNCTIONS_OF_TWO[function], place, source, place)
        elif function in trigonometry.BOTH or function in FUNCTIONS:
            operand.raw = _REGISTER.pack(*reversed(trigonometry.normalized(value.exponent, value.mantissa)))
            places = (place, self._register_place(function & 7)) if function in trigonometry.BOTH else (place,)
            self._call("fsincos" if function in trigonometry.BOTH else FUNCTIONS[function], *places, source)
        else:
            self.set_register(number, value)
        self.test(number)
        return self._found(function | number << 7)

    def _power_less_one(self, value: Extended) -> Extended:
        """fetoxm1, for which Unicorn has a function, and no instruction."""
        exponent, mantissa = trigonometry.normalized(value.exponent, value.mantissa)
        if exponent & extended.LARGEST == extended.LARGEST:
            mantissa |= extended.INTEGER_BIT
        function = exported("floatx80_etoxm1_m68k", _Number, _Number, ctypes.c_void_p)
        result = function(_Number(mantissa, exponent), self._place + ROUNDING.start - 1)
        found = Extended(result.exponent, result.mantissa)
        return Extended(found.exponent, 0) if extended.is_infinite(found) else found

    def _found(self, extension: int) -> int:
        """The exceptions of a function that Unicorn has done for an instruction with a second word."""
        state = self.engine.bytes
        found = exceptions.of_flags(state[STICKY], self._is_signaling(extension))
        state[STICKY] = 0
        return found

    def save(self) -> FpuState:
        self.settle()
        state, words = self.engine.bytes, self.engine.words
        fpu = self._loaded
        assert fpu is not None
        raw = state[REGISTER_FILE].tobytes()
        changed = raw != self._raw or (words[FPCR], words[FPSR], words[self._address]) != fpu[:3]
        if changed:
            values = _LIVE.unpack(raw)
            data = _KEPT.pack(*(values[n ^ 1] for n in range(2 * FPU_REGISTERS)))
            rounding = self._modes[bytes(state[ROUNDING])]
            self._loaded = fpu = FpuState(words[FPCR], words[FPSR], words[self._address], rounding, data)
            self._raw = raw
        return fpu
