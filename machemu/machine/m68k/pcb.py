"""A thread's 68040 registers while it does not run, and the flavors in which Mach shows them (MK64's thread_status.h)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Annotated, Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.types import VirtAddr
from machemu.sim.state import U16, U32, Range, fields, state

THREAD_STATE_FLAVOR_LIST: Final = 0
THREAD_STATE: Final = 1
FLOAT_STATE: Final = 2
EXCEPTION_FRAME: Final = 3
COUNTS: Final = {THREAD_STATE: 16, FLOAT_STATE: 27, EXCEPTION_FRAME: 2}
"""The words of each flavor: d0 to a7; fp0 to fp7 in three words each, control, status, instruction address; the frame that the
processor pushed when the thread last entered the kernel: status register, program counter, format and vector offset."""

REGISTERS: Final = 16
D0, SP = 0, 15
SR_T1, SR_T0 = 0x8000, 0x4000
SR_TRACE: Final = SR_T1 | SR_T0
SR_USER: Final = SR_TRACE | 0x1F
"""What of the status register is the user's: the condition codes and, set by thread_set_state, tracing."""

FPU_REGISTERS: Final = 8
FPU_DATA: Final = FPU_REGISTERS * 12
FPU_CONTROL: Final = 0xFFF0
FPU_STATUS: Final = 0x0FFFFFF8
"""The bits that there are of the floating-point control and status registers."""
PRECISION: Final = 0xC0
"""The control register's bits for the rounding precision; with both set, which no precision has, it is extended."""
NAN: Final = struct.pack(">IQ", 0x7FFF0000, 0xFFFFFFFFFFFFFFFF)
"""A floating-point register that was never loaded."""

REDIRECT_FRAME: Final = struct.Struct(">iHI")
"""What an emulation handler finds on its stack: the trap's number, and status register and program counter for `rtr`."""


@state
class FpuState(NamedTuple):
    """The floating-point registers. data: fp0 to fp7, 12 bytes each as `fmovem.x` stores them.

    rounding: what bits 4 to 7 of the control register would be for the rounding that it asks for.
    """

    control: U32
    status: U32
    address: U32
    rounding: Annotated[int, Range(0, 15)]
    data: bytes


INITIAL: Final = FpuState(0, 0, 0, 0, NAN * FPU_REGISTERS)
"""A floating-point unit that nothing was done with."""


def rounding_of(control: int) -> int:
    """FpuState.rounding for a control register."""
    return control >> 4 & (0xF if control & PRECISION != PRECISION else 0x3)


@state
class M68kPcb:
    """A thread's registers while it is off the CPU."""

    __slots__ = ("fpu", "frame", "pc_", "registers", "sr")
    registers: list[U32]  # d0 to d7, a0 to a7
    pc_: U32
    sr: U16  # the status register, of which the user's bits may be set
    fpu: FpuState  # INITIAL until it is used
    frame: U16  # format and vector offset of the frame that the processor pushed at the last trap or exception
    own_flavors = ()

    def check_saved(self) -> None:
        """ValueError where it has not the registers that there are."""
        if len(self.registers) != REGISTERS or len(self.fpu.data) != FPU_DATA:
            raise ValueError("its registers are not those of the machine")

    def __init__(self) -> None:
        self.registers = [0] * REGISTERS
        self.pc_ = 0
        self.sr = 0
        self.fpu = INITIAL
        self.frame = 0

    @property
    def pc(self) -> VirtAddr:
        return VirtAddr(self.pc_)

    @property
    def sp(self) -> VirtAddr:
        return VirtAddr(self.registers[SP])

    def set_result(self, value: int) -> None:
        self.registers[D0] = value & 0xFFFFFFFF

    def redirect(self, number: int, handler: VirtAddr, write: Callable[[VirtAddr, bytes], None]) -> None:
        sp = self.registers[SP] - REDIRECT_FRAME.size & 0xFFFFFFFF
        write(VirtAddr(sp), REDIRECT_FRAME.pack(-number, self.sr, self.pc_))
        self.registers[SP] = sp
        self.pc_ = handler

    def set_entry(self, pc: VirtAddr, sp: VirtAddr) -> None:
        self.pc_ = pc
        self.registers[SP] = sp

    def get_state(self, flavor: int) -> Sequence[int]:
        if flavor == THREAD_STATE:
            return tuple(self.registers)
        if flavor == FLOAT_STATE:
            fpu = self.fpu
            return (*struct.unpack(f">{FPU_DATA // 4}I", fpu.data), fpu.control, fpu.status, fpu.address)
        if flavor == EXCEPTION_FRAME:
            return struct.unpack(">II", struct.pack(">HIH", self.sr, self.pc_, self.frame))
        if flavor == THREAD_STATE_FLAVOR_LIST:
            return tuple(COUNTS)
        raise KernError(KERN_INVALID_ARGUMENT)

    def set_state(self, flavor: int, words: Sequence[int]) -> None:
        if flavor not in COUNTS or len(words) < COUNTS[flavor]:
            raise KernError(KERN_INVALID_ARGUMENT)
        masked = [word & 0xFFFFFFFF for word in words[: COUNTS[flavor]]]
        if flavor == THREAD_STATE:
            self.registers = masked
        elif flavor == FLOAT_STATE:
            *data, control, status, address = masked
            stored = struct.pack(
                f">{FPU_DATA // 4}I", *(word & 0xFFFF0000 if n % 3 == 0 else word for n, word in enumerate(data))
            )
            self.fpu = FpuState(control & FPU_CONTROL, status & FPU_STATUS, address, rounding_of(control), stored)
        else:
            sr, self.pc_, _ = struct.unpack(">HIH", struct.pack(">II", *masked))
            self.sr = sr & SR_USER

    def context(self) -> M68kPcb:
        return self

    def take_context(self, context: M68kPcb) -> None:
        for name in fields(M68kPcb):
            setattr(self, name, getattr(context, name))
        self.sr &= SR_USER
