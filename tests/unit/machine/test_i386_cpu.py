"""The i386 CPU alone, under a kernel of a few lines: traps, faults, exact counts, hostile code."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.exception import EXC_ARITHMETIC, EXC_BAD_ACCESS, EXC_BAD_INSTRUCTION, EXC_BREAKPOINT
from machemu.abi.types import Instructions, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.i386.pcb import DS, EAX, ECX, EDI, EDX, EFLAGS, ES, ESI, FLOAT_STATE, REGS_SEGS_STATE
from machemu.machine.i386.pmap import KERNEL_BASE, PAGE_SIZE
from machemu.machine.seams import UserFault
from tests.support.cpu_bench import ARGUMENTS, CONSTANT, LAZY, LEAVE
from tests.support.i386_bench import CODE, DATA, STACK, Bench, trap


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_a_trap_s_result_is_in_eax_and_the_rest_is_kept(bench: Bench) -> None:
    pcb = bench.start(trap(CONSTANT) + trap(LEAVE))
    pcb.registers[ECX], pcb.registers[ESI] = 0x11111111, 0x22222222
    bench.go(pcb)
    pcb.set_result(0x33)
    assert (pcb.registers[EAX], pcb.registers[ECX], pcb.registers[ESI]) == (0x33, 0x11111111, 0x22222222)
    assert (pcb.pc, pcb.sp) == (CODE + 24, STACK)
    assert pcb.segments == [0x17, 0x1F, 0x1F, 0x1F, 0x1F, 0x1F]


def test_arguments_are_read_from_above_the_return_address(bench: Bench) -> None:
    bench.write(STACK, struct.pack("<4I", 0, 10, 20, 30))
    bench.go(bench.start(trap(ARGUMENTS) + trap(LEAVE)))
    assert bench.log == [("arguments", (10, 20, 30)), ("trap", LEAVE)]


def test_arguments_nowhere_fault_at_the_last_one_first(bench: Bench) -> None:
    """As the real kernel's entry code copies them: the transcript of traps.c shows the address."""
    with pytest.raises(UserFault) as caught:
        bench.go(bench.start(b"\xbc" + struct.pack("<I", 0x70000000) + trap(ARGUMENTS)))
    assert caught.value.address == 0x7000000C


def test_a_fault_that_is_mended_is_tried_again(bench: Bench) -> None:
    pcb = bench.start(b"\xc7\x05" + struct.pack("<II", LAZY + 4, 0xCAFE) + b"\xa1" + struct.pack("<I", LAZY + 4) + trap(LEAVE))
    executed = bench.go(pcb)
    assert bench.log == [("fault", LAZY + 4, VM_PROT_READ | VM_PROT_WRITE), ("trap", LEAVE)]
    assert executed == 4


