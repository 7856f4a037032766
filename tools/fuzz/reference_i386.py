"""The host's own processor as the reference for the i386; see reference_i386.c."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from machemu.machine.i386 import faults
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.i386.fpu import INITIAL
from machemu.machine.i386.pcb import EFLAGS, I386Pcb
from tools.fuzz import encodings
from tools.fuzz.encodings import Encoding
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
from tools.fuzz.values import DIRECTION

PROCESSORS: Final = Path("/proc/cpuinfo")
VENDOR: Final = "GenuineIntel"
SOURCE: Final = Path(__file__).with_suffix(".c")
COMPILER: Final = (
    *("gcc", "-m32", "-static", "-nostdlib", "-ffreestanding", "-fno-pie", "-no-pie"),
    *("-fno-stack-protector", "-mno-sse", "-O1"),
)
ORDER: Final = "<"
COUNT: Final = len(encodings.i386())
TEST: Final = struct.Struct(f"<11I64s{CODE_MAX}s")
RESULT: Final = struct.Struct("<13I64sI")
CHANGE: Final = struct.Struct("<2I")
FILLER: Final = b"\xcc"
"""What is in memory where nothing else is: a breakpoint."""
MEDIA: Final = bytes((7 * n + 0x81) & 0xFF for n in range(64))
"""MM0 to MM7 at the begin."""
EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
CF, PF, AF, ZF, SF, DF, OF = 1, 4, 0x10, 0x40, 0x80, 0x400, 0x800
FLAGS: Final = CF | PF | AF | ZF | SF | DF | OF
ARITHMETIC: Final = FLAGS & ~DF
INTERRUPT_ENABLED: Final = 0x202
DEBUG, BREAKPOINT, UNDEFINED_OPCODE, PAGE_FAULT, ALIGNMENT = 1, 3, 6, 14, 17
BREAKPOINTS: Final = (b"\xcc", b"\xcd\x03")
LINUX: Final = 0x80
LINUX_CALLS: Final = (b"\x0f\x05", b"\x0f\x34")
"""syscall and sysenter, which the host's system would take for its own."""
UNKNOWN: Final = -1
"""Whether an access to the kernel's addresses was a store: Mach's exception does not say."""
PUSHF: Final = b"\x9c"
POINTERS: Final = (EBX, EBP, ESI, EDI)
VECTORS: Final = {(exception, code): vector for vector, (exception, code, _) in faults.FAULTS.items() if vector != ALIGNMENT} | {
    faults.KERNEL_ADDRESS: PAGE_FAULT,
    faults.SINGLE_STEP: DEBUG,
    faults.FPU_FAULT: 16,
}


@cache
def _processor() -> dict[str, str]:
    """What Linux says of the first one."""
    try:
        lines = PROCESSORS.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError as error:
        raise NoReference(str(error)) from None
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def check() -> None:
    vendor = _processor().get("vendor_id", "none")
    if vendor != VENDOR:
        raise NoReference(f"the processor is {vendor}'s, and the list of differences is made for {VENDOR}'s")


def has(feature: str) -> bool:
    return feature in _processor().get("flags", "").split()


@cache
def build(folder: Path) -> Path:
    """The reference program. CalledProcessError, FileNotFoundError where the host has no compiler of 32 bits."""
    target = folder / "reference_i386"
    subprocess.run((*COMPILER, "-o", target, SOURCE), check=True, capture_output=True)
    return target


def case(random: Random, index: int) -> Case:
    """An instruction of the list with operands, registers and flags; base registers mostly name memory."""
    encoding = encodings.i386()[index]
    registers = [number(random) for _ in range(8)]
    for pointer in POINTERS:
        if random.random() < 0.8:
            registers[pointer] = place(random, *random.choice(((DATA, DATA_SIZE), (DATA, DATA_SIZE), (STACK, STACK_SIZE))))
    if random.random() < 0.5:
        registers[ECX] = random.choice((0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33))
    if random.random() < 0.2:
        registers[EAX] = place(random, CODE, CODE_SIZE)
    registers[ESP] = place(random, STACK, STACK_SIZE)
    code = encoding.code if encoding.opcode == PUSHF else encoding.code + _operands(random, encoding)
    flags = INTERRUPT_ENABLED | random.getrandbits(12) & FLAGS
    if random.random() < 0.7:
        flags &= ~DIRECTION
    return Case(index, code[:CODE_MAX], tuple(registers), flags, encoding.opcode != PUSHF)


def is_compared(index: int) -> bool:
    return encodings.i386()[index].opcode not in LINUX_CALLS


