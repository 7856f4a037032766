"""What a look-up and a call between nodes cost with each of the network server's switches: the table of docs/masix.md.

`python3 tools/dev.py tables calls` prints it.
"""

from __future__ import annotations

from statistics import median

from tests.support.callers import Caller
from tests.support.clusters import MS, SECOND, US, World

SWITCHES = ("", "announces", "introduces", "prepares", "replicates")
FIRST_MS, SECOND_MS = 5000, 5300
NODE = """[nodes.{name}]
memory = "4M"
servers = ["masix.acs.server:Acs", {{ class = "masix.gns.server:Gns"{switch} }}, {server}]
nics = {{ eth0 = "lan" }}
"""
CALLER = '{{ class = "tests.support.callers:Caller", start_ms = {} }}'


def times(world: World, name: str) -> list[int]:
    """Of the caller on a node."""
    (found,) = world.programs(name, Caller)
    return found.times


def cluster(switch: str) -> str:
    """A service on one node, and callers on two others, of which the second is late."""
    servers = ('"tests.support.callers:Answerer"', CALLER.format(FIRST_MS), CALLER.format(SECOND_MS))
    option = f", {switch} = true" if switch else ""
    nodes = [NODE.format(name=name, switch=option, server=server) for name, server in zip("abc", servers, strict=True)]
    return "[segments.lan]\n" + "".join(nodes)


def row(switch: str) -> str:
    with World(cluster(switch)) as world:
        world.run(6 * SECOND)
        cells = []
        for name in "bc":
            start, known, *answers = times(world, name)
            waited = [after - before for before, after in zip([known, *answers], answers, strict=False)]
            frames = sum(start <= time <= known for _, time, _ in world.frames)
            cells += [f"{(known - start) / MS:.2f}", str(frames), str(waited[0] // US), str(median(waited[1:]) // US)]
    name = f"`{switch}`" if switch else "none"
    return f"| {name} | {' | '.join(cells)} |"


def table() -> str:
    columns = "look-up, ms | frames | first call, us | later |"
    head = f"| switch | first node: {columns} second node: {columns}"
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *map(row, SWITCHES)]) + "\n"
