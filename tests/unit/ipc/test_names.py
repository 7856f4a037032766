"""Which names a space gives, and what happens to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND
from machemu.abi.types import ByteOrder
from machemu.ipc import mach_port as mp
from machemu.ipc import space as spaces
from machemu.ipc.port import request_table_sizes
from machemu.ipc.space import FREE_LIST_MAX, Space
from tests.support.spaces import IpcWorld, code

DEAD_TYPE, SEND_TYPE, RECEIVE_TYPE = 0x100000, 0x10000, 0x20000


class Model:
    """GNU Mach 1.8's name space in the plainest words."""

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.free: list[int] = []

    def alloc(self) -> int:
        name = self.free.pop() if self.free else next(n for n in range(1, 10**6) if n not in self.used)
        self.used.add(name)
        return name

    def take(self, name: int) -> None:
        if name in self.free:
            self.free.remove(name)
        self.used.add(name)

    def drop(self, name: int) -> None:
        self.used.remove(name)
        if len(self.free) < FREE_LIST_MAX:
            self.free.append(name)


@given(st.lists(st.tuples(st.sampled_from(["alloc", "alloc", "take", "drop", "drop"]), st.integers(0, 200)), max_size=300))
def test_names_come_in_gnu_machs_order(steps: list[tuple[str, int]]) -> None:
    space, model = Space(), Model()
    for _ in range(150):
        assert space.alloc().name == model.alloc()
    for name in range(20, 120):
        space.dealloc(space.table[name])
        model.drop(name)
    for what, number in steps:
        if what == "alloc":
            assert space.alloc().name == model.alloc()
        elif what == "take" and number:
            space.alloc_name(number)
            model.take(number)
        elif what == "drop" and number in model.used:
            space.dealloc(space.table[number])
            model.drop(number)
    assert set(space.table) == model.used
    assert space.free == model.free


def test_a_failed_rename_leaves_the_new_name_next_in_line() -> None:
    world = IpcWorld()
    task = world.task()
    assert code(mp.mach_port_rename, task.space, 3, 5000) == 15
    assert task.port() == 5000
    world.end()


def test_a_space_has_room_for_so_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "NAMES_MAX", 3)
    world = IpcWorld()
    task = world.task()
    for _ in range(3):
        task.port()
    assert code(mp.mach_port_allocate, world.ipc, task.space, 1) == 6
    assert mp.mach_reply_port(world.ipc, task.space) == 0
    world.end()


def test_user_references_stop_at_65534() -> None:
    world = IpcWorld()
    task, other = world.task(), world.task()
    name = task.port()
    there = task.give(other, name, MAKE_SEND)
    mp.mach_port_mod_refs(world.ipc, other.space, there, 0, 65533)
    assert code(mp.mach_port_mod_refs, world.ipc, other.space, there, 0, 1) == 19
    assert code(other.insert, there, there, COPY_SEND) == 19
    assert task.give(other, name, MAKE_SEND) == there
    assert other.refs(there) == 65534
    world.check()
    mp.mach_port_destroy(world.ipc, task.space, name)
    assert other.refs(there, 4) == 65534
    world.end()


def test_rights_merge_but_send_once_rights_do_not() -> None:
    world = IpcWorld()
    task, other = world.task(), world.task()
    name = task.port()
    first = task.give(other, name, MAKE_SEND)
    assert task.give(other, name, MAKE_SEND) == first
    once = {task.give(other, name, MAKE_SEND_ONCE) for _ in range(2)}
    assert len(once | {first}) == 3
    assert other.give(task, first, MOVE_SEND) == name
    assert task.type(name) == SEND_TYPE | RECEIVE_TYPE
    assert task.give(other, name, MOVE_RECEIVE) == first
    assert other.type(first) == SEND_TYPE | RECEIVE_TYPE
    assert task.type(name) == SEND_TYPE
    world.check()
    world.end()


def test_a_second_name_for_a_port_is_refused() -> None:
    world = IpcWorld()
    task, other = world.task(), world.task()
    name = task.port()
    task.give(other, name, MAKE_SEND)
    assert code(task.insert, 700, name, MAKE_SEND, other) == 21
    assert other.port() == 700
    assert code(task.insert, 700, name, MAKE_SEND, other) == 21
    assert code(task.insert, 700, name, MAKE_SEND_ONCE, other) == 13
    assert mp.mach_port_get_receive_status(task.space, name).sorights == 1, "the refused send-once right told its port"
    world.check()
    world.end()


