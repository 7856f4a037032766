"""What this checkout costs beside another commit: CPU time of both, measured in turn in one run."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from runpy import run_path
from typing import IO, Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
RUNS: Final = 9
PROCESSES: Final = 3
"""Processes of each checkout that share a row's runs: the same work costs up to 8 % more in one than in another."""
RATIO_MAX: Final = 1.05
"""No row may cost more of the CPU time that it cost before."""
INSTRUCTIONS: Final = 10_000_000
CALLS: Final = 200
QUESTIONS: Final = 100
TRACED: Final = 10_000
SNAPSHOTS: Final = 100
NODES: Final = 4
NAMERS: Final = 16
PACE: Final = 100_000
"""Rounds of the fixed work beside each measurement."""
NOT_THERE: Final = "not there"
OWN_PACE: Final = "a snapshot and going back"
"""A row that is a ratio to other work of the same moment already."""


class NoCommit(Exception):
    """The message says what to name instead."""


Measure = Callable[[int], float]
"""A cost, by how much shorter the loops shall be."""


def rows() -> dict[str, Measure]:
    """By their names, what the checkout on the path measures. What an older one has not is not there."""
    found: dict[str, Measure] = {}
    for group in (kernel_rows, start_rows, snapshot_rows, cluster_rows, network_rows, name_rows):
        with suppress(ImportError, AttributeError):
            found |= group()
    return found


def kernel_rows() -> dict[str, Measure]:
    from tools.bench import __main__ as bench
    from tools.bench.loops import loop_us

    traced_us = run_path(str(Path(__file__).with_name("traced.py")))["us"]
    found: dict[str, Measure] = {}
    for machine, bare in bench.MACHINES.items():
        found[f"{machine}: an instruction"] = partial(_instruction, bench.machine_mips, machine)
        for what, name, rounds in (("null trap", "null", bench.TRAPS), *bench.MESSAGES):
            found[f"{machine}: {what}"] = partial(_loop, loop_us, machine, name, rounds)
        found[f"{machine}: an instruction of a traced thread"] = partial(_shorter, partial(traced_us, bare), TRACED)
    return found


def start_rows() -> dict[str, Measure]:
    from tools.bench.__main__ import MACHINES
    from tools.bench.loops import start_s

    return {f"{machine}: start to first output": partial(_of_children, start_s, machine) for machine in MACHINES}


def snapshot_rows() -> dict[str, Measure]:
    from tools.bench import snapshots
    from tools.bench.__main__ import MACHINES

    return {f"{machine}: {OWN_PACE}": partial(_shorter, partial(snapshots.ratio, machine), SNAPSHOTS) for machine in MACHINES}


