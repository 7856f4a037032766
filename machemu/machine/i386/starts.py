"""How the i386 CPU goes into user mode, and what is seen to when the engine has stopped."""

from __future__ import annotations

from typing import Final

from machemu.abi.errors import InvariantError
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ
from machemu.machine import engine as uc
from machemu.machine.engine import Registers
from machemu.machine.i386 import alone, layout, x87
from machemu.machine.i386.calibrate import FLAGS_AS_THEY_ARE
from machemu.machine.i386.engine import REGISTER
from machemu.machine.i386.exits import CR0_PAGING, Exits
from machemu.machine.i386.faults import FAULTS, INVALID_OPCODE
from machemu.machine.i386.layout import KERNEL_CS
from machemu.machine.i386.pcb import EFL_VM, EIP
from machemu.machine.i386.pmap import PAGE_SHIFT, I386Pmap

CR4_USED: Final = 0x100024
"""TSD, so that rdtsc comes to us, and does not show the host's clock; PAE; and SMEP, with which error codes tell fetches."""
CR4_TIME_ALLOWED: Final = CR4_USED & ~4
TRAP_OVERHEAD: Final = 2
"""Instructions of the stub in a trap that returns at once: the interrupt and the far return."""
RETURN_PLACE: Final = [layout.TRAP_RETURN, KERNEL_CS]
FLAGS_VM_BYTE: Final = 10
"""Where in what `iret` takes off the stack the byte with VM is."""


class Starts(Exits):
    """Of one CPU."""

    _place: Registers  # EIP and CS
    _refused_entry: tuple[int, int] | None  # vector and error code: the processor does not take the active thread's state
    _loaded: I386Pmap | None  # whose tables the state that threads are entered from has, none if others were loaded since
    _nulls: tuple[tuple[str, int], ...]  # names and values of its null selectors that the entry makes 0

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
        if self._exits is None:
            x87.forget_flags()
        error = self._start_alone(address) if self._goes_alone else engine.start(address, count)
        self.guard.put_back()
        if self._refused is not None:
            engine.counter.value = self._refused_at - 1
        elif self._spent:
            self._place.read()
            if self._place.values[:] == RETURN_PLACE:
                self._overhead -= 1
        self._settle()
        if self._refused is not None:
            refused, self._refused = self._refused, None
            self._scratch.restore()
            self._raise(*refused)
        elif error == uc.ERR_INSN_INVALID:
            self._counted -= 1
            if engine.blocks is None:
                self._scratch.save()
                self._flags_kept.value = FLAGS_AS_THEY_ARE
                self._scratch.restore()
            self._raise(*INVALID_OPCODE)
        elif error != uc.OK:
            raise InvariantError(f"unicorn stopped with error {error} at {engine.read(REGISTER['EIP']):#x}")
        elif self.debug.hits:
            self._watched()
        if self._fetched is not None:
            self._allow_fetch(self._fetched)
            self._fetched = None

    def _enter_with_nulls(self) -> bool:
        """Enters user mode and stops there; False where the processor refused. The entry makes each null selector of DS and ES 0.

        The processor does so whenever it comes back from the kernel. Here it must not show that it was there.
        """
        self._entering, self._only_enters, self._overhead = False, True, 1
        self.engine.start(layout.USER_ENTRY, 1)
        self._only_enters, self._overhead, self.engine.counter.value = False, 0, 0
        if self._entering:
            return False
        self._forget_pending()
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
        exits = self._exits
        if exits is not None:
            plain, exits.plain = exits.plain, False
        self.guard.lets = place
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
        if exits is not None:
            exits.plain = plain
        self.guard.lets = None
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
            self._loaded = None
            assert self._pmap is not None
            self._place.read()
            if self._place.values[1] != KERNEL_CS:
                self._forget_pending()
            self.engine.write(REGISTER["CR3"], self.shadow.root(self._pmap))

    def _allow_fetch(self, place: int) -> None:
        """The CPU fetches from a frame for the first time: from now on it may, and writers of the frame must tell."""
        self.engine.allow_fetch(self.memory.add_code(place >> PAGE_SHIFT))
        self._forget_pending()

    def _forget_pending(self) -> None:
        """Unicorn fetches once more before it stops for a hook. A fault of that fetch comes again, and is no second one then."""
        self._scratch.save()
        self._pending.value = -1
        self._scratch.restore()
