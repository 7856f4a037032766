"""The i386 CPU where Unicorn's would end its process: what the processor does comes out (Intel's manual, volume 2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from machemu.abi.exception import Exc
from machemu.abi.types import Instructions
from machemu.machine.i386.pcb import EAX, ECX, EDX
from machemu.machine.i386.screen import LOCKABLE
from tests.unit.machine.cpu_bench import LEAVE
from tests.unit.machine.test_i386_cpu import CODE, DATA, Bench, trap

DIVIDES = (int(Exc.EXC_ARITHMETIC), 1)
UNDEFINED = (int(Exc.EXC_BAD_INSTRUCTION), 1)
PROTECTED = (int(Exc.EXC_BAD_INSTRUCTION), 13)
SINGLE_STEP = (int(Exc.EXC_BREAKPOINT), 1)
LEAST, MINUS_ONE = 0x80000000, 0xFFFFFFFF
POP_TRACE = b"\x9c\x81\x0c\x24\0\1\0\0\x9d"
"""pushf; or $0x100,(%esp); popf: the trace flag holds from the instruction after the next one on."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def exceptions(bench: Bench) -> list[tuple[object, object]]:
    """Exception and code of each that was raised."""
    return [(what[1], what[2]) for what in bench.log if what[0] == "exception"]


@pytest.mark.parametrize(
    ("code", "eax", "edx", "ecx"),
    [
        (b"\xf7\xf9", 0, LEAST, MINUS_ONE),
        (b"\xf7\x3d" + struct.pack("<I", DATA), 0, LEAST, MINUS_ONE),
        (b"\x66\xf7\xf9", 0, 0x8000, MINUS_ONE),
        (b"\xf7\xf9", LEAST, MINUS_ONE, MINUS_ONE),
        (b"\xf7\xf9", 5, 0, 0),
        (b"\xf6\xf9", 0xFF80, 0, MINUS_ONE),
    ],
    ids=["of 64 bits", "of 64 bits by memory", "of 32 bits", "of 32 bits in EAX", "by zero", "of 8 bits"],
)
def test_a_signed_quotient_that_does_not_fit_is_a_divide_error(bench: Bench, code: bytes, eax: int, edx: int, ecx: int) -> None:
    bench.write(DATA, struct.pack("<I", MINUS_ONE))
    pcb = bench.start(code + trap(LEAVE))
    pcb.registers[EAX], pcb.registers[EDX], pcb.registers[ECX] = eax, edx, ecx
    bench.go(pcb)
    assert exceptions(bench) == [DIVIDES]
    assert (pcb.pc, pcb.registers[EAX], pcb.registers[EDX]) == (CODE, eax, edx)


def test_a_signed_quotient_that_just_fits_is_the_result(bench: Bench) -> None:
    pcb = bench.start(b"\xf7\xf9" + trap(LEAVE))
    pcb.registers[EAX], pcb.registers[EDX], pcb.registers[ECX] = LEAST + 1, MINUS_ONE, MINUS_ONE
    bench.go(pcb)
    assert exceptions(bench) == []
    assert pcb.registers[EDX] == 0


IN_REGISTERS = [b"\xa3\xc8", b"\xab\xc8", b"\xb3\xc8", b"\xbb\xc8", *(bytes((0xBA, 0xC0 | n << 3, 1)) for n in range(4, 8))]


@pytest.mark.parametrize("second", IN_REGISTERS, ids=bytes.hex)
def test_lock_of_a_bit_in_a_register_is_undefined(bench: Bench, second: bytes) -> None:
    pcb = bench.start(b"\xf0\x0f" + second + trap(LEAVE))
    bench.go(pcb)
    assert exceptions(bench) == [UNDEFINED]
    assert pcb.pc == CODE


PREFIXES = (0x0F, 0xF0, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF2, 0xF3)


@pytest.mark.parametrize("opcode", [bytes((byte,)) for byte in range(0x100) if byte not in PREFIXES])
def test_lock_is_refused_where_the_manual_does_not_allow_it(bench: Bench, opcode: bytes) -> None:
    """With a register for every operand there is no instruction that LOCK is allowed with."""
    pcb = bench.start(b"\xf0" + opcode + b"\xc1\1\0\0\0\0\0" + trap(LEAVE))
    bench.go(pcb)
    assert exceptions(bench)[:1] == [UNDEFINED]
    assert pcb.pc == CODE


@pytest.mark.parametrize("opcode", LOCKABLE, ids=bytes.hex)
def test_lock_is_allowed_where_the_manual_allows_it(bench: Bench, opcode: bytes) -> None:
    for reg in LOCKABLE[opcode]:
        pcb = bench.start(b"\xf0" + opcode + bytes((5 | reg << 3,)) + struct.pack("<I", DATA) + b"\0" * 4)
        pcb.registers[EAX] = 0
        bench.cpu.activate(pcb, bench.pmap)
        bench.cpu.run(Instructions(1))
        bench.cpu.deactivate()
        assert exceptions(bench) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [(b"\xe4\x60", PROTECTED), (b"\xe6\x60", PROTECTED), (b"\x0f\x34", PROTECTED), (b"\x0f\x05", UNDEFINED)],
    ids=["in", "out", "sysenter", "syscall"],
)
def test_a_traced_instruction_that_is_refused_raises_its_own_exception_alone(
    bench: Bench, code: bytes, expected: tuple[int, int]
) -> None:
    pcb = bench.start(POP_TRACE + code + trap(LEAVE))
    bench.go(pcb)
    assert exceptions(bench) == [expected]
    assert pcb.pc == CODE + len(POP_TRACE)
