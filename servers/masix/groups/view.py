"""Who is meant: members and views."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from machemu.sim.state import U64, state


@state
class Member(NamedTuple):
    """One incarnation of a node: `incarnation` is larger in each, and one that has ended never comes back."""

    node: int
    incarnation: U64


@state
class View(NamedTuple):
    """A group's members from one agreement to the next, numbered from 1 by one.

    members: the longest in the group first. The first `elders` were in the view before; the others join by this view, and get the
    group's state from an elder.
    """

    number: int
    members: tuple[Member, ...]
    elders: int


@state
class Order(Enum):
    """What a group promises about the order of its messages; the same at all members.

    FIFO: each sender's in the order in which he sent them. CAUSAL: and each after those that its sender had delivered. TOTAL: and
    all in one order.
    """

    FIFO = auto()
    CAUSAL = auto()
    TOTAL = auto()
