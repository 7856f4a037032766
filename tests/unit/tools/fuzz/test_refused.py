"""Our i386 raises #UD for what the manual has undefined, and for nothing else.

ROWS lists what a Pentium II raises #UD for, each with the reason in Intel's manual, in the form of tools/fuzz/lists.py. Of the
FPU's instructions with registers, opcodes are the escape and the modrm byte.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from tools.fuzz import encodings, lists, reference, reference_i386
from tools.fuzz.lists import Facts

SAMPLE = 8_000
X87 = range(0xD8, 0xE0)
NEWER = "CPUID 1, whose EDX is 0x183fbfd, has no bit for it: "
VEX = "its operand must be in memory; VEX is newer"
SSE_ON_MMX = NEWER + "SSE's of MMX"
SSE2 = NEWER + "SSE2, on XMM registers"
RESERVED = "reserved or without a meaning (volume 2, tables A-2 and A-3)"
GROUP = "a reg field that is none of the group's (volume 2, table A-6)"
FPU = "reserved (volume 2, tables A-7 to A-22)"
IN_MEMORY = "its operand must be in memory (volume 2, the instruction's own page)"
ROWS = lists.parse(
    {
        "refused": [
            {"opcodes": "0f0b 0fb9 0fff", "reason": "UD2, UD1, UD0: the undefined instructions"},
            {"opcodes": "f1", "reason": "reserved; the real kernel's transcript in QEMU has it undefined"},
            {"opcodes": "0f04 0f0a 0f0c 0f0e 0f24-0f27 0f36 0f39 0f3b-0f3f 0f7a 0f7b 0fa6 0fa7", "reason": RESERVED},
            {"opcodes": "0f05 0f07", "reason": "SYSCALL and SYSRET: " + RESERVED + " before 64-bit mode"},
            {"opcodes": "0f0f", "reason": "3DNow, another maker's"},
            {"opcodes": "0f37", "reason": NEWER + "GETSEC of SMX"},
            {"opcodes": "0f78 0f79", "reason": NEWER + "VMREAD and VMWRITE of VMX"},
            {"opcodes": "0faa", "reason": "RSM: undefined outside of system management mode"},
            {"opcodes": "0f10-0f17 0f28-0f2f 0f50-0f5f 0fc2 0fc6", "reason": NEWER + "SSE and SSE2"},
            {"opcodes": "0f38 0f3a 0f3800-0f38ff 0f3a00-0f3aff", "reason": NEWER + "SSSE3 and later"},
            {"opcodes": "0f6c 0f6d 0fd6 0fe6 0fc3", "reason": NEWER + "SSE2, whose alone these are"},
            {"opcodes": "0f7c 0f7d 0fd0 0ff0", "reason": NEWER + "SSE3, whose alone these are"},
            {
                "opcodes": "0f70 0fc4 0fc5 0fd7 0fda 0fde 0fe0 0fe3 0fe4 0fe7 0fea 0fee 0ff6 0ff7",
                "reason": NEWER + "SSE's of MMX",
            },
            {"opcodes": "0fd4 0ff4 0ffb", "reason": NEWER + "SSE2's of MMX"},
            {
                "opcodes": "0f60-0f6f 0f71-0f77 0f7e-0f7f 0fd0-0ffe",
                "prefixes": "66 f2 f3",
                "reason": NEWER + "SSE2, on XMM registers",
            },
            {"opcodes": "0f71-0f73", "operand": "memory", "reason": "MMX's shifts by immediate numbers are of registers alone"},
            {"opcodes": "0f71 0f72", "regs": [0, 1, 3, 5, 7], "reason": GROUP},
            {"opcodes": "0f73", "regs": [0, 1, 3, 4, 5, 7], "reason": GROUP},
            {"opcodes": "0fb8", "reason": NEWER + "POPCNT; without F3 it is JMPE, of another architecture"},
            {"opcodes": "0f00", "regs": [6, 7], "reason": GROUP},
            {"opcodes": "0f01", "regs": [5], "operand": "memory", "reason": GROUP},
            {
                "opcodes": "0f01",
                "regs": [0, 1, 2, 3, 5, 7],
                "operand": "register",
                "reason": GROUP + "; XGETBV is newer",
            },
            {"opcodes": "0f20 0f22", "regs": [1, 5, 6, 7], "reason": "there is no CR1, and none from CR5 on (volume 2, MOV)"},
            {"opcodes": "0fae", "operand": "register", "reason": NEWER + "LFENCE, MFENCE and SFENCE of SSE2"},
            {"opcodes": "0fae", "regs": [2, 3, 4, 5, 6, 7], "reason": NEWER + "LDMXCSR, STMXCSR, XSAVE, CLFLUSH"},
            {"opcodes": "0fba", "regs": [0, 1, 2, 3], "reason": GROUP},
            {"opcodes": "0fc7", "regs": [0, 2, 3, 4, 5, 6, 7], "reason": GROUP + "; RDRAND and the like are newer"},
            {"opcodes": "0fc7 0fb2 0fb4 0fb5 62 8d c4 c5", "operand": "register", "reason": IN_MEMORY},
            {
                "opcodes": "c4e100-c4e1ff c4e17900-c4e179ff c4e27900-c4e279ff c4e37900-c4e379ff",
                "reason": VEX,
            },
            {"opcodes": "c5f800-c5f8ff c5fb00-c5fbff c5fd00-c5fdff", "reason": VEX},
            {"opcodes": "8c 8e", "regs": [6, 7], "reason": "there are six segment registers (volume 2, MOV)"},
            {"opcodes": "8e", "regs": [1], "reason": "CS is not loaded by MOV (volume 2, MOV)"},
            {"opcodes": "8f c6 c7", "regs": [1, 2, 3, 4, 5, 6, 7], "reason": GROUP},
            {"opcodes": "fe", "regs": [2, 3, 4, 5, 6, 7], "reason": GROUP},
            {"opcodes": "ff", "regs": [7], "reason": GROUP},
            {"opcodes": "ff", "regs": [3, 5], "operand": "register", "reason": IN_MEMORY},
            {"opcodes": "d9", "regs": [1], "operand": "memory", "reason": FPU},
            {"opcodes": "db", "regs": [4, 6], "operand": "memory", "reason": FPU},
            {"opcodes": "dd", "regs": [5], "operand": "memory", "reason": FPU},
            {"opcodes": "db dd df", "regs": [1], "operand": "memory", "reason": NEWER + "SSE3's FISTTP"},
            {"opcodes": "d9d1-d9d7 d9e2 d9e3 d9e6 d9e7 d9ef dae0-dae8 daea-daff dbe5-dbe7 dbf8-dbff", "reason": FPU},
            {"opcodes": "ddf0-ddff ded8 deda-dedf dfe1-dfe7 dff8-dfff", "reason": FPU},
        ]
    },
    "test_refused.py",
)
LOCK = 0xF0
LOCKABLE = lists.parse(
    {
        "differs": [
            {"opcodes": "00 01 08 09 10 11 18 19 20 21 28 29 30 31", "reason": "ADD, OR, ADC, SBB, AND, SUB, XOR"},
            {"opcodes": "80-83", "regs": [0, 1, 2, 3, 4, 5, 6], "reason": "the same with immediate numbers"},
            {"opcodes": "86 87", "reason": "XCHG"},
            {"opcodes": "f6 f7", "regs": [2, 3], "reason": "NOT, NEG"},
            {"opcodes": "fe ff", "regs": [0, 1], "reason": "INC, DEC"},
            {"opcodes": "0fab 0fb3 0fbb", "reason": "BTS, BTR, BTC"},
            {"opcodes": "0fba", "regs": [5, 6, 7], "reason": "BTS, BTR, BTC of immediate numbers"},
            {"opcodes": "0fb0 0fb1 0fc0 0fc1", "reason": "CMPXCHG, XADD"},
            {"opcodes": "0fc7", "regs": [1], "reason": "CMPXCHG8B"},
        ]
    },
    "test_refused.py",
)
"""What LOCK is allowed with, where it stores into memory (volume 2, LOCK)."""


def reason(facts: Facts) -> str:
    """Why an encoding is undefined; "" where it is not."""
    if LOCK in facts.prefixes and not (facts.operand == "memory" and any(row.is_of(facts) for row in LOCKABLE)):
        return "LOCK is not allowed with it (volume 2, LOCK)"
    return next((row.reason for row in ROWS if row.is_of(facts)), "")


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


@pytest.mark.slow
def test_an_encoding_is_undefined_where_the_manual_says_so_and_nowhere_else(here: reference_i386.Here) -> None:
    seed = secrets.randbelow(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    wrong = []
    for index in random.sample(range(len(encodings.i386())), SAMPLE):
        why = reason(facts(index))
        if is_refused(here, random, index) != bool(why):
            wrong.append(f"{encodings.i386()[index].code.hex()}: {why or 'nothing says that it is undefined'}")
    assert wrong == [], f"seed {seed}"


@pytest.mark.slow
def test_each_row_of_the_refused_is_met() -> None:
    every = [facts(index) for index in range(len(encodings.i386()))]
    assert [row.reason for row in (*ROWS, *LOCKABLE) if not any(row.is_of(one) for one in every)] == []
