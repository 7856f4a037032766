"""Address maps that are told in words and made again of them, and the pages of regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT, KERN_INVALID_HOST
from machemu.abi.message import PORT_DEAD
from machemu.abi.migrate import ENTRY_NEEDS_COPY, ENTRY_SHARED, NONE, OBJECT_BEHIND, OBJECT_COPIED, OBJECT_MANAGED
from machemu.abi.types import VirtAddr
from machemu.core import invariants
from machemu.ipc import port as ports
from machemu.ipc.port import Right
from machemu.kern import freeze, task_control
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_migrate import MEMORY_OBJECT_INTERNALIZE, TASK_THAW
from machemu.mig.runtime import OutOfLine
from machemu.vm import region_pages
from machemu.vm import routines as vm
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.pager import COPY_TEMPORARY
from tests.support.guests import ARCHS, Arch
from tests.support.machine import Machine, empty
from tests.support.managers import Manager
from tests.support.maps import bytes_of, map_of, pages, set_map, told_map
from tests.support.moves import relocate
from tests.support.routines import call

AT = 0x100000
"""Where a task's map has its first entry."""
FAMILY = 0x20000000
MANAGED = 0x30000000


def frozen(machine: Machine) -> Task:
    task = task_control.create(machine.kernel.kern, None, False, "new")
    freeze.freeze(machine.kernel.kern, task)
    return task


def with_holes(machine: Machine) -> Task:
    """A task with entries of all sorts, and gaps of the same size that came in another order than that of their addresses."""
    page, task = machine.arch.page, task_control.create(machine.kernel.kern, None, False, "old")
    map_ = map_of(task)
    vm.vm_allocate(map_, AT, 40 * page, False)
    vm.vm_allocate(map_, AT + 50 * page, 2 * page, False)
    task.memory.write(VirtAddr(AT), b"first")
    for hole in (30, 4, 20, 12):
        vm.vm_deallocate(map_, AT + hole * page, 2 * page)
    vm.vm_protect(map_, AT + page, page, False, 1)
    vm.vm_protect(map_, AT + 2 * page, page, False, 0)
    vm.vm_protect(map_, AT + 6 * page, page, True, 5)
    vm.vm_inherit(map_, AT + 8 * page, page, 2)
    task.memory.write(VirtAddr(AT + 14 * page), b"next")
    task.memory.write(VirtAddr(AT + 50 * page), b"other")
    return task


def rooms(machine: Machine, task: Task) -> list[int]:
    """Where the next memory comes, of several sizes."""
    return [vm.vm_allocate(map_of(task), 0, size * machine.arch.page, True) for size in (1, 1, 2, 1, 2, 3, 2)]


def test_a_map_made_of_words_is_alike_and_gives_the_same_addresses(arch: Arch) -> None:
    with empty(arch) as machine:
        old, new = with_holes(machine), frozen(machine)
        told = told_map(machine, old)
        assert [each for each in told.objects if each.number] == []
        set_map(machine, new, told.words, [None] * len(told.objects))
        again = told_map(machine, new)
        assert again.words == told.words[: len(again.words)]
        assert told.mapped and not again.mapped
        machine.check()
        assert rooms(machine, new) == rooms(machine, old)


def test_pieces_of_one_object_stay_one_and_so_do_copies_that_are_still_to_be_made(arch: Arch) -> None:
    with empty(arch) as machine:
        task = with_holes(machine)
        map_, page = map_of(task), arch.page
        copy = vm.vm_read(map_, AT + 14 * page, page)
        assert copy is not None
        vm.vm_write(map_, AT + 8 * page, copy, page)
        told = told_map(machine, task)
        first, other = told.object_at(AT), told.object_at(AT + 50 * page)
        assert first is not None
        assert first == told.object_at(AT + page) == told.object_at(AT + 6 * page)
        assert other not in (None, first)
        at = {entry.start: entry for entry in told.entries}
        source, target = at[AT + 14 * page], at[AT + 8 * page]
        assert (source.object, source.offset, source.flags) == (target.object, target.offset, target.flags)
        assert (source.flags, told.objects[source.object].flags) == (ENTRY_NEEDS_COPY, OBJECT_COPIED)
        new, manager = frozen(machine), Manager(machine)
        set_map(machine, new, told.words, [manager.port if each == first else None for each in told.objects])
        manager.ready(strategy=3)
        addresses, data = pages(machine, task, AT + 14 * page, page)
        assert addresses == (AT + 14 * page,)
        manager.supply(14 * page, bytes_of(data))
        call(machine.kernel, MEMORY_OBJECT_INTERNALIZE, manager.control)
        new.memory.write(VirtAddr(AT + 8 * page), b"ours")
        assert [new.memory.read(VirtAddr(AT + at * page), 4) for at in (8, 14)] == [b"ours", b"next"]
        assert [told_map(machine, new).object_at(AT + at * page).flags for at in (8, 14)] == [0, OBJECT_COPIED]  # type: ignore[union-attr]
        machine.check()


