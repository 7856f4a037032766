"""What the hunt says: finds as small reproducers, and the summary."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import capstone

from tools.fuzz.children import Find
from tools.fuzz.hunt import Result
from tools.fuzz.make import END, list_length
from tools.fuzz.program import Program, Step

MODES: Final = {
    "i386": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "m68k": (capstone.CS_ARCH_M68K, capstone.CS_MODE_BIG_ENDIAN | capstone.CS_MODE_M68K_040),
}
REGISTERS: Final = {
    "i386": ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"),
    "m68k": (*(f"d{n}" for n in range(8)), *(f"a{n}" for n in range(8))),
}
LINES_MAX: Final = 40
ZEROS: Final = 4
"""So many of the zeros that lie behind a step's code are shown with it."""


@dataclass
class Tally:
    """What a hunt did on one architecture. finds: by signature the numbers of the programs."""

    architecture: str
    seed: int
    programs: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    listed: set[int] = field(default_factory=set)
    finds: dict[str, list[int]] = field(default_factory=dict)
    saved: int = 0
    instructions: int = 0
    traps: int = 0
    seconds: float = 0.0

    def add(self, program: Program, result: Result) -> None:
        self.programs[program.kind.value] += 1
        self.instructions += result.instructions
        self.traps += result.traps
        self.exceptions.update(result.exceptions)
        self.listed.update(step.listed for step in program.steps[: result.steps] if step.listed is not None)
        self.saved += program.saved
        if result.find is None:
            self.ended[result.ended] += 1
        else:
            self.finds.setdefault(result.find.signature, []).append(program.number)


def disassembled(architecture: str, code: bytes, address: int) -> list[str]:
    """A line an instruction; bytes that are none of capstone's stand alone."""
    machine = capstone.Cs(*MODES[architecture])
    unit = 1 if architecture == "i386" else 2
    lines, place = [], 0
    while place < len(code):
        found = next(machine.disasm(code[place:], address + place, 1), None)
        size = found.size if found is not None else unit
        text = f"{found.mnemonic} {found.op_str}".strip() if found is not None else "?"
        lines.append(f"{address + place:8x}: {code[place : place + size].hex(' '):<30} {text}")
        place += size
    return lines


def described(program: Program) -> str:
    """A program's steps with their states and their code."""
    lines = []
    for number, step in enumerate(program.steps):
        lines += [f"step {number} at {step.address:#x}, flags {step.flags:#x}, {step.instructions} instructions{_more(step)}"]
        names = zip(REGISTERS[program.architecture], step.registers, strict=True)
        text = " ".join(f"{name}={value:x}" for name, value in names)
        lines += textwrap.wrap(text, 110, initial_indent="  ", subsequent_indent="  ")
        lines += [f"  {kind.value}: {' '.join(f'{word:x}' for word in words)}" for kind, words in step.extras]
        ends = step.code.endswith(END[program.architecture])
        shown = step.code if ends else step.code + bytes(ZEROS)
        lines += [f"  code {step.code.hex()}", *disassembled(program.architecture, shown, step.address)]
    return "\n".join(lines)


def _more(step: Step) -> str:
    moves = f", goes on {', '.join(map(str, step.resume))} bytes behind its exceptions" if step.resume else ""
    return moves + (f", number {step.listed} of the list" if step.listed is not None else "")


def found(program: Program, find: Find, small: Program) -> str:
    """A find, with the smallest program that shows it and the command that runs the whole one again."""
    text = find.text.splitlines()
    if len(text) > LINES_MAX:
        text = [*text[: LINES_MAX // 2], "...", *text[-LINES_MAX // 2 :]]
    where = f"run {find.run}, step {find.step}" if find.run else "before it ran"
    who = f"{program.architecture}, seed {program.seed}, program {program.number} ({program.kind.value}), {where}"
    options = f"--arch {program.architecture} --seed {program.seed} --only {program.number}"
    body = [
        *text,
        f"the smallest that does it, {len(small.steps)} of {len(program.steps)} steps:",
        described(small),
        f"again: python3 tools/dev.py fuzz --cpu {options}",
    ]
    head = f"FOUND {find.signature}\n{who}"
    return head + "\n" + textwrap.indent("\n".join(body), "    ")


def progress(tally: Tally, seconds: float) -> str:
    """How far a hunt is."""
    number = sum(map(len, tally.finds.values()))
    return f"{tally.architecture}: {sum(tally.programs.values()):,} programs in {seconds:.0f} s, {number} finds"


def summary(tally: Tally) -> str:
    """The figures of a hunt on one architecture."""
    total = sum(tally.programs.values())
    length = list_length(tally.architecture)
    number = sum(map(len, tally.finds.values()))
    lines = [
        f"{tally.architecture}: {total:,} programs in {tally.seconds:.0f} s, seed {tally.seed}: {_counts(tally.programs)}",
        f"  each ran whole and cut, {tally.saved:,} of them saved and loaded in between; {number} finds",
        f"  {len(tally.listed):,} of {length:,} encodings of the list were run",
        f"  {tally.instructions:,} instructions, {tally.traps:,} traps, {sum(tally.exceptions.values()):,} exceptions",
        *textwrap.wrap(_counts(tally.exceptions), 120, initial_indent="    ", subsequent_indent="    "),
        f"  how they ended: {_counts(tally.ended)}",
    ]
    lines += [
        f"  FOUND {len(numbers)} times: {signature}; programs {_shortened(numbers)}" for signature, numbers in tally.finds.items()
    ]
    return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common())


def _shortened(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
