"""Address maps: which addresses are given out, how calls split entries, and what odd arguments answer.

Addresses and regions named here are those that GNU Mach 1.8 gave for the same calls in a task laid out alike.
"""

from __future__ import annotations

from typing import Any

import pytest

from machemu.abi.errors import KernError
from machemu.abi.message import PORT_DEAD
from machemu.abi.types import VirtAddr
from machemu.vm import routines
from machemu.vm.fault import vm_fault
from machemu.vm.map import VmMap
from machemu.vm.user import UserMemory
from tests.support.vm import vm_copy

PAGE = 4096
pytestmark = pytest.mark.parametrize("boot", ["fake", "i386"], indirect=True)
"""Machines with pages of that size, for which the real kernel's addresses are known."""
INVALID_ADDRESS, PROTECTION_FAILURE, NO_SPACE, INVALID_ARGUMENT, WRITE_PROTECTION_FAILURE = 1, 2, 3, 4, 24


def code_of(call: Any, *arguments: Any) -> int:
    try:
        call(*arguments)
    except KernError as error:
        return error.code
    return 0


def any_(map_: VmMap, size: int) -> int:
    return routines.vm_allocate(map_, 0, size, True)


def at(map_: VmMap, address: int, size: int = PAGE) -> int:
    return routines.vm_allocate(map_, address, size, False)


def masked(map_: VmMap, size: int, mask: int) -> int:
    return routines.vm_map(map_, 0, size, mask, True, None, 0, False, 3, 7, 1)


def regions(map_: VmMap, start: int = 0, end: int = 1 << 32) -> list[tuple[int, int]]:
    return [(entry.start, entry.end - entry.start) for entry in map_.entries if start <= entry.start < end]


@pytest.fixture
def task(vm: Any) -> VmMap:
    """A boot module's map: text, data, bss and the stack."""
    map_: VmMap = vm.new_map()
    for start, size, protection in (
        (0x8048000, 0x1000, 1),
        (0x8049000, 0xA000, 5),
        (0x8053000, 0x4000, 1),
        (0x8057000, 0x1000, 3),
    ):
        at(map_, start, size)
        routines.vm_protect(map_, start, size, False, protection)
    at(map_, 0xBFFE0000, 0x20000)
    return map_


def test_neighbours_stay_entries_of_their_own(task: VmMap) -> None:
    assert any_(task, 5 * PAGE) == 0x8058000
    assert any_(task, PAGE) == 0x805D000
    assert regions(task, 0x8057000, 0x9000000) == [(0x8057000, PAGE), (0x8058000, 5 * PAGE), (0x805D000, PAGE)]


def test_space_anywhere_is_the_smallest_gap_that_fits(task: VmMap) -> None:
    a = any_(task, 5 * PAGE)
    any_(task, PAGE)
    for start in (0x20000000, 0x20003000, 0x20008000, 0x2000A000):
        at(task, start)
    assert [any_(task, count * PAGE) for count in (2, 2, 4, 1)] == [0x20001000, 0x20004000, 0x805E000, 0x20009000]
    routines.vm_deallocate(task, a + PAGE, PAGE)
    assert [any_(task, PAGE), any_(task, PAGE)] == [0x8059000, 0x20006000]
    assert masked(task, PAGE, 0xFFFF) == 0x8070000
    assert masked(task, PAGE, 0xFFFF) == 0x8080000
    for mask in (0xFFFF0FFF, 0xFF000000, 0xFF00FFFF, 0xF0F00000):
        assert code_of(masked, task, PAGE, mask) == NO_SPACE
    task.check_invariants()


def test_the_last_made_of_equal_gaps_is_taken_first(task: VmMap) -> None:
    for start in range(0x20000000, 0x20000000 + 10 * PAGE, 2 * PAGE):
        at(task, start)
    assert [any_(task, PAGE) for _ in range(4)] == [0x20007000, 0x20005000, 0x20003000, 0x20001000]


def test_masks_bound_and_align(task: VmMap) -> None:
    at(task, 0x40000000, 4 * PAGE)
    any_(task, 2 * PAGE)
    assert masked(task, PAGE, 0xFFFF) == 0x8060000
    assert masked(task, 0x60000000, 0xFFFFF) == 0x40100000
    assert code_of(masked, task, 0x40000000, 0x7FFFFFFF) == NO_SPACE


def test_an_empty_map_is_filled_from_its_first_address_upwards(vm: Any) -> None:
    map_ = vm.new_map()
    assert [any_(map_, PAGE) for _ in range(3)] == [0, PAGE, 2 * PAGE]
    routines.vm_deallocate(map_, 0, PAGE)
    assert any_(map_, PAGE) == 3 * PAGE
    at(map_, 0x30000000, 4 * PAGE)
    routines.vm_deallocate(map_, 0x30001000, PAGE)
    assert [any_(map_, PAGE), any_(map_, PAGE)] == [0x30001000, 4 * PAGE]


