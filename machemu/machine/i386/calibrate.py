"""Where Unicorn keeps what its interface does not tell: found once for each engine by faults with known traces."""

from __future__ import annotations

import ctypes
from typing import Final, NamedTuple

from machemu.abi.errors import InvariantError
from machemu.machine import engine as uc
from machemu.machine.engine import Context, Engine
from machemu.machine.i386 import layout
from machemu.machine.i386.engine import REGISTER

BAD_SELECTOR: Final = 0xABC4
PROTECTION, FAULT = 13, 14
NONE: Final = -1
FLAGS_OF_SUBTRACTION, FLAGS_OF_ADDITION = 16, 8
INTERRUPT_SHADOW: Final = 8
"""Among the processor's hidden flags (QEMU's HF_INHIBIT_IRQ): the stack segment was loaded by the last instruction."""
FLAGS_AS_THEY_ARE: Final = 1
"""How the processor's flags are kept (QEMU's CCOp): as operands of 32 bits, or worked out."""


class Places(NamedTuple):
    """Offsets in a saved context.

    They are those of the error code; of whether an instruction raised the interrupt; of the exception not yet delivered; of how
    the flags are kept; of the hidden flags.
    """

    error_code: int
    is_software: int
    pending: int
    flags_kept: int
    hidden_flags: int


class Calibration:
    """Runs in ring 0 at power-on, with an interrupt hook that only keeps the context."""

    def __init__(self, engine: Engine, scratch: Context) -> None:
        self.engine = engine
        self.scratch = scratch

    def find(self) -> Places:
        """The places; also sets the engine's counter. InvariantError where this Unicorn does not behave as expected."""
        engine = self.engine
        engine.find_counter(lambda count: uc.check(engine.start(layout.SPIN, count), "calibration"))
        fresh = self._fault(None)
        engine.write(REGISTER["EAX"], BAD_SELECTOR)
        protection = self._fault(layout.BAD_LOAD)
        written = self._fault(layout.BAD_STORE)
        software = self._fault(layout.SOFTWARE)
        compared = self._step(layout.COMPARE)
        added = self._step(layout.ADD)
        engine.write(REGISTER["EAX"], layout.KERNEL_SS)
        shadowed = self._step(layout.LOAD_STACK_SEGMENT)
        places = range(len(fresh))
        bad = [n for n in places if (protection[n], written[n]) == (BAD_SELECTOR, layout.WRITE_ERROR)]
        pending = [n for n in places if (fresh[n], protection[n], written[n]) == (NONE, PROTECTION, FAULT)]
        kept = [n for n in places if (compared[n], added[n]) == (FLAGS_OF_SUBTRACTION, FLAGS_OF_ADDITION)]
        hidden = [n for n in places if compared[n] == added[n] == shadowed[n] ^ INTERRUPT_SHADOW]
        if len(bad) != 1 or len(pending) != 1 or len(kept) != 1 or len(hidden) != 1:
            raise InvariantError("this build of Unicorn keeps its exception state elsewhere: install unicorn 2.1.4")
        flag = bad[0] + 1
        if (protection[flag], written[flag], software[flag]) != (0, 0, 1):
            raise InvariantError("this build of Unicorn does not tell interrupt instructions: install unicorn 2.1.4")
        return Places(4 * bad[0], 4 * flag, 4 * pending[0], 4 * kept[0], 4 * hidden[0])

    def _step(self, address: int) -> list[int]:
        """The context after the one instruction at `address`, in signed words of 32 bits."""
        self.engine.start(address, 1)
        self.scratch.save()
        return self._words()

    def _words(self) -> list[int]:
        return memoryview(ctypes.string_at(self.scratch.address, self.scratch.size & -4)).cast("i").tolist()

    def _fault(self, address: int | None) -> list[int]:
        """The context that the hook kept when the instruction at `address` faulted; without one, as it is now."""
        if address is None:
            self.scratch.save()
            self.fresh = ctypes.string_at(self.scratch.address, self.scratch.size)
            return self._words()
        self.engine.start(address, 2)
        found = self._words()
        ctypes.memmove(self.scratch.address, self.fresh, self.scratch.size)
        eax = self.engine.read(REGISTER["EAX"])
        self.scratch.restore()
        self.engine.write(REGISTER["EAX"], eax)
        return found
