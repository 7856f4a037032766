"""The FPU's registers, loaded when a thread first uses them after it got the CPU, as the real kernel does."""

from __future__ import annotations

from typing import Final

from machemu.machine.engine import Engine
from machemu.machine.i386.engine import REGISTER
from machemu.machine.i386.pcb import FPU_REGISTER_SIZE, FpuState, I386Pcb

REGISTERS: Final = tuple(REGISTER[f"FP{n}"] for n in range(8))
WORDS: Final = tuple(REGISTER[name] for name in ("FPCW", "FPSW", "FPTAG", "FIP", "FCS", "FOP", "FDP", "FDS"))
"""In the order of FpuState's fields."""
SUMMARY, BUSY, EXCEPTIONS = 0x80, 0x8000, 0x3F
"""Of the status word; the control word masks exceptions by the same bits."""
INITIAL: Final = FpuState(0x037F, 0, 0xFFFF, 0, 0, 0, 0, 0, bytes(8 * FPU_REGISTER_SIZE))
"""As after fninit."""


class Fpu:
    """`owned`: the active thread has used the FPU since it was activated, so its registers are in the CPU."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.owned = False

    def load(self, pcb: I386Pcb) -> bool:
        """The active thread touches the FPU: its registers are put into it; False where those that it has are not valid, and it
        gets fresh ones."""
        if pcb.fpu_set:
            *words, data = INITIAL
        else:
            *words, data = pcb.fpu or INITIAL._replace(control=pcb.init_control or INITIAL.control)
        engine = self.engine
        for number, word in zip(WORDS, words, strict=True):
            engine.write(number, word)
        for index, register in enumerate(REGISTERS):
            engine.write_bytes(register, data[index * FPU_REGISTER_SIZE : (index + 1) * FPU_REGISTER_SIZE])
        self.owned = True
        return not pcb.fpu_set

    def control(self, pcb: I386Pcb, is_active: bool) -> int:
        """The control word of a thread that has used the FPU, otherwise 0."""
        if is_active and self.owned:
            return self.engine.read(REGISTER["FPCW"])
        return pcb.fpu.control if pcb.fpu is not None else 0

    def begin_store_anew(self) -> None:
        """An instruction that stores has noted what is unmasked of its exceptions, and could not store. None of those was there
        before: it would have come first."""
        engine = self.engine
        found = engine.read(REGISTER["FPSW"]) & ~engine.read(REGISTER["FPCW"]) & EXCEPTIONS
        engine.write(REGISTER["FPSW"], engine.read(REGISTER["FPSW"]) & ~(found | SUMMARY | BUSY))

    def save(self, pcb: I386Pcb) -> None:
        """The active thread loses the CPU."""
        if not self.owned:
            return
        self.owned = False
        engine = self.engine
        data = b"".join(engine.read_bytes(register, FPU_REGISTER_SIZE) for register in REGISTERS)
        pcb.fpu = FpuState._make([*(engine.read(number) for number in WORDS), data])
        pcb.fpu_set = False
