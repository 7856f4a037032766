"""The i386 CPU's ways out of user mode: what Unicorn calls inside a run, and what comes of it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.engine import Context, Registers
from machemu.machine.i386 import alone, x87
from machemu.machine.i386.calibrate import FLAGS_AS_THEY_ARE, INTERRUPT_SHADOW
from machemu.machine.i386.debug import CONTROL, STATUS, STATUS_STEP, DebugRegisters
from machemu.machine.i386.engine import FLAG_SOURCES, REGISTER
from machemu.machine.i386.faults import (
    BREAKPOINTS,
    DEBUG,
    FAULTS,
    FPU_ERROR,
    FPU_FAULT,
    GENERAL_PROTECTION,
    INVALID_FPU,
    INVALID_OPCODE,
    KERNEL_ADDRESS,
    NO_FPU,
    PAGE_FAULT,
    PROTECTION_FAULT,
    SINGLE_STEP,
)
from machemu.machine.i386.fpu import SUMMARY, Fpu
from machemu.machine.i386.guard import RESUME, Guard
from machemu.machine.i386.layout import KERNEL_CS, TRAP_INTERRUPT
from machemu.machine.i386.pcb import EBP, EFL_TF, EIP, ESP
from machemu.machine.i386.pmap import KERNEL_BASE, PAGE_SHIFT, I386Mmu
from machemu.machine.i386.shadow import ShadowTables
from machemu.machine.i386.user_memory import UserMemory

if TYPE_CHECKING:
    from machemu.machine.accel.interface import I386NativeExits

CR0_PAGING: Final = 0x80000033
"""PG, NE, ET, MP, PE."""
ERROR_WRITE: Final = 2
ERROR_FETCH: Final = 0x10
EMULATED_INTERRUPT: Final = 0x80
READ_WRITE: Final = VM_PROT_READ | VM_PROT_WRITE


class Exits(UserMemory):
    """Of one CPU."""

    mmu: I386Mmu
    shadow: ShadowTables
    guard: Guard
    debug: DebugRegisters
    fpu: Fpu

    _by_interrupt: bool  # a trap entered the kernel by EMULATED_INTERRUPT

    _exits: I386NativeExits | None  # what the extension does of all this
    # Sets of registers:
    _read_trap: Callable[[], int]
    _trap_values: ctypes.Array[ctypes.c_uint64]  # EAX and CS
    _write_result: Callable[[], int]
    _result_values: ctypes.Array[ctypes.c_uint64]  # EAX
    _state: Registers  # the general ones, by their numbers, EIP, EFLAGS, CS, SS, DS, ES, FS, GS

    # The engine's state, saved, and words in it, which are changed there and restored:
    _scratch: Context
    _error_code: ctypes.c_int32
    _is_software: ctypes.c_int32  # the exception is one of an interrupt instruction
    _pending: ctypes.c_int32  # the exception that is to be made, -1 for none
    _flags_kept: ctypes.c_int32  # how the flags are
    _hidden_flags: ctypes.c_int32  # with INTERRUPT_SHADOW

    # How the instruction was begun:
    _entering: bool  # the active thread is not in user mode yet
    _only_enters: bool  # nothing but the stub runs
    _stepping_trap: bool  # a step went into a trap
    _v86: bool  # the active thread is in V86 mode
    _hidden: tuple[int, int] | None  # a byte of the thread's that memory does not show meanwhile, and where

    # How it is to end:
    _missed: VirtAddr  # where the last page fault was
    _refused: tuple[int, int] | None  # the exception that follows the stop
    _refused_at: int  # the engine's count then
    _goes_alone: bool  # the next start is of one instruction that the guard does not let pass
    _fetched: int | None  # the physical address of a fetch from memory that is no code yet

    def _interrupt(self, _engine: object, number: int, _data: object) -> None:
        try:
            if number == TRAP_INTERRUPT:
                self._read_trap()
                eax, cs = self._trap_values
                if cs == KERNEL_CS:
                    self._overhead += 1
                    result = self._system_call(-eax if eax < 0x80000000 else 0x100000000 - eax)
                    if result is not None:
                        self._result_values[0] = result & 0xFFFFFFFF
                        self._write_result()
                        if self._stopped or self.memory.stale or self.mmu.changed:
                            self.engine.stop()
                        else:
                            self._overhead += 1
                            self._keep_to_target()
                    return
            self._exception(number)
        except BaseException as error:
            self._fail(error)

    def _exception(self, number: int) -> None:
        """A fault, an interrupt instruction or a step in user mode, or what user mode's state brings upon the stub.

        An instruction that was refused is not done: what Unicorn does to finish it is nothing to the thread. Nor is anything once
        the thread has left.
        """
        if self._refused is not None or self._stopped:
            return
        self._scratch.save()
        if self._supervisor is None:
            self.engine.stop()
            return
        if self.guard.replaced:
            self.guard.put_back()
        software, code = self._is_software.value, self._error_code.value
        fetch = number == PAGE_FAULT and not software and code & ERROR_FETCH
        step = number == DEBUG and not software
        shadowed = self._take_back(step, bool(fetch))
        if number == PAGE_FAULT and not software:
            if self.engine.read(REGISTER["FPSW"]) & SUMMARY and code & ERROR_WRITE and alone.stores_number(self._code()):
                self.fpu.begin_store_anew()
            if self._fill(code):
                return
        self._show_v86()
        self._read_trap()
        if self._trap_values[1] == KERNEL_CS and not self._v86:
            self._stub_fault(number, code)
        elif self._only_enters or (self.debug.hits and (fetch or (step and not self.debug.is_step()))):
            self.engine.stop()
        elif shadowed:
            self.engine.write(REGISTER["DR6"], 0)
        elif step:
            self._step()
        elif software:
            self._software_interrupt(number, code)
        else:
            if not fetch:
                self._overhead += 1
            self._fault(number, code)

    def _take_back(self, step: bool, fetch: bool) -> bool:
        """Makes the engine's state in `_scratch` one without the exception. Whether a step is none: the instruction before it has
        loaded the stack segment.

        Counting makes Unicorn work out the flags before each instruction, but a fault inside one puts back how they were kept
        before that (unicorn issue 1933): then the carry is lost. Fetches and steps are between instructions.
        """
        self._pending.value = -1
        shadowed = step and bool(self._hidden_flags.value & INTERRUPT_SHADOW)
        if shadowed:
            self._hidden_flags.value &= ~INTERRUPT_SHADOW
        elif not fetch and not step and self.engine.blocks is None:
            self._flags_kept.value = FLAGS_AS_THEY_ARE
        self._scratch.restore()
        if not fetch and not step and self.engine.blocks is not None:
            self.engine.blocks.put_back(FLAG_SOURCES)
        return shadowed

    def _stub_fault(self, number: int, code: int) -> None:
        """A step into a trap, which goes on as a trap; or selectors that a thread was given and the processor refuses.

        For those the thread gets the exception as it is, selectors and all, as on the real kernel: it has not been entered.
        """
        if number == DEBUG:
            self._stepping_trap = True
            return
        self._entering = True
        self.engine.stop()
        self._raise_fault(number, code)

    def _software_interrupt(self, number: int, code: int) -> None:
        """`int n`, `int3` and `into`."""
        if number == EMULATED_INTERRUPT and self._redirects:
            self._emulated_interrupt()
        elif number not in BREAKPOINTS:
            self._step_back(2)
            self._raise(*GENERAL_PROTECTION, number * 8 + 2)
        else:
            self._raise_fault(number, code)

    def _emulated_interrupt(self) -> None:
        """`int $0x80` of a task with an emulation vector."""
        self.words[self._stack - 2] = self.engine.read(REGISTER["ESP"])
        self._direct_trap(-self._trap_values[0] if self._trap_values[0] < 0x80000000 else 0x100000000 - self._trap_values[0])

    def _direct_trap(self, number: int) -> None:
        """A trap without a frame on the CPU's stack, where alone the stack pointer is, for `arguments`."""
        try:
            self._by_interrupt = True
            result = self._system_call(number)
            self._by_interrupt = False
            if result is not None:
                self.engine.write(REGISTER["EAX"], result & 0xFFFFFFFF)
                if self._redirects or self._stopped or self.memory.stale or self.mmu.changed:
                    self.engine.stop()
                else:
                    self._keep_to_target()
        except BaseException as error:
            self._fail(error)

    def _fault(self, number: int, code: int) -> None:
        """The processor's own exceptions, by the manual's numbers."""
        if number == PAGE_FAULT:
            self._page_fault(code)
        elif number == NO_FPU:
            self._load_fpu()
        elif number == x87.NOT_STORED:
            self._pass()
        elif number == FPU_ERROR:
            self._raise(*FPU_FAULT, self.engine.read(REGISTER["FPSW"]) & 0xFFFF)
        elif number == PROTECTION_FAULT and self._is_breakpoint():
            self._debug_exception()
        elif number != PROTECTION_FAULT or self.guard.lets is not None or not self._is_seen_to():
            self._raise_fault(number, code)

    def _fill(self, code: int) -> bool:
        """Whether a page is not missing, but an entry of the CPU's tables for it: then it is there now."""
        assert self._pmap is not None
        self._missed = VirtAddr(self.engine.read(REGISTER["CR2"]) & 0xFFFFFFFF)
        place = self.shadow.fill(self._pmap, self._missed, READ_WRITE if code & ERROR_WRITE else VM_PROT_READ)
        if place is None:
            return False
        if not code & ERROR_FETCH:
            self.debug.hits = 0
            self._overhead += 1
        elif place >> PAGE_SHIFT not in self.memory.code_frames:
            self._fetched = place
        self._keep_to_target()
        if self._fetched is not None or self.mmu.changed:
            self.engine.stop()
        return True

    def _page_missing(self, address: int, write: bool) -> bool:
        """A page fault that the extension has met, and of which it does what `_page_fault` does where the page is there now."""
        try:
            return self._touch(VirtAddr(address), READ_WRITE if write else VM_PROT_READ)
        except BaseException as error:
            self._fail(error)
            return False

    def _page_fault(self, code: int) -> None:
        assert self._pmap is not None
        access = READ_WRITE if code & ERROR_WRITE else VM_PROT_READ
        if self._touch(self._missed, access):
            self.shadow.fill(self._pmap, self._missed, access)
            self._keep_to_target()
            if self.memory.stale or self.mmu.changed:
                self.engine.stop()

    def _touch(self, address: VirtAddr, access: int) -> bool:
        """A page that is not there is asked for: whether it is there now. Otherwise the thread has an exception, or waits."""
        assert self._supervisor is not None
        self.debug.hits = 0
        if address >= KERNEL_BASE:
            self._raise(*KERNEL_ADDRESS, address)
            return False
        return self._supervisor.fault(address, access)

    def _load_fpu(self) -> None:
        assert self._pcb is not None and self._supervisor is not None
        self.engine.write(REGISTER["CR0"], CR0_PAGING)
        if not self.fpu.load(self._pcb):
            self._supervisor.print(INVALID_FPU)

    def _pass(self) -> None:
        """Goes on behind an instruction of the FPU that is done."""
        code, wide = self._code(), self._segment(REGISTER["CS"])[1]
        self._overhead -= 1
        self._step_back(-alone.float_length(code, wide))
        if self.engine.read(REGISTER["EFLAGS"]) & EFL_TF:
            self.engine.write(REGISTER["DR6"], STATUS_STEP)
            self._debug_exception()
        self.engine.stop()

    def _step(self) -> None:
        """The trap flag after an instruction that is done. The return from a trap is none: the step is the one after it."""
        if self._stepping_trap:
            self._stepping_trap = False
        else:
            self._debug_exception()

    def _debug_exception(self) -> None:
        """A step, a breakpoint or watched data; the thread's debug status tells which."""
        pcb = self._pcb
        assert pcb is not None
        pcb.debug = (*pcb.debug[:STATUS], self.debug.status(self._linear_pc()), pcb.debug[CONTROL])
        self._raise(*SINGLE_STEP)

    def _raise_fault(self, number: int, code: int) -> None:
        exception, mach_code, with_error = FAULTS.get(number, (*GENERAL_PROTECTION, True))
        self._raise(exception, mach_code, code & 0xFFFF if with_error else 0)

    def _raise(self, exception: int, code: int, subcode: int = 0) -> None:
        assert self._supervisor is not None
        self.debug.hits = 0
        if not self._supervisor.exception(exception, code, subcode):
            self.stop()

    def _step_back(self, size: int) -> None:
        """Puts the program counter back onto an instruction that was refused."""
        self.engine.write(REGISTER["EIP"], (self.engine.read(REGISTER["EIP"]) - size) & 0xFFFFFFFF)

    def _is_breakpoint(self) -> bool:
        """Whether what was met is a breakpoint that the guard made a privileged instruction."""
        base, _ = self._segment(REGISTER["CS"]) if self.guard.stops else (0, False)
        return bool(base) and self._linear_pc() in self.guard.stops and not self.engine.read(REGISTER["EFLAGS"]) & RESUME

    def _is_seen_to(self) -> bool:
        """Whether a privileged instruction is one that the guard shows as such: then it goes alone, or raises what it raises."""
        code, (base, wide) = self._code(), self._segment(REGISTER["CS"])
        self._state.read()
        stored = alone.stored_at(code, wide, self._state.values[:EIP])
        if stored is not None:
            # The page is asked for before the segment is: so the transcript of exceptions.c has it.
            return not self._may_access(base + stored, READ_WRITE)
        found = alone.interrupt(code)
        if found is not None:
            self._prefixed_interrupt(*found)
            return True
        enter = alone.enter(code, wide)
        if enter is not None:
            self._goes_alone = self._has_room(enter)
        else:
            port = alone.port(code, wide, self.engine.read(REGISTER["EDX"]) & 0xFFFF)
            may_use = port is not None and self._may_use(*port)
            self._goes_alone = may_use or any(goes(code) for goes in (alone.is_far_return, alone.stores_status, alone.reads_time))
            self._goes_alone = self._goes_alone or alone.interrupt_return(code, wide) > 0
            if not self._goes_alone and not alone.is_loop(code):
                return False
        self.engine.stop()
        return True

    def _prefixed_interrupt(self, number: int, length: int) -> None:
        if number == EMULATED_INTERRUPT and self._redirects:
            self._step_back(-length)
            self._overhead -= 1
            self._emulated_interrupt()
        else:
            self._raise(*GENERAL_PROTECTION, number * 8 + 2)

    def _has_room(self, enter: alone.Enter) -> bool:
        """Whether `enter` may do what it will, with a store where the stack pointer will be; otherwise a fault is on its way."""
        base, wide = self._segment(REGISTER["SS"])
        mask = 0xFFFFFFFF if wide else 0xFFFF
        for address, stores in enter.accesses(self._state.values[ESP], self._state.values[EBP]):
            access = READ_WRITE if stores else VM_PROT_READ
            first = base + (address & mask)
            if not self._may_access(first, access) or not self._may_access(first + enter.size - 1, access):
                return False
        return True

    def _may_access(self, linear: int, access: int) -> bool:
        """Whether the thread may access an address, once the page is there; otherwise that fault is on its way."""
        assert self._pmap is not None
        address = VirtAddr(linear & 0xFFFFFFFF)
        return self._pmap.translate(address, access) is not None or self._touch(address, access)

    def _show_v86(self) -> None:
        if self._hidden is not None:
            place, byte = self._hidden
            self.memory.view[place] = byte
            self._hidden = None

    def _syscall(self, _engine: object, _data: object) -> None:
        self._refuse(INVALID_OPCODE)

    def _sysenter(self, _engine: object, _data: object) -> None:
        self._refuse(GENERAL_PROTECTION)

    def _refuse(self, what: tuple[int, int]) -> None:
        """An instruction that user mode may not have: its state is kept from before it, and the exception follows the stop."""
        self._refused = what
        self._refused_at = self.engine.counter.value
        self._scratch.save()
        if self.engine.blocks is None:
            self._flags_kept.value = FLAGS_AS_THEY_ARE
        self.engine.stop()

    def _port_in(self, _engine: object, port: int, size: int, _data: object) -> int:
        if not self._may_use(port, size):
            self._refuse(GENERAL_PROTECTION)
        return self.mmu.pci.read(port, size)

    def _port_out(self, _engine: object, port: int, size: int, value: int, _data: object) -> None:
        if self._may_use(port, size):
            self.mmu.pci.write(port, size, value)
        else:
            self._refuse(GENERAL_PROTECTION)

    def _may_use(self, port: int, size: int) -> bool:
        return self._pcb is not None and self._pcb.task.may_use(port, size)
