"""Code of ours in Unicorn's translations, made with the functions by which its own translators make theirs (QEMU's TCG).

A translation is a list of operations in a TCGContext. Its variables, one a register of the guest, are distances from the context;
the variables are found by the registers' names, which the context keeps.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Sequence
from typing import Final

from machemu.abi.errors import InvariantError
from machemu.machine.engine import exported, peek
from machemu.machine.m68k.engine import FPSR, FPU, GATHERED, INSTRUCTION, POINTER, STICKY, M68kEngine, search
from machemu.machine.m68k.exceptions import INVALID

DATA_REGISTERS: Final = 8
NAMES: Final = b"".join(b"D%d\0A%d\0" % (n, n) for n in range(DATA_REGISTERS))
ACCUMULATORS: Final = b"ACC0\0ACC1\0ACC2\0ACC3\0"
"""The names that a context keeps, one behind the other; the variables of the data registers come next."""
VARIABLE_BASE, VARIABLE_OFFSET, VARIABLE_NAME = 16, 24, 32
"""Where a variable has the address of the variable that it lies relative to (the CPU's state), how far it lies from that, and the
address of its name."""
LESS, NOT_EQUAL, AT_MOST = 2, 9, 12
SET_LABEL, LOAD_BYTE, LOAD, STORE_BYTE, STORE_HALF, STORE, AND, OR, SHIFT_RIGHT = 1, 9, 13, 14, 15, 16, 26, 27, 30
"""Conditions (the last one of unsigned numbers); operations: a label; loads and stores of 8, 16 and 32 bits; and, or, a shift."""
NAN_BIT: Final = 24
"""Where in the status register the condition of a NaN is."""
NAME_MAX: Final = 8
CODES: Final = ("CC_OP", "CC_X", "CC_N", "CC_V", "CC_C", "CC_Z")
HOW_CODES: Final = 44
"""Where in a DisasContext is how the condition codes are kept (a CCOp); 0 where only the state knows."""

_POINTER = ctypes.c_void_p
_U64 = ctypes.c_uint64

_names: list[int] = []
"""How far behind the context the names are; the same in every engine."""


class Emitter:
    """On one engine; its methods are for translators, while Unicorn translates. kept: where in the state `keep` stores."""

    def __init__(self, engine: M68kEngine) -> None:
        self._context, names = _find(engine)
        first = -(-(names + len(NAMES) + len(ACCUMULATORS)) // POINTER) * POINTER
        self._registers = struct.unpack(f"{DATA_REGISTERS}Q", peek(self._context + first, POINTER * DATA_REGISTERS))
        self._state = _word(self._context + self._registers[0] + VARIABLE_BASE)
        self._new_label = exported("gen_new_label_m68k", _U64, _POINTER)
        self._branch_if = exported("tcg_gen_brcondi_i32_m68k", None, _POINTER, ctypes.c_int, _U64, ctypes.c_int32, _U64)
        self._access = exported("tcg_gen_op3_m68k", None, _POINTER, ctypes.c_int, _U64, _U64, _U64)
        self._operation = exported("tcg_gen_op1_m68k", None, _POINTER, ctypes.c_int, _U64)
        self._call = exported("tcg_gen_callN_m68k", None, _POINTER, _POINTER, _POINTER, ctypes.c_int, _POINTER)
        self._constant = exported("tcg_const_i32_m68k", _U64, _POINTER, ctypes.c_int32)
        self._and_not = exported("tcg_gen_andc_i32_m68k", None, _POINTER, _U64, _U64, _U64)
        self._free = exported("tcg_temp_free_internal_m68k", None, _POINTER, _U64)
        self._variables = self._named()
        self._codes = [self._variables.get(name, 0) for name in CODES]
        self.kept: int = self.state_word("ACC0")
        self._divide = ctypes.cast(exported("helper_divuw_m68k", None), _POINTER).value

    def state_word(self, name: str) -> int:
        """Which 32-bit word of the CPU's state a variable is."""
        if name not in self._variables:
            raise InvariantError(f"this build of Unicorn has no {name}: install unicorn 2.1.4")
        return _word(self._variables[name] + VARIABLE_OFFSET) // 4

    def _named(self) -> dict[str, int]:
        """The variables' addresses by name: those of the state, the data and address registers', and the accumulators'."""
        first, second = self._registers[:2]
        size = (second - first) // 2
        found = {}
        for variable in range(self._state, self._context + self._registers[-1] + (2 + ACCUMULATORS.count(b"A")) * size, size):
            name, _, _ = peek(_word(variable + VARIABLE_NAME), NAME_MAX).partition(b"\0")
            found[name.decode("latin-1")] = variable
        return found

    def keep(self, translation: int, registers: Sequence[int]) -> None:
        """Stores how condition codes are kept, they themselves, and some registers into the state's words from `kept` on.

        translation: the DisasContext. registers: as in `undo.registers`. Only before anything else of an instruction.
        """
        context = self._context
        size = (self._registers[1] - self._registers[0]) // 2
        how = ctypes.c_int.from_address(translation + HOW_CODES).value
        constant = context + self._constant(context, how)
        kept = [self._codes[0] if how == 0 else constant, *self._codes[1:]]
        kept += [context + self._registers[number % DATA_REGISTERS] + size * (number // DATA_REGISTERS) for number in registers]
        for place, variable in enumerate(kept, self.kept):
            self._access(context, STORE, variable, self._state, 4 * place)
        self._free(context, constant)

    def zero_divide_unless_normalized(self, number: int) -> None:
        """Raises a zero divide of the instruction that is being translated, with nothing done, where the first digit of a
        floating-point register is 0. Only before anything else of the instruction."""
        context = self._context
        digits = self._constant(context, 0)
        place = 4 * (FPU + 4 * number + (sys.byteorder == "little"))
        self._access(context, LOAD, context + digits, self._state, place)
        normalized = self._new_label(context)
        self._branch_if(context, LESS, digits, 0, normalized)
        self._free(context, context + digits)
        self._zero_divide(normalized)

    def note_float(self, extension: int, address: int) -> None:
        """Before a floating-point instruction: gathers the flags of those before it, and keeps which one it is (see fpu.py)."""
        context, state = self._context, self._state
        gathered = 4 * self.state_word("MACSR") + GATHERED
        sticky, flags, constant = (self._constant(context, value) for value in (0, 0, extension))
        self._access(context, LOAD_BYTE, context + sticky, state, STICKY)
        self._access(context, LOAD_BYTE, context + flags, state, gathered)
        self._access(context, OR, context + flags, context + flags, context + sticky)
        self._access(context, STORE_BYTE, context + flags, state, gathered)
        self._access(context, STORE_HALF, context + constant, state, gathered - GATHERED + INSTRUCTION)
        zero, place = self._constant(context, 0), self._constant(context, ctypes.c_int32(address).value)
        self._access(context, STORE_BYTE, context + zero, state, STICKY)
        self._access(context, STORE, context + place, state, 4 * self.state_word("MAC_MASK"))
        for variable in (sticky, flags, constant, zero, place):
            self._free(context, context + variable)

    def note_unordered(self) -> None:
        """Before a condition that is not for NaNs: where the status register has met one, it is invalid."""
        context, state = self._context, self._state
        gathered = 4 * self.state_word("MACSR") + GATHERED
        status, flags, shift, one = (self._constant(context, value) for value in (0, 0, NAN_BIT, INVALID))
        self._access(context, LOAD, context + status, state, 4 * FPSR)
        self._access(context, SHIFT_RIGHT, context + status, context + status, context + shift)
        self._access(context, AND, context + status, context + status, context + one)
        self._access(context, LOAD_BYTE, context + flags, state, gathered)
        self._access(context, OR, context + flags, context + flags, context + status)
        self._access(context, STORE_BYTE, context + flags, state, gathered)
        for variable in (status, flags, shift, one):
            self._free(context, context + variable)

    def zero_divide_unless_small(self, register: int, most: int) -> None:
        """Raises a zero divide of the instruction that is being translated, with nothing done, where a data register holds more,
        as an unsigned number. Only before anything else of the instruction."""
        otherwise = self._new_label(self._context)
        self._branch_if(self._context, AT_MOST, self._registers[register], most, otherwise)
        self._zero_divide(otherwise)

    def zero_divide_where(self, wanted: list[tuple[int, int]]) -> None:
        """Raises a zero divide of the instruction that is being translated, with nothing done, where each of some data registers
        holds a value. Only before anything else of the instruction."""
        context = self._context
        otherwise = self._new_label(context)
        for register, value in wanted:
            self._branch_if(context, NOT_EQUAL, self._registers[register], ctypes.c_int32(value).value, otherwise)
        self._zero_divide(otherwise)

    def clear_negative_where_overflow(self) -> None:
        """Clears N where V is set. Only behind an instruction that has worked out each condition code."""
        _, _, n, v, *_ = self._codes
        self._and_not(self._context, n - self._context, n - self._context, v - self._context)

    def _zero_divide(self, otherwise: int) -> None:
        """The helper divides nothing, and finds the instruction by its own caller."""
        context = self._context
        zero = context + self._constant(context, 0)
        self._call(context, self._divide, None, 3, (_U64 * 3)(self._state, zero, zero))
        self._free(context, zero)
        self._operation(context, SET_LABEL, otherwise)


def _find(engine: M68kEngine) -> tuple[int, int]:
    """The context's address, and the names' distance from it."""
    address = engine.translation_context()
    for offset in _names or [offset for _, offset in search((_U64 * 1)(address), NAMES + ACCUMULATORS)]:
        if _is_context(address, offset):
            _names[:] = [offset]
            return address, offset
    raise InvariantError("this build of Unicorn keeps its translator's variables elsewhere: install unicorn 2.1.4")


def _is_context(address: int, names: int) -> bool:
    """Whether the variable that would be d0's has that name there."""
    first = -(-(names + len(NAMES) + len(ACCUMULATORS)) // POINTER) * POINTER
    variable = _word(address + first)
    return variable < 1 << 20 and _word(address + variable + VARIABLE_NAME) == address + names


def _word(address: int) -> int:
    """The pointer at an address; 0 where nothing is."""
    data = peek(address, POINTER)
    return int.from_bytes(data, sys.byteorder) if len(data) == POINTER else 0
