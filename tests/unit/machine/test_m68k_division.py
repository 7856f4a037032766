"""The m68k's divisions, over extreme operands and all addressing modes (M68000 PRM, 4: DIVS, DIVSL, DIVU, DIVUL)."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

import pytest

from machemu.abi.exception import EXC_ARITHMETIC
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT
from machemu.machine.m68k.pcb import EXCEPTION_FRAME
from tests.support.cpu_bench import LAZY, LEAVE
from tests.support.m68k_bench import A0, CODE, DATA, STACK, Bench, C, N, V, X, Z, code, trap

LOW = 0x6000
EXTREMES = (
    0,
    1,
    2,
    3,
    0xFFFF,
    0x7FFF,
    0x8000,
    0x7FFFFFFF,
    0x80000000,
    0x80000001,
    0xFFFF8000,
    0xFFFFFFFE,
    0xFFFFFFFF,
    0x12345678,
)
FORMS = {"divu.w": 2, "divs.w": 2, "divul.l": 4, "divsl.l": 4, "divu.l 64": 4, "divs.l 64": 4}
"""By name: bytes of the divisor."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def number(value: int, size: int, signed: bool) -> int:
    """The low bytes of a value."""
    return int.from_bytes((value & (1 << 8 * size) - 1).to_bytes(size, "big"), "big", signed=signed)


def encode(form: str, mode: int, low: int, high: int) -> bytes:
    if form.endswith(".w"):
        return struct.pack(">H", (0x81C0 if form == "divs.w" else 0x80C0) | low << 9 | mode)
    signed, wide = 0x800 * form.startswith("divs"), 0x400 * form.endswith("64")
    return struct.pack(">HH", 0x4C40 | mode, low << 12 | signed | wide | high)


def divided(form: str, low: int, high: int, divisor: int) -> tuple[int, int, int] | None:
    """Quotient's and remainder's registers and the condition codes but X, or None where it is a zero divide."""
    size, signed, wide = FORMS[form], form.startswith("divs"), form.endswith("64")
    by = number(divisor, size, signed)
    dividend = number(high << 32 | low if wide else low, 8 if wide else 4, signed)
    if not by:
        return None
    quotient = abs(dividend) // abs(by) * (1 if (dividend < 0) == (by < 0) else -1)
    remainder = dividend - quotient * by
    least, most = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
    if not least <= quotient <= most:
        return low, high, V
    flags = N * (quotient >> 8 * size - 1 & 1) | Z * (not quotient)
    if size == 2:
        return (remainder & 0xFFFF) << 16 | quotient & 0xFFFF, high, flags
    return quotient & 0xFFFFFFFF, remainder & 0xFFFFFFFF, flags


@pytest.mark.parametrize("form", FORMS)
def test_a_division_does_what_the_manual_says_for_extreme_operands(bench: Bench, form: str) -> None:
    """N and Z are undefined where V is set."""
    pcb = bench.start(encode(form, 1, 2, 2 if form.endswith(".w") else 3) + trap(LEAVE))
    entry = pcb.pc
    highs = EXTREMES if form.endswith("64") else (0x55555555,)
    for low, high, divisor in itertools.product(EXTREMES, highs, EXTREMES):
        pcb.pc_, pcb.registers[15], pcb.sr = entry, STACK, X | N | C
        pcb.registers[1:4] = [divisor, low, high]
        bench.log.clear()
        bench.go(pcb, 1)
        expected = divided(form, low, high, divisor)
        if expected is None:
            assert [entry[1:3] for entry in bench.log] == [(EXC_ARITHMETIC, 0x14)]
            assert (pcb.registers[2:4], pcb.sr & (X | C)) == ([low, high], X)
            continue
        defined = X | V | C if expected[2] & V else 0x1F
        got = pcb.registers[2], pcb.registers[3], pcb.sr & defined
        assert got == (*expected[:2], X | expected[2]), (hex(low), hex(high), hex(divisor))
        assert not bench.log


BEFORE = {
    "cmp.b": "be01",
    "cmp.l": "be81",
    "sub.b": "9e01",
    "add.b": "de01",
    "tst.b": "4a07",
    "clr.l": "4285",
    "move to ccr": "44fc 001f",
}
"""Instructions after which Unicorn keeps the condition codes in different ways."""


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("form", ["divu.w", "divs.w", "divsl.l", "divu.l 64", "divs.l 64"])
def test_a_quotient_that_is_too_large_sets_v_and_clears_n_and_z_whatever_was_before(bench: Bench, form: str, before: str) -> None:
    """Also where the run is cut between the two. A quotient of divul.l always fits."""
    for cuts in ((3,), (1, 2), (1, 1, 1)):
        pcb = bench.start(code(BEFORE[before]) + encode(form, 1, 2, 3) + code("42c4"))
        pcb.registers[1:8] = [1, 0x7FFFFFFF, 5, 0, 0, 0, 0x80]
        if form == "divsl.l":
            pcb.registers[1:3] = [0xFFFFFFFF, 0x80000000]
        for cut in cuts:
            bench.go(pcb, cut)
        assert pcb.registers[4] & (N | Z | V | C) == V


@pytest.mark.parametrize("form", ["divs.w", "divsl.l", "divs.l 64"])
def test_a_division_s_registers_may_be_one(bench: Bench, form: str) -> None:
    """The least number by itself; and a quotient and a remainder in one register: the quotient stays."""
    for value in (0x80000000, 0xFFFFFFFF, 5):
        pcb = bench.start(encode(form, 2, 2, 2) + trap(LEAVE))
        pcb.registers[2] = value
        bench.go(pcb)
        expected = divided(form, value, value, value)
        if expected is None:
            assert (bench.log[0][2], pcb.registers[2]) == (0x14, value)
        else:
            assert (bench.log, pcb.registers[2]) == ([("trap", LEAVE)], expected[0])


