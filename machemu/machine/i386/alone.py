"""Instructions that Unicorn does one at a time, after the CPU has looked at them; the guard shows them to it as privileged ones.

`code` is an instruction's bytes from its first prefix on, and may end early; `wide`: its code segment is one of 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from machemu.machine.i386 import ea
from machemu.machine.i386.faults import (
    ADDRESS_PREFIX,
    BREAKPOINTS,
    CS_PREFIX,
    LOCK,
    WIDTH_PREFIX,
    is_port,
    is_string_port,
    unprefixed,
)
from machemu.machine.i386.pcb import EBP
from machemu.machine.i386.screen import (
    ENTER,
    ESCAPE,
    INTERRUPT,
    INTERRUPT_RETURN,
    LONGEST,
    LOOPS,
    READ_TIME,
    RETURNS,
    STATUS_WORD,
    STORE_STATUS,
    STORES_TO_OFFSET,
    stores,
)

IN_DX: Final = 8
"""The bit of an opcode of in or out with the port in DX."""
LEVELS: Final = 32
REGISTER_FORM: Final = 0xC0
"""The first byte behind an opcode of the FPU's that names no memory."""
NUMBER_STORES: Final = {0xD9: (2, 3), 0xDB: (1, 2, 3), 0xDD: (1, 2, 3), 0xDF: (1, 2, 3, 7)}
"""FST, FSTP, FIST, FISTP and FISTTP by opcode and reg field."""
NEGATIVE: Final = 0x8000
TOO_FAR: Final = 0x10000
"""How far Unicorn's `ret n` is from where it ought to be, where n is negative as a signed number."""


def _opcode(code: bytes) -> tuple[int, int]:
    """Of an instruction of one byte, and where that is; -1 where there is none."""
    place = unprefixed(code)
    return (-1 if place == len(code) or LOCK in code[:place] else code[place]), place


def port(code: bytes, wide: bool, dx: int) -> tuple[int, int] | None:
    """The port of in, out, ins or outs, and the bytes that it moves at once. dx: what DX holds."""
    opcode, place = _opcode(code)
    if not is_string_port(opcode) and not is_port(opcode):
        return None
    width = 1 if not opcode & 1 else 4 if wide != (WIDTH_PREFIX in code[:place]) else 2
    if is_string_port(opcode) or opcode & IN_DX:
        return dx, width
    return (code[place + 1], width) if len(code) > place + 1 else None


def interrupt(code: bytes) -> tuple[int, int] | None:
    """Of `int n` behind prefixes n and the instruction's length, where n is none that user mode may raise."""
    opcode, place = _opcode(code)
    if opcode != INTERRUPT or not place or len(code) < place + 2 or code[place + 1] in BREAKPOINTS:
        return None
    return code[place + 1], place + 2


def is_far_return(code: bytes) -> bool:
    """Whether the instruction is `ret n` or `lret n` that frees 32 KB or more."""
    opcode, place = _opcode(code)
    return opcode in RETURNS and int.from_bytes(code[place + 1 : place + 3], "little") >= NEGATIVE


def stores_status(code: bytes) -> bool:
    """Whether the instruction is `smsw`."""
    opcode, place = _opcode(code)
    escaped = opcode == ESCAPE and code[place + 1 : place + 2] == bytes((STATUS_WORD,))
    return escaped and len(code) > place + 2 and code[place + 2] >> 3 & 7 == STORE_STATUS


def float_length(code: bytes, wide: bool) -> int:
    """The bytes of an instruction of the FPU."""
    place = unprefixed(code)
    return place + 1 + ea.length(code, place + 1, wide != (ADDRESS_PREFIX in code[:place]))


def stores_number(code: bytes) -> bool:
    """Whether the instruction is one of the FPU's that stores a number which it rounds, and notes exceptions before it stores."""
    opcode, place = _opcode(code)
    form = code[place + 1] if len(code) > place + 1 else REGISTER_FORM
    return form < REGISTER_FORM and form >> 3 & 7 in NUMBER_STORES.get(opcode, ())


def reads_time(code: bytes) -> bool:
    """Whether the instruction is `rdtsc`."""
    opcode, place = _opcode(code)
    return opcode == ESCAPE and code[place + 1 : place + 2] == bytes((READ_TIME,))


def interrupt_return(code: bytes, wide: bool) -> int:
    """The bytes of each of the three numbers that `iret` takes off the stack; 0 for other instructions."""
    opcode, place = _opcode(code)
    if opcode != INTERRUPT_RETURN:
        return 0
    return 4 if wide != (WIDTH_PREFIX in code[:place]) else 2


def is_loop(code: bytes) -> bool:
    """Whether the instruction is `loopne` or `loope`, which Unicorn does as a block's first one."""
    return _opcode(code)[0] in LOOPS


def mended(code: bytes, wide: bool, is_stack_wide: bool, before: Sequence[int], esp: int, ebp: int) -> tuple[int, int]:
    """ESP and EBP as they ought to be after an instruction that Unicorn has done, with ESP and EBP as it left them.

    before: the registers before it. `ret n` frees n as an unsigned number; `enter` of 16 bits changes no more of EBP.
    """
    if is_far_return(code) and is_stack_wide:
        esp = esp + TOO_FAR & 0xFFFFFFFF
    found = enter(code, wide)
    if found is not None and found.size == 2:
        ebp = before[EBP] & 0xFFFF0000 | ebp & 0xFFFF
    return esp, ebp


def stored_at(code: bytes, wide: bool, registers: Sequence[int]) -> int | None:
    """Where in its segment an instruction with a CS prefix stores into memory. registers: EAX to EDI, as for ea.offset.

    None for another instruction, and where a page's end cuts it off.
    """
    place = unprefixed(code)
    size = 2 if code[place] == ESCAPE else 1
    opcode = code[place : place + size]
    if CS_PREFIX not in code[:place] or len(code) < LONGEST or not stores(opcode, code.__getitem__, place + size):
        return None
    wide = wide != (ADDRESS_PREFIX in code[:place])
    if opcode in STORES_TO_OFFSET:
        return ea.immediate(code, place + 1, wide)
    return ea.offset(code, place + size, wide, registers)


class Enter(NamedTuple):
    """size: of what is pushed, in bytes. level: how many frame pointers. room: how far the stack pointer moves besides."""

    size: int
    level: int
    room: int

    def accesses(self, esp: int, ebp: int) -> Iterator[tuple[int, bool]]:
        """What it reads and where it stores, in order: addresses in the stack segment, and whether they are stored to."""
        size = self.size
        yield esp - size, True
        for n in range(1, self.level):
            yield ebp - n * size, False
            yield esp - (n + 1) * size, True
        pushed = (self.level + 1) * size
        yield esp - pushed, True
        yield esp - pushed - self.room, True


def enter(code: bytes, wide: bool) -> Enter | None:
    opcode, place = _opcode(code)
    if opcode != ENTER or len(code) < place + 4:
        return None
    size = 4 if wide != (WIDTH_PREFIX in code[:place]) else 2
    return Enter(size, code[place + 3] % LEVELS, int.from_bytes(code[place + 1 : place + 3], "little"))
