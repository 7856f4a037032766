"""The 68040's instructions that Unicorn does not have: it raises an exception for them, and they are done here."""

from __future__ import annotations

from typing import Final

from machemu.machine.m68k import decode, ea, flags, floats, manual, trigonometry
from machemu.machine.m68k.engine import A0, D0, FPSR, PC, SP
from machemu.machine.m68k.faults import CHK, DONE, TRAPCC

TRAPV, RTR = 0x4E76, 0x4E77
TRAP_WIDTHS: Final = {2: 2, 3: 4, 4: 0}
"""Bytes of the operand, which only a handler looks at, by the last three bits of trapcc."""
MASK: Final = 0xFFFFFFFF
PACK, UNPK = 0x8140, 0x8180
BOUNDS: Final = frozenset(0x00C0 | size << 9 | mode for size in range(3) for mode in range(0o74) if manual.CONTROL >> mode & 1)
"""chk2 and cmp2: Unicorn has no cmp2, chk2 of bytes alone, and there a bound lands in the address register of (an)."""
TAKEN_FOR_OTHERS: Final = [
    *(form | x << 9 | y for form in (PACK, UNPK) for x in range(8) for y in range(16)),
    *(0x50F8 | condition << 8 | width for condition in range(16) for width in TRAP_WIDTHS),
    *BOUNDS,
]
"""The first words that Unicorn takes for another instruction's, or does wrongly."""
FDBCC, FTRAPCC = 0xF248, 0xF278


def execute(user: floats.FloatUser) -> int | None:
    """Does the instruction under the program counter: DONE; TRAPCC or CHK where that is to be raised, the program counter behind
    it; or None where it is none of these. Raises UserFault, and has done nothing then."""
    words = user.words
    opcode = user.instruction_word(0)
    if opcode == TRAPV:
        return _trap(words, 2, flags.holds(9, flags.read(words)))
    if opcode == RTR:
        frame = user.read(words[SP], 6)
        flags.write(words, frame[1] & 0x1F)
        words[PC] = int.from_bytes(frame[2:], "big")
        words[SP] = words[SP] + 6 & MASK
        return DONE
    if opcode & 0xF0F8 == 0x50F8 and opcode & 7 in TRAP_WIDTHS:
        return _trap(words, 2 + TRAP_WIDTHS[opcode & 7], flags.holds(opcode >> 8 & 0xF, flags.read(words)))
    if opcode & 0xF1F0 in (PACK, UNPK):
        return _pack(user, opcode)
    if opcode in BOUNDS:
        return _compare_bounds(user, opcode)
    if opcode & 0xFFF8 in (FDBCC, FTRAPCC) and (opcode & 0xFFF8 == FDBCC or opcode & 7 in TRAP_WIDTHS):
        predicate = user.instruction_word(2)
        if predicate >= 0x20:
            return None
        met = flags.float_holds(predicate, words[FPSR])
        if opcode & 0xFFF8 == FTRAPCC:
            return _trap(words, 4 + TRAP_WIDTHS[opcode & 7], met)
        return _decrement(user, D0 + (opcode & 7), met)
    done = floats.execute(user)
    return trigonometry.execute(user) if done is None else done


def _trap(words: memoryview, length: int, met: bool) -> int:
    words[PC] = words[PC] + length & MASK
    return TRAPCC if met else DONE


def _decrement(user: floats.FloatUser, register: int, met: bool) -> int:
    """fdbcc: falls through where the predicate is met or the counter, 16 bits, runs out."""
    words = user.words
    displacement = user.instruction_word(4)
    taken = False
    if not met:
        counter = words[register] - 1 & 0xFFFF
        words[register] = words[register] & 0xFFFF0000 | counter
        taken = counter != 0xFFFF
    words[PC] = words[PC] + (4 + (displacement ^ 0x8000) - 0x8000 if taken else 6) & MASK
    return DONE


def _pack(user: floats.FloatUser, opcode: int) -> int:
    """pack and unpk: between two digits in two bytes and in one, with an adjustment added to the two bytes."""
    words = user.words
    adjustment = user.instruction_word(2)
    unpacks = opcode & 0xF1F0 == UNPK
    x, y = opcode >> 9 & 7, opcode & 7
    size = 1 if unpacks else 2
    if not opcode & 8:
        source = words[D0 + y]
    else:
        place = words[A0 + y] - _step(y, size) & MASK
        source = int.from_bytes(user.read(place, size), "big")
        target = (words[A0 + x] if x != y else place) - _step(x, 3 - size) & MASK
    if unpacks:
        result = (source << 4 & 0xF00 | source & 0xF) + adjustment & 0xFFFF
    else:
        total = source + adjustment
        result = total >> 4 & 0xF0 | total & 0xF
    if not opcode & 8:
        kept = MASK << 8 * (3 - size) & MASK
        words[D0 + x] = words[D0 + x] & kept | result
    else:
        user.write(target, result.to_bytes(3 - size, "big"))
        words[A0 + y] = place
        words[A0 + x] = target
    words[PC] = words[PC] + 4 & MASK
    return DONE


def _compare_bounds(user: floats.FloatUser, opcode: int) -> int:
    """chk2 and cmp2: Z where a register is one of two bounds, C where it is outside of them; chk2 raises CHK then.

    The bounds are signed, or unsigned where the lower one is the greater signed number. An address register is compared as a
    whole with bounds extended to 32 bits, a data register's low part.
    """
    words = user.words
    extension = user.instruction_word(2)
    size = 1 << (opcode >> 9 & 3)
    place = ea.address(user, opcode & 0o77, 4)
    low, high = (int.from_bytes(user.read(place + n * size & MASK, size), "big", signed=True) for n in range(2))
    register = words[D0 + (extension >> 12)]
    value = int.from_bytes((register & (1 << 8 * size) - 1).to_bytes(size, "big"), "big", signed=True)
    if extension & 0x8000:
        value = register - (register >> 31 << 32)
    outside = not low <= value <= high if low <= high else high < value < low
    flags.write(words, flags.read(words) & ~(flags.Z | flags.C) | flags.Z * (value in (low, high)) | flags.C * outside)
    words[PC] = words[PC] + decode.chk2_length(user.instruction_word) & MASK
    return CHK if outside and extension & 0x800 else DONE


def _step(register: int, size: int) -> int:
    """How far an address register moves over an operand: the stack pointer stays even."""
    return 2 if register == 7 else size


def pass_chk(user: ea.Operands) -> None:
    """Unicorn puts the program counter two bytes behind chk's begin, and moves no address register."""
    words = user.words
    words[PC] = words[PC] - 2 & MASK
    opcode = user.instruction_word(0)
    register, becomes = ea.stepped_register(words, opcode & 0o77, 2 if opcode & 0x80 else 4)
    if register is not None:
        words[register] = becomes
    words[PC] = words[PC] + decode.chk_length(user.instruction_word) & MASK
