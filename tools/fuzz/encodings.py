"""Lists of instruction encodings: every opcode of the i386 with each prefix, every first word of the m68k.

The lists name what there is to try, also what is no instruction. They have a fixed order and length. Immediate operands and, on
the m68k, extension words are not part of an encoding: whoever runs one puts them behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

PREFIXES: Final = tuple(bytes((byte,)) for byte in (0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67))
"""Each prefix: lock, repne, rep, six segments, operand size, address size."""
LOCK, REPNE, REP, _, _, _, _, FS, _, OPERAND, ADDRESS = PREFIXES
PAIRS: Final = (
    *(OPERAND + ADDRESS, LOCK + OPERAND, LOCK + ADDRESS, REPNE + OPERAND, REP + OPERAND),
    *(LOCK + REPNE, LOCK + REP, REP + ADDRESS, FS + LOCK),
)
PREFIX_SETS: Final = (b"", *PREFIXES, *PAIRS)

ESCAPE: Final = 0x0F
PREFIX_BYTES: Final = frozenset(byte for prefix in PREFIXES for byte in prefix)
WITH_MODRM: Final = frozenset(
    (
        *(row | column for row in range(0, 0x40, 8) for column in range(4)),
        *(0x62, 0x63, 0x69, 0x6B, *range(0x80, 0x90), 0xC0, 0xC1, *range(0xC4, 0xC8)),
        *(*range(0xD0, 0xD4), *range(0xD8, 0xE0), 0xF6, 0xF7, 0xFE, 0xFF),
    )
)
"""One-byte opcodes that a modrm byte follows (Intel's manual, volume 2, table A-2)."""
WITHOUT_MODRM_0F: Final = frozenset(
    (
        *(0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0E, *range(0x30, 0x38), 0x77),
        *(*range(0x80, 0x90), 0xA0, 0xA1, 0xA2, 0xA8, 0xA9, 0xAA, *range(0xC8, 0xD0)),
    )
)
"""Second bytes behind 0F that no modrm byte follows (table A-3)."""
THREE_BYTE: Final = (0x38, 0x3A)
"""Second bytes behind 0F that a third opcode byte follows."""
X87: Final = tuple(bytes((byte,)) for byte in range(0xD8, 0xE0))
BY_REGISTER: Final = frozenset((*X87, b"\x0f\x00", b"\x0f\x01", b"\x0f\xae", b"\x0f\xc7"))
"""Opcodes for which the register operand's number, too, chooses the instruction."""
VEX_HEADS: Final = (b"\xc5\xf8", b"\xc5\xfd", b"\xc5\xfb", b"\xc4\xe1\x79", b"\xc4\xe2\x79", b"\xc4\xe3\x79")

MEMORY_RM: Final = 3
"""The operand at the address in EBX; with 16-bit addresses, at BP+DI."""
SCALED: Final = b"\x44\x73\x08"
"""The operand at EBX + 2 * ESI + 8, with a reg field of 0."""
SCALED_REGS: Final = range(8)


class Encoding(NamedTuple):
    """An i386 instruction but for immediate operands: prefixes, opcode bytes, modrm byte with what belongs to it."""

    prefixes: bytes
    opcode: bytes
    modrm: bytes

    @property
    def code(self) -> bytes:
        return self.prefixes + self.opcode + self.modrm

    @property
    def is_memory(self) -> bool:
        """Whether the modrm byte names a place in memory."""
        return bool(self.modrm) and self.modrm[0] < 0xC0


@cache
def i386() -> tuple[Encoding, ...]:
    """Every one- and two-byte opcode with each of PREFIX_SETS, each reg field, and a register and a memory operand.

    Behind them, with fewer prefixes: scaled addresses, the three-byte opcodes, and VEX.
    """
    return (*_with_prefixes(), *_scaled(), *_three_byte(), *_vex())


def _opcodes() -> Iterator[tuple[bytes, bool]]:
    """Each opcode and whether a modrm byte follows it."""
    for byte in range(0x100):
        if byte != ESCAPE and byte not in PREFIX_BYTES:
            yield bytes((byte,)), byte in WITH_MODRM
    for byte in range(0x100):
        yield bytes((ESCAPE, byte)), byte not in WITHOUT_MODRM_0F


def _modrms(opcode: bytes) -> Iterator[bytes]:
    """A register and a memory operand for each reg field; every register where that chooses the instruction."""
    for reg in range(8):
        yield bytes((reg << 3 | MEMORY_RM,))
        registers = range(8) if opcode in BY_REGISTER else ((3 * reg + opcode[-1] + 1) & 7,)
        yield from (bytes((0xC0 | reg << 3 | register,)) for register in registers)


def _with_prefixes() -> Iterator[Encoding]:
    for prefixes in PREFIX_SETS:
        for opcode, with_modrm in _opcodes():
            if with_modrm:
                yield from (Encoding(prefixes, opcode, modrm) for modrm in _modrms(opcode))
            else:
                yield Encoding(prefixes, opcode, b"")


def _scaled() -> Iterator[Encoding]:
    for opcode, with_modrm in _opcodes():
        if with_modrm:
            yield from (Encoding(b"", opcode, bytes((SCALED[0] | reg << 3,)) + SCALED[1:]) for reg in SCALED_REGS)


def _three_byte() -> Iterator[Encoding]:
    for second in THREE_BYTE:
        for third in range(0x100):
            for prefixes in (b"", OPERAND, REPNE, REP, LOCK, REPNE + OPERAND):
                yield from (Encoding(prefixes, bytes((ESCAPE, second, third)), modrm) for modrm in (b"\xca", b"\x0b"))


def _vex() -> Iterator[Encoding]:
    for head in VEX_HEADS:
        for opcode in range(0x100):
            yield from (Encoding(b"", head + bytes((opcode,)), modrm) for modrm in (b"\xca", b"\x0b", b"\xe4"))


M68K: Final = range(0x10000)
"""Every first word."""
EXTENSIONS: Final = ("zeros", "ones", "random")
"""What may stand behind a first word."""
EXTENSION_WORDS: Final = 5
"""How many extension words an instruction has at most, but for addresses of full format."""
