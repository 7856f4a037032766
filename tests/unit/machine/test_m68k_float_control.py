"""The m68k's floating-point control registers, exceptions, remainders and packed decimals, by the manuals' values."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from random import Random

import pytest

from machemu.abi.exception import EXC_ARITHMETIC, EXC_EMULATION
from machemu.machine.m68k import extended, packed
from machemu.machine.m68k.extended import Extended
from machemu.machine.m68k.pcb import FLOAT_STATE, M68kPcb
from tests.support.cpu_bench import LAZY, LEAVE
from tests.support.m68k_bench import CODE, DATA, Bench, code, trap

A0, A1 = 8, 9
LOAD = "f218 4800"  # fmove.x (a0)+,fp0
LOAD_BOTH = LOAD + "f218 4880"  # and fp1
READ_STATUS = "f207 a800"  # fmove.l fpsr,d7
SQRT, DIVIDE, SQUARE, COMPARE = "f200 0004", "f200 0420", "f200 0023", "f200 0438"
BSUN, SNAN, OPERR, OVFL, UNFL, DZ, INEX2, INEX1 = (1 << n for n in range(15, 7, -1))
IOP, A_OVFL, A_UNFL, A_DZ, A_INEX = 0x80, 0x40, 0x20, 0x10, 8
ONE, MINUS_ONE, THREE = (0x3FFF, 1 << 63), (0xBFFF, 1 << 63), (0x4000, 3 << 62)
ZERO, INFINITY, NAN, SIGNALING = (0, 0), (0x7FFF, 0), (0x7FFF, (1 << 64) - 1), (0x7FFF, 0x8000000000000001)
LARGEST, SMALLEST = (0x7FFE, (1 << 64) - 1), (0x0001, 1 << 63)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def run(bench: Bench, text: str, *numbers: tuple[int, int], control: int = 0, piece: int = 100, **registers: int) -> M68kPcb:
    """Code with numbers in extended precision at DATA, which is in a0."""
    bench.write(DATA, b"".join(struct.pack(">HHQ", exponent, 0, mantissa) for exponent, mantissa in numbers).ljust(64, b"\x55"))
    pcb = bench.start(code(text) + trap(LEAVE))
    pcb.registers[A0] = DATA
    for name, value in registers.items():
        pcb.registers[["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "a0", "a1"].index(name)] = value
    state = list(pcb.get_state(FLOAT_STATE))
    pcb.set_state(FLOAT_STATE, (*state[:24], control, 0, 0))
    while not bench.log:
        bench.go(pcb, piece)
    return pcb


def number(pcb: M68kPcb, register: int = 0) -> tuple[int, int]:
    first, high, low = pcb.get_state(FLOAT_STATE)[3 * register : 3 * register + 3]
    return first >> 16, high << 32 | low


def raised(bench: Bench) -> int:
    """The vector of the exception that ended the code."""
    assert [what[:2] for what in bench.log] == [("exception", EXC_ARITHMETIC)]
    return int(bench.log[0][2]) // 4  # type: ignore[call-overload, no-any-return]


CONTROLS = [
    ("f210 bc00", 0, [0x30, 0x0A000000, 0x1234]),  # fmovem.l fpcr/fpsr/fpiar,(a0)
    ("f228 b800 0004", 4, [0x30, 0x0A000000]),  # fmovem.l fpcr/fpsr,(4,a0)
    ("f210 ac00", 0, [0x0A000000, 0x1234]),  # fmovem.l fpsr/fpiar,(a0)
    ("f218 a800", 0, [0x0A000000]),  # fmove.l fpsr,(a0)+
]


@pytest.mark.parametrize(("text", "at", "words"), CONTROLS)
def test_control_registers_lie_in_memory_in_their_order(bench: Bench, text: str, at: int, words: list[int]) -> None:
    set_all = "f23c 9000 0000 0030 f23c 8800 0a00 0000 f23c 8400 0000 1234"
    run(bench, set_all + text)
    assert bench.read(DATA + at, 4 * len(words)) == struct.pack(f">{len(words)}I", *words)


def test_before_a_predecremented_address_they_lie_so_too(bench: Bench) -> None:
    pcb = run(bench, "f23c 9c00 0000 0010 0500 0000 0000 5678 f220 bc00", a0=DATA + 12)  # fmovem.l ...,-(a0)
    assert (pcb.registers[A0], bench.read(DATA, 12)) == (DATA, struct.pack(">3I", 0x10, 0x05000000, 0x5678))


@pytest.mark.parametrize("text", ["f218 9c00", "f210 9c00", "f23c 9c00 0000 0020 0200 0000 0000 9abc"])
def test_they_are_loaded_in_that_order(bench: Bench, text: str) -> None:
    """fmovem.l (a0)+ or (a0) or #...,fpcr/fpsr/fpiar"""
    set_memory = "20bc 0000 0020 217c 0200 0000 0004 217c 0000 9abc 0008"
    pcb = run(bench, set_memory + text)
    assert pcb.get_state(FLOAT_STATE)[24:] == (0x20, 0x02000000, 0x9ABC)
    assert pcb.registers[A0] == (DATA + 12 if text == "f218 9c00" else DATA)