def facts(index: int) -> Facts:
    encoding = encodings.i386()[index]
    if not encoding.modrm:
        return Facts(encoding.opcode, encoding.prefixes)
    return Facts(encoding.opcode, encoding.prefixes, encoding.modrm[0] >> 3 & 7, "memory" if encoding.is_memory else "register")


def difference(each: Case, there: Outcome, here: Outcome) -> Difference | None:
    fields = differing(there, here, FLAGS & ~_undefined(each, here))
    if here.fault is not None and here.fault.detail == UNKNOWN:
        fields.discard("access")
    if _undefined_register(each, here):
        fields.discard("registers")
    opcode = encodings.i386()[each.index].opcode
    if opcode[0] != encodings.ESCAPE:
        fields.discard("media")
    return Difference(frozenset(fields), here.fault is not None and here.fault.number == UNDEFINED_OPCODE) if fields else None


def _undefined_register(each: Case, here: Outcome) -> bool:
    """What BSF and BSR leave of zero, BSWAP of 16 bits, and SHLD and SHRD of 16 bits by more than 16."""
    encoding = encodings.i386()[each.index]
    opcode = encoding.opcode
    if opcode in SCANS:
        return bool(here.flags & ZF)
    if opcode[:1] == b"\x0f" and 0xC8 <= opcode[1] < 0xD0:
        return _is_short(encoding)
    return opcode in DOUBLE_SHIFTS and _is_short(encoding) and _double_count(each, encoding) > 16


def _operands(random: Random, encoding: Encoding) -> bytes:
    """Small and extreme numbers, addresses in the data; never the interrupt that calls the host's system."""
    choice = random.random()
    if choice < 0.4:
        data = struct.pack("<3I", *(number(random) for _ in range(3)))
    elif choice < 0.8:
        data = struct.pack("<IHIH", place(random, DATA, DATA_SIZE), 0, number(random), 0)
    else:
        data = random.randbytes(10)
    if encoding.opcode == b"\xcd" and data[0] == LINUX:
        data = b"\x77" + data[1:]
    return data


def reference(program: Path, memory: bytes, cases: Sequence[Case]) -> list[Outcome]:
    """What the host's processor makes of them."""
    data = b"".join(
        TEST.pack(*each.registers, each.flags, BEGIN, each.traced, MEDIA, each.code.ljust(CODE_MAX, FILLER)) for each in cases
    )
    output = subprocess.run((program,), input=memory + data, capture_output=True, check=True).stdout
    found: list[Outcome] = []
    at = 0
    for each in cases:
        trap, error, address, *words, media, count = RESULT.unpack_from(output, at)
        at += RESULT.size
        changes = dict(CHANGE.iter_unpack(output[at : at + CHANGE.size * count]))
        at += CHANGE.size * count
        registers, flags, pc = tuple(words[:8]), words[8], words[9]
        fault: Fault | None = None
        if trap == BREAKPOINT and not is_breakpoint(each.index, each.code):
            pc -= len(FILLER)
        elif trap != DEBUG:
            fault = _fault(trap, error, address)
        found.append(Outcome(fault, registers, flags, pc, changes, media))
    return found


def _fault(trap: int, error: int, address: int) -> Fault:
    if trap == PAGE_FAULT:
        return Fault(trap, error >> 1 & 1, address)
    return Fault(trap, error & 0xFFFF)


def is_breakpoint(index: int, code: bytes) -> bool:
    encoding = encodings.i386()[index]
    return code[len(encoding.prefixes) :].startswith(BREAKPOINTS)


class Here:
    """Our CPU."""

    def __init__(self, memory: bytes) -> None:
        self.alone = Alone(I386Cpu, memory)
        self.task = self.alone.cpu.new_task()

    def close(self) -> None:
        self.alone.close()

    def cut(self, each: Case) -> Case:
        return each

    def run(self, each: Case) -> Outcome:
        alone = self.alone
        pcb = alone.cpu.new_pcb(self.task)
        assert isinstance(pcb, I386Pcb)
        pcb.registers = [*each.registers, BEGIN, each.flags]
        pcb.fpu = INITIAL._replace(tags=0, data=b"".join(MEDIA[8 * n : 8 * n + 8] + b"\xff\xff" for n in range(8)))
        done, changes = alone.run(each.code.ljust(CODE_MAX, FILLER), pcb)
        fault = self._fault(pcb.pc, done)
        media = b"".join(pcb.fpu.data[10 * n : 10 * n + 8] for n in range(8)) if pcb.fpu is not None else MEDIA
        return Outcome(fault, tuple(pcb.registers[:8]), pcb.registers[EFLAGS], pcb.pc, changes, media)

    def _fault(self, pc: int, done: int) -> Fault | None:
        """Where the instruction was done, what the next one meets is none of its own."""
        if not self.alone.events:
            return None
        kind, numbers = self.alone.events[0]
        if kind == "trap":
            return Fault(-1, numbers[0])
        if kind == "fault":
            address, writes = numbers
            return None if done and address == pc else Fault(PAGE_FAULT, writes, address)
        exception, code, subcode = numbers
        vector = VECTORS.get((exception, code), -2)
        if vector == PAGE_FAULT:
            return None if done and subcode == pc else Fault(vector, UNKNOWN, subcode)
        return Fault(vector, subcode)


