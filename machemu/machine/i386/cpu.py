"""The i386 CPU: threads in ring 3 on Unicorn, entered and left through one stub, counted exactly."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.exception import EXC_BAD_ACCESS, Raised
from machemu.abi.kern_return import KERN_INVALID_ADDRESS
from machemu.abi.types import ByteOrder, Frame, VirtAddr
from machemu.abi.vm import VM_PROT_READ
from machemu.machine import accel, code_stores
from machemu.machine import engine as uc
from machemu.machine.engine import Context, Registers
from machemu.machine.i386 import division, layout, shadow, x87
from machemu.machine.i386 import engine as x86
from machemu.machine.i386.calibrate import Calibration, Places
from machemu.machine.i386.debug import CONTROL, NONE, DebugRegisters
from machemu.machine.i386.engine import REGISTER, I386Engine
from machemu.machine.i386.exits import CR0_PAGING
from machemu.machine.i386.faults import INVALID_OPCODE
from machemu.machine.i386.fpu import Fpu
from machemu.machine.i386.guard import Guard
from machemu.machine.i386.layout import KERNEL_CS
from machemu.machine.i386.pcb import CS, DS, EIP, ES, ESP, REDIRECT_FRAME, SS, USER_CS, USER_DS, I386Pcb
from machemu.machine.i386.pmap import KERNEL_BASE, PAGE_SIZE, I386Mmu, I386Pmap
from machemu.machine.i386.shadow import ShadowTables, Tables
from machemu.machine.i386.starts import CR4_USED, Starts
from machemu.machine.i386.tables import DescriptorTables
from machemu.machine.i386.task import I386Task
from machemu.machine.mappings import Mappings
from machemu.machine.memory import PhysicalMemory
from machemu.machine.seams import MachineTask, Mmu, Pcb, Pmap, UserFault

if TYPE_CHECKING:
    from machemu.machine.accel.interface import I386NativeExits

CR0_TASK_SWITCHED: Final = 0x8
OWN_STACK: Final = slice(layout.STACK * PAGE_SIZE, (layout.STACK + 1) * PAGE_SIZE)
EMPTY_PAGE: Final = bytes(PAGE_SIZE)
V86_FRAME: Final = 9
"""Words that entry to V86 mode pops: eip, cs, eflags, esp, ss, es, ds, fs, gs."""
RPL: Final = 3
"""A selector's privilege level: one that is nothing else is null. The return from a trap makes those of DS and ES 0."""
STUB_PLACE: Final = [layout.STUB, KERNEL_CS]
USER_SEGMENTS: Final = [USER_CS, USER_DS, USER_DS, USER_DS, USER_DS, USER_DS]


