"""Frames: where they go, what happens when there are none, and wiring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_INHERIT_SHARE
from machemu.vm import routines
from machemu.vm.fault import PageShortage, vm_fault
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.user import UserMemory

A = 0x10000000


def mapped(vm: Any, pages: int) -> VmMap:
    map_: VmMap = vm.new_map()
    routines.vm_allocate(map_, A, pages * vm.page_size, False)
    return map_


def exhaust(vm: Any) -> list[Any]:
    """Takes all free frames; the test gives them back."""
    return [vm.memory.allocate() for _ in range(len(vm.memory.free))]


def release(vm: Any, frames: list[Any]) -> None:
    for frame in frames:
        vm.memory.release(frame)


def test_a_new_page_is_zero_whatever_its_frame_held(vm: Any, page_size: int) -> None:
    for frame in list(vm.memory.free):
        vm.memory.write(frame * page_size, b"secret" * 100)
    assert UserMemory(mapped(vm, 1)).read(VirtAddr(A), page_size) == bytes(page_size)


def test_freed_pages_give_their_frames_back_at_once(vm: Any, page_size: int) -> None:
    map_ = mapped(vm, 1)
    routines.vm_allocate(map_, A + page_size, 4 * page_size, False)
    UserMemory(map_).write(VirtAddr(A), b"x" * 5 * page_size)
    free = len(vm.memory.free)
    routines.vm_deallocate(map_, A + page_size, 2 * page_size)
    assert (len(vm.memory.free), len(vm.resident)) == (free + 2, 3)
    routines.vm_deallocate(map_, A + page_size, 4 * page_size)
    assert (len(vm.memory.free), len(vm.resident)) == (free + 4, 1)


def test_a_fault_without_a_frame_can_be_tried_again(vm: Any, page_size: int) -> None:
    map_ = mapped(vm, 2)
    vm_fault(map_, A, 2)
    frames = exhaust(vm)
    with pytest.raises(PageShortage):
        vm_fault(map_, A + page_size, 1)
    vm.check_references([map_], [])
    release(vm, frames[:1])
    vm_fault(map_, A + page_size, 1)
    vm.check_references([map_], [])


def test_a_page_that_no_page_table_can_map_yet_waits_in_memory(vm: Any, page_size: int) -> None:
    map_ = vm.new_map()
    routines.vm_allocate(map_, A, page_size, False)
    frames = exhaust(vm)
    release(vm, [frames.pop()])
    with pytest.raises(PageShortage):
        vm_fault(map_, A, 1)
    vm.check_references([map_], [])
    release(vm, [frames.pop()])
    vm_fault(map_, A, 1)
    assert len(vm.resident) == 1


def test_user_memory_that_wants_a_frame_must_wait(vm: Any) -> None:
    map_ = mapped(vm, 2)
    memory = UserMemory(map_)
    frames = exhaust(vm)
    for call in (lambda: memory.read(VirtAddr(A), 1), lambda: memory.write(VirtAddr(A), b"x")):
        with pytest.raises(PageShortage):
            call()
    release(vm, frames)
    vm.check_references([map_], [])


def test_a_message_s_memory_that_wants_a_frame_is_a_resource_shortage(vm: Any) -> None:
    """A message that was taken out of its queue cannot wait."""
    map_ = mapped(vm, 2)
    memory = UserMemory(map_)
    frames = exhaust(vm)
    calls: tuple[Callable[[], object], ...] = (
        lambda: memory.copyout(VmMapCopy.from_bytes(vm, b"x")),
        lambda: memory.allocate(1),
    )
    for call in calls:
        with pytest.raises(KernError) as error:
            call()
        assert error.value.code == 6
    release(vm, frames)
    vm.check_references([map_], [])


@pytest.mark.parametrize("address", [0xBFFFFFFE, 0xC0000000, 0xFFFFFFFE, 0x20000000 - 2])
def test_user_memory_ends_where_the_map_does(vm: Any, address: int, page_size: int) -> None:
    map_ = vm.new_map()
    routines.vm_allocate(map_, 0xBFFFF000, page_size, False)
    routines.vm_allocate(map_, 0x20000000 - page_size, page_size, False)
    for call in (lambda: UserMemory(map_).read(VirtAddr(address), 4), lambda: UserMemory(map_).write(VirtAddr(address), b"1234")):
        with pytest.raises(KernError) as error:
            call()
        assert error.value.code == 1


def test_user_memory_crosses_pages_at_any_alignment(vm: Any, page_size: int) -> None:
    memory = UserMemory(mapped(vm, 3))
    data = bytes(range(256)) * 24
    memory.write(VirtAddr(A + page_size - 3), data)
    assert memory.read(VirtAddr(A + page_size - 3), len(data)) == data
    assert memory.read(VirtAddr(A + page_size - 4), 2) == b"\0\0"
    assert (memory.read(VirtAddr(A), 0), memory.read(VirtAddr(0), 0)) == (b"", b"")


def test_what_the_kernel_writes_for_a_task_makes_the_page_modified(vm: Any) -> None:
    map_ = mapped(vm, 1)
    UserMemory(map_).read(VirtAddr(A), 1)
    (frame,) = vm.resident
    vm.mmu.clear_modified(frame)
    UserMemory(map_).read(VirtAddr(A), 1)
    assert not vm.mmu.is_modified(frame)
    UserMemory(map_).write(VirtAddr(A), b"x")
    assert vm.mmu.is_modified(frame)


def test_wired_pages_are_counted_and_forks_and_copies_of_them_are_made_at_once(vm: Any, page_size: int) -> None:
    map_ = mapped(vm, 4)
    UserMemory(map_).write(VirtAddr(A), b"w")
    routines.vm_wire(map_, A, 2 * page_size, 3, False)
    assert (map_.size_wired, routines.vm_statistics(map_)[4], len(vm.resident)) == (2 * page_size, 2, 2)
    child = map_.fork()
    assert (len(vm.resident), vm.wire_count, child.size_wired) == (4, 2, 0)
    assert map_.pmap.translate(VirtAddr(A), 2) is not None
    UserMemory(map_).write(VirtAddr(A), b"x")
    assert UserMemory(child).read(VirtAddr(A), 1) == b"w"
    vm.check_references([map_, child], [])
    routines.vm_wire(map_, A, page_size, 0, False)
    assert (map_.size_wired, vm.wire_count) == (page_size, 1)
    map_.destroy()
    child.destroy()
    assert (vm.wire_count, len(vm.resident)) == (0, 0)


def test_memory_wired_for_reading_is_copied_when_it_is_written_later_and_stays_wired(vm: Any, page_size: int) -> None:
    map_ = mapped(vm, 1)
    UserMemory(map_).write(VirtAddr(A), b"a")
    child = map_.fork()
    routines.vm_protect(map_, A, page_size, False, 1)
    routines.vm_wire(map_, A, page_size, 1, True)
    routines.vm_protect(map_, A, page_size, False, 3)
    UserMemory(map_).write(VirtAddr(A), b"b")
    (frame,) = [frame for frame, page in vm.resident.items() if page.wire_count]
    assert map_.pmap.translate(VirtAddr(A), 1) == frame * page_size
    assert UserMemory(child).read(VirtAddr(A), 1) == b"a"
    vm.check_references([map_, child], [])
    routines.vm_wire(map_, A, page_size, 0, True)
    assert not any(page.wire_count for page in vm.resident.values())


def test_wired_memory_that_a_child_shares_stays_wired(vm: Any, page_size: int) -> None:
    map_ = mapped(vm, 3)
    routines.vm_wire(map_, A, 3 * page_size, 3, True)
    routines.vm_inherit(map_, A + page_size, page_size, VM_INHERIT_SHARE)
    child = map_.fork()
    UserMemory(child).write(VirtAddr(A + page_size), b"c")
    assert UserMemory(map_).read(VirtAddr(A + page_size), 1) == b"c"
    assert map_.size_wired == 3 * page_size
    vm.check_references([map_, child], [])


def test_wiring_refuses_holes_protection_limits_and_bad_bits(vm: Any, page_size: int) -> None:
    map_ = mapped(vm, 2)
    routines.vm_allocate(map_, A + 3 * page_size, 4 << 20, False)
    routines.vm_protect(map_, A + page_size, page_size, False, 1)
    for start, size, access, code in (
        (A, 4 * page_size, 1, 3), (A, 2 * page_size, 3, 3), (A - page_size, page_size, 1, 3), (A, (8 << 20) + 1, 1, 8),
        (A, page_size, 8, 4),
    ):  # fmt: skip
        with pytest.raises(KernError) as error:
            routines.vm_wire(map_, start, size, access, False)
        assert error.value.code == code
    assert (map_.size_wired, vm.wire_count) == (0, 0)


def test_wiring_more_than_there_is_wires_nothing(vm: Any, page_size: int) -> None:
    map_ = mapped(vm, 1)
    routines.vm_wire(map_, A, page_size, 3, True)
    routines.vm_allocate(map_, A + page_size, 1 << 30, False)
    with pytest.raises(PageShortage):
        routines.vm_wire(map_, A, (1 << 30) + page_size, 3, True)
    assert (map_.size_wired, vm.wire_count) == (page_size, 1)
    vm.check_references([map_], [])


def test_an_entry_made_inaccessible_is_unwired_until_it_is_accessible_again(vm: Any, page_size: int) -> None:
    map_ = mapped(vm, 1)
    routines.vm_wire(map_, A, page_size, 3, True)
    routines.vm_protect(map_, A, page_size, False, 0)
    assert map_.size_wired == 0
    routines.vm_protect(map_, A, page_size, False, 1)
    assert map_.size_wired == page_size


def test_the_checks_find_a_lost_reference_and_a_stray_frame(vm: Any) -> None:
    map_ = mapped(vm, 1)
    vm_fault(map_, A, 1)
    entry = map_.lookup(A)
    assert entry is not None
    assert entry.object is not None
    entry.object.ref_count += 1
    with pytest.raises(InvariantError):
        vm.check_references([map_], [])
    entry.object.ref_count -= 1
    (frame,) = vm.resident
    vm.memory.release(frame)
    with pytest.raises(InvariantError):
        vm.check_invariants()
