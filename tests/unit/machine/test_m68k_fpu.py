"""The m68k's floating-point unit."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ
from machemu.machine.m68k.pcb import FLOAT_STATE
from machemu.machine.m68k.pmap import PAGE_SIZE
from tests.support.cpu_bench import LAZY, LEAVE
from tests.support.m68k_bench import CODE, DATA, NEXT, STACK, Bench, code, trap


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_a_thread_s_fpu_is_its_own(bench: Bench) -> None:
    one = bench.start(code("f23c 4000 0000 0007") + trap(LEAVE) + code("f200 6400") + trap(LEAVE))  # fmove.l #7,fp0; fp0,d0
    other = bench.cpu.new_pcb(bench.cpu.new_task())
    other.set_entry(VirtAddr(CODE), VirtAddr(STACK))
    fresh = other.get_state(FLOAT_STATE)
    bench.go(one)
    bench.write(CODE, code("f23c 4000 0000 0009"))
    bench.go(other)
    bench.go(one)
    assert struct.unpack(">f", struct.pack(">I", one.registers[0]))[0] == 7.0
    assert other.get_state(FLOAT_STATE)[:3] == (0x40020000, 0x90000000, 0)
    assert other.get_state(FLOAT_STATE)[3:26] == fresh[3:26]
    assert other.get_state(FLOAT_STATE)[26] == CODE
    assert fresh == (0x7FFF0000, 0xFFFFFFFF, 0xFFFFFFFF) * 8 + (0, 0, 0)


def test_float_state_is_set_and_read_back(bench: Bench) -> None:
    pcb = bench.start(code("f200 0022 f227 e0c0") + trap(LEAVE))  # fadd.x fp0,fp0; fmovem.x fp6-fp7,-(sp)
    words = [0x40000000, 0xC0000000, 0] + [0] * 15 + [0x3FFF0000, 0x80000000, 0, 0xBFFF0000, 0x80000000, 1]
    pcb.set_state(FLOAT_STATE, (*words, 0, 0, 0x1234))
    bench.go(pcb)
    state = pcb.get_state(FLOAT_STATE)
    assert state[:3] == (0x40010000, 0xC0000000, 0)
    assert state[18:24] == tuple(words[18:24])
    assert state[26] == CODE, "fadd's address; fmovem leaves it"
    assert struct.unpack(">6I", bench.read(STACK - 24, 24)) in (tuple(words[18:24]), tuple(words[21:24] + words[18:21]))


@pytest.mark.parametrize(("mode", "last"), [(0x00, 0xAAAAAAAB), (0x10, 0xAAAAAAAA), (0x20, 0xAAAAAAAA), (0x30, 0xAAAAAAAB)])
def test_rounding_follows_the_control_register_also_across_switches(bench: Bench, mode: int, last: int) -> None:
    """1/3 to nearest, to zero, down and up; the register is loaded by the thread, or by thread_set_state."""
    bench.write(DATA, struct.pack(">2d", 1.0, 3.0))
    divide = code("f239 5400 0000 c000 f239 5420 0000 c008") + trap(LEAVE)
    by_itself = bench.start(code("f200 9000") + trap(LEAVE) + divide)
    by_itself.registers[0] = mode
    bench.go(by_itself)
    other = bench.cpu.new_pcb(bench.cpu.new_task())
    other.set_entry(VirtAddr(CODE), VirtAddr(STACK))
    bench.go(other)
    bench.go(by_itself)
    assert by_itself.get_state(FLOAT_STATE)[:3] == (0x3FFD0000, 0xAAAAAAAA, last)
    from_outside = bench.start(divide)
    from_outside.set_state(FLOAT_STATE, (*from_outside.get_state(FLOAT_STATE)[:24], mode, 0, 0))
    bench.go(from_outside)
    assert from_outside.get_state(FLOAT_STATE)[:3] == (0x3FFD0000, 0xAAAAAAAA, last)


def test_float_control_registers_take_immediate_operands(bench: Bench) -> None:
    bench.write(DATA, struct.pack(">2d", 1.0, 3.0))
    divide = code("f239 5400 0000 c000 f239 5420 0000 c008")
    pcb = bench.start(code("f23c 9800 0000 0010 0000 00f8") + divide + trap(LEAVE))  # fmovem.l #16,#0xf8,fpcr/fpsr
    assert bench.go(pcb) == 5
    state = pcb.get_state(FLOAT_STATE)
    assert (state[:3], state[24], state[25] & 0xFF) == ((0x3FFD0000, 0xAAAAAAAA, 0xAAAAAAAA), 0x10, 0xF8)
    assert bench.log == [("trap", LEAVE)]


def test_transcendental_functions_work(bench: Bench) -> None:
    """The 68040 has none: the kernel's package does them, and nobody sees it."""
    pcb = bench.start(code("f23c 4000 0000 0000 f200 0010") + trap(LEAVE))  # fmove.l #0,fp0; fetox.x fp0
    bench.go(pcb)
    assert pcb.get_state(FLOAT_STATE)[:3] == (0x3FFF0000, 0x80000000, 0)


def test_a_float_instruction_may_lie_on_two_pages(bench: Bench) -> None:
    for before in range(2, 14, 2):
        bench.log.clear()
        text = code("f23c 5500 3ff8 0000 0000 0000")  # fmove.d #1.5,fp2
        start = NEXT - before
        whole = text + trap(LEAVE)
        bench.write(start, whole[:before])
        bench.write(NEXT, whole[before:])
        pcb = bench.cpu.new_pcb(bench.cpu.new_task())
        pcb.set_entry(VirtAddr(start), VirtAddr(STACK))
        assert bench.go(pcb) == 3
        assert (bench.log, pcb.get_state(FLOAT_STATE)[6:9]) == ([("trap", LEAVE)], (0x3FFF0000, 0xC0000000, 0))


def test_a_float_instruction_whose_second_half_is_not_there_faults_and_goes_on(bench: Bench) -> None:
    bench.pmap.enter(VirtAddr(LAZY - PAGE_SIZE), bench.memory.allocate(), VM_PROT_DEFAULT)
    bench.write(LAZY - 6, code("4e71 4e71 f200"))
    pcb = bench.cpu.new_pcb(bench.cpu.new_task())
    pcb.set_entry(VirtAddr(LAZY - 6), VirtAddr(STACK))
    assert bench.go(pcb, 3) == 3  # f200 0000: fmove.x fp0,fp0
    assert bench.log == [("fault", LAZY, VM_PROT_READ)]
    assert pcb.pc == LAZY + 2
