"""The 68040's instructions as the manual lists them (M68000 Family Programmer's Reference Manual, chapters 4 to 6).

A pattern has 16 places: 0 and 1; `m` for the six bits of an addressing mode; `s` for a size of 0 to 2, of which 0 is a byte;
`.` for either bit. Each row ends with the addressing modes that the manual's table for the instruction has, and its name.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

MODES = {f"{kind}{n}": mode << 3 | n for mode, kind in enumerate("da@+-ix") for n in range(8)}
MODES |= {"word": 0o70, "long": 0o71, "pc": 0o72, "pcx": 0o73, "#": 0o74}
GROUPS = {
    "data": "d @ + - i x word long pc pcx #",
    "all": "d a @ + - i x word long pc pcx #",
    "data but #": "d @ + - i x word long pc pcx",
    "data alterable": "d @ + - i x word long",
    "memory alterable": "@ + - i x word long",
    "alterable": "d a @ + - i x word long",
    "control": "@ i x word long pc pcx",
    "control alterable": "@ i x word long",
    "control alterable, -(an)": "@ - i x word long",
    "control, (an)+": "@ + i x word long pc pcx",
    "dn, control": "d @ i x word long pc pcx",
    "dn, control alterable": "d @ i x word long",
}
"""Table 2-4's categories, and what single instructions have."""


class Row(NamedTuple):
    pattern: str
    modes: str
    name: str


