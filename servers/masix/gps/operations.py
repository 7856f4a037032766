"""What can be done to the table of generic processes: one function over entries, the same wherever these are kept.

An operation is done whole or not at all: `perform` says what changes, and who keeps the entries changes them.
tools/decisions/0040 has the state machine and why one copy runs at most.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from machemu.sim.state import U8, U32, state
from masix.gps.entry import CHILDREN_MAX, NOWHERE, Entry, Kind, State
from masix.gps.names import NOBODY, UqPid
from masix.groups import Member

LOST: Final = 1 << 31
"""The status of a process whose node has ended; it never chose one."""


@state
class Outcome(IntEnum):
    """What became of an operation; only DONE changes anything."""

    DONE = 0
    NO_SUCH_PROCESS = 1
    NO_PARENT = 2
    EXISTS = 3
    NO_ROOM = 4
    NOT_THERE = 5
    """The process is not at the node that says so."""
    NOT_RUNNING = 6
    STAYS = 7
    """It is sedentary, or is to go where it is."""
    DECIDED = 8
    """The move of this epoch is over."""
    NO_CHILD = 9
    NOT_YET = 10
    """No child has ended."""
    UNREACHABLE = 11
    """Whoever has the entry does not answer."""
    FORBIDDEN = 12
    """It is not for the node that says so."""


@state
class Create(NamedTuple):
    """A process begins. parent: NOBODY for none. Where that is of the other kind its own node keeps the tie. owner: of one whose
    parent the table does not have."""

    process: UqPid
    kind: Kind
    personality: bytes
    parent: UqPid
    parent_kind: Kind
    at: Member
    ports: U8
    owner: U32 = 0


@state
class Move(NamedTuple):
    """`at` has frozen the process, and wants to move it."""

    process: UqPid
    at: Member
    to: Member


@state
class Commit(NamedTuple):
    """The destination has all of the process: it goes on there."""

    process: UqPid
    epoch: U32


@state
class Abort(NamedTuple):
    """The move is given up: the process goes on where it was."""

    process: UqPid
    epoch: U32


@state
class Exit(NamedTuple):
    """The process, which runs at `at`, ends."""

    process: UqPid
    at: Member
    status: U32


@state
class Bury(NamedTuple):
    """`at` has ended for certain, and what was there with it."""

    process: UqPid
    at: Member


@state
class Wait(NamedTuple):
    """A parent asks for the status of a child that has ended: the first one of them that was created. That is gone then."""

    parent: UqPid


@state
class Reap(NamedTuple):
    """As Wait, of one child, for a parent whose entry is elsewhere."""

    process: UqPid
    parent: UqPid


@state
class Disown(NamedTuple):
    """A parent whose entry is elsewhere is gone: the child is an orphan."""

    process: UqPid
    parent: UqPid


@state
class Look(NamedTuple):
    """Asks for a process's parent and epoch."""

    process: UqPid


Operation = Create | Move | Commit | Abort | Exit | Bury | Wait | Reap | Disown | Look


@state
class Result(NamedTuple):
    """process: the one that it was done to; of Wait the child; of Look the parent. value: of Wait and Reap the child's status,
    else the epoch; 0 where it was not done.
    """

    outcome: Outcome
    process: UqPid = NOBODY
    value: U32 = 0


class Slots(Protocol):
    """Where entries are. Both raise what their owner likes where they cannot tell: then nothing has changed."""

    def read(self, process: UqPid) -> Entry | None: ...

    def has_room(self, process: UqPid) -> bool:
        """Whether there may be an entry of this name, which is not there yet."""


Changes = dict[UqPid, Entry | None]
"""The entries as they are afterwards, None for one that is gone."""


class _Draft:
    """Entries, with what is to change."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.changes: Changes = {}

    def read(self, process: UqPid) -> Entry | None:
        return self.changes[process] if process in self.changes else self._slots.read(process)

    def put(self, entry: Entry) -> None:
        self.changes[entry.process] = entry

    def delete(self, entry: Entry) -> None:
        """The thesis's deletion of a slot: its children are orphans, those that have ended are deleted in the same way."""
        gone = [entry]
        while gone:
            self.changes[(entry := gone.pop()).process] = None
            for name in entry.children:
                child = self.read(name)
                assert child is not None, "a child is there until its parent's entry says that it is not"
                if child.state is State.ZOMBIE:
                    gone.append(child)
                else:
                    self.put(child._replace(parent=NOBODY))

    def unlink(self, entry: Entry) -> None:
        """Its parent has it no longer among its children."""
        if entry.linked:
            parent = self.read(entry.parent)
            assert parent is not None, "a parent's entry goes with its children's ties"
            self.put(parent._replace(children=tuple([child for child in parent.children if child != entry.process])))

    def end(self, entry: Entry, status: int) -> None:
        """The thesis's exit: an orphan is deleted at once, else it is a zombie until its parent waits for it."""
        if entry.parent == NOBODY:
            self.delete(entry)
        else:
            self.put(entry._replace(state=State.ZOMBIE, status=status, to=NOWHERE))


