"""The m68k's exceptions, trap by trap, and the instructions that Unicorn lacks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from machemu.abi.exception import EXC_ARITHMETIC, EXC_BAD_INSTRUCTION, EXC_BREAKPOINT, EXC_EMULATION, EXC_SOFTWARE
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ
from machemu.machine.engine import EDGE, EDGE_HOOK
from machemu.machine.m68k.pcb import EXCEPTION_FRAME, SR_T0, SR_T1
from machemu.machine.m68k.pmap import PAGE_SIZE
from tests.support.cpu_bench import LAZY, LEAVE
from tests.support.m68k_bench import A0, CODE, DATA, NEXT, READ_WRITE, STACK, Bench, V, code, trap


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


# Exceptions

EXCEPTIONS = [
    ("4afc", EXC_BAD_INSTRUCTION, 0x10, 0),
    ("484b", EXC_BAD_INSTRUCTION, 0x10, 0),
    ("4e7a 0801", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("40c0", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("4e72 0000", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("4e70", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("4e73", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("0e90 0000", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("f518", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("f320", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("4e68", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("46fc 2000", EXC_BAD_INSTRUCTION, 0x20, 0),
    ("a123", EXC_EMULATION, 0x28, 0),
    ("f800", EXC_EMULATION, 0x2C, 0),
    ("f240 0020", EXC_EMULATION, 0x2C, 0),
    ("f2a0 0004", EXC_EMULATION, 0x2C, 0),
    ("f200 4c00", EXC_EMULATION, 0x2C, 0),
    ("82fc 0000", EXC_ARITHMETIC, 0x14, 4),
    ("81c3", EXC_ARITHMETIC, 0x14, 2),
    ("4c43 5004", EXC_ARITHMETIC, 0x14, 4),
    ("4c79 1801 0000 c000", EXC_ARITHMETIC, 0x14, 8),
    ("4c70 1801 3120 0010", EXC_ARITHMETIC, 0x14, 8),
    ("43bc 0005", EXC_SOFTWARE, 0x18, 4),
    ("4310", EXC_SOFTWARE, 0x18, 2),
    ("4339 0000 c000", EXC_SOFTWARE, 0x18, 6),
    ("02f9 1800 0000 c000", EXC_SOFTWARE, 0x18, 8),
    ("02d0 1800", EXC_SOFTWARE, 0x18, 4),
    ("4e76", EXC_SOFTWARE, 0x1C, 2),
    ("50fc", EXC_SOFTWARE, 0x1C, 2),
    ("59fa 0005", EXC_SOFTWARE, 0x1C, 4),
    ("59fb 0000 0005", EXC_SOFTWARE, 0x1C, 6),
    ("f27a 000f 0002", EXC_SOFTWARE, 0x1C, 6),
    *((f"4e4{number:x}", EXC_BAD_INSTRUCTION, 0x80 + 4 * number, 2) for number in range(1, 15)),
    ("4e4f", EXC_BREAKPOINT, 0xBC, 2),
]
"""Code, what it raises, and how far the program counter is past its begin. d1 is 9, V is set, memory is zero."""


@pytest.mark.parametrize(("text", "exception", "mach_code", "past"), EXCEPTIONS, ids=[case[0] for case in EXCEPTIONS])
def test_an_exception_has_mk64_s_code_and_the_right_place(
    bench: Bench, text: str, exception: int, mach_code: int, past: int
) -> None:
    pcb = bench.start(code(text))
    pcb.registers[1], pcb.registers[A0] = 9, DATA
    pcb.sr = V
    executed = bench.go(pcb)
    assert bench.log == [("exception", int(exception), mach_code, 0, CODE + past)]
    assert executed == (past > 0)
    assert pcb.get_state(EXCEPTION_FRAME)[1] & 0xFFF == mach_code


@pytest.mark.parametrize(("text", "mach_code", "past"), [(case[0], case[2], case[3]) for case in EXCEPTIONS])
def test_a_thread_goes_on_after_an_exception_that_is_mended(bench: Bench, text: str, mach_code: int, past: int) -> None:
    """The handler puts the program counter behind the instruction, where it is not there already."""
    instruction = code(text)
    pcb = bench.start(instruction + trap(LEAVE))
    pcb.registers[1], pcb.registers[A0] = 9, DATA
    pcb.sr = V
    bench.go(pcb)
    assert bench.log.pop()[2] == mach_code
    if not past:
        sr_pc, low = pcb.get_state(EXCEPTION_FRAME)
        pcb.set_state(EXCEPTION_FRAME, (sr_pc, low + (len(instruction) << 16)))
    bench.go(pcb)
    assert (bench.log, pcb.pc) == ([("trap", LEAVE)], CODE + len(instruction) + 8)


@pytest.mark.parametrize(
    ("text", "moved"),
    [("4398", 2), ("43a0", -2), ("4318", 4), ("4320", -4), ("80d8", 2), ("80e0", -2), ("4c58 0002", 4), ("4c60 0002", -4)],
)
def test_an_operand_s_address_register_moves_though_the_instruction_traps(bench: Bench, text: str, moved: int) -> None:
    """chk and divu with (a0)+ and -(a0), of words and long words: they are done, and the exception comes after them."""
    pcb = bench.start(code(text))
    pcb.registers[1], pcb.registers[A0] = 9, DATA + 8
    bench.go(pcb)
    assert [entry[0] for entry in bench.log] == ["exception"]
    assert (pcb.registers[A0], pcb.pc) == (DATA + 8 + moved, CODE + len(code(text)))


def test_an_instruction_that_is_replaced_is_run_as_replaced(bench: Bench) -> None:
    pcb = bench.start(code("4afc") + trap(LEAVE))
    bench.go(pcb)
    bench.write(CODE, code("7005"))  # moveq #5,d0
    bench.log.clear()
    assert bench.go(pcb) == 3
    assert (bench.log, pcb.registers[0]) == ([("trap", LEAVE)], 5)


@pytest.mark.parametrize("text", ["4ef9 0000 8101", "4e75", "4ed0", "60ff 0000 00ff"], ids=["jmp", "rts", "jmp (a0)", "bra.l"])
def test_a_jump_to_an_odd_address_is_an_address_error_every_time(bench: Bench, text: str) -> None:
    bench.write(STACK, struct.pack(">I", 0x8101))
    for _ in range(3):
        pcb = bench.start(code(text))
        pcb.registers[A0] = 0x8101
        assert bench.go(pcb) == 1
        assert bench.log == [("exception", EXC_BAD_INSTRUCTION, 0x0C, 0, 0x8101)]


def test_an_odd_address_is_an_address_error_where_no_page_is_too(bench: Bench) -> None:
    pcb = bench.start(code("4ef9 7000 0001"))
    bench.go(pcb)
    assert bench.log == [("exception", EXC_BAD_INSTRUCTION, 0x0C, 0, 0x70000001)]
    pcb = bench.start(b"")
    pcb.set_entry(VirtAddr(CODE + 1), VirtAddr(STACK))
    assert bench.go(pcb) == 0
    assert bench.log == [("exception", EXC_BAD_INSTRUCTION, 0x0C, 0, CODE + 1)]


@pytest.mark.parametrize("words", ["d5b900", "f22300", "4c7900"], ids=["add.l", "fmove", "divs.l"])
def test_a_jump_to_an_odd_address_before_a_page_that_is_not_there_is_an_address_error(bench: Bench, words: str) -> None:
    """The instruction that would lie there has a word in both pages."""
    end = DATA + PAGE_SIZE
    bench.write(end - 3, code(words))
    pcb = bench.start(code("6007"), end - 12)
    assert bench.go(pcb) == 1
    assert bench.log == [("exception", EXC_BAD_INSTRUCTION, 0x0C, 0, end - 3)]


def test_data_may_lie_at_odd_addresses(bench: Bench) -> None:
    """As on every processor since the 68020."""
    pcb = bench.start(code("23fc 1234 5678 0000 c001 2039 0000 c001") + trap(LEAVE))
    bench.go(pcb)
    assert pcb.registers[0] == 0x12345678
    assert bench.read(DATA + 1, 4) == code("12345678")


# Instructions that Unicorn lacks


@pytest.mark.parametrize("codes", range(16))
@pytest.mark.parametrize("condition", range(16))
def test_trapcc_s_conditions_are_those_of_scc(bench: Bench, condition: int, codes: int) -> None:
    scc, trapcc = 0x50C0 | condition << 8, 0x50FC | condition << 8
    pcb = bench.start(struct.pack(">HH", scc, trapcc) + trap(LEAVE))
    pcb.sr = codes
    bench.go(pcb)
    assert (bench.log[0][0] == "exception") == (pcb.registers[0] & 0xFF == 0xFF)


@pytest.mark.parametrize("numbers", [(0, 0), (2, 1), (1, 2), (1, "nan"), ("nan", "nan"), (-1, 1), ("inf", "inf")])
def test_ftrapcc_s_predicates_are_those_of_fscc(bench: Bench, numbers: tuple[float, float]) -> None:
    bench.write(DATA, struct.pack(">2d", *map(float, numbers)))
    for predicate in range(32):
        compare = code("f239 5400 0000 c000 f239 5438 0000 c008")  # fmove.d c000,fp0; fcmp.d c008,fp0
        pcb = bench.start(compare + struct.pack(">HHHH", 0xF240, predicate, 0xF27C, predicate) + trap(LEAVE))
        bench.go(pcb)
        assert (bench.log[0][0] == "exception") == (pcb.registers[0] & 0xFF == 0xFF), predicate


def test_fdbcc_counts_down_and_falls_through(bench: Bench) -> None:
    pcb = bench.start(code("5280 f249 0000 fffa") + trap(LEAVE))  # again: addq.l #1,d0; fdbf d1,again
    pcb.registers[1] = 0xABCD0004
    assert bench.go(pcb) == 5 * 2 + 2
    assert (pcb.registers[0], pcb.registers[1]) == (5, 0xABCDFFFF)


def test_rtr_takes_condition_codes_and_program_counter_off_the_stack(bench: Bench) -> None:
    bench.write(STACK, struct.pack(">HI", 0xFF15, NEXT))
    bench.write(NEXT, code("42c1") + trap(LEAVE))
    pcb = bench.start(code("4e77"))
    assert bench.go(pcb) == 4
    assert (pcb.registers[1], pcb.sp, bench.log) == (0x15, STACK + 6, [("trap", LEAVE)])


def test_pack_and_unpk(bench: Bench) -> None:
    bench.write(DATA, code("3132 00 37"))
    pcb = bench.start(code("8541 fffe 8788 3030 8942 3031") + trap(LEAVE))  # pack d1,d2; unpk -(a0),-(a3); unpk d2,d4
    pcb.registers[1:5] = [0x3139, 0xAAAAAAAA, 0, 0xBBBBBBBB]
    pcb.registers[A0], pcb.registers[A0 + 3] = DATA + 4, DATA + 16
    bench.start(code("8541 fffe 8788 3030 8982 3031") + trap(LEAVE))
    assert bench.go(pcb) == 5
    assert pcb.registers[2] == 0xAAAAAA17
    assert pcb.registers[4] == 0xBBBB3138
    assert (bench.read(DATA + 14, 2), pcb.registers[A0], pcb.registers[A0 + 3]) == (b"\x33\x37", DATA + 3, DATA + 14)


def test_an_instruction_done_for_unicorn_that_faults_is_done_once_the_page_is_there(bench: Bench) -> None:
    pcb = bench.start(code("8588 0000") + trap(LEAVE))  # unpk -(a0),-(a2)
    pcb.registers[A0], pcb.registers[A0 + 2] = DATA + 1, LAZY + 8
    bench.write(DATA, b"\x42")
    assert bench.go(pcb) == 3
    assert bench.log == [("fault", LAZY + 6, READ_WRITE), ("trap", LEAVE)]
    assert bench.read(LAZY + 6, 2) == b"\x04\x02"


# Tracing


def test_each_instruction_of_a_traced_thread_raises_trace(bench: Bench) -> None:
    pcb = bench.start(code("7001 7202 4e71") + trap(LEAVE))
    pcb.sr = SR_T1
    for past in (2, 4, 6, 12):
        bench.go(pcb)
        assert bench.log.pop() == ("exception", EXC_BREAKPOINT, 0x24, 0, CODE + past)
    bench.go(pcb)
    assert bench.log == [("trap", LEAVE)]
    assert pcb.get_state(EXCEPTION_FRAME)[0] >> 16 & 0xC000 == SR_T1


@pytest.mark.parametrize("before", [0, 2])
def test_a_traced_instruction_whose_code_comes_late_raises_trace_behind_itself(
    bench: Bench, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, or its second word, from a page that others execute. It is zeros, which are ori.b #0,d0."""
    frame, start = bench.memory.allocate(), LAZY - before
    bench.pmap.enter(VirtAddr(LAZY - PAGE_SIZE), bench.memory.allocate(), VM_PROT_DEFAULT)

    def fault(self: Bench, address: VirtAddr, access: int) -> bool:
        self.log.append(("fault", address, access))
        self.pmap.enter(VirtAddr(LAZY), frame, VM_PROT_DEFAULT)
        return True

    monkeypatch.setattr(Bench, "fault", fault)
    pcb = bench.start(b"")
    for sr, done in ((0, 10), (SR_T1, 1)):
        bench.log.clear()
        pcb.set_entry(VirtAddr(start), VirtAddr(STACK))
        pcb.sr = sr
        assert bench.go(pcb, 10) == done
        bench.pmap.remove(VirtAddr(LAZY), VirtAddr(LAZY + PAGE_SIZE))
    assert bench.log == [("fault", LAZY, VM_PROT_READ), ("exception", EXC_BREAKPOINT, 0x24, 0, start + 4)]