@pytest.mark.parametrize(
    ("code", "expected", "pc"),
    [
        (b"\x31\xd2\xf7\xf2", (EXC_ARITHMETIC, 1, 0), 2),
        (b"\xcc", (EXC_BREAKPOINT, 2, 0), 1),
        (b"\xcd\x03", (EXC_BREAKPOINT, 2, 0), 2),
        (b"\xb0\x7f\x04\x7f\xce", (EXC_ARITHMETIC, 2, 0), 5),
        (b"\x0f\x0b", (EXC_BAD_INSTRUCTION, 1, 0), 0),
        (b"\xfa", (EXC_BAD_INSTRUCTION, 13, 0), 0),
        (b"\xf4", (EXC_BAD_INSTRUCTION, 13, 0), 0),
        (b"\xcd\x77", (EXC_BAD_INSTRUCTION, 13, 0x3BA), 0),
        (b"\xcd\x0e", (EXC_BAD_INSTRUCTION, 13, 0x72), 0),
        (b"\xcd\x30", (EXC_BAD_INSTRUCTION, 13, 0x182), 0),
        (b"\x0f\x34", (EXC_BAD_INSTRUCTION, 13, 0), 0),
        (b"\x0f\x05", (EXC_BAD_INSTRUCTION, 1, 0), 0),
        (b"\xe4\x10", (EXC_BAD_INSTRUCTION, 13, 0), 0),
        (b"\x66\xef", (EXC_BAD_INSTRUCTION, 13, 0), 0),
        (b"\xbe\x00\x90\0\0\x6e", (EXC_BAD_INSTRUCTION, 13, 0), 5),
        (b"\xea\0\0\0\0\x33\0", (EXC_BAD_INSTRUCTION, 13, 0x30), 0),
        (b"\xa1" + struct.pack("<I", 0xD0000000), (EXC_BAD_ACCESS, 14, 0xD0000000), 0),
        (b"\x9c\x81\x0c\x24\x00\x01\x00\x00\x9d\x90", (EXC_BREAKPOINT, 1, 0), 10),
        (b"\x0f\xc7\xf0", (EXC_BAD_INSTRUCTION, 1, 0), 0),
        (b"\x66\x0f\x6e\xc0", (EXC_BAD_INSTRUCTION, 1, 0), 0),
        (b"\x68\x7b\x03\0\0\xd9\x2c\x24\xd9\xe8\xd9\xee\xde\xf9\x9b", (EXC_ARITHMETIC, 5, 0xB084), 14),
    ],
)
def test_an_exception_has_mach_s_code_and_the_right_place(
    bench: Bench, code: bytes, expected: tuple[int, int, int], pc: int
) -> None:
    pcb = bench.start(code)
    bench.go(pcb, 40)
    assert bench.log == [("exception", *expected)]
    assert pcb.pc == CODE + pc


@pytest.mark.parametrize("size", [1, 40])
def test_the_carry_outlives_a_fault(bench: Bench, size: int) -> None:
    """A comparison that carries, a store whose page comes late, an addition with carry: however the run is cut."""
    pcb = bench.start(b"\x83\xf9\x01\xa3" + struct.pack("<I", LAZY) + b"\x83\xd2\x05" + trap(LEAVE))
    while ("trap", LEAVE) not in bench.log:
        bench.go(pcb, size)
    assert pcb.registers[EDX] == 6


@pytest.mark.parametrize(("cs", "ss", "selector"), [(0x33, 0x1F, 0x30), (0x0B, 0x1F, 0x08), (0x07, 0x1F, 4), (0x17, 0x17, 0x14)])
def test_selectors_that_the_processor_refuses_are_an_exception(bench: Bench, cs: int, ss: int, selector: int) -> None:
    """And they stay the thread's, as on the real kernel."""
    pcb = bench.start(b"\x90")
    words = list(pcb.get_state(REGS_SEGS_STATE))
    words[13], words[16] = cs, ss
    pcb.set_state(REGS_SEGS_STATE, words)
    before = list(pcb.registers)
    assert bench.go(pcb) == 0
    assert bench.log == [("exception", EXC_BAD_INSTRUCTION, 13, selector)]
    assert (pcb.registers, pcb.segments[:2]) == (before, [cs, ss])


@pytest.mark.parametrize("selector", range(4))
@pytest.mark.parametrize("page", [CODE, LAZY], ids=["", "in a page that comes late"])
def test_null_selectors_are_kept_where_a_thread_is_left_and_entered(bench: Bench, selector: int, page: int) -> None:
    """A return from the kernel makes them 0; where a run is cut is none."""
    code = b"\xb8" + struct.pack("<I", selector) + b"\x8e\xd8\x8e\xc0\xe9" + struct.pack("<i", page - CODE + 0x100 - 14)
    pcb = bench.start(code)
    assert bench.go(pcb, 4) == 4
    assert pcb.segments[DS : ES + 1] == [selector] * 2
    pcb.registers[EAX] = DATA
    assert bench.go(pcb, 1) == 1
    assert pcb.segments[DS : ES + 1] == [selector] * 2
    assert bench.log == ([("fault", LAZY + 0x100, VM_PROT_READ)] if page == LAZY else [])