def test_shared_and_overwritten_regions_show_the_offsets_of_their_objects(task: VmMap) -> None:
    c = at(task, 0x50000000, 0x10000)
    memory = UserMemory(task)
    memory.write(VirtAddr(c), b"1")
    routines.vm_inherit(task, c + 0x1000, 0x1000, 0)
    routines.vm_inherit(task, c + 0x3000, 0x2000, 0)
    memory.write(VirtAddr(c + 0x3000), b"7")
    routines.vm_inherit(task, c + 0x8000, 0x1000, 2)
    routines.vm_inherit(task, at(task, 0x50020000, 0x4000), 0x4000, 0)
    copy = memory.copyout(memory.copyin(VirtAddr(c), 0x2000, False))
    routines.vm_inherit(task, copy, 0x2000, 0)
    child = task.fork()
    forked = [
        (0x50000, 1, 1, False, 0), (0x50001, 1, 0, True, 0), (0x50002, 1, 1, False, 2), (0x50003, 2, 0, True, 0),
        (0x50005, 3, 1, False, 5), (0x50008, 1, 2, False, 8), (0x50009, 7, 1, False, 9), (0x50010, 1, 0, True, 0),
        (0x50011, 1, 0, True, 0), (0x50020, 4, 0, True, 0),
    ]  # fmt: skip
    assert shown(task) == forked
    assert shown(child) == [region for region in forked if region[2] != 2]
    assert any_(child, PAGE) == 0x50008000
    at_ = memory.copyout(UserMemory(child).copyin(VirtAddr(c + 0x3000), 0x2000, False))
    memory.write(VirtAddr(c + 0x3000), b"8")
    assert memory.read(VirtAddr(at_), 1) == b"7"
    vm_copy(task, c + 0x3000, 0x1000, c + 0x4000)
    vm_copy(task, c, 0x3000, c + 0x6000)
    assert shown(task) == [
        (0x50000, 1, 1, False, 0), (0x50001, 1, 0, True, 0), (0x50002, 1, 1, False, 2), (0x50003, 1, 0, True, 0),
        (0x50004, 1, 0, True, 1), (0x50005, 1, 1, False, 5), (0x50006, 1, 1, False, 0), (0x50007, 1, 1, False, 0),
        (0x50008, 1, 2, False, 2), (0x50009, 7, 1, False, 9), (0x50010, 1, 0, True, 0), (0x50011, 1, 0, True, 0),
        (0x50012, 2, 1, False, 0), (0x50020, 4, 0, True, 0),
    ]  # fmt: skip
    task.vm.check_references([task, child], [])


