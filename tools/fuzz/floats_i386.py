"""The host's own processor as the reference for the i386's floating point; see floats_i386.c."""

from __future__ import annotations

import platform
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from machemu.abi.exception import EXC_ARITHMETIC
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.i386.pcb import EAX, EBX, EFLAGS, EIP, FpuState, I386Pcb
from tools.fuzz.float_values import integer, single_or_double
from tools.fuzz.reference import BEGIN, DATA, Alone, NoReference

SOURCE: Final = Path(__file__).with_suffix(".c")
COMPILER: Final = ("gcc", "-O1", "-mno-red-zone", "-fcf-protection=none", "-no-pie")
MEMORY: Final = 112
CODE: Final = 16
TEST: Final = struct.Struct(f"<2I108s{MEMORY}s{CODE}s")
RESULT: Final = struct.Struct(f"<3I108s{MEMORY}s")
SAVE: Final = struct.Struct("<HxxHxxHxxIHHIHxx80s")
RETURN: Final = b"\xc3"
BREAKPOINT: Final = b"\xcc"
SUMMARY, BUSY, EXCEPTIONS = 0x80, 0x8000, 0x3F
FLAGS: Final = 0x8D5
MEMORY_FORMS: Final = tuple((escape, reg) for escape in range(0xD8, 0xE0) for reg in range(8))
NOT_THERE: Final = ((0xDB, 1), (0xDD, 1), (0xDF, 1), (0xDB, 4), (0xDB, 6), (0xDD, 5), (0xD9, 1))
STORE_ENVIRONMENT: Final = ("d9/6", "dd/6")
WHERE: Final = slice(12, 26)
"""FNSTENV and FNSAVE, and where in what they store is which instruction was the last one."""
REGISTER_FORMS: Final = tuple(
    bytes((escape, modrm))
    for escape in range(0xD8, 0xE0)
    for modrm in range(0xC0, 0x100)
    if not (escape == 0xD9 and 0xD1 <= modrm < 0xE0)
    and not (escape == 0xD9 and modrm in (0xE2, 0xE3, 0xE6, 0xE7, 0xEF))
    and not (escape == 0xDA and modrm >= 0xE0 and modrm != 0xE9)
    and not (escape == 0xDB and modrm in (0xE0, 0xE1, 0xE4, 0xE5, 0xE6, 0xE7, *range(0xF8, 0x100)))
    and not (escape == 0xDC and 0xD0 <= modrm < 0xE0)
    and not (escape == 0xDD and (0xC8 <= modrm < 0xD0 or modrm >= 0xF0))
    and not (escape == 0xDE and 0xD0 <= modrm < 0xE0 and modrm != 0xD9)
    and not (escape == 0xDF and (0xC0 <= modrm < 0xE0 or 0xE1 <= modrm < 0xE8 or modrm >= 0xF8))
)
WAIT: Final = b"\x9b"
STATUS: Final = {
    **{"invalid": 1, "denormal": 2, "zero divide": 4, "overflow": 8, "underflow": 0x10, "inexact": 0x20, "stack": 0x40},
    **{"summary": SUMMARY | BUSY, "c1": 0x200, "conditions": 0x4500, "top": 0x3800},
}
"""Fields of the status word."""


class State(NamedTuple):
    control: int
    status: int
    empty: int
    registers: tuple[bytes, ...]
    memory: bytes
    eax: int
    flags: int


@dataclass(frozen=True)
class Case:
    code: bytes
    state: State


def check() -> None:
    if platform.machine() != "x86_64":
        raise NoReference("the processor is none of the i386's family")


def build(folder: Path) -> Path:
    target = folder / "floats_i386"
    subprocess.run((*COMPILER, "-o", target, SOURCE), check=True, capture_output=True)
    return target