def test_dead_names_are_found_out_when_used() -> None:
    world = IpcWorld()
    task, other = world.task(), world.task()
    ways: tuple[Callable[[int], object], ...] = (
        lambda name: mp.mach_port_type(other.space, name),
        lambda name: mp.mach_port_get_refs(other.space, name, 4),
        lambda name: code(mp.mach_port_mod_refs, world.ipc, other.space, name, 0, 1),
        lambda name: code(mp.mach_port_extract_right, world.ipc, other.space, name, COPY_SEND),
    )
    for how in ways:
        name = task.port()
        there = task.give(other, name, MAKE_SEND)
        mp.mach_port_destroy(world.ipc, task.space, name)
        assert mp.mach_port_names(other.space)[1][-1] == DEAD_TYPE
        how(there)
        assert other.space.table[there].type == DEAD_TYPE
        assert other.space.table[there].object is None
    world.end()


def test_dead_name_requests_are_answered_in_the_order_of_their_slots() -> None:
    assert request_table_sizes(4096)[:10] == (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    assert request_table_sizes(8192)[8:11] == (512, 1024, 2048)
    world = IpcWorld(ByteOrder.BIG)
    task, other = world.task(), world.task()
    name, notify = task.port(), other.port()
    onces = [task.give(other, name, MAKE_SEND_ONCE) for _ in range(7)]
    for once in onces:
        assert other.notify(once, 72, 0, notify) == 0
    previous = other.notify(onces[3], 72, 0, notify)
    assert other.type(previous) == 0x40000
    mp.mach_port_deallocate(world.ipc, other.space, previous)
    world.check()
    mp.mach_port_mod_refs(world.ipc, other.space, onces[5], 2, -1)
    mp.mach_port_destroy(world.ipc, task.space, name)
    got = []
    while other.receive(notify) == 0:
        words = other.words(8)
        got.append((words[5], words[7] if words[5] != 71 else 0))
    # Slots fill 1, 3, 2, 7, 6, 5, 4; the fourth name's is given up and filled again; port-deleted comes at once.
    first, second, third, fourth, fifth, sixth, seventh = onces
    slots = {1: first, 3: second, 2: third, 7: fourth, 6: fifth, 4: seventh}
    assert got == [(71, 0), (65, sixth), *[(72, slots[slot]) for slot in sorted(slots)]]
    world.end()


def test_port_destroyed_saves_the_port() -> None:
    world = IpcWorld()
    task, other = world.task(), world.task()
    name, notify = task.port(), task.port()
    there = task.give(other, name, MAKE_SEND)
    task.insert(name, name, MAKE_SEND)
    other.send(COPY_SEND, there, 0, 9)
    task.notify(name, 69, 0, notify)
    mp.mach_port_mod_refs(world.ipc, task.space, name, 1, -1)
    assert task.type(name) == DEAD_TYPE
    world.check()
    assert task.receive(notify) == 0
    words = task.words(8)
    assert words[5] == 69
    saved = words[7]
    assert task.type(saved) == RECEIVE_TYPE
    assert task.receive(saved) == 0
    assert task.words(6)[4:] == (0, 9)
    assert other.send(COPY_SEND, there, 0, 10) == 0
    world.end()


def test_port_destroyed_to_itself_lets_it_die() -> None:
    world = IpcWorld()
    task = world.task()
    name = task.port()
    task.notify(name, 69, 0, name)
    mp.mach_port_mod_refs(world.ipc, task.space, name, 1, -1)
    assert not world.ipc.ports
    world.end()


def test_checking_finds_a_lost_right() -> None:
    world = IpcWorld()
    task = world.task()
    name = task.port()
    task.insert(name, name, MAKE_SEND)
    task.space.table[name].port().srights += 1
    with pytest.raises(InvariantError):
        world.check()
    task.space.table[name].port().srights -= 1
    task.space.table[name].urefs = 0
    with pytest.raises(InvariantError):
        world.check()


def test_a_dead_space_takes_nothing() -> None:
    world = IpcWorld()
    task, other = world.task(), world.task()
    name = task.port()
    spaces.destroy(world.ipc, other.space)
    with pytest.raises(KernError):
        task.give(other, name, MAKE_SEND)
    assert code(mp.mach_port_type, other.space, 1) == 16
    assert code(mp.mach_port_names, other.space) == 16
    assert other.send(COPY_SEND, 1, 0, 0) == 0x10000003
    assert other.receive(1) == 0x10004002


def test_beyond_the_free_list_the_lowest_name_comes_first() -> None:
    space = Space()
    names = [space.alloc().name for _ in range(100)]
    for name in names:
        space.dealloc(space.table[name])
    assert [space.alloc().name for _ in range(102)] == [*range(64, 0, -1), *range(65, 103)]
