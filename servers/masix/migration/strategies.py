"""Strategies: in which order the managers are asked to move tasks."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from machemu.sim.state import state


@state
class Step(Enum):
    """What the managers do."""

    PAUSE = auto()
    """Nobody sends to the tasks' ports any more, where the network server is told to see to that."""
    HOLD = auto()
    """The tasks are frozen."""
    BEGIN = auto()
    """Whoever decides of them is asked whether they may go."""
    PREPARE = auto()
    """Empty tasks are made for them there."""
    COPY = auto()
    """Their memory is copied whole."""
    DECIDE = auto()
    """It is decided that they go: until then all can be given up."""
    GIVE = auto()
    """The memory objects go that their family manages."""
    COPIES = auto()
    """Of tasks that others decide about, copies of their send rights go ahead."""
    LEAD = auto()
    """Their own ports go, and those where their exceptions are answered,"""
    PORTS = auto()
    """and their receive rights. Rights to such a port can follow it:"""
    BIND = auto()
    """their other rights and name spaces go."""
    MOVE = auto()
    """Their threads go."""
    GO = auto()
    """They go on there."""


DIRECT_COPY: Final = (
    Step.PAUSE, Step.HOLD, Step.BEGIN, Step.PREPARE, Step.COPY, Step.DECIDE, Step.GIVE, Step.COPIES, Step.LEAD,
    Step.PORTS, Step.BIND, Step.MOVE, Step.GO,
)  # fmt: skip
"""All at once, while the tasks are frozen."""
UNDECIDED: Final = (Step.PAUSE, Step.HOLD, Step.BEGIN, Step.PREPARE, Step.COPY, Step.DECIDE)
"""The steps of which all can be given up."""
RIGHTS: Final = (Step.COPIES, Step.LEAD, Step.PORTS, Step.BIND)
"""The steps of which all are done again where something came between."""