NONE = ""
PRIVILEGED = "privileged "
ROWS = [
    Row(*row)
    for row in (
        ("00000000ssmmmmmm", "data alterable", "ori"),
        ("0000001000111100", NONE, "andi to ccr"),
        ("0000000000111100", NONE, "ori to ccr"),
        ("0000101000111100", NONE, "eori to ccr"),
        ("0000000001111100", NONE, PRIVILEGED + "ori to sr"),
        ("0000001001111100", NONE, PRIVILEGED + "andi to sr"),
        ("0000101001111100", NONE, PRIVILEGED + "eori to sr"),
        ("00000010ssmmmmmm", "data alterable", "andi"),
        ("00000100ssmmmmmm", "data alterable", "subi"),
        ("00000110ssmmmmmm", "data alterable", "addi"),
        ("00001010ssmmmmmm", "data alterable", "eori"),
        ("00001100ssmmmmmm", "data but #", "cmpi"),
        ("0000100000mmmmmm", "data but #", "btst #"),
        ("0000100001mmmmmm", "data alterable", "bchg #"),
        ("0000100010mmmmmm", "data alterable", "bclr #"),
        ("0000100011mmmmmm", "data alterable", "bset #"),
        ("0000...100mmmmmm", "data", "btst"),
        ("0000...101mmmmmm", "data alterable", "bchg"),
        ("0000...110mmmmmm", "data alterable", "bclr"),
        ("0000...111mmmmmm", "data alterable", "bset"),
        ("0000...1..001...", NONE, "movep"),
        ("0000000011mmmmmm", "control", "chk2 and cmp2 of bytes"),
        ("0000001011mmmmmm", "control", "chk2 and cmp2 of words"),
        ("0000010011mmmmmm", "control", "chk2 and cmp2 of long words"),
        ("0000101011mmmmmm", "memory alterable", "cas of bytes"),
        ("0000110011mmmmmm", "memory alterable", "cas of words"),
        ("0000111011mmmmmm", "memory alterable", "cas of long words"),
        ("0000110011111100", NONE, "cas2 of words"),
        ("0000111011111100", NONE, "cas2 of long words"),
        ("00001110ssmmmmmm", "memory alterable", PRIVILEGED + "moves"),
        *((f"0001...{mode:03b}mmmmmm", "data", "move of bytes") for mode in (0, 2, 3, 4, 5, 6)),
        *((f"0001{to:03b}111mmmmmm", "data", "move of bytes") for to in (0, 1)),
        *((f"001.{to:03b}111mmmmmm", "all", "move") for to in (0, 1)),
        *((f"001....{mode:03b}mmmmmm", "all", "move and movea") for mode in range(7)),
        ("01000000ssmmmmmm", "data alterable", "negx"),
        ("01000010ssmmmmmm", "data alterable", "clr"),
        ("01000100ssmmmmmm", "data alterable", "neg"),
        ("01000110ssmmmmmm", "data alterable", "not"),
        ("0100000011mmmmmm", "data alterable", PRIVILEGED + "move from sr"),
        ("0100001011mmmmmm", "data alterable", "move from ccr"),
        ("0100010011mmmmmm", "data", "move to ccr"),
        ("0100011011mmmmmm", "data", PRIVILEGED + "move to sr"),
        ("0100...100mmmmmm", "data", "chk of long words"),
        ("0100...110mmmmmm", "data", "chk of words"),
        ("0100...111mmmmmm", "control", "lea"),
        ("0100100111000...", NONE, "extb"),
        ("0100100000mmmmmm", "data alterable", "nbcd"),
        ("0100100000001...", NONE, "link of long words"),
        ("0100100001000...", NONE, "swap"),
        ("0100100001mmmmmm", "control", "pea"),
        ("010010001.000...", NONE, "ext"),
        ("010010001.mmmmmm", "control alterable, -(an)", "movem to memory"),
        ("01001010ssmmmmmm", "all", "tst"),
        ("0100101011mmmmmm", "data alterable", "tas"),
        ("0100110000mmmmmm", "data", "mulu and muls of long words"),
        ("0100110001mmmmmm", "data", "divu and divs of long words"),
        ("010011001.mmmmmm", "control, (an)+", "movem from memory"),
        ("010011100100....", NONE, "trap"),
        ("0100111001010...", NONE, "link"),
        ("0100111001011...", NONE, "unlk"),
        ("010011100110....", NONE, PRIVILEGED + "move usp"),
        ("0100111001110000", NONE, PRIVILEGED + "reset"),
        ("0100111001110001", NONE, "nop"),
        ("0100111001110010", NONE, PRIVILEGED + "stop"),
        ("0100111001110011", NONE, PRIVILEGED + "rte"),
        ("0100111001110100", NONE, "rtd"),
        ("0100111001110101", NONE, "rts"),
        ("0100111001110110", NONE, "trapv"),
        ("0100111001110111", NONE, "rtr"),
        ("010011100111101.", NONE, PRIVILEGED + "movec"),
        ("0100111010mmmmmm", "control", "jsr"),
        ("0100111011mmmmmm", "control", "jmp"),
        ("0101....ssmmmmmm", "alterable", "addq and subq"),
        ("0101....11mmmmmm", "data alterable", "scc"),
        ("0101....11001...", NONE, "dbcc"),
        ("0101....1111101.", NONE, "trapcc with an operand"),
        ("0101....11111100", NONE, "trapcc"),
        ("0110............", NONE, "bcc, bra, bsr"),
        ("0111...0........", NONE, "moveq"),
        ("1000...0ssmmmmmm", "data", "or"),
        ("1000...1ssmmmmmm", "memory alterable", "or to memory"),
        ("1000....11mmmmmm", "data", "divu and divs of words"),
        ("1000...10000....", NONE, "sbcd"),
        ("1000...10100....", NONE, "pack"),
        ("1000...11000....", NONE, "unpk"),
        ("1.01...0ssmmmmmm", "all", "sub and add"),
        ("1.01...1ssmmmmmm", "memory alterable", "sub and add to memory"),
        ("1.01...1ss00....", NONE, "subx and addx"),
        ("1.01....11mmmmmm", "all", "suba and adda"),
        ("1011...0ssmmmmmm", "all", "cmp"),
        ("1011....11mmmmmm", "all", "cmpa"),
        ("1011...1ss001...", NONE, "cmpm"),
        ("1011...1ssmmmmmm", "data alterable", "eor"),
        ("1100...0ssmmmmmm", "data", "and"),
        ("1100...1ssmmmmmm", "memory alterable", "and to memory"),
        ("1100....11mmmmmm", "data", "mulu and muls of words"),
        ("1100...10000....", NONE, "abcd"),
        ("1100...10100....", NONE, "exg of registers of one kind"),
        ("1100...110001...", NONE, "exg of a data and an address register"),
        ("1110....ss......", NONE, "shifts and rotations"),
        ("11100...11mmmmmm", "memory alterable", "shifts and rotations of memory"),
        *((f"11101{which:03b}11mmmmmm", "dn, control", "bftst, bfextu, bfexts, bfffo") for which in (0, 1, 3, 5)),
        *((f"11101{which:03b}11mmmmmm", "dn, control alterable", "bfchg, bfclr, bfset, bfins") for which in (2, 4, 6, 7)),
        ("1111001000......", NONE, "floating point, chapter 5"),
        ("1111001001mmmmmm", "data alterable", "fscc"),
        ("1111001001001...", NONE, "fdbcc"),
        ("111100100111101.", NONE, "ftrapcc with an operand"),
        ("1111001001111100", NONE, "ftrapcc"),
        ("111100101.0.....", NONE, "fbcc: of the 64 predicates there are 32"),
        ("1111001100mmmmmm", "control alterable, -(an)", PRIVILEGED + "fsave"),
        ("1111001101mmmmmm", "control, (an)+", PRIVILEGED + "frestore"),
        *((f"11110100..{scope}...", NONE, PRIVILEGED + "cinv and cpush") for scope in ("001", "010", "011", "101", "110", "111")),
        ("11110101000.....", NONE, PRIVILEGED + "pflush"),
        ("1111010101001...", NONE, PRIVILEGED + "ptestw"),
        ("1111010101101...", NONE, PRIVILEGED + "ptestr"),
        ("11110110000.....", NONE, "move16 with an absolute address"),
        ("1111011000100...", NONE, "move16"),
    )
]
REFUSED_INSTRUCTIONS = {
    "0100100001001...": "bkpt: without hardware that answers it is an illegal instruction",
    "0000011011......": "callm and rtm: of the 68020 alone",
    "1010............": "line A: unassigned",
}
"""What is an instruction of some other processor, or ends as none. All else that ROWS has not is in no list of the manual."""


