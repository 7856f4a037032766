"""A thread's i386 registers while it does not run, and the flavors in which Mach shows them (Mach's i386/pcb.c)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from copy import copy
from typing import Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.types import VirtAddr
from machemu.machine.i386 import debug, segments
from machemu.machine.i386.layout import USER_GDT_SLOTS
from machemu.machine.i386.pmap import KERNEL_BASE
from machemu.machine.i386.segments import Descriptor
from machemu.machine.i386.task import SHOWN, I386Task
from machemu.sim.state import U16, U32, fields, state

USER_CS: Final = 0x17
USER_DS: Final = 0x1F

THREAD_STATE: Final = 1
FLOAT_STATE: Final = 2
ISA_PORT_MAP_STATE: Final = 3
V86_ASSIST_STATE: Final = 4
REGS_SEGS_STATE: Final = 5
DEBUG_STATE: Final = 6
THREAD_STATE_FLAVOR_LIST: Final = 0
THREAD_STATE_COUNT: Final = 17
FLOAT_STATE_COUNT: Final = 30
ISA_PORT_MAP_COUNT: Final = SHOWN // 4
COUNTS: Final = {
    THREAD_STATE: THREAD_STATE_COUNT,
    FLOAT_STATE: FLOAT_STATE_COUNT,
    ISA_PORT_MAP_STATE: ISA_PORT_MAP_COUNT,
    V86_ASSIST_STATE: 2,
    REGS_SEGS_STATE: THREAD_STATE_COUNT,
    DEBUG_STATE: debug.COUNT,
}
"""The words of each flavor that can be set."""
STATE_MAX: Final = 1024
FLAVORS: Final = (THREAD_STATE, FLOAT_STATE, ISA_PORT_MAP_STATE, V86_ASSIST_STATE)
"""What thread_get_state lists."""
V86_ENTRY: Final = 8
"""Bytes of an entry of V86 assist's interrupt table."""

EFL_TF, EFL_IF, EFL_VM = 0x100, 0x200, 0x20000
EFL_USER_SET: Final = EFL_IF
EFL_USER_CLEAR: Final = 0x3000 | 0x4000 | 0x10000
"""IOPL, NT, RF: never the user's to set."""

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI, EIP, EFLAGS = range(10)
CS, SS, DS, ES, FS, GS = range(6)


FPU_REGISTER_SIZE: Final = 10
FPU_REGISTERS: Final = 8
FP_387FX: Final = 4
"""<mach/i386/fp_reg.h>: an FPU whose state FXSAVE can save."""
REDIRECT_FRAME: Final = struct.Struct("<II")
"""What an emulation handler finds on its stack: flags, and where to go back."""
_FP_SAVE: Final = struct.Struct("<HxxHxxHxxIHHIHxx")
"""struct i386_fp_save: control, status, tags, then where the last instruction was and what it was about."""


@state
class FpuState(NamedTuple):
    """The FPU's registers."""

    control: U16
    status: U16
    tags: U16  # by physical register

    # Where the last instruction was, and what it was about, as FNSAVE has it:
    ip: U32
    cs: U16
    opcode: U16
    dp: U32
    ds: U16

    data: bytes  # by physical register, ten bytes each


def _rotated(data: bytes, registers: int) -> bytes:
    """The registers from the one numbered `registers` on."""
    place = registers % FPU_REGISTERS * FPU_REGISTER_SIZE
    return data[place:] + data[:place]


def float_state(fpu: FpuState | None, valid: bool) -> tuple[int, ...]:
    """i386_float_state's words, registers from the top of the stack down; all 0 for a thread that never used the FPU."""
    if fpu is None:
        return (0,) * FLOAT_STATE_COUNT
    control, status, tags, ip, cs, opcode, dp, ds, data = fpu
    saved = _FP_SAVE.pack(control, status, tags, ip, cs, opcode, dp, ds) + _rotated(data, status >> 11)
    return (FP_387FX, int(valid), *struct.unpack("<27I", saved), 0)


def fpu_state(words: Sequence[int]) -> FpuState | None:
    """What i386_float_state's words say: None, a fresh FPU, where they say that it is not initialized."""
    if not words[1]:
        return None
    saved = struct.pack("<27I", *[word & 0xFFFFFFFF for word in words[2:29]])
    control, status, tags, ip, cs, opcode, dp, ds = _FP_SAVE.unpack_from(saved)
    data = _rotated(saved[_FP_SAVE.size :], FPU_REGISTERS - (status >> 11 & FPU_REGISTERS - 1))
    return FpuState(control, status, _tags(tags, data), ip, cs, opcode, dp, ds, data)


