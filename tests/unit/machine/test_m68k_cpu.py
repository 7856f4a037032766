"""The m68k CPU alone, under a kernel of a few lines: traps, faults, states, exact counts, hostile code."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.types import PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.m68k.pcb import EXCEPTION_FRAME, SP, SR_T0, SR_T1, THREAD_STATE, M68kPcb
from machemu.machine.m68k.pmap import PAGE_SIZE
from tests.support.cpu_bench import ARGUMENTS, CONSTANT, LAZY, LEAVE
from tests.support.m68k_bench import A0, CODE, DATA, NEXT, READ_WRITE, STACK, Bench, C, N, V, X, Z, code, trap


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


# Traps


def test_a_trap_s_result_is_in_d0_its_number_off_the_stack_and_the_rest_is_kept(bench: Bench) -> None:
    pcb = bench.start(trap(CONSTANT) + trap(LEAVE))
    pcb.registers[1:15] = range(0x100, 0x10E)
    pcb.sr = X | N | C
    assert bench.go(pcb) == 4
    assert pcb.registers == [7, *range(0x100, 0x10E), STACK]
    assert (pcb.pc, pcb.sp) == (CODE + 16, STACK)
    pcb.set_result(-1)
    assert pcb.registers[0] == 0xFFFFFFFF


def test_a_trap_keeps_the_condition_codes(bench: Bench) -> None:
    """Pushing the number changes them, so they are set between: the number is there already."""
    bench.write(STACK - 4, struct.pack(">i", -CONSTANT))
    pcb = bench.start(code("598f 44fc 001f 4e40 42c1") + trap(LEAVE))  # subq.l #4,sp; move #31,ccr; trap #0; move ccr,d1
    bench.go(pcb)
    assert pcb.registers[:2] == [7, 0x1F]


def test_arguments_are_read_from_above_the_return_address(bench: Bench) -> None:
    bench.write(STACK, struct.pack(">4I", 0, 10, 20, 30))
    bench.go(bench.start(trap(ARGUMENTS) + trap(LEAVE)))
    assert bench.log == [("arguments", (10, 20, 30)), ("trap", LEAVE)]


def test_arguments_may_lie_on_two_pages(bench: Bench) -> None:
    bench.write(DATA + PAGE_SIZE - 8, struct.pack(">iI", -ARGUMENTS, 0))
    bench.pmap.enter(VirtAddr(DATA + PAGE_SIZE), bench.memory.allocate(), VM_PROT_DEFAULT)
    bench.write(DATA + PAGE_SIZE, struct.pack(">3I", 1, 2, 3))
    pcb = bench.start(code("4e40") + trap(LEAVE))
    pcb.registers[SP] = DATA + PAGE_SIZE - 8
    bench.go(pcb)
    assert bench.log == [("arguments", (1, 2, 3)), ("trap", LEAVE)]


def test_a_number_that_is_not_there_faults_and_the_trap_is_made_once_it_is(bench: Bench) -> None:
    pcb = bench.start(code("4e40"))
    pcb.registers[SP] = LAZY
    assert bench.go(pcb, 1) == 1
    assert bench.log == [("fault", LAZY, VM_PROT_READ), ("trap", 0)]
    assert (pcb.sp, pcb.pc) == (LAZY + 4, CODE + 2)
    pcb = bench.start(code("4e40"))
    pcb.registers[SP] = 0x70000000
    assert bench.go(pcb) == 0
    assert (bench.log, pcb.pc, pcb.sp) == ([("fault", 0x70000000, VM_PROT_READ)], CODE, 0x70000000)


def test_a_redirected_trap_finds_where_to_go_back_on_its_stack(bench: Bench) -> None:
    pcb = bench.start(trap(-5))
    pcb.registers[:] = range(16)
    pcb.registers[SP], pcb.sr, pcb.pc_ = STACK, V | C, CODE
    pcb.redirect(77, VirtAddr(NEXT), bench.write)
    assert (pcb.pc, pcb.sp) == (NEXT, STACK - 10)
    assert struct.unpack(">iHI", bench.read(STACK - 10, 10)) == (-77, V | C, CODE)
    bench.write(NEXT, code("588f 4e77"))  # addq.l #4,sp; rtr
    pcb.sr = 0
    bench.write(CODE, trap(LEAVE))
    bench.go(pcb)
    assert (pcb.pc, pcb.sp, bench.log) == (CODE + 8, STACK, [("trap", LEAVE)])


# Faults


def test_a_fault_that_is_mended_is_tried_again(bench: Bench) -> None:
    pcb = bench.start(code("23fc 0000 cafe 0002 0004 2039 0002 0004") + trap(LEAVE))
    executed = bench.go(pcb)
    assert bench.log == [("fault", LAZY + 4, READ_WRITE), ("trap", LEAVE)]
    assert (executed, pcb.registers[0]) == (4, 0xCAFE)


def test_a_fault_that_is_not_mended_leaves_the_instruction_undone(bench: Bench) -> None:
    pcb = bench.start(code("5280 23c0 7000 0000"))
    pcb.registers[SP] = STACK
    assert bench.go(pcb) == 1
    assert (bench.log, pcb.pc) == ([("fault", 0x70000000, READ_WRITE)], CODE + 2)


FLAG_MAKERS = {
    "add": ("d081", 0x7FFFFFFF, 1, N | V),
    "carry": ("d081", 0xFFFFFFFF, 1, X | Z | C),
    "addw": ("d041", 0x8000, 0x8000, X | Z | V | C),
    "addb": ("d001", 0x7F, 1, N | V),
    "sub": ("9081", 0, 1, X | N | C),
    "subw": ("9041", 0x8000, 1, V),
    "cmp": ("b081", 1, 2, N | C),
    "cmpb": ("b001", 0x80, 1, V),
    "and": ("c081", 0xF0, 0x0F, Z),
    "lsl": ("e388", 0x80000001, 0, X | V * 0 | C),
    "muls": ("c1c1", 0xFFFF, 1, N),
}


@pytest.mark.parametrize("how", FLAG_MAKERS)
def test_condition_codes_outlive_a_fault_a_trap_and_a_switch(bench: Bench, how: str) -> None:
    text, d0, d1, expected = FLAG_MAKERS[how]
    for between in ("", "48d0 0001", "48f9 0004 0002 0000"):  # nothing; movem.l d0,(a0); movem.l d2,20000, which faults
        bench.forget_lazy()
        pcb = bench.start(code(text) + code(between) + code("42c3") + trap(LEAVE))
        pcb.registers[0], pcb.registers[1], pcb.registers[A0] = d0, d1, DATA
        bench.go(pcb)
        assert pcb.registers[3] == expected
    pcb = bench.start(code(text) + code("42c3"))
    pcb.registers[0], pcb.registers[1] = d0, d1
    bench.go(pcb, 1)
    assert pcb.sr == expected
    bench.go(pcb, 1)
    assert pcb.registers[3] == expected


def test_a_jump_into_nothing_faults_at_its_target(bench: Bench) -> None:
    pcb = bench.start(code("4ef9 7000 0000"))
    assert bench.go(pcb) == 1
    assert (bench.log, pcb.pc) == ([("fault", 0x70000000, VM_PROT_READ)], 0x70000000)


def test_a_page_made_read_only_faults_on_a_write(bench: Bench) -> None:
    pcb = bench.start(code("13fc 0001 0000 c000 ") * 2 + trap(LEAVE))
    bench.go(pcb, 1)
    bench.pmap.protect(VirtAddr(DATA), VirtAddr(DATA + PAGE_SIZE), VM_PROT_READ)
    bench.go(pcb)
    assert bench.log == [("fault", DATA, READ_WRITE)]


@pytest.mark.parametrize("reads_first", (False, True))
def test_modified_and_referenced_bits_come_from_the_page_tables(bench: Bench, reads_first: bool) -> None:
    mmu, pmap = bench.cpu.mmu, bench.pmap
    place = pmap.translate(VirtAddr(DATA), VM_PROT_READ)
    assert place is not None
    frame = place // PAGE_SIZE
    mmu.clear_referenced(frame)  # type: ignore[arg-type]
    read, write = code("4a39 0000 c000"), code("13fc 0001 0000 c000")
    pcb = bench.start((read if reads_first else code("4e71")) + write + trap(LEAVE))
    bench.go(pcb, 1)
    assert (mmu.is_referenced(frame), mmu.is_modified(frame)) == (reads_first, False)  # type: ignore[arg-type]
    bench.go(pcb)
    assert (mmu.is_referenced(frame), mmu.is_modified(frame)) == (True, True)  # type: ignore[arg-type]
    mmu.clear_modified(frame)  # type: ignore[arg-type]
    assert not mmu.is_modified(frame)  # type: ignore[arg-type]
    bench.go(bench.start(write + trap(LEAVE)))
    assert mmu.is_modified(frame)  # type: ignore[arg-type]
    assert bench.log == [("trap", LEAVE)]


def test_page_tables_go_back_with_the_address_space(bench: Bench) -> None:
    free = len(bench.memory.free)
    pmaps = [bench.cpu.mmu.create() for _ in range(40)]
    for number, pmap in enumerate(pmaps):
        for address in (0, 0x40000, 0x2000000, 0xFFFFC000 - number * 0x40000):
            pmap.enter(VirtAddr(address), bench.memory.free[0], VM_PROT_DEFAULT)
        pmap.check_invariants()
    bench.cpu.mmu.check_invariants()
    assert free - len(bench.memory.free) <= 40 * 5 // 16 + 1 + 40 * 4 // 64 + 1
    for pmap in pmaps:
        pmap.destroy()
    assert len(bench.memory.free) == free


# States


def test_states_are_shown_and_set_by_flavor(bench: Bench) -> None:
    pcb = M68kPcb()
    pcb.set_state(THREAD_STATE, list(range(100, 116)))
    assert pcb.get_state(THREAD_STATE) == tuple(range(100, 116))
    pcb.set_state(EXCEPTION_FRAME, (0xFFFF_1234, 0x5678_FFFF))
    assert (pcb.sr, pcb.pc) == (SR_T1 | SR_T0 | 0x1F, 0x12345678)
    assert pcb.get_state(EXCEPTION_FRAME) == (0xC01F1234, 0x56780000)
    assert pcb.get_state(0) == (1, 2, 3)


@pytest.mark.parametrize(("flavor", "count"), [(1, 15), (2, 26), (3, 1), (4, 100), (-1, 0), (0, 3)])
def test_a_state_that_is_none_is_refused(flavor: int, count: int) -> None:
    pcb = M68kPcb()
    with pytest.raises(KernError) as caught:
        pcb.set_state(flavor, [0] * count)
    assert caught.value.code == KERN_INVALID_ARGUMENT
    if flavor not in range(4):
        with pytest.raises(KernError):
            pcb.get_state(flavor)


# Code that changes


def test_code_that_the_kernel_replaces_is_not_run_again(bench: Bench) -> None:
    for value in (1, 2, 3):
        pcb = bench.start(b"\x70" + bytes((value,)) + trap(LEAVE))
        bench.go(pcb)
        assert pcb.registers[0] == value


def test_code_that_changes_itself_runs_as_changed(bench: Bench) -> None:
    pcb = bench.start(code("33fc 7005 0000 800c 6002 4e71 7001") + trap(LEAVE))  # move.w #0x7005,800c; bra; nop; moveq #1,d0
    bench.go(pcb)
    assert pcb.registers[0] == 5


def test_a_mapping_that_is_taken_away_inside_a_trap_is_gone(bench: Bench) -> None:
    def system_call(number: int) -> int | None:
        if number == CONSTANT:
            bench.pmap.remove(VirtAddr(DATA), VirtAddr(DATA + PAGE_SIZE))
            return 0
        return None

    bench.cpu._native_call = bench.cpu._system_call = system_call
    pcb = bench.start(code("4a39 0000 c000") + trap(CONSTANT) + code("4a39 0000 c000"))
    bench.write(STACK - 4, bytes(4))
    pcb.registers[SP] = NEXT + 0x100
    bench.go(pcb)
    assert bench.log == [("fault", DATA, VM_PROT_READ)]


def test_an_error_of_the_kernel_comes_out_of_run(bench: Bench) -> None:
    def system_call(number: int) -> int | None:
        raise InvariantError("a test")

    bench.cpu._system_call = system_call
    with pytest.raises(InvariantError, match="a test"):
        bench.go(bench.start(trap(CONSTANT)))


# Exactness and hostile code

PIECES = [
    code(text)
    for text in (
        "5280 d081", "9280", "e388", "b081", "4641", "4a39 0000 c000", "23c0 0000 c004", "23c0 0002 0008", "2239 0000 c004",
        "48e7 e000 4cdf 0007", "82c0", "f200 0022", "f23c 4001 0000 0001", "f240 0001", "4e71", "4afc", "4e76", "51c9 0002 4e71",
        "6702 5280", "0840 0003", "eac0 0108", "c141", "8300",
    )
] + [trap(CONSTANT)]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.integers(1, 60))
def test_any_code_is_the_same_run_in_one_go_and_step_by_step(pieces: list[bytes], total: int) -> None:
    outcomes = []
    for steps in ([total], [1] * total):
        bench = Bench()
        try:
            bench.resumes = True
            bench.memory.write(PhysAddr(bench.pmap.translate(VirtAddr(DATA), VM_PROT_WRITE) or 0), bytes(64))
            pcb = bench.start(b"".join(pieces))
            executed = []
            for step in steps:
                before = len(bench.log)
                bench.go(pcb, step)
                executed.append(len(bench.log) - before)
            log = [key for key, _ in groupby(bench.log)]
            outcomes.append((pcb.registers, pcb.pc_, pcb.sr, pcb.fpu, log, bench.read(DATA, 64)))
        finally:
            bench.close()
    assert outcomes[0] == outcomes[1]


@settings(deadline=None, max_examples=150)
@given(st.binary(min_size=2, max_size=60), st.integers(0, 0xFFFFFFFF))
def test_random_code_never_escapes(text: bytes, seed: int) -> None:
    """Whatever runs, it ends in the kernel or in time, reads no memory but its own, and the bench is sound."""
    bench = Bench()
    try:
        pcb = bench.start(text)
        pcb.registers[:] = [(seed * (n + 3) * 0x9E3779B1) & 0xFFFFFFFF for n in range(16)]
        for _ in range(4):
            bench.go(pcb, 50)
        bench.pmap.check_invariants()
        bench.cpu.mmu.check_invariants()
        bench.memory.check_invariants()
    finally:
        bench.close()
