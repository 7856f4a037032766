"""Random use of several address spaces against a model: what each task reads is what was written where it should be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from machemu.abi.errors import KernError
from machemu.abi.types import PhysAddr, VirtAddr
from machemu.abi.vm import VM_INHERIT_COPY, VM_INHERIT_NONE, VM_INHERIT_SHARE, VM_PROT_ALL, VM_PROT_READ, VM_PROT_WRITE
from machemu.vm import routines
from machemu.vm.fault import vm_fault
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.page import PageShortage
from machemu.vm.subsystem import Vm
from machemu.vm.user import UserMemory

BASE = 0x10000000
SLOTS = 6
SHORTAGE = 6


class Cell:
    """A page of memory as everybody sees it who shares it."""

    def __init__(self, content: bytes) -> None:
        self.content = content


class Space:
    """The model of one task's memory: cells by page address, with their attributes."""

    def __init__(self) -> None:
        self.cells: dict[int, Cell] = {}
        self.protection: dict[int, int] = {}
        self.maximum: dict[int, int] = {}
        self.inheritance: dict[int, int] = {}

    def map(self, address: int, cell: Cell) -> None:
        self.cells[address] = cell
        self.protection[address] = VM_PROT_READ | VM_PROT_WRITE
        self.maximum[address] = VM_PROT_ALL
        self.inheritance[address] = VM_INHERIT_COPY

    def unmap(self, address: int) -> None:
        if address in self.cells:
            for table in (self.cells, self.protection, self.maximum, self.inheritance):
                del table[address]

    def readable(self, pages: range) -> bool:
        return all(self.protection.get(page, 0) & VM_PROT_READ for page in pages)

    def writable(self, pages: range) -> bool:
        return all(self.protection.get(page, 0) & VM_PROT_WRITE for page in pages)


slots = st.integers(0, SLOTS - 1)
counts = st.sampled_from([1, 1, 1, 2, 3])
choices = st.integers(0, 1 << 16)
words = st.integers(1, 0xFFFF).map(lambda n: n.to_bytes(2, "little"))


