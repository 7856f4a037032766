"""The picture of the migration page: the messages by which the managers of two nodes move a task, drawn from a run.

`python3 tools/dev.py tables picture-of-move` writes docs/migration.svg; with `--check` it compares. Time goes down, a line a
message, with its virtual time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import machemu
from machemu.trace.events import MessageMoved
from masix.interfaces import ipc_manager, migration, process_manager, space_manager

PICTURE: Final = Path(__file__).resolve().parent.parent / "docs" / "migration.svg"
FILE: Final = Path(__file__).resolve().parent.parent / "images" / "migrate.toml"
NODES: Final = ("alpha", "beta")
BEGIN: Final = "60ms"
END: Final = "migrate: 8: moved"
LANES: Final = {
    ("alpha", "migrationmanager"): ("migration", 130), ("alpha", "processmanager"): ("process", 240),
    ("alpha", "spacemanager"): ("space", 350), ("alpha", "ipcmanager"): ("IPC", 460),
    ("beta", "ipcmanager"): ("IPC", 600), ("beta", "spacemanager"): ("space", 710),
    ("beta", "processmanager"): ("process", 820), ("beta", "migrationmanager"): ("migration", 930),
}  # fmt: skip
"""Of each manager its title, and where its line is."""
REPLY: Final = 100
ROUTINES: Final = {
    routine.request.id: routine.name
    for module in (ipc_manager, migration, process_manager, space_manager)
    for routine in module.ROUTINES.values()
}
"""The managers' routines, by their requests' ids."""
WIDTH: Final = 1010
TOP: Final = 76
ROW: Final = 22
COLOURS: Final = {"alpha": "#2563a8", "beta": "#b0461e"}
STYLE: Final = "text{font:12px sans-serif;fill:#222}.m{text-anchor:middle}.t{font-size:11px;fill:#777;text-anchor:end}"
Lane = tuple[str, str]


class Arrow(NamedTuple):
    """A message between managers. time: when it was sent, in nanoseconds."""

    time: int
    sender: Lane
    receiver: Lane
    message_id: int


def watch() -> list[Arrow]:
    """The messages of the first move of images/migrate.toml, in the order in which they were sent."""
    under_way: dict[int, list[tuple[int, Lane]]] = {}
    arrows: list[Arrow] = []

    def moved(node: str, event: MessageMoved) -> None:
        lane = node, event.task_name
        known = event.message_id in ROUTINES or event.message_id - REPLY in ROUTINES
        if not known or lane not in LANES:
            return
        waiting = under_way.setdefault(event.message_id, [])
        if event.is_sent:
            waiting.append((event.time, lane))
        elif waiting:
            arrows.append(Arrow(*waiting.pop(0), lane, event.message_id))

    with machemu.Cluster.boot(FILE) as cluster:
        cluster.run(duration=BEGIN)
        for node in NODES:
            cluster.nodes[node].on("message", partial(moved, node))
        cluster.run(END)
    return sorted(arrows)


def picture(arrows: Sequence[Arrow]) -> str:
    """The picture as SVG."""
    height = TOP + ROW * len(arrows) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        "<title>The messages between the managers of two nodes that move a task: a run of migrate.toml</title>",
        f"<style>{STYLE}</style>",
        '<marker id="a" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto"><path d="M0 0 9 4 0 8Z"/></marker>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for node in NODES:
        places = [across for (where, _), (_, across) in LANES.items() if where == node]
        middle = sum(places) // len(places)
        parts.append(f'<text class="m" x="{middle}" y="24" style="fill:{COLOURS[node]};font-weight:bold">{node}</text>')
    for (node, _), (title, across) in LANES.items():
        parts.append(f'<text class="m" x="{across}" y="48" style="fill:{COLOURS[node]}">{title}</text>')
        parts.append(_line(across, 58, across, height - 10, COLOURS[node], 'stroke-dasharray="3 4"'))
    for row, arrow in enumerate(arrows):
        parts += _arrow(arrow, TOP + ROW * row)
    return "\n".join([*parts, "</svg>", ""])


def _arrow(arrow: Arrow, down: int) -> list[str]:
    """A line with its routine's name above it; an answer's has no name, and is dashed."""
    x1, x2 = LANES[arrow.sender][1], LANES[arrow.receiver][1]
    side = 4 if x1 < x2 else -4
    is_request = arrow.message_id in ROUTINES
    more = 'marker-end="url(#a)"' + ("" if is_request else ' stroke-dasharray="5 3"')
    parts = [
        f'<text class="t" x="78" y="{down + 4}">{arrow.time / 1_000_000:.3f} ms</text>',
        _line(x1 + side, down, x2 - side, down, "#222222", more),
    ]
    if is_request:
        parts.append(f'<text class="m" x="{(x1 + x2) // 2}" y="{down - 4}">{ROUTINES[arrow.message_id]}</text>')
    return parts


def _line(x1: int, y1: int, x2: int, y2: int, colour: str, more: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" {more}/>'


def main(arguments: Sequence[str]) -> int:
    """Writes the picture, or with --check compares; 1 where it is old."""
    if list(arguments) not in ([], ["--check"]):
        print("usage: picture-of-move [--check]", file=sys.stderr)
        return 2
    text = picture(watch())
    if not arguments:
        PICTURE.write_text(text)
    elif not (PICTURE.is_file() and PICTURE.read_text() == text):
        print("docs/migration.svg is not what the run is: run python3 tools/dev.py tables picture-of-move", file=sys.stderr)
        return 1
    return 0
