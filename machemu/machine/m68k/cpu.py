"""The m68k CPU: threads in user mode on Unicorn's 68040, entered and left by writing its state, counted exactly."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.exception import EXC_BAD_INSTRUCTION, Raised
from machemu.abi.kern_return import KERN_INVALID_ADDRESS
from machemu.abi.types import ByteOrder, VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.machine import accel
from machemu.machine import engine as uc
from machemu.machine.m68k import decode, flags, undo
from machemu.machine.m68k.emit import Emitter
from machemu.machine.m68k.engine import (
    ACCESS_BACK,
    ADDRESS_BACK,
    CONTROL,
    D0,
    PC,
    SP,
    M68kEngine,
)
from machemu.machine.m68k.exits import Exits
from machemu.machine.m68k.faults import (
    ADDRESS_ERROR,
    TRACE,
    TRAP,
)
from machemu.machine.m68k.fpu import Fpu
from machemu.machine.m68k.guard import Guard
from machemu.machine.m68k.pcb import REDIRECT_FRAME, REGISTERS, SR_T1, SR_TRACE, M68kPcb
from machemu.machine.m68k.pmap import OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, M68kMmu, M68kPmap
from machemu.machine.m68k.steps import Steps
from machemu.machine.m68k.task import M68kTask
from machemu.machine.mappings import Mappings
from machemu.machine.memory import PhysicalMemory
from machemu.machine.seams import MachineTask, Mmu, Pcb, Pmap, UserFault

if TYPE_CHECKING:
    from machemu.machine.accel.interface import M68kNativeExits

PAGES_OF_8K: Final = 0xC000
"""Translation control: enabled, pages of 8 KiB."""
MASK: Final = 0xFFFFFFFF
REGISTER_FILE: Final = struct.Struct(f"{REGISTERS + 1}I")
"""d0 to a7 and the program counter, in the host's byte order."""
NUMBER: Final = struct.Struct(">i")
FLOAT_LINE: Final = 0xF2
"""The upper byte of floating-point instructions' first words."""
ARGUMENTS: Final = tuple(struct.Struct(f">{count}I") for count in range(12))


class M68kCpu(Exits):
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
        super().__init__()
        self.memory = memory
        self.mmu = M68kMmu(memory) if mmu is None else mmu
        self.mmu.attach()
        self._pcb: M68kPcb | None = None
        self._pmap: M68kPmap | None = None
        self._loaded: M68kPmap | None = None
        self._tracing = 0
        self._one = False
        self._number = 0
        self._raised = False
        self._odd = False
        self._fetched = None
        self._alone = None
        self._translated_again = None
        engine = self.engine = M68kEngine(memory.ram)
        engine.write(CONTROL, PAGES_OF_8K)
        self.words = engine.words
        self._fault_address, self._fault_status = engine.root - ADDRESS_BACK, engine.root - ACCESS_BACK
        self._count_in(*engine.counts())
        engine.hook(uc.EDGE, uc.EDGE_HOOK(self._translated))
        self._emitter = Emitter(engine)
        mode = self._emitter.state_word("MACSR")
        self.fpu = Fpu(engine, mode, self._emitter.state_word("MAC_MASK"))
        self._undone = undo.opcodes()
        self._guard = Guard(engine, self._emitter, self._code_word, self.fpu.watches)
        self._steps = Steps(engine, mode)
        self._exits = self._find_exits()
        if self._exits is not None:
            engine.hook_exits(self._exits)
        else:
            engine.hook(uc.INTERRUPT, uc.INTERRUPT_HOOK(self._interrupt))

    def _find_exits(self) -> M68kNativeExits | None:
        """What the extension needs to know; None where it is not there."""
        engine, memory = self.engine, self.memory
        native = accel.for_a_cpu()
        if native is None or engine.blocks is None:
            return None
        native.bind_slots({each.__name__: each for each in (M68kPmap, M68kPcb, PhysicalMemory, Mappings)})
        exits: M68kNativeExits = native.M68kExits(
            self,
            engine=engine.address,
            counts=engine.blocks.address,
            ram=ctypes.addressof(ctypes.c_char.from_buffer(memory.ram)),
            words=ctypes.addressof(ctypes.c_uint32.from_buffer(self.words)),
            fault_address=self._fault_address,
            fault_status=self._fault_status,
            undone=undo.table(),
        )
        exits.set_machine(memory, self.mmu)
        return exits

    # What the kernel does with a CPU

    @property
    def passes_ticks(self) -> bool:
        return self._exits is not None and not self.engine.is_watching()

    def resume(self, memory: PhysicalMemory, mmu: Mmu) -> None:
        assert isinstance(mmu, M68kMmu)
        mmu.attach()
        self.memory, self.mmu, self._loaded = memory, mmu, None
        if self._exits is not None:
            self._exits.set_machine(memory, mmu)

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
        if self._exits is not None:
            self._exits.put(pcb)
        else:
            self._put(pcb)
        self.fpu.load(pcb.fpu)
        self._tracing = pcb.sr & SR_TRACE
        self._steps.allow(bool(self._tracing))
        self._frame = pcb.frame
        self._alone = None
        self._redirect(redirects)
        if self._exits is not None:
            self._exits.enter(pmap, not self._tracing, redirects)

    def deactivate(self) -> None:
        pcb = self._pcb
        if pcb is None:
            raise InvariantError("no thread is active")
        self._pcb = None
        if self._exits is not None:
            self._exits.take(pcb, self._tracing)
        else:
            self._take(pcb)
        pcb.fpu = self.fpu.save()
        pcb.frame = self._frame

    def _put(self, pcb: M68kPcb) -> None:
        """Puts a thread's registers into the CPU."""
        REGISTER_FILE.pack_into(self.engine.bytes, 0, *pcb.registers, pcb.pc_)
        flags.write(self.words, pcb.sr)

    def _take(self, pcb: M68kPcb) -> None:
        """Gives a thread its registers back."""
        *pcb.registers, pcb.pc_ = REGISTER_FILE.unpack_from(self.engine.bytes)
        pcb.sr = self._tracing | flags.read(self.words)

    def arguments(self, count: int) -> tuple[int, ...]:
        first = self.words[SP] + 4 & MASK
        pmap = self._pmap
        assert pmap is not None
        if (first & OFFSET_MASK) + 4 * count <= PAGE_SIZE:
            place = pmap.translate(VirtAddr(first), VM_PROT_READ)
            if place is not None:
                return ARGUMENTS[count].unpack_from(self.memory.view, place)
        return ARGUMENTS[count].unpack(self.read(first, 4 * count))

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
        return self.words[PC]  # type: ignore[return-value]

    def where(self) -> VirtAddr:
        return self.words[PC]  # type: ignore[return-value]

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
        began = words[PC]
        if began & 1:
            self._raise(ADDRESS_ERROR)
            return
        self._raised = False
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
        if self._exits is not None:
            self._exits.plain = not self._one
        error = engine.start(began, count)
        if alone is not None:
            self.fpu.let_alone(False)
        if self._tracing:
            self._steps.end()
        begun = self._settle()
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
