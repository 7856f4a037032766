"""Sines, cosines and tangents on the m68k's FPU, of every kind of operand."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import pytest

from machemu.abi.vm import VM_PROT_READ
from machemu.machine.m68k.pcb import FpuState, M68kPcb
from machemu.machine.m68k.trigonometry import normalized
from tests.support.cpu_bench import LAZY, LEAVE
from tests.support.m68k_bench import A0, CODE, DATA, Bench, code, trap

FUNCTIONS = {"fsin": 0x0E, "ftan": 0x0F, "fcos": 0x1D, "fsincos": 0x31, "fsincos into one": 0x32}
"""By name: the last seven bits of the second word; the cosine goes to fp1 or, like the sine, to fp2."""
NAN: Final = (0x7FFF, 0xFFFFFFFFFFFFFFFF)
NORMALIZED = [
    (0, 0), (0x8000, 0), (0, 1), (0x8000, 0x7FFFFFFFFFFFFFFF), (0x3FFF, 1 << 63), (0xBFFE, 0xC90FDAA22168C235), (0x7FFF, 0),
    (0xFFFF, 0), NAN, (0x7FFF, 0x4000000000000001), (0x7FFE, NAN[1]), (0x4050, 0x8123456789ABCDEF), (0x3FC0, 1 << 63),
]  # fmt: skip
UNNORMALIZED = [
    (0x3FFF, 0), (0xBFFF, 0), (0x7FFE, 0x123), (0xFFFE, 0), (0x4544, 0x7E42E4E203AF11D2), (0x3FFA, 0x01FFFFFFFFFFFFFF), (10, 1),
    (0x403C, 0x281EE90E77), (0x4005, 0x12345678), (1, 0x7FFFFFFFFFFFFFFF),
]  # fmt: skip
"""Sign and exponent, and mantissa."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def registers(**values: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(">H2xQ", *values.get(f"fp{n}", NAN)) for n in range(8))


def results(bench: Bench, pcb: M68kPcb) -> tuple[bytes, bytes, int]:
    """fp1, fp2 and the conditions."""
    assert bench.log == [("trap", LEAVE)]
    return pcb.fpu.data[12:24], pcb.fpu.data[24:36], pcb.fpu.status >> 24


def of_register(bench: Bench, function: int, value: tuple[int, int]) -> tuple[bytes, bytes, int]:
    pcb = bench.start(struct.pack(">HH", 0xF200, 3 << 10 | 2 << 7 | function) + trap(LEAVE))
    pcb.fpu = FpuState(0, 0, 0, 0, registers(fp3=value))
    assert bench.go(pcb) == 3
    return results(bench, pcb)


def of_memory(bench: Bench, function: int, value: tuple[int, int]) -> tuple[bytes, bytes, int]:
    bench.write(DATA, struct.pack(">H2xQ", *value))
    pcb = bench.start(struct.pack(">HH", 0xF218, 0x4800 | 2 << 7 | function) + trap(LEAVE))
    pcb.registers[A0] = DATA
    assert bench.go(pcb) == 3
    assert pcb.registers[A0] == DATA + 12
    return results(bench, pcb)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_result_is_that_of_the_normalized_operand_wherever_that_lies(bench: Bench, name: str) -> None:
    function = FUNCTIONS[name]
    for value in (*NORMALIZED, *UNNORMALIZED):
        expected = of_register(bench, function, normalized(*value))
        assert of_register(bench, function, value) == of_memory(bench, function, value) == expected, value


def test_a_sine_and_a_cosine_come_in_two_registers_or_the_sine_alone(bench: Bench) -> None:
    for value in (*NORMALIZED, *UNNORMALIZED):
        _, sine, conditions = of_register(bench, FUNCTIONS["fsin"], value)
        _, cosine, _ = of_register(bench, FUNCTIONS["fcos"], value)
        assert of_register(bench, FUNCTIONS["fsincos"], value) == (cosine, sine, conditions)
        assert of_register(bench, FUNCTIONS["fsincos into one"], value)[1:] == (sine, conditions)


def test_the_sine_of_an_immediate_operand_is_taken(bench: Bench) -> None:
    pcb = bench.start(code("f23c 490e 3fff 0000 8000 0000 0000 0000") + trap(LEAVE))  # fsin.x #1,fp2
    bench.go(pcb)
    assert results(bench, pcb) == of_register(bench, FUNCTIONS["fsin"], (0x3FFF, 1 << 63))


def test_a_sine_whose_operand_is_not_there_is_taken_once_it_is(bench: Bench) -> None:
    pcb = bench.start(code("f218 490e") + trap(LEAVE))
    pcb.registers[A0] = LAZY
    assert bench.go(pcb) == 3
    assert bench.log == [("fault", LAZY, VM_PROT_READ), ("trap", LEAVE)]
    assert pcb.fpu.data[24:36] == bytes(12)


@pytest.mark.parametrize("text", ["f200 490e", "f208 490e", "f23d 490e"])
def test_an_operand_in_extended_precision_lies_in_memory(bench: Bench, text: str) -> None:
    pcb = bench.start(code(text))
    bench.go(pcb)
    assert [(entry[2], entry[4]) for entry in bench.log] == [(0x2C, CODE)]


def test_numbers_are_normalized_as_far_as_their_exponents_allow() -> None:
    assert normalized(0x3FFF, 0) == (0, 0)
    assert normalized(0xFFFE, 0) == (0x8000, 0)
    assert normalized(0x4000, 1 << 62) == (0x3FFF, 1 << 63)
    assert normalized(0x8002, 1) == (0x8000, 4)
    assert normalized(*NAN) == NAN
