"""The FPU's registers, loaded when a thread first uses them after it got the CPU, as the real kernel does."""

from __future__ import annotations

from typing import Final

from machemu.machine.i386.engine import REGISTER, Engine
from machemu.machine.i386.pcb import I386Pcb

REGISTER_SIZE: Final = 10
REGISTERS: Final = tuple(REGISTER[f"FP{n}"] for n in range(8))
INITIAL: Final = (0x037F, 0, 0xFFFF, bytes(8 * REGISTER_SIZE))
"""fninit's control, status and tag words, and empty registers."""


class Fpu:
    """`owned`: the active thread has used the FPU since it was activated, so its registers are in the CPU."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.owned = False

    def load(self, pcb: I386Pcb) -> None:
        """The active thread touches the FPU: its registers are put into it."""
        control, status, tags, data = pcb.fpu or INITIAL
        engine = self.engine
        engine.write(REGISTER["FPCW"], control)
        engine.write(REGISTER["FPSW"], status)
        engine.write(REGISTER["FPTAG"], tags)
        for index, register in enumerate(REGISTERS):
            engine.write_bytes(register, data[index * REGISTER_SIZE : (index + 1) * REGISTER_SIZE])
        self.owned = True

    def save(self, pcb: I386Pcb) -> None:
        """The active thread loses the CPU."""
        if not self.owned:
            return
        self.owned = False
        engine = self.engine
        data = b"".join(engine.read_bytes(register, REGISTER_SIZE) for register in REGISTERS)
        words = (engine.read(REGISTER[name]) & 0xFFFF for name in ("FPCW", "FPSW", "FPTAG"))
        control, status, tags = words
        pcb.fpu = (control, status, tags, data)
