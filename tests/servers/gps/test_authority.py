"""A node may have done to the table of processes what is its own to say, and nothing else."""

from __future__ import annotations

import pytest

from masix.gps import wire
from masix.gps.authority import may
from masix.gps.entry import Entry, Kind, State
from masix.gps.names import NOBODY, UqPid
from masix.gps.operations import Abort, Bury, Commit, Create, Disown, Exit, Look, Move, Operation, Outcome, Reap, Wait
from masix.gps.replicated import ReplicatedTable
from masix.groups import Member, View

ONE, TWO, LIAR = Member(1, 100), Member(2, 100), Member(3, 100)
RUNS, MOVES, PARENT, NEW = UqPid(1, 100, 1), UqPid(1, 100, 2), UqPid(1, 100, 3), UqPid(1, 100, 4)
SEDENTARY = UqPid(1, 200, 1)
CASES: list[tuple[Operation, Member]] = [
    (Create(NEW, Kind.NOMAD, b"bare", NOBODY, Kind.NOMAD, ONE, 1), ONE),
    (Create(NEW, Kind.NOMAD, b"bare", PARENT, Kind.NOMAD, ONE, 1), ONE),
    (Move(RUNS, ONE, LIAR), ONE),
    (Commit(MOVES, 1), TWO),
    (Abort(MOVES, 1), ONE),
    (Exit(RUNS, ONE, 7), ONE),
    (Wait(PARENT), ONE),
    (Reap(RUNS, SEDENTARY), ONE),
    (Disown(RUNS, SEDENTARY), ONE),
]
"""What is done, and who may say so."""


def table() -> ReplicatedTable:
    made = ReplicatedTable(ONE)
    made.view = View(1, (ONE, TWO, LIAR), 3)
    for entry in (
        Entry(RUNS, Kind.NOMAD, b"bare", SEDENTARY, Kind.SEDENTARY, ONE, 1),
        Entry(MOVES, Kind.NOMAD, b"bare", NOBODY, Kind.NOMAD, ONE, 1, State.MOVING, 1, TWO),
        Entry(PARENT, Kind.NOMAD, b"bare", NOBODY, Kind.NOMAD, ONE, 1),
    ):
        made.entries[entry.process] = entry
    return made


@pytest.mark.parametrize(("operation", "owner"), CASES, ids=lambda each: type(each).__name__)
def test_only_the_node_whose_it_is_has_it_done(operation: Operation, owner: Member) -> None:
    for member in (ONE, TWO, LIAR, Member(owner.node, owner.incarnation + 1)):
        assert may(operation, member, table(), {}) == (
            member == owner or (isinstance(operation, Reap | Disown) and member.node == 1)
        )


@pytest.mark.parametrize(("operation", "owner"), CASES, ids=lambda each: type(each).__name__)
def test_what_a_liar_broadcasts_changes_no_replica(operation: Operation, owner: Member) -> None:
    made = table()
    before = dict(made.entries)
    made.deliver(LIAR, (1).to_bytes(4) + wire.pack_operation(operation))
    assert made.entries == before and made.pasts[LIAR][1].outcome is Outcome.FORBIDDEN
    made.deliver(owner, (1).to_bytes(4) + wire.pack_operation(operation))
    assert made.pasts[owner][1].outcome is not Outcome.FORBIDDEN


def test_a_node_s_processes_are_buried_once_the_group_has_a_later_incarnation_of_it() -> None:
    made = table()
    for by in (ONE, LIAR):
        assert not may(Bury(RUNS, ONE), by, made, {1: 100, 2: 100, 3: 100})
        assert may(Bury(RUNS, ONE), by, made, {1: 101, 2: 100, 3: 100})
    assert not may(Disown(RUNS, SEDENTARY), LIAR, made, {1: 200})
    assert may(Disown(RUNS, SEDENTARY), LIAR, made, {1: 202}), "it was created before the node's incarnation began"


@pytest.mark.parametrize("operation", [Commit(MOVES, 0), Abort(MOVES, 2), Commit(RUNS, 0), Abort(NEW, 1), Wait(NEW), Look(RUNS)])
def test_who_comes_too_late_is_told_what_has_become_of_it(operation: Operation) -> None:
    assert may(operation, LIAR, table(), {})
