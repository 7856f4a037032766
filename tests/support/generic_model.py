"""What the table of generic processes must answer: the same rules said in another way, over plain objects, without a store.

A parent's children are those that name it. Nothing here is taken from masix.gps but the operations and their outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from masix.gps.entry import Entry, Kind, State
from masix.gps.names import NOBODY, UqPid
from masix.gps.operations import (
    LOST,
    Abort,
    Bury,
    Commit,
    Create,
    Disown,
    Exit,
    Look,
    Move,
    Operation,
    Outcome,
    Reap,
    Result,
    Wait,
)
from masix.groups import Member


@dataclass
class Process:
    """goal: where it moves to, or None. status: of a zombie, else None."""

    born: Create
    parent: UqPid
    place: Member
    goal: Member | None = None
    epoch: int = 0
    status: int | None = None


def no(outcome: Outcome) -> Result:
    return Result(outcome)


class Model:
    """All processes, in the order of their creation."""

    def __init__(self) -> None:
        self.processes: dict[UqPid, Process] = {}

    def do(self, operation: Operation) -> Result:
        """What the operation gives, once it is done."""
        if isinstance(operation, Create):
            return self.create(operation)
        if isinstance(operation, Wait):
            return self.wait(operation.parent)
        name, process = operation.process, self.processes.get(operation.process)
        if process is None:
            return no(Outcome.NO_SUCH_PROCESS)
        dead = process.status is not None
        match operation:
            case Move(at=at, to=to):
                if dead or process.goal is not None or process.place != at:
                    return no(Outcome.NOT_RUNNING if dead or process.goal is not None else Outcome.NOT_THERE)
                if process.born.kind is Kind.SEDENTARY or at.node == to.node:
                    return no(Outcome.STAYS)
                process.goal, process.epoch = to, process.epoch + 1
            case Commit(epoch=epoch) | Abort(epoch=epoch):
                if process.goal is None or process.epoch != epoch:
                    return no(Outcome.DECIDED)
                process.place = process.goal if isinstance(operation, Commit) else process.place
                process.goal = None
            case Exit(at=at, status=status):
                if dead or process.goal is not None or process.place != at:
                    return no(Outcome.NOT_RUNNING if dead or process.goal is not None else Outcome.NOT_THERE)
                self.end(name, status)
            case Bury(at=at):
                if dead or process.place != at:
                    return no(Outcome.NOT_THERE)
                self.end(name, LOST)
            case Reap(parent=parent) | Disown(parent=parent):
                return self.part(name, parent, isinstance(operation, Reap))
            case Look():
                return Result(Outcome.DONE, process.parent, process.epoch)
        return Result(Outcome.DONE, name, process.epoch)

    def create(self, wanted: Create) -> Result:
        if wanted.process in self.processes:
            return no(Outcome.EXISTS)
        if wanted.parent != NOBODY and wanted.parent_kind is wanted.kind:
            parent = self.processes.get(wanted.parent)
            if parent is None or parent.status is not None or parent.goal is not None or parent.place != wanted.at:
                return no(Outcome.NO_PARENT)
        self.processes[wanted.process] = Process(wanted, wanted.parent, wanted.at)
        return Result(Outcome.DONE, wanted.process)

    def children(self, parent: UqPid) -> list[UqPid]:
        """Those whose entries are in the same table as their parent's."""
        kin = self.processes.items()
        return [name for name, one in kin if one.parent == parent and one.born.parent_kind is one.born.kind]

    def wait(self, parent: UqPid) -> Result:
        if parent not in self.processes:
            return no(Outcome.NO_SUCH_PROCESS)
        children = self.children(parent)
        for child in children:
            status = self.processes[child].status
            if status is not None:
                self.delete(child)
                return Result(Outcome.DONE, child, status)
        return no(Outcome.NOT_YET if children else Outcome.NO_CHILD)

    def part(self, name: UqPid, parent: UqPid, reaps: bool) -> Result:
        process = self.processes[name]
        if parent == NOBODY or process.parent != parent or process.born.parent_kind is process.born.kind:
            return no(Outcome.NO_CHILD)
        if process.status is not None:
            self.delete(name)
            return Result(Outcome.DONE, name, process.status)
        if reaps:
            return no(Outcome.NOT_YET)
        process.parent = NOBODY
        return Result(Outcome.DONE, name, process.epoch)

    def end(self, name: UqPid, status: int) -> None:
        process = self.processes[name]
        process.goal = None
        if process.parent == NOBODY:
            self.delete(name)
        else:
            process.status = status

    def delete(self, name: UqPid) -> None:
        children = self.children(name)
        del self.processes[name]
        for child in children:
            self.processes[child].parent = NOBODY
            if self.processes[child].status is not None:
                self.delete(child)

    def differs(self, entries: Iterable[Entry], only: set[UqPid] | None = None) -> str:
        """Where entries of a store are not these processes; "" where they are. only: the names that the store can have."""
        found = {entry.process: entry for entry in entries}
        for name in {**self.processes, **found}:
            if only is not None and name not in only:
                continue
            if (wanted := self._row(name)) != (have := _row(found.get(name))):
                return f"{name}: {have} instead of {wanted}"
        return ""

    def _row(self, name: UqPid) -> object:
        one = self.processes.get(name)
        if one is None:
            return None
        condition = State.ZOMBIE if one.status is not None else State.RUNNING if one.goal is None else State.MOVING
        return condition, one.parent, one.place, one.goal, one.epoch, one.status, self.children(name), one.born[2]


def _row(entry: Entry | None) -> object:
    if entry is None:
        return None
    goal = entry.to if entry.state is State.MOVING else None
    status = entry.status if entry.state is State.ZOMBIE else None
    return entry.state, entry.parent, entry.at, goal, entry.epoch, status, list(entry.children), entry.personality