@pytest.mark.parametrize("number", [CONSTANT, LEAVE])
def test_null_selectors_are_zero_behind_a_trap_whether_or_not_it_left_the_thread(bench: Bench, number: int) -> None:
    pcb = bench.start(b"\xb8\x02\0\0\0\x8e\xd8\x8e\xc0" + trap(number) + b"\x90")
    bench.go(pcb, 6)
    assert pcb.pc == CODE + 9 + 12 + (number == CONSTANT)
    assert pcb.segments[DS : ES + 1] == [0, 0]
    assert bench.go(pcb, 1) == 1
    assert pcb.segments[DS : ES + 1] == [0, 0]


def test_a_step_into_a_trap_makes_the_trap_and_stops_behind_the_next_instruction(bench: Bench) -> None:
    pcb = bench.start(trap(CONSTANT) + b"\x41\x41")
    pcb.registers[EFLAGS] |= 0x100
    assert [bench.go(pcb) for _ in range(3)] == [1, 2, 1]
    assert bench.log == [("exception", EXC_BREAKPOINT, 1, 0)] * 3
    assert (pcb.registers[EAX], pcb.pc) == (7, CODE + 14)


def test_a_trap_that_has_a_result_and_leaves_counts_once(bench: Bench) -> None:
    class Leaver(Bench):
        def system_call(self, number: int) -> int | None:
            self.cpu.stop()
            return 7

    leaver = Leaver()
    pcb = leaver.start(trap(CONSTANT) * 2 + b"\x41")
    assert [leaver.go(pcb), leaver.go(pcb), leaver.go(pcb, 5)] == [2, 2, 5]
    leaver.close()


def test_float_state_that_is_set_is_shown_and_the_thread_begins_anew(bench: Bench) -> None:
    first = bench.start(b"\xd9\xeb\xd9\xe8" + trap(LEAVE))
    assert first.get_state(FLOAT_STATE) == (0,) * 30
    bench.go(first)
    words = first.get_state(FLOAT_STATE)
    second = bench.start(b"\xd9\xe8\xdd\x1d" + struct.pack("<I", DATA) + trap(LEAVE))
    second.set_state(FLOAT_STATE, words)
    assert second.get_state(FLOAT_STATE) == (words[0], 0, *words[2:])
    bench.go(second)
    assert ("print", b"fp_load: invalid FPU state!\n") in bench.log
    assert second.get_state(FLOAT_STATE)[1:5] == (1, 0x37F, 0, 0xFFFF)
    place = bench.pmap.translate(VirtAddr(DATA), VM_PROT_READ)
    assert place is not None
    assert struct.unpack("<d", bench.memory.read(place, 8)) == (1.0,)
    with pytest.raises(KernError):
        second.set_state(FLOAT_STATE, words[:-1])


def test_a_jump_into_nothing_faults_at_its_target(bench: Bench) -> None:
    pcb = bench.start(b"\xe9" + struct.pack("<i", 0x30000000))
    executed = bench.go(pcb)
    assert bench.log == [("fault", CODE + 5 + 0x30000000, VM_PROT_READ)]
    assert executed == 1
    assert pcb.pc == CODE + 5 + 0x30000000


PROGRAM = (
    b"\xb9\x05\0\0\0"
    + trap(CONSTANT)
    + b"\x49\x75\xf1"
    + b"\xfc\xbf"
    + struct.pack("<I", LAZY + 0x100)
    + b"\xb9\x10\0\0\0\xf3\xaa"
    b"\xd9\xe8\xde\xc1" + trap(LEAVE)
)
"""Traps in a loop, a REP over a page that comes late, the FPU, and a trap that leaves."""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_how_a_run_is_cut_changes_nothing(cuts: list[int]) -> None:
    bench = Bench()
    try:
        whole = bench.start(PROGRAM)
        executed = bench.go(whole, 60)
        log = list(bench.log)
        bench.forget_lazy()
        cut = bench.start(PROGRAM)
        total = 0
        for index in range(60):
            budget = cuts[index % len(cuts)]
            done = bench.go(cut, min(budget, 60 - total))
            total += done
            if bench.log[-1:] == [("trap", LEAVE)] or total == 60:
                break
            assert done == budget
        assert (total, cut.registers, cut.fpu, bench.log) == (executed, whole.registers, whole.fpu, log)
    finally:
        bench.close()


