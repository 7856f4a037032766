"""The m68k CPU: threads in user mode on Unicorn's 68040, entered and left by writing its state, counted exactly."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.exception import EXC_BAD_INSTRUCTION, Raised
from machemu.abi.kern_return import KERN_INVALID_ADDRESS
from machemu.abi.types import ByteOrder, Instructions, VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.machine import engine as uc
from machemu.machine.m68k import decode, divide, flags, floats, missing, undo
from machemu.machine.m68k.emit import Emitter
from machemu.machine.m68k.engine import (
    ACCESS_BACK,
    ACCESS_CODE,
    ACCESS_READ,
    ADDRESS_BACK,
    CONTROL,
    D0,
    PC,
    SP,
    M68kEngine,
)
from machemu.machine.m68k.faults import (
    ACCESS_FAULT,
    ADDRESS_ERROR,
    CHK,
    DONE,
    EXCEPTIONS,
    FLOAT_EXCEPTIONS,
    ILLEGAL,
    LINE_F,
    TRACE,
    TRAP,
    TRAP_15,
    ZERO_DIVIDE,
    frame_word,
)
from machemu.machine.m68k.fpu import Fpu
from machemu.machine.m68k.guard import Guard, Unreadable, is_guarded, is_signaling, is_sound
from machemu.machine.m68k.pcb import REDIRECT_FRAME, REGISTERS, SR_T1, SR_TRACE, FpuState, M68kPcb
from machemu.machine.m68k.pmap import OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, M68kMmu, M68kPmap
from machemu.machine.m68k.steps import Steps
from machemu.machine.m68k.task import M68kTask
from machemu.machine.m68k.user_memory import UserMemory
from machemu.machine.memory import PhysicalMemory
from machemu.machine.seams import MachineTask, Mmu, Pcb, Pmap, Supervisor, UserFault

PAGES_OF_8K: Final = 0xC000
"""Translation control: enabled, pages of 8 KiB."""
MASK: Final = 0xFFFFFFFF
REGISTER_FILE: Final = struct.Struct(f"{REGISTERS + 1}I")
"""d0 to a7 and the program counter, in the host's byte order."""
NUMBER: Final = struct.Struct(">i")
FLOAT_LINE: Final = 0xF2
"""The upper byte of floating-point instructions' first words."""
ARGUMENTS: Final = tuple(struct.Struct(f">{count}I") for count in range(12))


