"""What can be done to generic processes, by the thesis's rules for children, zombies and orphans, and the rule of one copy."""

from __future__ import annotations

import pytest

from masix.gps import entry as entries
from masix.gps import wire
from masix.gps.entry import CHILDREN_MAX, NOWHERE, Entry, Kind, State
from masix.gps.names import NOBODY, Namer, UqPid
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
    perform,
)
from masix.groups import Member

ONE, TWO, THREE = Member(1, 1), Member(2, 1), Member(3, 1)
P, Q, R, S = (UqPid(1, 100, number) for number in range(4))


class Table:
    """Entries in a dict."""

    def __init__(self) -> None:
        self.entries: dict[UqPid, Entry] = {}

    def read(self, process: UqPid) -> Entry | None:
        return self.entries.get(process)

    def has_room(self, process: UqPid) -> bool:
        return len(self.entries) < 2000

    def do(self, operation: Operation) -> Result:
        result, changes = perform(operation, self)
        assert not changes or result.outcome is Outcome.DONE
        for process, entry in changes.items():
            if entry is None:
                del self.entries[process]
            else:
                self.entries[process] = entry
        return result

    def create(self, process: UqPid, parent: UqPid = NOBODY, kind: Kind = Kind.NOMAD, of: Kind = Kind.NOMAD) -> Outcome:
        return self.do(Create(process, kind, b"bare", parent, of, ONE, 2)).outcome

    def family(self) -> dict[UqPid, tuple[UqPid, tuple[UqPid, ...]]]:
        return {entry.process: (entry.parent, entry.children) for entry in self.entries.values()}


@pytest.fixture
def table() -> Table:
    """P, with its children Q and R; S is a child of Q's."""
    made = Table()
    assert [made.create(P), made.create(Q, P), made.create(R, P), made.create(S, Q)] == [Outcome.DONE] * 4
    return made


def test_names_are_node_and_time_and_a_counter_for_equal_instants() -> None:
    namer = Namer(7)
    names = [namer.name(now) for now in (0, 0, 5, 5, 5, 6)]
    assert names == [UqPid(7, 0, 0), UqPid(7, 0, 1), UqPid(7, 5, 0), UqPid(7, 5, 1), UqPid(7, 5, 2), UqPid(7, 6, 0)]


def test_a_process_with_a_parent_is_a_zombie_until_that_waits(table: Table) -> None:
    assert table.do(Wait(P)).outcome is Outcome.NOT_YET
    assert table.do(Exit(R, ONE, 5)) == Result(Outcome.DONE, R)
    assert table.entries[R].state is State.ZOMBIE
    assert table.do(Wait(P)) == Result(Outcome.DONE, R, 5)
    assert R not in table.entries and table.entries[P].children == (Q,)


def test_who_has_no_child_is_told_so(table: Table) -> None:
    assert table.do(Wait(S)).outcome is Outcome.NO_CHILD
    assert table.do(Wait(UqPid(9, 9, 9))).outcome is Outcome.NO_SUCH_PROCESS


def test_of_several_zombies_the_first_one_created_is_reaped_first(table: Table) -> None:
    table.do(Exit(R, ONE, 1))
    table.do(Exit(Q, ONE, 2))
    assert [table.do(Wait(P)).process for _ in range(2)] == [Q, R]


def test_an_orphan_is_deleted_when_it_exits(table: Table) -> None:
    table.do(Exit(P, ONE, 0))
    assert table.family() == {Q: (NOBODY, (S,)), R: (NOBODY, ()), S: (Q, ())}
    table.do(Exit(R, ONE, 0))
    assert table.family() == {Q: (NOBODY, (S,)), S: (Q, ())}


def test_children_of_a_zombie_are_orphans_only_when_it_is_deleted(table: Table) -> None:
    table.do(Exit(Q, ONE, 0))
    assert table.entries[S].parent == Q
    table.do(Wait(P))
    assert table.entries[S].parent == NOBODY


def test_deletion_is_recursive_over_children_that_have_ended(table: Table) -> None:
    for process in (S, Q, R):
        table.do(Exit(process, ONE, 0))
    assert len(table.entries) == 4
    table.do(Exit(P, ONE, 0))
    assert table.entries == {}


def test_a_child_begins_where_its_parent_runs(table: Table) -> None:
    child = UqPid(1, 200, 0)
    assert table.create(child, UqPid(9, 9, 9)) is Outcome.NO_PARENT
    table.do(Move(P, ONE, TWO))
    assert table.create(child, P) is Outcome.NO_PARENT
    table.do(Commit(P, 1))
    assert table.create(child, P) is Outcome.NO_PARENT
    assert table.do(Create(child, Kind.NOMAD, b"bare", P, Kind.NOMAD, TWO, 2)).outcome is Outcome.DONE


def test_of_commit_and_abort_the_first_one_decides(table: Table) -> None:
    assert table.do(Move(P, ONE, TWO)) == Result(Outcome.DONE, P, 1)
    assert table.entries[P].state is State.MOVING
    assert table.do(Commit(P, 1)) == Result(Outcome.DONE, P, 1)
    assert table.do(Abort(P, 1)).outcome is Outcome.DECIDED
    assert table.entries[P][:7] == (P, Kind.NOMAD, b"bare", NOBODY, Kind.NOMAD, TWO, 2)
    assert table.do(Move(P, TWO, THREE)) == Result(Outcome.DONE, P, 2)
    assert table.do(Abort(P, 2)).outcome is Outcome.DONE
    assert table.do(Commit(P, 2)).outcome is Outcome.DECIDED
    assert (table.entries[P].at, table.entries[P].to) == (TWO, NOWHERE)


