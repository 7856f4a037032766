"""A CPU's numbers of instructions: which of those that Unicorn began were the user's, and how many more may begin.

`Tally` is the base of both CPUs: the class here, or the same in C where the extension is there (accel/tally.c).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from machemu.abi.types import Instructions
from machemu.machine.accel import native

_U64 = ctypes.c_uint64


class PythonTally:
    """Of one CPU."""

    target: int  # how many instructions the active thread may have done in all
    _counted: int  # done before the last start
    _overhead: int  # begun since then, but not the user's: a stub's, and attempts that faulted
    _stopped: bool  # the kernel has asked for the end of the run
    far: bool  # the run may pass clock ticks, and has not caught up with them
    _frame: int  # the m68k's: format and vector of the last exception or trap

    def __init__(self) -> None:
        self.target = self._counted = self._overhead = self._frame = 0
        self._stopped = self.far = False

    def _count_in(self, earlier: int, begun: int, limit: int) -> None:
        """The addresses of 64-bit words: two whose sum is how many instructions have begun since the last start, of which the
        first may be 0 for none; and how many may begin."""
        self._earlier = _U64.from_address(earlier) if earlier else _U64(0)
        self._begun = _U64.from_address(begun)
        self._limit = _U64.from_address(limit)

    @property
    def executed(self) -> Instructions:
        return Instructions(self._counted + self._earlier.value + self._begun.value - self._overhead)

    @property
    def _spent(self) -> bool:
        """Whether the limit has ended the run: then one more is counted than may begin."""
        return self._earlier.value + self._begun.value > self._limit.value

    def _settle(self) -> int:
        """Moves what has begun since the last start into `_counted`, but for the one more that the limit lets begin and what is
        not the user's; how many instructions those are."""
        done = min(self._earlier.value + self._begun.value, self._limit.value) - self._overhead
        self._counted += done
        self._earlier.value = self._begun.value = self._overhead = 0
        return done

    def _keep_to_target(self) -> None:
        self._limit.value = self.target - self._counted + self._overhead


if TYPE_CHECKING:
    Tally = PythonTally
else:
    Tally = PythonTally if native is None else native.Tally
