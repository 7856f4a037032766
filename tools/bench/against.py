"""What this checkout costs beside another commit: CPU time of both, measured in turn in one run."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
RUNS: Final = 9
RATIO_MAX: Final = 1.05
"""No row may cost more of the CPU time that it cost before."""
INSTRUCTIONS: Final = 10_000_000
CALLS: Final = 200
NOT_THERE: Final = "not there"


class NoCommit(Exception):
    """The message says what to name instead."""


def rows() -> dict[str, Callable[[int], float]]:
    """By their names, what the checkout on the path measures: a cost, by how much shorter the loops shall be."""
    from tools.bench import __main__ as bench
    from tools.bench import clusters, transport
    from tools.bench.loops import loop_us

    found: dict[str, Callable[[int], float]] = {}
    for machine in bench.MACHINES:
        found[f"{machine}: an instruction"] = lambda divisor, machine=machine: (
            1
            / bench.machine_mips(  # type: ignore[misc]
                machine, INSTRUCTIONS // divisor
            )
        )
        for what, name, rounds in (("null trap", "null", bench.TRAPS), *bench.MESSAGES):
            found[f"{machine}: {what}"] = partial(_loop, loop_us, machine, name, rounds)
    found["cluster: a message between two nodes"] = lambda divisor: clusters.message_us(2, max(CALLS // divisor, 3))
    found["cluster: a message at home"] = lambda divisor: clusters.message_us(1, max(CALLS // divisor, 3))
    for what, measure, _ in transport.ROWS:
        found[f"network: {what}"] = partial(_taken, measure)
    return found


def _loop(measure: Callable[[str, str, int], float], machine: str, name: str, rounds: int, divisor: int) -> float:
    return measure(machine, name, max(rounds // divisor, 10))


def _taken(measure: Callable[[int], tuple[float, float]], divisor: int) -> float:
    return measure(divisor)[0]


def serve(divisor: int) -> None:
    """A worker: says its rows' names, and then measures each row that it reads the name of."""
    time.perf_counter = time.process_time
    known = rows()
    print("\t".join(known), flush=True)
    for line in sys.stdin:
        name = line.rstrip("\n")
        print(known[name](divisor) if name in known else NOT_THERE, flush=True)


class Worker:
    """A process that measures a checkout. Its loops count CPU time, not the time that passes."""

    def __init__(self, checkout: Path, divisor: int) -> None:
        path = os.pathsep.join((str(checkout), str(checkout / "servers")))
        command = [sys.executable, str(Path(__file__).resolve()), str(divisor)]
        self.process = subprocess.Popen(
            command, cwd=checkout, env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.names = self._line().split("\t")

    def _line(self) -> str:
        out: IO[str] | None = self.process.stdout
        assert out is not None
        line = out.readline()
        if not line:
            raise NoCommit("the other commit's benchmark cannot be run by this one: name a later commit")
        return line.rstrip("\n")

    def measure(self, name: str) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return float(self._line())

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
        made = subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(place), commit],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise NoCommit(f"{commit}: is no commit of this repository: {made.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(place)], cwd=ROOT, check=True)


def table(commit: str, runs: int, divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, the medians of both, and their ratio; whether no row costs more than RATIO_MAX of what it cost."""
    with checkout_of(commit) as other:
        workers = [Worker(other, divisor), Worker(ROOT, divisor)]
        try:
            names = [name for name in workers[1].names if name in workers[0].names]
            found = {name: [[worker.measure(name) for worker in workers] for _ in range(runs)] for name in names}
        finally:
            for worker in workers:
                worker.close()
    lines = []
    good = True
    for name, pairs in found.items():
        before, now = (statistics.median(column) for column in zip(*pairs, strict=True))
        kept = now <= before * RATIO_MAX
        good = good and kept
        limit = f"at most {RATIO_MAX}: {'kept' if kept else 'NOT KEPT'}"
        lines.append((name, f"{now / before:.3f} of what it was", limit))
    return lines, good


if __name__ == "__main__":
    serve(int(sys.argv[1]))
