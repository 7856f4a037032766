"""Page tables of both machines against a model: what is mapped, what may be written, what was touched; nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from machemu.abi.types import Frame, PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_NONE, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.i386 import layout
from machemu.machine.i386.pmap import KERNEL_BASE, I386Mmu
from machemu.machine.i386.shadow import ShadowTables
from machemu.machine.m68k.pmap import M68kMmu
from machemu.machine.memory import OutOfFrames, PhysicalMemory

PAGES = (0, 1, 2, 31, 32, 1023, 1024, 4095, 70_000, 393_214)
"""Page numbers that share tables and do not."""
FRAMES = 6


class PageTables(RuleBasedStateMachine):
    """Two address spaces over a few frames."""

    page_size = 4096

    def make(self) -> I386Mmu | M68kMmu:
        """The memory, and its memory management unit."""
        self.memory = PhysicalMemory(1 << 20, self.page_size)
        for _ in range(layout.FRAMES):
            self.memory.allocate()
        mmu = I386Mmu(self.memory)
        mmu.attach(Frame(layout.PAGE_TABLE), layout.FRAMES, ShadowTables())
        return mmu

    @initialize()
    def power_on(self) -> None:
        self.mmu = self.make()
        self.frames = [self.memory.allocate() for _ in range(FRAMES)]
        self.free = len(self.memory.free)
        self.pmaps: list[Any] = [self.mmu.create(), self.mmu.create()]
        self.mapped: dict[tuple[int, int], tuple[Frame, bool]] = {}
        self.modified: set[Frame] = set()
        self.referenced: set[Frame] = set()

    def address(self, page: int) -> VirtAddr:
        return VirtAddr(page * self.page_size)

    @rule(
        space=st.integers(0, 1), page=st.sampled_from(PAGES), frame=st.integers(0, FRAMES - 1),
        protection=st.sampled_from((VM_PROT_READ, VM_PROT_DEFAULT)),
    )  # fmt: skip
    def enter(self, space: int, page: int, frame: int, protection: int) -> None:
        self.pmaps[space].enter(self.address(page), self.frames[frame], protection)
        self.mapped[space, page] = self.frames[frame], bool(protection & VM_PROT_WRITE)

    @rule(space=st.integers(0, 1), first=st.sampled_from(PAGES), last=st.sampled_from(PAGES))
    def remove(self, space: int, first: int, last: int) -> None:
        self.pmaps[space].remove(self.address(first), self.address(max(first, last) + 1))
        for page in PAGES:
            if first <= page <= max(first, last):
                self.mapped.pop((space, page), None)

    @rule(space=st.integers(0, 1), first=st.sampled_from(PAGES), last=st.sampled_from(PAGES))
    def protect(self, space: int, first: int, last: int) -> None:
        self.pmaps[space].protect(self.address(first), self.address(max(first, last) + 1), VM_PROT_READ)
        for (mapped_in, page), (frame, _) in list(self.mapped.items()):
            if mapped_in == space and first <= page <= last:
                self.mapped[space, page] = frame, False

    @rule(frame=st.integers(0, FRAMES - 1), protection=st.sampled_from((VM_PROT_NONE, VM_PROT_READ)))
    def protect_frame(self, frame: int, protection: int) -> None:
        self.mmu.page_protect(self.frames[frame], protection)
        for key, (mapped, _) in list(self.mapped.items()):
            if mapped == self.frames[frame]:
                if protection == VM_PROT_NONE:
                    del self.mapped[key]
                else:
                    self.mapped[key] = mapped, False

    @rule(
        space=st.integers(0, 1), page=st.sampled_from(PAGES), writes=st.booleans(), offset=st.integers(0, 4095),
        by_cpu=st.booleans(),
    )  # fmt: skip
    def touch(self, space: int, page: int, writes: bool, offset: int, by_cpu: bool) -> None:
        access = VM_PROT_READ | VM_PROT_WRITE if writes else VM_PROT_READ
        pmap, address = self.pmaps[space], VirtAddr(self.address(page) + offset)
        if by_cpu and isinstance(self.mmu, I386Mmu):
            found = self.mmu.shadow.fill(pmap, address, access)
        else:
            found = pmap.translate(address, access)
        frame, writable = self.mapped.get((space, page), (None, False))
        if frame is None or (writes and not writable):
            assert found is None
            return
        assert found == PhysAddr(frame * self.page_size + offset)
        self.referenced.add(frame)
        if writes:
            self.modified.add(frame)

    @rule(frame=st.integers(0, FRAMES - 1))
    def become_code(self, frame: int) -> None:
        self.memory.add_code(self.frames[frame])

    @rule(frame=st.integers(0, FRAMES - 1))
    def clear(self, frame: int) -> None:
        self.mmu.clear_modified(self.frames[frame])
        self.mmu.clear_referenced(self.frames[frame])
        self.modified.discard(self.frames[frame])
        self.referenced.discard(self.frames[frame])

    @rule(frame=st.integers(0, FRAMES - 1))
    def forget(self, frame: int) -> None:
        self.protect_frame(frame, VM_PROT_NONE)
        self.mmu.forget(self.frames[frame])
        self.modified.discard(self.frames[frame])
        self.referenced.discard(self.frames[frame])

    @precondition(lambda self: len(self.memory.free) > 0)
    @rule(space=st.integers(0, 1), page=st.sampled_from(PAGES))
    def enter_without_memory(self, space: int, page: int) -> None:
        """A page is mapped wholly or not at all."""
        kept, self.memory.free = self.memory.free, []
        try:
            self.pmaps[space].enter(self.address(page), self.frames[0], VM_PROT_READ)
            self.mapped[space, page] = self.frames[0], False
        except OutOfFrames:
            pass
        finally:
            self.memory.free += kept

    @invariant()
    def all_is_as_told(self) -> None:
        if not hasattr(self, "mmu"):
            return
        for space, pmap in enumerate(self.pmaps):
            pmap.check_invariants()
            assert pmap.resident_count() == sum(mapped_in == space for mapped_in, _ in self.mapped)
        self.mmu.check_invariants()
        self.memory.check_invariants()
        for frame in self.frames:
            assert self.mmu.is_modified(frame) == (frame in self.modified)
            assert self.mmu.is_referenced(frame) == (frame in self.referenced)

    def teardown(self) -> None:
        if hasattr(self, "mmu"):
            for pmap in self.pmaps:
                pmap.destroy()
            assert len(self.memory.free) == self.free


class M68kPageTables(PageTables):
    page_size = 8192

    def make(self) -> I386Mmu | M68kMmu:
        self.memory = PhysicalMemory(1 << 20, self.page_size)
        mmu = M68kMmu(self.memory)
        mmu.attach()
        return mmu


TestI386PageTables = PageTables.TestCase
TestM68kPageTables = M68kPageTables.TestCase
for case in (TestI386PageTables, TestM68kPageTables):
    case.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)


@pytest.mark.parametrize("machine", (PageTables, M68kPageTables))
def test_a_page_in_the_last_table_goes_and_takes_its_table_with_it(machine: type[PageTables]) -> None:
    tables = machine()
    tables.power_on()
    free = len(tables.memory.free)
    last = VirtAddr(KERNEL_BASE - tables.page_size)
    tables.pmaps[0].enter(last, tables.frames[0], VM_PROT_DEFAULT)
    assert len(tables.memory.free) < free
    tables.pmaps[0].remove(VirtAddr(0), VirtAddr(KERNEL_BASE))
    assert len(tables.memory.free) == free


@pytest.mark.slow
def test_a_cpu_s_tables_that_are_used_up_are_made_anew() -> None:
    """Address spaces share what 16 MiB hold: each has the page that it touched last, and the root that it is told of."""
    memory = PhysicalMemory(64 << 20, 4096)
    for _ in range(layout.FRAMES):
        memory.allocate()
    mmu, shadow = I386Mmu(memory), ShadowTables()
    mmu.attach(Frame(layout.PAGE_TABLE), layout.FRAMES, shadow)
    free, frame = len(memory.free), memory.allocate()
    spaces = [mmu.create() for _ in range(80)]
    moved = 0
    for pmap in spaces:
        root = shadow.root(pmap)
        for place in range(0, KERNEL_BASE, 48 << 20):
            pmap.enter(VirtAddr(place), frame, VM_PROT_DEFAULT)
            mmu.changed = False
            assert shadow.fill(pmap, VirtAddr(place), VM_PROT_READ) == frame * 4096
            assert mmu.changed or shadow.root(pmap) == root
            moved += mmu.changed
            root = shadow.root(pmap)
        shadow.check_invariants()
    assert moved == 1
    for pmap in spaces:
        pmap.destroy()
    memory.release(frame)
    assert len(memory.free) == free
