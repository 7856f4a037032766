"""The i386 CPU: threads in ring 3 on Unicorn, entered and left through one stub, counted exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.exception import EXC_BAD_ACCESS, Raised
from machemu.abi.kern_return import KERN_INVALID_ADDRESS
from machemu.abi.types import ByteOrder, Frame, Instructions, VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.machine import code_stores
from machemu.machine import engine as uc
from machemu.machine.engine import Context, Registers
from machemu.machine.i386 import alone, division, layout, x87
from machemu.machine.i386 import engine as x86
from machemu.machine.i386.calibrate import FLAGS_AS_THEY_ARE, INTERRUPT_SHADOW, Calibration
from machemu.machine.i386.debug import CONTROL, STATUS, STATUS_STEP, DebugRegisters
from machemu.machine.i386.engine import REGISTER, I386Engine
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
from machemu.machine.i386.fpu import Fpu
from machemu.machine.i386.guard import RESUME, Guard
from machemu.machine.i386.pcb import (
    CS,
    DS,
    EBP,
    EFL_TF,
    EFL_VM,
    EIP,
    ES,
    ESP,
    REDIRECT_FRAME,
    SS,
    USER_CS,
    USER_DS,
    I386Pcb,
)
from machemu.machine.i386.pmap import KERNEL_BASE, PAGE_SHIFT, PAGE_SIZE, I386Mmu, I386Pmap
from machemu.machine.i386.screen import LONGEST
from machemu.machine.i386.tables import DescriptorTables
from machemu.machine.i386.task import I386Task
from machemu.machine.memory import PhysicalMemory
from machemu.machine.seams import MachineTask, Mmu, Pcb, Pmap, Supervisor, UserFault

CR0_PAGING: Final = 0x80000033
"""PG, NE, ET, MP, PE."""
CR4_USED: Final = 0x100004
"""TSD, so that rdtsc comes to us, and does not show the host's clock; and SMEP, with which error codes tell fetches."""
CR4_TIME_ALLOWED: Final = CR4_USED & ~4
CR0_TASK_SWITCHED: Final = 0x8
ERROR_WRITE: Final = 2
ERROR_FETCH: Final = 0x10
TRAP_INTERRUPT: Final = layout.TRAP_INTERRUPT
KERNEL_CS: Final = layout.KERNEL_CS
TRAP_OVERHEAD: Final = 2
"""Instructions of the stub in a trap that returns at once: the interrupt and the far return."""
EMPTY_PAGE: Final = bytes(PAGE_SIZE)
EMULATED_INTERRUPT: Final = 0x80
"""What a redirected trap finds on its stack: the flags, and where it was made."""
READ_WRITE: Final = VM_PROT_READ | VM_PROT_WRITE
FLAGS_VM_BYTE: Final = 10
"""Where in what `iret` takes off the stack the byte with VM is."""
V86_FRAME: Final = 9
"""Words that entry to V86 mode pops: eip, cs, eflags, esp, ss, es, ds, fs, gs."""
RPL: Final = 3
"""A selector's privilege level: one that is nothing else is null. The return from a trap makes those of DS and ES 0."""
STUB_PLACE: Final = [layout.STUB, KERNEL_CS]
RETURN_PLACE: Final = [layout.TRAP_RETURN, KERNEL_CS]
USER_SEGMENTS: Final = [USER_CS, USER_DS, USER_DS, USER_DS, USER_DS, USER_DS]


