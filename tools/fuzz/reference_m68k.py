"""QEMU's user mode as the reference for the m68k; see reference_m68k.c."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import capstone

from machemu.machine.m68k import decode, faults, manual
from machemu.machine.m68k.cpu import M68kCpu
from machemu.machine.m68k.pcb import M68kPcb
from tools.fuzz import encodings
from tools.fuzz.encodings import EXTENSION_WORDS, EXTENSIONS
from tools.fuzz.lists import Facts
from tools.fuzz.reference import (
    BEGIN,
    CODE,
    CODE_MAX,
    CODE_SIZE,
    DATA,
    DATA_SIZE,
    STACK,
    STACK_SIZE,
    Alone,
    Case,
    Difference,
    Fault,
    NoReference,
    Outcome,
    differing,
    number,
    place,
)

SOURCE: Final = Path(__file__).with_suffix(".c")
COMPILER: Final = (
    *("m68k-linux-gnu-gcc-12", "-m68040", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-O1"),
    "-Wl,-Ttext-segment=0x5a5a0000",
)
"""The program lies where no case looks."""
ORDER: Final = ">"
COUNT: Final = len(encodings.M68K) * len(EXTENSIONS)
VERSION: Final = "version 7.2."
EMULATOR: Final = ("qemu-m68k", "-cpu", "m68040")
WHOLE: Final = 2 + 2 * EXTENSION_WORDS
TEST: Final = struct.Struct(f">18I{CODE_MAX}s")
RESULT: Final = struct.Struct(">22I")
CHANGE: Final = struct.Struct(">2I")
FILLER: Final = b"\x4a\xfc"
"""What is in memory where nothing else is: an illegal instruction."""
A7: Final = 15
C, V, Z, N, X = 1, 2, 4, 8, 16
FLAGS: Final = 0x1F
LINUX: Final = 0x4E40
JUMPS: Final = range(0x4E80, 0x4F00)
BRANCHES: Final = 6
RETURN_AND_FREE: Final = 0x4E74
RETURNS: Final = (0x4E75, 0x4E77)

ILLEGAL, TRAP, BREAKPOINT, DIVIDE, CHECK, ACCESS, ENDED, HANGS = range(1, 9)
"""What a fault is; Linux tells no more of it."""
BY_SIGNAL: Final = {(4, 2): ILLEGAL, (4, 5): ILLEGAL, (4, 4): TRAP, (5, 1): BREAKPOINT, (8, 1): DIVIDE, (8, 2): CHECK}
ACCESS_SIGNALS: Final = (7, 11)
ALARM: Final = 26
BY_VECTOR: Final = {
    **dict.fromkeys((faults.ILLEGAL, faults.LINE_A, faults.LINE_F, faults.PRIVILEGE, faults.ADDRESS_ERROR), ILLEGAL),
    **dict.fromkeys((faults.CHK, faults.TRAPCC), CHECK),
    **dict.fromkeys(range(faults.TRAP, faults.TRAP_15), TRAP),
    faults.ZERO_DIVIDE: DIVIDE,
    faults.TRAP_15: BREAKPOINT,
}
EMULATOR_TIME: Final = 600


def check() -> None:
    said = subprocess.run((EMULATOR[0], "-version"), check=True, capture_output=True, text=True).stdout
    if VERSION not in said:
        raise NoReference(f"the list of differences is made for {VERSION}, and this is: {said.partition(chr(10))[0]}")


def has(_feature: str) -> bool:
    return True


@cache
def build(folder: Path) -> Path:
    """The reference program. CalledProcessError, FileNotFoundError where the host has no compiler for the m68k."""
    target = folder / "reference_m68k"
    subprocess.run((*COMPILER, "-o", target, SOURCE), check=True, capture_output=True)
    return target


def first_word(index: int) -> int:
    return index // len(EXTENSIONS)


def case(random: Random, index: int) -> Case:
    """An instruction of the list with extension words, registers and condition codes; address registers mostly name memory."""
    word, filler = divmod(index, len(EXTENSIONS))
    size = 2 * EXTENSION_WORDS
    extensions = (bytes(size), b"\xff" * size, random.randbytes(size))[filler]
    data = [number(random) if random.random() < 0.7 else random.randrange(-2, 40) & 0xFFFFFFFF for _ in range(8)]
    if word in JUMPS:
        address = [CODE + 0x800 + 2 * random.randrange(0x400) for _ in range(7)]
    else:
        address = [place(random, *random.choice(((DATA, DATA_SIZE), (STACK, STACK_SIZE)))) for _ in range(7)]
        if random.random() < 0.1:
            address[random.randrange(7)] = number(random)
    stack = STACK + 0x800 + 4 * random.randrange((STACK_SIZE - 0x1000) // 4)
    return Case(index, word.to_bytes(2, "big") + extensions, (*data, *address, stack), random.getrandbits(5))


def is_compared(index: int) -> bool:
    """What is no instruction the manual alone decides; the trap of Linux itself cannot be one of ours."""
    word = first_word(index)
    return word != LINUX and word not in _undefined_words()


@cache
def _undefined_words() -> frozenset[int]:
    return frozenset(manual.undefined())


def facts(index: int) -> Facts:
    return Facts(first_word(index).to_bytes(2, "big"))


def difference(each: Case, there: Outcome, here: Outcome) -> Difference | None:
    if here.fault is None and (BEGIN <= here.pc < BEGIN + len(each.code) or here.pc >> 16 in (DATA >> 16, STACK >> 16)):
        return None  # It goes to itself, or into data that the reference runs on from.
    if there.fault == Fault(ENDED):
        # QEMU translates what is behind an instruction, too, before it finds that this one faults.
        return None if here.fault is not None and here.fault.number == ACCESS else Difference(frozenset(("ended",)), False)
    fields = differing(there, here, FLAGS & ~_undefined(each, there))
    if here.fault is not None and there.fault is not None and here.fault.number == there.fault.number == ACCESS:
        # An access fault restarts the instruction, which has changed nothing (MC68040 User's Manual, chapter 8); QEMU's may have.
        fields -= {"registers", "flags"}
        if here.registers != each.registers:
            fields.add("registers")
        if here.flags != each.flags:
            fields.add("flags")
    if here.fault is not None and len(each.code) == WHOLE:
        fields.discard("address")  # Of an instruction that could not be cut off, QEMU may say what the next one meets.
    return Difference(frozenset(fields), here.fault == Fault(ILLEGAL)) if fields else None


def reference(program: Path, memory: bytes, cases: Sequence[Case]) -> list[Outcome]:
    """What QEMU makes of them. Where it ends itself, the case's fault is ENDED, and it is begun again behind it."""
    found: list[Outcome] = []
    while len(found) < len(cases):
        rest = cases[len(found) :]
        data = b"".join(TEST.pack(*each.registers, BEGIN, each.flags, _padded(each.code)) for each in rest)
        ran = subprocess.run((*EMULATOR, program), input=memory + data, capture_output=True, check=False, timeout=EMULATOR_TIME)
        found += _outcomes(ran.stdout, len(rest), ran.returncode == 0)
        if len(found) < len(cases):
            ended = cases[len(found)]
            found.append(Outcome(Fault(ENDED), ended.registers, ended.flags, BEGIN))
    return found