def _number(random: Random) -> bytes:
    """Ten bytes: extreme numbers, those that there are none of, and numbers by chance, some near each other."""
    sign = random.choice((0, 0x8000))
    fraction = random.choice(
        (0, 0, 1, (1 << 63) - 1, 1 << 62, random.getrandbits(63), random.getrandbits(63), random.getrandbits(20) << 43)
    )
    exponent = random.choice(
        (
            0,
            1,
            0x7FFE,
            0x7FFF,
            0x3FFF,
            0x3FFE,
            0x4000,
            0x4007,
            0x401E,
            0x403E,
            random.getrandbits(15),
            random.randrange(0x3FC0, 0x4040),
            random.randrange(0x3FF8, 0x4010),
        )
    )
    digit = 1 << 63 if exponent else 0
    if random.random() < 0.03:
        digit ^= 1 << 63
    return struct.pack("<QH", fraction | digit, sign | exponent) if exponent or fraction else struct.pack("<QH", fraction, sign)


def case(random: Random) -> Case:
    """An instruction and a state; three in four with all exceptions masked."""
    masks = 0x3F if random.random() < 0.75 else random.getrandbits(6)
    control = masks | 0x40 | random.choice((0, 2, 3, 3, 3)) << 8 | random.choice((0, 0, 0, 1, 2, 3)) << 10
    found = random.choice((0, 0, 0x20, random.getrandbits(7)))
    if random.random() < 0.8:
        found &= ~EXCEPTIONS | masks
    status = found | random.getrandbits(3) << 11 | random.getrandbits(3) << 8 | random.getrandbits(1) << 14
    if found & EXCEPTIONS & ~masks:
        status |= SUMMARY | BUSY
    empty = random.choice((0, 0, 1 << random.randrange(8), random.getrandbits(8), 0xFF, 0xC0, 0x0F))
    registers = tuple(_number(random) for _ in range(8))
    memory = random.choice((_number(random), single_or_double(random, "<"), integer(random, "<"), _decimal(random))).ljust(
        MEMORY, b"\x5a"
    )
    return Case(
        _code(random),
        State(control, status, empty, registers, memory, random.getrandbits(32), 0x202 | random.getrandbits(12) & FLAGS),
    )


def _decimal(random: Random) -> bytes:
    digits = "".join(random.choice("0123456789") for _ in range(18))
    return bytes.fromhex(digits) + bytes((random.choice((0, 0x80)),))


def _code(random: Random) -> bytes:
    choice = random.random()
    if choice < 0.02:
        return WAIT
    if choice < 0.45:
        escape, reg = random.choice([form for form in MEMORY_FORMS if form not in NOT_THERE])
        return bytes((escape, reg << 3 | 3))
    return random.choice(REGISTER_FORMS)


def _saved(state: State) -> bytes:
    """As FNSAVE stores it: registers from the top of the stack on, tags by physical register."""
    top = state.status >> 11 & 7
    registers = b"".join(state.registers)
    tags = sum((3 if state.empty >> n & 1 else 0) << 2 * n for n in range(8))
    return SAVE.pack(state.control, state.status, tags, 0, 0, 0, 0, 0, registers[10 * top :] + registers[: 10 * top])


def reference(program: Path, cases: Sequence[Case]) -> list[State | None]:
    """What the host's processor makes of them; None where the exception that was pending came."""
    data = b"".join(
        TEST.pack(
            one.state.flags, one.state.eax, _saved(one.state), one.state.memory, (one.code + RETURN).ljust(CODE, BREAKPOINT)
        )
        for one in cases
    )
    output = subprocess.run((program,), input=data, capture_output=True, check=True).stdout
    return [_outcome(fields, name(one)) for fields, one in zip(RESULT.iter_unpack(output), cases, strict=True)]


def _compared(memory: bytes, instruction: str) -> bytes:
    if instruction in STORE_ENVIRONMENT:
        return memory[: WHERE.start] + memory[WHERE.stop :]
    return memory