def perform(operation: Operation, slots: Slots) -> tuple[Result, Changes]:
    """What an operation gives, and what changes by it."""
    draft = _Draft(slots)
    result = _create(draft, slots, operation) if isinstance(operation, Create) else _perform(draft, operation)
    return result, draft.changes


def _perform(draft: _Draft, operation: Operation) -> Result:
    assert not isinstance(operation, Create)
    if isinstance(operation, Wait):
        return _wait(draft, operation)
    entry = draft.read(operation.process)
    if entry is None:
        return Result(Outcome.NO_SUCH_PROCESS)
    match operation:
        case Move():
            return _move(draft, entry, operation)
        case Commit(epoch=epoch) | Abort(epoch=epoch):
            if entry.state is not State.MOVING or entry.epoch != epoch:
                return Result(Outcome.DECIDED)
            place = entry.to if isinstance(operation, Commit) else entry.at
            draft.put(entry._replace(state=State.RUNNING, at=place, to=NOWHERE))
            return Result(Outcome.DONE, entry.process, epoch)
        case Exit(at=at, status=status):
            if entry.state is not State.RUNNING:
                return Result(Outcome.NOT_RUNNING)
            if entry.at != at:
                return Result(Outcome.NOT_THERE)
            draft.end(entry, status)
        case Bury(at=at):
            if entry.state is State.ZOMBIE or entry.at != at:
                return Result(Outcome.NOT_THERE)
            draft.end(entry, LOST)
        case Reap(parent=parent) | Disown(parent=parent):
            return _part(draft, entry, parent, isinstance(operation, Reap))
        case Look():
            return Result(Outcome.DONE, entry.parent, entry.epoch)
    return Result(Outcome.DONE, entry.process, entry.epoch)


def _create(draft: _Draft, slots: Slots, wanted: Create) -> Result:
    entry = Entry(*wanted[:-1], owner=wanted.owner)
    if draft.read(wanted.process) is not None:
        return Result(Outcome.EXISTS)
    if not slots.has_room(wanted.process):
        return Result(Outcome.NO_ROOM)
    if entry.linked:
        parent = draft.read(entry.parent)
        if parent is None or parent.state is not State.RUNNING or parent.at != entry.at:
            return Result(Outcome.NO_PARENT)
        if len(parent.children) >= CHILDREN_MAX:
            return Result(Outcome.NO_ROOM)
        draft.put(parent._replace(children=(*parent.children, entry.process)))
        entry = entry._replace(owner=parent.owner)
    draft.put(entry)
    return Result(Outcome.DONE, entry.process)


def _move(draft: _Draft, entry: Entry, wanted: Move) -> Result:
    if entry.state is not State.RUNNING:
        return Result(Outcome.NOT_RUNNING)
    if entry.at != wanted.at:
        return Result(Outcome.NOT_THERE)
    if entry.kind is Kind.SEDENTARY or wanted.to.node == wanted.at.node:
        return Result(Outcome.STAYS)
    draft.put(entry._replace(state=State.MOVING, epoch=entry.epoch + 1, to=wanted.to))
    return Result(Outcome.DONE, entry.process, entry.epoch + 1)


def _wait(draft: _Draft, wanted: Wait) -> Result:
    parent = draft.read(wanted.parent)
    if parent is None:
        return Result(Outcome.NO_SUCH_PROCESS)
    if not parent.children:
        return Result(Outcome.NO_CHILD)
    for name in parent.children:
        child = draft.read(name)
        assert child is not None, "a child is there until its parent's entry says that it is not"
        if child.state is State.ZOMBIE:
            draft.unlink(child)
            draft.delete(child)
            return Result(Outcome.DONE, name, child.status)
    return Result(Outcome.NOT_YET)


def _part(draft: _Draft, entry: Entry, parent: UqPid, reaps: bool) -> Result:
    """A child and its parent elsewhere have no more to do with each other."""
    if entry.linked or NOBODY in (entry.parent, parent) or entry.parent != parent:
        return Result(Outcome.NO_CHILD)
    if entry.state is State.ZOMBIE:
        draft.delete(entry)
        return Result(Outcome.DONE, entry.process, entry.status)
    if reaps:
        return Result(Outcome.NOT_YET)
    draft.put(entry._replace(parent=NOBODY))
    return Result(Outcome.DONE, entry.process, entry.epoch)
