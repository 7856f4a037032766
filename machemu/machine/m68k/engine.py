"""Unicorn's m68k: its processor, and its state where Unicorn keeps it.

Unicorn names no floating-point register and no fault address, and reading its status register spoils condition codes that it has
not worked out yet. So the CPU's state (CPUM68KState) is read and written in place; `find` looks for it once an engine and checks
what it finds. The table of Unicorn's translators, one for each first word of an instruction, lies behind it.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Final

from unicorn import m68k_const as m68k
from unicorn import unicorn_const as uc

from machemu.abi.errors import InvariantError
from machemu.machine import code_stores, counting
from machemu.machine.engine import ALL, READ_WRITE, Context, Engine, check, peek
from machemu.machine.m68k import first_digits

PROCESSOR: Final = m68k.UC_CPU_M68K_M68030
"""What gives a 68040: Unicorn's numbers of models are not those of its table. `_check_translators` sees to it."""

STATUS, ROOT, CONTROL = m68k.UC_M68K_REG_SR, m68k.UC_M68K_REG_CR_URP, m68k.UC_M68K_REG_CR_TC
"""Registers that are written through the interface: status, the user's root table, translation control."""

D0, A0, SP, PC, SR = 0, 8, 15, 16, 17
CC_OP, CC_X, CC_N, CC_V, CC_C, CC_Z = range(22, 28)
FPU, FPCR, FPSR = 28, 64, 65
"""Indices of 32-bit words in the state: d0 to a7, the program counter, how condition codes are kept, the floating-point unit."""
FPU_WORDS: Final = 32
ROUNDING: Final = slice(4 * 66 + 1, 4 * 66 + 4, 2)
"""The bytes of rounding mode and rounding precision."""
STICKY: Final = 4 * 66 + 2
"""The byte between them: flags of exceptions, which Unicorn only adds to."""
GATHERED, INSTRUCTION = (1, 2) if sys.byteorder == "little" else (2, 0)
"""Where in MACSR, of which a 68040 has nothing, the sticky flags of the instructions before the last one are, a byte, and the
last one's second word."""
WORDS: Final = 128
ADDRESS_BACK, ACCESS_BACK = 3, 2
"""How many words before the root pointer the fault's address and its special status word lie."""
ACCESS_READ: Final = 0x100
ACCESS_CODE: Final = 0x2
"""Bits of the special status word (MC68040 User's Manual, 8.4.6.2)."""

SUPERVISOR: Final = 0x2000
LOAD_FPU: Final = bytes.fromhex("f202 4000 f200 9000 f201 8800 60fe")
"""fmove.l d2,fp0; fmove.l d0,fpcr; fmove.l d1,fpsr; a loop."""
SPIN: Final = b"\x60\xfe"
LOOP: Final = bytes.fromhex("4e71 60fc")
"""A loop of one instruction; nop, and back."""
LOAD_FPU_COUNT: Final = 3

OPCODES: Final = 1 << 16
ILLEGAL, LINE_A, LINE_F = 0x4AFC, 0xA000, 0xFFFF
"""Instructions that nobody has: what translates them raises the exceptions of those names."""
PFLUSHA, MOVEP, BTST = 0xF518, 0x0108, 0x0110
"""Two that a 68040 has, and a 68060 has not or not alike; and what `movep` would be taken for."""
STOP: Final = 0x4E72

POINTER: Final = 8
STRUCT_SCAN: Final = 4096
CPU_SCAN: Final = 1 << 17
CHUNK: Final = 4096
TRANSLATOR: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint16)
CALL_TRANSLATOR: Final = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint16)
"""void translate(CPUM68KState *, DisasContext *, uint16_t first_word), to be called and to call."""

_places: list[tuple[int, int]] = []
"""Where in uc_struct the CPU's address is, and where in the CPU its state; the same in every engine of a process."""


