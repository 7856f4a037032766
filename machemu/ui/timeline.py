"""What several nodes print, in the order of virtual time, each line with the node's name before it."""

from __future__ import annotations

import io
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

COLOURS = (36, 33, 35, 32, 34, 31)
"""ANSI's colours, by node in turn."""
LINE_MAX = 1 << 16
"""Bytes after which a line is taken for whole."""


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


T = TypeVar("T")


def stamp(time: int) -> str:
    """A virtual time in seconds, as lines begin with it."""
    seconds, rest = divmod(time, 1_000_000_000)
    return f"{seconds:4}.{rest:09}"


class Ordered(Generic[T]):
    """What several nodes do waits until nothing earlier can come, and is then delivered, each thing with its node's number."""

    def __init__(self, deliver: Callable[[Iterable[tuple[int, T]]], None]) -> None:
        self.deliver = deliver
        self.waiting: list[tuple[int, int, int, T]] = []
        self.count = 0

    def add(self, time: int, node: int, thing: T) -> None:
        """What a node does at a time."""
        self.count += 1
        insort(self.waiting, (time, node, self.count, thing))

    def reached(self, time: int) -> None:
        """Nothing earlier than `time` will come."""
        if self.waiting and self.waiting[0][0] < time:
            ready = bisect_left(self.waiting, (time,))
            things, self.waiting = self.waiting[:ready], self.waiting[ready:]
            self.deliver((node, thing) for _, node, _, thing in things)

    def finish(self, last: int | None = None) -> None:
        """The run is over. What is later than `last` is dropped."""
        if self.waiting:
            self.reached((self.waiting[-1][0] if last is None else last) + 1)


class Timeline(Ordered[bytes]):
    """Lines, each without its end. names: of who has lines, by number from 1, the nodes first. times: show each line's time."""

    def __init__(self, out: Sink, names: Sequence[str], colour: bool, times: bool = False) -> None:
        super().__init__(self._write)
        self.out = out
        self.times = times
        width = max(map(len, names))
        self.prefixes = [f"{name:<{width}} | ".encode() for name in names]
        if colour:
            codes = [COLOURS[n % len(COLOURS)] for n in range(len(names))]
            self.prefixes = [b"\x1b[%dm%s\x1b[0m" % pair for pair in zip(codes, self.prefixes, strict=True)]

    def add(self, time: int, node: int, thing: bytes) -> None:
        super().add(time, node, f"{stamp(time)} ".encode() + thing if self.times else thing)

    def _write(self, lines: Iterable[tuple[int, bytes]]) -> None:
        self.out.write(b"".join(self.prefixes[node - 1] + line + b"\n" for node, line in lines))
        self.out.flush()


class Lines:
    """Cuts what a node prints into lines for a timeline, each with the time of its last byte."""

    def __init__(self, timeline: Timeline, node: int, now: Callable[[], int]) -> None:
        self.timeline = timeline
        self.node = node
        self.now = now
        self.line = b""

    def write(self, data: bytes) -> None:
        *lines, self.line = (self.line + data).split(b"\n")
        for line in lines:
            self.timeline.add(self.now(), self.node, line.removesuffix(b"\r"))
        if len(self.line) > LINE_MAX:
            self.finish()

    def finish(self) -> None:
        """What there is of an unfinished line is a line."""
        if self.line:
            self.timeline.add(self.now(), self.node, self.line)
        self.line = b""


class TextLines(io.TextIOBase):
    """A text stream over `Lines`."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def write(self, text: str) -> int:
        self.lines.write(text.encode(errors="backslashreplace"))
        return len(text)
