"""Exceptions and their machine-independent codes (<mach/exception.h>)."""

from enum import IntEnum


class Exc(IntEnum):
    """exception_raise's exception number."""

    EXC_BAD_ACCESS = 1
    EXC_BAD_INSTRUCTION = 2
    EXC_ARITHMETIC = 3
    EXC_EMULATION = 4
    EXC_SOFTWARE = 5
    EXC_BREAKPOINT = 6