def cluster_rows() -> dict[str, Measure]:
    from tools.bench import clusters

    return {
        "cluster: a message between two nodes": partial(_shorter, partial(clusters.message_us, 2), CALLS),
        "cluster: a message at home": partial(_shorter, partial(clusters.message_us, 1), CALLS),
        "cluster: boot of a node": lambda divisor: clusters.measure(NODES, 3)["boot"],
        "cluster: a frame": lambda divisor: _frame(clusters.measure(NODES, max(QUESTIONS // divisor, 3))),
    }


def network_rows() -> dict[str, Measure]:
    from tools.bench import transport

    return {f"network: {what}": partial(_taken, measure) for what, measure, _ in transport.ROWS}


def name_rows() -> dict[str, Measure]:
    from tools.costs import names

    what = f"names: an idle second of {NAMERS} nodes that replicate"
    return {what: lambda divisor: names.idle(max(NAMERS // divisor, 2), ", replicates = true")[2]}


def _instruction(mips: Callable[[str, int], float], machine: str, divisor: int) -> float:
    return 1 / mips(machine, INSTRUCTIONS // divisor)


def _loop(measure: Callable[[str, str, int], float], machine: str, name: str, rounds: int, divisor: int) -> float:
    return measure(machine, name, max(rounds // divisor, 10))


def _shorter(measure: Callable[[int], float], count: int, divisor: int) -> float:
    return measure(max(count // divisor, 3))


def _of_children(measure: Callable[[str], object], machine: str, divisor: int) -> float:
    """CPU seconds of the processes that a measurement starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    measure(machine)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _frame(figures: dict[str, float]) -> float:
    return figures["run"] / figures["frames"]


def _taken(measure: Callable[[int], tuple[float, float]], divisor: int) -> float:
    return measure(divisor)[0]


def pace() -> float:
    """CPU seconds of work that no checkout changes. What a busy host slows down beside a measurement, it slows down too."""
    began = time.process_time()
    kept: dict[int, bytes] = {}
    for number in range(PACE):
        kept[number & 1023] = number.to_bytes(8, "little")
    return time.process_time() - began


def serve(divisor: int) -> None:
    """A worker: says its rows' names, and then measures each row that it reads the name of."""
    time.perf_counter = time.process_time
    known = rows()
    print("\t".join(known), flush=True)
    for line in sys.stdin:
        print(known[line.rstrip("\n")](divisor), flush=True)


class Worker:
    """A process that measures a checkout. Its loops count CPU time, not the time that passes."""

    def __init__(self, checkout: Path, divisor: int) -> None:
        path = os.pathsep.join((str(checkout), str(checkout / "servers")))
        environment = os.environ | {"PYTHONPATH": path}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else a start is the compilation of all sources
        command = [sys.executable, str(Path(__file__).resolve()), str(divisor)]
        self.checkout = checkout
        self.process = subprocess.Popen(
            command, cwd=checkout, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.names = self._line().split("\t")

    def _line(self) -> str:
        out: IO[str] | None = self.process.stdout
        assert out is not None
        line = out.readline()
        if not line:
            raise NoCommit(f"the benchmark of {self.checkout} ended, as it says above: name a later commit")
        return line.rstrip("\n")

    def measure(self, name: str) -> tuple[float, float]:
        """A row's cost, and the same in the time of fixed work beside it: done here, since it differs from worker to worker."""
        assert self.process.stdin is not None
        before = pace()
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        cost = float(self._line())
        return cost, cost if name.endswith(OWN_PACE) else cost / (before + pace())

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@contextmanager
def checkout_of(commit: str) -> Iterator[Path]:
    """A commit's files in a folder that goes afterwards. NoCommit where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "checkout"
        command = ["git", "worktree", "add", "--quiet", "--detach", str(place), f"{commit}^{{commit}}"]
        try:
            made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise NoCommit(f"{commit}: cannot be checked out: git is not installed") from None
        if made.returncode:
            raise NoCommit(f"{commit}: is no commit of this repository: {made.stderr.strip()}")
        try:
            if (place / "machemu" / "machine" / "accel").exists():
                build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
                subprocess.run(build, cwd=place, check=True)
            yield place
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(place)], cwd=ROOT, check=True)


def table(commit: str, runs: int, divisor: int, only: str = "") -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, the ratio of the medians, and a mark; whether no row costs more than RATIO_MAX of what it cost.

    only: a part of the names of the rows that are measured. A row that one of both has not is listed and not compared.
    """
    with checkout_of(commit) as other:
        pairs = [(Worker(other, divisor), Worker(ROOT, divisor)) for _ in range(min(PROCESSES, runs))]
        try:
            before, now = ([name for name in worker.names if only in name] for worker in pairs[0])
            lines, good = [], True
            for name in (name for name in now if name in before):
                row, kept = compared(name, *_in_turn(pairs, name, runs))
                lines.append(row)
                good = good and kept
        finally:
            for worker in chain(*pairs):
                worker.close()
    lines += [(name, NOT_THERE, f"not compared: {commit} has it not") for name in now if name not in before]
    lines += [(name, NOT_THERE, "not compared: this checkout has it not") for name in before if name not in now]
    return lines, good


def _in_turn(pairs: Sequence[tuple[Worker, Worker]], name: str, runs: int) -> tuple[list[tuple[float, float]], ...]:
    """What each checkout measures; who is first changes from run to run."""
    found: tuple[list[tuple[float, float]], ...] = ([], [])
    for run in range(runs):
        for number in (0, 1) if run % 2 else (1, 0):
            found[number].append(pairs[run % len(pairs)][number].measure(name))
    return found


def compared(
    name: str, before: Sequence[tuple[float, float]], now: Sequence[tuple[float, float]]
) -> tuple[tuple[str, str, str], bool]:
    """A row of the table; whether it costs at most RATIO_MAX of what it cost before."""
    (was, was_paced), (is_, is_paced) = ([statistics.median(column) for column in zip(*of, strict=True)] for of in (before, now))
    kept = is_paced <= was_paced * RATIO_MAX
    mark = "" if kept else f"SLOWER: at most {RATIO_MAX}"
    return (name, f"{is_paced / was_paced:.3f} of what it was ({was:.4g} -> {is_:.4g})", mark), kept


if __name__ == "__main__":
    serve(int(sys.argv[1]))
