"""Memory objects (Mach's vm_object.c): the pages that map entries show, and how objects are copied lazily.

Two kinds of copy-on-write meet here. A symmetric copy adds a reference: both map entries then need a copy, and the first write
through either makes a *shadow* object above the common one, which takes that entry's changes. An object that several maps share
for writing cannot be shadowed by one of them, so it is copied asymmetrically: its *copy object* shadows it, and whoever writes
to the original first pushes the old page up into the copy object. At most one copy object takes pushed pages at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError
from machemu.abi.vm import VM_PROT_ALL, VM_PROT_WRITE
from machemu.sim.state import state
from machemu.vm.page import PageShortage, VmPage

if TYPE_CHECKING:
    from machemu.vm.subsystem import Vm

PROT_NO_WRITE = VM_PROT_ALL & ~VM_PROT_WRITE


@state
class VmObject:
    """Memory of `size` bytes; pages that neither it nor its shadows hold are zero.

    pages: the resident ones, by byte offset. ref_count: map entries, map copies and shadowing objects that refer to it.
    shadow: the object seen through where this one has no page, at this one's offset + shadow_offset; owns a reference to it.
    The window [shadow_offset, shadow_offset + size) lies inside the shadow.
    copy: the copy object that this object's old pages are pushed to (it refers to this one by its shadow), or None.
    shadowed: was copied symmetrically. use_shared_copy: maps share it for writing, so it is copied asymmetrically.
    """

    __slots__ = ("vm", "size", "pages", "ref_count", "shadow", "shadow_offset", "copy", "shadowed", "use_shared_copy")

    def __init__(self, vm: Vm, size: int) -> None:
        self.vm = vm
        self.size = size
        self.pages: dict[int, VmPage] = {}
        self.ref_count = 1
        self.shadow: VmObject | None = None
        self.shadow_offset = 0
        self.copy: VmObject | None = None
        self.shadowed = False
        self.use_shared_copy = False

    def lookup(self, offset: int) -> VmPage | None:
        """The resident page that is seen at `offset`, in this object or the first shadow that has it; None where it is zero."""
        obj = self
        while True:
            page = obj.pages.get(offset)
            if page is not None or obj.shadow is None:
                return page
            offset += obj.shadow_offset
            obj = obj.shadow

    def page_remove(self, start: int, end: int) -> None:
        """Frees this object's own pages in [start, end). (vm_object_page_remove)"""
        pages = self.pages
        step = self.vm.page_size
        if (end - start) // step < len(pages):
            doomed = [pages[offset] for offset in range(start, end, step) if offset in pages]
        else:
            doomed = [page for offset, page in pages.items() if start <= offset < end]
        for page in doomed:
            self.vm.free_page(page)

    def collapse(self) -> None:
        """Shortens the shadow chain below this object: a shadow that nothing else refers to is merged into the object above it,
        and one whose every page is hidden is left out. Mach tries the top object alone; going on down the chain keeps it short
        also where each write was made while the other copy was still alive. What is seen through any object stays the same."""
        obj = self
        while (backing := obj.shadow) is not None:
            if backing.shadow is not None and backing.shadow.copy is not None:
                # The backing may be the copy object, which must stay right above what it copies.
                obj = backing
            elif backing.ref_count == 1:
                obj._absorb(backing)
            elif obj._hides(backing):
                obj._bypass(backing)
            else:
                obj = backing

    def _absorb(self, backing: VmObject) -> None:
        """Takes over the pages and the shadow of `backing`, whose only reference is ours."""
        vm = self.vm
        base = self.shadow_offset
        for page in list(backing.pages.values()):
            offset = page.offset - base
            if 0 <= offset < self.size and offset not in self.pages:
                vm.rename_page(page, self, offset)
            else:
                vm.free_page(page)
        self.shadow = backing.shadow
        self.shadow_offset += backing.shadow_offset
        if self.shadow is None:
            self.shadow_offset = 0
        backing.shadow = None
        backing.ref_count = 0

    def _hides(self, backing: VmObject) -> bool:
        """Whether no page of `backing` is seen through this object."""
        base = self.shadow_offset
        if base == 0 and self.size >= backing.size and len(backing.pages) > len(self.pages):
            return False
        pages, size = self.pages, self.size
        return all(not 0 <= offset - base < size or offset - base in pages for offset in backing.pages)

    def _bypass(self, backing: VmObject) -> None:
        """Shadows what `backing` shadows instead; others keep `backing` alive."""
        self.shadow = backing.shadow
        if self.shadow is not None:
            self.shadow.ref_count += 1
            self.shadow_offset += backing.shadow_offset
        else:
            self.shadow_offset = 0
        if backing.copy is self:
            backing.copy = None
        backing.ref_count -= 1

    def check_invariants(self) -> None:
        mask = self.vm.page_mask
        if self.ref_count <= 0:
            raise InvariantError(f"an object in use has {self.ref_count} references")
        for offset, page in self.pages.items():
            if page.object is not self or page.offset != offset or offset & mask or not 0 <= offset < self.size:
                raise InvariantError(f"a page at {offset:#x} of an object of {self.size:#x} bytes belongs elsewhere")
        if self.shadow is not None and self.shadow_offset + self.size > self.shadow.size:
            raise InvariantError("an object shadows more than there is")
        if self.copy is not None and (self.copy.shadow is not self or self.copy.shadow_offset):
            raise InvariantError("a copy object does not shadow what it copies")