class M68kCpu(UserMemory):
    """machine.seams.Cpu for one 68040.

    Instructions: Unicorn counts all that begin; `_overhead` is how many of those since the last start were not done: attempts
    that faulted, and instructions that were refused. `_counted` is the exact number before that start.
    """

    architecture = "m68k"
    order = ByteOrder.BIG
    page_size = PAGE_SIZE
    user_range = (VirtAddr(0), VirtAddr(0xFFFFE000))
    stack_top = VirtAddr(0xFFFFE000)
    stack_size = 32 << 10
    own_memory = 0
    """The kernel's code and tables are not in RAM."""

    def __init__(self, memory: PhysicalMemory, mmu: M68kMmu | None = None) -> None:
        """Powers on over fresh memory; with `mmu` goes on over the loaded memory that it belongs to."""
        self.memory = memory
        self.mmu = M68kMmu(memory) if mmu is None else mmu
        self.mmu.attach()
        self._pcb: M68kPcb | None = None
        self._pmap: M68kPmap | None = None
        self._loaded: M68kPmap | None = None
        self._supervisor: Supervisor | None = None
        self._error: BaseException | None = None
        self._stopped = False
        self._redirects = False
        self._tracing = 0
        self._one = False
        self._frame = 0
        self._number = 0
        self._raised = False
        self._odd = False
        self._fetched: int | None = None
        self._alone: FpuState | None = None
        self._translated_again: tuple[int, int] | None = None
        self.target = 0
        self._counted = 0
        self._overhead = 0
        engine = self.engine = M68kEngine(memory.ram)
        engine.write(CONTROL, PAGES_OF_8K)
        self.words = engine.words
        self._fault_address, self._fault_status = engine.root - ADDRESS_BACK, engine.root - ACCESS_BACK
        engine.hook(uc.INTERRUPT, uc.INTERRUPT_HOOK(self._interrupt))
        engine.hook(uc.EDGE, uc.EDGE_HOOK(self._translated))
        self._emitter = Emitter(engine)
        mode = self._emitter.state_word("MACSR")
        self.fpu = Fpu(engine, mode, self._emitter.state_word("MAC_MASK"))
        self._undone = undo.opcodes()
        self._guard = Guard(engine, self._emitter, self._code_word, self.fpu.watches)
        self._steps = Steps(engine, mode)

    # What the kernel does with a CPU

    def attach(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._native_call = supervisor.system_call
        self._emulated_call = supervisor.emulated_call
        self._system_call = self._emulated_call if self._redirects else self._native_call

    def resume(self, memory: PhysicalMemory, mmu: Mmu) -> None:
        assert isinstance(mmu, M68kMmu)
        mmu.attach()
        self.memory, self.mmu, self._loaded = memory, mmu, None

    def new_task(self) -> M68kTask:
        return M68kTask()

    def new_pcb(self, task: MachineTask, maker: Pcb | None = None) -> M68kPcb:
        return M68kPcb()

    def activate(self, pcb: Pcb, pmap: Pmap, redirects: bool = False) -> None:
        assert isinstance(pcb, M68kPcb)
        assert isinstance(pmap, M68kPmap)
        self._pcb = pcb
        self._pmap = self.mmu.current = pmap
        if pmap is not self._loaded:
            self._loaded = pmap
            self.words[self.engine.root] = pmap.root
            self.mmu.changed = True
        REGISTER_FILE.pack_into(self.engine.bytes, 0, *pcb.registers, pcb.pc_)
        flags.write(self.words, pcb.sr)
        self.fpu.load(pcb.fpu)
        self._tracing = pcb.sr & SR_TRACE
        self._steps.allow(bool(self._tracing))
        self._frame = pcb.frame
        self._alone = None
        if redirects != self._redirects:
            self._redirects = redirects
            self._system_call = self._emulated_call if redirects else self._native_call

    def deactivate(self) -> None:
        pcb = self._pcb
        if pcb is None:
            raise InvariantError("no thread is active")
        self._pcb = None
        *pcb.registers, pcb.pc_ = REGISTER_FILE.unpack_from(self.engine.bytes)
        pcb.sr = self._tracing | flags.read(self.words)
        pcb.fpu = self.fpu.save()
        pcb.frame = self._frame

    def run(self, budget: Instructions) -> None:
        self.target = self._counted + budget
        self._stopped = False
        while not self._stopped and self._counted < self.target:
            self._start(self.target - self._counted)
            if self._error is not None:
                error, self._error = self._error, None
                raise error

    def stop(self) -> None:
        self._stopped = True
        self.engine.stop()

    @property
    def executed(self) -> Instructions:
        return Instructions(self._counted + self.engine.counter.value - self._overhead)

    def arguments(self, count: int) -> tuple[int, ...]:
        first = self.words[SP] + 4 & MASK
        pmap = self._pmap
        assert pmap is not None
        if (first & OFFSET_MASK) + 4 * count <= PAGE_SIZE:
            place = pmap.translate(VirtAddr(first), VM_PROT_READ)
            if place is not None:
                return ARGUMENTS[count].unpack_from(self.memory.view, place)
        return ARGUMENTS[count].unpack(self.read(first, 4 * count))

    def watch_code(self, address: VirtAddr, call: Callable[[], None]) -> int:
        return self.engine.watch_code(address, call)

    def unwatch_code(self, watch: int) -> None:
        self.engine.unwatch_code(watch)

    def bad_trap(self, number: int) -> Raised:
        return Raised(EXC_BAD_INSTRUCTION, 4 * TRAP, -number)

    def bad_arguments(self, number: int, code: int, address: VirtAddr) -> Raised:
        return self.bad_trap(number)

    def redirect(self, handler: VirtAddr, write: Callable[[VirtAddr, bytes], None]) -> int:
        words = self.words
        sp = words[SP] - REDIRECT_FRAME.size & MASK
        try:
            write(VirtAddr(sp), REDIRECT_FRAME.pack(self._number, self._tracing | flags.read(words), words[PC]))
        except KernError as error:
            if error.code != KERN_INVALID_ADDRESS:
                raise
            raise UserFault(VirtAddr(sp), VM_PROT_WRITE) from None
        words[SP] = sp
        words[PC] = handler
        return self.result()

    def pc(self) -> VirtAddr:
        return VirtAddr(self.words[PC])

    def where(self) -> VirtAddr:
        return self.pc()

    def result(self) -> int:
        return self.words[D0]

    def close(self) -> None:
        self.engine.close()

    # Running

    def _start(self, count: int) -> None:
        """Runs until the count is used up or something stops it, and takes stock."""
        engine = self.engine
        words = self.words
        if self.memory.stale or self.mmu.changed:
            self._refresh()
        if words[PC] & 1:
            self._raise(ADDRESS_ERROR)
            return
        self._raised = False
        began = words[PC]
        falls_through = None
        if self._tracing:
            count = 1
            opcode = self._first_word()
            if opcode is not None:
                falls_through = decode.falls_through(opcode)
                if began & OFFSET_MASK <= PAGE_SIZE - decode.LONGEST:
                    self._steps.begin(opcode)
        alone, self._alone = self._alone, None
        if alone is not None:
            count = 1
            self.fpu.let_alone(True)
        self._one = bool(self._tracing) or alone is not None
        error = engine.start(began, count)
        if alone is not None:
            self.fpu.let_alone(False)
        if self._tracing:
            self._steps.end()
        begun = min(engine.counter.value, engine.limit.value) - self._overhead
        self._counted += begun
        engine.counter.value = self._overhead = 0
        if self._odd:
            self._odd = False
            engine.flush_translations()
            self._raise(ADDRESS_ERROR)
            return
        if error == uc.ERR_FETCH_PROT:
            self._fetched = self._refused_fetch()
        if self._fetched is not None:
            self._allow_fetch(self._fetched)
            self._fetched = None
        elif error != uc.OK:
            raise InvariantError(f"unicorn stopped with error {error} at {words[PC]:#x}")
        if alone is not None and begun and not self._raised and self.fpu.has_worked() and (vector := self.fpu.take_back(alone)):
            self._raise(vector)
        if self._tracing and begun and not self._raised:
            changed = falls_through is not None and words[PC] != began + falls_through & MASK
            if self._tracing & SR_T1 or changed:
                self._raise(TRACE)

    def _first_word(self) -> int | None:
        """Of the next instruction; None where it cannot be read."""
        try:
            return self.instruction_word(0)
        except UserFault:
            return None

    def _refresh(self) -> None:
        """Drops translations and page-table entries that memory no longer agrees with."""
        if self.memory.stale:
            self.memory.stale = False
            self.engine.flush_translations()
        if self.mmu.changed:
            self.mmu.changed = False
            self.engine.flush_mappings()

    def _refused_fetch(self) -> int:
        """The physical address that the CPU may not fetch from yet: of the next instruction, or of its part in the next page.

        A hook would tell it, but where there is one for fetches Unicorn takes the slow path for every store, too.
        """
        pc = self.words[PC]
        assert self._pmap is not None
        for address in (pc, (pc | OFFSET_MASK) + 1 & MASK):
            place = self._pmap.translate(VirtAddr(address), VM_PROT_READ)
            if place is not None and place >> PAGE_SHIFT not in self.memory.code_frames:
                return place
        raise InvariantError(f"unicorn refuses to fetch at {pc:#x}, where it may")

    def _allow_fetch(self, place: int) -> None:
        """The CPU fetches from a frame for the first time: from now on it may, and writers of the frame must tell."""
        code = self.memory.add_code(place >> PAGE_SHIFT)
        self.engine.allow_fetch(code)
        self.engine.flush_translations()

    # Called by Unicorn, inside run

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
        self._raised = True
        writes = not status & ACCESS_READ
        if writes and pmap.translate(address, VM_PROT_WRITE) is not None:  # the first write to a page that may be written
            return
        self._frame = frame_word(ACCESS_FAULT)
        if self._supervisor.fault(address, VM_PROT_READ | VM_PROT_WRITE if writes else VM_PROT_READ):
            self._keep_to_target()
            if writes:
                pmap.translate(address, VM_PROT_WRITE)
            if self.memory.stale or self.mmu.changed:
                self.engine.stop()

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

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self.stop()
