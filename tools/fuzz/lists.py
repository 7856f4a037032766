"""Lists of what may differ between a reference and our CPU, each with its reason: differences_i386.toml, differences_m68k.toml.

A list has rows of two kinds: [[refused]], where ours raises an undefined or illegal instruction and the reference does not, and
[[differs]], for all else. A row's keys: `opcodes`, hexadecimal numbers and ranges of them, of equally many bytes; `regs`,
`operand` ("memory" or "register") and `prefixes` (hexadecimal; one of them), for the i386, narrow them; `fields` names what may
differ, anything where it is not given; `needs` is a feature of the host's processor, as /proc/cpuinfo names it, without which the
row has no use; `reason`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
FIELDS: Final = ("fault", "address", "access", "registers", "flags", "pc", "memory", "media", "ended")
KINDS: Final = ("refused", "differs")
KEYS: Final = {"opcodes", "regs", "operand", "prefixes", "fields", "needs", "reason"}


class BadList(Exception):
    """A list says what it cannot; the message has the row."""


@dataclass(frozen=True)
class Facts:
    """What rows look at of an encoding. reg: of the modrm byte, -1 where there is none. operand: "" where there is none."""

    opcode: bytes
    prefixes: bytes = b""
    reg: int = -1
    operand: str = ""


@dataclass(frozen=True)
class Row:
    refused: bool
    opcodes: frozenset[bytes]
    regs: frozenset[int]
    operand: str
    prefixes: frozenset[int]
    fields: frozenset[str]
    needs: str
    reason: str

    def is_of(self, facts: Facts) -> bool:
        """Whether the row is about an encoding."""
        return (
            facts.opcode in self.opcodes
            and (not self.regs or facts.reg in self.regs)
            and self.operand in ("", facts.operand)
            and (not self.prefixes or not self.prefixes.isdisjoint(facts.prefixes))
        )

    def explains(self, facts: Facts, fields: frozenset[str], refused: bool) -> bool:
        return refused == self.refused and fields <= self.fields and self.is_of(facts)


def load(architecture: str) -> list[Row]:
    path = FOLDER / f"differences_{architecture}.toml"
    return parse(tomllib.loads(path.read_text(encoding="utf-8")), path.name)


def parse(tables: dict[str, Any], name: str) -> list[Row]:
    """The rows; raises BadList."""
    unknown = set(tables) - set(KINDS)
    if unknown:
        raise BadList(f"{name}: no kind of row: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    return [
        _row(kind, given, f"{name}: {kind} {number + 1}") for kind in KINDS for number, given in enumerate(tables.get(kind, ()))
    ]


def _row(kind: str, given: dict[str, Any], where: str) -> Row:
    if set(given) - KEYS or not {"opcodes", "reason"} <= set(given):
        raise BadList(
            f"{where}: its keys are {', '.join(given)}; opcodes and reason must be, and there are {', '.join(sorted(KEYS))}"
        )
    fields = frozenset(given.get("fields", FIELDS))
    if not fields <= set(FIELDS):
        raise BadList(f"{where}: no field: {', '.join(sorted(fields - set(FIELDS)))}; there are {', '.join(FIELDS)}")
    try:
        opcodes = frozenset(opcode for text in given["opcodes"].split() for opcode in _range(text))
        prefixes = frozenset(bytes.fromhex(given.get("prefixes", "")))
    except ValueError as error:
        raise BadList(f"{where}: {error}") from None
    operand, needs = given.get("operand", ""), given.get("needs", "")
    return Row(kind == "refused", opcodes, frozenset(given.get("regs", ())), operand, prefixes, fields, needs, given["reason"])


def _range(text: str) -> Iterator[bytes]:
    first, _, last = text.partition("-")
    begin, end = bytes.fromhex(first), bytes.fromhex(last or first)
    if len(begin) != len(end):
        raise ValueError(f"{text} is no range: its ends are not equally long")
    for value in range(int.from_bytes(begin, "big"), int.from_bytes(end, "big") + 1):
        yield value.to_bytes(len(begin), "big")
