"""The i386's sines, arc tangents, logarithms and powers: the right digits in each rounding mode, the same bits on every host."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterator
from random import Random

import pytest

from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ
from machemu.machine.i386.pcb import EBX
from tests.support.cpu_bench import LEAVE
from tests.support.i386_bench import DATA, Bench, trap

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the FPU is Unicorn's elsewhere than on Linux with x86-64"
)
F2XM1, FYL2X, FPTAN, FPATAN, FYL2XP1, FSINCOS, FSIN, FCOS = (
    f"d9{code:02x}" for code in (0xF0, 0xF1, 0xF2, 0xF3, 0xF9, 0xFB, 0xFE, 0xFF)
)
ALL = (F2XM1, FYL2X, FPTAN, FPATAN, FYL2XP1, FSINCOS, FSIN, FCOS)
INVALID, DENORMAL, UNDERFLOW, INEXACT, STACK, C1, C2 = 1, 2, 16, 32, 64, 0x200, 0x400
ONE, PI, NOTHING = "3fff8000000000000000", "c000c90fdaa22168c235", "00000000000000000000"
NEAREST, DOWN, UP, TO_ZERO = range(4)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def result(bench: Bench, code: str, x: str, y: str = ONE, control: int = 0x37F) -> tuple[str, str, int]:
    """The top of the stack and what is below it, and the status word, behind an instruction on x at the top and y below."""
    words = control.to_bytes(16, "little") + bytes.fromhex(y)[::-1] + bytes.fromhex(x)[::-1]
    bench.write(DATA, words + bytes(64))
    # fninit; fldcw (%ebx); fldt 16(%ebx); fldt 26(%ebx); the instruction; fnstsw %ax; mov %eax,%ecx; fldcw; two of fstpt
    pcb = bench.start(bytes.fromhex(f"dbe3d92bdb6b10db6b1a{code}dfe089c1dbe2d96b0edb7b30db7b40") + trap(LEAVE))
    pcb.registers[EBX] = DATA
    bench.write(DATA + 14, b"\x7f\x03")
    while not bench.log or bench.log[-1][0] == "fault":
        bench.go(pcb, 100)
    place = bench.pmap.translate(VirtAddr(DATA), VM_PROT_READ)
    assert place is not None
    first, second = (bench.memory.view[place + at : place + at + 10].tobytes()[::-1].hex() for at in (0x30, 0x40))
    return first, second, pcb.registers[1] & 0xFFFF


DIGITS = [
    (FSIN, ONE, ONE, "3ffe d76aa47848677020cc12d33a698c689b"),
    (FCOS, ONE, ONE, "3ffe 8a51407da8345c91ba3d39a4cf86bb57"),
    (FPTAN, ONE, ONE, "3fff c75922e5f71d2dc57699ee11be9b0e31"),
    (FSIN, PI, ONE, "3fbe ffffffffffffffffffffffffffffffff"),
    (FCOS, PI, ONE, "bffe ffffffffffffffffffffffffffffffff"),
    (FPTAN, PI, ONE, "bfbf 80000000000000000000000000000000"),
    (FSIN, "403ddeadbeefcafebabe", ONE, "bffe fffdfdb284ba1235df1d26eb6401069b"),
    (FCOS, "403ddeadbeefcafebabe", ONE, "3ff8 804959d0b189bad83d21edcef949b16f"),
    (FPTAN, "403ddeadbeefcafebabe", ONE, "c005 ff6b9f1882f825c2e8555c5f4d3f1596"),
    (FSIN, "3fe0b504f333f9de6484", ONE, "3fe0 b504f333f9de64830ea41110082ccf51"),
    (FCOS, "3fe0b504f333f9de6484", ONE, "3ffe fffffffffffffffc0000000000000006"),
    (FPTAN, "3fe0b504f333f9de6484", ONE, "3fe0 b504f333f9de6485e2b7dddfefa66164"),
    (F2XM1, "3ffe8000000000000001", ONE, "3ffd d413cccfe77992135bda8c0580bb655e"),
    (F2XM1, "bffdfedcba9876543210", ONE, "bffd 95673ac29602671abc1c8802d10180f6"),
    (F2XM1, "3fbe8000000000000001", ONE, "3fbd b17217f7d1cf79ad4b87a1872a5778af"),
    (F2XM1, "bffec90fdaa22168c235", ONE, "bffd d6f1195a17c30a38cff8a653f626d99c"),
    (FYL2X, "4000c90fdaa22168c235", ONE, "3fff d36439a4c6efbad8a3fc4fef3bb7487f"),
    (FYL2X, "3fff8000000000000001", "c00bfedcba9876543210", "bfcd b7d81f978a554621c7e0eb661ee3b62f"),
    (FYL2X, "00000000000000000001", "bfff8000000000000003", "400d 807a00000000000302dc000000000000"),
    (FYL2X, "7ffeffffffffffffffff", "3fc0deadbeefcafebabe", "3fce deadbeefcafebabdfffafaf85f66af60"),
    (FYL2XP1, "3fbf8000000000000001", ONE, "3fbf b8aa3b295c17f0bcd387578e734127a1"),
    (FYL2XP1, "bffd9000000000000000", "4000fedcba9876543210", "bfff f2da245b5882bbea4de77edc7b9ac4d7"),
    (FYL2XP1, "3ffdcc00000000000000", "bfff8000000000000003", "bffd f7b6b399471103eebe55775fcaf82769"),
    (FPATAN, ONE, "3ffe8000000000000001", "3ffd ed63382b0dda7b47097ddf8655d4269c"),
    (FPATAN, "bfffc90fdaa22168c235", "4000fedcba9876543210", "3fff f92745a9527e684b54e7403e9693a519"),
    (FPATAN, "c0008000000000000000", "bfc0deadbeefcafebabe", "c000 c90fdaa22168c234556f83139b5cbf72"),
    (FPATAN, "4030deadbeefcafebabe", ONE, "3fcd 93275ab259a3a3160e676b92f76fec36"),
    (FPATAN, "3fff8000000000000003", ONE, "3ffe c90fdaa22168c231c4c6628b80dc1cda"),
    (FPATAN, "ffff8000000000000000", "7fff8000000000000000", "4000 96cbe3f9990e91a79394c9e8a0a5159c"),
]
"""Operands, and the results' first 128 digits by mpmath 1.3.0 with 400. Angles are reduced by the processors' pi of 66 digits."""


@pytest.mark.parametrize("mode", range(4), ids=["nearest", "down", "up", "to zero"])
@pytest.mark.parametrize(("code", "x", "y", "digits"), DIGITS)
def test_a_result_is_the_exact_one_rounded(bench: Bench, code: str, x: str, y: str, digits: str, mode: int) -> None:
    sign_and_power, mantissa = (int(part, 16) for part in digits.split())
    negative = sign_and_power >> 15
    up = mantissa >> 63 & 1 if mode == NEAREST else mode == (DOWN if negative else UP)
    top, below, status = result(bench, code, x, y, 0x37F | mode << 10)
    assert (below if code == FPTAN else top) == f"{(sign_and_power << 64 | mantissa >> 64) + up:020x}".replace(
        f"{sign_and_power + 1:04x}{0:016x}", f"{sign_and_power + 1:04x}8{0:015x}"
    )
    assert status & (C1 | INEXACT | C2 | STACK | INVALID) == INEXACT | (C1 if up else 0)
    if code == FPTAN:
        assert top == ONE


def test_a_sine_and_its_cosine_are_those_alone(bench: Bench) -> None:
    for x in (ONE, PI, "403ddeadbeefcafebabe", "bffec90fdaa22168c235"):
        cosine, sine, status = result(bench, FSINCOS, x)
        assert (sine, cosine) == (result(bench, FSIN, x)[0], result(bench, FCOS, x)[0])
        assert status & (INEXACT | C2) == INEXACT


@pytest.mark.parametrize("code", [FSIN, FCOS, FPTAN, FSINCOS])
def test_an_angle_out_of_range_stays_and_sets_c2(bench: Bench, code: str) -> None:
    assert result(bench, code, "403e8000000000000000")[::2] == ("403e8000000000000000", 0x3000 | C2)
    assert not result(bench, code, "403dffffffffffffffff")[2] & C2


@pytest.mark.parametrize("code", ALL)
def test_an_operand_that_is_not_there_is_a_stack_fault_without_c1(bench: Bench, code: str) -> None:
    pcb = bench.start(bytes.fromhex(f"dbe3{code}dfe089c1") + trap(LEAVE))
    while not bench.log or bench.log[-1][0] == "fault":
        bench.go(pcb, 100)
    assert pcb.registers[1] & (C1 | C2 | INVALID | STACK) == INVALID | STACK


@pytest.mark.parametrize("code", [FPTAN, FSINCOS])
def test_a_second_result_without_room_is_a_stack_fault_with_c1(bench: Bench, code: str) -> None:
    pcb = bench.start(bytes.fromhex(f"dbe3{8 * 'd9e8'}{code}dfe089c1") + trap(LEAVE))
    while not bench.log or bench.log[-1][0] == "fault":
        bench.go(pcb, 100)
    assert pcb.registers[1] & (C1 | C2 | INVALID | STACK) == INVALID | STACK | C1


def test_a_result_too_small_is_denormal_or_unmasked_made_larger(bench: Bench) -> None:
    tiny = "00000000000000000007"
    assert result(bench, FSIN, tiny, control=0x37F)[0] == tiny
    assert result(bench, FSIN, tiny, control=0x37F)[2] & 0x3F == DENORMAL | UNDERFLOW | INEXACT
    top, _, status = result(bench, FSIN, tiny, control=0x36F)
    assert (top, status & 0x3F) == ("5fc4e000000000000000", DENORMAL | UNDERFLOW | INEXACT)
    assert result(bench, FSIN, tiny, control=0x37D)[::2] == (tiny, 0xB080 | DENORMAL)


def test_the_bits_are_the_same_on_every_host(bench: Bench) -> None:
    random = Random(1)
    found = hashlib.sha256()
    for code in ALL:
        for _ in range(60):
            x, y = _number(random), _number(random)
            found.update(repr(result(bench, code, x, y, 0x37F | random.randrange(4) << 10)).encode("ascii"))
    assert found.hexdigest()[:16] == "c78ff8fced637e32"


def _number(random: Random) -> str:
    sign = random.getrandbits(1) << 15
    power = random.choice((0, random.randrange(0x3FC0, 0x403E), random.getrandbits(14)))
    return f"{sign | power:04x}{1 << 63 | random.getrandbits(63):016x}"
