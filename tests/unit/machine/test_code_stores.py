"""Code that is stored into while it runs: a store counts from the next instruction on, and each instruction counts once, wherever
the run is cut. What is right is worked out by hand, or one instruction at a time from fresh translations."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from typing import NamedTuple

import keystone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.machine import code_stores, interpose
from machemu.machine.counting import COUNTS
from machemu.machine.engine import TRANSLATOR
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.m68k.cpu import M68kCpu
from machemu.machine.m68k.pcb import SR_T1
from tests.support.program_bench import ALIAS, CODE, EDGE, Bench, I386Bench, M68kBench, State, make_benches


@pytest.fixture(scope="module")
def benches() -> Iterator[dict[str, Bench]]:
    made = make_benches()
    yield made
    for bench in made.values():
        bench.close()


class Case(NamedTuple):
    """A program of `total` instructions that stores into itself: what it comes to in registers and in bytes by address.

    at: where it lies; presets: registers that it begins with.
    """

    name: str
    code: bytes
    total: int
    registers: dict[str, int]
    memory: Mapping[int, str] = {}
    at: int = CODE
    presets: Mapping[str, int] = {}


def i386(text: str, at: int = CODE) -> bytes:
    code, _ = keystone.Ks(keystone.KS_ARCH_X86, keystone.KS_MODE_32).asm(text, at)
    return bytes(code)


def m68k(text: str) -> bytes:
    return bytes.fromhex(text)


NOP = m68k("4e71")
FOUR = 0x40404040
"""inc eax, four times."""
I386_CASES = [
    Case("the next instruction", i386("mov byte ptr [x], 0x48; x: inc eax; nop"), 2, {"eax": 0xFFFFFFFF, "eip": CODE + 8}),
    Case("one further on", i386("mov byte ptr [x], 0x48; inc ecx; inc ecx; x: inc eax"), 4, {"eax": 0xFFFFFFFF, "ecx": 2}),
    Case("one that comes again", i386("x: mov ecx, 0; inc dword ptr [x + 1]; jmp x"), 9, {"ecx": 2}, {CODE: "b9 03 00 00 00"}),
    Case("itself", i386("x: mov byte ptr [x], 0x90; jmp x"), 3, {"eip": CODE + 1}, {CODE: "90"}),
    Case("a locked instruction's", i386("lock inc byte ptr [x]; x: inc eax"), 2, {"eax": 0, "ecx": 1}),
    Case("an exchange's", i386("xchg byte ptr [x], bl; x: inc eax"), 2, {"ebx": 0x40, "ecx": 1}, presets={"ebx": 0x41}),
    Case(
        "eight bytes at once",
        i386("lock cmpxchg8b qword ptr [x]; x: nop; nop; nop; nop; nop; nop; nop; nop"),
        9,
        {"eax": 0x90909095, "ecx": FOUR + 3},
        presets={"eax": 0x90909090, "edx": 0x90909090, "ebx": 0x41414140, "ecx": FOUR},
    ),
    Case("a push's", i386("push 0x40404040; x: nop; nop; nop; nop"), 5, {"eax": 4}, presets={"esp": CODE + 9}),
    Case(
        "all registers pushed",
        i386("pushad") + b"\x90" * 12,
        13,
        {"eax": 12},
        presets={"esp": CODE + 33, "edi": FOUR, "esi": FOUR, "ebp": FOUR},
    ),
    Case(
        "a call's over its target",
        b"\x90" * 0x3B + i386("call 0x10080", CODE + 0x3B) + b"\x90" * 0x44,
        0x3B + 2,
        {"eax": 1, "eip": CODE + 0x81},
        {CODE + 0x80: "40 00 01 00"},
        presets={"esp": CODE + 0x84},
    ),
    Case(
        "a repeated store over what follows",
        i386("rep stosb; nop; nop; nop; inc edx; x: jmp x"),
        8,
        {"ecx": 0, "eax": 0x43, "ebx": 3, "edx": 1},
        presets={"eax": 0x43, "edi": CODE + 2, "ecx": 3},
    ),
    Case(
        "a repeated store over itself, whose other iterations are not made",
        i386("rep stosb; nop; inc edx"),
        5,
        {"ecx": 3, "edi": CODE + 2, "edx": 1},
        {CODE: "90 90 90"},
        presets={"eax": 0x90, "edi": CODE, "ecx": 4},
    ),
    Case(
        "four bytes over two groups of 64, in a page stored into often",
        i386(
            "mov byte ptr [0x10800], 0;" * 12
            + "call 0x100c0; mov dword ptr [0x100be], 0xc3480000; call 0x100c0; nop; .p2align 6; nop; .p2align 6; inc eax; ret"
        ),
        19,
        {"eax": 0},
    ),
    Case(
        "four bytes on two pages",
        i386("mov dword ptr [0x11ffe], 0x48484848") + b"\x90" * 4,
        5,
        {"eax": 0xFFFFFFFC, "eip": EDGE + 2},
        at=EDGE - 12,
    ),
    Case("a number on two pages counted up once", i386("inc dword ptr [0x11ffe]; nop; nop"), 2, {}, {EDGE - 2: "01 00"}, at=EDGE),
    Case(
        "a number counted up once whose first byte is no running code",
        i386(f"mov dword ptr [{ALIAS['i386']:#x}], 0x91f9ff41; inc dword ptr [0x10009]; nop"),
        3,
        {},
        {CODE + 9: "92 ff 05"},
    ),
    Case(
        "eight unaligned bytes compared once",
        i386("lock cmpxchg8b qword ptr [0x11ffc]; nop; nop"),
        2,
        {"eax": 0, "edx": 0x0DC70FF0},
        {EDGE - 4: "01 00 00 00 40 40 40 40"},
        at=EDGE,
        presets={"edx": 0x0DC70FF0, "ebx": 1, "ecx": 0x40404040},
    ),
    Case(
        "an instruction that lies on two pages",
        i386("mov byte ptr [0x12001], 0x12; mov eax, 0"),
        2,
        {"eax": 0x120000, "eip": EDGE + 3},
        at=EDGE - 9,
    ),
    Case(
        "a page at another address",
        i386(f"mov byte ptr [{ALIAS['i386'] + 7:#x}], 0x48; inc eax"),
        2,
        {"eax": 0xFFFFFFFF, "eip": CODE + 8},
    ),
    Case(
        "memory that was data before",
        i386("rep movsb; jmp 0x14000").ljust(16, b"\x90") + i386("mov byte ptr [0x14007], 0x48; inc eax; x: jmp x", 0x14000),
        14,
        {"eax": 0xFFFFFFFF},
        presets={"esi": CODE + 16, "edi": 0x14000, "ecx": 10},
    ),
    Case(
        "some of the stores, then a page that comes late",
        b"\x90" * 8 + i386("pushad; jmp 0xfff8"),
        18,
        {"ebx": 8},
        at=ALIAS["i386"],
        presets={"eax": 0x43434343, "ecx": 0x43434343, "esp": ALIAS["i386"] + 8},
    ),
]
M68K_CASES = [
    Case("the next instruction", m68k("33fc 5380 00010008 5280"), 2, {"d0": 0xFFFFFFFF, "pc": CODE + 10}),
    Case("one further on", m68k("33fc 5380 0001000c 5281 5281 5280"), 4, {"d0": 0xFFFFFFFF, "d1": 2}),
    Case("one that comes again", m68k("223c 00000000 52b9 00010002 60f2"), 9, {"d1": 2}, {CODE: "22 3c 00 00 00 03"}),
    Case("itself", m68k("33fc 4e71 00010000 60f6"), 3, {"pc": CODE + 2}, {CODE: "4e 71"}),
    Case("tas's", m68k("4af9 00010006 5280"), 2, {"d0": 5, "d1": 5}, presets={"d0": 5}),
    Case(
        "cas2's second",
        m68k("0efc 8042 9043 4e71 4e71 4e71 4e71"),
        4,
        {"d5": 2, "d2": 0},
        {CODE + 8: "52 85 52 85", CODE + 0x5000: "52 85 52 85"},
        presets={"a0": CODE + 0x5000, "a1": CODE + 8, "d3": 0x4E714E71, "d1": 0x52855285},
    ),
    Case("cas's", m68k("0cf9 0040 00010008 5282"), 2, {"d2": 0xFFFFFFFF}, presets={"d0": 0x5282, "d1": 0x5382}),
    Case("a push's", m68k("2f00 4e71 4e71"), 3, {"d1": 2}, presets={"d0": 0x52815281, "a7": CODE + 6}),
    Case(
        "eight registers pushed",
        m68k("48e7 ff00") + NOP * 16,
        17,
        {"d1": 0x52815291},
        presets={"a7": CODE + 36} | {f"d{n}": 0x52815281 for n in range(8)},
    ),
    Case(
        "a call's over its target",
        NOP * 29 + m68k("4eb9 00010080") + NOP * 32 + NOP * 2,
        31,
        {"d1": 0x40, "pc": CODE + 0x84},
        {CODE + 0x80: "00 01 00 40"},
        presets={"a7": CODE + 0x84},
    ),
    Case(
        "sixteen bytes moved",
        m68k("f620 9000") + NOP * 6 + NOP * 8 + m68k("5281") * 8,
        15,
        {"d1": 8},
        presets={"a0": CODE + 0x20, "a1": CODE + 0x10},
    ),
    Case(
        "pack's, which Unicorn does not do",
        m68k("5280 8348 0000 60f8 4e71 0503"),
        4,
        {"d0": 0, "a1": CODE},
        {CODE: "53 80"},
        presets={"a0": CODE + 12, "a1": CODE + 1},
    ),
    Case(
        "four bytes over two groups of 64, in a page stored into often",
        m68k("4239 00010800") * 12 + m68k("4eb9 000100c0 23fc 4e715380 000100be 4eb9 000100c0") + NOP * 49 + m68k("5280 4e75"),
        19,
        {"d0": 0},
    ),
    Case(
        "four bytes on two pages", m68k("23fc 53805380 00011ffe 4e71 4e71"), 3, {"d0": 0xFFFFFFFE, "pc": EDGE + 2}, at=EDGE - 12
    ),
    Case("a number on two pages counted up once", m68k("52b9 00011ffe 4e71 4e71"), 2, {}, {EDGE - 2: "00 00 52 ba"}, at=EDGE),
    Case("an instruction that lies on two pages", m68k("33fc 1234 00012000 203c 00000000"), 2, {"d0": 0x12340000}, at=EDGE - 10),
    Case("a page at another address", m68k(f"33fc 5380 {ALIAS['m68k'] + 8:08x} 5280"), 2, {"d0": 0xFFFFFFFF}),
    Case(
        "one that does not exist becoming one that does, again and again",
        m68k("33fc 0000 0001000a f200 4800 33fc 4800 0001000a 60ea"),
        12,
        {"pc": CODE},
    ),
    Case(
        "memory that was data before",
        m68k("32d8 51c8 fffc 4ef9 00014000 4e71 4e71 33fc 5381 00014008 5281 60fe"),
        15,
        {"d1": 0xFFFFFFFF},
        presets={"a0": CODE + 16, "a1": 0x14000, "d0": 5},
    ),
    Case(
        "some of the stores, then a page that comes late",
        NOP * 4 + m68k("48e7 f000 60f2"),
        10,
        {"d6": 4},
        at=ALIAS["m68k"],
        presets={"d3": 0x52865286, "d2": 0x52865286, "a7": ALIAS["m68k"] + 8},
    ),
]
CASES = [
    pytest.param(arch, case, id=f"{arch}-{case.name}")
    for arch, cases in (("i386", I386_CASES), ("m68k", M68K_CASES))
    for case in cases
]


def check(case: Case, state: State) -> None:
    assert state.executed == case.total
    assert {name: state.registers[name] for name in case.registers} == case.registers
    for place, data in case.memory.items():
        assert state.memory[place - CODE :].startswith(bytes.fromhex(data))


@pytest.mark.parametrize("size", [None, 1, 2, 3])
@pytest.mark.parametrize(("arch", "case"), CASES)
def test_a_store_counts_from_the_next_instruction_on(benches: dict[str, Bench], arch: str, case: Case, size: int | None) -> None:
    check(case, benches[arch].run(case.code, case.total, repeat(size or case.total), case.at, case.presets))


@pytest.mark.parametrize(("arch", "case"), CASES)
def test_stepping_over_a_store_shows_the_same(benches: dict[str, Bench], arch: str, case: Case) -> None:
    bench = benches[arch]
    bench.traced = True
    try:
        trace = {"eflags": 0x302} if arch == "i386" else {"sr": SR_T1}
        state = bench.run(case.code, case.total, repeat(case.total), case.at, {**case.presets, **trace})
    finally:
        bench.traced = False
    check(case, state)
    assert sum(entry[0] == "exception" for entry in state.log) == case.total


@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize(
    ("arch", "code", "stored"),
    [
        ("i386", i386("inc ecx; mov eax, -1; lcall 7, 0; jmp 0x10000"), b"\x49"),
        ("m68k", m68k("5281 2f3c ffffffff 4e40 60f4"), m68k("5381")),
    ],
)
def test_what_the_kernel_stores_in_a_trap_counts_as_well(
    benches: dict[str, Bench], arch: str, code: bytes, stored: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = benches[arch]

    def system_call(number: int) -> int:
        bench.write(CODE, stored)
        return 0

    monkeypatch.setattr(bench.cpu, "_system_call", system_call)
    state = bench.run(code, 6, repeat(size))
    assert (state.executed, state.registers["ecx" if arch == "i386" else "d1"]) == (6, 0)


# Programs at random


def word(value: int) -> bytes:
    return struct.pack("<I", value)


def long(value: int) -> bytes:
    return struct.pack(">I", value)


Piece = Callable[[int, int, int], bytes]
"""An instruction or two by an address that is stored to, the 32 bits that are stored, and a number from 0 to 5."""
I386_PIECES: list[Piece] = [
    lambda place, value, n: b"\xc6\x05" + word(place) + word(value)[:1],
    lambda place, value, n: b"\xc7\x05" + word(place) + word(value),
    lambda place, value, n: b"\x66\xc7\x05" + word(place) + word(value)[:2],
    lambda place, value, n: word(value)[: n + 1],
    lambda place, value, n: b"\xbc" + word(place) + b"\x60",
    lambda place, value, n: b"\xbc" + word(place) + b"\x68" + word(value),
    lambda place, value, n: b"\xbf" + word(place) + b"\xb9" + word(n) + b"\xb0" + word(value)[:1] + b"\xf3\xaa",
    lambda place, value, n: b"\xbe" + word(place ^ 8) + b"\xbf" + word(place) + b"\xb9" + word(n) + b"\xf3\xa5",
    lambda place, value, n: b"\xf0\xfe\x05" + word(place),
    lambda place, value, n: b"\x87\x05" + word(place),
    lambda place, value, n: b"\xeb" + bytes((n,)),
]
M68K_PIECES: list[Piece] = [
    lambda place, value, n: m68k("33fc") + long(value)[:2] + long(place & ~1),
    lambda place, value, n: m68k("23fc") + long(value) + long(place),
    lambda place, value, n: m68k("13fc 00") + long(value)[:1] + long(place),
    lambda place, value, n: long(value)[: n & 2],
    lambda place, value, n: m68k("48f9 00ff") + long(place & ~1),
    lambda place, value, n: m68k("2e7c") + long(place & ~1) + m68k("4879") + long(value),
    lambda place, value, n: m68k("52b9") + long(place),
    lambda place, value, n: m68k("4af9") + long(place),
    lambda place, value, n: m68k("0ef9 0041") + long(place & ~1),
    lambda place, value, n: m68k("207c") + long(place ^ 8) + m68k("227c") + long(place) + m68k("8348") + long(value)[:2],
    lambda place, value, n: m68k("f239 f0ff") + long(place),
    lambda place, value, n: m68k("60") + bytes((2 * n + 2,)),
]
HARMLESS = {
    "i386": st.lists(st.sampled_from(b"\x90\x40\x41\x42\x43\x48\x49\x4a\x4b\xf8\xf9\x91\x05\xff"), min_size=4, max_size=4).map(
        bytes
    ),
    "m68k": st.lists(st.sampled_from(m68k("4e71 5280 5281 5382 7001 4284 4680 60fe")), min_size=4, max_size=4).map(bytes),
}
LENGTH, RANDOM_RUN = 120, 80
"""Bytes that programs store into, about as many as they are long; instructions that are run of them."""


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["i386", "m68k"])
def test_programs_that_store_into_themselves_do_the_same_wherever_they_are_cut(benches: dict[str, Bench], arch: str) -> None:
    """And what they do one instruction at a time, each translated anew. They begin again at their end."""
    bench = benches[arch]
    values = st.one_of(HARMLESS[arch], HARMLESS[arch], st.binary(min_size=4, max_size=4)).map(
        lambda data: struct.unpack("<I", data)[0]
    )
    pieces = I386_PIECES if arch == "i386" else M68K_PIECES
    piece = st.tuples(st.sampled_from(pieces), st.integers(-8, LENGTH), values, st.integers(0, 5))

    @settings(max_examples=80, deadline=None)
    @given(st.sampled_from([CODE, EDGE - 16, EDGE - 60]), st.lists(piece, min_size=2, max_size=12), st.lists(st.integers(1, 9)))
    def run(at: int, made: list[tuple[Piece, int, int, int]], sizes: list[int]) -> None:
        code = b"".join(make(at + offset, value, n) for make, offset, value, n in made)
        if arch == "i386":
            code += b"\xe9" + struct.pack("<i", -len(code) - 5)
        else:
            code += m68k("6000") + struct.pack(">h", -len(code) - 2)
        expected = bench.run(code, RANDOM_RUN, repeat(1), at, fresh=True)
        for cuts in (repeat(RANDOM_RUN), repeat(1), chain(sizes, repeat(7))):
            assert bench.run(code, RANDOM_RUN, cuts, at) == expected

    run()


# What is put into Unicorn

SOURCE = """
    push rbx; push rbp; push r12; push r13; push r14; push r15; sub rsp, 8; mov [rsp], r8
    mov rbx, rdi; mov r12, rsi; mov rbp, rdx; mov ecx, ecx; lea r13, [rdx + rcx]
    mov r14, [rdi + {translator}]; mov r15, [r14 + {dropped}]