def deallocate(obj: VmObject | None) -> None:
    """Consumes a reference; with the last one the object, its pages and its reference to its shadow go."""
    while obj is not None:
        obj.ref_count -= 1
        if obj.ref_count:
            return
        shadow = obj.shadow
        if shadow is not None and shadow.copy is obj:
            shadow.copy = None
        obj.shadow = None
        for page in list(obj.pages.values()):
            obj.vm.free_page(page)
        obj = shadow


def deallocate_window(obj: VmObject | None, start: int, end: int) -> None:
    """Consumes the reference of an entry that showed [start, end). Where the object was never copied or shared its references
    are pieces of one entry, which show nothing twice: the pages go now, not with the last piece."""
    if obj is not None and obj.ref_count > 1 and not (obj.shadowed or obj.use_shared_copy):
        obj.page_remove(start, end)
    deallocate(obj)


def shadow(source: VmObject, offset: int, length: int) -> VmObject:
    """A new object of `length` bytes over `source` from `offset` on. Consumes the caller's reference to `source`."""
    result = VmObject(source.vm, length)
    result.shadow = source
    result.shadow_offset = offset
    return result


def copy_temporary(source: VmObject | None) -> tuple[VmObject | None, bool, bool]:
    """A lazy copy: the object to use at the same offset (a reference for the caller), whether the source's entry must now copy
    before it writes, and whether the copy's must. The caller makes the source's mappings read-only in the first case."""
    if source is None:
        return None, False, False
    if source.use_shared_copy:
        return copy_delayed(source), False, True
    source.ref_count += 1
    source.shadowed = True
    return source, True, True


def copy_delayed(source: VmObject) -> VmObject:
    """The copy object that stands for `source` as it is now, with a reference for the caller, who must not write to it in
    place. The last one is used again if nothing was pushed to it since. (vm_object_copy_delayed)"""
    old = source.copy
    if old is not None and not old.pages:
        old.ref_count += 1
        return old
    new = VmObject(source.vm, source.size)
    new.shadow = source
    new.shadowed = True
    source.ref_count += 1
    source.copy = new
    if old is not None:
        # The old copy object sees through the new one from now on; pages pushed later serve both.
        source.ref_count -= 1
        old.shadow = new
        new.ref_count += 1
    mmu = source.vm.mmu
    for page in source.pages.values():
        mmu.page_protect(page.frame, PROT_NO_WRITE)
    return new


def copy_slowly(source: VmObject | None, offset: int, size: int) -> VmObject | None:
    """A new object with copies of the pages seen at [offset, offset + size) of `source`; nothing stays shared.
    Raises PageShortage. (vm_object_copy_slowly)"""
    if source is None:
        return None
    vm = source.vm
    result = VmObject(vm, size)
    try:
        for at in range(0, size, vm.page_size):
            page = source.lookup(offset + at)
            if page is not None:
                vm.memory.copy(page.frame, vm.allocate_page(result, at).frame)
    except PageShortage:
        deallocate(result)
        raise
    return result