class AddressSpaces(RuleBasedStateMachine):
    make_vm: Callable[[], Vm]

    def __init__(self) -> None:
        super().__init__()
        self.vm = type(self).make_vm()
        self.page = self.vm.page_size
        self.free = len(self.vm.memory.free)
        self.tasks: list[tuple[VmMap, Space]] = []
        self.copies: list[tuple[VmMapCopy, bytes]] = []

    @initialize()
    def first_task(self) -> None:
        """A task with all slots mapped and most written, some to be shared, and a child of it."""
        self.tasks.append((self.vm.new_map(), Space()))
        self.allocate(0, 0, SLOTS)
        for slot in range(SLOTS - 1):
            self.write(0, slot, 0, bytes([slot + 1, slot + 1]))
        self.inherit(0, 1, 2, VM_INHERIT_SHARE)
        self.fork(0)

    def pages_of(self, start: int, size: int) -> range:
        return range(start & -self.page, start + size, self.page)

    def task(self, choice: int) -> tuple[VmMap, Space]:
        return self.tasks[choice % len(self.tasks)]

    def attempt(self, call: Callable[[], object], allowed: bool) -> bool:
        """Makes a call that must succeed where it is allowed, unless frames are short; True if it did."""
        try:
            call()
        except PageShortage:
            return False
        except KernError as error:
            assert error.code == SHORTAGE or not allowed
            return False
        assert allowed
        return True

    @rule(choice=choices, slot=slots, count=counts)
    def allocate(self, choice: int, slot: int, count: int) -> None:
        map_, space = self.task(choice)
        start = BASE + slot * self.page
        pages = self.pages_of(start, count * self.page)
        if self.attempt(
            lambda: routines.vm_allocate(map_, start, count * self.page, False), not any(page in space.cells for page in pages)
        ):
            for page in pages:
                space.map(page, Cell(bytes(self.page)))

    @rule(choice=choices, slot=slots, count=counts)
    def deallocate(self, choice: int, slot: int, count: int) -> None:
        map_, space = self.task(choice)
        routines.vm_deallocate(map_, BASE + slot * self.page, count * self.page)
        for page in self.pages_of(BASE + slot * self.page, count * self.page):
            space.unmap(page)

    @rule(choice=choices, slot=slots, offset=st.sampled_from([0, 7, -1]), data=words)
    def write(self, choice: int, slot: int, offset: int, data: bytes) -> None:
        map_, space = self.task(choice)
        at = BASE + slot * self.page + offset % self.page
        pieces = [(at, data)] if offset >= 0 else [(at, data[:1]), (at + 1, data[1:])]
        memory = UserMemory(map_)
        allowed = space.writable(self.pages_of(at, 2))
        whole = self.attempt(lambda: memory.write(VirtAddr(at), data), allowed)
        for start, piece in pieces:
            page = self.pages_of(start, 1)
            if whole or self.attempt(lambda s=start, p=piece: memory.write(VirtAddr(s), p), space.writable(page)):  # type: ignore[misc]
                cell = space.cells[page[0]]
                within = start % self.page
                cell.content = cell.content[:within] + piece + cell.content[within + len(piece) :]

    @rule(choice=choices, slot=slots, access=st.sampled_from([VM_PROT_READ, VM_PROT_WRITE]))
    def touch(self, choice: int, slot: int, access: int) -> None:
        map_, space = self.task(choice)
        page = BASE + slot * self.page
        self.attempt(lambda: vm_fault(map_, page, access), not access & ~space.protection.get(page, 0))

    @rule(choice=choices, slot=slots, count=counts, skip=st.sampled_from([0, 5]))
    def read(self, choice: int, slot: int, count: int, skip: int) -> None:
        map_, space = self.task(choice)
        pages = self.pages_of(BASE + slot * self.page, count * self.page)
        got: list[bytes] = []
        size = count * self.page - skip
        if self.attempt(lambda: got.append(UserMemory(map_).read(VirtAddr(pages[0] + skip), size)), space.readable(pages)):
            assert got == [b"".join(space.cells[page].content for page in pages)[skip:]]

    @rule(choice=choices, slot=slots, count=counts, maximum=st.booleans(), protection=st.sampled_from([0, 1, 3, 7]))
    def protect(self, choice: int, slot: int, count: int, maximum: bool, protection: int) -> None:
        map_, space = self.task(choice)
        start = BASE + slot * self.page
        pages = [page for page in self.pages_of(start, count * self.page) if page in space.cells]
        allowed = not any(protection & ~space.maximum[page] for page in pages)
        if self.attempt(lambda: routines.vm_protect(map_, start, count * self.page, maximum, protection), allowed):
            for page in pages:
                if maximum:
                    space.maximum[page] = protection
                    space.protection[page] &= protection
                else:
                    space.protection[page] = protection

    @rule(choice=choices, slot=slots, count=counts, how=st.sampled_from([VM_INHERIT_SHARE, VM_INHERIT_COPY, VM_INHERIT_NONE]))
    def inherit(self, choice: int, slot: int, count: int, how: int) -> None:
        map_, space = self.task(choice)
        routines.vm_inherit(map_, BASE + slot * self.page, count * self.page, how)
        for page in self.pages_of(BASE + slot * self.page, count * self.page):
            if page in space.cells:
                space.inheritance[page] = how

    @precondition(lambda self: len(self.tasks) < 4)
    @rule(choice=choices)
    def fork(self, choice: int) -> None:
        map_, space = self.task(choice)
        forked: list[VmMap] = []
        if not self.attempt(lambda: forked.append(map_.fork()), True):
            return
        child = Space()
        for page, cell in space.cells.items():
            how = space.inheritance[page]
            if how != VM_INHERIT_NONE:
                child.map(page, cell if how == VM_INHERIT_SHARE else Cell(cell.content))
                child.protection[page] = space.protection[page]
                child.maximum[page] = space.maximum[page]
                child.inheritance[page] = how
        self.tasks.append((forked[0], child))

    @precondition(lambda self: len(self.tasks) > 1)
    @rule(choice=choices)
    def end_task(self, choice: int) -> None:
        map_, _ = self.tasks.pop(choice % len(self.tasks))
        map_.destroy()

    @precondition(lambda self: len(self.copies) < 4)
    @rule(choice=choices, slot=slots, count=counts, skip=st.sampled_from([0, 9]), destroy=st.booleans())
    def copyin(self, choice: int, slot: int, count: int, skip: int, destroy: bool) -> None:
        map_, space = self.task(choice)
        pages = self.pages_of(BASE + slot * self.page, count * self.page)
        size = count * self.page - skip
        made: list[VmMapCopy] = []
        if self.attempt(
            lambda: made.append(UserMemory(map_).copyin(VirtAddr(pages[0] + skip), size, destroy)), space.readable(pages)
        ):
            content = b"".join(space.cells[page].content for page in pages)
            self.copies.append((made[0], content))
            for page in pages:
                if destroy:
                    space.unmap(page)

    @precondition(lambda self: len(self.copies) < 4)
    @rule(data=words, count=counts)
    def kernel_makes_bytes(self, data: bytes, count: int) -> None:
        content = (data * self.page * count)[: self.page * count]
        self.copies.append((VmMapCopy.from_bytes(self.vm, content), content))

    @precondition(lambda self: self.copies)
    @rule(choice=choices)
    def discard(self, choice: int) -> None:
        self.copies.pop(choice % len(self.copies))[0].discard()

    @precondition(lambda self: self.copies)
    @rule(choice=choices, which=choices)
    def copyout(self, choice: int, which: int) -> None:
        map_, space = self.task(choice)
        copy, content = self.copies.pop(which % len(self.copies))
        skip = copy.offset % self.page
        got: list[int] = []
        if self.attempt(lambda: got.append(UserMemory(map_).copyout(copy)), True):
            start = got[0] - skip
            assert not any(page in space.cells for page in self.pages_of(start, len(content)))
            for page in self.pages_of(start, len(content)):
                space.map(page, Cell(content[page - start : page - start + self.page]))

    @precondition(lambda self: self.copies)
    @rule(choice=choices, which=choices, slot=slots)
    def vm_write(self, choice: int, which: int, slot: int) -> None:
        map_, space = self.task(choice)
        copy, content = self.copies.pop(which % len(self.copies))
        start = BASE + slot * self.page
        pages = self.pages_of(start, len(content))
        self.put(map_, space, start, copy, content, copy.offset % self.page == 0 and space.writable(pages))

    @rule(choice=choices, from_slot=slots, to_slot=slots, count=counts)
    def vm_copy(self, choice: int, from_slot: int, to_slot: int, count: int) -> None:
        map_, space = self.task(choice)
        from_, to = BASE + from_slot * self.page, BASE + to_slot * self.page
        size = count * self.page
        source, target = self.pages_of(from_, size), self.pages_of(to, size)
        read: list[VmMapCopy | None] = []
        if self.attempt(lambda: read.append(routines.vm_read(map_, from_, size)), space.readable(source)):
            assert read[0] is not None
            self.put(map_, space, to, read[0], b"".join(space.cells[page].content for page in source), space.writable(target))

    def put(self, map_: VmMap, space: Space, start: int, copy: VmMapCopy, content: bytes, allowed: bool) -> None:
        """Writes a copy over memory. Where frames are short the first pages are written, and the copy is what is left."""
        size = copy.size
        self.attempt(lambda: routines.vm_write(map_, start, copy, size), allowed)
        for page in self.pages_of(start, size - copy.size):
            space.cells[page].content = content[page - start : page - start + self.page]
        copy.discard()

    @rule(choice=choices, slot=slots, count=counts, access=st.sampled_from([0, 1, 3]))
    def wire(self, choice: int, slot: int, count: int, access: int) -> None:
        map_, space = self.task(choice)
        pages = self.pages_of(BASE + slot * self.page, count * self.page)
        allowed = all(page in space.cells and not access & ~space.protection[page] for page in pages)
        self.attempt(lambda: routines.vm_wire(map_, pages[0], count * self.page, access, True), allowed)

    def peek(self, map_: VmMap, page: int) -> bytes:
        entry = map_.lookup(page)
        assert entry is not None
        resident = entry.object.lookup(page - entry.start + entry.offset) if entry.object is not None else None
        return bytes(self.page) if resident is None else self.vm.memory.read(PhysAddr(resident.frame * self.page), self.page)

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        self.vm.check_references([map_ for map_, _ in self.tasks], [copy for copy, _ in self.copies])
        for map_, space in self.tasks:
            assert map_.size == len(space.cells) * self.page
            for page, cell in space.cells.items():
                assert self.peek(map_, page) == cell.content
                start, _, protection, maximum, inheritance, *_ = routines.vm_region(map_, page)
                assert start <= page
                assert (protection, maximum, inheritance) == (
                    space.protection[page], space.maximum[page], space.inheritance[page]
                )  # fmt: skip
        for copy, content in self.copies:
            assert copy.to_bytes() == content[copy.offset % self.page :]

    @invariant()
    def mappings_show_what_the_entries_show(self) -> None:
        for map_, _ in self.tasks:
            for entry in map_.entries:
                for page in range(entry.start, entry.end, self.page):
                    at = map_.pmap.translate(VirtAddr(page), VM_PROT_READ)
                    if at is None:
                        continue
                    obj = entry.object
                    assert obj is not None
                    resident = obj.lookup(page - entry.start + entry.offset)
                    assert resident is not None
                    assert at == resident.frame * self.page
                    assert entry.protection & VM_PROT_READ
                    if map_.pmap.translate(VirtAddr(page), VM_PROT_WRITE) is not None:
                        assert entry.protection & VM_PROT_WRITE
                        assert resident.object is obj
                        assert not entry.needs_copy
                        assert obj.copy is None or resident.offset in obj.copy.pages

    def teardown(self) -> None:
        for copy, _ in self.copies:
            copy.discard()
        for map_, _ in self.tasks:
            map_.destroy()
        self.vm.check_references([], [])
        assert len(self.vm.memory.free) == self.free


@pytest.mark.slow
@pytest.mark.parametrize("frames", [200, 24], ids=["plenty", "short"])
def test_address_spaces_follow_the_model(boot: Any, frames: int) -> None:
    machine = type("Machine", (AddressSpaces,), {"make_vm": staticmethod(lambda: boot(frames))})
    examples = 200 if boot.__name__ == "fake_vm" else 20
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=60, deadline=None, suppress_health_check=quiet, derandomize=True
        ),
    )
