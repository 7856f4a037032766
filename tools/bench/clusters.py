"""What nodes, frames and messages of a cluster cost, by the number of nodes; each number is measured in a process of its own."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from tests.support.callers import CALLS_MS, MACHINES, MS, Caller, calls_text, programs

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SIZES: Final = (2, 4, 8, 16, 32, 64, 128)
QUESTIONS: Final = 100
SECOND: Final = 1_000_000_000
IDLE_S: Final = 3600
RSS_MAX: Final = 2 << 30
RSS_NODES: Final = 64
"""So many nodes stay within so many bytes."""
TOLERANCE: Final = 2.5
"""How much worse than n log n the whole may grow: caches of the host count too."""
CALLS_SLICE: Final = MS
"""Nanoseconds after which it is looked whether calls have ended."""


def cluster_text(count: int, questions: int) -> str:
    """So many nodes of their profiles' memory, of both machines in turn: each odd one asks the one after it."""
    nodes = ["[segments.lan]\n"]
    for n in range(1, count + 1):
        role = f"ask {questions} {n + 1}" if n % 2 else "answer"
        machine = MACHINES[n // 2 % 2]
        line = f"images/{machine}/ether.elf ${{host-port}} ${{device-port}} {role} $(task-create) $(task-resume)"
        nodes.append(f"[nodes.n{n}]\nmodules = ['{line}']\nnics = {{ eth0 = 'lan' }}\n")
    return "".join(nodes)


def message_us(count: int, calls: int) -> float:
    """Host microseconds a message between tasks, of which each call takes two; the look-up before is not counted."""
    pairs = max(count // 2, 1)
    with Cluster(parse_file(calls_text(count, calls), ROOT)) as cluster:
        cluster.boot()
        cluster.run(CALLS_MS * MS)
        began = time.perf_counter()
        while sum(len(caller.times) == calls + 2 for caller in callers(cluster)) < pairs:
            cluster.run(cluster.time + CALLS_SLICE)
        return (time.perf_counter() - began) / (2 * calls * pairs) * 1e6


def callers(cluster: Cluster) -> list[Caller]:
    return [caller for node in cluster.nodes for caller in programs(node, Caller)]


def measure(count: int, questions: int) -> dict[str, float]:
    """boot: seconds a node until it waits. bytes: resident ones a node. frames and run: how many, and seconds.

    idle: seconds that an hour takes in which every node waits. memory: resident bytes of the whole process, with digest.
    message: microseconds of one between tasks of two nodes.
    """
    spec = parse_file(cluster_text(count, questions), ROOT)
    before = resident()
    began = time.perf_counter()
    with Cluster(spec) as cluster:
        cluster.boot()
        cluster.run(SECOND // 50)
        booted = time.perf_counter()
        bytes_ = (resident() - before) / count
        frames = cluster.segments[0].frames
        cluster.run(1000 * SECOND)
        ran = time.perf_counter()
        frames = cluster.segments[0].frames - frames
        cluster.run(cluster.time + IDLE_S * SECOND)
        idled = time.perf_counter()
        cluster.digest()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "boot": (booted - began) / count,
        "bytes": bytes_,
        "frames": frames,
        "run": ran - booted,
        "idle": idled - ran,
        "memory": peak,
        "message": message_us(count, questions),
    }


def resident() -> int:
    """Bytes of the host's memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def table(divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, figures and limit, and whether the limits were kept."""
    questions = max(QUESTIONS // divisor, 3)
    found = {}
    for count in SIZES:
        command = [sys.executable, "-m", "tools.bench.clusters", str(count), str(questions)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        found[count] = json.loads(done.stdout)
    rows = []
    home = message_us(1, questions * 10)
    for count, figures in found.items():
        us = figures["run"] / figures["frames"] * 1e6
        text = f"{figures['boot'] * 1e3:.0f} ms, {figures['bytes'] / 2**20:.1f} MiB; {us:.0f} us; {figures['idle'] * 1e3:.1f} ms"
        text += f"; {figures['message']:.0f} us, {figures['message'] / home:.0f} times one at home"
        limit = ""
        if count == RSS_NODES:
            limit = f"{figures['memory'] / 2**20:.0f} MiB in all, at most 2048: {kept(figures['memory'] <= RSS_MAX)}"
        rows.append((f"{count} nodes", text, limit))
    first, last = SIZES[0], SIZES[-1]
    growth = found[last]["run"] / found[first]["run"] / (last * math.log(last) / (first * math.log(first)))
    rows.append(("their frames", f"{growth:.1f} times n log n over {last // first} times the nodes", kept(growth <= TOLERANCE)))
    return rows, growth <= TOLERANCE and found[RSS_NODES]["memory"] <= RSS_MAX


def kept(good: bool) -> str:
    return "kept" if good else "NOT KEPT"


if __name__ == "__main__":
    print(json.dumps(measure(*map(int, sys.argv[1:]))))
