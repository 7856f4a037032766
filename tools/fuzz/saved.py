"""The hunt for saved clusters that hurt their host: `fuzz --saved`.

Clusters with servers on the host are saved at some moments, and what the files hold is changed, most of it in what the servers
hold. Each is refused, or loads and runs for RUN_NS.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

import zstandard

from machemu.abi.errors import UserError
from machemu.cluster.cluster import Cluster
from machemu.cluster.file import ClusterSpec, parse_file
from tests.support.busy_cluster import IMAGES, TEXT
from tools.fuzz.children import PATIENCE_S, TEXT_MAX, Children, Find, at_once, shortened, signature
from tools.fuzz.saved_changes import Changer

MS: Final = 1_000_000
RUN_NS: Final = 10 * MS
MOMENTS: Final = (4 * MS, 33 * MS, 224 * MS, 275 * MS, 385 * MS, 445 * MS)
"""When the cluster is saved: its servers start, meet and work. At each something is under way that goes on within RUN_NS."""
BATCH: Final = 32
"""Trials that one process makes."""


class Base(NamedTuple):
    """A saved file: its header line, what it holds unpacked, and who changes that."""

    header: bytes
    changer: Changer


@dataclass
class Result:
    """refused, ran: how many trials ended so. finds: those that did neither."""

    find: Find | None = None
    refused: int = 0
    ran: int = 0
    finds: list[list[Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """count: how many trials. seconds: after which none begins. jobs: how many processes at once."""

    seed: int
    count: int
    seconds: float = math.inf
    jobs: int = 1
    patience: float = PATIENCE_S


def bases(spec: ClusterSpec, folder: Path) -> list[Base]:
    """The cluster at its moments."""
    found = []
    path = folder / "base"
    with Cluster(spec) as cluster:
        cluster.boot()
        for moment in MOMENTS:
            cluster.run(moment)
            cluster.save(path)
            header, _, packed = path.read_bytes().partition(b"\n")
            unpacker = zstandard.ZstdDecompressor().decompressobj()
            found.append(Base(header + b"\n", Changer(unpacker.decompress(packed))))
    return found


class Hunter(Children[range, Result]):
    """Makes trials."""

    def __init__(self, seed: int, folder: Path, patience: float = PATIENCE_S) -> None:
        super().__init__(folder, patience)
        self.seed = seed
        self.spec = parse_file(TEXT, IMAGES)
        self.bases = bases(self.spec, folder)

    def broken(self, find: Find) -> Result:
        return Result(find)

    def told(self, find: Find | None, values: dict[str, Any]) -> Result:
        return Result(find, **values)

    def examine(self, job: range) -> Result:
        result = Result()
        for number in job:
            self.board.at("load", number, 0)
            what = self.prepare(number)
            try:
                cluster = Cluster.load(self.saved, self.spec)
            except UserError:
                result.refused += 1
                continue
            except Exception as error:
                result.finds.append([number, "load", signature(error), what, shortened(repr(error))])
                continue
            try:
                self.board.at("run", number, 0)
                cluster.run(cluster.time + RUN_NS)
                result.ran += 1
            except Exception as error:
                inner = innermost(error)
                result.finds.append([number, "run", signature(inner), what, shortened(f"{error!r} {inner!r}")])
            finally:
                cluster.close()
        return result

    def prepare(self, number: int) -> str:
        """Writes a trial's file; says what is changed in it."""
        chooser = random.Random(f"{self.seed} {number}")
        base = chooser.choice(self.bases)
        plain, what = base.changer.change(chooser)
        self.saved.write_bytes(base.header + packed(plain))
        return what


def packed(plain: bytes) -> bytes:
    """What stands behind a file's header, with a right checksum."""
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(plain)


def innermost(error: BaseException) -> BaseException:
    """What an exception came of in the end: a server's fault is told as its author's mistake."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def hunt(options: Options) -> int:
    """Makes the trials, prints what was found, each kind once, and the figures; 1 where there was something."""
    began = time.monotonic()
    totals: Counter[str] = Counter()
    seen: Counter[str] = Counter()

    def work(job: int, out: Connection) -> None:
        with tempfile.TemporaryDirectory() as folder, Hunter(options.seed, Path(folder), options.patience) as hunter:
            for first in range(BATCH * job, options.count, BATCH * options.jobs):
                left = range(first, min(first + BATCH, options.count))
                while left and time.monotonic() - began < options.seconds:
                    result = hunter.run(left)
                    out.send(result)
                    if result.find is None:
                        break
                    left = range(result.find.step + 1, left.stop)

    for result in at_once(options.jobs, work):
        totals.update(refused=result.refused, ran=result.ran)
        if (find := result.find) is not None:
            result.finds.append([find.step, find.run, find.signature, find.kind, find.text])
        for number, phase, name, what, text in result.finds:
            totals["found"] += 1
            seen[f"{phase}: {name}"] += 1
            if seen[f"{phase}: {name}"] == 1:
                print(f"trial {number}, {phase}: {name}\n  {what}\n  {text[:TEXT_MAX]}", flush=True)
    for name, times in seen.most_common():
        print(f"{times:6} {name}")
    seconds = time.monotonic() - began
    count = sum(totals.values())
    print(
        f"{count} saved clusters with {totals['ran']} that ran and {totals['refused']} refused, {totals['found']} found, "
        f"in {seconds:.0f} s, {count / seconds:.1f} a second"
    )
    return int(totals["found"] > 0)


def only(seed: int, number: int) -> int:
    """One trial, in this process, where what it raises is seen whole."""
    with tempfile.TemporaryDirectory() as folder:
        hunter = Hunter(seed, Path(folder))
        print(hunter.prepare(number), flush=True)
        try:
            cluster = Cluster.load(hunter.saved, hunter.spec)
        except UserError as error:
            print(f"refused: {error}")
            return 0
        with cluster:
            cluster.run(cluster.time + RUN_NS)
    return 0
