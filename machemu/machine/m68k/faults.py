"""What the processor's exceptions are in Mach's terms (MK64's mach/mac2/exception.h: codes are vector offsets)."""

from __future__ import annotations

from typing import Final

from machemu.abi.exception import EXC_ARITHMETIC, EXC_BAD_INSTRUCTION, EXC_BREAKPOINT, EXC_EMULATION, EXC_SOFTWARE

DONE: Final = 0
"""No exception: the instruction is done."""
ACCESS_FAULT, ADDRESS_ERROR, ILLEGAL, ZERO_DIVIDE, CHK, TRAPCC, PRIVILEGE, TRACE, LINE_A, LINE_F = range(2, 12)
TRAP: Final = 32
TRAP_15: Final = 47
FLOAT_EXCEPTIONS: Final = range(48, 55)
UNIMPLEMENTED_DATA: Final = 55
"""The processor's vectors (MC68040 User's Manual, table 8-1). Unicorn's are the same, but for ADDRESS_ERROR, which is an
addressing mode that the instruction has not."""

EXCEPTIONS: Final = {
    ADDRESS_ERROR: EXC_BAD_INSTRUCTION,
    ILLEGAL: EXC_BAD_INSTRUCTION,
    ZERO_DIVIDE: EXC_ARITHMETIC,
    CHK: EXC_SOFTWARE,
    TRAPCC: EXC_SOFTWARE,
    PRIVILEGE: EXC_BAD_INSTRUCTION,
    TRACE: EXC_BREAKPOINT,
    LINE_A: EXC_EMULATION,
    LINE_F: EXC_EMULATION,
    **dict.fromkeys(range(TRAP, TRAP_15), EXC_BAD_INSTRUCTION),
    TRAP_15: EXC_BREAKPOINT,
    **dict.fromkeys((*FLOAT_EXCEPTIONS, UNIMPLEMENTED_DATA), EXC_ARITHMETIC),
}
"""Mach's exception by vector."""

AFTER: Final = frozenset((ZERO_DIVIDE, CHK, TRAPCC, TRACE))
"""The exceptions whose frame is of format 2: the program counter is past the instruction, which is done."""
FORMAT_2: Final = 0x2000
FORMAT_7: Final = 0x7000


def frame_word(vector: int) -> int:
    """Format and vector offset in the frame that the processor pushes (MC68040 User's Manual, 8.4)."""
    if vector == ACCESS_FAULT:
        return FORMAT_7 | 4 * vector
    return (FORMAT_2 if vector in AFTER or vector == ADDRESS_ERROR else 0) | 4 * vector
