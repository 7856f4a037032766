"""The replicated table: what it does beside its operations, which the histories compare with the model."""

from __future__ import annotations

import pytest

from masix.gps import wire
from masix.gps.entry import Kind
from masix.gps.names import NOBODY, UqPid
from masix.gps.operations import Create, Look, Outcome, Result
from masix.gps.replicated import ENTRIES_MAX, WAITING_MAX, ReplicatedTable
from masix.groups import Member, View
from masix.groups.wire import PacketError
from tests.support.generic_replicas import ReplicatedWorld
from tests.support.generic_worlds import MS

ME, OTHER = Member(1, 1), Member(2, 1)


def create(number: int) -> Create:
    return Create(UqPid(2, number, 0), Kind.NOMAD, b"bare", NOBODY, Kind.NOMAD, OTHER, 0)


def filled(count: int) -> ReplicatedTable:
    """What a replica has after so many processes of another member's were created."""
    table = ReplicatedTable(ME)
    for number in range(count):
        table.deliver(OTHER, (number + 1).to_bytes(4) + wire.pack_operation(create(number)))
    return table


def test_a_state_is_read_as_it_was_written_and_tells_what_changes() -> None:
    table, other = filled(3), ReplicatedTable(OTHER)
    other.restore(table.snapshot())
    assert other.digest() == table.digest()
    assert list(other.changed) == [UqPid(2, number, 0) for number in range(3)]
    other.changed.clear()
    other.restore(filled(2).snapshot())
    assert list(other.changed) == [UqPid(2, 2, 0)]


def test_a_state_that_is_none_changes_nothing() -> None:
    table = filled(3)
    whole, before = filled(2).snapshot(), table.digest()
    for wrong in (*(whole[:size] for size in range(len(whole))), whole + b"\0", b"\xff" * 40):
        with pytest.raises(PacketError):
            table.restore(wrong)
    assert table.digest() == before


def test_payloads_that_are_no_operations_are_left_out() -> None:
    table = filled(1)
    before = table.digest()
    for payload in (b"", b"\0\0\0\1", b"\0\0\0\1\xff", b"\0\0\0\1\1"):
        table.deliver(OTHER, payload)
    assert table.digest() == before


def test_there_is_room_for_so_many_processes() -> None:
    table = filled(ENTRIES_MAX + 1)
    assert len(table.entries) == ENTRIES_MAX
    assert table.pasts[OTHER][ENTRIES_MAX + 1] == Result(Outcome.NO_ROOM)
    assert len(table.pasts[OTHER]) == WAITING_MAX


def test_results_of_an_incarnation_that_is_over_are_forgotten() -> None:
    table = filled(1)
    table.installed(View(2, (ME, OTHER), 2))
    assert OTHER in table.pasts
    table.installed(View(3, (ME, OTHER._replace(incarnation=2)), 1))
    assert not table.pasts


def test_a_member_s_operations_wait_for_the_group_and_no_more_than_so_many() -> None:
    assert ReplicatedTable(ME).submit(create(1)) is None
    world = ReplicatedWorld(1, 3)
    world.run(50 * MS)
    world.partition([1, 1, 0])
    table = world.lives[2].application
    for number in range(WAITING_MAX):
        world.actors[2].do(create(number))
    assert table.submit(create(WAITING_MAX)) is None
    world.run(3_000 * MS)
    assert len(table.waiting) == WAITING_MAX and not table.entries
    world.heal()
    world.run(5_000 * MS)
    assert not table.waiting and len(table.entries) == WAITING_MAX


def test_what_became_of_an_operation_comes_with_the_state_where_the_view_went_on_without_its_sender() -> None:
    """The others deliver it when they put its sender out, which then joins them."""
    world = ReplicatedWorld(1, 4)
    world.run(50 * MS)
    world.actors[3].create()
    world.run(MS // 2 + MS)
    world.partition([0, 0, 0, 1])
    world.run(4_000 * MS)
    process = next(iter(world.born))
    delivered = process in world.lives[0].application.entries
    assert delivered and process not in world.lives[3].application.entries and world.lives[3].application.waiting
    world.heal()
    world.run(5_000 * MS)
    assert world.running[process] == Member(3, 1)
    assert world.lives[3].application.read(process) is not None
    world.actors[3].ask(Look(process))
    world.run(50 * MS)
    assert world.outcomes["Look", "DONE"] == 1
