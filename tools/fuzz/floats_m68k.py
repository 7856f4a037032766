"""QEMU's user mode as the reference for the m68k's floating point; see floats_m68k.c."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from machemu.machine.m68k.cpu import M68kCpu
from machemu.machine.m68k.fpu import FUNCTIONS, FUNCTIONS_OF_TWO
from machemu.machine.m68k.pcb import FpuState, M68kPcb, rounding_of
from tools.fuzz import reference_m68k
from tools.fuzz.float_values import integer, single_or_double
from tools.fuzz.reference import BEGIN, DATA, Alone

SOURCE: Final = Path(__file__).with_suffix(".c")
COMPILER: Final = (
    *("m68k-linux-gnu-gcc-12", "-m68040", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-O1"),
)
EMULATOR: Final = reference_m68k.EMULATOR
REGISTERS, MEMORY, CODE = 96, 16, 16
TEST: Final = struct.Struct(f">4I{REGISTERS}s{MEMORY}s{CODE}s")
RESULT: Final = struct.Struct(f">4I{REGISTERS}s{MEMORY}s")
RETURN: Final = b"\x4e\x75"
ILLEGAL: Final = b"\x4a\xfc"
CONDITIONS, QUOTIENT = 0x0F000000, 0xFF0000
LONG, SINGLE, EXTENDED, _, WORD, DOUBLE, BYTE = range(7)
REMAINDERS: Final = (0x21, 0x25)
COMPARE, TEST_NUMBER, MOVE = 0x38, 0x3A, 0x00
ARITHMETIC: Final = (
    *(0x01, 0x03, 0x04, 0x41, 0x45, 0x18, 0x58, 0x5C, 0x1A, 0x5A, 0x5E, 0x1E, 0x1F, 0x40, 0x44),
    MOVE,
    TEST_NUMBER,
    COMPARE,
    *REMAINDERS,
)
"""Functions whose results the manual defines to the last digit; and those of two numbers."""
TRANSCENDENTAL: Final = tuple(function for function in FUNCTIONS if function not in ARITHMETIC)


class State(NamedTuple):
    """data: d2 and d3."""

    control: int
    status: int
    data: tuple[int, int]
    registers: bytes
    memory: bytes


@dataclass(frozen=True)
class Case:
    code: bytes
    state: State


check = reference_m68k.check


def build(folder: Path) -> Path:
    target = folder / "floats_m68k"
    subprocess.run((*COMPILER, "-o", target, SOURCE), check=True, capture_output=True)
    return target


def _number(random: Random) -> bytes:
    """Twelve bytes: extreme numbers and numbers by chance, some near each other."""
    sign = random.choice((0, 0x8000))
    fraction = random.choice((0, 0, 1, (1 << 63) - 1, 1 << 62, random.getrandbits(63), random.getrandbits(20) << 43))
    near = (random.randrange(0x3FC0, 0x4040), random.randrange(0x3FF8, 0x4010), random.randrange(0x3FF8, 0x4010))
    exponent = random.choice((0, 1, 0x7FFE, 0x7FFF, 0x3FFF, 0x3FFE, 0x4000, 0x4007, 0x401E, random.getrandbits(15), *near))
    if exponent == 0x7FFF and random.random() < 0.5:
        return struct.pack(">HHQ", sign | exponent, 0, 0)
    whole = fraction | 1 << 63 if exponent else 0
    return struct.pack(">HHQ", sign | exponent, 0, whole)


def case(random: Random) -> Case:
    control = random.choice((0, 0, 0, 1, 2, 3)) << 4 | random.choice((0, 0, 0, 1, 2)) << 6
    registers = b"".join(_number(random) for _ in range(8))
    code = _code(random)
    memory = _operand(random, code).ljust(MEMORY, b"\x5a")
    data = (random.getrandbits(32), random.choice((0, 1, 0xFFFFFFFF, 0x80000000, random.getrandbits(32))))
    return Case(code, State(control, random.getrandbits(4) << 24, data, registers, memory))


def _operand(random: Random, code: bytes) -> bytes:
    form = code[2] >> 2 & 7
    if form in (SINGLE, DOUBLE):
        return single_or_double(random, ">")
    return _number(random) if form == EXTENDED else integer(random, ">")


def _code(random: Random) -> bytes:
    """An operation between registers, or with an operand at a0 or in d2; a store there; a condition into d2."""
    function = random.choice((*ARITHMETIC, *FUNCTIONS_OF_TWO, *FUNCTIONS_OF_TWO, *TRANSCENDENTAL[:: 1 + random.getrandbits(2)]))
    one, other = random.randrange(8), random.randrange(8)
    choice = random.random()
    if choice < 0.45:
        words = (0xF200, one << 10 | other << 7 | function)
    elif choice < 0.7:
        words = (0xF210, 0x4000 | random.choice((LONG, SINGLE, EXTENDED, WORD, DOUBLE, BYTE)) << 10 | other << 7 | function)
    elif choice < 0.76:
        words = (0xF202, 0x4000 | random.choice((LONG, SINGLE, WORD, BYTE)) << 10 | other << 7 | function)
    elif choice < 0.9:
        words = (0xF210, 0x6000 | random.choice((LONG, SINGLE, EXTENDED, WORD, DOUBLE, BYTE)) << 10 | other << 7)
    elif choice < 0.95:
        words = (0xF202, 0x6000 | random.choice((LONG, SINGLE, WORD, BYTE)) << 10 | other << 7)
    else:
        words = (0xF242, random.randrange(32))
    return struct.pack(">2H", *words)


def _padded(code: bytes) -> bytes:
    return code + ILLEGAL * ((CODE - len(code)) // 2)


def reference(program: Path, cases: Sequence[Case]) -> list[State | None]:
    """What QEMU makes of them."""
    data = b"".join(
        TEST.pack(*one.state[:2], *one.state.data, one.state.registers, one.state.memory, _padded(one.code + RETURN))
        for one in cases
    )
    output = subprocess.run((*EMULATOR, program), input=data, capture_output=True, check=True).stdout
    return [State(fields[0], fields[1], fields[2:4], _shown(fields[4]), fields[5]) for fields in RESULT.iter_unpack(output)]


def _shown(registers: bytes) -> bytes:
    """An infinity's first digit, which means nothing, is 0."""
    found = bytearray(registers)
    for at in range(0, REGISTERS, 12):
        if found[at] & 0x7F == 0x7F and found[at + 1] == 0xFF and found[at + 4] & 0x7F == 0 and not any(found[at + 5 : at + 12]):
            found[at + 4] = 0
    return bytes(found)


