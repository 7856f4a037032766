"""What the hunt for traps says: finds as few calls, and the figures of every trap and routine."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tools.fuzz.children import Find
from tools.fuzz.traps_calls import SUCCESS, Job
from tools.fuzz.traps_table import operations

CALLS_LEAST, SUCCESSES_LEAST = 100, 20
"""What a long hunt makes of each trap and routine."""
LINES_MAX: Final = 40
OTHERS: Final = 3


@dataclass
class Tally:
    """What a hunt did on one architecture. outcomes: by trap or routine. finds: by signature the numbers of the machines."""

    architecture: str
    seed: int
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    finds: dict[str, list[int]] = field(default_factory=dict)
    machines: int = 0
    halts: int = 0
    seconds: float = 0.0

    def add(self, number: int, outcomes: dict[str, dict[str, int]], halts: int) -> None:
        self.machines += 1
        self.halts += halts
        for name, counts in outcomes.items():
            self.outcomes.setdefault(name, Counter()).update(counts)


def found(architecture: str, job: Job, small: Job, find: Find, told: Sequence[str]) -> str:
    """A find, with the last of the calls that show it."""
    text = find.text.splitlines()
    if len(text) > LINES_MAX:
        text = [*text[: LINES_MAX // 2], "...", *text[-LINES_MAX // 2 :]]
    body = [
        *text,
        f"the fewest calls that do it, {small.calls - len(small.skipped)} of {job.calls}, or the last of them:",
        *told,
        f"again: python3 tools/dev.py fuzz --traps --arch {architecture} --seed {job.seed} --only {job.number}",
    ]
    where = f"{find.run}, call {find.step}" if find.run else "before it ran"
    head = f"FOUND {find.signature}\n{architecture}, seed {job.seed}, machine {job.number}: {where}"
    return head + "\n" + textwrap.indent("\n".join(body), "    ")


def summary(tallies: Sequence[Tally]) -> str:
    """The figures of a hunt: a line for each trap and routine, then each architecture's."""
    lines = [f"{'trap or routine':<36}{'calls':>8}{'succeed':>9}  otherwise"]
    all_counts: Counter[str] = Counter()
    few = []
    for name, cannot in names(tallies).items():
        counts = sum((tally.outcomes.get(name, Counter()) for tally in tallies), Counter[str]())
        calls, successes = counts.total(), counts[SUCCESS]
        all_counts.update({"calls": calls, SUCCESS: successes})
        others = [f"{text} {count:,}" for text, count in counts.most_common() if text != SUCCESS][:OTHERS]
        lines.append(f"{name:<36}{calls:>8,}{successes:>9,}  {', '.join(others)}".rstrip())
        if cannot:
            lines.append(f"{'':<8}cannot succeed: {cannot}")
        elif calls < CALLS_LEAST or successes < SUCCESSES_LEAST:
            few.append(name)
    share = 100 * all_counts[SUCCESS] / max(1, all_counts["calls"])
    lines.append(f"{all_counts['calls']:,} calls, of which {all_counts[SUCCESS]:,} ({share:.1f} %) succeed")
    lines.append(f"fewer than {CALLS_LEAST} calls or {SUCCESSES_LEAST} successes: {', '.join(few) or 'none'}")
    for tally in tallies:
        number = sum(map(len, tally.finds.values()))
        lines.append(
            f"{tally.architecture}: {tally.machines:,} machines in {tally.seconds:.0f} s, seed {tally.seed}, each saved, loaded"
            f" and emptied; {tally.halts:,} times halted; {number} finds"
        )
        lines += [
            f"  FOUND {len(numbers)} times: {signature}; machines {', '.join(map(str, numbers[:8]))}"
            for signature, numbers in tally.finds.items()
        ]
    return "\n".join(lines)


def names(tallies: Sequence[Tally]) -> dict[str, str]:
    """Every trap and routine of the architectures, and why it cannot succeed."""
    return {operation.name: operation.cannot for tally in tallies for operation in operations(tally.architecture)}