class M68kEngine(Engine):
    """One Unicorn 68040. words: its state; root: the index in it of the root pointer. translators: addresses of functions, by the
    first words that they translate.

    rounding: the bytes of its state that say how the FPU rounds, ROUNDING of them. roundings: what they are for each value of the
    control register's bits 4 to 7.
    """

    def __init__(self, ram: mmap.mmap) -> None:
        first_digits.mend()
        super().__init__(ram, uc.UC_ARCH_M68K, uc.UC_MODE_BIG_ENDIAN, PROCESSOR)
        address = self._find()
        context = Context(self)
        context.save()
        saved = ctypes.string_at(context.address, context.size)
        size = context.size - saved.index(struct.pack(f"{SR}I", *_sentinel()[:SR]))
        context.close()
        self.bytes = memoryview((ctypes.c_uint32 * WORDS).from_address(address)).cast("B")
        self.words = self.bytes.cast("I")
        self._check_state()
        self.translators = (ctypes.c_uint64 * OPCODES).from_address(address + -(-(size + 8) // POINTER) * POINTER)
        self._check_translators()
        self.protect(0, CHUNK, ALL)
        self._calibrate(ram)
        self.roundings = self._find_roundings(ram)
        self.protect(0, CHUNK, READ_WRITE)
        self.counter.value = 0
        self.write(STATUS, 0)

    def close(self) -> None:
        self.words.release()
        self.bytes.release()
        super().close()

    def _find(self) -> int:
        """The address of the state. InvariantError where this Unicorn does not behave as expected."""
        sentinel = _sentinel()
        for n, value in enumerate(sentinel[:8]):
            self.write(m68k.UC_M68K_REG_D0 + n, value)
            self.write(m68k.UC_M68K_REG_A0 + n, sentinel[8 + n])
        self.write(m68k.UC_M68K_REG_PC, sentinel[PC])
        pattern = struct.pack(f"{SR}I", *sentinel)
        assert self.handle.value is not None
        pointers = (ctypes.c_uint64 * (STRUCT_SCAN // POINTER)).from_address(self.handle.value)
        if not _places:
            _places.extend(self._nearest(pointers, search(pointers, pattern)))
        if _places:
            index, offset = _places[0]
            address = pointers[index] + offset
            if peek(address, len(pattern)) == pattern:
                return address
        raise InvariantError("this build of Unicorn keeps its m68k's state elsewhere: install unicorn 2.1.4")

    def _nearest(self, pointers: ctypes.Array[ctypes.c_uint64], found: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Of the places found the one that is the state, not a copy that lies about, by the pointer that belongs to it: no other
        can be between."""
        value = 0x0DDBA115
        self.write(m68k.UC_M68K_REG_D0, value)
        live = [(offset, index) for index, offset in found if peek(pointers[index] + offset, 4) == struct.pack("I", value)]
        self.write(m68k.UC_M68K_REG_D0, _sentinel()[D0])
        if len({pointers[index] + offset for offset, index in live}) != 1:
            return []
        offset, index = min(live)
        return [(index, offset)]

    def _check_state(self) -> None:
        """Whether the words are what they are taken for, as far as the interface tells."""
        root = 0x12345600
        self.write(ROOT, root)
        self.write(STATUS, 0x1F)
        words = self.words
        self.root = next((index for index in range(FPSR, WORDS) if words[index] == root), -1)
        flags = [words[index] for index in range(CC_OP, CC_Z + 1)]
        if self.root < 0 or flags != [1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 1, 0]:
            raise InvariantError("this build of Unicorn lays its m68k's state out otherwise: install unicorn 2.1.4")

    def _calibrate(self, ram: mmap.mmap) -> None:
        """Finds the counter by a loop at physical address 0, whose bytes are put back."""
        kept, ram[: len(SPIN)] = ram[: len(SPIN)], SPIN
        self.find_counter(lambda count: check(self.start(0, count), "calibration"))
        self.stores_into_code = code_stores.mend(self, "m68k", 0)
        ram[: len(SPIN)] = kept
        self._count_by_blocks(ram)

    def _count_by_blocks(self, ram: mmap.mmap) -> None:
        """Counts instructions in the translations where that can be, tried with a loop at physical address 0, whose bytes are put
        back. All is flushed."""
        kept, ram[: len(LOOP)] = ram[: len(LOOP)], LOOP
        self.words[D0:SR] = memoryview(struct.pack(f"{SR}I", *_sentinel())).cast("I")
        counting.begin(self, "m68k", bytes(self.bytes[: 4 * PC]), 4 * PC, 0)
        ram[: len(LOOP)] = kept
        self.flush_translations()

    def _find_roundings(self, ram: mmap.mmap) -> list[bytes]:
        """ROUNDING for each value of the control register's bits 4 to 7, found by writing them with the processor's own
        instructions, at physical address 0, whose bytes are put back."""
        kept = ram[: len(LOAD_FPU)]
        ram[: len(LOAD_FPU)] = LOAD_FPU
        words = self.words
        self.write(STATUS, SUPERVISOR)
        found = []
        for control in range(0, 0x100, 0x10):
            words[0:3] = memoryview(struct.pack("III", control, 0x0F000000, 3)).cast("I")
            self.flush_translations()
            check(self.start(0, LOAD_FPU_COUNT), "calibration")
            if list(words[FPU : FPU + 3]) != [0, 0xC0000000, 0x4000] or [words[FPCR], words[FPSR]] != [control, 0x0F000000]:
                raise InvariantError("this build of Unicorn keeps its m68k's FPU elsewhere: install unicorn 2.1.4")
            found.append(bytes(self.bytes[ROUNDING]))
        ram[: len(LOAD_FPU)] = kept
        self.flush_translations()
        return found

    def _check_translators(self) -> None:
        table = self.translators
        distinct = {table[ILLEGAL], table[LINE_A], table[LINE_F]}
        alike = all(table[opcode] == table[LINE_A] for opcode in range(0xA000, 0xB000)) and table[0xF800] == table[LINE_F]
        if len(distinct) != 3 or 0 in distinct or not alike or table[PFLUSHA] == table[LINE_F] or table[MOVEP] == table[BTST]:
            raise InvariantError("this build of Unicorn keeps its m68k's translators elsewhere: install unicorn 2.1.4")

    def translate_as(self, opcodes: Iterable[int], other: int) -> None:
        """Makes first words be translated as another one is."""
        table, address = self.translators, self.translators[other]
        for opcode in opcodes:
            table[opcode] = address

    def translator(self, opcode: int) -> Callable[[int, int, int], None]:
        """What translates instructions with a first word."""
        return CALL_TRANSLATOR(self.translators[opcode])

    def set_translator(self, opcodes: Iterable[int], translate: Callable[[int, int, int], None]) -> None:
        """Makes a TRANSLATOR function translate instructions with some first words; the caller keeps it alive."""
        address = ctypes.cast(translate, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
        for opcode in opcodes:
            self.translators[opcode] = address


def _sentinel() -> list[int]:
    """Values for d0 to a7 and the program counter that stand nowhere else."""
    return [0x5A17C0DE ^ 0x01010101 * n for n in range(SR)]


def search(pointers: ctypes.Array[ctypes.c_uint64], pattern: bytes) -> list[tuple[int, int]]:
    """Everywhere that a pattern stands behind one of the pointers: (the pointer's index, the pattern's distance)."""
    found = []
    for index, address in enumerate(pointers):
        if address % POINTER or not CHUNK <= address < 1 << 47:
            continue
        behind = bytearray()
        while len(behind) < CPU_SCAN:
            piece = peek(address + len(behind), CHUNK)
            behind += piece
            if len(piece) < CHUNK:
                break
        found += [(index, match.start()) for match in re.finditer(re.escape(pattern), behind)]
    return found
