"""A thread's i386 registers while it does not run, and the flavors in which Mach shows them (Mach's i386/pcb.c)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KernReturn
from machemu.abi.types import VirtAddr
from machemu.sim.state import state

INVALID_ARGUMENT: Final = int(KernReturn.KERN_INVALID_ARGUMENT)

USER_CS: Final = 0x17
USER_DS: Final = 0x1F

THREAD_STATE: Final = 1
FLOAT_STATE: Final = 2
REGS_SEGS_STATE: Final = 5
THREAD_STATE_FLAVOR_LIST: Final = 0
THREAD_STATE_COUNT: Final = 17
FLAVORS: Final = (1, 2, 3, 4)
"""What thread_get_state lists: thread, float, I/O port map, V86 assist."""

EFL_USER_SET: Final = 0x202
EFL_USER_CLEAR: Final = 0x3000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
"""IOPL, NT, RF, VM and the bit between: never the user's to set."""

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI, EIP, EFLAGS = range(10)
CS, SS, DS, ES, FS, GS = range(6)


FPU_REGISTER_SIZE: Final = 10
FPU_REGISTERS: Final = 8
FP_387FX: Final = 4
"""<mach/i386/fp_reg.h>: an FPU whose state FXSAVE can save."""
FLOAT_STATE_COUNT: Final = 30
_FP_SAVE: Final = struct.Struct("<HxxHxxHxxIHHIHxx")
"""struct i386_fp_save: control, status, tags, then where the last instruction was and what it was about."""


@state
class FpuState(NamedTuple):
    """The FPU's registers. `tags` and `data` are by physical register, ten bytes each; ip, cs, opcode, dp, ds: FNSAVE's."""

    control: int
    status: int
    tags: int
    ip: int
    cs: int
    opcode: int
    dp: int
    ds: int
    data: bytes


def _rotated(data: bytes, registers: int) -> bytes:
    """The registers from the one numbered `registers` on."""
    place = registers % FPU_REGISTERS * FPU_REGISTER_SIZE
    return data[place:] + data[:place]


def float_state(fpu: FpuState | None) -> tuple[int, ...]:
    """i386_float_state's words, registers from the top of the stack down; all 0 for a thread that never used the FPU."""
    if fpu is None:
        return (0,) * FLOAT_STATE_COUNT
    control, status, tags, ip, cs, opcode, dp, ds, data = fpu
    saved = _FP_SAVE.pack(control, status, tags, ip, cs, opcode, dp, ds) + _rotated(data, status >> 11)
    return (FP_387FX, 1, *struct.unpack("<27I", saved), 0)


def fpu_state(words: Sequence[int]) -> FpuState | None:
    """What i386_float_state's words say: None, a fresh FPU, where they say that it is not initialized."""
    if not words[1]:
        return None
    saved = struct.pack("<27I", *[word & 0xFFFFFFFF for word in words[2:29]])
    control, status, tags, ip, cs, opcode, dp, ds = _FP_SAVE.unpack_from(saved)
    data = _rotated(saved[_FP_SAVE.size :], FPU_REGISTERS - (status >> 11 & FPU_REGISTERS - 1))
    return FpuState(control, status, tags, ip, cs, opcode, dp, ds, data)


@state
class I386Pcb:
    """registers: eax ecx edx ebx esp ebp esi edi eip eflags, in the order of the processor's own numbering.

    segments: cs ss ds es fs gs. fpu: None until the thread first uses the FPU.
    """

    __slots__ = ("fpu", "registers", "segments")

    def __init__(self) -> None:
        self.registers = [0, 0, 0, 0, 0, 0, 0, 0, 0, EFL_USER_SET]
        self.segments = [USER_CS, USER_DS, USER_DS, USER_DS, USER_DS, USER_DS]
        self.fpu: FpuState | None = None

    @property
    def pc(self) -> VirtAddr:
        return VirtAddr(self.registers[EIP])

    @property
    def sp(self) -> VirtAddr:
        return VirtAddr(self.registers[ESP])

    def set_result(self, value: int) -> None:
        self.registers[EAX] = value & 0xFFFFFFFF

    def set_entry(self, pc: VirtAddr, sp: VirtAddr) -> None:
        self.registers[EIP] = pc
        self.registers[ESP] = sp

    def get_state(self, flavor: int) -> Sequence[int]:
        if flavor in (THREAD_STATE, REGS_SEGS_STATE):
            eax, ecx, edx, ebx, esp, ebp, esi, edi, eip, eflags = self.registers
            cs, ss, ds, es, fs, gs = self.segments
            return (gs, fs, es, ds, edi, esi, ebp, 0, ebx, edx, ecx, eax, eip, cs, eflags, esp, ss)
        if flavor == FLOAT_STATE:
            return float_state(self.fpu)
        if flavor == THREAD_STATE_FLAVOR_LIST:
            return FLAVORS
        raise KernError(INVALID_ARGUMENT)

    def set_state(self, flavor: int, words: Sequence[int]) -> None:
        if flavor == FLOAT_STATE and len(words) >= FLOAT_STATE_COUNT:
            self.fpu = fpu_state(words)
            return
        if flavor not in (THREAD_STATE, REGS_SEGS_STATE) or len(words) < THREAD_STATE_COUNT:
            raise KernError(INVALID_ARGUMENT)
        masked = [word & 0xFFFFFFFF for word in words]
        gs, fs, es, ds, edi, esi, ebp, _, ebx, edx, ecx, eax, eip, cs, eflags, esp, ss = masked[:THREAD_STATE_COUNT]
        segments = [USER_CS] + [USER_DS] * 5
        if flavor == REGS_SEGS_STATE:
            segments = [selector & 0xFFFF for selector in (cs, ss, ds, es, fs, gs)]
            if any(not selector or selector & 3 != 3 for selector in segments[:2]):
                raise KernError(INVALID_ARGUMENT)
        self.registers = [eax, ecx, edx, ebx, esp, ebp, esi, edi, eip, eflags & ~EFL_USER_CLEAR | EFL_USER_SET]
        self.segments = segments
