"""Encodings that Unicorn takes for what they are not: what the processor does comes out (Intel's manual, volume 2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from machemu.abi.exception import EXC_BAD_INSTRUCTION, EXC_BREAKPOINT
from machemu.abi.types import PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.i386.pcb import EAX, EBP, EBX, ECX, EDI, EDX, EFLAGS, ESI, ESP, I386Pcb
from machemu.machine.i386.pmap import PAGE_SIZE
from tests.support.cpu_bench import LAZY, LEAVE
from tests.support.i386_bench import CODE, DATA, STACK, Bench, trap

UNDEFINED = ("exception", EXC_BAD_INSTRUCTION, 1, 0)
PROTECTED = ("exception", EXC_BAD_INSTRUCTION, 13, 0)
STEP = ("exception", EXC_BREAKPOINT, 1, 0)
NOWHERE = 0x70000000
READ_WRITE = VM_PROT_READ | VM_PROT_WRITE
TRACE = 0x100


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def run(bench: Bench, code: bytes, **registers: int) -> I386Pcb:
    """Code, then a trap; DATA is in EBX unless it is said otherwise."""
    pcb = bench.start(code + trap(LEAVE))
    numbers = {"eax": EAX, "ebx": EBX, "ecx": ECX, "edx": EDX, "esp": ESP}
    for name, value in ({"ebx": DATA} | registers).items():
        pcb.registers[numbers[name]] = value
    bench.go(pcb)
    return pcb


NOT_THERE = {
    "pop with a reg field other than 0": ["8fc8", "8f0b", "8ffb"],
    "mov of an immediate with a reg field other than 0": ["c6c801", "c60b01", "c7f801000000", "c73b01000000", "66c70b0100"],
    "a shift of MMX with an operand in memory": ["0f711301", "0f722301", "0f733301", "660f711301"],
    "a bit instruction with a reg field below 4": ["0fbac001", "0fba0b01", "0fbad301", "0fba1b01"],
    "what SSE added to MMX": [
        *("0f70c100", "0f7003ff", "0fc4c000", "0fc5c000", "0fd7c1", "0fdac1", "0fda03", "0fdec1", "0fe0c1", "0fe3c1", "0fe4c1"),
        *("0fe703", "0feac1", "0feec1", "0ff6c1", "0ff7c1", "260fe703", "660fd7c1"),
    ],
    "what SSE2 added to MMX": ["0fd4c1", "0ff403", "0ffbc1"],
    "3DNow": ["0f0fc19e", "0f0f051122330094"],
    "VEX, which is LES and LDS with a register": ["c5f877", "c4e17958c1", "c4c0", "c5c0"],
    "a reg field of 7 of FF": ["fff8", "ff3d11223300"],
    "what SSE3 added to the FPU": ["db0b", "dd0b", "df0b"],
    "a control register that there is none of": ["0f20c8", "0f20e8", "0f20f0", "0f20f8", "0f22c8", "0f22f8"],
}


@pytest.mark.parametrize("code", [code for codes in NOT_THERE.values() for code in codes])
def test_what_is_no_instruction_of_the_processor_s_is_undefined(bench: Bench, code: str) -> None:
    bench.write(DATA, b"\x5a" * 16)
    pcb = run(bench, bytes.fromhex(code))
    assert bench.log == [UNDEFINED]
    assert pcb.pc == CODE
    assert read(bench, DATA, 16) == b"\x5a" * 16


def read(bench: Bench, address: int, size: int) -> bytes:
    place = bench.pmap.translate(VirtAddr(address), VM_PROT_READ)
    assert place is not None
    return bench.memory.read(PhysAddr(place), size)


@pytest.mark.parametrize("code", ["0f0dc8", "0f0d0d11223300", "0f18c1", "0f18f9", "0f1801", "0f1fc0", "660f1f4070", "0f19c0"])
def test_hints_do_nothing_with_any_operand(bench: Bench, code: str) -> None:
    run(bench, bytes.fromhex(code))
    assert bench.log == [("trap", LEAVE)]


@pytest.mark.parametrize("code", ["0f33", "660f33"])
def test_performance_counters_are_not_user_mode_s(bench: Bench, code: str) -> None:
    run(bench, bytes.fromhex(code))
    assert bench.log == [PROTECTED]


@pytest.mark.parametrize("code", ["8fc0", "c6c001", "c70301000000", "0f71d001", "0fbae001", "0fd1c1", "0f20c0", "0f6ec0"])
def test_their_neighbours_are_what_they_were(bench: Bench, code: str) -> None:
    run(bench, bytes.fromhex(code))
    assert bench.log == ([PROTECTED] if code == "0f20c0" else [("trap", LEAVE)])


@pytest.mark.parametrize(
    ("code", "zero"),
    [("f6c901", False), ("f6c902", True), ("f6cd01", True), ("f7c9ff000000", False), ("66f7c90002", True), ("f60b80", False)],
)
def test_f6_and_f7_with_a_reg_field_of_1_test_too(bench: Bench, code: str, zero: bool) -> None:
    bench.write(DATA, b"\x80")
    pcb = run(bench, bytes.fromhex(code), ecx=0x41)
    assert bench.log == [("trap", LEAVE)]
    assert bool(pcb.registers[EFLAGS] & 0x40) == zero
    assert read(bench, CODE, len(code) // 2) == bytes.fromhex(code)


@pytest.mark.parametrize(("code", "value", "flags"), [("f0f61b", 1, 0x95), ("f066f71b", 0x4029, 0x95), ("f0f71b", 0, 0x44)])
def test_lock_neg_has_the_flags_of_its_result(bench: Bench, code: str, value: int, flags: int) -> None:
    bench.write(DATA, value.to_bytes(4, "little"))
    pcb = run(bench, bytes.fromhex(code))
    assert bench.log == [("trap", LEAVE)]
    size = {"f6": 1, "66": 2, "f7": 4}[code[2:4]]
    assert int.from_bytes(read(bench, DATA, size), "little") == -value & (1 << 8 * size) - 1
    assert pcb.registers[EFLAGS] & 0xD5 == flags


def test_such_a_test_across_two_pages_waits_for_the_second_one(bench: Bench) -> None:
    """What the guard shows the translator is nowhere in memory when the page is asked for."""
    code = bytes.fromhex("f7c9ff000000")
    pcb = bench.start(b"")
    bench.write(DATA + PAGE_SIZE - 3, code[:3])
    pcb.set_entry(VirtAddr(DATA + PAGE_SIZE - 3), VirtAddr(STACK))
    bench.go(pcb)
    assert bench.log == [("fault", DATA + PAGE_SIZE, VM_PROT_READ)]
    assert read(bench, DATA + PAGE_SIZE - 3, 3) == code[:3]


@pytest.mark.parametrize(("code", "width"), [(b"\xc2", 4), (b"\xca", 8)], ids=["ret", "lret"])
@pytest.mark.parametrize("freed", [0x7FFF, 0x8000, 0xFFFC])
@pytest.mark.parametrize("flags", [0, TRACE])
def test_a_return_frees_up_to_64_kb_of_stack(bench: Bench, code: bytes, width: int, freed: int, flags: int) -> None:
    bench.write(STACK, struct.pack("<II", CODE + 3, 0x17))
    pcb = bench.start(code + struct.pack("<H", freed) + trap(LEAVE))
    pcb.registers[EFLAGS] |= flags
    bench.go(pcb)
    assert bench.log == [STEP if flags else ("trap", LEAVE)]
    assert pcb.sp == STACK + width + freed


def test_a_return_whose_stack_is_nowhere_frees_nothing(bench: Bench) -> None:
    pcb = run(bench, b"\xc2\xfc\xff", esp=NOWHERE)
    assert bench.log == [("fault", NOWHERE, VM_PROT_READ)]
    assert (pcb.pc, pcb.sp) == (CODE, NOWHERE)


def test_a_return_goes_on_when_its_stack_has_come(bench: Bench) -> None:
    pcb = bench.start(b"\xc2\xfc\xff")
    pcb.registers[ESP] = LAZY
    assert bench.go(pcb) == 1
    assert bench.log == [("fault", LAZY, VM_PROT_READ), ("fault", 0, VM_PROT_READ)]
    assert (pcb.pc, pcb.sp) == (0, LAZY + 4 + 0xFFFC)


STORES = [
    "8803",
    "8903",
    "a200900000",
    "a300900000",
    "0103",
    "800301",
    "830301",
    "c60301",
    "8f03",
    "d103",
    "f713",
    "fe03",
    "ff0b",
]
STORES += [
    "6303",
    "0fab03",
    "0fba2b01",
    "0f9403",
    "0fa40301",
    "0fb103",
    "0fc103",
    "8c1b",
    "0f7f03",
    "d913",
    "8703",
    "0fc70b",
    "0f7e03",
]


@pytest.mark.parametrize("code", STORES)
def test_a_store_into_the_code_segment_is_a_protection_fault(bench: Bench, code: str) -> None:
    bench.write(DATA, b"\x5a" * 16)
    pcb = run(bench, b"\x2e" + bytes.fromhex(code))
    assert bench.log == [PROTECTED]
    assert (pcb.pc, read(bench, DATA, 16)) == (CODE, b"\x5a" * 16)


ADDRESSES = [
    *("8b03", "8b0544332211", "8b430c", "8b83aabb0000", "8b4cb308", "8b04b300900000", "8b0424", "8b8d00ffffff", "8b04ad44332211"),
    *("678b00", "678b0e3412", "678b42fe", "678b9b7856", "678b07", "8b04e3", "8b443df0"),
]


@pytest.mark.parametrize("code", ADDRESSES)
def test_where_such_a_store_goes_is_what_lea_says(bench: Bench, code: str) -> None:
    """As the transcript of exceptions.c has it, a page that is not there is asked for before the segment is looked at."""
    load = bytes.fromhex(code.replace("8b", "8d"))
    registers = {EBX: 0x51230, EBP: 0x62340, ESI: 0x73450, EDI: 0x84560, ESP: 0x95670}
    pcb = bench.start(load)
    pcb.registers[:8] = [registers.get(n, 0x1000 * n) for n in range(8)]
    lea = bench.start(load)
    lea.registers[:8] = pcb.registers[:8]
    bench.go(lea, 1)
    address = lea.registers[(load[1 + (load[0] == 0x67)] >> 3) & 7]
    store = bench.start(b"\x2e" + bytes.fromhex(code.replace("8b", "89")))
    store.registers[:8] = pcb.registers[:8]
    bench.go(store)
    assert bench.log == [("fault", address, READ_WRITE)]


@pytest.mark.parametrize("code", ["2e8904", "2e8984", "2ec704", "2e890d"])
def test_such_a_store_whose_rest_is_in_no_page_is_refused_all_the_same(bench: Bench, code: str) -> None:
    data = bytes.fromhex(code)
    pcb = bench.start(b"")
    bench.write(DATA + PAGE_SIZE - len(data), data)
    pcb.set_entry(VirtAddr(DATA + PAGE_SIZE - len(data)), VirtAddr(STACK))
    bench.go(pcb)
    assert bench.log == [PROTECTED]


@pytest.mark.parametrize("code", ["2e8b03", "2ea100900000", "2e3903", "2e803b01", "2e3e8903", "2e89c0", "2eab", "2ef70301000000"])
def test_other_uses_of_the_code_segment_s_prefix_do_no_harm(bench: Bench, code: str) -> None:
    """Loads, comparisons, registers, string stores, and a later prefix that takes its place."""
    pcb = bench.start(bytes.fromhex(code) + trap(LEAVE))
    pcb.registers[EBX] = pcb.registers[7] = DATA
    bench.go(pcb)
    assert bench.log == [("trap", LEAVE)]


@pytest.mark.parametrize("prefixes", [b"", b"\x66", b"\x3e\xf3"], ids=bytes.hex)
@pytest.mark.parametrize("number", [0x77, 0x0E, 0x80])
def test_an_interrupt_that_is_refused_is_left_at_its_first_prefix(bench: Bench, prefixes: bytes, number: int) -> None:
    pcb = run(bench, prefixes + bytes((0xCD, number)))
    assert bench.log == [("exception", EXC_BAD_INSTRUCTION, 13, 8 * number + 2)]
    assert pcb.pc == CODE


def test_a_breakpoint_behind_a_prefix_is_one(bench: Bench) -> None:
    pcb = run(bench, b"\x66\xcd\x03")
    assert bench.log == [("exception", EXC_BREAKPOINT, 2, 0)]
    assert pcb.pc == CODE + 3


@pytest.mark.parametrize(("code", "moved"), [("c8100000", 0x14), ("c8000000", 4), ("c8200002", 0x2C), ("66c8100000", 0x12)])
def test_enter_makes_a_frame(bench: Bench, code: str, moved: int) -> None:
    pcb = bench.start(bytes.fromhex(code) + trap(LEAVE))
    pcb.registers[EBP] = STACK if code.endswith("02") else 0x12340000 | STACK
    bench.go(pcb)
    assert bench.log == [("trap", LEAVE)]
    assert pcb.sp == STACK - moved
    assert pcb.registers[EBP] == (0x12340000 | STACK - 2 if code.startswith("66") else STACK - 4)


def test_enter_asks_for_the_page_in_which_its_frame_ends(bench: Bench) -> None:
    pcb = run(bench, b"\xc8\0\x40\0")
    assert bench.log == [("fault", STACK - 0x4004, READ_WRITE)]
    assert (pcb.pc, pcb.sp) == (CODE, STACK)


def test_enter_copies_frame_pointers_before_it_asks_for_the_page_in_which_its_frame_ends(bench: Bench) -> None:
    pcb = bench.start(b"\xc8\0\x40\x02")
    pcb.registers[EBP] = NOWHERE
    bench.go(pcb)
    assert bench.log == [("fault", NOWHERE - 4, VM_PROT_READ)]


def test_enter_goes_on_when_that_page_has_come(bench: Bench) -> None:
    pcb = bench.start(b"\xc8\x00\x00\x00")
    pcb.registers[ESP] = LAZY + 0x100
    assert bench.go(pcb, 1) == 1
    assert bench.log == [("fault", LAZY + 0xFC, READ_WRITE)]
    assert (pcb.pc, pcb.sp) == (CODE + 4, LAZY + 0xFC)


@pytest.mark.parametrize("code", ["6c", "f36c", "f26d", "f36e", "f3666f"])
@pytest.mark.parametrize("count", [0, 3])
def test_string_input_and_output_without_the_port_is_refused_however_often(bench: Bench, code: str, count: int) -> None:
    """Of nothing, too: the permission is looked at before the count."""
    pcb = run(bench, bytes.fromhex(code), ecx=count)
    assert bench.log == [PROTECTED]
    assert (pcb.pc, pcb.registers[ECX]) == (CODE, count)


@pytest.mark.parametrize("code", ["f36c", "f26d", "f36e", "f3666f"])
@pytest.mark.parametrize("flags", [0, TRACE])
def test_string_input_and_output_of_nothing_touches_no_memory(bench: Bench, code: str, flags: int) -> None:
    pcb = bench.start(bytes.fromhex(code) + trap(LEAVE))
    pcb.task.io_perm_modify(0, 0xFFFF, True)
    pcb.registers[ECX], pcb.registers[EFLAGS] = 0, pcb.registers[EFLAGS] | flags
    pcb.registers[ESI] = pcb.registers[EDI] = NOWHERE
    bench.go(pcb)
    assert bench.log == [STEP if flags else ("trap", LEAVE)]


def test_nothing_is_done_behind_input_that_is_refused_though_other_input_was_not(bench: Bench) -> None:
    def store(value: int) -> bytes:
        return b"\xc7\x03" + value.to_bytes(4, "little")

    ports = bytes.fromhex("ba00030000 ec 42 ec")  # mov $0x300,%edx; in (%dx),%al; inc %edx; in (%dx),%al
    pcb = bench.start(store(0) + ports + store(1) + trap(LEAVE))
    pcb.registers[EBX] = DATA
    pcb.task.io_perm_modify(0x300, 0x300, True)
    bench.go(pcb)
    assert bench.log == [PROTECTED]
    assert (pcb.pc, read(bench, DATA, 4)) == (CODE + len(store(0) + ports) - 1, bytes(4))


def test_the_pci_bus_can_be_found_and_is_empty(bench: Bench) -> None:
    code = (
        "baf80c0000"  # mov $0xcf8,%edx
        "b800100080"  # mov $0x80001000,%eax
        "efed89c6"  # out %eax,(%dx); in (%dx),%eax; mov %eax,%esi
        "eeec89c3"  # out %al,(%dx); in (%dx),%al; mov %eax,%ebx
        "83c204ed89c7"  # add $4,%edx; in (%dx),%eax; mov %eax,%edi
    )
    pcb = bench.start(bytes.fromhex(code) + trap(LEAVE))
    pcb.task.io_perm_modify(0xCF8, 0xCFF, True)
    bench.go(pcb)
    assert bench.log == [("trap", LEAVE)]
    assert (pcb.registers[ESI], pcb.registers[EBX], pcb.registers[EDI]) == (0x80001000, 0x800010FF, 0xFFFFFFFF)
    assert bench.cpu.mmu.pci.address == 0x80001000


TOGETHER = (
    "b903000000"  # mov $3,%ecx
    "c8100000"  # again: enter $16,$0
    "c8200003"  # enter $32,$3
    "f60bff"  # test $255,(%ebx), as reg field 1
    "f0f71b"  # lock neg (%ebx)
    "0f18c1"  # a hint
    "81ec04800000"  # sub $0x8004,%esp
    "c7042427800000"  # movl $next,(%esp)
    "c20080"  # ret $0x8000
    "90"
    "c9c9"  # next: leave; leave
    "e2da"  # loop again
)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_what_goes_alone_counts_as_one_instruction_however_the_run_is_cut(bench: Bench, size: int) -> None:
    code = bytes.fromhex(TOGETHER)
    for address in range(STACK - 0x9000 & -PAGE_SIZE, DATA, PAGE_SIZE):
        if bench.pmap.translate(VirtAddr(address), VM_PROT_READ) is None:
            bench.pmap.enter(VirtAddr(address), bench.memory.allocate(), VM_PROT_READ | VM_PROT_WRITE)
    found = []
    for step in (10_000, size):
        bench.write(DATA, b"\5\0\0\0")
        pcb = bench.start(code + trap(LEAVE))
        pcb.registers[EBX], pcb.registers[EBP] = DATA, STACK
        count = 0
        while ("trap", LEAVE) not in bench.log:
            count += bench.go(pcb, step)
        assert bench.log == [("trap", LEAVE)]
        found.append((count, pcb.registers, read(bench, DATA, 8)))
    assert found[0] == found[1]
    assert found[0][0] == 1 + 3 * 11 + 2
