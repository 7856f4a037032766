"""What the processor's exceptions are in Mach's terms (Mach's i386/trap.c, <mach/i386/exception.h>)."""

from __future__ import annotations

from typing import Final

from machemu.abi.exception import EXC_ARITHMETIC, EXC_BAD_ACCESS, EXC_BAD_INSTRUCTION, EXC_BREAKPOINT, EXC_SOFTWARE

DEBUG, NO_FPU, PROTECTION_FAULT, PAGE_FAULT, FPU_ERROR = 1, 7, 13, 14, 16
"""The processor's vectors that need more than a line of FAULTS."""
SINGLE_STEP: Final = (EXC_BREAKPOINT, 1)
FPU_FAULT: Final = (EXC_ARITHMETIC, 5)
"""An unmasked exception of the FPU; the subcode is its status word."""
INVALID_FPU: Final = b"fp_load: invalid FPU state!\n"
"""What the kernel says where a thread uses the FPU with registers that were set."""
GENERAL_PROTECTION: Final = (EXC_BAD_INSTRUCTION, 13)
INVALID_OPCODE: Final = (EXC_BAD_INSTRUCTION, 1)
KERNEL_ADDRESS: Final = (EXC_BAD_ACCESS, 14)
"""A user access at or above the kernel's addresses; the subcode is the address."""

BREAKPOINTS: Final = (3, 4, 5)
"""The interrupts that user mode may raise by an instruction: int3, into, bound."""

FAULTS: Final = {
    0: (EXC_ARITHMETIC, 1, False),
    3: (EXC_BREAKPOINT, 2, False),
    4: (EXC_ARITHMETIC, 2, False),
    5: (EXC_SOFTWARE, 7, False),
    6: (*INVALID_OPCODE, False),
    9: (EXC_ARITHMETIC, 4, False),
    10: (EXC_BAD_INSTRUCTION, 10, True),
    11: (EXC_BAD_INSTRUCTION, 11, True),
    12: (EXC_BAD_INSTRUCTION, 12, True),
    13: (*GENERAL_PROTECTION, True),
    17: (*GENERAL_PROTECTION, False),
}
"""By the processor's vector: exception, code, and whether the subcode is the processor's error code."""

LOCK: Final = 0xF0
WIDTH_PREFIX: Final = 0x66
CS_PREFIX: Final = 0x2E
SEGMENT_PREFIXES: Final = frozenset((0x26, CS_PREFIX, 0x36, 0x3E, 0x64, 0x65))
ADDRESS_PREFIX: Final = 0x67
PREFIXES: Final = frozenset((LOCK, 0xF2, 0xF3, *SEGMENT_PREFIXES, WIDTH_PREFIX, ADDRESS_PREFIX))


def is_string_port(opcode: int) -> bool:
    """Whether an opcode byte is that of ins or outs."""
    return opcode & 0xFC == 0x6C


def is_port(opcode: int) -> bool:
    """Whether an opcode byte is that of in or out: with the port in the next byte, or with 8 in DX."""
    return opcode & 0xF4 == 0xE4


def unprefixed(code: bytes) -> int:
    """How many prefixes `code` begins with."""
    return len(code) - len(code.lstrip(bytes(PREFIXES)))
