"""Compares single instructions of the lists with references, and says what no list of differences explains."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Final, cast

from tools.fuzz import lists, reference, reference_i386, reference_m68k
from tools.fuzz.lists import Row
from tools.fuzz.reference import BATCH, Case, NoReference, Outcome, Reference

REFERENCES: Final[dict[str, ModuleType]] = {"i386": reference_i386, "m68k": reference_m68k}
NAMES: Final = {"i386": "the host's processor", "m68k": "QEMU's m68k"}
SHOWN: Final = 20


@dataclass
class Compared:
    """unexplained: each with what differs. explained: how often each row explained something."""

    cases: int = 0
    encodings: int = 0
    equal: int = 0
    unexplained: list[str] = field(default_factory=list)
    explained: Counter[Row] = field(default_factory=Counter)


def of(architecture: str) -> Reference:
    return cast(Reference, REFERENCES[architecture])


def program(architecture: str, folder: Path) -> Path:
    """The reference, built and tried. NoReference where the host cannot."""
    module = of(architecture)
    try:
        module.check()
        found = module.build(folder)
        module.reference(found, reference.image(Random(0), module.ORDER, module.FILLER), [])
    except (OSError, subprocess.SubprocessError, NoReference) as error:
        raise NoReference(f"there is no reference for the {architecture} here: {error}") from None
    return found


def compare(architecture: str, seed: int, count: int | None, seconds: float, folder: Path, rows: list[Row]) -> Compared:
    """So many encodings of the list (None: all), by chance, each once before any comes twice; no batch begins after `seconds`."""
    module = of(architecture)
    built = program(architecture, folder)
    random = Random(f"{seed} {architecture}")
    order = compared(module)
    count = len(order) if count is None else count
    random.shuffle(order)
    result = Compared()
    deadline = time.monotonic() + seconds
    here = module.Here(b"")
    while result.cases < count and (time.monotonic() < deadline or not result.cases):
        first = result.cases % len(order)
        indices = order[first : first + min(BATCH, count - result.cases)]
        batch(module, built, here, random, indices, rows, result)
    result.encodings = min(result.cases, len(order))
    here.close()
    return result


def compared(module: Reference) -> list[int]:
    """The encodings that the reference can run."""
    return [index for index in range(module.COUNT) if module.is_compared(index)]


def batch(
    module: Reference, built: Path, here: reference.Here, random: Random, indices: list[int], rows: list[Row], result: Compared
) -> None:
    """Runs a case of each encoding on both, and adds what came of it."""
    memory = reference.image(random, module.ORDER, module.FILLER)
    here.alone.image = memory
    cases = [here.cut(module.case(random, index)) for index in indices]
    for each, there in zip(cases, module.reference(built, memory, cases), strict=True):
        ours = here.run(each)
        result.cases += 1
        found = module.difference(each, there, ours)
        if found is None:
            result.equal += 1
            continue
        facts = module.facts(each.index)
        row = next((row for row in rows if row.explains(facts, *found)), None)
        if row is None:
            result.unexplained.append(_text(each, found.fields, there, ours))
        else:
            result.explained[row] += 1


def _text(each: Case, fields: frozenset[str], there: Outcome, here: Outcome) -> str:
    registers = " ".join(f"{value:x}" for value in each.registers)
    return "\n".join(
        (
            f"{each.code.hex()} with {registers} flags {each.flags:x}: {', '.join(sorted(fields))}",
            f"  reference {_shown(each, there)}",
            f"  here      {_shown(each, here)}",
        )
    )


def _shown(each: Case, outcome: Outcome) -> str:
    registers = " ".join("." if a == b else f"{a:x}" for a, b in zip(outcome.registers, each.registers, strict=True))
    changes = " ".join(f"{address:x}={value:x}" for address, value in list(outcome.changes.items())[:6])
    fault = "" if outcome.fault is None else " ".join(f"{number:x}" for number in outcome.fault)
    return f"fault ({fault}) pc {outcome.pc:x} flags {outcome.flags:x} registers {registers} memory {changes}"


def run(architectures: tuple[str, ...], seed: int, count: int | None, seconds: float) -> int:
    """Compares and prints; 1 where anything is unexplained, 2 where there is no reference."""
    status = 0
    for architecture in architectures:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            try:
                rows = lists.load(architecture)
                done = compare(architecture, seed, count, seconds, Path(folder), rows)
            except (NoReference, lists.BadList) as error:
                print(f"fuzz: {error}", file=sys.stderr)
                return 2
        took = time.monotonic() - began
        said = f"{architecture}: {done.cases} cases of {done.encodings} encodings, {done.equal} as on {NAMES[architecture]}"
        print(f"{said}, {done.explained.total()} differ as listed, {len(done.unexplained)} otherwise, {took:.0f} s")
        for row, times in done.explained.most_common():
            print(f"  {times:6} {'refused' if row.refused else 'differs'}: {row.reason}")
        print("\n".join(done.unexplained[:SHOWN]), end="\n" if done.unexplained else "")
        status = status or bool(done.unexplained)
    return int(status)
