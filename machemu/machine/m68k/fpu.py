"""The floating-point unit: the active thread's registers, put into the engine's state and taken back."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Final

from machemu.machine.engine import exported
from machemu.machine.m68k.engine import FPCR, FPSR, FPU, FPU_WORDS, ROUNDING, M68kEngine
from machemu.machine.m68k.pcb import FPU_REGISTERS, FpuState, rounding_of

REGISTER_FILE: Final = slice(4 * FPU, 4 * (FPU + FPU_WORDS))
_LIVE: Final = struct.Struct("QH6x" * FPU_REGISTERS)
_REGISTER: Final = struct.Struct("QH6x")
_KEPT: Final = struct.Struct(">" + "H2xQ" * FPU_REGISTERS)
"""Mantissa and exponent as the engine keeps them, in the host's byte order, and exponent and mantissa as a thread does."""


class Fpu:
    """loaded: what the engine was given last; while it has not changed it is the active thread's still."""

    def __init__(self, engine: M68kEngine) -> None:
        self.engine = engine
        self._loaded: FpuState | None = None
        self._raw = b""
        self._modes: dict[bytes, int] = {}
        for mode, rounding in enumerate(engine.roundings):
            self._modes.setdefault(rounding, mode)

    def load(self, fpu: FpuState) -> None:
        if fpu is self._loaded:
            return
        self._loaded = fpu
        state, words = self.engine.bytes, self.engine.words
        values = _KEPT.unpack(fpu.data)
        self._raw = _LIVE.pack(*(values[n ^ 1] for n in range(2 * FPU_REGISTERS)))
        state[REGISTER_FILE] = self._raw
        words[FPCR], words[FPSR] = fpu.control, fpu.status
        state[ROUNDING] = self.engine.roundings[fpu.rounding]

    def set_control(self, value: int) -> None:
        """What the processor does when its floating-point control register is loaded."""
        self.engine.words[FPCR] = value & 0xFFFF
        self.engine.bytes[ROUNDING] = self.engine.roundings[rounding_of(value)]

    def register(self, number: int) -> tuple[int, int]:
        """Sign and exponent, and mantissa, of an active thread's register."""
        mantissa, exponent = _REGISTER.unpack_from(self.engine.bytes, 4 * FPU + number * _REGISTER.size)
        return exponent, mantissa

    def compute(self, function: str, results: Sequence[int], exponent: int, mantissa: int) -> None:
        """Makes registers the results of a function of one number as Unicorn computes it; the first sets the conditions."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.engine.bytes))
        places = [address + 4 * FPU + number * _REGISTER.size for number in results]
        value = ctypes.create_string_buffer(_REGISTER.pack(mantissa, exponent), _REGISTER.size)
        pointers = [ctypes.c_void_p] * (2 + len(places))
        exported(f"helper_{function}_m68k", None, *pointers)(address, *places, ctypes.addressof(value))
        exported("helper_ftst_m68k", None, *pointers[:2])(address, places[0])

    def save(self) -> FpuState:
        state, words = self.engine.bytes, self.engine.words
        fpu = self._loaded
        assert fpu is not None
        raw = state[REGISTER_FILE].tobytes()
        if raw != self._raw or words[FPSR] != fpu.status or words[FPCR] != fpu.control:
            values = _LIVE.unpack(raw)
            data = _KEPT.pack(*(values[n ^ 1] for n in range(2 * FPU_REGISTERS)))
            rounding = self._modes[bytes(state[ROUNDING])]
            self._loaded = fpu = FpuState(words[FPCR], words[FPSR], fpu.address, rounding, data)
            self._raw = raw
        return fpu
