"""The README's picture: what the two tasks of pingpong.elf do in their first rounds, drawn from a run.

`python3 tools/dev.py tables picture` writes docs/pingpong.svg; with `--check` it compares. Time goes down. A bar shows when a
task has the CPU, an arrow a message from its sending to its receipt.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

import machemu
from machemu.trace.events import MessageMoved

PICTURE: Final = Path(__file__).resolve().parent.parent / "docs" / "pingpong.svg"
FIRST: Final = "its thread"
LAST: Final = "back 4"
"""Lines of the console: after the first the picture begins, with the last it ends."""
PING: Final = 1000
"""The id of the tasks' messages."""

WIDTH: Final = 760
TOP: Final = 70
BOTTOM: Final = 30
PIXELS_NS: Final = 1 / 1000
LANES: Final = {1: 130, 0: 380, 2: 630}
"""Where each task's line is; 0 stands for the kernel."""
TITLES: Final = {1: "task 1: ping", 0: "the kernel's console", 2: "task 2: pong"}
COLOURS: Final = {1: "#2563a8", 0: "#555555", 2: "#b0461e"}
STYLE: Final = "text{font:13px sans-serif;fill:#222}.m{text-anchor:middle}.e{text-anchor:end}.t{font-size:11px;fill:#777}"


class Stretch(NamedTuple):
    """A task has the CPU from `begin` to `end`."""

    task: int
    begin: int
    end: int


class Run(NamedTuple):
    """begin, end: of the time that is drawn. lines: what was printed, as time, task and text."""

    begin: int
    end: int
    stretches: tuple[Stretch, ...]
    messages: tuple[tuple[MessageMoved, MessageMoved], ...]
    lines: tuple[tuple[int, int, str], ...]


def watch() -> Run:
    """What happens in the run."""
    stretches: list[Stretch] = []
    sent: dict[int, MessageMoved] = {}
    pairs: list[tuple[MessageMoved, MessageMoved]] = []
    lines: list[tuple[int, int, str]] = []

    def moved(event: MessageMoved) -> None:
        if event.message_id == PING and event.is_sent:
            sent[event.number] = event
        elif event.message_id == PING:
            pairs.append((sent.pop(event.number), event))
        elif event.routine == "device_write_inband" and event.is_sent and event.task:
            text = dict(event.arguments)["data"]
            assert isinstance(text, bytes)
            lines.append((event.time, event.task, text.decode().strip()))

    with machemu.Machine.boot(machemu.example("pingpong.elf")) as machine:
        machine.run(FIRST)
        begin = machine.time
        machine.on("message", moved)
        while LAST not in machine.console.text:
            start, running = machine.time, machine.threads.where(doing="runs")
            machine.step("switch")
            if running:
                stretches.append(Stretch(running[0].task, start, machine.time))
        return Run(begin, machine.time, tuple(stretches), tuple(pairs), tuple(lines))


def picture(run: Run) -> str:
    """The picture as SVG."""
    height = _down(run, run.end) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        "<title>Two Mach tasks send each other messages, and print what they do: a run of pingpong.elf</title>",
        f"<style>{STYLE}</style>",
        '<marker id="a" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto"><path d="M0 0 9 4 0 8Z"/></marker>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for task, across in LANES.items():
        parts.append(f'<text class="m" x="{across}" y="28" style="fill:{COLOURS[task]};font-weight:bold">{TITLES[task]}</text>')
        parts.append(_line(across, 42, across, height - 12, COLOURS[task], 1, 'stroke-dasharray="3 4"'))
    for stretch in run.stretches:
        top, bottom = _down(run, stretch.begin), _down(run, stretch.end)
        across, colour = LANES[stretch.task] - 5, COLOURS[stretch.task]
        parts.append(
            f'<rect x="{across}" y="{top}" width="10" height="{max(2, bottom - top)}" fill="{colour}" fill-opacity=".35"/>'
        )
    for before, after in run.messages:
        parts += _message(run, before, after)
    for time, task, text in run.lines:
        parts += _printed(run, time, task, text)
    return "\n".join([*parts, "</svg>", ""])


def _message(run: Run, before: MessageMoved, after: MessageMoved) -> list[str]:
    """An arrow, with its text above it near the receiver."""
    start, end = _down(run, before.time), _down(run, after.time)
    x1, x2 = LANES[before.task], LANES[after.task]
    side = 7 if x1 < x2 else -7
    inner = x2 - side * 26
    above = start + round((end - start) * (inner - x1) / (x2 - x1)) - 5
    text = f"message {before.message_id} to port {before.remote.number}"
    return [
        _line(x1 + side, start, x2 - side, end, "#222222", 1.5, 'marker-end="url(#a)"'),
        f'<text class="m" x="{x2 - side * 15}" y="{above}">{text}</text>',
        _clock(before.time, before.task, start),
        _clock(after.time, after.task, end),
    ]


def _printed(run: Run, time: int, task: int, text: str) -> list[str]:
    down = _down(run, time)
    side = 8 if LANES[task] < LANES[0] else -8
    edge = LANES[0] - side * 5
    return [
        _line(LANES[task] + side, down, edge, down, COLOURS[task], 1, 'marker-end="url(#a)"'),
        f'<rect x="{LANES[0] - 40}" y="{down - 10}" width="80" height="20" rx="3" fill="#f2f2f2" stroke="#999999"/>',
        f'<text class="m" x="{LANES[0]}" y="{down + 4}" style="font-family:monospace">{escape(text)}</text>',
        _clock(time, task, down),
    ]


def _clock(time: int, task: int, down: int) -> str:
    """A time beside a task's line, on its outer side, in microseconds."""
    left = LANES[task] < LANES[0]
    across = LANES[task] - 14 if left else LANES[task] + 14
    return f'<text class="t{" e" if left else ""}" x="{across}" y="{down + 4}">{time / 1000:.1f} µs</text>'


def _line(x1: int, y1: int, x2: int, y2: int, colour: str, width: float, more: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}" {more}/>'


def _down(run: Run, time: int) -> int:
    """A time's place from the top, in pixels."""
    return TOP + round((time - run.begin) * PIXELS_NS)


def main(arguments: Sequence[str]) -> int:
    """Writes the picture, or with --check compares; 1 where it is old."""
    if list(arguments) not in ([], ["--check"]):
        print("usage: picture [--check]", file=sys.stderr)
        return 2
    text = picture(watch())
    if not arguments:
        PICTURE.write_text(text)
    elif not (PICTURE.is_file() and PICTURE.read_text() == text):
        print("docs/pingpong.svg is not what the run is: run python3 tools/dev.py tables picture", file=sys.stderr)
        return 1
    return 0