class Here:
    """Our CPU."""

    def __init__(self) -> None:
        self.alone = Alone(M68kCpu, ILLEGAL * 0x3000)
        self.task = self.alone.cpu.new_task()

    def close(self) -> None:
        self.alone.close()

    def run(self, each: Case) -> State | None:
        alone, state = self.alone, each.state
        pcb = alone.cpu.new_pcb(self.task)
        assert isinstance(pcb, M68kPcb)
        pcb.registers[2], pcb.registers[3], pcb.registers[8], pcb.pc_ = *state.data, DATA, BEGIN
        pcb.fpu = FpuState(state.control, state.status, 0, rounding_of(state.control), state.registers)
        at = DATA - 0x20000 + 0x2000
        alone.image = alone.image[:at] + state.memory + alone.image[at + MEMORY :]
        done, changes = alone.run(_padded(each.code), pcb)
        if done != 1:
            return None
        memory = bytearray(state.memory)
        for address, word in changes.items():
            memory[address - DATA : address - DATA + 4] = word.to_bytes(4, "big")
        fpu = pcb.fpu
        return State(fpu.control, fpu.status, (pcb.registers[2], pcb.registers[3]), _shown(fpu.data), bytes(memory))


def name(each: Case) -> str:
    """Of the instruction: what it computes, or the format of what it stores."""
    first, second = struct.unpack(">2H", each.code)
    if first & 0x40:
        return "condition"
    if second >> 13 == 3:
        return f"store {'lsxpwdbp'[second >> 10 & 7]}{' dn' if first & 0o70 == 0 else ''}"
    return f"{second & 0x7F:02x}{' of an operand' if second >> 13 else ''}"


def fields(there: State | None, here: State | None) -> Iterator[str]:
    """What differs; QEMU keeps no exceptions."""
    if there is None or here is None:
        yield "trap"
        return
    changed = there.status ^ here.status
    yield from (field for field, bits in (("conditions", CONDITIONS), ("quotient", QUOTIENT)) if changed & bits)
    yield from (field for field in ("control", "data", "registers", "memory") if getattr(there, field) != getattr(here, field))


def shown(state: State | None) -> str:
    if state is None:
        return "no such instruction"
    numbers = [state.registers[n : n + 2] + state.registers[n + 4 : n + 12] for n in range(0, REGISTERS, 12)]
    words = f"control {state.control:x} status {state.status:x} data {state.data[0]:x} {state.data[1]:x}"
    return f"{words} memory {state.memory[:12].hex()} registers {' '.join(one.hex() for one in numbers)}"