def _padded(code: bytes) -> bytes:
    return code + FILLER * ((CODE_MAX - len(code)) // len(FILLER))


def _outcomes(output: bytes, count: int, whole: bool) -> list[Outcome]:
    """Of as many cases as have one: what QEMU says as it ends stands behind them."""
    found: list[Outcome] = []
    at = 0
    while len(found) < count and at + RESULT.size <= len(output):
        signal, code, address, *registers, sr, changed = RESULT.unpack_from(output, at)
        if not whole and (signal > ALARM or changed > CODE_SIZE):
            break
        at += RESULT.size
        changes = dict(CHANGE.iter_unpack(output[at : at + CHANGE.size * changed]))
        at += CHANGE.size * changed
        pc = registers[16]
        kind = ACCESS if signal in ACCESS_SIGNALS else HANGS if signal == ALARM else BY_SIGNAL.get((signal, code), -signal)
        fault: Fault | None = Fault(kind, 0, address if kind == ACCESS else 0)
        if (kind == ILLEGAL and pc != BEGIN) or (kind == ACCESS and address == pc != BEGIN):
            fault = None
        found.append(Outcome(fault, tuple(registers[:16]), sr & FLAGS, pc, changes))
    return found


class Here:
    """Our CPU. The reference cannot stop behind one instruction but by what stands there: `cut` sees to that."""

    def __init__(self, memory: bytes) -> None:
        self.alone = Alone(M68kCpu, memory)
        self.task = self.alone.cpu.new_task()
        self.disassembler = capstone.Cs(capstone.CS_ARCH_M68K, capstone.CS_MODE_M68K_040 | capstone.CS_MODE_BIG_ENDIAN)

    def close(self) -> None:
        self.alone.close()

    def cut(self, each: Case) -> Case:
        """The case without the words that do not belong to its instruction, as far as we know that."""
        done = self.run(each)
        length = _flow_length(each.code)
        if length is None:
            length = done.pc - BEGIN if done.fault is None else self._disassembled(each.code)
        return replace(each, code=each.code[:length]) if 0 < length <= len(each.code) else each

    def _disassembled(self, code: bytes) -> int:
        """The length of an instruction that faults."""
        return next((size for _, size, _, _ in self.disassembler.disasm_lite(code, BEGIN, 1)), 0)

    def run(self, each: Case) -> Outcome:
        pcb = self.alone.cpu.new_pcb(self.task)
        assert isinstance(pcb, M68kPcb)
        pcb.registers = list(each.registers)
        pcb.pc_, pcb.sr = BEGIN, each.flags
        done, changes = self.alone.run(_padded(each.code), pcb)
        return Outcome(self._fault(pcb.pc, done), tuple(pcb.registers), pcb.sr & FLAGS, pcb.pc, changes)

    def _fault(self, pc: int, done: int) -> Fault | None:
        """Where the instruction was done, what the next one meets is none of its own."""
        if not self.alone.events:
            return None
        kind, numbers = self.alone.events[0]
        if kind == "fault":
            return None if done and pc != BEGIN and numbers[0] == pc else Fault(ACCESS, 0, numbers[0])
        if kind == "trap":
            return Fault(TRAP)
        vector = numbers[1] // 4
        if done and vector == faults.ADDRESS_ERROR:
            return None
        return Fault(BY_VECTOR.get(vector, -vector))


def _flow_length(code: bytes) -> int | None:
    """Of an instruction that may go elsewhere; None for others."""

    def word(offset: int) -> int:
        return int.from_bytes(code[offset : offset + 2], "big")

    if word(0) in JUMPS:
        return 2 + decode.operand(word(0) & 0o77, 2, 0, word)
    if word(0) >> 12 == BRANCHES:
        return {0: 4, 0xFF: 6}.get(word(0) & 0xFF, 2)
    if word(0) == RETURN_AND_FREE:
        return 4
    return 2 if word(0) in RETURNS else decode.falls_through(word(0))


def _undefined(each: Case, there: Outcome) -> int:
    """The condition codes that the manual leaves undefined for an instruction (M68000 Family Programmer's Reference Manual)."""
    word = first_word(each.index)
    if word & 0xF1C0 in (0x4100, 0x4180):  # chk
        return Z | V | C | (0 if there.fault is not None else N)
    if word & 0xF9C0 == 0x00C0:  # chk2, cmp2
        return N | V
    if word & 0xB1F0 == 0x8100 or word & 0xFFC0 == 0x4800:  # abcd, sbcd, nbcd
        return N | V
    if word & 0xF0C0 == 0x80C0 or word & 0xFFC0 == 0x4C40:  # divisions
        return N | Z | V if there.fault is not None else N | Z if there.flags & V else 0
    return 0