POINTER = DATA + 0x100
MODES = {
    "(a0)": (0o20, "", DATA, 0, 0),
    "(a0)+": (0o30, "", DATA, 0, 0),
    "-(a0)": (0o40, "", DATA, 0, 0),
    "d16(a0)": (0o50, "fff0", DATA + 0x10, 0, 0),
    "d8(a0,d5.l*4)": (0o60, "5cf8", DATA + 0x1008, -0x400, 0),
    "d8(a0,d5.w)": (0o60, "5008", DATA + 0x7FF8, 0x12348000, 0),
    "bd(a0,d5.l*4)": (0o60, "5d20 fff0", DATA + 0x10 - 8, 2, 0),
    "([bd,a0,d5.l*4],od)": (0o60, "5d22 0010 0020", POINTER - 32, 4, DATA - 0x20),
    "([bd,a0],d5.l*4,od)": (0o60, "5d26 0010 0020", POINTER - 16, 4, DATA - 0x20 - 16),
    "([bd.l,a0],od.l)": (0o60, "0173 0000 0010 ffff fff0", POINTER - 16, 0, DATA + 16),
    "(bd.l)": (0o60, "01f0 0000 c000", 0, 0, 0),
    "absolute short": (0o70, "6000", 0, 0, 0),
    "absolute long": (0o71, "0000 c000", 0, 0, 0),
    "d16(pc)": (0o72, "", 0, 0, 0),
    "d8(pc,d5.l)": (0o73, "58fe", 0, 0, 0),
    "immediate": (0o74, "", 0, 0, 0),
}
"""By name: mode; extension words, but of two that depend on place or operand; a0, which -(a0) needs behind the operand;
d5, which for one depends on the place; and what POINTER points to."""


@pytest.mark.parametrize("divisor", [7, -1, 0])
@pytest.mark.parametrize("form", ["divs.w", "divsl.l", "divs.l 64"])
@pytest.mark.parametrize("name", MODES)
def test_the_least_number_is_divided_by_what_any_addressing_mode_names(bench: Bench, name: str, form: str, divisor: int) -> None:
    """The same operand is found for it as Unicorn finds for another dividend."""
    mode, text, address, index, pointer = MODES[name]
    size = FORMS[form]
    words = encode(form, mode, 2, 2 if size == 2 else 3)
    operand = (divisor & (1 << 8 * size) - 1).to_bytes(size, "big")
    extension = {0o72: struct.pack(">h", DATA - CODE - len(words)), 0o74: operand}.get(mode, code(text))
    if mode == 0o73:
        index = DATA - CODE - len(words) + 2
    if mode == 0o40:
        address += size
    bench.pmap.enter(VirtAddr(LOW), bench.memory.allocate(), VM_PROT_DEFAULT)
    bench.write(LOW if mode == 0o70 else DATA, operand)
    bench.write(POINTER, struct.pack(">I", pointer))
    for low, high in ((0x80000000, 0x80000000), (0, 0x80000000), (0x12345, 0)):
        pcb = bench.start(words + extension + trap(LEAVE))
        pcb.registers[2:4], pcb.registers[5], pcb.registers[A0] = [low, high], index & 0xFFFFFFFF, address
        bench.go(pcb, 1)
        expected = divided(form, low, high, divisor)
        assert pcb.registers[2:4] == list(expected[:2] if expected else (low, high))
        assert [entry[2:] for entry in bench.log] == ([] if expected else [(0x14, 0, CODE + len(words + extension))])
        assert pcb.pc == CODE + len(words + extension)
        assert pcb.registers[A0] == address + size * {0o30: 1, 0o40: -1}.get(mode, 0)
        if not expected:
            assert pcb.get_state(EXCEPTION_FRAME)[1] & 0xFFFF == 0x2014


def test_a_division_of_the_least_number_whose_divisor_is_not_there_is_done_once_it_is(bench: Bench) -> None:
    pcb = bench.start(code("83d8") + trap(LEAVE))  # divs.w (a0)+,d1
    pcb.registers[1], pcb.registers[A0], pcb.sr = 0x80000000, 0x70000000, X | N | Z | C
    assert bench.go(pcb) == 0
    assert (pcb.pc, pcb.registers[A0], pcb.sr) == (CODE, 0x70000000, X | N | Z | C)
    pcb.registers[A0] = LAZY
    bench.log.clear()
    bench.go(pcb, 1)
    assert bench.log[0][:2] == ("fault", LAZY)
    assert bench.log[1][1] == EXC_ARITHMETIC
    assert pcb.registers[A0] == LAZY + 2


def test_a_division_may_lie_across_two_pages_of_code(bench: Bench) -> None:
    """Its second page is fetched for the first time while it is translated."""
    for form, extension in (("divs.w", "0000 c000"), ("divsl.l", "0000 c000")):
        text = encode(form, 0o71, 2, 3) + code(extension)
        bench.write(DATA, struct.pack(">i", -1))
        for before in range(2, len(text), 2):
            made = Bench()
            try:
                made.write(DATA, struct.pack(">i", -1))
                start = CODE + 0x2000 - before
                made.write(start, text[:before])
                made.write(CODE + 0x2000, text[before:] + trap(LEAVE))
                pcb = made.cpu.new_pcb(made.cpu.new_task())
                pcb.set_entry(VirtAddr(start), VirtAddr(STACK))
                pcb.registers[2] = 0x80000000
                assert made.go(pcb) == 3
                assert (made.log, pcb.registers[2]) == ([("trap", LEAVE)], 0x80000000)
            finally:
                made.close()
