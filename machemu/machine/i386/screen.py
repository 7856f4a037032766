"""Encodings that Unicorn must not see as they are, by Intel's manual, volume 2.

Unicorn runs them though the processor does not, or not alike. The processor is a Pentium II, which has MMX and no SSE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from machemu.machine.i386.faults import BREAKPOINTS, CS_PREFIX, LOCK, PREFIXES, SEGMENT_PREFIXES, is_port, is_string_port

Code = Callable[[int], int]
"""The byte at a distance from an instruction's begin, as a translation may read it; may raise."""

ESCAPE: Final = 0x0F
ANY: Final = frozenset(range(8))
LONGEST: Final = 15
"""Bytes of an instruction; Unicorn refuses longer ones itself."""

ARITHMETIC: Final = {bytes((row | column,)): ANY for row in (0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30) for column in (0, 1)}
"""ADD, OR, ADC, SBB, AND, SUB, XOR to memory."""
LOCKABLE: Final = {
    **ARITHMETIC,
    **{bytes((group,)): ANY - {7} for group in range(0x80, 0x84)},
    **{bytes((exchange,)): ANY for exchange in (0x86, 0x87)},
    **{bytes((group,)): frozenset((2, 3)) for group in (0xF6, 0xF7)},
    **{bytes((group,)): frozenset((0, 1)) for group in (0xFE, 0xFF)},
    **{bytes((ESCAPE, second)): ANY for second in (0xAB, 0xB3, 0xBB, 0xB0, 0xB1, 0xC0, 0xC1)},
    b"\x0f\xba": frozenset((5, 6, 7)),
    b"\x0f\xc7": frozenset((1,)),
}
"""Opcodes that LOCK is allowed with where the destination is in memory, each with the reg fields that make it such: ADD, OR, ADC,
SBB, AND, SUB, XOR; those again with immediate operands, but CMP; XCHG; NOT, NEG; INC, DEC; BTS, BTR, BTC, CMPXCHG, XADD; those on
bits again; CMPXCHG8B (Intel's manual, volume 2, LOCK). All else raises #UD."""

STORING: Final = {
    **LOCKABLE,
    **{bytes((move,)): ANY for move in (0x88, 0x89)},
    b"\x63": ANY,
    b"\x8c": frozenset(range(6)),
    b"\x8f": frozenset((0,)),
    **{bytes((shift,)): ANY for shift in (0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3)},
    **{bytes((move,)): frozenset((0,)) for move in (0xC6, 0xC7)},
    b"\xd9": frozenset((2, 3, 6, 7)),
    **{bytes((pop,)): frozenset((2, 3, 6, 7)) for pop in (0xDD, 0xDF)},
    b"\xdb": frozenset((2, 3, 7)),
    b"\x0f\x00": frozenset((0, 1)),
    b"\x0f\x01": frozenset((0, 1, 4)),
    **{bytes((ESCAPE, second)): ANY for second in (*range(0x90, 0xA0), 0xA4, 0xA5, 0xAC, 0xAD, 0x7E, 0x7F)},
    b"\x0f\xae": frozenset((0,)),
}
"""Opcodes that store into an operand in memory, with their reg fields: those above; MOV; ARPL; POP; rotations and shifts; FST and
the like; SLDT, STR, SGDT, SIDT, SMSW; SETcc, SHLD, SHRD, MOVD, MOVQ; FXSAVE."""
STORES_TO_OFFSET: Final = (b"\xa2", b"\xa3")
"""MOV of an accumulator to an address in the instruction."""

WHOLE: Final = {
    **{bytes((shift,)): frozenset((2, 3)) for shift in (0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3)},
    **{bytes((ESCAPE, second)): ANY for second in range(0x90, 0xA0)},
    b"\x0f\xc7": frozenset((1,)),
}
"""Opcodes that Unicorn cannot make again where a store of theirs was broken off, with their reg fields: RCL, RCR and SETcc work
out the flags anew in the place of what they are worked out from, before they store; CMPXCHG8B stores byte by byte where it is
unaligned, and compares again."""