class I386Cpu(Starts):
    """machine.seams.Cpu for one i386.

    Unicorn counts all instructions that begin; `_counted` and `_overhead` tell how many of them were the user's.
    """

    architecture = "i386"
    order = ByteOrder.LITTLE
    page_size = PAGE_SIZE
    user_range = (VirtAddr(0), VirtAddr(KERNEL_BASE))
    stack_top = VirtAddr(KERNEL_BASE)
    stack_size = 128 << 10
    own_memory = layout.FRAMES * PAGE_SIZE

    def __init__(self, memory: PhysicalMemory, mmu: I386Mmu | None = None) -> None:
        """Powers on over fresh memory; with `mmu` goes on over the loaded memory that it belongs to."""
        super().__init__()
        self.memory = memory
        if mmu is None:
            if [memory.allocate() for _ in range(layout.FRAMES)] != list(range(layout.FRAMES)):
                raise InvariantError("a machine powers on before anybody takes frames")
            mmu = I386Mmu(memory)
        self.shadow = ShadowTables()
        mmu.attach(Frame(layout.PAGE_TABLE), layout.FRAMES, self.shadow)
        memory.view[: layout.FRAMES * PAGE_SIZE] = layout.frames()
        self.mmu = mmu
        self._pcb = None
        self._pmap = self._loaded = None
        self._entering = False
        self._nulls = ()
        self._only_enters = False
        self._stepping_trap = False
        self._v86 = False
        self._refused_entry = None
        self._by_interrupt = False
        self._refused = None
        self._refused_at = 0
        self._goes_alone = False
        self._hidden = None
        self._fetched = None
        self._make_engine()

    def _make_engine(self) -> None:
        """A CPU in ring 0 with paging on, calibrated, its state kept in `_ring0` to enter threads from."""
        division.guard()
        x87.mend()
        memory = self.memory
        engine = self.engine = I386Engine(memory.ram)
        engine.map(shadow.BASE, self.shadow.memory)
        self.words = memory.view.cast("I")
        self._stack = (layout.STACK + 1) * PAGE_SIZE // 4
        engine.protect(layout.TABLES * PAGE_SIZE, PAGE_SIZE, uc.ALL)
        engine.write_table(REGISTER["GDTR"], 0, layout.GDT, layout.GDT_LIMIT, 0)
        engine.write(REGISTER["CR3"], self.shadow.empty_root)
        engine.write(REGISTER["CR4"], CR4_USED)
        engine.write(REGISTER["CR0"], CR0_PAGING)
        engine.write_table(REGISTER["LDTR"], layout.LDT_SELECTOR, layout.LDT, layout.LDT_LIMIT, layout.LDT_FLAGS)
        engine.write_table(REGISTER["TR"], layout.TSS_SELECTOR, layout.TSS, layout.TSS_LIMIT, layout.TSS_FLAGS)
        for name, selector in (
            ("CS", KERNEL_CS),
            ("SS", layout.KERNEL_SS),
            *((n, USER_DS) for n in ("DS", "ES", "FS", "GS")),
        ):
            uc.check(engine.write(REGISTER[name], selector), f"selector of {name}")
        engine.write(REGISTER["ESP"], layout.STACK_END - layout.IRET_FRAME)
        trap = Registers(engine, REGISTER["EAX"], REGISTER["CS"])
        self._read_trap, self._trap_values = trap.read, trap.values
        result = Registers(engine, REGISTER["EAX"])
        self._write_result, self._result_values = result.write, result.values
        self._place = Registers(engine, REGISTER["EIP"], REGISTER["CS"])
        general = [REGISTER[n] for n in ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI", "EIP", "EFLAGS")]
        self._state = Registers(engine, *general, *(REGISTER[n] for n in ("CS", "SS", "DS", "ES", "FS", "GS")))
        self._entry = Registers(engine, *(general[n] for n in (0, 1, 2, 3, 5, 6, 7)))
        interrupts = engine.hook(uc.INTERRUPT, uc.INTERRUPT_HOOK(self._interrupt))
        engine.hook(uc.INSTRUCTION, uc.INSTRUCTION_HOOK(self._syscall), x86.SYSCALL)
        engine.hook(uc.INSTRUCTION, uc.INSTRUCTION_HOOK(self._sysenter), x86.SYSENTER)
        engine.hook(uc.INSTRUCTION, x86.IN_HOOK(self._port_in), x86.IN)
        engine.hook(uc.INSTRUCTION, x86.OUT_HOOK(self._port_out), x86.OUT)
        self.fpu = Fpu(engine)
        self.tables = DescriptorTables(engine, memory)
        self._scratch = Context(engine)
        places = Calibration(engine, self._scratch).find()
        engine.stores_into_code = code_stores.mend(engine, "x86_64", layout.SPIN)
        engine.count_by_blocks(memory.view[layout.SPIN - KERNEL_BASE :], layout.SPIN)
        engine.allow_no_execute(self._scratch, places.error_code)
        self._error_code = self._scratch.word(places.error_code)
        self._is_software = self._scratch.word(places.is_software)
        self._pending = self._scratch.word(places.pending)
        self._flags_kept = self._scratch.word(places.flags_kept)
        self._hidden_flags = self._scratch.word(places.hidden_flags)
        engine.counter.value = 0
        self._count_in(*engine.counts())
        self.guard = Guard(engine, memory.view, self._code_place)
        self._exits = self._find_exits(places)
        if self._exits is not None:
            engine.unhook(interrupts)
            engine.hook_exits(self._exits)
        engine.write(REGISTER["CR0"], CR0_PAGING | CR0_TASK_SWITCHED)
        self._ring0 = Context(engine)
        self._ring0.save()
        self.debug = DebugRegisters(engine, self._ring0)

    def _find_exits(self, places: Places) -> I386NativeExits | None:
        """What the extension needs to know; None where it is not there, or something is not where it is taken to be."""
        engine, memory = self.engine, self.memory
        native = accel.for_a_cpu()
        if native is None or engine.blocks is None:
            return None
        self._scratch.save()
        saved = ctypes.string_at(self._scratch.address, self._scratch.size)
        live = uc.peek(engine.state, x86.STATE_SIZE)
        at = saved.find(live[: x86.SEGMENTS])
        if at < 0 or x86.selectors(live) != [USER_DS, KERNEL_CS, layout.KERNEL_SS, USER_DS, USER_DS, USER_DS]:
            return None
        native.bind_slots({each.__name__: each for each in (I386Pmap, I386Pcb, Tables, PhysicalMemory, Mappings)})
        ram = ctypes.addressof(ctypes.c_char.from_buffer(memory.ram))
        exits: I386NativeExits = native.I386Exits(
            self,
            engine=engine.address,
            ram=ram,
            state=engine.state,
            error_code=engine.state + places.error_code - at,
            is_software=engine.state + places.is_software - at,
            pending=engine.state + places.pending - at,
            counts=engine.blocks.address,
            shadow=ctypes.addressof(ctypes.c_char.from_buffer(self.shadow.memory)),
            shadow_of=self.shadow.of,
            stack=self._stack,
            gate=ram + layout.KERNEL_CS_ACCESS - KERNEL_BASE,
            forget_flags=x87.forget_address(),
            replaced=self.guard.replaced,
            cr2=REGISTER["CR2"],
            flags=REGISTER["EFLAGS"],
            fpu_status=engine.state + x87.STATUS_AT if x87.mend() else 0,
        )
        exits.set_machine(memory, self.mmu)
        return exits

    # What the kernel does with a CPU

    @property
    def passes_ticks(self) -> bool:
        return self._exits is not None and not self.engine.is_watching() and not self._goes_alone

    def resume(self, memory: PhysicalMemory, mmu: Mmu) -> None:
        assert isinstance(mmu, I386Mmu)
        self.mmu.words.release()
        mmu.attach(Frame(layout.PAGE_TABLE), layout.FRAMES, self.shadow)
        self.memory, self.mmu, self._loaded = memory, mmu, None
        if self._exits is not None:
            self._exits.set_machine(memory, mmu)

    def new_task(self) -> I386Task:
        return I386Task()

    def new_pcb(self, task: MachineTask, maker: Pcb | None = None) -> I386Pcb:
        assert isinstance(task, I386Task)
        pcb = I386Pcb(task)
        if isinstance(maker, I386Pcb):
            pcb.init_control = self.fpu.control(maker, maker is self._pcb)
        return pcb

    def activate(self, pcb: Pcb, pmap: Pmap, redirects: bool = False) -> None:
        assert isinstance(pcb, I386Pcb)
        assert isinstance(pmap, I386Pmap)
        self._pcb = pcb
        self._pmap = self.mmu.current = pmap
        self._ring0.restore()
        if pmap is not self._loaded or self.mmu.changed:
            self._load_tables(pmap)
        if pcb.debug[CONTROL] or self.debug.loaded[CONTROL]:
            self.debug.load(pcb.debug, pmap)
            self.guard.watch(self.debug.stops, self.debug.loaded != NONE)
        if self._exits is not None:
            self._exits.put(pcb)
        else:
            self._put(pcb)
        segments = pcb.segments
        self._v86 = self.guard.is_v86 = pcb.in_v86
        self._refused_entry = None
        self._nulls = ()
        if segments != USER_SEGMENTS or pcb.ldt is not None or pcb.gdt != self.tables.gdt:
            self._refused_entry = self.tables.load(pcb)
            if self._v86:
                self._enter_v86(pcb)
            else:
                self._nulls = tuple(
                    (name, segments[place]) for name, place in (("DS", DS), ("ES", ES)) if 0 < segments[place] < 4
                )
        self._entering = True
        self._stepping_trap = self._goes_alone = False
        self._redirect(redirects)
        if self._exits is not None:
            plain = not self._v86 and pcb.ldt is None and not self._nulls and self.debug.loaded == NONE
            self._exits.enter(pmap, plain, redirects)

    def _load_tables(self, pmap: I386Pmap) -> None:
        """Has the CPU walk a pmap's tables from now on, in the state `_ring0`, too. It forgets what it has seen of others."""
        self._loaded = pmap
        self.mmu.changed = False
        self.engine.write(REGISTER["CR3"], self.shadow.root(pmap))
        self._ring0.save()

    def _put(self, pcb: I386Pcb) -> None:
        """Puts a thread's registers where the entry to user mode finds them."""
        eax, ecx, edx, ebx, esp, ebp, esi, edi, eip, eflags = pcb.registers
        stack, words = self._stack, self.words
        words[stack - 5], words[stack - 4], words[stack - 3] = eip, pcb.segments[CS], eflags
        words[stack - 2], words[stack - 1] = esp, pcb.segments[SS]
        self._entry.values[:] = [eax, ecx, edx, ebx, ebp, esi, edi]
        self._entry.write()

    def _enter_v86(self, pcb: I386Pcb) -> None:
        """Entry to V86 mode pops the data segments too."""
        _, _, ds, es, fs, gs = pcb.segments
        first, words, stack = self._stack - V86_FRAME, self.words, self._stack
        words[first : first + 5] = words[stack - 5 : stack]
        words[stack - 4], words[stack - 3], words[stack - 2], words[stack - 1] = es, ds, fs, gs
        self.engine.write(REGISTER["ESP"], layout.STACK_END - 4 * V86_FRAME)

    def deactivate(self) -> None:
        pcb = self._pcb
        if pcb is None:
            raise InvariantError("no thread is active")
        self._pcb = None
        if self._entering:
            self._entering = False
        else:
            if self._exits is None or not self._exits.take(pcb):
                self._take(pcb)
            self.fpu.save(pcb)
            self.tables.save(pcb)
        # Where a run was left must not show in RAM: two runs of one machine have one digest, wherever they paused.
        self.memory.view[OWN_STACK] = EMPTY_PAGE

    def _take(self, pcb: I386Pcb) -> None:
        """Gives a thread its registers back."""
        self._state.read()
        values = list(self._state.values)
        registers, segments = values[:10], values[10:]
        if segments[0] == KERNEL_CS and not self._v86:
            stack, words = self._stack, self.words
            registers[EIP], segments[CS], registers[ESP], segments[SS] = words[stack - 4 : stack]
            for place in (DS, ES):
                if segments[place] <= RPL:
                    segments[place] = 0
        pcb.registers = registers
        pcb.segments = segments

    def _is_inside(self) -> bool:
        """The count ended between a trap and its interrupt: the trap is made before anything else."""
        self._place.read()
        return not self._entering and self._place.values[:] == STUB_PLACE

    def redirect(self, handler: VirtAddr, write: Callable[[VirtAddr, bytes], None]) -> int:
        words, stack = self.words, self._stack
        eip = self.engine.read(REGISTER["EIP"]) if self._by_interrupt else words[stack - 4]
        esp = (words[stack - 2] - 8) & 0xFFFFFFFF
        try:
            write(VirtAddr(esp), REDIRECT_FRAME.pack(self.engine.read(REGISTER["EFLAGS"]), eip))
        except KernError as error:
            if error.code != KERN_INVALID_ADDRESS:
                raise
            raise UserFault(VirtAddr(esp), VM_PROT_READ) from None
        if self._by_interrupt:
            self.engine.write(REGISTER["ESP"], esp)
            self.engine.write(REGISTER["EIP"], handler)
        else:
            words[stack - 4], words[stack - 2] = handler, esp
        return self.result()

    def where(self) -> VirtAddr:
        self._place.read()
        eip, cs = self._place.values
        if cs == KERNEL_CS and not self._v86:
            in_trap = layout.STUB <= eip < layout.USER_ENTRY
            eip = self.words[self._stack - 4] if in_trap or self._pcb is None else self._pcb.pc
        return VirtAddr(eip & 0xFFFFFFFF)

    def result(self) -> int:
        return self.engine.read(REGISTER["EAX"])

    def bad_trap(self, number: int) -> Raised:
        return Raised(*INVALID_OPCODE, 0)

    def bad_arguments(self, number: int, code: int, address: VirtAddr) -> Raised:
        return Raised(EXC_BAD_ACCESS, code, address)

    def close(self) -> None:
        self.guard.close()
        self._scratch.close()
        self._ring0.close()
        self.debug.close()
        self.engine.close()
        self.shadow.close()
        self.tables.close()
        self.words.release()
        self.mmu.words.release()