EMPTY: Final = 3
"""The tag of a register that holds nothing."""


def _tags(tags: int, data: bytes) -> int:
    """The tag word as FXSAVE's form keeps it: which registers are empty; for the others it follows from what they hold."""
    found = 0
    for register in range(FPU_REGISTERS):
        tag = tags >> 2 * register & EMPTY
        if tag != EMPTY:
            tag = _tag_of(data[register * FPU_REGISTER_SIZE : (register + 1) * FPU_REGISTER_SIZE])
        found |= tag << 2 * register
    return found


def _tag_of(register: bytes) -> int:
    """0 for a valid number, 1 for zero, 2 for anything else."""
    fraction, exponent = int.from_bytes(register[:8], "little"), int.from_bytes(register[8:], "little") & 0x7FFF
    if exponent in (0, 0x7FFF):
        return 2 if fraction or exponent else 1
    return 0 if fraction >> 63 else 2


@state
class I386Pcb:
    """A thread's registers while it is off the CPU."""

    __slots__ = ("debug", "fpu", "fpu_set", "gdt", "init_control", "ldt", "registers", "segments", "task", "v86")
    task: I386Task  # its task's part of the machine

    # The processor's:
    registers: list[U32]  # eax ecx edx ebx esp ebp esi edi eip eflags, in the order of its own numbering
    segments: list[U16]  # cs ss ds es fs gs: segment numbers where the flags say V86 mode, else selectors
    debug: tuple[U32, ...]  # dr0 to dr7

    # The FPU's:
    fpu: FpuState | None  # None until the thread first uses it
    fpu_set: bool  # they were set from outside: they are shown, but the thread's next use begins with fresh ones
    init_control: U16  # the control word with which it then begins, 0 for the usual one

    # Descriptors of its own:
    ldt: bytes | None  # a local table, or None
    gdt: bytes  # its slots of the global one

    # Of V86 assist the table's address, its count, and the thread's own TF and IF when that or its flags were last set:
    v86: tuple[U32, U16, U32]
    own_flavors = (DEBUG_STATE,)

    def check_saved(self) -> None:
        """ValueError where it has not the registers that there are."""
        if (len(self.registers), len(self.segments), len(self.debug)) != (EFLAGS + 1, 6, debug.COUNT):
            raise ValueError("its registers are not those of the machine")
        if self.fpu is not None and len(self.fpu.data) != FPU_REGISTERS * FPU_REGISTER_SIZE:
            raise ValueError("its floating-point registers are not those of the machine")
        local = len(self.ldt or b"")
        if len(self.gdt) != USER_GDT_SLOTS * segments.SIZE or local % segments.SIZE or local > segments.LDT_MAX * segments.SIZE:
            raise ValueError("its descriptor tables are not of the machine's size")

    def __init__(self, task: I386Task) -> None:
        self.registers = [0, 0, 0, 0, 0, 0, 0, 0, 0, EFL_USER_SET]
        self.segments = [USER_CS, USER_DS, USER_DS, USER_DS, USER_DS, USER_DS]
        self.fpu = None
        self.fpu_set = False
        self.init_control = 0
        self.ldt = None
        self.gdt = bytes(USER_GDT_SLOTS * segments.SIZE)
        self.debug = debug.NONE
        self.v86 = (0, 0, 0)
        self.task = task

    @property
    def pc(self) -> VirtAddr:
        return VirtAddr(self.registers[EIP])

    @property
    def sp(self) -> VirtAddr:
        return VirtAddr(self.registers[ESP])

    @property
    def in_v86(self) -> bool:
        return bool(self.registers[EFLAGS] & EFL_VM)

    def set_result(self, value: int) -> None:
        self.registers[EAX] = value & 0xFFFFFFFF

    def redirect(self, number: int, handler: VirtAddr, write: Callable[[VirtAddr, bytes], None]) -> None:
        esp = self.registers[ESP] - 8 & 0xFFFFFFFF
        write(VirtAddr(esp), REDIRECT_FRAME.pack(self.registers[EFLAGS], self.registers[EIP]))
        self.registers[ESP] = esp
        self.registers[EIP] = handler

    def set_entry(self, pc: VirtAddr, sp: VirtAddr) -> None:
        self.registers[EIP] = pc
        self.registers[ESP] = sp

    def get_state(self, flavor: int) -> Sequence[int]:
        if flavor in (THREAD_STATE, REGS_SEGS_STATE):
            eax, ecx, edx, ebx, esp, ebp, esi, edi, eip, eflags = self.registers
            cs, ss, ds, es, fs, gs = self.segments
            table, _, flags = self.v86
            if self.in_v86 and table and not flags & EFL_IF:
                eflags &= ~EFL_IF
            return (gs, fs, es, ds, edi, esi, ebp, 0, ebx, edx, ecx, eax, eip, cs, eflags, esp, ss)
        if flavor == FLOAT_STATE:
            return float_state(self.fpu, not self.fpu_set)
        if flavor == ISA_PORT_MAP_STATE:
            return struct.unpack(f"<{ISA_PORT_MAP_COUNT}I", self.task.shown())
        if flavor == V86_ASSIST_STATE:
            return self.v86[:2]
        if flavor == DEBUG_STATE:
            return self.debug
        if flavor == THREAD_STATE_FLAVOR_LIST:
            return FLAVORS
        raise KernError(KERN_INVALID_ARGUMENT)

    def set_state(self, flavor: int, words: Sequence[int]) -> None:
        if len(words) < COUNTS.get(flavor, STATE_MAX + 1):
            raise KernError(KERN_INVALID_ARGUMENT)
        masked = [word & 0xFFFFFFFF for word in words[: COUNTS[flavor]]]
        if flavor == FLOAT_STATE:
            self.fpu = fpu_state(masked)
            self.fpu_set = self.fpu is not None
        elif flavor == V86_ASSIST_STATE:
            table, count = masked
            if table >= KERNEL_BASE or table + count * V86_ENTRY & 0xFFFFFFFF > KERNEL_BASE:
                raise KernError(KERN_INVALID_ARGUMENT)
            self.v86 = (table, count & 0xFFFF, self.registers[EFLAGS] & (EFL_TF | EFL_IF))
        elif flavor == DEBUG_STATE:
            if any(address >= KERNEL_BASE for address in masked[: debug.BREAKPOINTS]):
                raise KernError(KERN_INVALID_ARGUMENT)
            self.debug = tuple(masked)
        elif flavor != ISA_PORT_MAP_STATE:
            self._set_registers(masked, flavor == REGS_SEGS_STATE)

    def _set_registers(self, words: Sequence[int], with_segments: bool) -> None:
        gs, fs, es, ds, edi, esi, ebp, _, ebx, edx, ecx, eax, eip, cs, eflags, esp, ss = words
        selectors = [selector & 0xFFFF for selector in (cs, ss, ds, es, fs, gs)]
        if with_segments and any(selector & 3 != 3 for selector in selectors[:2]):
            raise KernError(KERN_INVALID_ARGUMENT)
        self.registers = [eax, ecx, edx, ebx, esp, ebp, esi, edi, eip, eflags & ~EFL_USER_CLEAR | EFL_USER_SET]
        if eflags & EFL_VM:
            if self.v86[0]:
                self.v86 = (*self.v86[:2], eflags & (EFL_TF | EFL_IF))
        elif not with_segments:
            selectors = [USER_CS] + [USER_DS] * 5
        self.segments = selectors

    def context(self) -> I386Pcb:
        other = copy(self)
        other.task = I386Task()
        return other

    def take_context(self, context: I386Pcb) -> None:
        for name in fields(I386Pcb):
            if name != "task":
                setattr(self, name, getattr(context, name))
        self.registers[EFLAGS] = self.registers[EFLAGS] & ~EFL_USER_CLEAR | EFL_USER_SET

    # machine.seams.DescriptorTables

    def set_ldt(self, first: int, descriptors: Sequence[Descriptor], is_current: bool) -> None:
        self.ldt = segments.set_ldt(self.ldt, first, descriptors, is_current)

    def get_ldt(self, first: int, count: int) -> tuple[Descriptor, ...]:
        return segments.get_ldt(self.ldt, first, count)

    def set_gdt(self, selector: int, descriptor: Descriptor) -> int:
        self.gdt, selector = segments.set_gdt(self.gdt, selector, descriptor)
        return selector

    def get_gdt(self, selector: int) -> Descriptor:
        return segments.get_gdt(self.gdt, selector)
