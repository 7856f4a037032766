"""What it costs that idle network servers replicate names: the table of docs/masix.md, but for the host's time.

`python3 tools/dev.py tables names` prints it, with the seconds that the host takes.
"""

from __future__ import annotations

import time

from tests.support.clusters import SECOND, World

SIZES = (8, 16)
START_S = 10
"""Virtual seconds after which all are in one group."""
NODE = """[nodes.n{number}]
memory = "4M"
servers = ["masix.acs.server:Acs", {{ class = "masix.gns.server:Gns"{switch} }}]
nics = {{ eth0 = "lan" }}
"""


def idle(size: int, switch: str, start: int = START_S) -> tuple[int, int, float]:
    """Frames and their bytes on the wire, and the host's seconds, of a virtual second from `start` on."""
    nodes = "".join(NODE.format(number=number, switch=switch) for number in range(1, size + 1))
    with World("[segments.lan]\n" + nodes) as world:
        world.run(start * SECOND)
        world.frames.clear()
        before = time.perf_counter()
        world.run((start + 1) * SECOND)
        return len(world.frames), sum(len(data) for *_, data in world.frames), time.perf_counter() - before


def row(size: int) -> tuple[str, str]:
    """Of the table; and the host's seconds without and with the switch."""
    (without, _, one), (frames, data, other) = idle(size, ""), idle(size, ", replicates = true")
    return f"| {size} | {without} | {frames} | {data * 8 / 1e6:.2f} |", f"{one:.2f} s, {other:.2f} s"


def table() -> str:
    """With the host's seconds beside each row."""
    return "".join(f"{line} {seconds}\n" for line, seconds in map(row, SIZES))
