"""The m68k CPU's ways out of user mode: what Unicorn calls inside a run, and what comes of it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from machemu.abi.errors import InvariantError
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.m68k import divide, floats, missing, undo
from machemu.machine.m68k.emit import Emitter
from machemu.machine.m68k.engine import ACCESS_CODE, ACCESS_READ, D0, PC, SP, M68kEngine
from machemu.machine.m68k.faults import (
    ACCESS_FAULT,
    ADDRESS_ERROR,
    CHK,
    DONE,
    EXCEPTIONS,
    FLOAT_EXCEPTIONS,
    ILLEGAL,
    LINE_F,
    TRAP,
    TRAP_15,
    ZERO_DIVIDE,
    frame_word,
)
from machemu.machine.m68k.fpu import Fpu
from machemu.machine.m68k.guard import Unreadable, is_guarded, is_signaling, is_sound
from machemu.machine.m68k.pcb import FpuState
from machemu.machine.m68k.pmap import OFFSET_MASK, PAGE_SIZE, M68kMmu
from machemu.machine.m68k.user_memory import UserMemory
from machemu.machine.seams import UserFault

if TYPE_CHECKING:
    from machemu.machine.accel.interface import M68kNativeExits

MASK: Final = 0xFFFFFFFF
NUMBER: Final = struct.Struct(">i")
FLOAT_LINE: Final = 0xF2
"""The upper byte of floating-point instructions' first words."""