def _undefined(each: Case, here: Outcome) -> int:
    """The flags that the manual leaves undefined for an instruction (Intel's manual, volume 2, "flags affected")."""
    encoding = encodings.i386()[each.index]
    opcode, reg = encoding.opcode, encoding.modrm[0] >> 3 & 7 if encoding.modrm else 0
    if opcode in SHIFT_GROUPS:
        return _of_shift(each, encoding, reg)
    if opcode in (b"\xf6", b"\xf7"):
        return (AF, AF, 0, 0, *2 * (SF | ZF | AF | PF,), *2 * (ARITHMETIC,))[reg]
    if opcode in REPEATED_COMPARISONS and here.pc == BEGIN:
        return ARITHMETIC
    if opcode in DOUBLE_SHIFTS:
        count = _double_count(each, encoding)
        return 0 if not count else AF if count == 1 else ARITHMETIC if _is_short(encoding) and count > 16 else AF | OF
    if opcode in (b"\x80", b"\x81", b"\x82", b"\x83"):
        return AF if reg in (1, 4, 6) else 0
    return UNDEFINED.get(opcode, 0)


def _double_count(each: Case, encoding: Encoding) -> int:
    return (each.registers[ECX] if encoding.opcode[1] & 1 else each.code[len(encoding.code)]) & 31


REPEATED_COMPARISONS: Final = (b"\xa6", b"\xa7", b"\xae", b"\xaf")
"""While they are not at their end the flags are those of before (volume 2, REP)."""
SCANS: Final = (b"\x0f\xbc", b"\x0f\xbd")
SHIFT_GROUPS: Final = tuple(bytes((byte,)) for byte in (0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3))
DOUBLE_SHIFTS: Final = (b"\x0f\xa4", b"\x0f\xa5", b"\x0f\xac", b"\x0f\xad")
UNDEFINED: Final = {
    **{bytes((row | column,)): AF for row in (0x08, 0x20, 0x30) for column in range(6)},
    **{bytes((test,)): AF for test in (0x84, 0x85, 0xA8, 0xA9)},
    **{bytes((multiply,)): SF | ZF | AF | PF for multiply in (0x69, 0x6B)},
    b"\x0f\xaf": SF | ZF | AF | PF,
    b"\x27": OF,
    b"\x2f": OF,
    **{bytes((adjust,)): OF | SF | ZF | PF for adjust in (0x37, 0x3F)},
    **{bytes((adjust,)): OF | AF | CF for adjust in (0xD4, 0xD5)},
    **{bytes((0x0F, bit)): OF | SF | AF | PF for bit in (0xA3, 0xAB, 0xB3, 0xBB, 0xBA)},
    **{bytes((0x0F, scan)): CF | OF | SF | AF | PF for scan in (0xBC, 0xBD)},
}
"""OR, AND, XOR, TEST; IMUL; DAA, DAS; AAA, AAS; AAM, AAD; BT and the like; BSF, BSR."""


def _is_short(encoding: Encoding) -> bool:
    return encodings.OPERAND in encoding.prefixes


def _of_shift(each: Case, encoding: Encoding, reg: int) -> int:
    """By the count: OF is defined for 1 alone; AF for none; CF only where a shift's count is less than the operand's size."""
    size = 8 if not encoding.opcode[0] & 1 else 16 if _is_short(encoding) else 32
    if encoding.opcode[0] in (0xD0, 0xD1):
        count = 1
    else:
        count = (each.registers[ECX] if encoding.opcode[0] >= 0xD2 else each.code[len(encoding.code)]) & 31
    if not count:
        return 0
    over = OF if count > 1 else 0
    if reg < 4:
        return over
    return over | AF | (CF if count >= size and reg != 7 else 0)