group:
    mov rdx, rbp; or rbp, 63; inc rbp; mov rcx, r13; cmp rbp, r13; cmovb rcx, rbp; sub rcx, rdx
    mov rdi, rbx; mov rsi, r12; xor r8d, r8d
    mov rax, 0x1122334455667788; call rax
    cmp rbp, r13; jb group
    cmp r15, [r14 + {dropped}]; je done
    mov rdi, [r14 + {own} + 32]; test rdi, rdi; jz counted
    mov rcx, [r14 + {own} + 8]; cmp rcx, [r14 + {own} + 24]; je last
    mov rsi, [rsp]; test rsi, rsi; jz last
    dec qword ptr [r14 + {own} + 8]; mov rax, [r14 + {own} + 40]; mov dword ptr [rax], 1
    mov rax, 0x2233445566778899; call rax
last:
    add rcx, [r14 + {own}]; mov [r14 + {own} + 16], rcx; jmp done
counted:
    mov rax, [rbx + 0x12340]; mov [rbx + 0x12348], rax
done:
    add rsp, 8; pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx; ret
"""


STORE_SOURCE = """
    mov eax, esi; test al, 3; jz original
    push rdi; push rsi; push rdx; push rcx; push r8
    and eax, 0xfff; mov edx, 0x1000; sub edx, eax; mov eax, 4; cmp edx, eax; cmova edx, eax
    mov r9, r8; mov r8d, ecx; and r8d, 15; mov ecx, 1; mov rax, 0x1122334455667788; call rax
    mov rsi, [rsp + 24]; lea edx, [rsi + 4]; and edx, 0xfff; lea esi, [rsi + 3]; and esi, 0xfffff000
    cmp esi, [rsp + 24]; jbe done
    mov rdi, [rsp + 32]; mov r8d, [rsp + 8]; and r8d, 15; mov r9, [rsp]; mov ecx, 1; mov rax, 0x1122334455667788; call rax
