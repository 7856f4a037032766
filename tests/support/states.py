"""State classes for tests of the codec and of the files."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any, NamedTuple

from machemu.sim.state import state


@state
class Colour(Enum):
    RED = "r"
    BLUE = "b"


@state
class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Unregistered(IntEnum):
    ONE = 1


@state
class Pair(NamedTuple):
    left: Any
    right: Any


@state
class Cell:
    __slots__ = ("engine", "first", "second")
    TRANSIENT = ("engine",)

    def __init__(self, first: Any = None, second: Any = None) -> None:
        self.first = first
        self.second = second
        self.engine = open


@state
class Special(Cell):
    __slots__ = ("third",)

    def __init__(self, first: Any, third: Any) -> None:
        super().__init__(first)
        self.third = third


class Stranger:
    pass
