"""`iret` in user mode: VM is the kernel's to set (Intel's manual, volume 2, IRET), as is what else user mode may not change."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from machemu.abi.exception import EXC_BAD_INSTRUCTION, EXC_BREAKPOINT
from machemu.abi.vm import VM_PROT_READ
from machemu.machine.i386.pcb import EFLAGS, ESP, I386Pcb
from tests.support.cpu_bench import LAZY, LEAVE
from tests.support.i386_bench import CODE, STACK, Bench, trap

USER_CS, FLAGS = 0x17, 0x202
VM = 0x20000
STATUS = 0xCD5
"""The arithmetic flags and DF."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def returned(bench: Bench, flags: int, code: bytes = b"\xcf", words: str = "I", piece: int = 100, cs: int = USER_CS) -> I386Pcb:
    """Goes back by `code` to a trap behind it, with such flags on the stack."""
    frame = struct.pack(f"<3{words}", CODE + len(code), cs, flags)
    pcb = bench.start(code + trap(LEAVE))
    bench.write(STACK, frame)
    while not bench.log:
        bench.go(pcb, piece)
    assert bytes(bench.memory.view[(place := bench.pmap.translate(STACK, VM_PROT_READ) or 0) : place + len(frame)]) == frame  # type: ignore[arg-type]
    return pcb


@pytest.mark.parametrize("piece", [1, 100], ids=["step by step", "in one go"])
@pytest.mark.parametrize("flags", [FLAGS, FLAGS | VM, VM, FLAGS | VM | STATUS, VM | 0x3000, VM | 0x80000000])
@pytest.mark.parametrize("code", [b"\xcf", b"\x3e\xcf", b"\xf3\xcf"], ids=bytes.hex)
def test_user_mode_s_iret_ignores_vm(bench: Bench, flags: int, code: bytes, piece: int) -> None:
    pcb = returned(bench, flags, code, piece=piece)
    assert bench.log == [("trap", LEAVE)]
    assert (pcb.registers[ESP], pcb.segments) == (STACK + 12, [USER_CS, *5 * (0x1F,)])
    assert pcb.registers[EFLAGS] == flags & STATUS | FLAGS


def test_iret_of_16_bits_leaves_the_upper_half_of_the_flags(bench: Bench) -> None:
    pcb = returned(bench, FLAGS | STATUS, b"\x66\xcf", "H")
    assert (bench.log, pcb.registers[ESP]) == ([("trap", LEAVE)], STACK + 6)
    assert pcb.registers[EFLAGS] == FLAGS | STATUS


def test_iret_that_sets_the_trap_flag_stops_behind_the_next_instruction(bench: Bench) -> None:
    pcb = returned(bench, FLAGS | VM | 0x100)
    assert bench.log == [("exception", EXC_BREAKPOINT, 1, 0)]
    assert pcb.pc == CODE + 1 + 5


@pytest.mark.parametrize("cs", [0x33, 0x1F, 0])
def test_iret_to_a_segment_that_is_none_of_code_is_refused_at_its_place(bench: Bench, cs: int) -> None:
    pcb = returned(bench, FLAGS | VM, b"\x90\xcf", cs=cs)
    assert bench.log == [("exception", EXC_BAD_INSTRUCTION, 13, cs & ~3)]
    assert (pcb.pc, pcb.registers[ESP], pcb.registers[EFLAGS]) == (CODE + 1, STACK, FLAGS)


def test_iret_waits_for_the_page_of_its_frame(bench: Bench) -> None:
    pcb = bench.start(b"\xcf" + trap(LEAVE))
    pcb.registers[ESP] = LAZY
    assert bench.go(pcb, 1) == 0
    assert bench.log == [("fault", LAZY, VM_PROT_READ), ("exception", EXC_BAD_INSTRUCTION, 13, 0)]


def test_v86_mode_s_own_iret_is_what_it_was(bench: Bench) -> None:
    """It takes three words, and keeps VM."""
    pcb = bench.start(b"\xcf\x90\x90\x90\x90\xf4")
    pcb.registers[EFLAGS] = FLAGS | VM | 0x3000
    pcb.segments = [CODE >> 4, STACK >> 4, 0, 0, 0, 0]
    pcb.registers[8], pcb.registers[ESP] = 0, 0
    bench.write(STACK, struct.pack("<3H", 5, CODE >> 4, FLAGS))
    bench.go(pcb)
    assert bench.log[0][:3] == ("exception", EXC_BAD_INSTRUCTION, 13)
    assert (pcb.registers[8], pcb.segments[0], pcb.registers[ESP] & 0xFFFF) == (5, CODE >> 4, 6)
    assert pcb.registers[EFLAGS] & VM
