"""Nodes with tables of generic processes, and processes that run, move and end on them, under one clock.

`Stage` is what both stores' worlds have: the model beside the table, who has a copy of which process, and that no two of them
run. An `Actor` is what a generic process server would do with a node's processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from masix.gps.entry import Kind
from masix.gps.names import NOBODY, Namer, UqPid
from masix.gps.operations import (
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
from tests.support.generic_model import Model

MS = 1_000_000
RETRY = 150 * MS
PERSONALITY = b"bare"
Then = Callable[[Result], None]


class Stage:
    """model: the table as it must be. running: where a process's running copy is. born: all processes that
    were created. outcomes: how many operations had which. ends: nobody tries again what was UNREACHABLE.
    """

    now: int

    def begin(self) -> None:
        self.model = Model()
        self.running: dict[UqPid, Member] = {}
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.born: list[UqPid] = []
        self.ends = False

    def at(self, time: int, what: Any, *arguments: Any) -> None:
        raise NotImplementedError

    def hand(self, sender: Member, node: int, take: str, *what: Any) -> None:
        """Has the actor at a node take something that another one sends it, if it arrives."""
        raise NotImplementedError

    def actor(self, member: Member) -> Actor | None:
        """The actor of a node in this incarnation, None once that has ended."""
        raise NotImplementedError

    def record(self, operation: Operation, result: Result) -> None:
        """An operation was done somewhere, the next one of all."""
        self.outcomes[type(operation).__name__, result.outcome.name] += 1
        if result.outcome is Outcome.UNREACHABLE:
            return
        if isinstance(operation, Bury) and result.outcome is Outcome.FORBIDDEN:
            return  # who asked knows of the new incarnation, and the group does not yet
        wanted = self.model.do(operation)
        assert result == wanted, f"{operation} gave {result} instead of {wanted}"

    def runs(self, process: UqPid, member: Member) -> None:
        """A copy of a process begins to run."""
        assert process not in self.running, f"{process} runs at {self.running[process]} and at {member}"
        self.running[process] = member

    def stops(self, process: UqPid) -> None:
        del self.running[process]

    def ended(self, member: Member) -> None:
        """A node is over, with all that ran there."""
        self.running = {process: place for process, place in self.running.items() if place != member}


class Actor:
    """A node's processes. running: those whose copies run here. frozen: those whose copies do not, with the epoch of their move.

    It freezes before it asks for a move, and thaws what comes only once the table says that it is here.
    """

    def __init__(self, stage: Stage, member: Member, submit: Callable[[Operation], int | None]) -> None:
        self.stage = stage
        self.member = member
        self.submit = submit
        self.namer = Namer(member.node)
        self.then: dict[int, Then] = {}
        self.running: dict[UqPid, None] = {}
        self.frozen: dict[UqPid, int] = {}

    def alive(self) -> bool:
        return self.stage.actor(self.member) is self

    def later(self, time: int, what: Callable[..., None], *arguments: Any) -> None:
        """Does something after some nanoseconds, if the node still lives."""
        self.stage.at(self.stage.now + time, lambda: what(*arguments) if self.alive() else None)

    def do(self, operation: Operation, then: Then = lambda result: None) -> None:
        """Has an operation done, later where too much waits."""
        ticket = self.submit(operation)
        if ticket is None:
            self.later(RETRY, self.do, operation, then)
        else:
            self.then[ticket] = then

    def _again(self, what: Callable[..., None], *arguments: Any) -> None:
        if not self.stage.ends:
            self.later(RETRY, what, *arguments)

    def take_results(self, results: dict[int, Result]) -> None:
        for ticket, result in list(results.items()):
            del results[ticket]
            self.then.pop(ticket)(result)

    def start(self, process: UqPid) -> None:
        self.running[process] = None
        self.stage.runs(process, self.member)

    def stop(self, process: UqPid) -> None:
        del self.running[process]
        self.stage.stops(process)

    # What processes and their users do

    def create(self, parent: UqPid = NOBODY, parent_kind: Kind = Kind.NOMAD) -> None:
        """A process begins here: a child of `parent`, if that is one."""
        process = self.namer.name(self.stage.now + 1)
        self.stage.born.append(process)
        wanted = Create(process, Kind.NOMAD, PERSONALITY, parent, parent_kind, self.member, 2)
        self.do(wanted, lambda result: self.start(process) if result.outcome is Outcome.DONE else None)

    def exit(self, process: UqPid, status: int) -> None:
        self.stop(process)
        self._exit(process, status)

    def _exit(self, process: UqPid, status: int) -> None:
        self.do(Exit(process, self.member, status), lambda result: self._ended(result, process, status))

    def _ended(self, result: Result, process: UqPid, status: int) -> None:
        if result.outcome is Outcome.UNREACHABLE:
            self._again(self._exit, process, status)
        else:
            assert result.outcome is Outcome.DONE

    def move(self, process: UqPid, to: Member, patience: int) -> None:
        """patience: after so many nanoseconds it gives the move up."""
        self.stop(process)
        self.frozen[process] = 0
        self.do(Move(process, self.member, to), lambda result: self._begun(result, process, to, patience))

    def _begun(self, result: Result, process: UqPid, to: Member, patience: int) -> None:
        if result.outcome is Outcome.DONE:
            self.frozen[process] = result.value
            self.stage.hand(self.member, to.node, "arrive", to, process, result.value)
            self.later(patience, self._abort, process, result.value)
        else:
            self._thaw(process)

    def _abort(self, process: UqPid, epoch: int) -> None:
        self.do(Abort(process, epoch), lambda result: self._decided(result, process, epoch, self._abort))

    def arrive(self, to: Member, process: UqPid, epoch: int) -> None:
        """A copy has come whole."""
        if to == self.member:
            self.frozen[process] = epoch
            self._commit(process, epoch)

    def _commit(self, process: UqPid, epoch: int) -> None:
        self.do(Commit(process, epoch), lambda result: self._decided(result, process, epoch, self._commit))

    def _decided(self, result: Result, process: UqPid, epoch: int, again: Callable[[UqPid, int], None]) -> None:
        """Who decided a move has the process; the other one's copy goes. Where that is not known it stays frozen."""
        if result.outcome is Outcome.UNREACHABLE:
            self._again(again, process, epoch)
        elif result.outcome is Outcome.DONE:
            self._thaw(process)
        elif self.frozen.get(process) == epoch:
            del self.frozen[process]

    def _thaw(self, process: UqPid) -> None:
        del self.frozen[process]
        self.start(process)

    def wait(self, process: UqPid) -> None:
        self.do(Wait(process))

    def ask(self, operation: Bury | Reap | Disown | Look) -> None:
        self.do(operation)