def test_the_instruction_address_goes_to_and_from_address_registers(bench: Bench) -> None:
    pcb = run(bench, "f209 8400 f20a a400", a1=0x4321)  # fmove.l a1,fpiar; fmove.l fpiar,a2
    assert (pcb.registers[10], pcb.get_state(FLOAT_STATE)[26]) == (0x4321, 0x4321)


@pytest.mark.parametrize("text", ["f200 9800", "f208 9000", "f208 8800", "f200 bc00", "f23c b000 0000 0000", "f210 9001"])
def test_what_is_no_move_of_control_registers_is_no_instruction(bench: Bench, text: str) -> None:
    """Two to a data register; what an address register cannot hold; a store into the instruction."""
    run(bench, text)
    assert bench.log[0][:3] == ("exception", EXC_EMULATION, 44)


@pytest.mark.parametrize("piece", [1, 100], ids=["step by step", "in one go"])
def test_the_instruction_address_is_the_last_one_s_that_computes(bench: Bench, piece: int) -> None:
    pcb = run(bench, LOAD_BOTH + DIVIDE + "f201 b000 f210 4100" + "f210 f0c0 4e71", ONE, THREE, ONE, piece=piece)
    assert pcb.get_state(FLOAT_STATE)[26] == CODE + 16  # fmove.l (a0),fp2


INTEGERS = [
    ("b", 5, 0x05, 0),
    ("b", 300, 0x7F, OPERR),
    ("b", -300, 0x80, OPERR),
    ("b", -5, 0xFB, 0),
    ("b", 2.5, 0x02, INEX2),
    ("w", 70000, 0x7FFF, OPERR),
    ("w", -70000, 0x8000, OPERR),
    ("w", 32767.5, 0x7FFF, OPERR),
    ("w", math.inf, 0x7FFF, OPERR),
    ("w", -math.inf, 0x8000, OPERR),
    ("b", math.nan, 0xC0, OPERR),
]
LOAD_SINGLE = "f200 4400"  # fmove.s d0,fp0


@pytest.mark.parametrize(("size", "value", "low", "exceptions"), INTEGERS)
def test_bytes_and_words_to_a_data_register_are_the_nearest_that_fit_and_leave_the_rest(
    bench: Bench, size: str, value: float, low: int, exceptions: int
) -> None:
    bits, store = (8, "f201 7800") if size == "b" else (16, "f201 7000")
    single = int.from_bytes(struct.pack(">f", value), "big")
    pcb = run(bench, LOAD_SINGLE + store + READ_STATUS, d0=single, d1=0xAAAAAAAA)
    assert pcb.registers[1] == 0xAAAAAAAA >> bits << bits | low
    assert pcb.registers[7] & 0xFF00 == exceptions


@pytest.mark.parametrize(("mode", "moved"), [(0x10, 0), (0x18, 1), (0x20, -1)], ids=["(a0)", "(a0)+", "-(a0)"])
@pytest.mark.parametrize(("size", "value", "low", "exceptions"), INTEGERS)
def test_bytes_and_words_to_memory_are_the_nearest_that_fit(
    bench: Bench, size: str, value: float, low: int, exceptions: int, mode: int, moved: int
) -> None:
    form, width = (0x7800, 1) if size == "b" else (0x7000, 2)
    single = int.from_bytes(struct.pack(">f", value), "big")
    pcb = run(bench, LOAD_SINGLE + f"f2{mode:02x} {form:04x}" + READ_STATUS, d0=single, a0=DATA + 8)
    at = DATA + 8 + min(moved, 0) * width
    assert bench.read(at - 1, width + 2) == b"\x55" + low.to_bytes(width, "big") + b"\x55"
    assert (pcb.registers[A0], pcb.registers[7] & 0xFF00) == (DATA + 8 + moved * width, exceptions)


