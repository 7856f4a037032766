"""What a snapshot of a machine and going back to it cost, beside saving it to a file and loading that.

`python3 -m tools.bench.snapshots [COUNT]` goes back COUNT times, 10,000 without one, and tells by how much the process has grown.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules
from machemu.boot.node import Node
from machemu.machine.profile import DEFAULT_PROFILES, load_profile
from tools.bench.clusters import resident
from tools.bench.loops import IMAGES

TRAPS: Final = 40
"""pingpong is in the middle of its messages then."""
RAM: Final = 8 << 20


GROWN_MAX: Final = 4 << 20
"""Bytes by which a process may grow while its machine goes back again and again."""
WARM_UP: Final = 200
"""Rounds before the process is measured: the allocator has its arenas, and the engine has translated what runs."""


@contextmanager
def pingpong(architecture: str) -> Iterator[Node]:
    """A machine in the middle of its messages."""
    with Node(load_profile(DEFAULT_PROFILES[architecture]), RAM) as node:
        boot_modules(node.kernel, [f"{IMAGES / architecture / 'pingpong.elf'} {DEFAULT_LINE}"], {})
        node.kernel.run(traps=TRAPS)
        yield node


def ratio(architecture: str, rounds: int) -> float:
    """Processor time of `rounds` snapshots and restores of pingpong's machine, in that of as many saves and loads.

    One after the other, so that each pays for collecting the garbage that it makes itself.
    """
    with tempfile.TemporaryDirectory() as folder, pingpong(architecture) as node:
        path = Path(folder, "machine")
        node.restore(node.snapshot())
        began = time.process_time()
        for _ in range(rounds):
            node.restore(node.snapshot())
        in_memory = time.process_time() - began
        in_file = 0.0
        for _ in range(rounds):
            began = time.process_time()
            node.save(path)
            loaded = Node.load(path)
            in_file += time.process_time() - began
            loaded.close()
        return in_memory / in_file


def grown(architecture: str, rounds: int) -> int:
    """Bytes by which the process has grown after `rounds` snapshots, each gone back to after a trap."""
    with pingpong(architecture) as node:
        for count in (WARM_UP, rounds):
            gc.collect()
            before = resident()
            for _ in range(count):
                earlier = node.snapshot()
                node.kernel.run(traps=1)
                node.restore(earlier)
        gc.collect()
        return resident() - before


def main(arguments: list[str]) -> int:
    """Goes back as often as the argument says, on each machine; 1 where the process has grown."""
    rounds = int(arguments[0]) if arguments else 10_000
    worst = 0
    for architecture in DEFAULT_PROFILES:
        began = time.process_time()
        size = grown(architecture, rounds)
        seconds = time.process_time() - began
        worst = max(worst, size)
        print(f"{architecture}: {rounds} snapshots and restores, {size >> 10} KiB more, {seconds / rounds * 1e3:.2f} ms each")
    return int(worst > GROWN_MAX)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
