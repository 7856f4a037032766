"""Exceptions and their machine-independent codes (<mach/exception.h>)."""

from typing import Final

# exception_raise's exception number.

EXC_BAD_ACCESS: Final = 1
EXC_BAD_INSTRUCTION: Final = 2
EXC_ARITHMETIC: Final = 3
EXC_EMULATION: Final = 4
EXC_SOFTWARE: Final = 5
EXC_BREAKPOINT: Final = 6
