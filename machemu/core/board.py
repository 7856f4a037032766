"""Where a run is, in numbers: kept up to date as it goes, in memory that may outlive its process."""

from __future__ import annotations

from typing import Final, Protocol

NODE, TASK, THREAD, PC, TIME, AGE, TRAPS = range(7)
"""What is where on a board: a node's number from 1, or 0; the task and thread that last went to user mode, and where; the virtual
time in nanoseconds, its upper 64 bits in AGE; and the traps of its machine up to then."""
SIZE: Final = 7
WORD: Final = (1 << 64) - 1


class Board(Protocol):
    """SIZE numbers of 64 bits."""

    def __getitem__(self, place: int, /) -> int: ...

    def __setitem__(self, place: int, value: int, /) -> None: ...


def set_time(board: Board, time: int, place: int = TIME) -> None:
    """Writes a time of 128 bits at a place and the next: a guest that only waits gets beyond 64, which are 584 years."""
    board[place], board[place + 1] = time & WORD, time >> 64 & WORD


def time_of(board: Board, place: int = TIME) -> int:
    """The time that `set_time` wrote."""
    return board[place] | board[place + 1] << 64


def new() -> Board:
    """A board that nobody looks at."""
    return [0] * SIZE
