"""Runs each conformance module on a cluster of three nodes while it and its family move at random points, its console at home.

`python -m tools.migrate [--seeds N] [--first SEED] [--arch i386|m68k] [MODULE ...]`. A run is the same where the module prints
its transcript, or what it prints where it stays on a node, if that is something else already. It moves at least MOVES times, and
first within the first third of its time. tools/migrate_reasons.toml says why modules may differ. Exit status 1 where one differs
without a reason, or has a reason and differed in no seed; 2 for a wrong command line. With `--moves N` one task moves N times
instead, and it is said whether it leaves anything behind.
"""

from __future__ import annotations

import argparse
import difflib
import random
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from machemu.abi.errors import InvariantError, UserError
from machemu.kern.waits import WAITS
from masix.migration.report import OUTCOMES
from tests.support import modules
from tests.support.guests import ARCHS, Arch
from tests.support.travellers import GROWTH, travel
from tests.support.wanderers import Wandered, stay, wander

REASONS: Final = Path(__file__).with_name("migrate_reasons.toml")
MOVES: Final = 5
STAYS: Final = 12
"""On how many nodes one after the other a module is to be in its time, at first."""
SHOWN: Final = 12
"""Lines of a difference."""
TRIES: Final = 4
"""How often a run is begun, each time with twice as many moves, until there are MOVES of them."""


class Home(NamedTuple):
    """expected: what a module must print. differs: that is not its transcript. time: nanoseconds that it takes."""

    expected: bytes
    differs: bool
    time: int


class Sums:
    """Of all runs so far. differed: how many of a module differed."""

    def __init__(self) -> None:
        self.runs = self.moves = 0
        self.waits: Counter[str] = Counter()
        self.differed: Counter[tuple[str, str]] = Counter()

    def add(self, architecture: str, name: str, run: Wandered | None, wrong: str | None) -> None:
        self.runs += 1
        self.differed[architecture, name] += wrong is not None
        if run is not None:
            self.moves += len(run.moves)
            self.waits.update(run.waits)

    def lines(self) -> list[str]:
        never = [kind.name for kind in WAITS if kind.name not in self.waits]
        return [
            f"{self.runs} runs: {self.runs - self.differed.total()} the same, {self.differed.total()} not; {self.moves} moves",
            f"waits: {_counted(self.waits)}" + (f"; never: {', '.join(never)}" if never else ""),
        ]


def at_home(arch: Arch, name: str, folder: Path) -> Home:
    """What a module prints where it stays on a node of a cluster."""
    printed, time = stay(arch, name, folder)
    return Home(printed, printed != modules.transcript_of(modules.binary(name, arch.name)).read_bytes(), time)


def moved(arch: Arch, name: str, seed: int, home: Home, folder: Path) -> tuple[Wandered | None, str | None]:
    """A run in which a module moves, and what is wrong with it, if anything is. No run where it ended by a fault of machemu's."""
    every = home.time // STAYS
    for _ in range(TRIES):
        try:
            run = wander(arch, name, seed, max(every, 1), folder)
        except (InvariantError, UserError) as error:
            return None, f"a fault of machemu's: {error}"
        if len(run.moves) >= MOVES:
            break
        every //= 2
    if run.printed != home.expected:
        return run, _difference(home.expected, run.printed)
    if len(run.moves) < MOVES:
        return run, f"fewer than {MOVES} moves"
    if run.first is None or run.first > home.time // 3:
        return run, "the first move is not in the first third of its time"
    return run, None


def _difference(expected: bytes, printed: bytes) -> str:
    """The first lines that differ, those of the run behind a +."""
    ours, its = (text.decode("latin-1").splitlines() for text in (expected, printed))
    return "it prints something else\n" + "\n".join(list(difflib.unified_diff(ours, its, lineterm="", n=1))[2 : 2 + SHOWN])


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def report(seed: int, run: Wandered | None, wrong: str | None, reason: str | None) -> str:
    """What is said of a run of a module. reason: why it may differ, None where there is none."""
    said = "the same" if wrong is None else f"{'differs, and may' if reason else 'DIFFERS'}: {wrong}"
    if run is None:
        return f"  seed {seed}: {said}"
    others = "".join(f"; {count} times: {OUTCOMES[outcome]}" for outcome, count in sorted(run.others.items()))
    return f"  seed {seed}: {len(run.moves)} moves{others}; waits: {_counted(run.waits) or 'none'}: {said}"