class Exits(UserMemory):
    """Of one CPU."""

    engine: M68kEngine
    mmu: M68kMmu
    fpu: Fpu
    _emitter: Emitter
    _fault_address: int  # where in the state an access fault's address is, and its special status word
    _fault_status: int
    _undone: frozenset[int]  # first words of instructions of which a fault undoes something
    _exits: M68kNativeExits | None  # what the extension does of all this

    # How the start under way was made:
    _one: bool  # of one instruction
    _alone: FpuState | None  # what the FPU held before an instruction that is to be looked at behind it

    # What became of it:
    _number: int  # the last trap's
    _raised: bool  # an exception or a trap was met
    _odd: bool  # a block begins at an odd address
    _fetched: int | None  # the physical address of a fetch from memory that is no code yet
    _translated_again: tuple[int, int] | None  # the place and the number of an instruction that was translated anew

    def _interrupt(self, _engine: object, vector: int, _data: object) -> None:
        try:
            if vector == TRAP:
                self._trap()
            else:
                self._exception(vector)
        except UserFault as fault:
            self._retry(fault)
        except BaseException as error:
            self._fail(error)

    def _trap(self) -> None:
        """trap #0: the number is on the stack, and taken off it."""
        words = self.words
        sp = words[SP]
        assert self._pmap is not None
        place = self._pmap.translate(VirtAddr(sp), VM_PROT_READ)
        if place is None or sp & OFFSET_MASK > PAGE_SIZE - NUMBER.size:
            number = NUMBER.unpack(self.read(sp, NUMBER.size))[0]
        else:
            number = NUMBER.unpack_from(self.memory.view, place)[0]
        words[PC] = words[PC] + 2 & MASK
        words[SP] = sp + NUMBER.size & MASK
        self._frame = 4 * TRAP
        self._number = number
        self._raised = True
        result = self._system_call(-number)
        if result is not None:
            words[D0] = result & MASK
            self._keep_to_target()
            if self._stopped or self.memory.stale or self.mmu.changed:
                self.engine.stop()

    def _retry(self, fault: UserFault) -> None:
        """An instruction that we looked at or did ourselves met a page that is not there: it is made once more."""
        self._overhead += 1
        assert self._supervisor is not None
        if self._supervisor.fault(fault.address, fault.access):
            self.engine.stop()
        self._raised = True

    def _exception(self, vector: int) -> None:
        if self._supervisor is None:
            self.engine.stop()
            return
        if vector == ACCESS_FAULT:
            self._access_fault()
            return
        words = self.words
        if vector == ADDRESS_ERROR:
            vector = LINE_F if self.instruction_word(0) >> 12 == 0xF else ILLEGAL
        if vector == ZERO_DIVIDE:
            done = divide.execute(self) if self.instruction_word(0) not in floats.FLOAT else self._execute()
            if done == DONE:
                return
        elif vector == CHK:
            missing.pass_chk(self)
        elif TRAP < vector <= TRAP_15:
            words[PC] = words[PC] + 2 & MASK
        else:
            if vector in (ILLEGAL, LINE_F):
                done = self._execute()
                if done == DONE:
                    if self.memory.stale:
                        self.engine.stop()
                    return
                if self._alone is not None:
                    self._overhead += 1
                    self.engine.stop()
                    return
                if done is not None:
                    self._raise(done)
                    return
                if self._was_unreadable():
                    return
            self._overhead += 1
        if vector not in EXCEPTIONS:
            raise InvariantError(f"unicorn raised {vector:#x} at {words[PC]:#x}")
        self._raise(vector)

    def _execute(self) -> int | None:
        """What Unicorn leaves to us. Where it is to be done alone, and looked at behind it, the state before is in `_alone`."""
        fpu = self.fpu
        watches = fpu.watches()
        before = fpu.save() if watches else None
        opcode = self.instruction_word(0)
        if is_signaling(self.instruction_word) and (raised := fpu.compare_unordered(self.words[PC])):
            return raised
        is_float = opcode >> 8 == FLOAT_LINE
        sound = not is_float or is_sound(self.instruction_word)
        done = missing.execute(self) if sound or opcode not in floats.FLOAT else None
        if before is not None and done is None and is_float and sound:
            self._alone = before
        elif before is not None and done in FLOAT_EXCEPTIONS:
            fpu.take_back(before)
        if fpu.watches() != watches:
            self.engine.stop()
        return done

    def _access_fault(self) -> None:
        words = self.words
        pmap = self._pmap
        assert self._supervisor is not None
        assert pmap is not None
        address = VirtAddr(words[self._fault_address])
        status = words[self._fault_status]
        if status & ACCESS_CODE:
            if words[PC] & 1:
                self._raise(ADDRESS_ERROR)
                return
        else:
            self._overhead += 1
            place = pmap.translate(VirtAddr(words[PC]), VM_PROT_READ)
            assert place is not None, "an instruction that is executed is in memory"
            view = self.memory.view
            opcode = view[place] << 8 | view[place + 1]
            if opcode in self._undone:
                undo.put_back(words, self._emitter.kept, opcode)
        writes = not status & ACCESS_READ
        if writes and pmap.translate(address, VM_PROT_WRITE) is not None:  # the first write to a page that may be written
            self._raised = True
        else:
            self._missing(address, writes, bool(status & ACCESS_CODE))

    def _page_missing(self, address: int, write: bool) -> bool:
        """A page fault that the extension has met, and of which it does what `_missing` does where the page is there now."""
        try:
            return self._touch(VirtAddr(address), write)
        except BaseException as error:
            self._fail(error)
            return False

    def _missing(self, address: VirtAddr, writes: bool, fetches: bool) -> None:
        """fetches: the instruction has not begun, and goes on in this start where its page is there now."""
        assert self._pmap is not None
        if self._touch(address, writes):
            self._raised = not fetches
            self._keep_to_target()
            if writes:
                self._pmap.translate(address, VM_PROT_WRITE)
            if self.memory.stale or self.mmu.changed:
                self.engine.stop()

    def _touch(self, address: VirtAddr, writes: bool) -> bool:
        """A page that is not there is asked for: whether it is there now. Otherwise the thread has an exception, or waits."""
        assert self._supervisor is not None
        self._raised = True
        self._frame = frame_word(ACCESS_FAULT)
        return self._supervisor.fault(address, VM_PROT_READ | VM_PROT_WRITE if writes else VM_PROT_READ)

    def _was_unreadable(self) -> bool:
        """Whether a guarded instruction may have been refused only because not all of it could be translated.

        Then it is translated anew; what raises the exception again after that is no instruction.
        """
        pc = self.words[PC]
        if not is_guarded(self.instruction_word(0)) or not is_sound(self.instruction_word):
            return False
        try:
            is_sound(lambda offset: self._code_word(pc + offset))
        except Unreadable as unreadable:
            self._fetched = self._place(unreadable.address, VM_PROT_READ)
        else:
            attempt = (pc, self.executed)
            if self._translated_again == attempt:
                return False
            self._translated_again = attempt
            self.memory.stale = True
        self._overhead += 1
        self.engine.stop()
        return True

    def _keep_to_target(self) -> None:
        """A start of one instruction ends with it anyway."""
        if not self._one:
            self.engine.limit.value = self.target - self._counted + self._overhead

    def _raise(self, vector: int) -> None:
        assert self._supervisor is not None
        self._frame = frame_word(vector)
        self._raised = True
        if not self._supervisor.exception(EXCEPTIONS[vector], 4 * vector, 0):
            self.stop()

    def _translated(self, _engine: object, block: Any, _before: object, _data: object) -> None:
        """A block is new. The processor begins none at an odd address; Unicorn would."""
        if block.contents.pc & 1:
            self._odd = True
            self.engine.stop()
