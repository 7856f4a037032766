"""Runs each conformance module on a cluster of three nodes while it and its family move at random points, its console at home.

`python -m tools.migrate [--seeds N] [--first SEED] [--arch i386|m68k] [--jobs N] [MODULE ...]`. A run is the same where the
module prints its transcript, or what it prints where it stays on a node, if that is something else already. It moves at least
MOVES times, and first within the first third of its time. tools/migrate_reasons.toml says why modules may differ. Exit status 1
where one differs without a reason, or has a reason and differed in no seed; without names of modules also where too few are the
same, or no thread was taken out of some kind of wait; 2 for a wrong command line. With `--moves N` one task moves N times
instead, and it is said whether it leaves anything behind. With `--faults N` a process moves in N clusters, and in each a node
fails in some step of the move; `--first SEED --faults 1` is one of them again.
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
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

from machemu.abi.errors import InvariantError, UserError
from machemu.kern.waits import WAITS
from masix.migration.report import OUTCOMES
from tests.support import modules
from tests.support.guests import ARCHS, Arch
from tests.support.travellers import GROWTH, travel
from tests.support.wanderers import ASKED, Wandered, stay, wander
from tests.support.witnessed import ROLES, Trial, trial, try_move

REASONS: Final = Path(__file__).with_name("migrate_reasons.toml")
MOVES: Final = 5
TRIES: Final = ((12, False), (24, False), (12, True), (48, True))
"""On how many nodes one after the other a module is to be in its time, and whether it stands still while a move is agreed about.
A run is begun anew where it has fewer than MOVES of them and could be asked for more."""
SHOWN: Final = 12
"""Lines of a difference."""
SHARES: Final = {"i386": Fraction(5, 6), "m68k": Fraction(2, 3)}
"""Of the modules at least so many print the same in each run."""


class Home(NamedTuple):
    """expected: what a module must print. differs: that is not its transcript. time: nanoseconds that it takes."""

    expected: bytes
    differs: bool
    time: int


class Reason(NamedTuple):
    """Why a module may differ. always: it does wherever it moves."""

    text: str
    always: bool


class Run(NamedTuple):
    """wandered: none where it ended by a fault of machemu's. wrong: what is wrong with it, if anything is."""

    seed: int
    wandered: Wandered | None
    wrong: str | None


class Result(NamedTuple):
    """The runs of a module. at_home: it does not print its transcript where it stays."""

    architecture: str
    name: str
    at_home: bool
    runs: list[Run]

    @property
    def differed(self) -> bool:
        return any(run.wrong is not None for run in self.runs)


class Sums:
    """Of all modules so far. same: how many of an architecture's, of how many, printed the same in each run."""

    def __init__(self) -> None:
        self.runs = self.moves = self.differed = 0
        self.waits: Counter[str] = Counter()
        self.modules: Counter[str] = Counter()
        self.same: Counter[str] = Counter()

    def add(self, result: Result) -> None:
        self.modules[result.architecture] += 1
        self.same[result.architecture] += not result.differed
        for _, wandered, wrong in result.runs:
            self.runs += 1
            self.differed += wrong is not None
            if wandered is not None:
                self.moves += len(wandered.moves)
                self.waits.update(wandered.waits)

    def never(self) -> list[str]:
        """The kinds of waits out of which no thread was taken."""
        return [kind.name for kind in WAITS if kind.name not in self.waits]

    def too_few(self) -> list[str]:
        """The architectures of which too few modules printed the same."""
        return [each for each, count in self.modules.items() if self.same[each] < SHARES[each] * count]

    def lines(self) -> list[str]:
        shares = [
            f"{each}: {self.same[each]} of {count} modules the same, at least {SHARES[each]} are to be"
            for each, count in self.modules.items()
        ]
        never = self.never()
        return [
            f"{self.runs} runs: {self.runs - self.differed} the same, {self.differed} not; {self.moves} moves",
            *shares,
            f"waits: {_counted(self.waits)}" + (f"; never: {', '.join(never)}" if never else ""),
        ]


def at_home(arch: Arch, name: str, folder: Path) -> Home:
    """What a module prints where it stays on a node of a cluster."""
    printed, time = stay(arch, name, folder)
    return Home(printed, printed != modules.transcript_of(modules.binary(name, arch.name)).read_bytes(), time)


