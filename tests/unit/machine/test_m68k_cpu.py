"""The m68k CPU alone, under a kernel of a few lines: traps, faults, exceptions, exact counts, hostile code."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.exception import Exc
from machemu.abi.kern_return import KernReturn
from machemu.abi.types import Instructions, PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.m68k.cpu import M68kCpu
from machemu.machine.m68k.engine import PC
from machemu.machine.m68k.pcb import EXCEPTION_FRAME, FLOAT_STATE, SP, SR_T0, SR_T1, THREAD_STATE, M68kPcb
from machemu.machine.m68k.pmap import PAGE_SIZE
from machemu.machine.memory import PhysicalMemory

CODE, NEXT, DATA, LAZY, STACK = 0x8000, 0xA000, 0xC000, 0x20000, 0xDF00
CONSTANT, ARGUMENTS, LEAVE = 1, 2, 3
FREE_RUN = 10_000
READ_WRITE = VM_PROT_READ | VM_PROT_WRITE
A0 = 8
ILLEGAL = 0x10
X, N, Z, V, C = 16, 8, 4, 2, 1


def code(text: str) -> bytes:
    """Hexadecimal code, in words as the assembler shows them."""
    return bytes.fromhex(text)


def trap(number: int) -> bytes:
    """move.l #-number,-(sp); trap #0"""
    return b"\x2f\x3c" + struct.pack(">i", -number) + code("4e40")