class I386Cpu:
    """machine.seams.Cpu for one i386.

    Instructions: Unicorn counts all that begin; `_overhead` is how many of those since the last start were not the user's: the
    stub's, and attempts that faulted. `_counted` is the exact number before that start.
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
        self.memory = memory
        if mmu is None:
            if [memory.allocate() for _ in range(layout.FRAMES)] != list(range(layout.FRAMES)):
                raise InvariantError("a machine powers on before anybody takes frames")
            mmu = I386Mmu(memory)
        mmu.attach(Frame(layout.PAGE_TABLE), layout.FRAMES)
        memory.view[: layout.FRAMES * PAGE_SIZE] = layout.frames()
        self.mmu = mmu
        self._pcb: I386Pcb | None = None
        self._pmap: I386Pmap | None = None
        self._supervisor: Supervisor | None = None
        self._error: BaseException | None = None
        self._stopped = False
        self._entering = False
        self._nulls: tuple[tuple[str, int], ...] = ()
        self._only_enters = False
        self._stepping_trap = False
        self._redirects = False
        self._v86 = False
        self._refused_entry: tuple[int, int] | None = None
        self._by_interrupt = False
        self._refused: tuple[int, int] | None = None
        self._refused_at = 0
        self._goes_alone = False
        self._hidden: tuple[int, int] | None = None
        self._fetched = 0
        self.target = 0
        self._counted = 0
        self._overhead = 0
        self._make_engine()

    def _make_engine(self) -> None:
        """A CPU in ring 0 with paging on, calibrated, its state kept in `_ring0` to enter threads from."""
        division.guard()
        x87.mend()
        memory = self.memory
        engine = self.engine = I386Engine(memory.ram)
        self.words = memory.view.cast("I")
        self._stack = (layout.STACK + 1) * PAGE_SIZE // 4
        engine.protect(layout.TABLES * PAGE_SIZE, PAGE_SIZE, uc.ALL)
        engine.write_table(REGISTER["GDTR"], 0, layout.GDT, layout.GDT_LIMIT, 0)
        engine.write(REGISTER["CR3"], layout.DIRECTORY << PAGE_SHIFT)
        engine.write(REGISTER["CR4"], CR4_USED)
        engine.write(REGISTER["CR0"], CR0_PAGING)
        engine.write_table(REGISTER["LDTR"], layout.LDT_SELECTOR, layout.LDT, layout.LDT_LIMIT, layout.LDT_FLAGS)
        engine.write_table(REGISTER["TR"], layout.TSS_SELECTOR, layout.TSS, layout.TSS_LIMIT, layout.TSS_FLAGS)
        for name, selector in (
            ("CS", layout.KERNEL_CS),
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
        self._entry = Registers(engine, *(general[n] for n in (0, 1, 2, 3, 5, 6, 7)), REGISTER["CR3"])
        engine.hook(uc.INTERRUPT, uc.INTERRUPT_HOOK(self._interrupt))
        engine.hook(uc.FETCH_REFUSED, uc.MEMORY_HOOK(self._fetch_refused))
        engine.hook(uc.INSTRUCTION, uc.INSTRUCTION_HOOK(self._syscall), x86.SYSCALL)
        engine.hook(uc.INSTRUCTION, uc.INSTRUCTION_HOOK(self._sysenter), x86.SYSENTER)
        engine.hook(uc.INSTRUCTION, x86.IN_HOOK(self._port_in), x86.IN)
        engine.hook(uc.INSTRUCTION, x86.OUT_HOOK(self._port_out), x86.OUT)
        self.fpu = Fpu(engine)
        self.tables = DescriptorTables(engine, memory)
        self._scratch = Context(engine)
        places = Calibration(engine, self._scratch).find()
        engine.stores_into_code = code_stores.mend(engine, "x86_64", layout.SPIN)
        self._error_code = self._scratch.word(places.error_code)
        self._is_software = self._scratch.word(places.is_software)
        self._pending = self._scratch.word(places.pending)
        self._flags_kept = self._scratch.word(places.flags_kept)
        self._hidden_flags = self._scratch.word(places.hidden_flags)
        engine.counter.value = 0
        self.guard = Guard(engine, memory.view, self._code_place)
        engine.write(REGISTER["CR0"], CR0_PAGING | CR0_TASK_SWITCHED)
        self._ring0 = Context(engine)
        self._ring0.save()
        self.debug = DebugRegisters(engine, self._ring0)

    # What the kernel does with a CPU

    def attach(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._native_call = supervisor.system_call
        self._emulated_call = supervisor.emulated_call
        self._system_call = self._emulated_call if self._redirects else self._native_call

    def resume(self, memory: PhysicalMemory, mmu: Mmu) -> None:
        assert isinstance(mmu, I386Mmu)
        self.mmu.words.release()
        mmu.attach(Frame(layout.PAGE_TABLE), layout.FRAMES)
        self.memory, self.mmu = memory, mmu

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
        self.mmu.changed = False
        self._ring0.restore()
        if pcb.debug[CONTROL] or self.debug.loaded[CONTROL]:
            self.debug.load(pcb.debug, pmap)
            self.guard.stops = self.debug.stops
        eax, ecx, edx, ebx, esp, ebp, esi, edi, eip, eflags = pcb.registers
        stack, words = self._stack, self.words
        segments = pcb.segments
        words[stack - 5], words[stack - 4], words[stack - 3] = eip, segments[CS], eflags
        words[stack - 2], words[stack - 1] = esp, segments[SS]
        self._entry.values[:] = [eax, ecx, edx, ebx, ebp, esi, edi, pmap.directory << PAGE_SHIFT]
        self._entry.write()
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
        if redirects != self._redirects:
            self._redirects = redirects
            self._system_call = self._emulated_call if redirects else self._native_call

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
            self._state.read()
            values = list(self._state.values)
            registers, segments = values[:10], values[10:]
            if segments[0] == layout.KERNEL_CS and not self._v86:
                stack, words = self._stack, self.words
                registers[EIP], segments[CS], registers[ESP], segments[SS] = words[stack - 4 : stack]
                for place in (DS, ES):
                    if segments[place] <= RPL:
                        segments[place] = 0
            pcb.registers = registers
            pcb.segments = segments
            self.fpu.save(pcb)
            self.tables.save(pcb)
        # Where a run was left must not show in RAM: two runs of one machine have one digest, wherever they paused.
        self.memory.view[layout.STACK * PAGE_SIZE : (layout.STACK + 1) * PAGE_SIZE] = EMPTY_PAGE

    def run(self, budget: Instructions) -> None:
        self.target = self._counted + budget
        self._stopped = False
        while not self._stopped and (self._counted < self.target or self._in_stub()):
            self._start(self.target - self._counted)
            if self._error is not None:
                error, self._error = self._error, None
                raise error

    def _in_stub(self) -> bool:
        """The count ended between a trap and its interrupt: the trap is made before anything else."""
        self._place.read()
        return not self._entering and self._place.values[:] == STUB_PLACE

    def stop(self) -> None:
        self._stopped = True
        self.engine.stop()

    @property
    def executed(self) -> Instructions:
        return Instructions(self._counted + self.engine.counter.value - self._overhead)

    def arguments(self, count: int) -> tuple[int, ...]:
        words, pmap = self.words, self._pmap
        assert pmap is not None
        first = words[self._stack - 2] + 4
        last = first + 4 * count - 4
        if first & 3 == 0 and first >> PAGE_SHIFT == last >> PAGE_SHIFT:
            place = pmap.translate(VirtAddr(first), VM_PROT_READ)
            if place is not None:
                return tuple(words[place >> 2 : (place >> 2) + count])
        return self._slow_arguments(first, count)

    def _slow_arguments(self, first: int, count: int) -> tuple[int, ...]:
        """Word by word from the last one on, as Mach's entry code copies them: that decides which address a fault names."""
        found = []
        for address in range(first + 4 * count - 4, first - 1, -4):
            data = bytearray()
            for byte in range(address, address + 4):
                data += self.memory.view[(place := self._user_byte(byte)) : place + 1]
            found.append(int.from_bytes(data, "little"))
        return tuple(reversed(found))

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

    def pc(self) -> VirtAddr:
        return VirtAddr(self.engine.read(REGISTER["EIP"]) & 0xFFFFFFFF)

    def where(self) -> VirtAddr:
        self._place.read()
        eip, cs = self._place.values
        if cs == KERNEL_CS and not self._v86:
            in_trap = layout.STUB <= eip < layout.USER_ENTRY
            eip = self.words[self._stack - 4] if in_trap or self._pcb is None else self._pcb.pc
        return VirtAddr(eip & 0xFFFFFFFF)

    def result(self) -> int:
        return self.engine.read(REGISTER["EAX"])

    def watch_code(self, address: VirtAddr, call: Callable[[], None]) -> int:
        return self.engine.watch_code(address, call)

    def unwatch_code(self, watch: int) -> None:
        self.engine.unwatch_code(watch)

    def bad_trap(self, number: int) -> Raised:
        return Raised(*INVALID_OPCODE, 0)

    def bad_arguments(self, number: int, code: int, address: VirtAddr) -> Raised:
        return Raised(EXC_BAD_ACCESS, code, address)

    def _user_byte(self, address: int) -> int:
        assert self._pmap is not None
        address &= 0xFFFFFFFF
        place = self._pmap.translate(VirtAddr(address), VM_PROT_READ)
        if place is None:
            raise UserFault(VirtAddr(address), VM_PROT_READ)
        return place

    def close(self) -> None:
        self.guard.close()
        self._scratch.close()
        self._ring0.close()
        self.debug.close()
        self.engine.close()
        self.tables.close()
        self.words.release()
        self.mmu.words.release()

    # Running

    def _start(self, count: int) -> None:
        """Runs until the count is used up or something stops it, and takes stock."""
        engine = self.engine
        if self._refused_entry is not None:
            vector, code = self._refused_entry
            self._raise(*FAULTS[vector][:2], code)
            return
        if self.memory.stale or self.mmu.changed:
            self._refresh()
        if self._nulls and self._entering and not self._enter_with_nulls():
            return
        if self._entering:
            self._entering = False
            address = layout.USER_ENTRY
            self._overhead += 1
            count += 1
        else:
            self._place.read()
            address, cs = self._place.values
            if cs != KERNEL_CS:
                pass
            elif address == layout.STUB:
                count = TRAP_OVERHEAD
            elif address == layout.TRAP_RETURN:
                self._overhead += 1
                count += 1
        x87.forget_flags()
        error = self._start_alone(address) if self._goes_alone else engine.start(address, count)
        self.guard.put_back()
        begun = engine.counter.value
        if self._refused is not None:
            begun = self._refused_at - 1
        elif begun > engine.limit.value:
            begun -= 1
            self._place.read()
            if self._place.values[:] == RETURN_PLACE:
                self._overhead -= 1
        self._counted += begun - self._overhead
        engine.counter.value = self._overhead = 0
        if self._refused is not None:
            refused, self._refused = self._refused, None
            self._scratch.restore()
            self._raise(*refused)
        elif error == uc.ERR_INSN_INVALID:
            self._counted -= 1
            self._scratch.save()
            self._flags_kept.value = FLAGS_AS_THEY_ARE
            self._scratch.restore()
            self._raise(*INVALID_OPCODE)
        elif error not in (uc.OK, uc.ERR_FETCH_PROT):
            raise InvariantError(f"unicorn stopped with error {error} at {engine.read(REGISTER['EIP']):#x}")
        elif self.debug.hits:
            self._watched()
        if error == uc.ERR_FETCH_PROT:
            self._allow_fetch()

    def _enter_with_nulls(self) -> bool:
        """Enters user mode and stops there; False where the processor refused. The entry makes each null selector of DS and ES 0.

        The processor does so whenever it comes back from the kernel. Here it must not show that it was there.
        """
        self._entering, self._only_enters, self._overhead = False, True, 1
        self.engine.start(layout.USER_ENTRY, 1)
        self._only_enters, self._overhead, self.engine.counter.value = False, 0, 0
        if self._entering:
            return False
        self._scratch.save()
        self._pending.value = -1
        self._scratch.restore()
        for name, selector in self._nulls:
            self.engine.write(REGISTER[name], selector)
        return True

    def _start_alone(self, address: int) -> int:
        """Runs one instruction that the guard does not let pass."""
        engine = self.engine
        place, code, wide = self._linear_pc(), self._code(), self._segment(REGISTER["CS"])[1]
        self._state.read()
        before = self._state.values[:EIP]
        self._goes_alone = False
        self.guard.lets = True
        target, self.target = self.target, self._counted + 1
        engine.drop_translation(place)
        status = engine.read(REGISTER["CR0"])
        if alone.stores_status(code):
            # Whether the thread's FPU state is loaded must not show: it depends on where the run was cut.
            engine.write(REGISTER["CR0"], CR0_PAGING)
        cycles = self._allow_time() if alone.reads_time(code) else None
        if alone.interrupt_return(code, wide) == 4:
            self._hide_v86()
        error = engine.start(address, 1)
        self._show_v86()
        if cycles is not None:
            engine.write(REGISTER["CR4"], CR4_USED)
        if alone.stores_status(code):
            engine.write(REGISTER["CR0"], status)
        engine.drop_translation(place)
        self.target = target
        self.guard.lets = False
        if min(engine.counter.value, engine.limit.value) > self._overhead:
            if cycles is not None:
                self._show_time(cycles)
            stack = engine.read(REGISTER["ESP"]), engine.read(REGISTER["EBP"])
            esp, ebp = alone.mended(code, wide, self._segment(REGISTER["SS"])[1], before, *stack)
            engine.write(REGISTER["ESP"], esp)
            engine.write(REGISTER["EBP"], ebp)
        return error

    def _allow_time(self) -> int:
        """Lets the next instruction be `rdtsc`; what that is to show."""
        assert self._supervisor is not None
        self.engine.write(REGISTER["CR4"], CR4_TIME_ALLOWED)
        return self._supervisor.cycles()

    def _show_time(self, cycles: int) -> None:
        self.engine.write(REGISTER["EAX"], cycles & 0xFFFFFFFF)
        self.engine.write(REGISTER["EDX"], cycles >> 32 & 0xFFFFFFFF)

    def _hide_v86(self) -> None:
        """Takes VM out of the flags that `iret` finds on the stack: in user mode it is ignored, and Unicorn would go by it."""
        assert self._pmap is not None
        base, wide = self._segment(REGISTER["SS"])
        offset = self.engine.read(REGISTER["ESP"]) + FLAGS_VM_BYTE & (0xFFFFFFFF if wide else 0xFFFF)
        place = self._pmap.translate(VirtAddr(base + offset & 0xFFFFFFFF), VM_PROT_READ)
        if place is not None:
            self._hidden = place, self.memory.view[place]
            self.memory.view[place] &= ~(EFL_VM >> 16)

    def _show_v86(self) -> None:
        if self._hidden is not None:
            place, byte = self._hidden
            self.memory.view[place] = byte
            self._hidden = None

    def _watched(self) -> None:
        """An instruction that is done has met watched data. Where it was a trap, the kernel begins, which is not watched."""
        self._place.read()
        if self._place.values[1] == KERNEL_CS and not self._v86:
            self.debug.hits = 0
        else:
            self._debug_exception()

    def _refresh(self) -> None:
        """Drops translations and page-table entries that memory no longer agrees with."""
        memory = self.memory
        if memory.stale:
            memory.stale = False
            self.engine.flush_translations()
        if self.mmu.changed:
            self.mmu.changed = False
            assert self._pmap is not None
            self.engine.write(REGISTER["CR3"], self._pmap.directory << PAGE_SHIFT)

    def _allow_fetch(self) -> None:
        """The CPU fetches from a frame for the first time: from now on it may, and writers of the frame must tell."""
        code = self.memory.add_code(self._fetched >> PAGE_SHIFT)
        self.engine.protect(code.start, len(code), uc.ALL)
        self._scratch.save()
        self._pending.value = -1
        self._scratch.restore()

    # Called by Unicorn, inside run

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

        Counting makes Unicorn work out the flags before each instruction, but a fault inside one puts back how they were kept
        before that (unicorn issue 1933): then the carry is lost. Fetches and steps are between instructions.

        An instruction that was refused is not done: what Unicorn does to finish it is nothing to the thread. Nor is anything once
        the thread has left.
        """
        if self._refused is not None or self._stopped:
            return
        scratch = self._scratch
        scratch.save()
        if self._supervisor is None:
            self.engine.stop()
            return
        if self.guard.replaced:
            self.guard.put_back()
        self._show_v86()
        software = self._is_software.value
        code = self._error_code.value
        self._pending.value = -1
        fetch = number == PAGE_FAULT and not software and code & ERROR_FETCH
        step = number == DEBUG and not software
        shadowed = step and self._hidden_flags.value & INTERRUPT_SHADOW
        if shadowed:
            self._hidden_flags.value &= ~INTERRUPT_SHADOW
        elif not fetch and not step:
            self._flags_kept.value = FLAGS_AS_THEY_ARE
        scratch.restore()
        self._read_trap()
        if self._trap_values[1] == KERNEL_CS and not self._v86:
            self._stub_fault(number, code)
            return
        if self._only_enters:
            self.engine.stop()
            return
        if self.debug.hits and (fetch or (step and not self.debug.is_step())):
            self.engine.stop()
            return
        if shadowed:
            self.engine.write(REGISTER["DR6"], 0)
            return
        if step:
            self._step()
            return
        if not software and not fetch:
            self._overhead += 1
        if number == PAGE_FAULT and not software:
            self._page_fault(code)
        elif number == NO_FPU and not software:
            assert self._pcb is not None and self._supervisor is not None
            self.engine.write(REGISTER["CR0"], CR0_PAGING)
            if not self.fpu.load(self._pcb):
                self._supervisor.print(INVALID_FPU)
        elif number == x87.NOT_STORED and not software:
            self._pass()
        elif number == FPU_ERROR and not software:
            self._raise(*FPU_FAULT, self.engine.read(REGISTER["FPSW"]) & 0xFFFF)
        elif number == PROTECTION_FAULT and not software and self._is_breakpoint():
            self._debug_exception()
        elif number == PROTECTION_FAULT and not software and not self.guard.lets and self._is_seen_to():
            return
        elif software and number == EMULATED_INTERRUPT and self._redirects:
            self._emulated_interrupt()
        elif software and number not in BREAKPOINTS:
            self._step_back(2)
            self._raise(*GENERAL_PROTECTION, number * 8 + 2)
        else:
            exception, mach_code, with_error = FAULTS.get(number, (*GENERAL_PROTECTION, True))
            self._raise(exception, mach_code, code & 0xFFFF if with_error else 0)

    def _emulated_interrupt(self) -> None:
        """`int $0x80` of a task with an emulation vector: a trap without a frame, whose stack pointer `arguments` needs."""
        self.words[self._stack - 2] = self.engine.read(REGISTER["ESP"])
        number = -self._trap_values[0] if self._trap_values[0] < 0x80000000 else 0x100000000 - self._trap_values[0]
        self._by_interrupt = True
        result = self._system_call(number)
        self._by_interrupt = False
        if result is not None:
            self.engine.write(REGISTER["EAX"], result & 0xFFFFFFFF)
            self.engine.stop()

    def _stub_fault(self, number: int, code: int) -> None:
        """A step into a trap, which goes on as a trap; or selectors that a thread was given and the processor refuses.

        For those the thread gets the exception as it is, selectors and all, as on the real kernel: it has not been entered.
        """
        if number == DEBUG:
            self._stepping_trap = True
            return
        self._entering = True
        self.engine.stop()
        exception, mach_code, with_error = FAULTS.get(number, (*GENERAL_PROTECTION, True))
        self._raise(exception, mach_code, code & 0xFFFF if with_error else 0)

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

    def _page_fault(self, code: int) -> None:
        address = VirtAddr(self.engine.read(REGISTER["CR2"]) & 0xFFFFFFFF)
        if self._touch(address, READ_WRITE if code & ERROR_WRITE else VM_PROT_READ):
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

    def _keep_to_target(self) -> None:
        self.engine.limit.value = self.target - self._counted + self._overhead

    def _raise(self, exception: int, code: int, subcode: int = 0) -> None:
        assert self._supervisor is not None
        self.debug.hits = 0
        if not self._supervisor.exception(exception, code, subcode):
            self.stop()

    def _pass(self) -> None:
        """Goes on behind an instruction of the FPU that is done."""
        code, wide = self._code(), self._segment(REGISTER["CS"])[1]
        self._overhead -= 1
        self._step_back(-alone.float_length(code, wide))
        if self.engine.read(REGISTER["EFLAGS"]) & EFL_TF:
            self.engine.write(REGISTER["DR6"], STATUS_STEP)
            self._debug_exception()
        self.engine.stop()

    def _step_back(self, size: int) -> None:
        """Puts the program counter back onto an instruction that was refused."""
        self.engine.write(REGISTER["EIP"], (self.engine.read(REGISTER["EIP"]) - size) & 0xFFFFFFFF)

    def _refuse(self, what: tuple[int, int]) -> None:
        """An instruction that user mode may not have: its state is kept from before it, and the exception follows the stop."""
        self._refused = what
        self._refused_at = self.engine.counter.value
        self._scratch.save()
        self._flags_kept.value = FLAGS_AS_THEY_ARE
        self.engine.stop()

    def _syscall(self, _engine: object, _data: object) -> None:
        self._refuse(INVALID_OPCODE)

    def _sysenter(self, _engine: object, _data: object) -> None:
        self._refuse(GENERAL_PROTECTION)

    def _port_in(self, _engine: object, port: int, size: int, _data: object) -> int:
        if not self._may_use(port, size):
            self._refuse(GENERAL_PROTECTION)
        return self.mmu.pci.read(port, size)

    def _port_out(self, _engine: object, port: int, size: int, value: int, _data: object) -> None:
        if self._may_use(port, size):
            self.mmu.pci.write(port, size, value)
        else:
            self._refuse(GENERAL_PROTECTION)

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
            width = alone.string_port_width(code, wide)
            may_use = width > 0 and self._may_use(self.engine.read(REGISTER["EDX"]) & 0xFFFF, width)
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

    def _segment(self, register: int) -> tuple[int, bool]:
        """The base of the segment in CS or SS, and whether it is one of 32 bits."""
        assert self._pcb is not None
        return self.tables.segment(self._pcb, self.engine.read(register))

    def _linear_pc(self) -> int:
        base, _ = self._segment(REGISTER["CS"])
        return base + self.pc() & 0xFFFFFFFF

    def _code(self) -> bytes:
        """The instruction's bytes, and what follows them, as far as they can be read."""
        assert self._pmap is not None
        first = self._linear_pc()
        found = bytearray()
        for address in range(first, first + LONGEST):
            place = self._pmap.translate(VirtAddr(address & 0xFFFFFFFF), VM_PROT_READ)
            if place is None:
                break
            found.append(self.memory.view[place])
        return bytes(found)

    def _code_place(self, address: int) -> int:
        """Where in RAM the byte of code at a virtual address is that Unicorn may fetch now, or -1."""
        if self._pmap is None:
            return -1
        place = self._pmap.translate(VirtAddr(address & 0xFFFFFFFF), VM_PROT_READ)
        return place if place is not None and place >> PAGE_SHIFT in self.memory.code_frames else -1

    def _may_use(self, port: int, size: int) -> bool:
        return self._pcb is not None and self._pcb.task.may_use(port, size)

    def _fetch_refused(self, _engine: object, _kind: int, address: int, _size: int, _value: int, _data: object) -> bool:
        self._fetched = address
        return False

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self.stop()