NOT_THERE: Final = frozenset(
    (
        *(0x0F, 0x70, 0xC4, 0xC5, 0xD7, 0xDA, 0xDE, 0xE0, 0xE3, 0xE4, 0xE7, 0xEA, 0xEE, 0xF6, 0xF7),
        *(0xD4, 0xF4, 0xFB),
    )
)
"""Second bytes of 3DNow's instructions; of what SSE added to MMX, PSHUFW, PINSRW, PEXTRW, PMOVMSKB, PMINUB, PMAXUB, PAVGB, PAVGW,
PMULHUW, MOVNTQ, PMINSW, PMAXSW, PSADBW, MASKMOVQ; and SSE2, PADDQ, PMULUDQ, PSUBQ."""
IN_REGISTERS: Final = frozenset((0x71, 0x72, 0x73))
"""Second bytes of MMX's shifts by immediate operands: there are none of memory."""
NO_CONTROL: Final = frozenset((1, 5, 6, 7))
"""Control registers that there are none of."""
READ_TIME: Final = 0x31
"""The second byte of RDTSC, which Unicorn refuses where CR4.TSD is set."""
READ_COUNTER: Final = 0x33
"""The second byte of RDPMC, which user mode may not have."""
ENTER_SYSTEM: Final = 0x34
"""The second byte of SYSENTER."""
STATUS_WORD, STORE_STATUS = 0x01, 4
"""The second byte and the reg field of SMSW."""
HINTS: Final = (0x0D, 0x18)
NO_OPERATION: Final = b"\x1f"
"""Second bytes of what does nothing, with any operand (PREFETCH among it); Unicorn knows only some operands of the first two."""
TEST: Final = (0xF6, 0xF7)
NEG: Final = 3
"""Opcodes of a group with TEST and NEG, and the latter's reg field."""
REPNE: Final = 0xF2
RETURNS: Final = (0xC2, 0xCA)
INTERRUPT, INTERRUPT_RETURN, ENTER = 0xCD, 0xCF, 0xC8
LOOPS: Final = (0xE0, 0xE1)
"""LOOPNE and LOOPE."""
FIRST: Final = (0xA3, 0xAB, 0xB3, 0xBA, 0xBB, 0xC7)
"""Second bytes of BT, BTS, BTR, BTC and CMPXCHG8B."""

UNDEFINED: Final = b"\x0f\x0b"
PRIVILEGED: Final = b"\xf4"
AGAIN: Final = b"\xeb\xfe"
"""`ud2`, `hlt`, and a `jmp` to itself."""


class Shown(NamedTuple):
    """What Unicorn is shown: `data` from byte `at` on.

    decided: how many of the instruction's bytes decide that, where it ends the block; 0 where it is an instruction like others.
    """

    data: bytes
    at: int
    decided: int


def screened(code: Code, is_v86: bool, is_first: bool) -> Shown | None:
    """What is to be translated instead of an instruction, or None. is_first: of its block.

    As `hlt`, which raises #GP: `sysenter`; stores into the code segment, which only V86 mode may write; and what the CPU looks at
    itself: input and output, `int n` behind prefixes, `enter`, `smsw`, `ret n` whose n would be negative as a signed number, and
    `iret`, but for V86 mode's.
    So are LOOPNE and LOOPE behind others in a block: where they end the loop, Unicorn forgets how the instruction before left the
    flags.
    FIRST behind others are shown as a jump to themselves, which ends the block. What BT and its like leave open in the flags is
    else made as suits the instruction before, and not kept, as processors do; CMPXCHG8B takes the flags of its block's begin.
    """
    locked, segment, place = False, 0, 0
    while (byte := code(place)) in PREFIXES:
        locked = locked or byte == LOCK
        if byte in SEGMENT_PREFIXES:
            segment = byte
        place += 1
        if place == LONGEST:
            return None
    if byte == ESCAPE:
        second = code(place + 1)
        opcode = bytes((byte, second))
    else:
        second = -1
        opcode = bytes((byte,))
    behind = place + len(opcode)
    if locked:
        regs = LOCKABLE.get(opcode)
        if regs is None:
            return Shown(UNDEFINED, 0, behind)
        if not _is_in_memory(code(behind), regs):
            return Shown(UNDEFINED, 0, behind + 1)
    elif second in NOT_THERE:
        return Shown(UNDEFINED, 0, behind)
    elif is_refused(opcode, code, behind):
        return Shown(UNDEFINED, 0, behind + 1)
    if segment == CS_PREFIX and not is_v86 and stores(opcode, code, behind):
        return Shown(PRIVILEGED, 0, behind + 1)
    if second in FIRST and not is_first:
        return Shown(AGAIN, 0, behind)
    if locked:
        return _without_lock(code, place) if opcode[0] in TEST and code(behind) >> 3 & 7 == NEG else None
    if second < 0:
        return Shown(PRIVILEGED, 0, place + 1) if byte in LOOPS and not is_first else _taken_over(byte, code, place, is_v86)
    if second in (READ_COUNTER, ENTER_SYSTEM) or (second == STATUS_WORD and code(behind) >> 3 & 7 == STORE_STATUS):
        return Shown(PRIVILEGED, 0, behind)
    return Shown(NO_OPERATION, place + 1, 0) if second in HINTS else None


