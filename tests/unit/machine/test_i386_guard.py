"""The i386 CPU where Unicorn's would end its process: what the processor does comes out (Intel's manual, volume 2)."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from machemu.abi.exception import EXC_BAD_INSTRUCTION, EXC_BREAKPOINT
from machemu.abi.types import Instructions, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ
from machemu.machine.i386.debug import STATUS
from machemu.machine.i386.pcb import CS, DEBUG_STATE, EAX, ECX, EDX, EFL_VM, EFLAGS, EIP, ESP, I386Pcb
from machemu.machine.i386.pmap import PAGE_SIZE
from machemu.machine.i386.screen import LOCKABLE
from tests.support.cpu_bench import LAZY, LEAVE
from tests.support.i386_bench import CODE, DATA, DIVIDES, LEAST, MINUS_ONE, STACK, Bench, exceptions, trap

ROOT = Path(__file__).parents[3]
UNDEFINED = (EXC_BAD_INSTRUCTION, 1)
PROTECTED = (EXC_BAD_INSTRUCTION, 13)
SINGLE_STEP = (EXC_BREAKPOINT, 1)
POP_TRACE = b"\x9c\x81\x0c\x24\0\1\0\0\x9d"
"""pushf; or $0x100,(%esp); popf: the trace flag holds from the instruction after the next one on."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("code", "eax", "edx", "ecx"),
    [
        (b"\xf7\xf9", 0, LEAST, MINUS_ONE),
        (b"\xf7\x3d" + struct.pack("<I", DATA), 0, LEAST, MINUS_ONE),
        (b"\x66\xf7\xf9", 0, 0x8000, MINUS_ONE),
        (b"\xf7\xf9", LEAST, MINUS_ONE, MINUS_ONE),
        (b"\xf7\xf9", 5, 0, 0),
        (b"\xf6\xf9", 0xFF80, 0, MINUS_ONE),
    ],
    ids=["of 64 bits", "of 64 bits by memory", "of 32 bits", "of 32 bits in EAX", "by zero", "of 8 bits"],
)
def test_a_signed_quotient_that_does_not_fit_is_a_divide_error(bench: Bench, code: bytes, eax: int, edx: int, ecx: int) -> None:
    bench.write(DATA, struct.pack("<I", MINUS_ONE))
    pcb = bench.start(code + trap(LEAVE))
    pcb.registers[EAX], pcb.registers[EDX], pcb.registers[ECX] = eax, edx, ecx
    bench.go(pcb)
    assert exceptions(bench) == [DIVIDES]
    assert (pcb.pc, pcb.registers[EAX], pcb.registers[EDX]) == (CODE, eax, edx)


def test_a_signed_quotient_that_just_fits_is_the_result(bench: Bench) -> None:
    pcb = bench.start(b"\xf7\xf9" + trap(LEAVE))
    pcb.registers[EAX], pcb.registers[EDX], pcb.registers[ECX] = LEAST + 1, MINUS_ONE, MINUS_ONE
    bench.go(pcb)
    assert exceptions(bench) == []
    assert pcb.registers[EDX] == 0


def test_a_machine_made_after_another_handler_of_the_signal_divides_all_the_same() -> None:
    """Python's faulthandler takes the signal for itself. In a process of its own, since it keeps it."""
    code = """
        import faulthandler
        from tests.support.i386_bench import Bench, divides
        assert divides(Bench())
        faulthandler.enable()
        assert divides(Bench())
    """
    for options in ((), ("-X", "faulthandler")):
        subprocess.run([sys.executable, *options, "-c", textwrap.dedent(code)], check=True, cwd=ROOT)