done:
    pop r8; pop rcx; pop rdx; pop rsi; pop rdi
original:
    mov rax, 0x2233445566778899; jmp rax
"""


def test_the_machine_code_is_what_its_comments_say() -> None:
    store, _ = keystone.Ks(keystone.KS_ARCH_X86, keystone.KS_MODE_64).asm(STORE_SOURCE.replace("\n", ";").replace(":;", ":"))
    assert code_stores.store_code(4, 0x1122334455667788, 0x2233445566778899) == bytes(store)
    source = SOURCE.format(translator=TRANSLATOR, dropped=code_stores.DROPPED, own=COUNTS).replace("\n", ";")
    code, _ = keystone.Ks(keystone.KS_ARCH_X86, keystone.KS_MODE_64).asm(source.replace(":;", ":"))
    assert code_stores.machine_code(0x1122334455667788, 0x2233445566778899, 0x12340, 0x12348) == bytes(code)


@pytest.mark.parametrize("arch", ["i386", "m68k"])
def test_where_it_cannot_be_put_the_processor_says_so_and_runs_all_the_same(
    benches: dict[str, Bench], arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert benches[arch].cpu.engine.stores_into_code
    monkeypatch.setattr(code_stores, "_mended", {})
    monkeypatch.setattr(interpose, "replace", lambda *_: None)
    bench = I386Bench("i386", I386Cpu) if arch == "i386" else M68kBench("m68k", M68kCpu)
    assert not bench.cpu.engine.stores_into_code
    assert bench.run(b"\x40\xeb\xfd" if arch == "i386" else m68k("5280 60fc"), 9, repeat(9)).executed == 9
    bench.close()