def test_a_thread_s_fpu_is_its_own(bench: Bench) -> None:
    code = b"\xd9\xe8" + trap(LEAVE)
    first = bench.start(code)
    bench.go(first)
    second = bench.start(b"\xd9\xee" + trap(LEAVE))
    bench.go(second)
    assert first.fpu is not None and second.fpu is not None
    assert first.fpu.data != second.fpu.data
    plain = bench.start(trap(LEAVE))
    bench.go(plain)
    assert plain.fpu is None
    bench.write(CODE, b"\xdd\x1d" + struct.pack("<I", DATA) + trap(LEAVE))
    first.set_entry(VirtAddr(CODE), VirtAddr(STACK))
    bench.go(first)
    place = bench.pmap.translate(VirtAddr(DATA), VM_PROT_READ)
    assert place is not None
    assert bench.memory.read(place, 8) == struct.pack("<d", 1.0)


def test_code_that_the_kernel_replaces_is_not_run_again(bench: Bench) -> None:
    """In one address space, and in another that maps the same frame."""
    load = b"\xb8" + struct.pack("<I", 1)
    pcb = bench.start(load)
    bench.go(pcb, 10)
    assert pcb.registers[EAX] == 1
    pcb = bench.start(b"\xb8" + struct.pack("<I", 2))
    bench.go(pcb, 10)
    assert pcb.registers[EAX] == 2
    other = bench.cpu.mmu.create()
    place = bench.pmap.translate(VirtAddr(CODE), VM_PROT_READ)
    assert place is not None
    other.enter(VirtAddr(0x50000), place // PAGE_SIZE, VM_PROT_DEFAULT)  # type: ignore[arg-type]
    bench.write(CODE, b"\xb8" + struct.pack("<I", 3))
    pcb.set_entry(VirtAddr(0x50000), VirtAddr(STACK))
    bench.cpu.activate(pcb, other)
    bench.cpu.run(Instructions(5))
    bench.cpu.deactivate()
    assert pcb.registers[EAX] == 3


def test_code_that_changes_itself_runs_as_changed(bench: Bench) -> None:
    patch = b"\xc6\x05" + struct.pack("<IB", CODE + 8, 0x55) + b"\xb8" + struct.pack("<I", 0)
    pcb = bench.start(patch + trap(LEAVE))
    for _ in range(2):
        pcb.set_entry(VirtAddr(CODE), VirtAddr(STACK))
        bench.go(pcb)
    assert bench.log == [("trap", LEAVE)] * 2


def test_a_mapping_that_is_taken_away_inside_a_trap_is_gone(bench: Bench) -> None:
    class Taker(Bench):
        def system_call(self, number: int) -> int | None:
            if number == CONSTANT:
                self.pmap.remove(VirtAddr(DATA), VirtAddr(DATA + PAGE_SIZE))
            return super().system_call(number)

    taker = Taker()
    read = b"\xa1" + struct.pack("<I", DATA)
    taker.go(taker.start(read + trap(CONSTANT) + read))
    assert taker.log == [("fault", DATA, VM_PROT_READ)]
    taker.close()


def test_an_error_of_the_kernel_comes_out_of_run(bench: Bench) -> None:
    class Broken(Bench):
        def system_call(self, number: int) -> int | None:
            raise InvariantError("on purpose")

    broken = Broken()
    with pytest.raises(InvariantError, match="on purpose"):
        broken.go(broken.start(trap(CONSTANT)))
    broken.close()


PIECES = (
    trap(CONSTANT),
    trap(LEAVE),
    b"\x9c\x81\x0c\x24\x00\x01\0\0\x9d",
    b"\x83\xf9\x01\xa3" + struct.pack("<I", LAZY) + b"\x83\xd2\x05",
    b"\xb9\x03\0\0\0\xbf" + struct.pack("<I", LAZY + 0xFFF) + b"\xf3\xaa",
    b"\xd9\xe8\xd9\xeb\xde\xf9",
    b"\xdd\x35" + struct.pack("<I", DATA + 0x100),
    b"\x68\x7f\x0f\0\0\xd9\x2c\x24\x58",
    b"\xe2\xf0",
    b"\x49\x75\x02",
    b"\x16\x17",
    b"\xe4\x10",
)
"""Traps, single steps, late pages, REP, the FPU, jumps, selectors, what is refused."""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=4), min_size=1, max_size=8), st.integers(1, 60))
def test_any_code_is_the_same_run_in_one_go_and_step_by_step(pieces: list[bytes], total: int) -> None:
    runs = []
    for budget in (total, 1, 3):
        SHARED.forget_lazy()
        SHARED.write(DATA, bytes(PAGE_SIZE))
        pcb = SHARED.start(b"".join(pieces))
        executed, idle = 0, 0
        while executed < total and idle < 3:
            asked = min(budget, total - executed)
            done = SHARED.go(pcb, asked)
            assert 0 <= done <= asked
            executed += done
            idle = 0 if done else idle + 1
        place = SHARED.pmap.translate(VirtAddr(DATA), VM_PROT_READ)
        assert place is not None
        data = SHARED.memory.read(place, PAGE_SIZE)
        log = [what for what, _ in groupby(SHARED.log)]
        runs.append((executed, pcb.registers, pcb.segments, pcb.fpu, log, data))
    assert runs[0] == runs[1] == runs[2]


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=40), st.integers(0, 0xFFFFFFFF))
def test_random_code_never_escapes(code: bytes, seed: int) -> None:
    pcb = SHARED.start(code)
    pcb.registers[EDI] = seed
    SHARED.go(pcb, 200)
    SHARED.forget_lazy()
    SHARED.cpu.mmu.check_invariants()
    assert pcb.segments[0] & 3 == 3


