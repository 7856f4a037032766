"""The i386's FPU: exceptions, empty registers, what is raised, by the processor's values (Intel's manual, volume 1, 8)."""

from __future__ import annotations

import platform
import struct
import sys
from collections.abc import Iterator

import pytest

from machemu.abi.exception import EXC_ARITHMETIC, EXC_BREAKPOINT
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.i386.pcb import EBX, EFLAGS, FpuState, I386Pcb
from tests.support.cpu_bench import LAZY, LEAVE
from tests.support.i386_bench import CODE, DATA, Bench, trap

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the FPU is the host's own on Linux with x86-64 alone"
)
INVALID, DENORMAL, ZERO_DIVIDE, OVERFLOW, UNDERFLOW, INEXACT, STACK, SUMMARY = (1 << n for n in range(8))
STATUS = "dfe0"
SQRT, DIVIDE, ADD_POP, LOAD_ONE, LOAD_ZERO, NEGATE = "d9fa", "def9", "dec1", "d9e8", "d9ee", "d9e0"
BIG, SMALL, THREE = 1e308, 1e-308, 3.0


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def run(bench: Bench, text: str, *doubles: float, piece: int = 100, flags: int = 0x202, end: bytes = trap(LEAVE)) -> I386Pcb:
    """Code, with doubles from DATA + 16 on; DATA is in EBX."""
    bench.write(DATA, bytes(16) + struct.pack(f"<{len(doubles)}d", *doubles) + bytes(64))
    pcb = bench.start(bytes.fromhex(text) + end)
    pcb.registers[EBX], pcb.registers[EFLAGS] = DATA, flags
    while not bench.log or bench.log[-1][0] == "fault":
        bench.go(pcb, piece)
    return pcb


def unmasked(word: int) -> str:
    """movl $word,(%ebx); fldcw (%ebx)"""
    return f"c703{word & 0xFF:02x}{word >> 8:02x}0000d92b"


def status(bench: Bench, text: str, *doubles: float, piece: int = 100) -> int:
    """The status word behind code, read before the trap."""
    pcb = run(bench, text + STATUS + "89c1", *doubles, piece=piece)
    assert bench.log == [("trap", LEAVE)]
    return pcb.registers[1] & 0xFFFF


CASES = [
    ("sqrt(-1)", LOAD_ONE + NEGATE + SQRT, INVALID),
    ("1/0", LOAD_ONE + LOAD_ZERO + DIVIDE, ZERO_DIVIDE),
    ("0/0", LOAD_ZERO + LOAD_ZERO + DIVIDE, INVALID),
    ("pop of nothing", "ddd8", INVALID | STACK),
    ("nine loads", 9 * LOAD_ONE, INVALID | STACK),
    ("1/3", LOAD_ONE + "dc7320", INEXACT),
    ("1e308^3 to float", "dd4310dc4b10dc4b10d91b", OVERFLOW | INEXACT),
    ("1e-308 to float", "dd4318d91b", DENORMAL | UNDERFLOW | INEXACT),
    ("1e308 to int", "dd4310db1b", INVALID),
    ("1e308 to short", "dd4310df1b", INVALID),
    ("1e308 to long long", "dd4310df3b", INVALID),
    ("a denormal double", "dd4328", DENORMAL),
    ("a third as an integer", LOAD_ONE + "dc7320d9fc", INEXACT),
    ("nothing added", ADD_POP, INVALID | STACK),
    ("nothing compared", "d8d1", INVALID | STACK),
    ("nothing exchanged", "d9c9", INVALID | STACK),
    ("log of 0", LOAD_ONE + LOAD_ZERO + "d9f1", ZERO_DIVIDE),
    ("log of -1", LOAD_ONE + LOAD_ONE + NEGATE + "d9f1", INVALID),
    ("exact", LOAD_ONE + LOAD_ONE + ADD_POP, 0),
]


@pytest.mark.parametrize("piece", [1, 2, 100])
@pytest.mark.parametrize(("text", "found"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_exceptions_are_kept_however_the_run_is_cut(bench: Bench, text: str, found: int, piece: int) -> None:
    assert status(bench, "dbe3" + text, BIG, SMALL, THREE, 5e-324, piece=piece) & 0x7F == found


@pytest.mark.parametrize("clear", ["dbe2", "dbe3"], ids=["fnclex", "fninit"])
def test_exceptions_are_kept_until_they_are_cleared(bench: Bench, clear: str) -> None:
    third = LOAD_ONE + "dc7320"
    assert status(bench, third + LOAD_ONE + LOAD_ONE + ADD_POP, BIG, SMALL, THREE) & 0x7F == INEXACT
    assert status(bench, third + clear + LOAD_ONE + LOAD_ONE + ADD_POP, BIG, SMALL, THREE) & 0xFF == 0


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("dbe3" + LOAD_ONE + LOAD_ZERO + DIVIDE + "d9e5", 0x0500),
        ("dbe3" + LOAD_ZERO + LOAD_ZERO + DIVIDE + "d9e5", 0x0300),
        ("dbe3d9e5", 0x4100),
        ("dbe3" + LOAD_ZERO + "d9e5", 0x4000),
        ("dbe3" + LOAD_ONE + NEGATE + "d9e5", 0x0600),
    ],
)
def test_fxam_knows_what_is_there(bench: Bench, text: str, conditions: int) -> None:
    mask = 0x4500 if conditions == 0x4100 else 0x4700
    assert status(bench, text) & mask == conditions