def reasons(path: Path = REASONS) -> dict[str, dict[str, str]]:
    """Why modules may differ, by architecture and module."""
    return tomllib.loads(path.read_text())


def run_all(arch: Arch, names: Sequence[str], seeds: range, sums: Sums, reason_of: dict[str, str]) -> int:
    """Runs modules, and says what comes of each; how many are not as they should be."""
    failed = 0
    for name in names:
        reason = reason_of.get(name)
        with tempfile.TemporaryDirectory() as folder:
            home = at_home(arch, name, Path(folder))
            where = ", compared with what it prints where it stays" if home.differs else ""
            print(f"{arch.name} {name}{where}", flush=True)
            for seed in seeds:
                run, wrong = moved(arch, name, seed, home, Path(folder))
                sums.add(arch.name, name, run, wrong)
                print(report(seed, run, wrong, reason), flush=True)
        differed = sums.differed[arch.name, name]
        if reason and not differed:
            print(f"  it has a reason in {REASONS.name}, but did not differ: {reason}", flush=True)
        failed += bool(differed) != bool(reason)
    return failed


def many_moves(arch: Arch, seed: int, count: int) -> int:
    """Moves one task so many times, and says what of it is left behind since a fifth of them; 1 where anything is."""
    with tempfile.TemporaryDirectory() as folder:
        early, late = travel(arch, seed, (count // 5, count), Path(folder))
    is_same, grown = early.by_node == late.by_node, late.blocks - early.blocks
    said = "the same" if is_same else "NOT the same"
    print(f"{arch.name}: from move {early.moves} to move {late.moves} the nodes stay {said}")
    print(f"  Python's memory grows by {grown} blocks of {early.blocks}")
    if not is_same:
        print(f"  before: {early.by_node}\n  after: {late.by_node}")
    return int(not is_same or grown >= GROWTH)


def main(arguments: Sequence[str]) -> int:
    """Runs the modules named, or all."""
    options = argparse.ArgumentParser(prog="migrate", description=__doc__.split("\n")[0])
    options.add_argument("modules", nargs="*", metavar="MODULE", help="names in tests/conformance; all without any")
    options.add_argument("--seeds", type=_count, default=1, help="how many runs of each module (default: 1)")
    options.add_argument("--first", type=int, metavar="SEED", help="the first run's seed (default: any)")
    options.add_argument("--arch", choices=sorted(ARCHS), help="run them on this processor only")
    options.add_argument("--moves", type=_count, metavar="N", help="move one task so many times instead")
    given = options.parse_args(arguments)
    first = random.SystemRandom().randrange(1 << 32) if given.first is None else given.first
    archs = [arch for arch in ARCHS.values() if given.arch in (None, arch.name)]
    if given.moves is not None:
        return max([many_moves(arch, first, given.moves) for arch in archs])
    wanted = [(arch, _names(arch.name, given.modules)) for arch in archs]
    unknown = set(given.modules) - {name for _, names in wanted for name in names}
    if unknown:
        print(
            f"migrate: there is no module {min(unknown)} in tests/conformance{f'/{given.arch}' if given.arch else ''}",
            file=sys.stderr,
        )
        return 2
    sums, why = Sums(), reasons()
    seeds = range(first, first + given.seeds)
    failed = sum([run_all(arch, names, seeds, sums, why.get(arch.name, {})) for arch, names in wanted])
    print("\n".join(sums.lines()))
    return int(failed > 0)


def _names(architecture: str, given: Sequence[str]) -> list[str]:
    """The modules of an architecture, or those of them that are given."""
    names = sorted(path.stem for path in (modules.MODULES / architecture).glob("*.elf"))
    return [
        name
        for name in names
        if modules.transcript_of(modules.binary(name, architecture)).exists() and (not given or name in given)
    ]


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few: write a number above 0")
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