def shown(map_: VmMap) -> list[tuple[int, int, int, bool, int]]:
    """The regions from 0x50000000 to the stack: page, pages, inheritance, shared, offset in pages."""
    return [
        (e.start // PAGE, (e.end - e.start) // PAGE, e.inheritance, e.is_shared, e.offset // PAGE)
        for e in map_.entries
        if 0x50000000 <= e.start < 0xB0000000
    ]


def test_a_high_mask_bounds_the_first_entry_too(vm: Any) -> None:
    map_ = vm.new_map()
    assert code_of(masked, map_, 0x20000, 0xFFFF0000) == NO_SPACE
    assert masked(map_, 0x10000, 0xFFFF0000) == 0


def test_a_page_cut_out_leaves_the_parts_with_their_offsets(task: VmMap) -> None:
    a = any_(task, 5 * PAGE)
    routines.vm_deallocate(task, a + PAGE, PAGE)
    assert routines.vm_region(task, a)[1] == PAGE
    assert routines.vm_region(task, a + PAGE) == (a + 2 * PAGE, 3 * PAGE, 3, 7, 1, False, None, 2 * PAGE)


def test_a_range_that_wraps_changes_nothing_but_splits_where_it_ends(task: VmMap) -> None:
    at(task, 0x30000000, 0x8000)
    routines.vm_deallocate(task, 0x30001000, 0xFFFFF000)
    routines.vm_protect(task, 0x30000000, 0xFFFFF000, False, 1)
    routines.vm_inherit(task, 0x30002000, 0, 2)
    assert [(e.start, e.end, e.protection, e.inheritance, e.offset) for e in task.entries if e.start >> 28 == 3] == [
        (0x30000000, 0x30002000, 3, 1, 0),
        (0x30002000, 0x30008000, 3, 1, 0x2000),
    ]


@pytest.mark.parametrize(
    ("address", "size", "code"),
    [
        (0xBFFFF000, 2 * PAGE, INVALID_ADDRESS),
        (0xD0000000, PAGE, INVALID_ADDRESS),
        (0x20000000, 0xFFFFFFFF, INVALID_ARGUMENT),
        (0x20000000, 0xFFFFE000, INVALID_ADDRESS),
        (0xFFFFFFFF, 1, INVALID_ADDRESS),
        (0x8048FFF, 1, NO_SPACE),
        (0x8047000, 2 * PAGE, NO_SPACE),
    ],
)
def test_allocating_at_a_bad_place_changes_nothing(task: VmMap, address: int, size: int, code: int) -> None:
    before = regions(task)
    assert code_of(routines.vm_allocate, task, address, size, False) == code
    assert regions(task) == before
    task.check_invariants()


def test_vm_map_refuses_bad_arguments(task: VmMap) -> None:
    def vm_map(size: int = PAGE, memory_object: object = None, current: int = 3, maximum: int = 7, inherit: int = 1) -> int:
        return routines.vm_map(task, 0, size, 0, True, memory_object, 5, True, current, maximum, inherit)

    for arguments in ({"size": 0}, {"current": 8}, {"maximum": 0x10}, {"inherit": 3}):
        assert code_of(lambda given: vm_map(**given), arguments) == INVALID_ARGUMENT
    assert routines.vm_region(task, vm_map(memory_object=PORT_DEAD, current=1, maximum=5, inherit=0))[2:5] == (1, 5, 0)


def test_protection_above_the_maximum_is_refused_as_a_whole(task: VmMap) -> None:
    a = any_(task, 4 * PAGE)
    routines.vm_protect(task, a + 2 * PAGE, PAGE, True, 1)
    assert code_of(routines.vm_protect, task, a, 4 * PAGE, False, 3) == PROTECTION_FAILURE
    assert code_of(routines.vm_protect, task, a, PAGE, False, 8) == INVALID_ARGUMENT
    assert [entry.protection for entry in task.entries if a <= entry.start < a + 4 * PAGE] == [3, 1, 3]


def test_faults_answer_what_protection_says(task: VmMap) -> None:
    a = any_(task, 3 * PAGE)
    routines.vm_protect(task, a, PAGE, False, 1)
    routines.vm_protect(task, a + PAGE, PAGE, False, 0x11)
    assert code_of(vm_fault, task, a, 2) == PROTECTION_FAILURE
    assert code_of(vm_fault, task, a + PAGE, 2) == WRITE_PROTECTION_FAILURE
    assert code_of(vm_fault, task, a + 3 * PAGE, 1) == INVALID_ADDRESS
    assert code_of(vm_fault, task, a + PAGE, 1) == 0
    routines.vm_protect(task, a, PAGE, False, 0)
    assert code_of(vm_fault, task, a, 1) == PROTECTION_FAILURE


def test_protection_that_is_raised_shows_at_the_next_access(task: VmMap) -> None:
    a = any_(task, PAGE)
    memory = UserMemory(task)
    memory.write(VirtAddr(a), b"old")
    routines.vm_protect(task, a, PAGE, False, 1)
    assert code_of(memory.write, VirtAddr(a), b"new") == INVALID_ADDRESS
    routines.vm_protect(task, a, PAGE, False, 3)
    memory.write(VirtAddr(a), b"new")
    assert memory.read(VirtAddr(a), 3) == b"new"


def test_machine_attributes_are_not_there(task: VmMap) -> None:
    assert code_of(routines.vm_machine_attribute, task, 0x8048000, PAGE, 1, 0) == INVALID_ADDRESS
    assert code_of(routines.vm_machine_attribute, task, 0xF0000000, PAGE, 1, 0) == INVALID_ARGUMENT


@pytest.mark.slow
def test_a_hundred_thousand_entries_and_a_hole_in_each(vm: Any) -> None:
    map_ = vm.new_map()
    count = 100_000
    for index in range(count // 2):
        at(map_, 0x10000000 + index * 4 * PAGE, 3 * PAGE)
    for index in range(count // 2):
        routines.vm_deallocate(map_, 0x10000000 + index * 4 * PAGE + PAGE, PAGE)
    assert len(map_.entries) == count
    assert any_(map_, PAGE) == 0x10000000 + (count // 2 - 1) * 4 * PAGE + PAGE
    map_.check_invariants()
    routines.vm_deallocate(map_, 0, 0xC0000000)
    assert (map_.entries, map_.size) == ([], 0)
    map_.check_invariants()


def test_ten_thousand_sparse_allocations_of_2_gib_take_no_memory(vm: Any) -> None:
    free = len(vm.memory.free)
    map_ = vm.new_map()
    tables = 0
    for index in range(10_000):
        start = at(map_, 0x10000000 + index % 7 * PAGE, 2 << 30)
        if index % 1000 == 0:
            UserMemory(map_).write(VirtAddr(start + (index << 12)), b"x")
            tables = max(tables, free - len(vm.memory.free))
        routines.vm_deallocate(map_, start, 2 << 30)
    assert tables < 40
    map_.destroy()
    assert len(vm.memory.free) == free
