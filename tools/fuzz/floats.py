"""Compares floating-point instructions on operands and states by chance with references: values, flags, stack, exceptions.

What may differ stands in differences_floats.toml: for each architecture rows with `names` of instructions (shell patterns),
`fields`, a `reason`, and `when` where the row is only about some states: "unmasked", those that do not mask all exceptions;
"precision", those that round to less than extended precision.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol, cast

from tools.fuzz import floats_i386, floats_m68k
from tools.fuzz.reference import NoReference

LIST: Final = Path(__file__).with_name("differences_floats.toml")
COUNT: Final = 100_000
BATCH: Final = 5000
SHOWN: Final = 10
WHEN: Final[dict[str, Callable[[int], bool]]] = {
    "": lambda control: True,
    "unmasked": lambda control: ~control & 0x3F != 0,
    "precision": lambda control: control & 0xC0 != 0,
}
"""By the control word or register."""


class Outcome(Protocol):
    """A state; control: the control word or register."""

    @property
    def control(self) -> int: ...


class Case(Protocol):
    """code: one instruction."""

    @property
    def code(self) -> bytes: ...

    @property
    def state(self) -> Outcome: ...


class Here(Protocol):
    def run(self, each: Case) -> Outcome | None: ...

    def close(self) -> None: ...


class Reference(Protocol):
    """The modules floats_i386 and floats_m68k."""

    Here: type[Here]

    def check(self) -> None: ...

    def build(self, folder: Path) -> Path: ...

    def case(self, random: Random) -> Case: ...

    def reference(self, program: Path, cases: Sequence[Case]) -> list[Outcome | None]: ...

    def name(self, each: Case) -> str: ...

    def fields(self, there: Outcome | None, here: Outcome | None) -> Iterator[str]: ...

    def shown(self, state: Outcome | None) -> str: ...


REFERENCES: Final = {"i386": cast(Reference, floats_i386), "m68k": cast(Reference, floats_m68k)}
NAMES: Final = {"i386": "the host's processor", "m68k": "QEMU's m68k"}


@dataclass(frozen=True)
class Row:
    names: tuple[str, ...]
    fields: frozenset[str]
    reason: str
    when: str

    def explains(self, name: str, fields: frozenset[str], control: int) -> bool:
        return fields <= self.fields and WHEN[self.when](control) and any(fnmatch(name, one) for one in self.names)


@dataclass
class Compared:
    """unexplained: each with what differs. explained: how often each row explained something."""

    cases: int = 0
    equal: int = 0
    unexplained: list[str] = field(default_factory=list)
    explained: Counter[Row] = field(default_factory=Counter)


def rows(architecture: str) -> list[Row]:
    tables: dict[str, Any] = tomllib.loads(LIST.read_text(encoding="utf-8"))
    return [
        Row(tuple(row["names"].split()), frozenset(row["fields"]), row["reason"], row.get("when", ""))
        for row in tables[architecture]
    ]


def compare(architecture: str, seed: int, count: int, seconds: float, folder: Path) -> Compared:
    """So many cases; no batch begins after `seconds`. NoReference where the host has none."""
    module = REFERENCES[architecture]
    try:
        module.check()
        program = module.build(folder)
        module.reference(program, [])
    except (OSError, subprocess.SubprocessError, NoReference) as error:
        raise NoReference(f"there is no reference for the {architecture}'s floating point here: {error}") from None
    random = Random(f"{seed} {architecture}")
    listed = rows(architecture)
    found = Compared()
    deadline = time.monotonic() + seconds
    here = module.Here()
    while found.cases < count and (time.monotonic() < deadline or not found.cases):
        cases = [module.case(random) for _ in range(min(BATCH, count - found.cases))]
        for each, there in zip(cases, module.reference(program, cases), strict=True):
            _add(module, each, there, here.run(each), listed, found)
    here.close()
    return found


def _add(module: Reference, each: Case, there: Outcome | None, here: Outcome | None, listed: list[Row], found: Compared) -> None:
    found.cases += 1
    fields = frozenset(module.fields(there, here))
    if not fields:
        found.equal += 1
        return
    name = module.name(each)
    row = next((row for row in listed if row.explains(name, fields, each.state.control)), None)
    if row is not None:
        found.explained[row] += 1
        return
    found.unexplained.append(
        f"{name} ({each.code.hex()}): {', '.join(sorted(fields))}\n  before    {module.shown(each.state)}\n"
        f"  reference {module.shown(there)}\n  here      {module.shown(here)}"
    )


def run(architectures: tuple[str, ...], seed: int, count: int, seconds: float) -> int:
    """Compares and prints; 1 where anything is unexplained, 2 where there is no reference."""
    status = 0
    for architecture in architectures:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = compare(architecture, seed, count, seconds, Path(folder))
            except NoReference as error:
                print(f"fuzz: {error}", file=sys.stderr)
                return 2
        listed, others = found.explained.total(), len(found.unexplained)
        said = f"{architecture}: {found.cases} floating-point instructions, {found.equal} as on {NAMES[architecture]}"
        print(f"{said}, {listed} differ as listed, {others} otherwise, {time.monotonic() - began:.0f} s")
        for row, times in found.explained.most_common():
            print(f"  {times:6} {row.reason}")
        print("\n".join(found.unexplained[:SHOWN]), end="\n" if found.unexplained else "")
        status = status or bool(found.unexplained)
    return int(status)