def test_a_byte_to_a_page_that_comes_late_is_stored_once(bench: Bench) -> None:
    pcb = bench.start(code(LOAD_SINGLE + "f218 7800") + trap(LEAVE))  # fmove.b fp0,(a0)+
    pcb.registers[A0], pcb.registers[0] = LAZY, 0x40A00000
    while ("trap", LEAVE) not in bench.log:
        bench.go(pcb)
    assert (bench.read(LAZY, 2), pcb.registers[A0]) == (b"\x05\0", LAZY + 1)


EXCEPTIONS = [
    ("the root of a negative number", LOAD + SQRT, [MINUS_ONE], OPERR, IOP),
    ("zero by zero", LOAD_BOTH + DIVIDE, [ZERO, ZERO], OPERR, IOP),
    ("infinity by infinity", LOAD_BOTH + DIVIDE, [INFINITY, INFINITY], OPERR, IOP),
    ("a third", LOAD_BOTH + DIVIDE, [ONE, THREE], INEX2, A_INEX),
    ("one by zero", LOAD_BOTH + DIVIDE, [ONE, ZERO], DZ, A_DZ),
    ("an overflow", LOAD + SQUARE, [LARGEST], OVFL | INEX2, A_OVFL | A_INEX),
    ("an underflow", LOAD + SQUARE, [SMALLEST], UNFL | INEX2, A_UNFL | A_INEX),
    ("too small for single precision", LOAD + "f210 6400", [SMALLEST], UNFL | INEX2, A_UNFL | A_INEX),
    ("a signaling NaN", LOAD_BOTH + "f200 0422", [SIGNALING, ONE], SNAN, IOP),
    ("a signaling NaN compared", LOAD_BOTH + COMPARE, [SIGNALING, ONE], SNAN, IOP),
    ("a quiet NaN", LOAD_BOTH + "f200 0422", [NAN, ONE], 0, 0),
    ("the sine of infinity", LOAD + "f200 000e", [INFINITY], OPERR, IOP),
    ("a remainder by zero", LOAD_BOTH + "f200 0421", [ONE, ZERO], OPERR, IOP),
    ("a remainder of a signaling NaN", LOAD_BOTH + "f200 0425", [SIGNALING, ONE], SNAN, IOP),
]
VECTORS = {SNAN: 54, OPERR: 52, OVFL: 53, UNFL: 51, DZ: 50, INEX2: 49}


@pytest.mark.parametrize("piece", [1, 100], ids=["step by step", "in one go"])
@pytest.mark.parametrize(
    ("text", "numbers", "found", "accrued"), [row[1:] for row in EXCEPTIONS], ids=[row[0] for row in EXCEPTIONS]
)
def test_the_status_register_keeps_exceptions(
    bench: Bench, text: str, numbers: list[tuple[int, int]], found: int, accrued: int, piece: int
) -> None:
    pcb = run(bench, text + READ_STATUS, *numbers, piece=piece)
    assert pcb.registers[7] & 0xFFFF == found | accrued
    pcb = run(bench, text + "f23c 4100 0000 0001" + READ_STATUS, *numbers, piece=piece)  # fmove.l #1,fp2
    assert pcb.registers[7] & 0xFFFF == accrued
    assert pcb.get_state(FLOAT_STATE)[25] & 0xFFFF == accrued


@pytest.mark.parametrize("piece", [1, 100], ids=["step by step", "in one go"])
@pytest.mark.parametrize(
    ("text", "numbers", "found"), [row[1:4] for row in EXCEPTIONS if row[3]], ids=[row[0] for row in EXCEPTIONS if row[3]]
)
def test_an_exception_that_is_enabled_is_raised_behind_its_instruction(
    bench: Bench, text: str, numbers: list[tuple[int, int]], found: int, piece: int
) -> None:
    for bit in (bit for bit in VECTORS if found & bit):
        plain = run(bench, text, *numbers, piece=piece)
        pcb = run(bench, text, *numbers, control=bit, piece=piece)
        assert raised(bench) == VECTORS[bit]
        assert pcb.pc == CODE + len(code(text))
        kept = bit in (SNAN, OPERR, DZ) and not text.endswith(COMPARE)
        assert number(pcb) == (numbers[0] if kept else number(plain))
        assert pcb.get_state(FLOAT_STATE)[25] & 0xFF00 == found