def test_tracing_the_flow_stops_at_jumps_that_are_taken(bench: Bench) -> None:
    pcb = bench.start(code("7000 6702 4afc 6602 7001 6000 0004 4afc") + trap(LEAVE))
    pcb.sr = SR_T0
    bench.go(pcb)
    assert bench.log.pop()[2:] == (0x24, 0, CODE + 6)
    bench.go(pcb)
    assert bench.log.pop()[2:] == (0x24, 0, CODE + 16)


@pytest.mark.parametrize("how", [SR_T0, SR_T1])
def test_a_traced_thread_s_translations_are_of_one_instruction_each_and_its_own(bench: Bench, how: int) -> None:
    """Else each step would translate all the rest of its block; and other threads run whole blocks as before."""
    translated: list[int] = []
    own = bench.cpu._translated

    def watch(engine: object, block: Any, before: object, data: object) -> None:
        translated.append(block.contents.icount)
        own(engine, block, before, data)

    bench.cpu.engine.hook(EDGE, EDGE_HOOK(watch))
    bench.resumes = True
    pcb = bench.start(code("5280 " * 200))
    entry = pcb.pc
    for _ in range(3):
        pcb.sr, pcb.pc_ = how, entry
        bench.go(pcb, 200)
        assert (pcb.pc, pcb.sr & how) == (entry + 400, how)
        pcb.sr, pcb.pc_ = 0, entry
        bench.go(pcb, 200)
    assert pcb.registers[0] == 6 * 200
    left = bench.cpu.engine.blocks is not None  # 200, the most that may be left of the budget, is a block of its own
    assert sorted(set(translated)) == ([1, 200, 201] if left else [1, 201])
    assert len(translated) <= 200 + 3 + left


