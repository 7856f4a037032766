"""Who may have what done to the table of generic processes. A node speaks for what is there, and for nothing else: so one that
lies harms its own processes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from masix.gps.entry import State
from masix.gps.operations import Abort, Bury, Commit, Create, Disown, Exit, Look, Move, Operation, Reap, Slots, Wait
from masix.groups import Member


def may(operation: Operation, by: Member, slots: Slots, newest: Mapping[int, int]) -> bool:
    """Whether a member may have an operation done. newest: the incarnation of each node that has a part in the table.

    Where there is no such process, or its move is over, the operation says so itself.
    """
    match operation:
        case Look():
            return True
        case Create(process=process, at=at):
            return at == by and process.node == by.node
        case Move(at=at) | Exit(at=at):
            return at == by
        case Bury(at=at):
            return at.incarnation < newest.get(at.node, 0)
        case Reap(parent=parent):
            return parent.node == by.node
        case Disown(parent=parent):
            return parent.node == by.node or parent.time < newest.get(parent.node, 0) - 1
        case Wait(parent=process):
            entry = slots.read(process)
            return entry is None or entry.at == by
        case Commit(process=process, epoch=epoch) | Abort(process=process, epoch=epoch):
            entry = slots.read(process)
            if entry is None or entry.state is not State.MOVING or entry.epoch != epoch:
                return True
            return by == (entry.to if isinstance(operation, Commit) else entry.at)
        case _:
            assert_never(operation)