def test_exceptions_that_are_not_enabled_are_not_raised(bench: Bench) -> None:
    pcb = run(bench, LOAD_BOTH + DIVIDE + READ_STATUS, ONE, THREE, control=0xFD00)
    assert bench.log == [("trap", LEAVE)]
    assert pcb.registers[7] & 0xFFFF == INEX2 | A_INEX


@pytest.mark.parametrize(
    ("text", "found"),
    [("f292 0002", IOP), ("f241 0012", IOP), ("f249 0012 0002", BSUN | IOP), ("f282 0002", 0), ("f29e 0002", IOP)],
    ids=["fbgt", "fsgt", "fdbgt", "fbogt", "fbsne"],
)
def test_a_condition_that_is_not_for_nans_is_invalid_with_one(bench: Bench, text: str, found: int) -> None:
    pcb = run(bench, LOAD + text + READ_STATUS, NAN)
    assert pcb.registers[7] & (IOP | BSUN) == found
    pcb = run(bench, LOAD + text, NAN, control=BSUN)
    if found:
        assert (raised(bench), pcb.pc) == (48, CODE + 4)
    else:
        assert bench.log == [("trap", LEAVE)]
    run(bench, LOAD + text, ONE, control=BSUN)
    assert bench.log == [("trap", LEAVE)]


def test_a_thread_that_enables_no_exceptions_any_more_goes_on_unwatched(bench: Bench) -> None:
    pcb = run(bench, LOAD_BOTH + "f200 9000 f201 9000" + DIVIDE + READ_STATUS, ONE, ZERO, d0=DZ, d1=0)
    assert bench.log == [("trap", LEAVE)]
    assert pcb.registers[7] & 0xFFFF == DZ | A_DZ


