"""Operands whose first digit is 0, which the 68040 takes as they are, and Unicorn for no numbers.

An infinity's first digit means nothing: the processor makes it 0, and so does Unicorn, whose own functions then expect a one.
Other numbers with a first digit of 0 and an exponent (unnormalized ones) the processor's package normalizes (M68000 Family
Programmer's Reference Manual, 1.6.2; MC68040 User's Manual, 9.5.1). So before each function of extended numbers come a few
machine instructions that put the digit there, and behind it some that take it off an infinity. Infinities and NaNs that are
rounded stay what they are; Unicorn would make them the largest number. A signaling NaN that is stored becomes a quiet one.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import Final

from machemu.machine import interpose

FUNCTION: Final = "floatx80_{}_m68k"
OF_TWO: Final = ("add", "sub", "mul", "div", "mod", "rem", "scale")
OF_ONE: Final = (
    *("acos", "asin", "atan", "atanh", "cos", "cosh", "etox", "getexp", "getman", "log10", "log2", "logn", "lognp1", "move"),
    *("round_to_int", "sin", "sinh", "sqrt", "tan", "tanh", "tentox", "twotox"),
)
COMPARISON: Final = ("compare",)
CONVERSIONS: Final = ("to_float32", "to_float64")
"""The functions of one and two numbers that give a number, and those that do not."""

FIRST: Final = bytes.fromhex(
    "48 85 ff 78 42 89 f0 25 ff 7f 00 00 74 39"  # test rdi, rdi; js done; mov eax, esi; and eax, 0x7fff; je done
    "3d ff 7f 00 00 75 07 48 0f ba ef 3f eb 2b"  # cmp eax, 0x7fff; jne other; bts rdi, 63; jmp done
    "48 85 ff 75 08 81 e6 00 80 00 00 eb 1e"  # other: test rdi, rdi; jne shift; and esi, 0x8000; jmp done
    "4c 0f bd cf 41 83 f1 3f"  # shift: bsr r9, rdi; xor r9d, 63
    "41 39 c1 44 0f 47 c8 44 29 ce"  # cmp r9d, eax; cmova r9d, eax; sub esi, r9d
    "49 89 ca 44 89 c9 48 d3 e7 4c 89 d1"  # mov r10, rcx; mov ecx, r9d; shl rdi, cl; mov rcx, r10; done:
)
SECOND: Final = bytes.fromhex(
    "48 85 d2 78 42 89 c8 25 ff 7f 00 00 74 39 3d ff 7f 00 00 75 07 48 0f ba ea 3f eb 2b"
    "48 85 d2 75 08 81 e1 00 80 00 00 eb 1e 4c 0f bd ca 41 83 f1 3f"
    "41 39 c1 44 0f 47 c8 44 29 c9 49 89 ca 44 89 c9 48 d3 e2 4c 89 d1"
)
"""The same of rdx and ecx."""
RETURN_SPECIAL: Final = bytes.fromhex(
    "89 f0 66 0d 00 80 66 ff c0 75 1a"  # mov eax, esi; or ax, 0x8000; inc ax; jne number
    "48 8d 04 3f 48 85 c0 74 0e"  # lea rax, [rdi + rdi]; test rax, rax; je infinite
    "48 0f ba ef 3e 72 04 80 4a 02 01"  # bts rdi, 62; jc quiet; or byte [rdx + 2], 1
    "48 89 f8 89 f2 c3"  # quiet: mov rax, rdi; infinite: mov edx, esi; ret; number:
)
"""What is rounded is given back where it is no number, and is invalid where it is a signaling NaN."""
QUIET: Final = bytes.fromhex("89 f0 66 0d 00 80 66 ff c0 75 14 48 8d 04 3f 48 85 c0 74 0b 48 0f ba ef 3e 72 04 80 4a 02 01")
"""A signaling NaN becomes a quiet one that is invalid; the rest goes on."""
JUMP: Final = (bytes.fromhex("48 b8"), bytes.fromhex("ff e0"))  # mov rax, the original; jmp rax
CALL: Final = (
    bytes.fromhex("48 83 ec 08 48 b8"),  # sub rsp, 8; mov rax, the original
    bytes.fromhex(
        "ff d0 48 83 c4 08"  # call rax; add rsp, 8
        "89 d1 66 81 c9 00 80 66 ff c1 75 0a"  # mov ecx, edx; or cx, 0x8000; inc cx; jne done
        "48 89 c1 48 01 c9 75 02 31 c0 c3"  # mov rcx, rax; add rcx, rcx; jne done; xor eax, eax; done: ret
    ),
)
CALL_AND_QUIET: Final = (
    CALL[0],
    bytes.fromhex(
        "ff d0 48 83 c4 08 89 d1 66 81 c9 00 80 66 ff c1 75 0e"  # call rax; add rsp, 8; ...; jne done
        "48 8d 0c 00 48 85 c9 74 05 48 0f ba e8 3e c3"  # lea rcx, [rax + rax]; test rcx, rcx; je done; bts rax, 62; done: ret
    ),
)
"""What single and double precision give: Unicorn finds a signaling NaN invalid, and leaves it signaling."""

_kept: list[mmap.mmap] = []
"""The machine instructions; empty until they are in the library, or where this host or build cannot have them."""


def mend() -> None:
    """Puts them into the library, once a process."""
    if _kept:
        return
    try:
        memory = mmap.mmap(-1, 4 * mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    kinds = [(name, FIRST + SECOND, CALL) for name in OF_TWO] + [(name, FIRST, CALL) for name in OF_ONE]
    kinds.append(("round", RETURN_SPECIAL + FIRST, JUMP))
    kinds += [(name, FIRST + SECOND, JUMP) for name in COMPARISON] + [(name, FIRST + QUIET, JUMP) for name in CONVERSIONS]
    kinds.append(("to_int32", FIRST, JUMP))
    symbols = [(FUNCTION.format(name), before, behind) for name, before, behind in kinds]
    symbols += [(f"float{bits}_to_floatx80_m68k", b"", CALL_AND_QUIET) for bits in (32, 64)]
    for symbol, before, (load, behind) in symbols:
        place = begin + memory.tell()
        original = interpose.replace(symbol, place)
        if original is None:
            continue
        memory.write(before + load + struct.pack("<Q", original) + behind)
    _kept.append(memory)
