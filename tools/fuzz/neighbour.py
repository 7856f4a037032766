"""The code of the guest's neighbour: counts for ever; runs into an undefined instruction where anything of its own changed."""

from __future__ import annotations

import struct
from typing import Final

import keystone

CODE, DATA = 0x10000, 0x20000
COUNT, KEPT, SPARE = DATA, DATA + 4, DATA + 8
"""Its counter, a number that it loads into the floating-point unit, and where it looks at what its registers hold."""
NUMBER: Final = 123456

_I386: Final = {"eax": 0x01020304, "ecx": 0x11121314, "edx": 0x21222324, "ebx": 0x31323334}
_I386_INDEX: Final = {"ebp": 0x41424344, "esi": 0x51525354, "edi": 0x61626364}
_CHANGED_FLAGS: Final = 0x57500
"""Trap, direction, I/O privilege, nested task, resume, alignment check."""


def i386_code() -> bytes:
    """Its registers, segments, flags and floating-point unit are looked at in each round."""
    registers = _I386 | _I386_INDEX
    load = [f"mov {name}, {value}" for name, value in registers.items()]
    compare = [line for name, value in registers.items() for line in (f"cmp {name}, {value}", "jne changed")]
    selectors = [
        line
        for name in ("ds", "es", "fs", "gs", "ss")
        for line in (f"mov word ptr [{SPARE}], {name}", f"cmp word ptr [{SPARE}], 0x1f", "jne changed")
    ]
    text = [
        *load,
        f"mov dword ptr [{KEPT}], {NUMBER}",
        f"fild dword ptr [{KEPT}]",
        "again:",
        f"inc dword ptr [{COUNT}]",
        *compare,
        *selectors,
        *(f"fist dword ptr [{SPARE}]", f"cmp dword ptr [{SPARE}], {NUMBER}", "jne changed"),
        *(f"fnstcw word ptr [{SPARE}]", f"cmp word ptr [{SPARE}], 0x37f", "jne changed"),
        *("pushfd", f"test dword ptr [esp], {_CHANGED_FLAGS}", "lea esp, [esp + 4]", "jne changed"),
        *("jmp again", "changed:", "ud2"),
    ]
    code, _ = keystone.Ks(keystone.KS_ARCH_X86, keystone.KS_MODE_32).asm("; ".join(text), CODE)
    return bytes(code)


def m68k_code() -> bytes:
    """As i386_code; by hand, since keystone knows no m68k."""
    data = [0x01020304 * (n + 1) & 0xFFFFFFFF for n in range(8)]
    address = [0x11213141 * (n + 1) & 0xFFFFFFFF for n in range(7)]
    begin = b"".join(struct.pack(">HI", 0x203C | n << 9, value) for n, value in enumerate(data))  # move.l #value,dn
    begin += b"".join(struct.pack(">HI", 0x207C | n << 9, value) for n, value in enumerate(address))  # movea.l #value,an
    begin += struct.pack(">HHI", 0xF23C, 0x4100, NUMBER)  # fmove.l #NUMBER,fp2
    body = struct.pack(">HI", 0x52B9, COUNT)  # addq.l #1,COUNT
    checks = [struct.pack(">HI", 0x0C80 | n, value) for n, value in enumerate(data)]  # cmpi.l #value,dn
    checks += [struct.pack(">HI", 0xB1FC | n << 9, value) for n, value in enumerate(address)]  # cmpa.l #value,an
    # fmove.l fp2,SPARE; cmpi.l #NUMBER,SPARE
    checks.append(struct.pack(">HHI", 0xF239, 0x6100, SPARE) + struct.pack(">HII", 0x0CB9, NUMBER, SPARE))
    # fmove.l fpcr,SPARE; cmpi.l #0,SPARE
    checks.append(struct.pack(">HHI", 0xF239, 0xB000, SPARE) + struct.pack(">HII", 0x0CB9, 0, SPARE))
    size = len(body) + sum(len(check) + 4 for check in checks)
    for check in checks:
        body += check
        body += struct.pack(">Hh", 0x6600, size + 4 - len(body) - 2)  # bne.w to the illegal instruction
    body += struct.pack(">Hh", 0x6000, -len(body) - 2)  # bra.w
    return begin + body + b"\x4a\xfc"


CODES: Final = {"i386": i386_code, "m68k": m68k_code}


def _i386_jump(place: int, target: int) -> bytes:
    return struct.pack("<Bi", 0xE9, target - place - 5)


def _m68k_jump(_place: int, target: int) -> bytes:
    return struct.pack(">HI", 0x4EF9, target)


JUMPS: Final = {"i386": _i386_jump, "m68k": _m68k_jump}
"""An instruction at one address that jumps to another."""
