"""The hunt for calls that hurt the kernel: `fuzz --traps`."""

from __future__ import annotations

import math
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from machemu.abi.errors import InvariantError, UserError
from tools.fuzz import traps_report
from tools.fuzz.children import PATIENCE_S, TEXT_MAX, Children, Find, at_once, signature
from tools.fuzz.traps_calls import CALLS, Calls, Job
from tools.fuzz.traps_report import Tally
from tools.fuzz.traps_world import TrapWorld

SHRINK_S: Final = 30.0
TOLD_MAX: Final = 30


@dataclass
class Result:
    """What a machine did. outcomes: by trap or routine how many calls ended how. told: what its calls were."""

    find: Find | None = None
    calls: int = 0
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    halts: int = 0
    told: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """count: how many calls, in whole machines. seconds: after which no other machine begins. Both are an architecture's.

    patience: as Hunter takes it. jobs: how many machines run at once.
    """

    seed: int
    architectures: tuple[str, ...]
    count: int
    seconds: float = math.inf
    jobs: int = 1
    patience: float = PATIENCE_S


class Hunter(Children[Job, Result]):
    """Runs machines of one architecture."""

    def __init__(self, architecture: str, folder: Path, patience: float = PATIENCE_S) -> None:
        super().__init__(folder, patience)
        self.world = TrapWorld(architecture, self.board)

    def __enter__(self) -> Hunter:
        super().__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.world.close()
        super().__exit__(kind, error, trace)

    def broken(self, find: Find) -> Result:
        return Result(find)

    def told(self, find: Find | None, values: dict[str, Any]) -> Result:
        return Result(find, **values)

    def examine(self, job: Job) -> Result:
        """Makes a machine's calls; saves, loads and empties it."""
        world = self.world
        calls = Calls(world, job)
        find = None
        try:
            world.play(calls)
            world.check()
            self.board.at("load", world.step, world.kern.clock.now())
            differs = world.saved_and_loaded(self.saved)
            self.board.at("leak", world.step, world.kern.clock.now())
            left = "" if differs else world.leaves()
            if differs or left:
                find = self.found("load" if differs else "leak", differs or "leak", differs or left)
        except UserError as error:
            find = self.found("load", _plain(str(error).partition(": ")[2]), str(error))
        except InvariantError as error:
            find = self.found("invariant", f"{signature(error)}: {_plain(str(error))}", traceback.format_exc()[-TEXT_MAX:])
        except BaseException as error:
            find = self.found("traceback", signature(error), traceback.format_exc()[-TEXT_MAX:])
        outcomes = {name: dict(counts) for name, counts in calls.outcomes.items()}
        return Result(find, sum(sum(counts.values()) for counts in outcomes.values()), outcomes, world.halts, calls.told or [])


def _plain(text: str) -> str:
    """A message without its numbers, so that one fault says the same in every machine."""
    return " ".join("N" if any(map(str.isdigit, word)) else word for word in text.split())


def only(architecture: str, seed: int, number: int) -> int:
    """Prints what one machine's calls are, and what was found; 1 where anything was."""
    with tempfile.TemporaryDirectory(prefix="machemu-fuzz-") as folder, Hunter(architecture, Path(folder)) as hunter:
        job = Job(seed, number, tells=True)
        result = hunter.run(job)
        print("\n".join(result.told))
        if result.find is not None:
            print(found(hunter, job, result.find))
            return 1
    print(f"found nothing in {result.calls} calls")
    return 0


def hunt(options: Options) -> int:
    """Runs the machines and prints what was found, and figures; 1 where anything was found."""
    tallies = [_hunt(architecture, options) for architecture in options.architectures]
    print(traps_report.summary(tallies), flush=True)
    return int(any(tally.finds for tally in tallies))


def _hunt(architecture: str, options: Options) -> Tally:
    tally = Tally(architecture, options.seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="machemu-fuzz-") as name, Hunter(architecture, Path(name)) as hunter:
        for number, result in _results(architecture, options, Path(name)):
            tally.add(number, result.outcomes, result.halts)
            find = result.find
            if find is None:
                continue
            tally.finds.setdefault(find.signature, []).append(number)
            if len(tally.finds[find.signature]) == 1:
                print(found(hunter, Job(options.seed, number), find), flush=True)
    tally.seconds = time.monotonic() - began
    return tally


def _results(architecture: str, options: Options, folder: Path) -> Iterator[tuple[int, Result]]:
    """The machines' numbers and results, as they come: each job takes every so many-th machine."""

    def work(job: int, out: Connection) -> None:
        until = time.monotonic() + options.seconds
        with Hunter(architecture, folder, options.patience) as hunter:
            for number in range(job, -(-options.count // CALLS), options.jobs):
                if time.monotonic() > until:
                    break
                out.send((number, hunter.run(Job(options.seed, number))))

    return at_once(options.jobs, work)


def found(hunter: Hunter, job: Job, find: Find) -> str:
    """A find, with the fewest calls that were met that show it, and the command that makes all of them again."""
    small = shrunk(hunter, job, find)
    result = hunter.run(Job(job.seed, job.number, small.calls, small.skipped, True))
    return traps_report.found(hunter.world.architecture, job, small, result.find or find, result.told[-TOLD_MAX:])


def shrunk(hunter: Hunter, job: Job, find: Find, seconds: float = SHRINK_S) -> Job:
    """The machine with the fewest calls that was met that is found for the same, itself at worst."""
    until = time.monotonic() + seconds
    kept = list(range(1, (find.step if 0 < find.step <= job.calls else job.calls) + 1))
    calls = len(kept)

    def still(steps: list[int]) -> bool:
        skipped = frozenset(range(1, calls + 1)).difference(steps)
        other = hunter.run(Job(job.seed, job.number, calls, skipped)).find
        return other is not None and other.signature == find.signature

    if not still(kept):
        return job
    size = len(kept) // 2
    while size and time.monotonic() < until:
        place = 0
        while place < len(kept) and time.monotonic() < until:
            fewer = kept[:place] + kept[place + size :]
            if still(fewer):
                kept = fewer
            else:
                place += size
        size //= 2
    return Job(job.seed, job.number, calls, frozenset(range(1, calls + 1)).difference(kept))