def test_a_division_by_nobody_we_know_still_ends_the_process() -> None:
    """Whether by the default, or by a handler that has come before or between ours, and tells so."""
    code = """
        import ctypes, faulthandler, mmap
        from tests.support.i386_bench import Bench, divides
        assert divides(Bench())
        faulthandler.enable()
        assert divides(Bench())
        page = mmap.mmap(-1, 4096, prot=7)
        page.write(b"\\x31\\xc9\\xf7\\xf9")  # xor %ecx,%ecx; idiv %ecx
        ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    ended = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGFPE
    assert ended.stderr.count(b"Fatal Python error") == 1


IN_REGISTERS = [b"\xa3\xc8", b"\xab\xc8", b"\xb3\xc8", b"\xbb\xc8", *(bytes((0xBA, 0xC0 | n << 3, 1)) for n in range(4, 8))]


@pytest.mark.parametrize("second", IN_REGISTERS, ids=bytes.hex)
def test_lock_of_a_bit_in_a_register_is_undefined(bench: Bench, second: bytes) -> None:
    pcb = bench.start(b"\xf0\x0f" + second + trap(LEAVE))
    bench.go(pcb)
    assert exceptions(bench) == [UNDEFINED]
    assert pcb.pc == CODE


PREFIXES = (0x0F, 0xF0, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF2, 0xF3)


@pytest.mark.parametrize("opcode", [bytes((byte,)) for byte in range(0x100) if byte not in PREFIXES])
def test_lock_is_refused_where_the_manual_does_not_allow_it(bench: Bench, opcode: bytes) -> None:
    """With a register for every operand there is no instruction that LOCK is allowed with."""
    pcb = bench.start(b"\xf0" + opcode + b"\xc1\1\0\0\0\0\0" + trap(LEAVE))
    bench.go(pcb)
    assert exceptions(bench)[:1] == [UNDEFINED]
    assert pcb.pc == CODE


@pytest.mark.parametrize("opcode", LOCKABLE, ids=bytes.hex)
def test_lock_is_allowed_where_the_manual_allows_it(bench: Bench, opcode: bytes) -> None:
    for reg in LOCKABLE[opcode]:
        pcb = bench.start(b"\xf0" + opcode + bytes((5 | reg << 3,)) + struct.pack("<I", DATA) + b"\0" * 4)
        pcb.registers[EAX] = 0
        bench.cpu.activate(pcb, bench.pmap)
        bench.cpu.run(Instructions(1))
        bench.cpu.deactivate()
        assert exceptions(bench) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [(b"\xe4\x60", PROTECTED), (b"\xe6\x60", PROTECTED), (b"\x0f\x34", PROTECTED), (b"\x0f\x05", UNDEFINED)],
    ids=["in", "out", "sysenter", "syscall"],
)
def test_a_traced_instruction_that_is_refused_raises_its_own_exception_alone(
    bench: Bench, code: bytes, expected: tuple[int, int]
) -> None:
    pcb = bench.start(POP_TRACE + code + trap(LEAVE))
    bench.go(pcb)
    assert exceptions(bench) == [expected]
    assert pcb.pc == CODE + len(POP_TRACE)


@pytest.mark.parametrize("prefixes", [b"", b"\x66\x67"], ids=["", "with prefixes"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("opcode", [0xE0, 0xE1], ids=["loopne", "loope"])
@pytest.mark.parametrize("piece", [1, 1000], ids=["step by step", "in one go"])
def test_a_loop_on_a_condition_leaves_the_flags_alone(bench: Bench, opcode: int, count: int, prefixes: bytes, piece: int) -> None:
    """again: cmp $5,%al, whose flags are CF, AF, SF; loopne again or loope again; then pushf, pop %edx."""
    loop = prefixes + bytes((opcode, -len(prefixes) - 4 & 0xFF))
    pcb = bench.start(b"\x3c\x05" + loop + b"\x9c\x5a" + trap(LEAVE))
    pcb.registers[ECX] = count
    rounds = count if opcode == 0xE0 else 1
    executed = 0
    while not bench.log and executed < 100:
        executed += bench.go(pcb, piece)
    assert executed == 2 * rounds + 2 + 2
    assert (pcb.registers[ECX], pcb.registers[EDX] & 0x8D5) == (count - rounds, 0x91)


@pytest.mark.parametrize("code", [b"\x0f\x01\xe2", b"\x66\x0f\x01\xe2", b"\x0f\x01\x25" + struct.pack("<I", DATA)], ids=bytes.hex)
@pytest.mark.parametrize("piece", [1, 1000], ids=["step by step", "in one go"])
def test_the_machine_status_word_does_not_show_whether_the_fpu_is_loaded(bench: Bench, code: bytes, piece: int) -> None:
    """smsw, fld1, smsw: in a register or in memory."""
    bench.write(DATA, bytes(4))
    load = b"" if len(code) < 7 else b"\x8b\x15" + struct.pack("<I", DATA)
    pcb = bench.start(code + load + b"\x89\xd1\xd9\xe8" + code + load + trap(LEAVE))
    pcb.registers[EDX] = 0
    while not bench.log:
        bench.go(pcb, piece)
    assert (pcb.registers[ECX] & 0xFFFF, pcb.registers[EDX] & 0xFFFF) == (0x33, 0x33)
    assert exceptions(bench) == []
    assert pcb.fpu is not None


@pytest.mark.parametrize(
    "undefined", [b"\x0f\x07", b"\x0f\x0b", b"\x0f\xff", b"\xf0\x90"], ids=["sysret", "ud2", "0fff", "lock nop"]
)
def test_the_flags_outlive_an_instruction_that_is_undefined(bench: Bench, undefined: bytes) -> None:
    """Whatever made them, and whether or not the run was cut before it. By `add %dh,%al`, `cmp $5,%al` and `inc %eax`."""
    for maker, al, flags in ((b"\x00\xf0", 0, 0x44), (b"\x3c\x05", 0, 0x91), (b"\x40", 0xF, 0x10), (b"\x00\xf0", 0xFF, 0x84)):
        for pieces in ((1000,), (1, 1000)):
            pcb = bench.start(maker + undefined)
            pcb.registers[EAX] = al
            for piece in pieces:
                bench.go(pcb, piece)
            assert exceptions(bench) == [UNDEFINED]
            assert pcb.registers[EFLAGS] & 0x8D5 == flags


LINE = b"\x40" * 40
"""Straight-line code: inc %eax."""


def at_the_end_of_a_page(bench: Bench, page: int, tail: int) -> I386Pcb:
    """A thread whose code, LINE and `add $1,%ecx`, ends with a fresh page but for so many bytes."""
    bench.pmap.enter(VirtAddr(page), bench.memory.allocate(), VM_PROT_DEFAULT)
    code = (LINE + b"\x83\xc1\x01")[: len(LINE) + 3 - tail]
    begin = page + PAGE_SIZE - len(code)
    bench.write(begin, code)
    pcb = bench.cpu.new_pcb(bench.cpu.new_task())
    pcb.set_entry(VirtAddr(begin), VirtAddr(STACK))
    return pcb


@pytest.mark.parametrize("tail", range(4))
def test_code_before_a_page_that_is_missing_is_done_before_the_fault(bench: Bench, tail: int) -> None:
    page = LAZY + 0x10000
    pcb = at_the_end_of_a_page(bench, page, tail)
    executed = bench.go(pcb)
    assert bench.log == [("fault", page + PAGE_SIZE, VM_PROT_READ)]
    done = len(LINE) + (not tail)
    assert (executed, pcb.registers[EAX], pcb.registers[ECX]) == (done, len(LINE), int(not tail))
    assert pcb.pc == page + PAGE_SIZE - (3 - tail if tail else 0)


@pytest.mark.parametrize("tail", range(4))
def test_the_next_page_is_asked_for_when_the_code_before_it_is_done(bench: Bench, tail: int) -> None:
    pcb = at_the_end_of_a_page(bench, LAZY - PAGE_SIZE, tail)
    bench.go(pcb, len(LINE) - 1)
    assert bench.log == []
    bench.go(pcb, 2)
    assert bench.log[:1] == [("fault", LAZY, VM_PROT_READ)]


@pytest.mark.parametrize("is_v86", [True, False], ids=["in V86 mode", "by a table's segment"])
def test_a_breakpoint_in_a_segment_with_a_base_stops_before_its_instruction(bench: Bench, is_v86: bool) -> None:
    pcb = bench.start(LINE)
    if is_v86:
        pcb.registers[EFLAGS] |= EFL_VM
        pcb.segments = [CODE >> 4, DATA >> 4, *[DATA >> 4] * 4]
        pcb.registers[ESP] = 0x800
    else:
        pcb.set_ldt(0x27, [(CODE << 16 | 0xFFFF, 0x00CFFA00)], False)
        pcb.segments[CS] = 0x27
    pcb.registers[EIP] = 0
    pcb.set_state(DEBUG_STATE, [0, CODE + 3, 0, 0, 0, 0, 0, 0x8])
    executed = bench.go(pcb)
    assert exceptions(bench) == [SINGLE_STEP]
    assert (executed, pcb.registers[EAX], pcb.registers[EIP]) == (3, 3, 3)
    assert pcb.get_state(DEBUG_STATE)[STATUS] == 1 << 1
    pcb.set_state(DEBUG_STATE, [0] * 8)
    assert bench.go(pcb, 5) == 5


def test_a_resume_flag_holds_for_one_instruction(bench: Bench) -> None:
    """iret with the flag set, to an instruction with a breakpoint; there is another one two instructions behind it."""
    code = b"\x68" + struct.pack("<I", 0x10202) + b"\x68\x17\0\0\0\x68" + struct.pack("<I", CODE + 16) + b"\xcf"
    assert len(code) == 16
    pcb = bench.start(code + LINE)
    pcb.set_state(DEBUG_STATE, [CODE + 16, CODE + 18, 0, 0, 0, 0, 0, 0xA])
    bench.go(pcb)
    assert exceptions(bench) == [SINGLE_STEP]
    assert (pcb.pc, pcb.registers[EAX]) == (CODE + 18, 2)
