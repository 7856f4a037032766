"""The Berkeley packet filter as Mach has it (device/bpf.h): a filter whose first instruction carries NETF_BPF and flags.

Mach's own instruction RET|MATCH_IMM looks words of the scratch memory up among the keys of the receivers that share the filter.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from machemu.abi.device import NET_RCV_MAX
from machemu.abi.types import ByteOrder

MEMWORDS: Final = 16
KEYS_MAX: Final = 4
WORD: Final = 0xFFFFFFFF

LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
CLASS_MASK: Final = 0x07
MODE_MASK: Final = 0xE0
MODE_MEM: Final = 0x60
JA: Final = JMP
DIV_K: Final = ALU | 0x30
MATCH_IMM: Final = RET | 0x18
KEY: Final = MISC | 0x10


class Instruction(NamedTuple):
    """code, jt, jf: unsigned; k: an unsigned 32-bit word."""

    code: int
    jt: int
    jf: int
    k: int


def decode(program: Sequence[int], order: ByteOrder) -> tuple[Instruction, ...]:
    """The instructions in a filter's 16-bit words; what is left over is no instruction."""
    data = struct.pack(f"{order.prefix}{len(program)}H", *program)
    size = len(data) // 8
    return tuple(Instruction(*fields) for fields in struct.iter_unpack(order.prefix + "HBBI", data[: size * 8]))


def is_valid(program: Sequence[Instruction]) -> bool:
    """Whether the kernel accepts a filter: forward jumps and scratch memory inside, one match at most, a return at the end.

    The real kernel takes backward JA jumps, which may never end; here they are refused.
    """
    size = len(program)
    at = 1
    matched = False
    while at < size:
        step = program[at]
        following = at + 1
        if step.code & CLASS_MASK == JMP:
            if step.code & 0xF0 == 0:
                if following + step.k >= size:
                    return False
            elif following + step.jt >= size or following + step.jf >= size:
                return False
        kind = step.code & CLASS_MASK
        if (kind == ST or (kind == LD and step.code & MODE_MASK == MODE_MEM)) and step.k >= MEMWORDS:
            return False
        if step.code == DIV_K and step.k == 0:
            return False
        if step.code == MATCH_IMM:
            if matched or not 1 <= step.jt <= KEYS_MAX or at + step.jt + 1 > size:
                return False
            if any(key.code != KEY for key in program[at + 1 : at + 1 + step.jt]):
                return False
            matched = True
            at += step.jt
        at += 1
    return size > 0 and program[-1].code & CLASS_MASK == RET


def keys_of(program: Sequence[Instruction]) -> tuple[int, ...] | None:
    """The keys of a valid filter's match instruction, or None where it has none."""
    at = next((n for n, step in enumerate(program) if n and step.code == MATCH_IMM), None)
    return None if at is None else tuple(key.k for key in program[at + 1 : at + 1 + program[at].jt])


def without_keys(program: Sequence[Instruction]) -> tuple[Instruction, ...]:
    """The filter with all keys made equal: filters that share a match are equal so."""
    return tuple(Instruction(KEY, 0, 0, 0) if n and step.code == KEY else step for n, step in enumerate(program))


class Verdict(NamedTuple):
    """size: bytes of the data that are wanted, 0 for none of the packet. keys: what a match looked for, None without one."""

    size: int
    keys: tuple[int, ...] | None


NOTHING: Final = Verdict(0, None)


class _Packet:
    """A frame as a filter addresses it: the hardware header, then the data, up to NET_RCV_MAX bytes.

    A load that begins in the header and ends behind it reads the packet header before the data, as in the real kernel's message.
    What lies behind the end of the data is 0.
    """

    __slots__ = ("header", "before", "data")

    def __init__(self, header: bytes, before: bytes, data: bytes) -> None:
        self.header = header
        self.before = before
        self.data = data

    def load(self, at: int, size: int) -> int | None:
        """`size` bytes at `at`, big-endian; None outside."""
        length = len(self.header)
        if at + size <= length:
            return int.from_bytes(self.header[at : at + size], "big")
        if at + size > NET_RCV_MAX:
            return None
        start = at - length + len(self.before)
        return int.from_bytes((self.before + self.data)[start : start + size].ljust(size, b"\0"), "big")


