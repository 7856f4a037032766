"""Looks for guests that hurt their host: `python -m tools.fuzz --cpu`, and for calls that hurt the kernel: `--traps`.

`--oracle` compares random operations with the real kernel. `--reference` runs single instructions on real processors, too, and
looks for what they do otherwise.
"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
from collections.abc import Sequence
from typing import Final

from tools.fuzz import cluster, cpu, floats, native, oracle, saved, traps
from tools.fuzz.world import PROFILES

COUNT: Final = 1000
TRAPS_COUNT: Final = 100_000
SEEDS: Final = 1 << 32


def number(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, 0 or more")
    return int(text)


def positive(text: str) -> int:
    if number(text) == 0:
        raise argparse.ArgumentTypeError("0 is too few")
    return int(text)


def main(arguments: Sequence[str]) -> int:
    """Runs what was asked for; 1 where anything was found, 2 for options that cannot be."""
    options = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    what = options.add_mutually_exclusive_group(required=True)
    what.add_argument("--cpu", action="store_true", help="programs of listed, random and mutated code, whole and cut")
    what.add_argument("--traps", action="store_true", help="every trap and every routine, in machines of 500 calls each")
    what.add_argument("--reference", action="store_true", help="single instructions, here and on the host's CPU or QEMU's m68k")
    what.add_argument(
        "--floats", action="store_true", help="floating-point instructions, here and on the host's CPU or QEMU's m68k"
    )
    what.add_argument("--oracle", action="store_true", help="random operations on the kernel, here and on GNU Mach in QEMU")
    what.add_argument("--saved", action="store_true", help="saved clusters with something changed, loaded and run")
    what.add_argument("--cluster", action="store_true", help="clusters of clients that do at random what they may, with faults")
    options.add_argument("--arch", choices=tuple(PROFILES), help="one architecture instead of both")
    options.add_argument("--seed", type=number, metavar="S", help="what everything is chosen from; without, a fresh one")
    options.add_argument(
        "--count", type=positive, metavar="N", help=f"programs, or calls, per architecture: {COUNT} or {TRAPS_COUNT}"
    )
    options.add_argument("--time", type=positive, metavar="SECONDS", help="no program or machine begins later, per architecture")
    options.add_argument("--only", type=number, metavar="N", help="this program or machine alone, and what it is")
    options.add_argument("--jobs", type=positive, default=1, metavar="N", help="how many programs or machines run at once")
    given = options.parse_args(arguments)
    if given.only is not None and given.saved and given.seed is not None:
        return saved.only(given.seed, given.only)
    if given.only is not None and given.cluster and given.seed is not None:
        return cluster.only(given.seed, given.only)
    if given.oracle:
        return _oracle(options, given)
    if given.only is not None and (given.arch is None or given.seed is None):
        options.error("--only needs --arch and --seed, which chose the program or machine")
    seed = secrets.randbelow(SEEDS) if given.seed is None else given.seed
    architectures = (given.arch,) if given.arch else tuple(PROFILES)
    if (given.reference or given.floats) and (given.only is not None or given.jobs != 1):
        options.error("--only and --jobs are for --cpu and --traps; --reference and --floats show what they find, and run alone")
    if given.only is not None:
        only = traps.only if given.traps else cpu.only
        return only(architectures[0], seed, given.only)
    seconds = math.inf if given.time is None else float(given.time)
    count = given.count or ((TRAPS_COUNT if given.traps else COUNT) if given.time is None else cpu.ENDLESS)
    print(f"fuzz: seed {seed}", flush=True)
    if given.reference:
        return native.run(architectures, seed, given.count, seconds)
    if given.floats:
        return floats.run(architectures, seed, given.count or floats.COUNT, seconds)
    if given.saved:
        return saved.hunt(saved.Options(seed, count, seconds, given.jobs))
    if given.cluster:
        return cluster.hunt(cluster.Options(seed, count, seconds, given.jobs))
    if given.traps:
        return traps.hunt(traps.Options(seed, architectures, count, seconds, given.jobs))
    return cpu.hunt(cpu.Options(seed, architectures, count, seconds, jobs=given.jobs))


def _oracle(options: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    if given.arch == "m68k" or given.jobs != 1:
        options.error("the real kernel runs on an i386 alone, and --oracle without --jobs")
    if given.only is not None and given.seed is None:
        options.error("--only needs --seed, which chose the program")
    seed = secrets.randbelow(SEEDS) if given.seed is None else given.seed
    print(f"fuzz: seed {seed}", flush=True)
    count = given.count or (oracle.COUNT if given.time is None else cpu.ENDLESS)
    return oracle.run(seed, range(count) if given.only is None else (given.only,), given.time or math.inf)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