def test_a_traced_instruction_may_lie_across_two_pages_of_code(bench: Bench) -> None:
    text = code("23fc 1234 5678 0000 c000")  # move.l #0x12345678,c000
    for before in range(2, len(text), 2):
        start = NEXT - before
        bench.write(start, text[:before])
        bench.write(NEXT, text[before:] + trap(LEAVE))
        pcb = bench.start(b"")
        pcb.set_entry(VirtAddr(start), VirtAddr(STACK))
        pcb.sr = SR_T1
        assert bench.go(pcb) == 1
        assert bench.log == [("exception", EXC_BREAKPOINT, 0x24, 0, start + len(text))]


@pytest.mark.parametrize("text", ["33fc 1234 0000 c000", "1680"], ids=["move.w #1234,c000", "move.b d0,(a3)"])
def test_a_traced_instruction_at_a_page_s_end_is_told_before_the_next_page_is_fetched_from(bench: Bench, text: str) -> None:
    start = NEXT - len(code(text))
    bench.write(start, code(text))
    bench.write(NEXT, code("cdba") + trap(LEAVE))
    pcb = bench.start(b"")
    pcb.registers[A0 + 3] = NEXT + 0x20
    pcb.set_entry(VirtAddr(start), VirtAddr(STACK))
    pcb.sr = SR_T1
    assert bench.go(pcb) == 1
    assert bench.log == [("exception", EXC_BREAKPOINT, 0x24, 0, NEXT)]


def test_what_a_traced_instruction_raises_comes_alone(bench: Bench) -> None:
    pcb = bench.start(code("4afc"))
    pcb.sr = SR_T1
    bench.go(pcb)
    assert [entry[2] for entry in bench.log] == [0x10]
