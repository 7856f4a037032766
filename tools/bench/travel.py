"""What going back costs: one step back, from the end of a run and from ten random points of it, beside the whole run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from machemu import Cluster, Machine
from tools.bench.clusters import resident
from tools.bench.loops import IMAGES

TRAPS: Final = 10_000_000
CLUSTER_TRAPS: Final = 1_000_000
"""Of four nodes in sum."""
NODES: Final = ("alpha", "beta", "gamma", "delta")
POINTS: Final = 10
BACK_MAX: Final = 0.01
"""A step back takes this part of the run at most."""
MEMORY_MAX: Final = 512 << 20
"""Bytes by which the process grows at most."""
LOOP: Final = "bench.elf ${host-port} ${device-port} null 4000000000 $(task-create) $(task-resume)"


def timed(what: Callable[[], object]) -> float:
    """Seconds of processor time."""
    began = time.process_time()
    what()
    return time.process_time() - began


def machine(architecture: str, traps: int) -> tuple[tuple[str, str, str], bool]:
    """As `row`."""
    chooser = random.Random(traps)
    with Machine.boot([LOOP], folder=IMAGES / architecture) as made:
        before = resident()
        run = timed(lambda: made.run(traps=traps))
        steps = [timed(made.back)]
        for _ in range(POINTS):
            made.seek(chooser.randrange(traps // 100, traps))
            steps.append(timed(made.back))
        return row(architecture, traps, run, steps, resident() - before)


def cluster(traps: int) -> tuple[tuple[str, str, str], bool]:
    """As `row`, of four nodes on a segment, two of each CPU."""
    chooser = random.Random(traps)
    with TemporaryDirectory() as folder:
        path = Path(folder, "four.toml")
        nodes = (
            f'[nodes.{name}]\nmodules = ["{IMAGES / cpu / LOOP}"]\nmemory = "2M"\nnics = {{ eth0 = "lan" }}\n'
            for name, cpu in zip(NODES, ("i386", "m68k") * 2, strict=True)
        )
        path.write_text("[segments.lan]\n" + "".join(nodes))
        with Cluster.boot(path) as made:
            before, began = resident(), time.process_time()
            while sum(node.kernel.trap_count for node in made.nodes.values()) < traps:
                made.run(duration="10ms")
            run = time.process_time() - began
            end = made.time
            steps = [timed(lambda: made.back(chooser.choice(NODES)))]
            for _ in range(POINTS):
                made.go(made.point._replace(time=chooser.randrange(end // 100, end)))
                steps.append(timed(lambda: made.back(chooser.choice(NODES))))
            return row("four nodes", traps, run, steps, resident() - before)


def row(what: str, traps: int, run: float, steps: list[float], grown: int) -> tuple[tuple[str, str, str], bool]:
    """A row of the table, and whether its limits are kept."""
    worst = max(steps)
    figure = f"{steps[0]:.3f} s; {worst:.3f} s; {worst / run:.4f} of {run:.1f} s; {grown >> 20} MiB"
    limit = f"{BACK_MAX} of the run; {MEMORY_MAX >> 20} MiB"
    return (f"a step back in {traps:,} traps, {what}", figure, limit), worst <= BACK_MAX * run and grown <= MEMORY_MAX


def table(divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """The rows, and whether all limits are kept. divisor: of the traps, where it is only to be seen that all runs."""
    made = [machine("i386", TRAPS // divisor), machine("m68k", TRAPS // divisor), cluster(CLUSTER_TRAPS // divisor)]
    return [each for each, _ in made], all(kept for _, kept in made)
