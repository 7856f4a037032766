"""Unicorn's i386: its processor, registers, descriptor tables and hooked instructions."""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

from unicorn import unicorn_const as uc
from unicorn import x86_const as x86

from machemu.machine.engine import Engine

SYSCALL: Final = x86.UC_X86_INS_SYSCALL
SYSENTER: Final = x86.UC_X86_INS_SYSENTER
IN: Final = x86.UC_X86_INS_IN
OUT: Final = x86.UC_X86_INS_OUT
"""The instructions that may be hooked."""

PROCESSOR: Final = x86.UC_CPU_X86_PENTIUM2
"""The last processor without SSE: it runs what compilers make for an i686, and has no registers but those that Mach saves, no
source of randomness, and no instruction that a program of Mach 3.0's time could miss."""

_VOID = ctypes.c_void_p
IN_HOOK: Final = ctypes.CFUNCTYPE(ctypes.c_uint32, _VOID, ctypes.c_uint32, ctypes.c_int, _VOID)
OUT_HOOK: Final = ctypes.CFUNCTYPE(None, _VOID, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, _VOID)


class MemoryRegister(ctypes.Structure):
    """uc_x86_mmr: GDTR, LDTR, TR."""

    _fields_ = (("selector", ctypes.c_uint16), ("base", ctypes.c_uint64), ("limit", ctypes.c_uint32), ("flags", ctypes.c_uint32))


class I386Engine(Engine):
    """One Unicorn i386 CPU."""

    def __init__(self, ram: mmap.mmap) -> None:
        super().__init__(ram, uc.UC_ARCH_X86, uc.UC_MODE_32, PROCESSOR)

    def write_table(self, register: int, selector: int, base: int, limit: int, flags: int) -> None:
        self.write_structure(register, MemoryRegister(selector, base, limit, flags))


REGISTER: Final = {name.removeprefix("UC_X86_REG_"): getattr(x86, name) for name in dir(x86) if name.startswith("UC_X86_REG_")}
"""Unicorn's register numbers by name."""