@pytest.mark.parametrize(
    ("function", "dividend", "divisor", "rest", "quotient"),
    [
        ("21", 17, -5, 2, 0x83),
        ("25", 18, -5, -2, 0x84),
        ("25", 15, 6, 3, 0x02),
        ("25", 9, 6, -3, 0x02),
        ("21", 1000, 3, 1, 333 & 0x7F),
        ("21", -7, 7, -0.0, 0x81),
        ("21", 5, math.inf, 5, 0),
        ("21", 1e300, 7, math.fmod(1e300, 7), int(1e300) // 7 & 0x7F),
    ],
)
@pytest.mark.parametrize("form", ["register", "memory"])
def test_a_remainder_and_its_quotient(
    bench: Bench, function: str, dividend: float, divisor: float, rest: float, quotient: int, form: str
) -> None:
    doubles = struct.pack(">2d", dividend, divisor)
    bench.write(DATA, doubles)
    instruction = f"f200 04{function}" if form == "register" else f"f228 54{function} 0008"
    pcb = bench.start(code("f210 5400 f228 5480 0008" + instruction + "f228 7400 0010" + READ_STATUS) + trap(LEAVE))
    pcb.registers[A0] = DATA
    bench.go(pcb)
    assert bench.read(DATA + 16, 8) == struct.pack(">d", rest)
    assert pcb.registers[7] >> 16 & 0xFF == quotient


@pytest.mark.parametrize(
    ("value", "factor", "words", "exceptions"),
    [
        (12345, 4, (0x00040001, 0x23400000, 0), INEX2),
        (12345, 17, (0x00040001, 0x23450000, 0), 0),
        (-0.125, -2, (0xC0010001, 0x20000000, 0), INEX2),
        (-0.125, 3, (0xC0010001, 0x25000000, 0), 0),
        (99.96, 3, (0x00020001, 0, 0), INEX2),
        (1e300, 1, (0x03000001, 0, 0), INEX2),
        (0, 5, (0, 0, 0), 0),
        (-math.inf, 5, (0xFFFF0000, 0, 0), 0),
        (2.5, 0, (0x00000002, 0, 0), INEX2),
    ],
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_numbers_become_packed_decimals(
    bench: Bench, value: float, factor: int, words: tuple[int, int, int], exceptions: int, dynamic: bool
) -> None:
    bench.write(DATA, struct.pack(">d", value))
    store = "f210 7c10" if dynamic else f"f210 {0x6C00 | factor & 0x7F:04x}"
    pcb = bench.start(code("f210 5400" + store + READ_STATUS) + trap(LEAVE))
    pcb.registers[A0], pcb.registers[1] = DATA, factor & 0x7F
    bench.go(pcb)
    assert struct.unpack(">3I", bench.read(DATA, 12)) == words
    assert pcb.registers[7] & 0xFF00 == exceptions


@pytest.mark.parametrize(
    ("words", "value", "exceptions"),
    [
        ((0x00040001, 0x23450000, 0), 12345.0, 0),
        ((0xC0010001, 0x25000000, 0), -0.125, 0),
        ((0x40010001, 0, 0), 0.1, INEX1),
        ((0x80000000, 0, 0), -0.0, 0),
        ((0x7FFF0000, 0, 0), math.inf, 0),
    ],
)
def test_packed_decimals_become_numbers(bench: Bench, words: tuple[int, int, int], value: float, exceptions: int) -> None:
    bench.write(DATA, struct.pack(">3I", *words))
    pcb = bench.start(code("f218 4c00" + READ_STATUS + "f210 7400") + trap(LEAVE))  # fmove.p (a0)+,fp0; fmove.d fp0,(a0)
    pcb.registers[A0] = DATA
    bench.go(pcb)
    assert bench.read(DATA + 12, 8) == struct.pack(">d", value)
    assert pcb.registers[7] & 0xFF00 == exceptions


def test_any_function_takes_a_packed_decimal(bench: Bench) -> None:
    bench.write(DATA, struct.pack(">3I", 0x00000002, 0x50000000, 0))
    pcb = bench.start(code("f23c 4000 0000 0004 f218 4c22") + trap(LEAVE))  # fmove.l #4,fp0; fadd.p (a0)+,fp0
    pcb.registers[A0] = DATA
    bench.go(pcb)
    assert (number(pcb), pcb.registers[A0]) == ((0x4001, 13 << 60), DATA + 12)


def test_packed_decimals_of_17_digits_give_doubles_back() -> None:
    random = Random(1)
    for _ in range(200):
        value = struct.unpack(">d", random.randbytes(8))[0]
        if math.isnan(value):
            continue
        there = extended.of_float(int.from_bytes(struct.pack(">d", value), "big"), 11, 52)
        bits, _ = packed.store(there, 17, extended.NEAREST)
        back = packed.load(bits, extended.NEAREST)
        whole = float(extended.value(back)) if not extended.is_infinite(back) else math.copysign(math.inf, value)
        assert whole == value


@pytest.mark.parametrize("text", ["f200 4c00", "f208 4c00", "f200 6c05", "f23a 6c05 0000", "f208 7800"])
def test_a_packed_decimal_is_in_no_register(bench: Bench, text: str) -> None:
    run(bench, text)
    assert bench.log[0][:3] == ("exception", EXC_EMULATION, 44)


def test_rounding_is_exact_in_each_mode() -> None:
    third = extended.rounded(extended.value(Extended(*ONE)) / 3, extended.UP, 1, True)
    assert third == (0xBFFD, 0xAAAAAA0000000000, INEX2)
    assert extended.rounded(extended.value(Extended(*ONE)) / 3, extended.DOWN, 1, True).mantissa == 0xAAAAAB0000000000


@pytest.mark.parametrize("mantissa", [0, 1 << 63], ids=["as made", "with its first digit"])
@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("f23c 4022 0000 0001", INFINITY),  # fadd.l #1,fp0
        ("f23c 4023 ffff fffe", (0xFFFF, 0)),  # fmul.l #-2,fp0
        ("f23c 4020 0000 0007", INFINITY),  # fdiv.l #7,fp0
        (SQRT, INFINITY),
        ("f200 0001", INFINITY),  # fint.x fp0
        ("f200 0040", INFINITY),  # fsmove.x fp0
        ("f210 7400 f210 5400", INFINITY),  # fmove.d fp0,(a0); fmove.d (a0),fp0
        ("f210 6400 f210 4400", INFINITY),  # fmove.s
        ("f23c 4028 0000 0001", INFINITY),  # fsub.l #1,fp0
        ("f200 0010", INFINITY),  # fetox.x fp0
    ],
)
def test_infinities_are_numbers(bench: Bench, text: str, result: tuple[int, int], mantissa: int) -> None:
    pcb = run(bench, LOAD + text + READ_STATUS, (0x7FFF, mantissa))
    exponent, digits = number(pcb)
    assert (exponent, digits << 1 & (1 << 64) - 1, pcb.registers[7] & 0xFFF8) == (result[0], 0, 0)


