"""An m68k instruction that faults has done nothing: registers and condition codes are as before; made once more it is right."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from machemu.abi.exception import EXC_EMULATION
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ
from machemu.machine.m68k import manual, undo
from machemu.machine.m68k.pcb import M68kPcb
from machemu.machine.m68k.pmap import PAGE_SIZE
from tests.support.m68k_bench import A0, CODE, DATA, Bench, X, Z, code

CONSTANT_PAGE, NOWHERE = 0x30000, 0x70000000
FLAG_MAKERS = {"add": ("d081", 0x7FFFFFFF, 1), "subtract": ("9081", 0, 1), "and": ("c081", 0xF0, 0x0F)}
"""Instructions on d0 and d1 whose condition codes are not worked out, with what to begin with."""
LINES = [line for line in range(0x10) if line not in (0xA, 0xF)]
ABSOLUTE_LONG = 0o71
STRIDE = 41


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    made.pmap.enter(VirtAddr(CONSTANT_PAGE), made.memory.allocate(), VM_PROT_READ)
    yield made
    made.close()


def started(bench: Bench, maker: str, opcode: int, address: int) -> M68kPcb:
    """A flag maker and an instruction whose operands, as far as they are in memory, lie about an address."""
    text, d0, d1 = FLAG_MAKERS[maker]
    immediate = b""
    if opcode & 0xF100 == 0:
        immediate = b"\0\0\0\1" if opcode & 0xC0 == 0x80 and opcode & 0x0F00 != 0x0800 else b"\0\1"
    extension = struct.pack(">I", address) if opcode & 0o77 == ABSOLUTE_LONG else bytes(4)
    pcb = bench.start(code(text) + struct.pack(">H", opcode) + immediate + extension + bytes(8))
    pcb.registers[:] = [d0, d1, *(0x1111 * n for n in range(2, 8)), *[address] * 8]
    return pcb


@pytest.mark.parametrize("line", LINES, ids=hex)
@pytest.mark.parametrize("address", [CONSTANT_PAGE + 0x100, NOWHERE], ids=["not writable", "not there"])
def test_an_instruction_that_faults_leaves_registers_and_condition_codes_alone(bench: Bench, line: int, address: int) -> None:
    """Whatever made the condition codes before it. Of the first words each so many-th."""
    undefined = frozenset(manual.undefined())
    for opcode in range(line << 12, (line + 1) << 12, STRIDE):
        for maker in FLAG_MAKERS if opcode not in undefined else ():
            before = started(bench, maker, opcode, address)
            bench.go(before, 1)
            pcb = started(bench, maker, opcode, address)
            if bench.go(pcb, 2) == 1 and bench.log[0][0] == "fault":
                assert (pcb.registers, pcb.sr, pcb.pc) == (before.registers, before.sr, CODE + 2), hex(opcode)


@pytest.mark.parametrize("first", [0xD188, 0x9188], ids=["addx", "subx"])
def test_an_extended_sum_in_a_page_that_was_not_written_yet_is_made_once(bench: Bench, first: int) -> None:
    """Its first store there faults, and marks the page; operands are at -(a1) and -(a0)."""
    page = DATA + 0x10000
    bench.pmap.enter(VirtAddr(page), bench.memory.allocate(), VM_PROT_DEFAULT)
    bench.write(page, struct.pack(">2I", 10, 3))
    for text in ("4a91", ""):  # tst.l (a1): the page is there, but not marked; the second time it is
        pcb = bench.start(code(text) + struct.pack(">H", first | 1 << 9))
        pcb.registers[A0], pcb.registers[A0 + 1], pcb.sr = page + 8, page + 4, X | Z
        bench.go(pcb, 2 if text else 1)
        assert (pcb.registers[A0], pcb.registers[A0 + 1]) == (page + 4, page)
    results = [10 + 2 * (3 + 1), 10 - 2 * (3 + 1)]
    assert struct.unpack(">I", bench.read(page, 4)) == (results[first < 0xD000],)
    bench.pmap.remove(VirtAddr(page), VirtAddr(page + PAGE_SIZE))


@pytest.mark.parametrize(
    ("text", "present", "loaded"), [("0508", 1, 0x22221234), ("0548", 1, 0x12345678), ("0548", 3, 0x12345678)]
)
def test_a_movep_that_faults_within_its_bytes_has_loaded_none_and_all_when_it_is_made_again(
    bench: Bench, text: str, present: int, loaded: int
) -> None:
    """movep of a word and of long words to d2; so many bytes of it are in the page that is there."""
    page = DATA + PAGE_SIZE
    address = page + 1 - 2 * present
    pcb = bench.start(code(text) + bytes(2))
    pcb.registers[2], pcb.registers[A0] = 0x22222222, address
    before = list(pcb.registers)
    bench.write(address, b"\x12\0\x34\0\x56\0\x78"[: page - address])
    assert bench.go(pcb, 1) == 0
    assert (pcb.registers, pcb.pc, bench.log[0][0]) == (before, CODE, "fault")
    bench.pmap.enter(VirtAddr(page), bench.memory.allocate(), VM_PROT_DEFAULT)
    bench.write(page, b"\x12\0\x34\0\x56\0\x78"[page - address :])
    bench.go(pcb, 1)
    assert pcb.registers[2] == loaded
    bench.pmap.remove(VirtAddr(page), VirtAddr(page + PAGE_SIZE))


@pytest.mark.parametrize("text", ["f223 4b59", "f21b 4805", "f21b 446f", "f200 0059"])
def test_a_floating_point_function_that_there_is_none_of_is_refused_with_nothing_done(bench: Bench, text: str) -> None:
    pcb = bench.start(code(text))
    pcb.registers[A0 + 3] = DATA + 0x100
    bench.go(pcb)
    assert [what[:3] for what in bench.log] == [("exception", EXC_EMULATION, 44)]
    assert (pcb.registers[A0 + 3], pcb.pc) == (DATA + 0x100, CODE)


def test_lengths_are_those_of_the_manual() -> None:
    def word(opcode: int) -> int:
        return undo.length(lambda offset: opcode if offset == 0 else 0)

    # addi.b #n,(a0); addi.l #n,(a0); bset #n,(a0); bset d0,(8,a0); addq.l #1,abs; scc (a0,d0); addx.l -(a0),-(a1);
    # movep.l (0,a1),d2
    opcodes = (0x0610, 0x0690, 0x08D0, 0x01E8, 0x52B9, 0x54F0, 0xD388, 0x0549)
    assert [word(opcode) for opcode in opcodes] == [4, 6, 4, 4, 6, 4, 2, 4]
    assert all(opcode in undo.opcodes() for opcode in opcodes)