def moved(arch: Arch, name: str, seed: int, home: Home, folder: Path) -> Run:
    """A run in which a module moves."""
    for stays, is_held in TRIES:
        try:
            run = wander(arch, name, seed, max(home.time // stays, 1), is_held, folder)
        except (InvariantError, UserError) as error:
            return Run(seed, None, f"a fault of machemu's: {error}")
        if len(run.moves) >= MOVES or len(run.moves) + run.others.total() >= ASKED:
            break
    return Run(seed, run, _wrong(run, home))


def _wrong(run: Wandered, home: Home) -> str | None:
    if run.printed != home.expected:
        return _difference(home.expected, run.printed)
    if len(run.moves) < MOVES:
        return f"fewer than {MOVES} moves"
    if run.first is None or run.first > home.time // 3:
        return "the first move is not in the first third of its time"
    return None


def _difference(expected: bytes, printed: bytes) -> str:
    """The first lines that differ, those of the run behind a +."""
    ours, its = (text.decode("latin-1").splitlines() for text in (expected, printed))
    return "it prints something else\n" + "\n".join(list(difflib.unified_diff(ours, its, lineterm="", n=1))[2 : 2 + SHOWN])


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def report(run: Run, reason: Reason | None) -> str:
    """What is said of a run of a module. reason: why it may differ, None where there is none."""
    seed, wandered, wrong = run
    said = "the same" if wrong is None else f"{'differs, and may' if reason else 'DIFFERS'}: {wrong}"
    if wandered is None:
        return f"  seed {seed}: {said}"
    others = "".join(f"; {count} times: {OUTCOMES[outcome]}" for outcome, count in sorted(wandered.others.items()))
    return f"  seed {seed}: {len(wandered.moves)} moves{others}; waits: {_counted(wandered.waits) or 'none'}: {said}"


def reasons(path: Path = REASONS) -> dict[tuple[str, str], Reason]:
    """Why modules may differ, by architecture and module."""
    tables = tomllib.loads(path.read_text())
    return {
        (architecture, name): Reason(text, always)
        for key, always in (("always", True), ("sometimes", False))
        for architecture, texts in tables.get(key, {}).items()
        for name, text in texts.items()
    }


def examine(architecture: str, name: str, seeds: range) -> Result:
    """Runs a module where it stays, and with each seed."""
    arch = ARCHS[architecture]
    with tempfile.TemporaryDirectory() as folder:
        home = at_home(arch, name, Path(folder))
        return Result(architecture, name, home.differs, [moved(arch, name, seed, home, Path(folder)) for seed in seeds])


def run_all(wanted: Sequence[tuple[str, str]], seeds: range, jobs: int, is_whole: bool) -> int:
    """Runs modules, architecture and name each, in so many processes, and says what comes of each; how many things are not as
    they should be. is_whole: the modules are all that there are."""
    sums, why, failed = Sums(), reasons(), 0
    arguments = (*zip(*wanted, strict=True), [seeds] * len(wanted))
    with ProcessPoolExecutor(jobs) as pool:
        for result in pool.map(examine, *arguments) if jobs > 1 else map(examine, *arguments):
            sums.add(result)
            failed += not _as_it_should_be(result, why.get((result.architecture, result.name)))
    print("\n".join(sums.lines()))
    return failed + (len(sums.too_few()) + len(sums.never()) if is_whole else 0)


def _as_it_should_be(result: Result, reason: Reason | None) -> bool:
    """Says what came of a module; whether it differed where and, unless it does so sometimes, only where there is a reason."""
    where = ", compared with what it prints where it stays" if result.at_home else ""
    print(f"{result.architecture} {result.name}{where}")
    for run in result.runs:
        print(report(run, reason))
    is_right = reason is not None if result.differed else reason is None or not reason.always
    if reason is not None and not is_right:
        print(f"  it has a reason in {REASONS.name}, but did not differ: {reason.text}")
    sys.stdout.flush()
    return is_right


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


def faults(seeds: range, jobs: int) -> int:
    """Moves a process while a node fails, and says what became of it; how often something was not as it is promised."""
    wrong = 0
    outcomes: Counter[tuple[str, str, str]] = Counter()
    hit: Counter[str] = Counter()
    with ProcessPoolExecutor(jobs) as pool:
        for seed, (wanted, outcome, error) in zip(seeds, (pool.map if jobs > 1 else map)(_fault, seeds), strict=True):
            hit[wanted.step] += 1
            if error:
                wrong += 1
                print(f"seed {seed}: {wanted}: {error}\n  again: dev.py migrate --first {seed} --faults 1", flush=True)
            else:
                outcomes[ROLES[wanted.node], wanted.what, outcome] += 1
    print(f"{len(seeds)} moves from seed {seeds.start}: {wrong} wrong; in the steps: {_counted(hit)}")
    for (role, what, outcome), count in sorted(outcomes.items()):
        print(f"  {count:6} {role}, {what}: {outcome}")
    return wrong


def _fault(seed: int) -> tuple[Trial, str, str]:
    """A move with a fault: what became of it, and what was wrong."""
    wanted = trial(seed)
    try:
        return wanted, try_move(wanted), ""
    except (AssertionError, InvariantError, UserError) as error:
        return wanted, "", str(error) or "an assertion"


def main(arguments: Sequence[str]) -> int:
    """Runs the modules named, or all."""
    options = argparse.ArgumentParser(prog="migrate", description=__doc__.split("\n")[0])
    options.add_argument("modules", nargs="*", metavar="MODULE", help="names in tests/conformance; all without any")
    options.add_argument("--seeds", type=_count, default=1, help="how many runs of each module (default: 1)")
    options.add_argument("--first", type=int, metavar="SEED", help="the first run's seed (default: any)")
    options.add_argument("--arch", choices=sorted(ARCHS), help="run them on this processor only")
    options.add_argument("--jobs", type=_count, default=1, metavar="N", help="how many modules or moves run at once (default: 1)")
    options.add_argument("--moves", type=_count, metavar="N", help="move one task so many times instead")
    options.add_argument("--faults", type=_count, metavar="N", help="move a process N times instead, while a node fails")
    given = options.parse_args(arguments)
    first = random.SystemRandom().randrange(1 << 32) if given.first is None else given.first
    archs = [arch for arch in ARCHS.values() if given.arch in (None, arch.name)]
    if given.faults is not None:
        return int(faults(range(first, first + given.faults), given.jobs) > 0)
    if given.moves is not None:
        return max([many_moves(arch, first, given.moves) for arch in archs])
    wanted = [(arch.name, name) for arch in archs for name in _names(arch.name, given.modules)]
    unknown = set(given.modules) - {name for _, name in wanted}
    if unknown:
        print(
            f"migrate: there is no module {min(unknown)} in tests/conformance{f'/{given.arch}' if given.arch else ''}",
            file=sys.stderr,
        )
        return 2
    failed = run_all(wanted, range(first, first + given.seeds), given.jobs, not given.modules)
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