def test_c1_tells_that_a_result_was_rounded_up(bench: Bench) -> None:
    third = LOAD_ONE + "dc7310"
    assert status(bench, unmasked(0x0F7F) + third, THREE) & 0x220 == INEXACT, "towards zero nothing is rounded up"
    assert status(bench, unmasked(0x0B7F) + third, THREE) & 0x220 == INEXACT | 0x200


RAISED = [
    ("invalid", 0x37E, LOAD_ONE + NEGATE + SQRT, INVALID),
    ("stack", 0x37E, ADD_POP, INVALID | STACK),
    ("denormal", 0x37D, "dd4328", DENORMAL),
    ("zero divide", 0x37B, LOAD_ONE + LOAD_ZERO + DIVIDE, ZERO_DIVIDE),
    ("overflow", 0x377, "dd4310dcc8dcc8dcc8dcc8dcc8", OVERFLOW),
    ("inexact", 0x35F, LOAD_ONE + "dc7320", INEXACT),
    ("underflow", 0x36F, "dd4318d91b", UNDERFLOW),
]
WAITING = {
    "fwait": "9b",
    "fld1": LOAD_ONE,
    "fstcw": "9bd93b",
    "fadd": "dcc0",
    "fst": "dd5b08",
    "fldcw": "d92b",
    "emms": "0f77",
    "paddb": "0ffcc0",
}


@pytest.mark.parametrize("piece", [1, 100])
@pytest.mark.parametrize("waiting", WAITING)
@pytest.mark.parametrize(("control", "text", "found"), [case[1:] for case in RAISED], ids=[case[0] for case in RAISED])
def test_an_unmasked_exception_is_raised_by_the_next_instruction_that_waits(
    bench: Bench, control: int, text: str, found: int, waiting: str, piece: int
) -> None:
    before = "dbe3" + unmasked(control) + text + "90"
    pcb = run(bench, before + WAITING[waiting], BIG, SMALL, THREE, 5e-324, piece=piece)
    (what, exception, code, subcode), *_ = bench.log
    assert (what, exception, code) == ("exception", EXC_ARITHMETIC, 5)
    assert int(str(subcode)) & (found | SUMMARY | 0x8000) == found | SUMMARY | 0x8000
    assert pcb.pc == CODE + len(before) // 2


@pytest.mark.parametrize("text", [STATUS, "d93b", "dbe2", "dbe3", "d97308", "dd7308", "dd7b08"])
def test_instructions_that_do_not_wait_raise_nothing(bench: Bench, text: str) -> None:
    """FNSTSW, FNSTCW, FNCLEX, FNINIT, FNSTENV, FNSAVE, FNSTSW to memory."""
    run(bench, unmasked(0x37B) + LOAD_ONE + LOAD_ZERO + DIVIDE + text)
    assert bench.log == [("trap", LEAVE)]


def test_an_exception_that_is_unmasked_keeps_operands_and_stack(bench: Bench) -> None:
    pcb = run(bench, "dbe3" + unmasked(0x37B) + LOAD_ONE + LOAD_ZERO + DIVIDE)
    fpu = pcb.fpu
    assert isinstance(fpu, FpuState)
    assert (fpu.status, fpu.tags) == (0xB084, 0x1FFF)
    assert [fpu.data[10 * n : 10 * n + 10] for n in (6, 7)] == [bytes(10), bytes(7) + b"\x80\xff\x3f"]


@pytest.mark.parametrize("piece", [1, 100])
@pytest.mark.parametrize(
    ("control", "text"),
    [
        (0x36F, "d95b04"),
        (0x37E, "db5b04"),
        (0x377, "d95b04"),
        (0x37E, "df7b04"),
        (0x37E, "d95c2300"),
        (0x37E, "3e64d91d04900000"),
    ],
)
def test_a_store_with_an_unmasked_exception_stores_nothing_and_goes_on(bench: Bench, control: int, text: str, piece: int) -> None:
    number = SMALL if control == 0x36F else BIG
    load = "dd4310" if text[:4] not in ("d95c", "3e64") else ""
    pcb = run(bench, "dbe3" + unmasked(control) + load + text + "b807000000" + STATUS, number, piece=piece)
    assert bench.log == [("trap", LEAVE)]
    assert bench.memory.view[(bench.pmap.translate(DATA, VM_PROT_READ) or 0) + 4 :][:8] == bytes(8)  # type: ignore[arg-type]
    assert pcb.fpu is not None
    assert pcb.fpu.status & SUMMARY
    assert pcb.fpu.status >> 11 & 7 == (7 if load else 0)


