"""The replicated dictionary."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masix.groups import Dictionary, Member, Order
from masix.groups.dictionary import CHANGES_MAX, KEY_MAX, VALUE_MAX
from masix.groups.wire import PacketError
from tests.support.group_schedules import Schedule, run, schedules
from tests.support.groups import MS, GroupWorld, Life

ME = Member(0, 1)


def replicas(world: GroupWorld) -> list[Dictionary]:
    return [life.application for life in world.staying()]


class Writing(GroupWorld):
    """Broadcasts are puts and deletes of a few keys; what each life asked for is known."""

    def broadcast(self, node: int, size: int = 0) -> None:
        life = self.lives.get(node)
        if life is None:
            return
        key = bytes((self.random.randrange(6),))
        dictionary = life.application
        if self.random.random() < 0.3:
            dictionary.delete(key)
        else:
            dictionary.put(key, bytes((node, self.random.randrange(256))) + bytes(size))
        self.plan(life)


@settings(max_examples=100)
@given(schedules(orders=(Order.TOTAL,)))
def test_replicas_agree_and_what_is_asked_for_is_done(schedule: Schedule) -> None:
    world = run(schedule, make=Dictionary, world=Writing)
    assert world.converged
    assert len({dictionary.digest() for dictionary in replicas(world)}) <= 1
    assert all(life.application.completed == life.group.issued for life in world.staying())


def three() -> GroupWorld:
    world = GroupWorld(1, 3, Order.TOTAL, make=Dictionary)
    world.run(300 * MS)
    return world


def do(world: GroupWorld, node: int, what: str, *arguments: Any) -> Life:
    life = world.lives[node]
    ticket = getattr(life.application, what)(*arguments)
    world.plan(life)
    assert ticket is not None
    world.run(50 * MS)
    assert life.application.completed >= ticket
    return life


def test_put_get_delete_at_any_replica() -> None:
    world = three()
    do(world, 0, "put", b"name", b"one")
    do(world, 1, "put", b"name", b"two")
    do(world, 2, "put", b"other", b"")
    assert [one.get(b"name") for one in replicas(world)] == [b"two"] * 3
    do(world, 0, "delete", b"name")
    do(world, 0, "delete", b"never")
    assert [(one.get(b"name"), one.get(b"other")) for one in replicas(world)] == [(None, b"")] * 3


def test_a_watch_tells_the_keys_that_changed() -> None:
    world = three()
    watcher = world.lives[2].application
    number, every = watcher.watch(b"port/"), watcher.watch(b"")
    do(world, 0, "put", b"port/1", b"x")
    do(world, 1, "put", b"task/1", b"x")
    do(world, 1, "put", b"port/1", b"y")
    do(world, 0, "delete", b"port/9")
    assert watcher.changes(number) == (b"port/1",) and watcher.changes(number) == ()
    assert watcher.changes(every) == (b"port/1", b"task/1")
    watcher.unwatch(number)
    with pytest.raises(KeyError):
        watcher.changes(number)


def test_a_watch_that_is_not_read_is_bounded() -> None:
    dictionary = Dictionary()
    number = dictionary.watch(b"")
    for index in range(CHANGES_MAX + 5):
        key = index.to_bytes(4, "big")
        dictionary.deliver(ME, b"\x01\x00\x04" + key + b"value")
    assert len(dictionary.watches[number].changed) <= CHANGES_MAX
    assert dictionary.changes(number) is None and dictionary.changes(number) == ()


def test_who_joins_gets_the_state_and_its_watchers_look_at_all() -> None:
    world = three()
    for index in range(50):
        do(world, index % 3, "put", bytes((index,)), bytes(index * 100))
    world.crash(1)
    world.run(2_000 * MS)
    world.restart(1)
    number = world.lives[1].application.watch(b"")
    assert world.settle()
    assert len({one.digest() for one in replicas(world)}) == 1 and len(world.lives[1].application.entries) == 50
    assert world.lives[1].application.changes(number) is None


def test_too_long_keys_and_values_are_refused_where_they_are_given() -> None:
    dictionary = three().lives[0].application
    with pytest.raises(ValueError, match="too long"):
        dictionary.put(bytes(KEY_MAX + 1), b"")
    with pytest.raises(ValueError, match="too long"):
        dictionary.put(b"", bytes(VALUE_MAX + 1))
    with pytest.raises(ValueError, match="too long"):
        dictionary.delete(bytes(KEY_MAX + 1))
    assert dictionary.put(bytes(KEY_MAX), bytes(VALUE_MAX)) == 1


@given(st.binary(max_size=60))
def test_bytes_that_are_no_operation_or_snapshot_change_nothing(data: bytes) -> None:
    dictionary = Dictionary()
    dictionary.entries = {b"a": b"1"}
    before = dictionary.digest()
    dictionary.deliver(ME, b"\x03" + data)
    dictionary.deliver(ME, b"\x02\x00\x01ab" + data)
    dictionary.deliver(ME, b"\x01\xff\xff" + data)
    assert dictionary.digest() == before
    try:
        dictionary.restore(data)
    except PacketError:
        assert dictionary.digest() == before
    else:
        assert dictionary.snapshot() == data or len(dictionary.entries) > 1


def test_a_snapshot_is_read_as_it_was_written() -> None:
    dice = random.Random(1)
    one, other = Dictionary(), Dictionary()
    one.entries = {dice.randbytes(dice.randrange(20)): dice.randbytes(dice.randrange(200)) for _ in range(200)}
    other.restore(one.snapshot())
    assert other.entries == one.entries and other.digest() == one.digest()


def test_what_is_dropped_is_gone_and_watchers_hear_of_it() -> None:
    dictionary = Dictionary()
    for key in (b"a", b"b"):
        dictionary.deliver(ME, b"\1\0\1" + key + b"value")
    watch = dictionary.watch(b"")
    dictionary.drop([b"a"])
    assert dictionary.entries == {b"b": b"value"} and dictionary.changes(watch) == (b"a",)