@pytest.mark.parametrize(("text", "conditions"), [("f200 0438", 0), ("f200 003a", 2), ("f200 0080 f200 0438", 4)])
def test_infinities_are_compared(bench: Bench, text: str, conditions: int) -> None:
    pcb = run(bench, LOAD_BOTH + text + READ_STATUS, INFINITY, ONE)
    assert pcb.registers[7] >> 24 == conditions


@pytest.mark.parametrize(
    ("given", "text", "result"),
    [
        ((0x4000, 1 << 62), "f200 0022", (0x4000, 1 << 63)),  # fadd.x fp0,fp0 of 1, not normalized
        ((0x4001, 3), "f200 0018", (0x3FC3, 3 << 62)),  # fabs.x
        ((0x4001, 0), "f200 0018", ZERO),
        ((0x403E, 4), "f200 0040", (0x4001, 1 << 63)),  # fsmove.x of 4
        ((0xC010, 1 << 60), "f210 5400", None),
    ],
)
def test_numbers_that_are_not_normalized_are_numbers(
    bench: Bench, given: tuple[int, int], text: str, result: tuple[int, int] | None
) -> None:
    pcb = run(bench, LOAD + (text if result is not None else "f210 7400 f210 5400"), given)
    assert number(pcb) == (result or (0xC00D, 1 << 63))


@pytest.mark.parametrize("function", ["40", "44", "58", "5a", "5c", "5e"])
@pytest.mark.parametrize("given", [NAN, INFINITY, (0xFFFF, 0xC000000000001234)])
def test_what_is_no_number_is_rounded_to_itself(bench: Bench, function: str, given: tuple[int, int]) -> None:
    pcb = run(bench, LOAD + f"f200 00{function}" + READ_STATUS, given)
    exponent, mantissa = number(pcb)
    assert (exponent & 0x7FFF, mantissa) == (0x7FFF, given[1])
    assert pcb.registers[7] & 0xFFFF == 0


@pytest.mark.parametrize(
    ("store", "quiet"),
    [("f210 6400", "7fc00000"), ("f210 7400", "7ff8000000000000"), ("f210 4400 f210 7400", "7ff8000020000000")],
    ids=["fmove.s to memory", "fmove.d to memory", "fmove.s from memory"],
)
def test_a_signaling_nan_becomes_a_quiet_one_on_its_way(bench: Bench, store: str, quiet: str) -> None:
    if store.startswith("f210 44"):
        bench.write(DATA, bytes.fromhex("7f800001"))
        pcb = bench.start(code(store + READ_STATUS) + trap(LEAVE))
        pcb.registers[A0] = DATA
        bench.go(pcb)
    else:
        pcb = run(bench, LOAD.replace("f218", "f210") + store + READ_STATUS, SIGNALING)
        assert pcb.registers[7] & 0xFF00 == SNAN
    assert bench.read(DATA, len(quiet) // 2).hex() == quiet
    assert pcb.registers[7] & IOP


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (1.0, math.expm1(1)),
        (1e-10, math.expm1(1e-10)),
        (-3.5, math.expm1(-3.5)),
        (-math.inf, -1.0),
        (math.inf, math.inf),
        (0.0, 0.0),
    ],
)
@pytest.mark.parametrize("form", ["f200 0008", "f228 5408 0000"], ids=["register", "memory"])
def test_fetoxm1_is_there(bench: Bench, given: float, result: float, form: str) -> None:
    bench.write(DATA, struct.pack(">d", given))
    pcb = bench.start(code("f210 5400" + form + "f228 7400 0008" + READ_STATUS) + trap(LEAVE))
    pcb.registers[A0] = DATA
    bench.go(pcb)
    found = struct.unpack(">d", bench.read(DATA + 8, 8))[0]
    assert found == result or abs(found - result) <= math.ulp(result)
    assert bool(pcb.registers[7] & INEX2) == (math.isfinite(given) and given != 0.0)
