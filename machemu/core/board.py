"""Where a run is, in numbers: kept up to date as it goes, in memory that may outlive its process."""

from __future__ import annotations

from typing import Final, Protocol

NODE, TASK, THREAD, PC, TIME, TRAPS = range(6)
"""What is where on a board: a node's number from 1, or 0; the task and thread that last went to user mode, and where; the virtual
time in nanoseconds, and the traps of its machine up to then."""
SIZE: Final = 6


class Board(Protocol):
    """SIZE numbers of 64 bits."""

    def __getitem__(self, place: int, /) -> int: ...

    def __setitem__(self, place: int, value: int, /) -> None: ...


def new() -> Board:
    """A board that nobody looks at."""
    return [0] * SIZE
