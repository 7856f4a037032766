"""Runs generated histories of generic processes against a model, for both stores of their table, and counts what operations cost.

`python -m tools.generic [--histories N | --tree N] [--seed SEED] [--store replicated|paged] [--costs]`. History I has the seed
SEED + I, and is the same run again. Each operation is compared with the model when it is done, all entries at the end, and at
no time may two copies of a process run. With --tree a process on each architecture has N children with N children each, all
of which move between four nodes and are waited for. Exit status 1 where something differed; 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.support.families import try_tree
from tests.support.generic_histories import STORES, history, run
from tests.support.guests import ARCHS
from tools.costs import processes


def check(store: str, seeds: range) -> int:
    """Runs the histories of one store, and says what came out; how many were wrong."""
    wrong, faulty = 0, 0
    outcomes: Counter[str] = Counter()
    for seed in seeds:
        wanted = history(seed)
        faulty += wanted.faulty
        try:
            world = run(store, wanted)
        except AssertionError as error:
            wrong += 1
            print(
                f"{store}: seed {seed}: {error}\n  again: dev.py generic --store {store} --seed {seed} --histories 1", flush=True
            )
            continue
        for (_, outcome), count in world.outcomes.items():
            outcomes[outcome] += count
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{store}: {len(seeds)} histories from seed {seeds.start}, {faulty} with faults: {wrong} wrong")
    print(f"  {outcomes.total()} operations: {counts}", flush=True)
    return wrong


def tree(children: int) -> int:
    """Runs a tree of processes on both architectures; on how many something was wrong."""
    wrong = 0
    for arch in ARCHS.values():
        begin = time.process_time()
        try:
            took = try_tree(arch, children)
        except AssertionError as error:
            wrong += 1
            print(f"{arch.name}: {error}", flush=True)
        else:
            cost = time.process_time() - begin
            said = f"{1 + children + children**2} processes, all waited for, nothing left"
            print(f"{arch.name}: {said}; {took / 1e9:.1f} s, {cost:.0f} s of a processor", flush=True)
    return wrong


def main(arguments: Sequence[str]) -> int:
    options = argparse.ArgumentParser(prog="generic", description=__doc__.split("\n")[0])
    options.add_argument("--histories", type=_count, default=100, metavar="N", help="how many for each store (default: 100)")
    options.add_argument("--tree", type=_count, metavar="N", help="run a process with N children that have N each instead")
    options.add_argument("--seed", type=int, help="the first history's (default: any)")
    options.add_argument("--store", choices=STORES, help="this one alone")
    options.add_argument("--costs", action="store_true", help="show what operations cost, too")
    given = options.parse_args(arguments)
    first = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    if given.tree is not None:
        return int(tree(given.tree) > 0)
    seeds = range(first, first + given.histories)
    wrong = sum([check(store, seeds) for store in STORES if given.store in (None, store)])
    if given.costs:
        print(processes.table(), end="")
    return int(wrong > 0)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few: write a number above 0")
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