def test_memory_of_a_family_has_one_number_in_all_of_its_maps(arch: Arch) -> None:
    with empty(arch) as machine:
        kern, page = machine.kernel.kern, arch.page
        parent = with_holes(machine)
        vm.vm_allocate(map_of(parent), FAMILY, 4 * page, False)
        vm.vm_inherit(map_of(parent), FAMILY, 2 * page, 0)
        child = task_control.create(kern, parent, True, "child")
        parent.memory.write(VirtAddr(FAMILY), b"both")
        mine, its = told_map(machine, parent), told_map(machine, child)
        shared = mine.object_at(FAMILY)
        assert shared is not None
        assert (shared, shared.users) == (its.object_at(FAMILY), 2)
        assert shared.number
        assert told_map(machine, parent).object_at(FAMILY) == shared
        assert mine.object_at(AT) == its.object_at(AT)
        manager = Manager(machine)
        news = [frozen(machine), frozen(machine)]
        for told, new in zip((mine, its), news, strict=True):
            rights: list[Right] = [manager.port if each == shared else None for each in told.objects]
            set_map(machine, new, told.words, rights)
        assert manager.names() == ["init"]
        manager.tell("ready", 0, 3)
        addresses, data = pages(machine, parent, FAMILY, 2 * page)
        assert addresses == (FAMILY,)
        manager.supply(0, bytes_of(data))
        news[0].memory.write(VirtAddr(FAMILY + 8), b"new")
        assert news[1].memory.read(VirtAddr(FAMILY), 11) == b"both" + bytes(4) + b"new"
        assert parent.memory.read(VirtAddr(FAMILY), 11) == b"both" + bytes(7)
        again = [told_map(machine, new) for new in news]
        assert [each.entries[-2].flags for each in again] == [ENTRY_SHARED] * 2
        assert [each.objects[each.entries[-2].object].users for each in again] == [2, 2]
        machine.check()


def test_a_memory_manager_of_a_users_is_told_by_its_right_and_a_dead_one_by_a_dead_right(arch: Arch) -> None:
    with empty(arch) as machine:
        task, manager = with_holes(machine), Manager(machine)
        manager.map(task, 2 * arch.page, MANAGED)
        manager.ready(strategy=2)
        manager.map(task, 2 * arch.page, MANAGED + 0x100000, copy=True)
        told = told_map(machine, task)
        direct, copied = told.object_at(MANAGED), told.object_at(MANAGED + 0x100000)
        assert direct is not None
        assert copied is not None
        assert (direct.flags, copied.flags) == (OBJECT_MANAGED, OBJECT_BEHIND | OBJECT_COPIED)
        assert told.managers[told.objects.index(direct)] is manager.port
        assert [each for each in told.managers if each is not None] == [manager.port]
        machine.end(manager.task)
        told = told_map(machine, task)
        assert [each for each in told.managers if each is not None] == [PORT_DEAD]


def test_a_copy_to_be_made_of_what_a_dead_manager_had_is_told_of_without_pages_that_nobody_has(arch: Arch) -> None:
    with empty(arch) as machine:
        parent, manager = with_holes(machine), Manager(machine)
        manager.map(parent, 2 * arch.page, MANAGED)
        manager.ready(strategy=COPY_TEMPORARY)
        manager.supply(0, b"there".ljust(arch.page, b"\0"))
        child = task_control.create(machine.kernel.kern, parent, True, "child")
        machine.end(manager.task)
        for task in (parent, child):
            told = told_map(machine, task)
            [entry] = [each for each in told.entries if each.start == MANAGED]
            flags = told.objects[entry.object].flags
            assert (entry.flags, flags) == (ENTRY_NEEDS_COPY, OBJECT_MANAGED | OBJECT_COPIED)
            assert told.managers[entry.object] is PORT_DEAD
            addresses, data = pages(machine, task, MANAGED, 2 * arch.page, bool(flags & OBJECT_BEHIND))
            assert (addresses, bytes_of(data)[:5]) == ((MANAGED,), b"there")


