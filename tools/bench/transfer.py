"""What the memory of a message to another node costs the host, beside one copy of as many bytes."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from machemu.cluster.pcap import Capture
from machemu.sim.output import Output
from tests.support.callers import MS, programs
from tests.support.transfers import START_MS, Taker, transfer_text

SIZE: Final = 64 << 20
COPIES_MAX: Final = 100
"""Memory takes so many times as long as a copy of it at most, without a capture; with one the virtual time is the same."""
SLICE: Final = 20 * MS
ROWS: Final = (("64 MiB of memory between two nodes", False), ("the same with a capture", True))


def copying(size: int) -> float:
    """Seconds of processor time for a copy of so many bytes."""
    began = time.process_time()
    bytes(bytearray(size))
    return time.process_time() - began


def transfer(size: int, captured: bool) -> tuple[float, int]:
    """Seconds of processor time from before the message is sent until it is there, and that virtual time."""
    text = transfer_text(size, looks=False)
    with Cluster(parse_file(text, Path())) as cluster, tempfile.TemporaryDirectory() as folder:
        output = Output.create(Path(folder, "frames"))
        capture = Capture(output, ["lan"])
        if captured:
            cluster.watch(capture.happened)
        cluster.boot()
        cluster.run(START_MS * MS)
        (taker,) = programs(cluster.nodes[0], Taker)
        began = time.process_time()
        while not taker.came:
            cluster.run(cluster.time + SLICE)
        taken = time.process_time() - began
        capture.finish()
        output.close()
        return taken, taker.came[0][2]


def table(runs: int, divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, figures and limit, and whether all are kept. divisor: of the bytes, to see only that all runs."""
    rows, size = [], SIZE // divisor
    found: dict[str, list[tuple[float, float, int]]] = {what: [] for what, _ in ROWS}
    for _ in range(runs):
        for what, captured in ROWS:
            before = copying(size)
            taken, ended = transfer(size, captured)
            found[what].append((taken, taken / statistics.mean((before, copying(size))), ended))
    kept = len({ended for each in found.values() for _, _, ended in each}) == 1
    for what, captured in ROWS:
        seconds, ratio = (statistics.median(column) for column in list(zip(*found[what], strict=True))[:2])
        limit = ""
        if not captured:
            kept = kept and ratio <= COPIES_MAX
            limit = f", at most {COPIES_MAX}: {'kept' if ratio <= COPIES_MAX else 'NOT KEPT'}"
        figure = f"{seconds:.1f} s, {found[what][0][2] / 1e9:.3f} s virtual"
        rows.append((what, figure, f"{ratio:.0f} copies{limit}"))
    return rows, kept