def _outcome(result: tuple[Any, ...], instruction: str) -> State | None:
    trapped, flags, eax, save, memory = result
    if trapped:
        return None
    control, status, tags, *_, data = SAVE.unpack(save)
    top = status >> 11 & 7
    data = data[80 - 10 * top :] + data[: 80 - 10 * top]
    empty = sum((tags >> 2 * n & 3 == 3) << n for n in range(8))
    return State(
        control & 0x1F3F | 0x40,
        status,
        empty,
        tuple(data[10 * n : 10 * n + 10] for n in range(8)),
        _compared(memory, instruction),
        eax,
        flags & FLAGS,
    )


class Here:
    """Our CPU."""

    def __init__(self) -> None:
        self.alone = Alone(I386Cpu, b"\xcc" * 0x6000)
        self.task = self.alone.cpu.new_task()

    def close(self) -> None:
        self.alone.close()

    def run(self, each: Case) -> State | None:
        alone, state = self.alone, each.state
        pcb = alone.cpu.new_pcb(self.task)
        assert isinstance(pcb, I386Pcb)
        pcb.registers[EAX], pcb.registers[EBX], pcb.registers[EIP], pcb.registers[EFLAGS] = state.eax, DATA, BEGIN, state.flags
        tags = sum((3 if state.empty >> n & 1 else 0) << 2 * n for n in range(8))
        pcb.fpu = FpuState(state.control, state.status, tags, 0, 0, 0, 0, 0, b"".join(state.registers))
        at = DATA - 0x20000 + 0x2000
        alone.image = alone.image[:at] + state.memory + alone.image[at + MEMORY :]
        done, changes = alone.run(each.code.ljust(CODE, BREAKPOINT), pcb)
        if any(kind == "exception" and numbers[:2] == (EXC_ARITHMETIC, 5) for kind, numbers in alone.events):
            return None
        assert done == 1, (each, alone.events)
        memory = bytearray(state.memory)
        for address, word in changes.items():
            memory[address - DATA : address - DATA + 4] = word.to_bytes(4, "little")
        fpu = pcb.fpu
        empty = sum((fpu.tags >> 2 * n & 3 == 3) << n for n in range(8))
        registers = tuple(fpu.data[10 * n : 10 * n + 10] for n in range(8))
        return State(
            fpu.control & 0x1F3F | 0x40,
            fpu.status,
            empty,
            registers,
            _compared(bytes(memory), name(each)),
            pcb.registers[EAX],
            pcb.registers[EFLAGS] & FLAGS,
        )


def name(each: Case) -> str:
    """Of the instruction: its bytes, or its opcode and reg field where its operand is in memory."""
    if len(each.code) > 1 and each.code[1] < 0xC0:
        return f"{each.code[0]:02x}/{each.code[1] >> 3}"
    return each.code.hex()


def fields(there: State | None, here: State | None) -> Iterator[str]:
    """What differs. What is in an empty register is nobody's."""
    if there is None or here is None:
        if there is not here:
            yield "trap"
        return
    changed = there.status ^ here.status
    yield from (field for field, bits in STATUS.items() if changed & bits)
    yield from (
        field for field in ("control", "empty", "memory", "eax", "flags") if getattr(there, field) != getattr(here, field)
    )
    pairs = zip(there.registers, here.registers, strict=True)
    unlike = [(a, b) for n, (a, b) in enumerate(pairs) if a != b and not there.empty >> n & 1]
    if unlike:
        yield "last digit" if all(abs(_place(a) - _place(b)) <= 1 for a, b in unlike) else "registers"


def _place(register: bytes) -> int:
    """A number's among the numbers of its sign."""
    mantissa, exponent = int.from_bytes(register[:8], "little"), int.from_bytes(register[8:], "little")
    return (exponent << 63) + (mantissa - (1 << 63) if exponent & 0x7FFF else mantissa)


def shown(state: State | None) -> str:
    if state is None:
        return "the exception that was pending"
    registers = " ".join("-" if state.empty >> n & 1 else one[::-1].hex() for n, one in enumerate(state.registers))
    words = f"control {state.control:x} status {state.status:x} eax {state.eax:x} flags {state.flags:x}"
    return f"{words} memory {state.memory[:10].hex()} registers {registers}"
