"""The Berkeley packet filter, against an interpreter that looks each whole instruction up in a table."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.types import ByteOrder
from machemu.device import bpf
from machemu.device.bpf import Instruction, Verdict

WORD = 0xFFFFFFFF
HEADER = bytes(range(1, 15))
BEFORE = b"\xa0\xa1\xa2\xa3"
BEGIN = Instruction(0x401, 0, 0, 0)
ACCEPT = Instruction(0x06, 0, 0, WORD)

ALU: dict[int, Callable[[int, int], int]] = {
    0x00: lambda a, b: a + b,
    0x10: lambda a, b: a - b,
    0x20: lambda a, b: a * b,
    0x40: lambda a, b: a | b,
    0x50: lambda a, b: a & b,
    0x60: lambda a, b: a * 2 ** (b % 32),
    0x70: lambda a, b: a // 2 ** (b % 32),
}
COMPARE: dict[int, Callable[[int, int], bool]] = {
    0x10: lambda a, b: a == b,
    0x20: lambda a, b: a > b,
    0x30: lambda a, b: a >= b,
    0x40: lambda a, b: a & b != 0,
}


def reference(program: tuple[Instruction, ...], data: bytes) -> int:
    """The bytes wanted, of a program without a match."""
    space = HEADER + data + bytes(5000)
    behind = BEFORE + data + bytes(5000)
    a = x = 0
    memory = [0] * 16
    pc = 1

    def load(at: int, size: int) -> int | None:
        if at >= 4096 or at + size > (14 if at + size <= 14 else 4095):
            return None
        piece = space[at : at + size] if at + size <= 14 or at >= 14 else behind[at - 14 + 4 :][:size]
        return int.from_bytes(piece, "big")

    while pc < len(program):
        code, jt, jf, k = program[pc]
        pc += 1
        found: int | None = None
        if code in (0x20, 0x28, 0x30, 0x40, 0x48, 0x50):
            size = {0x00: 4, 0x08: 2, 0x10: 1}[code & 0x18]
            found = load((k + (x if code & 0x40 else 0)) & WORD, size)
            if found is None:
                return 0
            a = found | 0xFFFFFF00 if size == 1 and found > 127 else found
        elif code == 0xB1:
            found = load(k, 1)
            if found is None:
                return 0
            x = found % 16 * 4
        elif code in (0x00, 0x01, 0x80, 0x81, 0x60, 0x61):
            if code & 0x60 and k > 15:
                return 0
            value = {0x00: k, 0x80: len(data), 0x60: memory[k % 16]}[code & 0xF8]
            a, x = (a, value) if code & 1 else (value, x)
        elif code in (0x02, 0x03):
            if k > 15:
                return 0
            memory[k] = a if code == 0x02 else x
        elif code & ~0xF8 == 0x04 and code & 0xF0 in ALU:
            a = ALU[code & 0xF0](a, x if code & 8 else k) & WORD
        elif code in (0x34, 0x3C):
            divisor = x if code & 8 else k
            if not divisor:
                return 0
            a //= divisor
        elif code == 0x84:
            a = -a & WORD
        elif code == 0x05:
            pc += k
        elif code & ~0xF8 == 0x05 and code & 0xF0 in COMPARE:
            pc += jt if COMPARE[code & 0xF0](a, x if code & 8 else k) else jf
        elif code in (0x06, 0x16):
            return min(k if code == 0x06 else a, len(data))
        elif code == 0x07:
            x = a
        elif code == 0x87:
            a = x
        else:
            return 0
    return 0


CODES = st.one_of(
    st.sampled_from(bytes.fromhex("00010203040506070c1415161d202425283034353c4044454850546061647480818487b1")),
    st.integers(0, 0x1FF),
)
NUMBERS = st.one_of(st.integers(0, 30), st.integers(0, WORD))
STEPS = st.builds(Instruction, CODES, st.integers(0, 6), st.integers(0, 6), NUMBERS).filter(
    lambda step: step.code != bpf.MATCH_IMM
)
PROGRAMS = st.lists(STEPS, max_size=20).map(lambda steps: (BEGIN, *steps, ACCEPT))


@settings(max_examples=1500, deadline=None)
@given(PROGRAMS, st.binary(max_size=60))
def test_a_valid_filter_says_what_the_table_says(program: tuple[Instruction, ...], data: bytes) -> None:
    if bpf.is_valid(program):
        assert bpf.run(program, HEADER, BEFORE, data) == Verdict(reference(program, data), None)


@given(st.lists(st.integers(0, 0xFFFF), max_size=128).map(tuple), st.binary(max_size=60))
def test_no_words_at_all_make_the_filter_fail(words: tuple[int, ...], data: bytes) -> None:
    for order in ByteOrder:
        program = bpf.decode(words, order)
        if bpf.is_valid(program):
            assert 0 <= bpf.run(program, HEADER, BEFORE, data).size <= len(data)


def test_loads_reach_the_header_what_is_between_and_the_data() -> None:
    for at, expected in ((0, 0x01020304), (10, 0x0B0C0D0E), (12, 0xA2A3D0D1), (14, 0xD0D1D2D3), (16, 0xD2D30000)):
        program = (BEGIN, Instruction(0x20, 0, 0, at), Instruction(0x15, 0, 1, expected), ACCEPT, Instruction(6, 0, 0, 0))
        assert bpf.is_valid(program)
        assert bpf.run(program, HEADER, BEFORE, b"\xd0\xd1\xd2\xd3").size == 4, at


def test_what_the_kernel_refuses() -> None:
    jump, branch, divide = Instruction(0x05, 0, 0, 1), Instruction(0x15, 0, 2, 0), Instruction(0x34, 0, 0, 0)
    assert not bpf.is_valid((BEGIN, jump, ACCEPT)) and bpf.is_valid((BEGIN, jump, ACCEPT, ACCEPT))
    assert not bpf.is_valid((BEGIN, branch, ACCEPT, ACCEPT)) and bpf.is_valid((BEGIN, branch, ACCEPT, ACCEPT, ACCEPT))
    assert not bpf.is_valid((BEGIN, Instruction(0x05, 0, 0, WORD), ACCEPT)), "a jump to itself"
    assert not bpf.is_valid((BEGIN, divide, ACCEPT))
    assert not bpf.is_valid((BEGIN, Instruction(0x02, 0, 0, 16), ACCEPT))
    assert not bpf.is_valid((BEGIN,)) and not bpf.is_valid(()) and not bpf.is_valid((BEGIN, Instruction(0x07, 0, 0, 0)))


def test_a_match_takes_its_keys_from_the_instructions_behind_it() -> None:
    keys = tuple(Instruction(bpf.KEY, 0, 0, key) for key in (7, 9))
    store = (Instruction(0x00, 0, 0, 7), Instruction(0x02, 0, 0, 0), Instruction(0x00, 0, 0, 8), Instruction(0x02, 0, 0, 1))
    program = (BEGIN, *store, Instruction(bpf.MATCH_IMM, 2, 0, 3), *keys, ACCEPT)
    assert bpf.is_valid(program) and bpf.keys_of(program) == (7, 9)
    assert bpf.run(program, HEADER, BEFORE, b"data") == Verdict(3, (7, 8))
    other = (*program[:-2], Instruction(bpf.KEY, 0, 0, 99), ACCEPT)
    assert bpf.without_keys(program) == bpf.without_keys(other) and program != other
    for count in (0, 3, 5):
        assert not bpf.is_valid((BEGIN, Instruction(bpf.MATCH_IMM, count, 0, 3), *keys, ACCEPT)), count
    assert not bpf.is_valid((BEGIN, *program[5:8], *program[5:8], ACCEPT)), "two matches"
    assert not bpf.is_valid((BEGIN, Instruction(bpf.MATCH_IMM, 2, 0, 3), *keys)), "it ends with a key"
