"""Infinities whose mantissa is 0, as the 68040 makes them: Unicorn makes them, too, and then takes them for no numbers.

Its floating-point functions expect an infinity's first digit to be a one, which the processor does not care about (M68000 Family
Programmer's Reference Manual, 1.6.2). So before each function of extended numbers come a few machine instructions that put it
there, and behind it some that take it off the result. An infinity that is rounded stays one, and is no overflow.
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
CONVERSIONS: Final = ("to_int32", "to_float32", "to_float64")
"""The functions of one and two numbers that give a number, and those that do not."""

FIRST: Final = bytes.fromhex(
    "89 f0 66 0d 00 80 66 ff c0 75 0a"  # mov eax, esi; or ax, 0x8000; inc ax; jne: the exponent is another
    "48 85 ff 75 05 48 0f ba ef 3f"  # test rdi, rdi; jne: there is a mantissa; bts rdi, 63
)
SECOND: Final = bytes.fromhex("89 c8 66 0d 00 80 66 ff c0 75 0a 48 85 d2 75 05 48 0f ba ea 3f")  # the same of cx and rdx
RETURN_INFINITE: Final = bytes.fromhex(
    "89 f0 66 0d 00 80 66 ff c0 75 0e"  # mov eax, esi; or ax, 0x8000; inc ax; jne go
    "48 8d 04 3f 48 85 c0 75 05 31 c0 89 f2 c3"  # lea rax, [rdi + rdi]; test rax, rax; jne go; xor eax, eax; mov edx, esi; ret
)
JUMP: Final = (bytes.fromhex("48 b8"), bytes.fromhex("ff e0"))  # mov rax, the original; jmp rax
CALL: Final = (
    bytes.fromhex("48 83 ec 08 48 b8"),  # sub rsp, 8; mov rax, the original
    bytes.fromhex(
        "ff d0 48 83 c4 08"  # call rax; add rsp, 8
        "89 d1 66 81 c9 00 80 66 ff c1 75 0a"  # mov ecx, edx; or cx, 0x8000; inc cx; jne done
        "48 89 c1 48 01 c9 75 02 31 c0 c3"  # mov rcx, rax; add rcx, rcx; jne done; xor eax, eax; done: ret
    ),
)

_kept: list[mmap.mmap] = []
"""The machine instructions; empty until they are in the library, or where this host or build cannot have them."""


def mend() -> None:
    """Puts them into the library, once a process."""
    if _kept:
        return
    try:
        memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    kinds = [(name, FIRST + SECOND, CALL) for name in OF_TWO] + [(name, FIRST, CALL) for name in OF_ONE]
    kinds.append(("round", RETURN_INFINITE, JUMP))
    kinds += [(name, FIRST + SECOND, JUMP) for name in COMPARISON] + [(name, FIRST, JUMP) for name in CONVERSIONS]
    for name, before, (load, behind) in kinds:
        symbol = FUNCTION.format(name)
        place = begin + memory.tell()
        original = interpose.replace(symbol, place)
        if original is None:
            continue
        memory.write(before + load + struct.pack("<Q", original) + behind)
    _kept.append(memory)
