"""Our i386 raises #UD for what the manual has undefined, and for nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from tests.fuzz import refused_i386
from tools.fuzz import encodings, reference, reference_i386
from tools.fuzz.lists import Facts

SAMPLE = 8_000
X87 = range(0xD8, 0xE0)


@pytest.fixture(scope="module")
def here() -> Iterator[reference_i386.Here]:
    made = reference_i386.Here(reference.image(Random(5), "<", reference_i386.FILLER))
    yield made
    made.close()


def facts(index: int) -> Facts:
    """As the list wants them."""
    found = reference_i386.facts(index)
    encoding = encodings.i386()[index]
    if found.operand == "register" and found.opcode[0] in X87:
        return replace(found, opcode=found.opcode + encoding.modrm)
    return found


def is_refused(here: reference_i386.Here, random: Random, index: int) -> bool:
    fault = here.run(reference_i386.case(random, index)).fault
    return fault is not None and fault.number == reference_i386.UNDEFINED_OPCODE


def test_an_encoding_is_undefined_where_the_manual_says_so_and_nowhere_else(here: reference_i386.Here) -> None:
    seed = secrets.randbelow(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    wrong = []
    for index in random.sample(range(len(encodings.i386())), SAMPLE):
        why = refused_i386.reason(facts(index))
        if is_refused(here, random, index) != bool(why):
            wrong.append(f"{encodings.i386()[index].code.hex()}: {why or 'nothing says that it is undefined'}")
    assert wrong == [], f"seed {seed}"


def test_each_row_of_the_refused_is_met() -> None:
    every = [facts(index) for index in range(len(encodings.i386()))]
    assert [row.reason for row in (*refused_i386.ROWS, *refused_i386.LOCKABLE) if not any(row.is_of(one) for one in every)] == []
