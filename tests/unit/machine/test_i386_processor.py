"""What CPUID says of the i386 and what runs agree: a Pentium II, whose time-stamp counter shows virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from machemu.abi.exception import EXC_BAD_INSTRUCTION, EXC_BREAKPOINT
from machemu.machine.i386.pcb import EAX, EBX, ECX, EDX, EFLAGS
from tests.support.cpu_bench import CYCLES_BEFORE, LEAVE
from tests.support.i386_bench import DATA, Bench, trap

UNDEFINED = ("exception", EXC_BAD_INSTRUCTION, 1, 0)
PROTECTED = ("exception", EXC_BAD_INSTRUCTION, 13, 0)
FEATURES = 0x183FBFD
SHOWN = {0: "d9e8", 4: "0f31", 8: "0fc70b", 15: "0f44c8", 23: "0fefc0", 24: "0fae8300020000"}
"""An instruction of each feature of CPUID 1's EDX that user mode has any of: FPU, TSC, CX8, CMOV, MMX, FXSR."""
KERNEL_S = {5: "0f32", 11: "0f34"}
"""MSR and SEP, of which the kernel makes no use: user mode is refused."""
LATER = {25: "0f57c0", 26: "660fefc0"}
"""SSE and SSE2."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def ran(bench: Bench, code: str, size: int = 1000, flags: int = 0x202) -> list[int]:
    pcb = bench.start(bytes.fromhex(code) + trap(LEAVE))
    pcb.registers[EBX], pcb.registers[EFLAGS] = DATA, flags
    while not bench.log:
        bench.go(pcb, size)
    return pcb.registers


def test_cpuid_names_a_pentium_ii(bench: Bench) -> None:
    registers = ran(bench, "b8010000000fa289c3")
    assert (registers[EBX] >> 8 & 0xF, registers[EDX]) == (6, FEATURES)


@pytest.mark.parametrize("bit", SHOWN)
def test_what_cpuid_says_is_there_runs(bench: Bench, bit: int) -> None:
    ran(bench, SHOWN[bit])
    assert FEATURES >> bit & 1
    assert bench.log == [("trap", LEAVE)]


@pytest.mark.parametrize("bit", KERNEL_S)
def test_what_is_the_kernel_s_is_refused_to_user_mode(bench: Bench, bit: int) -> None:
    ran(bench, KERNEL_S[bit])
    assert FEATURES >> bit & 1
    assert bench.log == [PROTECTED]


@pytest.mark.parametrize("bit", LATER)
def test_what_cpuid_says_is_not_there_is_undefined(bench: Bench, bit: int) -> None:
    ran(bench, LATER[bit])
    assert not FEATURES >> bit & 1
    assert bench.log == [UNDEFINED]


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_rdtsc_shows_the_cycles_of_virtual_time_however_the_run_is_cut(bench: Bench, size: int) -> None:
    """0x12 nops: the counter's upper half changes between the two."""
    began = CYCLES_BEFORE + bench.cpu.executed
    registers = ran(bench, "0f3189c189d3" + 18 * "90" + "0f3189c689d7", size)
    low, high, later, later_high = registers[ECX], registers[EBX], registers[6], registers[7]
    assert low | high << 32 == began
    assert later | later_high << 32 == began + 21


@pytest.mark.parametrize("code", ["0f31", "f30f31", "660f31", "2e0f31"])
def test_rdtsc_takes_prefixes_that_mean_nothing(bench: Bench, code: str) -> None:
    assert ran(bench, code + "89c1")[ECX] == CYCLES_BEFORE + bench.cpu.executed - 4 & 0xFFFFFFFF
    assert bench.log == [("trap", LEAVE)]


@pytest.mark.parametrize("code", ["f00f31", "0f01f9"], ids=["lock rdtsc", "rdtscp"])
def test_what_is_no_rdtsc_of_the_processor_s_is_undefined(bench: Bench, code: str) -> None:
    ran(bench, code)
    assert bench.log == [UNDEFINED]


def test_a_traced_rdtsc_is_done_before_the_trap(bench: Bench) -> None:
    registers = ran(bench, "0f31", flags=0x302)
    assert bench.log == [("exception", EXC_BREAKPOINT, 1, 0)]
    assert registers[EAX] == CYCLES_BEFORE + bench.cpu.executed - 1 & 0xFFFFFFFF