def test_pages_are_read_whatever_their_protection_and_only_those_that_exist(arch: Arch) -> None:
    with empty(arch) as machine:
        task, page = with_holes(machine), arch.page
        task.memory.write(VirtAddr(AT + 32 * page), b"hidden")
        vm.vm_protect(map_of(task), AT + 32 * page, page, False, 0)
        freeze.freeze(machine.kernel.kern, task)
        before, told = machine.usage(), told_map(machine, task)
        translated = map_of(task).pmap.resident_count()
        addresses, data = pages(machine, task, AT, 40 * page)
        assert addresses == (AT, AT + 14 * page, AT + 32 * page)
        assert map_of(task).pmap.resident_count() == translated
        content = bytes_of(data)
        assert content == b"first".ljust(page, b"\0") + b"next".ljust(page, b"\0") + b"hidden".ljust(page, b"\0")
        again = told_map(machine, task)
        assert (machine.usage(), again.objects, again.entries, again.gaps) == (before, told.objects, told.entries, told.gaps)
        assert pages(machine, task, AT + 15 * page, 5 * page) == ((), OutOfLine(None, 0))
        freeze.thaw(machine.kernel.kern, task)


def test_what_was_read_stays_as_it_was_where_the_region_is_written_or_goes(arch: Arch) -> None:
    with empty(arch) as machine:
        task, page = with_holes(machine), arch.page
        _, data = pages(machine, task, AT, 40 * page)
        task.memory.write(VirtAddr(AT), b"later")
        vm.vm_deallocate(map_of(task), AT + 14 * page, page)
        assert task.memory.read(VirtAddr(AT), 5) == b"later"
        assert isinstance(data.copy, VmMapCopy)
        assert data.copy.to_bytes()[: page + 4] == b"first".ljust(page, b"\0") + b"next"
        data.copy.discard()
        machine.check()
        kept = vm.vm_read(map_of(task), AT, page)
        assert kept is not None
        task.memory.write(VirtAddr(AT), b"third")
        assert kept.to_bytes()[:5] == b"later"
        kept.discard()


def test_pages_that_are_with_the_default_memory_manager_exist_and_a_managers_only_where_they_are_asked_for(arch: Arch) -> None:
    with empty(arch) as machine:
        kernel, page = machine.kernel, arch.page
        task, default, manager = with_holes(machine), Manager(machine), Manager(machine)
        kernel.vm.default_manager = ports.make_send(kernel.ipc, default.port)
        obj = map_of(task).entries[0].object
        assert obj is not None
        kernel.vm.make_internal_pager(obj)
        kernel.vm.clean_page(obj.pages[0])
        addresses, data = pages(machine, task, AT, 40 * page)
        assert addresses == (AT, AT + 14 * page)
        assert isinstance(data.copy, VmMapCopy)
        with pytest.raises(MustWait):
            data.copy.to_bytes()
        data.copy.discard()
        manager.map(task, 3 * page, MANAGED)
        manager.ready()
        manager.supply(page, b"supplied".ljust(page, b"\0"), lock=7)
        addresses, data = pages(machine, task, MANAGED, 3 * page)
        assert (addresses, bytes_of(data)[:8]) == ((MANAGED + page,), b"supplied")
        assert manager.take() is None
        with pytest.raises(MustWait):
            region_pages.get_pages(map_of(task), MANAGED, 3 * page, True)
        assert [name for name in manager.names() if name != "init"] == ["data_request"]
        machine.kernel.vm.check_invariants()


def test_memory_that_was_wired_is_wired_when_the_new_task_is_thawed(arch: Arch) -> None:
    with empty(arch) as machine:
        page, old, new = arch.page, with_holes(machine), frozen(machine)
        vm.vm_wire(map_of(old), AT + 8 * page, 4 * page, 3, True)
        told = told_map(machine, old)
        set_map(machine, new, told.words, [None] * len(told.objects))
        assert map_of(new).size_wired == 0
        machine.check()
        call(machine.kernel, TASK_THAW, new.itk_self)
        assert map_of(new).size_wired == 4 * page
        assert told_map(machine, new).entries == told.entries
        machine.check()


def test_pages_are_mapped_again_as_they_were_also_where_they_may_not_be_read(arch: Arch) -> None:
    """The processor has no pages that may be written only: what is mapped can be read, and what is not cannot."""
    with empty(arch) as machine:
        page, task = arch.page, task_control.create(machine.kernel.kern, None, False, "old")
        vm.vm_allocate(map_of(task), AT, 4 * page, False)
        for at in range(3):
            task.memory.write(VirtAddr(AT + at * page), b"touched")
        vm.vm_protect(map_of(task), AT, page, False, 2)
        vm.vm_wire(map_of(task), AT + 2 * page, page, 3, True)
        vm.vm_protect(map_of(task), AT + 2 * page, page, False, 2)
        vm.vm_protect(map_of(task), AT + 3 * page, page, False, 2)
        task.memory.write(VirtAddr(AT + 3 * page), b"touched")
        before = [map_of(task).pmap.access(VirtAddr(AT + at * page)) for at in range(4)]
        assert before == [0, 3, 0, 3]
        new = relocate(machine, task)
        assert [map_of(new).pmap.access(VirtAddr(AT + at * page)) for at in range(4)] == before
        machine.check()


