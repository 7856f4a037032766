"""Makes programs: each a function of architecture, seed and number."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from elftools.elf.elffile import ELFFile

from tools.fuzz import encodings, values
from tools.fuzz.program import CODE, CODE_SIZE, DATA, Origin, Program, Step

ROOT: Final = Path(__file__).parent.parent.parent
CORPUS: Final = ("images", "tests/conformance")
"""Where the guest programs lie that pieces are taken from, by architecture."""
EXECUTABLE: Final = 1
KINDS: Final = (Origin.LISTED, Origin.LISTED, Origin.RANDOM, Origin.MUTATED)
"""By number: half of the programs go through the list."""
THROUGH: Final = 50_000
"""So many programs go through the whole list."""
SLOT: Final = 0x40
OPERAND_BYTES: Final = 10
INSTRUCTIONS: Final = 4000
LONG_INSTRUCTIONS: Final = 10000
END: Final = {"i386": b"\xcc", "m68k": b"\x4a\xfc"}
"""What is behind a step's code: an instruction that raises an exception."""
OPERANDS: Final = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x80\0\0\0", b"\x01\0\0\0", b"\xfe\xff\xff\xff")
ATOMS: Final = {
    "i386": (
        *(b"\x9a\0\0\0\0\x07\0", b"\xcd\x80", b"\xcf", b"\x9d", b"\x0f\x05", b"\x0f\x34", b"\xf3\xa4", b"\xf3\xab", b"\xab"),
        *(b"\xe4\x10", b"\xee", b"\x6c", b"\x6f", b"\xf4", b"\x17", b"\x8e\xd8", b"\xeb\xfe", b"\xe2\xfe", b"\xcc", b"\xce"),
        *(b"\x0f\x0b", b"\xdb\xe3", b"\x9b", b"\xd9\xf3", b"\xc3", b"\xcb", b"\x50", b"\xe8\0\0\0\0", b"\xfd", b"\xf7\xfb"),
    ),
    "m68k": (
        *(b"\x4e\x40", b"\x4e\x41", b"\x4e\x4f", b"\x4e\x71", b"\x4e\x73", b"\x4e\x75", b"\x4e\x76", b"\x4e\x77", b"\x60\xfe"),
        *(b"\x51\xc8\xff\xfe", b"\x20\xc0", b"\x21\x00", b"\x46\xfc\0\0", b"\x40\xc0", b"\xf2\0\0\0", b"\xf3\x10", b"\x4c\x40"),
        *(b"\x48\x40", b"\xa0\0", b"\x81\xc1", b"\x4a\xfc", b"\x4e\x72\0\0", b"\x2f\x3c", b"\x4e\xd0", b"\x42\x98"),
    ),
}
"""Instructions whose handling is special somewhere, put between others."""


@cache
def corpus(architecture: str) -> bytes:
    """The code of every guest program in this tree."""
    parts = []
    for folder in CORPUS:
        for path in sorted((ROOT / folder / architecture).glob("*.elf")):
            with path.open("rb") as file:
                parts += [s.data() for s in ELFFile(file).iter_segments("PT_LOAD") if s["p_flags"] & EXECUTABLE]
    return b"".join(parts)


@cache
def list_length(architecture: str) -> int:
    """How many encodings the list has."""
    return len(encodings.i386()) if architecture == "i386" else len(encodings.M68K) * len(encodings.EXTENSIONS)


