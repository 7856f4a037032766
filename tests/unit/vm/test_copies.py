"""Copy-on-write, sharing and copies under way: who sees whose writes, and that object chains stay short."""

from __future__ import annotations

from typing import Any

import pytest

from machemu.abi.errors import KernError
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_INHERIT_COPY, VM_INHERIT_NONE, VM_INHERIT_SHARE
from machemu.vm import routines
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject
from machemu.vm.user import UserMemory
from tests.support.vm import vm_copy

A = 0x10000000


def put(map_: VmMap, address: int, data: bytes) -> None:
    UserMemory(map_).write(VirtAddr(address), data)


def get(map_: VmMap, address: int, size: int = 1) -> bytes:
    return UserMemory(map_).read(VirtAddr(address), size)


def chain(map_: VmMap, address: int) -> int:
    entry = map_.lookup(address)
    obj: VmObject | None = entry.object if entry is not None else None
    length = 0
    while obj is not None:
        length += 1
        obj = obj.shadow
    return length


@pytest.fixture
def task(vm: Any) -> VmMap:
    map_: VmMap = vm.new_map()
    routines.vm_allocate(map_, A, 8 * vm.page_size, False)
    return map_


def test_parent_and_child_do_not_see_each_others_writes(task: VmMap, page_size: int) -> None:
    put(task, A, b"before")
    child = task.fork()
    put(task, A, b"parent")
    put(child, A + page_size, b"child")
    assert (get(child, A, 6), get(task, A, 6), get(task, A + page_size, 5)) == (b"before", b"parent", bytes(5))
    task.vm.check_references([task, child], [])


def test_a_fork_shares_frames_until_a_write(task: VmMap, page_size: int) -> None:
    for page in range(8):
        put(task, A + page * page_size, b"x")
    free = len(task.vm.memory.free)
    child = task.fork()
    assert len(task.vm.memory.free) >= free - 1
    assert get(child, A + 3 * page_size) == b"x"
    assert len(task.vm.resident) == 8
    put(child, A + 3 * page_size, b"y")
    assert len(task.vm.resident) == 9
    assert task.vm.cow_faults == 1
    child.destroy()
    assert len(task.vm.resident) == 8


@pytest.mark.parametrize("child_writes", [False, True])
def test_a_thousand_forks_one_after_the_other_keep_the_chain_short(task: VmMap, child_writes: bool, page_size: int) -> None:
    vm = task.vm
    for turn in range(1000):
        child = task.fork()
        writer = child if child_writes else task
        put(writer, A + turn % 8 * page_size, turn.to_bytes(2, "little"))
        if child_writes:
            task.destroy()
            task = child
        else:
            child.destroy()
        assert chain(task, A) <= 4
    assert [get(task, A + page * page_size, 2) for page in range(8)] == [(992 + page).to_bytes(2, "little") for page in range(8)]
    assert len(vm.resident) <= 24
    vm.check_references([task], [])


def test_a_living_family_of_forks_that_all_write_the_page_keeps_two_objects_each(task: VmMap) -> None:
    put(task, A, b"\0")
    family = [task]
    for turn in range(1, 60):
        family.append(family[-1].fork())
        put(family[-1], A, bytes([turn]))
        put(family[-2], A, bytes([turn + 100]))
    assert [get(member, A) for member in family] == [bytes([turn + 101]) for turn in range(59)] + [bytes([59])]
    assert max(chain(member, A) for member in family) <= 3
    task.vm.check_references(family, [])


def test_shared_memory_is_one_memory_also_for_grandchildren(task: VmMap, page_size: int) -> None:
    put(task, A, b"a")
    routines.vm_inherit(task, A, 2 * page_size, VM_INHERIT_SHARE)
    routines.vm_inherit(task, A + 2 * page_size, page_size, VM_INHERIT_NONE)
    child = task.fork()
    grandchild = child.fork()
    put(grandchild, A + page_size, b"g")
    put(task, A, b"t")
    assert [get(member, A, 1) + get(member, A + page_size, 1) for member in (task, child, grandchild)] == [b"tg"] * 3
    with pytest.raises(KernError):
        get(child, A + 2 * page_size)
    task.destroy()
    put(child, A, b"c")
    assert get(grandchild, A) == b"c"
    task.vm.check_references([child, grandchild], [])


def test_copies_of_shared_memory_each_keep_their_moment(task: VmMap, page_size: int) -> None:
    routines.vm_inherit(task, A, 8 * page_size, VM_INHERIT_SHARE)
    child = task.fork()
    copies = []
    for turn in range(1, 6):
        put(task if turn % 2 else child, A, bytes([turn]))
        copies.append(UserMemory(child).copyin(VirtAddr(A), page_size, False))
    put(child, A, b"\xff")
    assert [copy.to_bytes()[0] for copy in copies] == [1, 2, 3, 4, 5]
    task.vm.check_references([task, child], copies)
    at = [UserMemory(task).copyout(copy) for copy in copies]
    put(task, at[1], b"z")
    assert [get(task, address) for address in at] == [b"\1", b"z", b"\3", b"\4", b"\5"]
    assert get(task, A) == b"\xff"