def test_wired_memory_that_is_to_be_copied_before_it_is_written_is_so_after_a_move(arch: Arch) -> None:
    with empty(arch) as machine:
        page, task = arch.page, task_control.create(machine.kernel.kern, None, False, "old")
        map_ = map_of(task)
        vm.vm_allocate(map_, AT, page, False)
        task.memory.write(VirtAddr(AT), b"first")
        child = task_control.create(machine.kernel.kern, task, True, "child")
        vm.vm_protect(map_, AT, page, False, 1)
        vm.vm_wire(map_, AT, page, 1, True)
        vm.vm_protect(map_, AT, page, False, 3)
        for each in (task, child):
            [entry] = map_of(relocate(machine, each)).entries
            assert (entry.needs_copy, entry.wired, entry.offset) == (True, each is task, 0)
        machine.check()


def test_a_map_is_set_by_the_privileged_host_port_and_once_in_a_frozen_task(arch: Arch) -> None:
    with empty(arch) as machine:
        old, new = with_holes(machine), frozen(machine)
        told = told_map(machine, old)
        rights: list[Right] = [None] * len(told.objects)

        def refused(task: Task, host: Right = None) -> int:
            with pytest.raises(KernError) as failure:
                set_map(machine, task, told.words, rights, host)
            return failure.value.code

        assert refused(new, machine.kernel.kern.host.host_self) == KERN_INVALID_HOST
        assert refused(old) == KERN_FAILURE
        set_map(machine, new, told.words, rights)
        assert refused(new) == KERN_INVALID_ARGUMENT
        assert refused(task_control.create(machine.kernel.kern, None, False, "running")) == KERN_FAILURE


def test_rights_that_are_no_memory_objects_are_refused(arch: Arch) -> None:
    with empty(arch) as machine:
        old, new, manager = with_holes(machine), frozen(machine), Manager(machine)
        told = told_map(machine, old)
        count = len(told.objects)
        before = machine.usage()
        nulls: list[Right] = [None] * count
        wrong: tuple[list[Right], ...] = (
            [],
            nulls[1:],
            [*nulls, None],
            [old.itk_self, *nulls[1:]],
            [PORT_DEAD, *nulls[1:]],
            [manager.port, manager.port, *nulls[2:]],
        )
        for rights in wrong:
            with pytest.raises(KernError) as failure:
                set_map(machine, new, told.words, rights)
            assert failure.value.code == KERN_INVALID_ARGUMENT
            assert (machine.usage(), manager.take(), map_of(new).entries) == (before, None, [])


Change = Callable[[list[int]], Any]
VALUES = st.one_of(
    st.sampled_from((0, 1, 2, 3, 7, 8, NONE, 1 << 31, 0x1000, 0x2000, AT, AT + 0x1000)), st.integers(0, 0xFFFFFFFF)
)


@settings(max_examples=150)
@given(st.data())
def test_words_that_lie_are_refused_or_make_a_sound_map(data: st.DataObject) -> None:
    arch = ARCHS[data.draw(st.sampled_from(sorted(ARCHS)))]
    with empty(arch) as machine:
        old, new, manager = with_holes(machine), frozen(machine), Manager(machine)
        told = told_map(machine, old)
        words = list(told.words)
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(words) - 1))
            change = data.draw(st.sampled_from(("set", "delete", "insert", "swap")))
            if change == "set":
                words[place] = data.draw(VALUES)
            elif change == "delete":
                del words[place]
            elif change == "insert":
                words.insert(place, data.draw(VALUES))
            else:
                other = data.draw(st.integers(0, len(words) - 1))
                words[place], words[other] = words[other], words[place]
        rights: list[Right] = [manager.port, *[None] * (len(told.objects) - 1)]
        before = invariants.usage(machine.kernel)
        try:
            set_map(machine, new, tuple(words), rights)
        except KernError as failure:
            assert failure.code == KERN_INVALID_ARGUMENT
            assert (invariants.usage(machine.kernel), map_of(new).entries, manager.take()) == (before, [], None)
        machine.check()