SHARED = Bench()


# Page tables


def test_kernel_addresses_are_never_a_user_s(bench: Bench) -> None:
    for address in (KERNEL_BASE, KERNEL_BASE + 0x300, 0xFFFFFFFC):
        assert bench.pmap.translate(VirtAddr(address), VM_PROT_READ) is None


def test_page_tables_go_back_with_the_address_space(bench: Bench) -> None:
    free = len(bench.memory.free)
    pmap = bench.cpu.mmu.create()
    frame = bench.memory.allocate()
    for address in range(0, 0x40000000, 0x1000000):
        pmap.enter(VirtAddr(address), frame, VM_PROT_READ)
    assert pmap.resident_count() == 64
    pmap.destroy()
    bench.memory.release(frame)
    assert len(bench.memory.free) == free
    bench.cpu.mmu.check_invariants()


def test_dirty_and_referenced_bits_come_from_the_page_tables(bench: Bench) -> None:
    mmu = bench.cpu.mmu
    place = bench.pmap.translate(VirtAddr(DATA), 0)
    assert place is not None
    frame = place // PAGE_SIZE
    for clear in (mmu.clear_modified, mmu.clear_referenced):
        clear(frame)  # type: ignore[arg-type]
    bench.go(bench.start(b"\xa1" + struct.pack("<I", DATA) + trap(LEAVE)))
    assert (mmu.is_referenced(frame), mmu.is_modified(frame)) == (True, False)  # type: ignore[arg-type]
    bench.go(bench.start(b"\xa3" + struct.pack("<I", DATA) + trap(LEAVE)))
    assert mmu.is_modified(frame)  # type: ignore[arg-type]
    bench.pmap.remove(VirtAddr(DATA), VirtAddr(DATA + PAGE_SIZE))
    assert mmu.is_modified(frame)  # type: ignore[arg-type]


def test_a_page_made_read_only_faults_on_a_write(bench: Bench) -> None:
    bench.pmap.protect(VirtAddr(DATA), VirtAddr(DATA + PAGE_SIZE), VM_PROT_READ)
    bench.go(bench.start(b"\xa1" + struct.pack("<I", DATA) + b"\xa3" + struct.pack("<I", DATA)))
    assert bench.log == [("fault", DATA, VM_PROT_READ | VM_PROT_WRITE)]