def test_a_traced_store_that_stores_nothing_traps_behind_itself(bench: Bench) -> None:
    text = unmasked(0x377) + "dd4310"
    pcb = bench.start(bytes.fromhex(text + "d95b04") + trap(LEAVE))
    pcb.registers[EBX] = DATA
    bench.write(DATA, bytes(16) + struct.pack("<d", BIG))
    bench.go(pcb, 3)
    pcb.registers[EFLAGS] |= 0x100
    bench.log.clear()
    bench.go(pcb, 10)
    assert bench.log == [("exception", EXC_BREAKPOINT, 1, 0)]
    assert pcb.pc == CODE + len(text) // 2 + 3


def test_fnstenv_masks_all_exceptions(bench: Bench) -> None:
    pcb = run(bench, "dbe3" + unmasked(0x37B) + LOAD_ONE + LOAD_ZERO + DIVIDE + "d97308" + LOAD_ONE)
    assert bench.log == [("trap", LEAVE)]
    assert pcb.fpu is not None
    assert (pcb.fpu.control, pcb.fpu.status & (SUMMARY | ZERO_DIVIDE)) == (0x37F, ZERO_DIVIDE)


def test_fldenv_brings_exceptions_back(bench: Bench) -> None:
    text = "dbe3" + unmasked(0x37B) + LOAD_ONE + LOAD_ZERO + DIVIDE + "d97308" + "d96308"
    run(bench, text + LOAD_ONE)
    assert bench.log[0][:3] == ("exception", EXC_ARITHMETIC, 5)


@pytest.mark.parametrize("opcode", ["dd05", "db2d", "d905", "df25"], ids=["fldl", "fldt", "flds", "fbld"])
def test_an_operand_in_a_page_that_comes_late_is_loaded_once(bench: Bench, opcode: str) -> None:
    pcb = run(bench, "dbe3" + LOAD_ONE + opcode + struct.pack("<I", LAZY + 8).hex())
    assert bench.log == [("fault", LAZY + 8, VM_PROT_READ), ("trap", LEAVE)]
    assert pcb.fpu is not None
    assert pcb.fpu.status >> 11 & 7 == 6


@pytest.mark.parametrize("opcode", ["d915", "d91d", "dd15", "dd1d", "db15", "db1d", "df15", "df1d", "df3d", "3ed91d"])
def test_a_store_into_a_page_that_comes_late_stores_and_leaves_its_exception_pending(bench: Bench, opcode: str) -> None:
    """A third is stored, with the exception for inexact results unmasked: that comes after storing, and waits (8.5.6, 8.6)."""
    text = "dbe3" + LOAD_ONE + "dc7320" + "dbe2" + unmasked(0x35F) + opcode + struct.pack("<I", LAZY + 8).hex() + STATUS + "89c1"
    pcb = run(bench, text, BIG, SMALL, THREE)
    assert bench.log == [("fault", LAZY + 8, VM_PROT_READ | VM_PROT_WRITE), ("trap", LEAVE)]
    assert pcb.registers[1] & 0xC0BF == 0x80A0
    bench.log.clear()
    run(bench, text + LOAD_ZERO, BIG, SMALL, THREE)
    assert bench.log[-1][:3] == ("exception", EXC_ARITHMETIC, 5)


@pytest.mark.parametrize("piece", [1, 100])
@pytest.mark.parametrize(
    ("text", "at"), [("dbe3d9eed97308", 2), ("dbe390d9e8d9e890d97308", 5), ("dbe3d9e8d93bdbe2d97308", 2), ("dbe3dd4310d97308", 2)]
)
def test_an_environment_tells_which_instruction_was_the_last_one(bench: Bench, text: str, at: int, piece: int) -> None:
    """Control instructions are none (FNSTCW, FNCLEX)."""
    run(bench, text, 1.5, piece=piece)
    place = bench.pmap.translate(VirtAddr(DATA + 8), VM_PROT_READ) or 0
    assert struct.unpack_from("<I", bench.memory.view, place + 12) == (CODE + at,)


def test_of_a_signaling_and_a_quiet_nan_the_quiet_one_is_the_result(bench: Bench) -> None:
    """fldz; fdiv %st(0),%st, whose NaN is the indefinite one; fadds of a signaling one with more digits."""
    pcb = run(bench, "dbe3d9eed8f0dbe2c703ffffbf7fd803")
    assert pcb.fpu is not None
    assert pcb.fpu.data[70:80] == bytes(7) + b"\xc0\xff\xff"
    assert pcb.fpu.status & 0x7F == INVALID
