"""What becomes of messages under way to a service that moves, in each of the three ways: the table of docs/migration.md.

`python3 tools/dev.py tables under-way` prints it.
"""

from __future__ import annotations

from statistics import median

from masix.gns.ports import Way
from tests.support.clusters import MS, US, World
from tests.support.under_way import CRASH, MOVE, cluster, crash, sent_on, waits

SETTLED = MOVE + 150 * MS


def row(way: Way) -> str:
    with sent_on() as times, World(cluster(way.name.lower(), more=crash("old"))) as world:
        world.run(2500 * MS)
        calls = waits(world)
    before = median(wait for at, wait in calls if at + wait < MOVE)
    longest = max(wait for at, wait in calls if at < SETTLED)
    after = median(wait for at, wait in calls if at >= SETTLED and at + wait < CRASH)
    answered = any(at > CRASH + 100 * MS for at, _ in calls)
    sent = sum(at < SETTLED for at in times)
    cells = (int(before) // US, f"{longest / MS:.1f}", sent, len(times), int(after) // US, "yes" if answered else "no")
    return f"| `{way.name.lower()}` | {' | '.join(map(str, cells))} |"


def table() -> str:
    head = "| messages | call before, us | longest call, ms | sent on at first | in all | call after, us | old home may crash |"
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *map(row, Way)]) + "\n"
