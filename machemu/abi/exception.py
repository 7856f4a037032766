"""Exceptions and their machine-independent codes (<mach/exception.h>)."""

from __future__ import annotations

from typing import Final, NamedTuple

# exception_raise's exception number.

EXC_BAD_ACCESS: Final = 1
EXC_BAD_INSTRUCTION: Final = 2
EXC_ARITHMETIC: Final = 3
EXC_EMULATION: Final = 4
EXC_SOFTWARE: Final = 5
EXC_BREAKPOINT: Final = 6


class Raised(NamedTuple):
    """An exception as a handler is told of it; each a signed word. What code and subcode mean is the machine's."""

    exception: int
    code: int
    subcode: int