def is_whole(code: Code) -> bool:
    """Whether an instruction is one of WHOLE that stores into memory."""
    place = 0
    while code(place) in PREFIXES and place < LONGEST:
        place += 1
    opcode = bytes((ESCAPE, code(place + 1))) if code(place) == ESCAPE else bytes((code(place),))
    return opcode in WHOLE and _is_in_memory(code(place + len(opcode)), WHOLE[opcode])


def _without_lock(code: Code, place: int) -> Shown:
    """With REPNE in LOCK's place, which is ignored: Unicorn works out the flags of LOCK NEG from the number before."""
    return Shown(bytes(REPNE if code(n) == LOCK else code(n) for n in range(place)), 0, 0)


def stores(opcode: bytes, code: Code, behind: int) -> bool:
    """Whether an instruction stores into the operand that a segment prefix is for; `behind` its opcode is the modrm byte."""
    return opcode in STORES_TO_OFFSET or (opcode in STORING and _is_in_memory(code(behind), STORING[opcode]))


def _is_in_memory(modrm: int, regs: frozenset[int]) -> bool:
    return modrm < 0xC0 and modrm >> 3 & 7 in regs


def is_refused(opcode: bytes, code: Code, behind: int) -> bool:
    """Whether an opcode's modrm byte, `behind` it, makes it none of the processor's: groups of which only some members are."""
    check = GROUPS.get(opcode)
    return check is not None and check(code(behind))


GROUPS: Final[dict[bytes, Callable[[int], bool]]] = {
    **dict.fromkeys((b"\x8f", b"\xc6", b"\xc7"), lambda modrm: modrm & 0x38 != 0),
    **dict.fromkeys((b"\xc4", b"\xc5"), lambda modrm: modrm >= 0xC0),
    b"\xff": lambda modrm: modrm >> 3 & 7 == 7,
    **dict.fromkeys((b"\xdb", b"\xdd", b"\xdf"), lambda modrm: modrm < 0xC0 and modrm >> 3 & 7 == 1),
    b"\x0f\xba": lambda modrm: modrm >> 3 & 7 < 4,
    **dict.fromkeys((b"\x0f\x20", b"\x0f\x22"), lambda modrm: modrm >> 3 & 7 in NO_CONTROL),
    **{bytes((ESCAPE, second)): (lambda modrm: modrm < 0xC0) for second in IN_REGISTERS},
}
"""Groups with members that there are none of, by their modrm byte: POP, MOV; LES and LDS, which newer processors take for VEX;
INC and others; SSE3's FISTTP; bits; moves of control registers; MMX's shifts."""


def _taken_over(opcode: int, code: Code, place: int, is_v86: bool) -> Shown | None:
    """Of one byte, behind `place` prefixes."""
    if is_string_port(opcode) or is_port(opcode) or opcode == ENTER or (opcode == INTERRUPT_RETURN and not is_v86):
        return Shown(PRIVILEGED, 0, place + 1)
    if opcode == INTERRUPT and place and code(place + 1) not in BREAKPOINTS:
        return Shown(PRIVILEGED, 0, place + 2)
    if opcode in RETURNS and code(place + 2) & 0x80:
        return Shown(PRIVILEGED, 0, place + 3)
    if opcode in TEST and (modrm := code(place + 1)) >> 3 & 7 == 1:
        return Shown(bytes((modrm & ~0x38,)), place + 1, 0)
    return None


SUSPECT: Final = bytes(
    byte in (*PREFIXES, *RETURNS, *TEST, *LOOPS, ENTER, INTERRUPT_RETURN)
    or is_string_port(byte)
    or is_port(byte)
    or bytes((byte,)) in GROUPS
    or bytes((byte,)) in WHOLE
    for byte in range(0x100)
)
"""By an instruction's first byte: whether `screened` need be asked."""
SUSPECT_SECOND: Final = bytes(
    byte in NOT_THERE
    or byte in (READ_COUNTER, ENTER_SYSTEM, STATUS_WORD, *HINTS)
    or byte in FIRST
    or any(bytes((ESCAPE, byte)) in some for some in (GROUPS, WHOLE))
    for byte in range(0x100)
)
"""The same by the byte behind 0F."""