class Bench:
    """A CPU, one address space with code and data, and the least of a kernel: LAZY's page comes when it is touched."""

    def __init__(self) -> None:
        self.memory = PhysicalMemory(2 << 20, PAGE_SIZE)
        self.cpu = M68kCpu(self.memory)
        self.cpu.attach(self)
        self.log: list[tuple[object, ...]] = []
        self.pmap = self.cpu.mmu.create()
        self.resumes = False
        for address in (CODE, NEXT, DATA):
            self.pmap.enter(VirtAddr(address), self.memory.allocate(), VM_PROT_DEFAULT)

    def close(self) -> None:
        self.cpu.close()
        self.memory.close()

    def system_call(self, number: int) -> int | None:
        if number == CONSTANT:
            return 7
        if number == ARGUMENTS:
            self.log.append(("arguments", self.cpu.arguments(3)))
            return 9
        self.log.append(("trap", number))
        self.cpu.stop()
        return None

    def emulated_call(self, number: int) -> int | None:
        return self.system_call(number)

    def fault(self, address: VirtAddr, access: int) -> bool:
        self.log.append(("fault", address, access))
        if address & ~(PAGE_SIZE - 1) == LAZY:
            frame = self.memory.allocate()
            self.memory.zero(frame)
            self.pmap.enter(VirtAddr(LAZY), frame, VM_PROT_DEFAULT)
            return True
        self.cpu.stop()
        return False

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        self.log.append(("exception", exception, code, subcode, self.cpu.pc()))
        if self.resumes:
            if code == ILLEGAL:
                self.cpu.words[PC] += 2
            return True
        self.cpu.stop()
        return False

    def write(self, address: int, data: bytes) -> None:
        place = self.pmap.translate(VirtAddr(address), VM_PROT_WRITE)
        assert place is not None
        self.memory.write(PhysAddr(place), data)

    def read(self, address: int, size: int) -> bytes:
        place = self.pmap.translate(VirtAddr(address), VM_PROT_READ)
        assert place is not None
        return self.memory.read(PhysAddr(place), size)

    def start(self, code: bytes, at: int = CODE) -> M68kPcb:
        """Code that ends in a loop, and a fresh thread there."""
        self.log.clear()
        self.write(at, code + b"\x60\xfe")
        pcb = self.cpu.new_pcb(self.cpu.new_task())
        pcb.set_entry(VirtAddr(at), VirtAddr(STACK))
        return pcb

    def go(self, pcb: M68kPcb, budget: int = FREE_RUN) -> int:
        """Runs a thread; how many instructions it was."""
        before = self.cpu.executed
        self.cpu.activate(pcb, self.pmap)
        self.cpu.run(Instructions(budget))
        self.cpu.deactivate()
        return self.cpu.executed - before

    def forget_lazy(self) -> None:
        place = self.pmap.translate(VirtAddr(LAZY), VM_PROT_READ)
        self.pmap.remove(VirtAddr(LAZY), VirtAddr(LAZY + PAGE_SIZE))
        if place is not None:
            self.memory.release(place // PAGE_SIZE)  # type: ignore[arg-type]


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


# Exceptions

EXCEPTIONS = [
    ("4afc", Exc.EXC_BAD_INSTRUCTION, 0x10, 0),
    ("484b", Exc.EXC_BAD_INSTRUCTION, 0x10, 0),
    ("4e7a 0801", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("40c0", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("4e72 0000", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("4e70", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("4e73", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("0e90 0000", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("f518", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("f320", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("4e68", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("46fc 2000", Exc.EXC_BAD_INSTRUCTION, 0x20, 0),
    ("a123", Exc.EXC_EMULATION, 0x28, 0),
    ("f800", Exc.EXC_EMULATION, 0x2C, 0),
    ("f240 0020", Exc.EXC_EMULATION, 0x2C, 0),
    ("f2a0 0004", Exc.EXC_EMULATION, 0x2C, 0),
    ("f200 4c00", Exc.EXC_EMULATION, 0x2C, 0),
    ("82fc 0000", Exc.EXC_ARITHMETIC, 0x14, 4),
    ("81c3", Exc.EXC_ARITHMETIC, 0x14, 2),
    ("4c43 5004", Exc.EXC_ARITHMETIC, 0x14, 4),
    ("4c79 1801 0000 c000", Exc.EXC_ARITHMETIC, 0x14, 8),
    ("4c70 1801 3120 0010", Exc.EXC_ARITHMETIC, 0x14, 8),
    ("43bc 0005", Exc.EXC_SOFTWARE, 0x18, 4),
    ("4310", Exc.EXC_SOFTWARE, 0x18, 2),
    ("4339 0000 c000", Exc.EXC_SOFTWARE, 0x18, 6),
    ("02f9 1800 0000 c000", Exc.EXC_SOFTWARE, 0x18, 8),
    ("02d0 1800", Exc.EXC_SOFTWARE, 0x18, 4),
    ("4e76", Exc.EXC_SOFTWARE, 0x1C, 2),
    ("50fc", Exc.EXC_SOFTWARE, 0x1C, 2),
    ("59fa 0005", Exc.EXC_SOFTWARE, 0x1C, 4),
    ("59fb 0000 0005", Exc.EXC_SOFTWARE, 0x1C, 6),
    ("f27a 000f 0002", Exc.EXC_SOFTWARE, 0x1C, 6),
    *((f"4e4{number:x}", Exc.EXC_BAD_INSTRUCTION, 0x80 + 4 * number, 2) for number in range(1, 15)),
    ("4e4f", Exc.EXC_BREAKPOINT, 0xBC, 2),
]
"""Code, what it raises, and how far the program counter is past its begin. d1 is 9, V is set, memory is zero."""


@pytest.mark.parametrize(("text", "exception", "mach_code", "past"), EXCEPTIONS, ids=[case[0] for case in EXCEPTIONS])
def test_an_exception_has_mk64_s_code_and_the_right_place(
    bench: Bench, text: str, exception: Exc, mach_code: int, past: int
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
        assert bench.log == [("exception", int(Exc.EXC_BAD_INSTRUCTION), 0x0C, 0, 0x8101)]


def test_an_odd_address_is_an_address_error_where_no_page_is_too(bench: Bench) -> None:
    pcb = bench.start(code("4ef9 7000 0001"))
    bench.go(pcb)
    assert bench.log == [("exception", int(Exc.EXC_BAD_INSTRUCTION), 0x0C, 0, 0x70000001)]
    pcb = bench.start(b"")
    pcb.set_entry(VirtAddr(CODE + 1), VirtAddr(STACK))
    assert bench.go(pcb) == 0
    assert bench.log == [("exception", int(Exc.EXC_BAD_INSTRUCTION), 0x0C, 0, CODE + 1)]


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


# Floating point


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
    assert other.get_state(FLOAT_STATE)[3:] == fresh[3:]
    assert fresh == (0x7FFF0000, 0xFFFFFFFF, 0xFFFFFFFF) * 8 + (0, 0, 0)


def test_float_state_is_set_and_read_back(bench: Bench) -> None:
    pcb = bench.start(code("f200 0022 f227 e0c0") + trap(LEAVE))  # fadd.x fp0,fp0; fmovem.x fp6-fp7,-(sp)
    words = [0x40000000, 0xC0000000, 0] + [0] * 15 + [0x3FFF0000, 0x80000000, 0, 0xBFFF0000, 0x80000000, 1]
    pcb.set_state(FLOAT_STATE, (*words, 0, 0, 0x1234))
    bench.go(pcb)
    state = pcb.get_state(FLOAT_STATE)
    assert state[:3] == (0x40010000, 0xC0000000, 0)
    assert state[18:24] == tuple(words[18:24])
    assert state[26] == 0x1234
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


# Tracing


def test_each_instruction_of_a_traced_thread_raises_trace(bench: Bench) -> None:
    pcb = bench.start(code("7001 7202 4e71") + trap(LEAVE))
    pcb.sr = SR_T1
    for past in (2, 4, 6, 12):
        bench.go(pcb)
        assert bench.log.pop() == ("exception", int(Exc.EXC_BREAKPOINT), 0x24, 0, CODE + past)
    bench.go(pcb)
    assert bench.log == [("trap", LEAVE)]
    assert pcb.get_state(EXCEPTION_FRAME)[0] >> 16 & 0xC000 == SR_T1


def test_tracing_the_flow_stops_at_jumps_that_are_taken(bench: Bench) -> None:
    pcb = bench.start(code("7000 6702 4afc 6602 7001 6000 0004 4afc") + trap(LEAVE))
    pcb.sr = SR_T0
    bench.go(pcb)
    assert bench.log.pop()[2:] == (0x24, 0, CODE + 6)
    bench.go(pcb)
    assert bench.log.pop()[2:] == (0x24, 0, CODE + 16)


def test_what_a_traced_instruction_raises_comes_alone(bench: Bench) -> None:
    pcb = bench.start(code("4afc"))
    pcb.sr = SR_T1
    bench.go(pcb)
    assert [entry[2] for entry in bench.log] == [0x10]


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
    assert caught.value.code == KernReturn.KERN_INVALID_ARGUMENT
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
