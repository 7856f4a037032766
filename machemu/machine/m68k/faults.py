"""What the processor's exceptions are in Mach's terms (MK64's mach/mac2/exception.h: codes are vector offsets)."""

from __future__ import annotations

from typing import Final

from machemu.abi.exception import Exc

ARITHMETIC: Final = int(Exc.EXC_ARITHMETIC)
BAD_INSTRUCTION: Final = int(Exc.EXC_BAD_INSTRUCTION)
BREAKPOINT: Final = int(Exc.EXC_BREAKPOINT)
EMULATION: Final = int(Exc.EXC_EMULATION)
SOFTWARE: Final = int(Exc.EXC_SOFTWARE)

DONE: Final = 0
"""No exception: the instruction is done."""
ACCESS_FAULT, ADDRESS_ERROR, ILLEGAL, ZERO_DIVIDE, CHK, TRAPCC, PRIVILEGE, TRACE, LINE_A, LINE_F = range(2, 12)
TRAP: Final = 32
TRAP_15: Final = 47
UNIMPLEMENTED_DATA: Final = 55
"""The processor's vectors (MC68040 User's Manual, table 8-1). Unicorn's are the same, but for ADDRESS_ERROR, which is an
addressing mode that the instruction has not."""

EXCEPTIONS: Final = {
    ADDRESS_ERROR: BAD_INSTRUCTION,
    ILLEGAL: BAD_INSTRUCTION,
    ZERO_DIVIDE: ARITHMETIC,
    CHK: SOFTWARE,
    TRAPCC: SOFTWARE,
    PRIVILEGE: BAD_INSTRUCTION,
    TRACE: BREAKPOINT,
    LINE_A: EMULATION,
    LINE_F: EMULATION,
    **dict.fromkeys(range(TRAP, TRAP_15), BAD_INSTRUCTION),
    TRAP_15: BREAKPOINT,
    UNIMPLEMENTED_DATA: ARITHMETIC,
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