def test_a_mapped_copy_of_shared_memory_is_left_alone_by_a_later_write(task: VmMap, page_size: int) -> None:
    routines.vm_inherit(task, A, page_size, VM_INHERIT_SHARE)
    child = task.fork()
    put(task, A, b"1")
    at = UserMemory(task).copyout(UserMemory(task).copyin(VirtAddr(A), page_size, False))
    assert get(task, at) == b"1"
    put(child, A, b"2")
    assert (get(task, at), get(task, A)) == (b"1", b"2")


def test_what_a_sender_writes_later_does_not_reach_a_copy_and_the_offset_in_the_page_stays(task: VmMap, page_size: int) -> None:
    put(task, A + 100, b"hello")
    copy = UserMemory(task).copyin(VirtAddr(A + 100), page_size, False)
    put(task, A + 100, b"later")
    other = task.vm.new_map()
    at = UserMemory(other).copyout(copy)
    assert (at % page_size, get(other, at, 5), other.size) == (100, b"hello", 2 * page_size)
    copy.discard()
    assert get(other, at, 5) == b"hello"


def test_memory_sent_with_deallocate_moves_without_a_copy(task: VmMap, page_size: int) -> None:
    put(task, A + page_size, b"moved")
    copy = UserMemory(task).copyin(VirtAddr(A + page_size + 1), 10, True)
    with pytest.raises(KernError):
        get(task, A + page_size)
    assert copy.to_bytes() == b"oved" + bytes(6)
    put(task, A, b"x")
    at = UserMemory(task).copyout(copy)
    put(task, at, b"y")
    assert len(task.vm.resident) == 2
    task.vm.check_references([task], [])


@pytest.mark.parametrize(("address", "size"), [(A, None), (0x20000000, 1), (A, 0xFFFFFFFF), (0xFFFFFFFF, 1), (A, 0xF0000000)])
def test_a_copy_of_what_is_not_all_there_takes_nothing(task: VmMap, address: int, size: int | None, page_size: int) -> None:
    put(task, A + 7 * page_size, b"kept")
    with pytest.raises(KernError) as error:
        UserMemory(task).copyin(VirtAddr(address), 8 * page_size + 1 if size is None else size, True)
    assert error.value.code == 1
    assert (task.size, get(task, A + 7 * page_size, 4)) == (8 * page_size, b"kept")
    task.vm.check_references([task], [])


def test_an_unreadable_page_cannot_be_copied(task: VmMap, page_size: int) -> None:
    routines.vm_protect(task, A + page_size, page_size, False, 0)
    with pytest.raises(KernError) as error:
        UserMemory(task).copyin(VirtAddr(A), 3 * page_size, False)
    assert error.value.code == 2
    task.vm.check_references([task], [])


def test_a_write_over_memory_keeps_what_it_was_mapped_with(task: VmMap, page_size: int) -> None:
    routines.vm_inherit(task, A + page_size, page_size, VM_INHERIT_NONE)
    copy = VmMapCopy.from_bytes(task.vm, b"1" * page_size + b"2" * page_size)
    routines.vm_write(task, A + page_size, copy, 2 * page_size)
    assert get(task, A + page_size, 2 * page_size) == b"1" * page_size + b"2" * page_size
    assert [routines.vm_region(task, A + page * page_size)[4] for page in range(1, 3)] == [VM_INHERIT_NONE, VM_INHERIT_COPY]
    task.vm.check_references([task], [copy])


def test_a_write_that_meets_a_hole_or_a_read_only_page_changes_nothing(task: VmMap, page_size: int) -> None:
    put(task, A, b"kept")
    routines.vm_protect(task, A + page_size, page_size, False, 1)
    copy = VmMapCopy.from_bytes(task.vm, bytes([9]) * 2 * page_size)
    for target, code in ((A, 2), (A + 7 * page_size, 1), (A - page_size, 1), (A + 4, 4)):
        with pytest.raises(KernError) as error:
            routines.vm_write(task, target, copy, copy.size)
        assert error.value.code == code
    assert get(task, A, 4) == b"kept"
    assert copy.to_bytes() == bytes([9]) * 2 * page_size


def test_a_write_to_shared_memory_reaches_all_who_share_it(task: VmMap, page_size: int) -> None:
    routines.vm_inherit(task, A, 2 * page_size, VM_INHERIT_SHARE)
    child = task.fork()
    routines.vm_write(child, A, VmMapCopy.from_bytes(task.vm, b"w" * 3 * page_size), 3 * page_size)
    assert get(task, A, 3 * page_size) == b"w" * 2 * page_size + bytes(page_size)
    put(task, A, b"t")
    assert get(child, A, 2) == b"tw"


def test_no_bytes_are_no_copy(task: VmMap) -> None:
    assert routines.vm_read(task, A, 0) is None
    routines.vm_write(task, A, None, 0)
    vm_copy(task, A, 0, 1)
    assert UserMemory(task).copyout(VmMapCopy.from_bytes(task.vm, b"")) == 0


def test_a_copy_that_finds_no_room_is_consumed(task: VmMap, page_size: int) -> None:
    routines.vm_allocate(task, A + 8 * page_size, task.max_offset - A - 8 * page_size, False)
    put(task, A, b"x")
    copy = UserMemory(task).copyin(VirtAddr(A), page_size, False)
    with pytest.raises(KernError) as error:
        UserMemory(task).copyout(copy)
    assert error.value.code == 3
    task.vm.check_references([task], [])