@cache
def _modes(group: str) -> frozenset[int]:
    kinds = GROUPS[group].split()
    return frozenset(mode for name, mode in MODES.items() if name in kinds or name[:-1] in kinds)


def _regular(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("ss", "(?:00|01|10)").replace("mmmmmm", "......"))


_COMPILED = [(_regular(row.pattern), row) for row in ROWS]


@cache
def _candidates(upper: str) -> list[tuple[re.Pattern[str], Row]]:
    """The rows that may match first words with these upper ten bits."""
    return [(pattern, row) for pattern, row in _COMPILED if _regular(row.pattern.replace("ss", "..")[:10]).fullmatch(upper)]


def instruction(word: int) -> Row | None:
    """The row of a first word, or None where it is no instruction."""
    bits = f"{word:016b}"
    mode = word & 0o77
    for pattern, row in _candidates(bits[:10]):
        if pattern.fullmatch(bits) is None:
            continue
        is_byte_of_address = "ss" in row.pattern and word >> 6 & 3 == 0 and mode >> 3 == 1
        if row.modes == NONE or (mode in _modes(row.modes) and not is_byte_of_address):
            return row
    return None


def reason(word: int) -> str:
    """Why a first word is no instruction."""
    bits = f"{word:016b}"
    for text, why in REFUSED_INSTRUCTIONS.items():
        if _regular(text).fullmatch(bits):
            return why
    for pattern, row in _candidates(bits[:10]):
        if row.modes != NONE and pattern.fullmatch(bits):
            return f"{row.name}: its addressing modes are: {row.modes}"
    return "in no list of instructions, chapter 8"
