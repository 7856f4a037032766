"""Unicorn's i386: its processor, registers, descriptor tables and hooked instructions."""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import Final

from unicorn import unicorn_const as uc
from unicorn import x86_const as x86

from machemu.abi.errors import InvariantError
from machemu.machine import counting
from machemu.machine.engine import Context, Engine, Variables

SYSCALL: Final = x86.UC_X86_INS_SYSCALL
SYSENTER: Final = x86.UC_X86_INS_SYSENTER
IN: Final = x86.UC_X86_INS_IN
OUT: Final = x86.UC_X86_INS_OUT
"""The instructions that may be hooked."""

PROCESSOR: Final = x86.UC_CPU_X86_PENTIUM2
"""The last processor without SSE: it runs what compilers make for an i686, and has no registers but those that Mach saves, no
source of randomness, and no instruction that a program of Mach 3.0's time could miss."""

EFER: Final = 0xC0000080
NO_EXECUTE_ENABLE: Final = 1 << 11
EFER_FIRST: Final = 0x200
"""Registers that have numbers of their own, and the head of a context, lie before that offset."""
_efer: list[int] = []
"""Where it was found; the same in every engine of a process."""

GENERAL: Final = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI")
PC: Final = 128
"""Where in the CPU's state EIP is: behind 16 registers of 8 bytes."""
FLAG_SOURCES: Final = Variables(3, 144, 3)
"""What Unicorn works the arithmetic flags out from: cc_dst, cc_src and cc_src2."""
SEGMENTS, SEGMENT_SIZE, STATE_SIZE = 184, 24, 184 + 6 * 24
"""Where behind the flags the segment registers are, each with its selector first, in the order ES, CS, SS, DS, FS, GS."""
LOOP: Final = b"\x90\xeb\xfd"
"""nop; jmp to it."""

_VOID = ctypes.c_void_p
IN_HOOK: Final = ctypes.CFUNCTYPE(ctypes.c_uint32, _VOID, ctypes.c_uint32, ctypes.c_int, _VOID)
OUT_HOOK: Final = ctypes.CFUNCTYPE(None, _VOID, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, _VOID)


def selectors(state: bytes) -> list[int]:
    """Of the segment registers in the CPU's state."""
    return [int.from_bytes(state[at : at + 4], "little") for at in range(SEGMENTS, STATE_SIZE, SEGMENT_SIZE)]


class MemoryRegister(ctypes.Structure):
    """uc_x86_mmr: GDTR, LDTR, TR."""

    _fields_ = (("selector", ctypes.c_uint16), ("base", ctypes.c_uint64), ("limit", ctypes.c_uint32), ("flags", ctypes.c_uint32))


class ModelRegister(ctypes.Structure):
    """uc_x86_msr."""

    _fields_ = (("number", ctypes.c_uint32), ("value", ctypes.c_uint64))


class I386Engine(Engine):
    """One Unicorn i386 CPU."""

    def __init__(self, ram: mmap.mmap) -> None:
        super().__init__(ram, uc.UC_ARCH_X86, uc.UC_MODE_32, PROCESSOR)

    def allow_no_execute(self, scratch: Context, end: int) -> None:
        """Sets a bit of a register that this processor does not have. It lies before the offset `end` of saved contexts.

        InvariantError where this Unicorn keeps it elsewhere.
        """
        scratch.save()
        for offset in _efer or range(EFER_FIRST, end, 8):
            word = ctypes.c_uint64.from_address(scratch.address + offset)
            if word.value:
                continue
            word.value = NO_EXECUTE_ENABLE
            scratch.restore()
            if self._read_model(EFER) == NO_EXECUTE_ENABLE:
                _efer[:] = [offset]
                return
            word.value = 0
        raise InvariantError("this build of Unicorn keeps its model-specific registers elsewhere: install unicorn 2.1.4")

    def count_by_blocks(self, ram: memoryview, address: int) -> None:
        """Counts instructions in the translations where that can be. ram: bytes that the CPU has at a virtual address, not to be
        changed for long. All is flushed."""
        kept = [self.read(REGISTER[name]) for name in GENERAL]
        sentinel = [0x5A17C0DE ^ 0x01010101 * number for number in range(len(GENERAL))]
        code, ram[: len(LOOP)] = bytes(ram[: len(LOOP)]), LOOP
        for name, value in zip(GENERAL, sentinel, strict=True):
            self.write(REGISTER[name], value)
        counting.begin(self, "x86_64", struct.pack("<8Q", *sentinel), PC, address)
        for name, value in zip(GENERAL, kept, strict=True):
            self.write(REGISTER[name], value)
        ram[: len(LOOP)] = code

    def _read_model(self, number: int) -> int:
        register = ModelRegister(number)
        self.read_structure(REGISTER["MSR"], register)
        return int(register.value)

    def write_table(self, register: int, selector: int, base: int, limit: int, flags: int) -> None:
        self.write_structure(register, MemoryRegister(selector, base, limit, flags))


REGISTER: Final = {name.removeprefix("UC_X86_REG_"): getattr(x86, name) for name in dir(x86) if name.startswith("UC_X86_REG_")}
"""Unicorn's register numbers by name."""