def run(program: Sequence[Instruction], header: bytes, before: bytes, data: bytes) -> Verdict:
    """What a valid filter says about a frame: its hardware header, the 4 bytes of packet header, its data."""
    packet = _Packet(header, before, data)
    a = x = 0
    memory = [0] * MEMWORDS
    at = 1
    while at < len(program):
        code, jt, jf, k = program[at]
        at += 1
        if code > 0xFF:
            return NOTHING
        operand = x if code & 0x08 else k
        match code & CLASS_MASK:
            case 0 | 1:
                value = _load(code, k, x, packet, memory)
                if value is None:
                    return NOTHING
                if code & CLASS_MASK == LD:
                    a = value
                else:
                    x = value
            case 2 | 3:
                if code & ~CLASS_MASK or k >= MEMWORDS:
                    return NOTHING
                memory[k] = a if code == ST else x
            case 4:
                result = _calculate(code, a, operand)
                if result is None:
                    return NOTHING
                a = result
            case 5:
                taken = _jump(code, a, operand)
                if taken is None:
                    return NOTHING
                at += k if code == JA else jt if taken else jf
            case 6:
                return _return(code, jt, k, a, memory, len(data))
            case _:
                if code == MISC:
                    x = a
                elif code == MISC | 0x80:
                    a = x
                else:
                    return NOTHING
    return NOTHING


def _load(code: int, k: int, x: int, packet: _Packet, memory: list[int]) -> int | None:
    """LD and LDX; None for an unknown one or a place outside."""
    loads_a = code & CLASS_MASK == LD
    mode, size = code & MODE_MASK, code & 0x18
    if code in (LD, LDX):
        return k
    if code in (LD | MODE_MEM, LDX | MODE_MEM):
        return memory[k] if k < MEMWORDS else None
    if code in (LD | 0x80, LDX | 0x80):
        return len(packet.data)
    if code == LDX | 0xB0:
        value = packet.load(k, 1)
        return None if value is None else (value & 0xF) << 2
    if not loads_a or mode not in (0x20, 0x40) or size == 0x18:
        return None
    width = {0x00: 4, 0x08: 2, 0x10: 1}[size]
    value = packet.load(k if mode == 0x20 else k + x & WORD, width)
    if width == 1 and value is not None and value & 0x80:
        # The real kernel loads a byte as a signed char.
        return value | 0xFFFFFF00
    return value


def _calculate(code: int, a: int, operand: int) -> int | None:
    """ALU; None for an unknown one or a division by 0."""
    match code & 0xF0:
        case 0x00:
            return a + operand & WORD
        case 0x10:
            return a - operand & WORD
        case 0x20:
            return a * operand & WORD
        case 0x30:
            return a // operand if operand else None
        case 0x40:
            return a | operand
        case 0x50:
            return a & operand
        case 0x60:
            return a << (operand & 31) & WORD
        case 0x70:
            return a >> (operand & 31)
        case 0x80 if code == ALU | 0x80:
            return -a & WORD
    return None


def _jump(code: int, a: int, operand: int) -> bool | None:
    match code & 0xF0:
        case 0x00 if code == JA:
            return True
        case 0x10:
            return a == operand
        case 0x20:
            return a > operand
        case 0x30:
            return a >= operand
        case 0x40:
            return bool(a & operand)
    return None


def _return(code: int, jt: int, k: int, a: int, memory: list[int], size: int) -> Verdict:
    if code == RET:
        return Verdict(min(k, size), None)
    if code == RET | 0x10:
        return Verdict(min(a, size), None)
    if code == MATCH_IMM:
        return Verdict(min(k, size), tuple(memory[:jt]))
    return NOTHING