def test_a_decision_of_an_earlier_move_decides_nothing(table: Table) -> None:
    table.do(Move(P, ONE, TWO))
    table.do(Abort(P, 1))
    table.do(Move(P, ONE, THREE))
    assert [table.do(each).outcome for each in (Commit(P, 1), Abort(P, 1), Commit(P, 3))] == [Outcome.DECIDED] * 3


def test_only_the_node_where_it_runs_moves_or_ends_a_process(table: Table) -> None:
    again = Member(1, 2)
    assert table.do(Move(P, TWO, THREE)).outcome is Outcome.NOT_THERE
    assert table.do(Exit(P, again, 0)).outcome is Outcome.NOT_THERE
    assert table.do(Move(P, ONE, again)).outcome is Outcome.STAYS
    table.do(Move(P, ONE, TWO))
    assert table.do(Exit(P, ONE, 0)).outcome is Outcome.NOT_RUNNING
    assert table.do(Move(P, ONE, THREE)).outcome is Outcome.NOT_RUNNING


def test_a_sedentary_process_stays() -> None:
    table = Table()
    table.create(P, kind=Kind.SEDENTARY)
    assert table.do(Move(P, ONE, TWO)).outcome is Outcome.STAYS


def test_what_was_at_a_node_that_is_over_ends_with_it(table: Table) -> None:
    table.do(Move(Q, ONE, TWO))
    table.do(Move(R, ONE, TWO))
    table.do(Commit(R, 1))
    assert table.do(Bury(Q, ONE)).outcome is Outcome.DONE
    assert table.do(Bury(R, ONE)).outcome is Outcome.NOT_THERE
    assert table.do(Commit(Q, 1)).outcome is Outcome.DECIDED
    assert table.do(Wait(P)) == Result(Outcome.DONE, Q, LOST)


def test_a_sedentary_parent_reaps_and_disowns_its_nomad_children_one_by_one() -> None:
    table, parent = Table(), UqPid(1, 50, 0)
    for child in (P, Q, R):
        table.create(child, parent, of=Kind.SEDENTARY)
    table.do(Exit(P, ONE, 7))
    assert table.do(Reap(Q, parent)).outcome is Outcome.NOT_YET
    assert table.do(Reap(P, UqPid(1, 51, 0))).outcome is Outcome.NO_CHILD
    assert table.do(Reap(P, parent)) == Result(Outcome.DONE, P, 7)
    assert table.do(Disown(Q, parent)).outcome is Outcome.DONE
    assert table.do(Disown(Q, parent)).outcome is Outcome.NO_CHILD
    assert table.do(Disown(Q, NOBODY)).outcome is Outcome.NO_CHILD
    table.do(Exit(R, ONE, 0))
    assert table.do(Disown(R, parent)).outcome is Outcome.DONE
    assert list(table.entries) == [Q]


def test_look_tells_parent_and_epoch(table: Table) -> None:
    table.do(Move(Q, ONE, TWO))
    assert table.do(Look(Q)) == Result(Outcome.DONE, P, 1)
    assert table.do(Look(P)) == Result(Outcome.DONE, NOBODY, 0)


def test_names_and_room_are_taken_once(table: Table) -> None:
    assert table.create(Q) is Outcome.EXISTS
    for number in range(CHILDREN_MAX):
        assert table.create(UqPid(2, number, 0), R) is Outcome.DONE
    assert table.create(UqPid(3, 0, 0), R) is Outcome.NO_ROOM
    for number in range(2000 - len(table.entries)):
        assert table.create(UqPid(4, number, 0)) is Outcome.DONE
    assert table.create(UqPid(3, 0, 0)) is Outcome.NO_ROOM


OPERATIONS = (
    Create(P, Kind.SEDENTARY, b"unix", Q, Kind.NOMAD, TWO, 3),
    Move(P, ONE, Member(0xFFFE, (1 << 64) - 1)),
    Commit(P, 0xFFFFFFFF),
    Abort(P, 1),
    Exit(P, ONE, LOST),
    Bury(UqPid(0xFFFFFFFF, (1 << 64) - 1, 0xFFFFFFFF), ONE),
    Wait(P),
    Reap(P, Q),
    Disown(P, Q),
    Look(P),
)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: type(operation).__name__)
def test_an_operation_is_read_as_it_was_written_and_nothing_else_is(operation: Operation) -> None:
    data = wire.pack_operation(operation)
    assert wire.unpack_operation(data) == operation
    for wrong in (data[:-1], data + b"\0", b"\0" + data[1:], b"\xff" + data[1:]):
        with pytest.raises(ValueError):
            wire.unpack_operation(wrong)


def test_a_personality_with_too_long_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        wire.unpack_operation(wire.pack_operation(OPERATIONS[0]._replace(personality=bytes(32))))


def test_an_entry_is_read_as_it_was_written_and_not_when_it_is_cut(table: Table) -> None:
    table.do(Move(P, ONE, TWO))
    data = b"??" + table.entries[P].packed() + table.entries[S].packed()
    first, place = entries.unpack(data, 2)
    assert (first, entries.unpack(data, place)) == (table.entries[P], (table.entries[S], len(data)))
    for size in range(2, place):
        with pytest.raises(ValueError):
            entries.unpack(data[:size], 2)
