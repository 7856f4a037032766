"""The hunt for programs that hurt the host: `fuzz --cpu`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from tools.fuzz import report
from tools.fuzz.children import PATIENCE_S, Find, at_once
from tools.fuzz.hunt import Hunter, Result
from tools.fuzz.make import Maker
from tools.fuzz.program import Program
from tools.fuzz.report import Tally
from tools.fuzz.shrink import smallest

ENDLESS: Final = 1 << 40
"""More programs than can be run."""

TELL_S: Final = 60.0
"""So often a hunt says how far it is."""


@dataclass(frozen=True)
class Options:
    """count: how many programs, numbered from `first`. seconds: after which no other one begins; both an architecture.

    patience: as Hunter takes it. jobs: how many run at once.
    """

    seed: int
    architectures: tuple[str, ...]
    count: int
    seconds: float
    first: int = 0
    jobs: int = 1
    patience: float = PATIENCE_S


def only(architecture: str, seed: int, number: int) -> int:
    """Prints what one program is, runs it, and prints what was found; 1 where anything was."""
    program = Maker(architecture, seed).program(number)
    print(report.described(program), flush=True)
    with tempfile.TemporaryDirectory(prefix="machemu-fuzz-") as folder, Hunter(architecture, Path(folder)) as hunter:
        result = hunter.run(program)
        if result.find is not None:
            print(report.found(program, result.find, shrunk(hunter, program, result.find)))
            return 1
    print(f"found nothing; it {result.ended} after {result.instructions} instructions and {result.exceptions or 'no exceptions'}")
    return 0


def hunt(options: Options) -> int:
    """Runs the programs and prints what was found, and figures; 1 where anything was found."""
    found = False
    for architecture in options.architectures:
        with tempfile.TemporaryDirectory(prefix="machemu-fuzz-") as folder:
            tally = _hunt(architecture, options, Path(folder))
        print(report.summary(tally), flush=True)
        found = found or bool(tally.finds)
    return int(found)


def _hunt(architecture: str, options: Options, folder: Path) -> Tally:
    tally = Tally(architecture, options.seed)
    maker = Maker(architecture, options.seed)
    began = time.monotonic()
    tell = began + TELL_S
    with ExitStack() as stack:
        hunter: Hunter | None = None
        for number, result in _results(architecture, options, folder):
            program = maker.program(number)
            tally.add(program, result)
            if time.monotonic() >= tell:
                tell += TELL_S
                print(report.progress(tally, time.monotonic() - began), flush=True)
            find = result.find
            if find is None or len(tally.finds[find.signature]) > 1:
                continue
            if hunter is None:
                hunter = stack.enter_context(Hunter(architecture, folder, options.patience))
            print(report.found(program, find, shrunk(hunter, program, find)), flush=True)
    tally.seconds = time.monotonic() - began
    return tally


def shrunk(hunter: Hunter, program: Program, find: Find) -> Program:
    """The smallest program that was met that is found for the same, itself at worst."""

    def still(candidate: Program) -> bool:
        other = hunter.run(candidate).find
        return other is not None and other.kind == find.kind and (find.kind == "difference" or other.signature == find.signature)

    return smallest(program, still)


def _results(architecture: str, options: Options, folder: Path) -> Iterator[tuple[int, Result]]:
    """The programs' numbers and results, as they come: each job takes every so many-th program."""

    def work(job: int, out: Connection) -> None:
        until = time.monotonic() + options.seconds
        maker = Maker(architecture, options.seed)
        with Hunter(architecture, folder, options.patience) as hunter:
            for number in range(options.first + job, options.first + options.count, options.jobs):
                if time.monotonic() > until:
                    break
                out.send((number, hunter.run(maker.program(number))))

    return at_once(options.jobs, work)
