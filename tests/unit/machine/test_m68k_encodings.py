"""First words of the m68k: what the manual has runs, all else is refused; chk2 and cmp2 have the modes that they have."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random

import pytest

from machemu.abi.exception import EXC_SOFTWARE
from machemu.abi.types import Instructions
from machemu.machine.m68k.engine import ILLEGAL, LINE_A, LINE_F
from tests.support.m68k_bench import CODE, DATA, STACK, Bench, C, N, V, X, Z
from tests.support.m68k_manual import PRIVILEGED, REFUSED_INSTRUCTIONS, ROWS, instruction, reason

VECTORS = {0xA: 0x28, 0xF: 0x2C}
"""By the line of a first word that is no instruction; 0x10 for all others."""
PRIVILEGE, CHK_TRAP = 0x20, 0x18
MOVE16 = range(0xF620, 0xF628)
"""Its second word must have bit 15."""
SAMPLE = 400


@pytest.fixture(scope="module")
def shared() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def refusal(bench: Bench, word: int) -> int | None:
    """The vector offset of the exception that an instruction with a first word, and zeros behind it, ends with, or None."""
    pcb = bench.start(word.to_bytes(2, "big") + bytes(10))
    pcb.registers[:] = [0x11] * 8 + [DATA + 0x100] * 7 + [STACK]
    bench.cpu.activate(pcb, bench.pmap)
    bench.cpu.run(Instructions(1))
    bench.cpu.deactivate()
    found = [what[2] for what in bench.log if what[0] == "exception"]
    return int(str(found[0])) if found else None


def test_every_first_word_that_is_no_instruction_is_translated_as_none(shared: Bench) -> None:
    """17,630 of them, of which the next test runs some."""
    table = shared.cpu.engine.translators
    refused = {table[word] for word in (ILLEGAL, LINE_A, LINE_F)}
    undefined = [word for word in range(0x10000) if instruction(word) is None]
    assert [f"{word:04x} {reason(word)}" for word in undefined if table[word] not in refused] == []
    assert len(undefined) == 17630


def test_a_first_word_that_is_no_instruction_is_refused_at_its_begin(shared: Bench) -> None:
    words = Random(68040).sample([word for word in range(0x10000) if instruction(word) is None], SAMPLE)
    for word in (0x4AFA, 0x4AC8, 0x00D8, 0x02E0, 0x04C0, 0x06C0, 0x4848, *words):
        assert refusal(shared, word) == VECTORS.get(word >> 12, 0x10), f"{word:04x} {reason(word)}"
        assert shared.log[0][4] == CODE


def test_a_first_word_that_is_an_instruction_is_not_refused(shared: Bench) -> None:
    words = [word for word in range(0x10000) if instruction(word) is not None and word not in MOVE16]
    for word in Random(68041).sample(words, SAMPLE):
        row = instruction(word)
        assert row is not None
        vector = refusal(shared, word)
        if row.name.startswith(PRIVILEGED):
            assert vector == PRIVILEGE, f"{word:04x} {row.name}"
        else:
            assert vector not in (0x10, PRIVILEGE, *VECTORS.values()), f"{word:04x} {row.name}"


def test_each_row_of_the_manual_is_met() -> None:
    words = [instruction(word) for word in range(0x10000)]
    assert {row.pattern for row in words if row is not None} == {row.pattern for row in ROWS}
    reasons = {reason(word) for word in range(0x10000) if words[word] is None}
    assert set(REFUSED_INSTRUCTIONS.values()) <= reasons


PLACES = {
    **{"(a1)": "d1", "8(a1)": "e90008", "4(a1,d7.l)": "f17804", "c100.l": "f90000c100", "(pc)": "fa40fc", "(pc,d7.l)": "fb78fc"},
}
"""Of each mode the first word's lower byte and the extension words, which name DATA + 0x100."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("checks", [False, True])
@pytest.mark.parametrize(("value", "codes"), [(3, 0), (2, Z), (9, Z), (10, C), (1, C)])
def test_chk2_and_cmp2_compare_with_bounds_anywhere(
    shared: Bench, place: str, size: int, checks: bool, value: int, codes: int
) -> None:
    shared.write(DATA + 0x100, b"".join(number.to_bytes(size, "big") for number in (2, 9)))
    word = PLACES[place]
    first = {1: 0x0000, 2: 0x0200, 4: 0x0400}[size] | int(word[:2], 16)
    code = first.to_bytes(2, "big") + struct.pack(">H", 0x3000 | 0x800 * checks) + bytes.fromhex(word[2:])
    pcb = shared.start(code)
    base = {"8(a1)": DATA + 0xF8, "(a1)": DATA + 0x100, "4(a1,d7.l)": DATA + 0xC0}.get(place, 0)
    pcb.registers[3], pcb.registers[9] = value, base
    pcb.registers[7] = 0x3C if "a1" in place else 0x4100
    pcb.sr = X | N | V | C | Z
    shared.cpu.activate(pcb, shared.pmap)
    shared.cpu.run(Instructions(1))
    shared.cpu.deactivate()
    traps = bool(codes & C) and checks
    assert [what[:3] for what in shared.log] == ([("exception", EXC_SOFTWARE, CHK_TRAP)] if traps else [])
    assert (pcb.pc, pcb.sr & 0x1F) == (CODE + len(code), X | N | V | codes)


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        ("81410000", (0xAAAAAAAA, 0xBBBB3335), (0xAAAAAA35, 0xBBBB3335)),
        ("8141fff0", (0, 0x0409), (0x39, 0x0409)),
        ("83400f0f", (0x1122F0F1, 0x55555500), (0x1122F0F1, 0x55555500)),
        ("81813030", (0xAAAAAAAA, 0xBBBBBB35), (0xAAAA3335, 0xBBBBBB35)),
        ("81810000", (0, 0x98), (0x0908, 0x98)),
        ("8181ffff", (0, 0x00), (0xFFFF, 0x00)),
    ],
    ids=["pack", "pack with a carry", "pack the other way", "unpk to text", "unpk", "unpk less one"],
)
def test_digits_are_packed_and_unpacked_between_registers(
    shared: Bench, code: str, before: tuple[int, int], after: tuple[int, int]
) -> None:
    """The manual's pages of PACK and UNPK; no condition code changes."""
    pcb = shared.start(bytes.fromhex(code))
    pcb.registers[0], pcb.registers[1], pcb.sr = *before, X | N | Z | V | C
    shared.cpu.activate(pcb, shared.pmap)
    shared.cpu.run(Instructions(1))
    shared.cpu.deactivate()
    assert shared.log == []
    assert (pcb.registers[0], pcb.registers[1], pcb.pc, pcb.sr) == (*after, CODE + 4, X | N | Z | V | C)


def test_digits_are_packed_and_unpacked_in_memory_downwards(shared: Bench) -> None:
    shared.write(DATA, bytes.fromhex("0000333500980000"))
    pcb = shared.start(bytes.fromhex("83480000 8388 3030"))
    pcb.registers[8], pcb.registers[9] = DATA + 4, DATA + 0x10
    shared.cpu.activate(pcb, shared.pmap)
    shared.cpu.run(Instructions(1))
    shared.cpu.deactivate()
    assert (pcb.registers[8], pcb.registers[9], shared.read(DATA + 15, 1)) == (DATA + 2, DATA + 15, b"\x35")
    pcb.registers[8] = DATA + 6
    shared.cpu.activate(pcb, shared.pmap)
    shared.cpu.run(Instructions(1))
    shared.cpu.deactivate()
    assert (pcb.registers[8], pcb.registers[9], shared.read(DATA + 13, 2)) == (DATA + 5, DATA + 13, bytes.fromhex("3938"))