class Maker:
    """Programs for one architecture and seed."""

    def __init__(self, architecture: str, seed: int) -> None:
        self.architecture = architecture
        self.seed = seed
        random = Random(f"{seed} {architecture}")
        length = list_length(architecture)
        self._first = random.randrange(length)
        self._stride = _coprime(random, length)
        self._steps = -(-length * len(KINDS) // (THROUGH * KINDS.count(Origin.LISTED)))
        self._unit = 1 if architecture == "i386" else 2

    def program(self, number: int) -> Program:
        kind = KINDS[number % len(KINDS)]
        random = Random(f"{self.seed} {self.architecture} {number}")
        if kind is Origin.LISTED:
            rank = number // len(KINDS) * KINDS.count(kind) + number % len(KINDS)
            steps = tuple(self._listed(random, rank * self._steps + place, place) for place in range(self._steps))
        else:
            make = self._random_code if kind is Origin.RANDOM else self._mutated_code
            steps = tuple(self._step(random, place, make(random)) for place in range(random.randrange(1, 4)))
        return Program(
            self.architecture,
            self.seed,
            number,
            kind,
            steps,
            handled=random.random() < 0.9,
            cuts=random.getrandbits(32),
            saved=random.random() < 0.08,
        )

    def _listed(self, random: Random, rank: int, place: int) -> Step:
        """One encoding, its operand bytes, and the end. Every encoding comes once before any comes twice."""
        index = (self._first + rank * self._stride) % list_length(self.architecture)
        code = self._encoding(random, index) + END[self.architecture] * 2
        step = self._finish(random, place, code, INSTRUCTIONS, index)
        if step.address + len(step.code) == CODE + CODE_SIZE:
            return step
        return replace(step, code=step.code + END[self.architecture] * ((SLOT - len(code)) // self._unit))

    def _encoding(self, random: Random, index: int) -> bytes:
        if self.architecture == "i386":
            return encodings.i386()[index].code + _operands(random)
        first, extension = divmod(index, len(encodings.EXTENSIONS))
        size = 2 * encodings.EXTENSION_WORDS
        fillers = (bytes(size), b"\xff" * size, random.randbytes(size))
        return first.to_bytes(2, "big") + fillers[extension]

    def _random_code(self, random: Random) -> bytes:
        """Bytes by chance, and special instructions and encodings between them."""
        code = b""
        for _ in range(random.randrange(1, 8)):
            choice = random.random()
            if choice < 0.4:
                code += random.randbytes(self._unit * random.randrange(1, 12))
            elif choice < 0.7:
                code += self._encoding(random, random.randrange(list_length(self.architecture)))[: random.randrange(2, 12) & -2]
            else:
                code += random.choice(ATOMS[self.architecture])
        return code

    def _mutated_code(self, random: Random) -> bytes:
        """A piece of a guest program, with bits flipped, bytes changed, doubled or left out, and other pieces put in."""
        code = bytearray(self._piece(random, 150))
        for _ in range(random.randrange(6)):
            place = random.randrange(len(code) + 1) // self._unit * self._unit
            choice = random.random()
            if choice < 0.3 and place < len(code):
                code[place] ^= 1 << random.randrange(8)
            elif choice < 0.5:
                code[place : place + self._unit] = random.randbytes(self._unit)
            elif choice < 0.7:
                code[place:place] = random.choice(ATOMS[self.architecture])
            elif choice < 0.85:
                code[place:place] = self._piece(random, 24)
            else:
                del code[place : place + self._unit * random.randrange(1, 4)]
        return bytes(code)

    def _piece(self, random: Random, size: int) -> bytes:
        source = corpus(self.architecture)
        start = random.randrange(len(source) - size) // self._unit * self._unit
        return source[start : start + self._unit * random.randrange(1, size // self._unit)]

    def _step(self, random: Random, place: int, code: bytes) -> Step:
        return self._finish(random, place * 8, code + END[self.architecture], LONG_INSTRUCTIONS, None)

    def _finish(self, random: Random, slot: int, code: bytes, instructions: int, listed: int | None) -> Step:
        """The state in which a step begins. Some lie across two pages, or end where the code's memory ends."""
        address = CODE + SLOT * slot
        choice = random.random()
        if choice < 0.08:
            address = CODE + CODE_SIZE // 2 - random.randrange(self._unit, len(code) + 1, self._unit)
        elif choice < 0.12:
            code = code[: random.randrange(self._unit, len(code) + 1, self._unit)]
            address = CODE + CODE_SIZE - len(code)
        resume = tuple(self._unit * random.randrange(0, 5) for _ in range(random.choice((0, 0, 0, 1, 2, 6))))
        if self.architecture == "i386":
            registers, flags = values.registers(random, address, 8, 4), values.i386_flags(random)
            extras = values.i386_extras(random, address)
            if random.random() < 0.02:
                flags |= values.VIRTUAL
        else:
            registers, flags = values.registers(random, address, 16, 15), values.m68k_flags(random)
            extras = values.m68k_extras(random, address)
        if random.random() < 0.05:
            registers = _self_modifying(random, registers, address)
        return Step(address, code, registers, flags, instructions, resume, extras, listed)


def _operands(random: Random) -> bytes:
    """Immediate operands: extreme numbers, addresses in the guest's data, or anything."""
    choice = random.random()
    if choice < 0.4:
        return b"".join(random.choices(OPERANDS, k=3))
    if choice < 0.7:
        return (
            (DATA + random.randrange(0, 64, 4)).to_bytes(4, "little") + random.choice((b"\x07\0", b"\x17\0", b"\x1f\0")) + b"\0\0"
        )
    return random.randbytes(OPERAND_BYTES)


def _self_modifying(random: Random, registers: tuple[int, ...], address: int) -> tuple[int, ...]:
    """Registers, the stack pointer too, that point into the code or right behind it."""
    return tuple(address + random.randrange(-4, 48) if random.random() < 0.6 else value for value in registers)


def _coprime(random: Random, length: int) -> int:
    """A step that goes through all numbers below `length`."""
    from math import gcd

    while True:
        stride = random.randrange(length)
        if gcd(stride, length) == 1:
            return stride
