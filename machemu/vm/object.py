"""Memory objects (Mach's vm_object.c): the pages that map entries show, and how objects are copied lazily.

Two kinds of copy-on-write meet here. A symmetric copy adds a reference: both map entries then need a copy, and the first write
through either makes a *shadow* object above the common one, which takes that entry's changes. An object that several maps share
for writing cannot be shadowed by one of them, so it is copied asymmetrically: its *copy object* shadows it, and whoever writes
to the original first pushes the old page up into the copy object. At most one copy object takes pushed pages at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KERN_MEMORY_ERROR
from machemu.abi.vm import VM_PROT_ALL, VM_PROT_NONE, VM_PROT_READ, VM_PROT_WRITE
from machemu.sim.state import Natural, state
from machemu.vm.page import PageShortage, VmPage
from machemu.vm.pager import COPY_CALL, COPY_DELAY, COPY_NONE, Answer

if TYPE_CHECKING:
    from machemu.vm.pager import Pager
    from machemu.vm.subsystem import Vm

PROT_NO_WRITE = VM_PROT_ALL & ~VM_PROT_WRITE
COLLAPSE_REACH = 8
"""How many shadows that must stay `collapse` looks behind."""


@state
class VmObject:
    """Memory of `size` bytes; pages that neither it nor its shadows hold are zero."""

    __slots__ = (
        "vm", "size", "pages", "ref_count", "shadow", "shadow_offset", "copy", "shadowed", "use_shared_copy",
        "given_size", "last_alloc", "pager", "name", "number",
    )  # fmt: skip
    vm: Vm
    size: Natural
    # What was asked for first: a manager's object grows with what is mapped of it, which Mach's own size does not show.
    given_size: Natural
    ref_count: Natural  # map entries, map copies and shadowing objects that refer to it
    name: object | None  # the port that vm_region gives for it, None until somebody asked
    number: Natural  # the node's own count of those that `identify` was asked of, 0 for others
    pager: Pager | None  # its memory manager, None for anonymous memory that was never paged out

    # Its pages:
    pages: dict[int, VmPage]  # the resident ones, by byte offset
    last_alloc: Natural  # where a page came, or was asked for, last

    # What it is a copy of, and what is a copy of it:
    # The object seen through where this one has no page, at this one's offset + shadow_offset; a reference to it is owned. The
    # window [shadow_offset, shadow_offset + size) lies inside it.
    shadow: VmObject | None
    shadow_offset: Natural
    copy: VmObject | None  # the copy object that this object's old pages are pushed to (it refers to this one by its shadow)
    shadowed: bool  # it was copied symmetrically
    use_shared_copy: bool  # maps share it for writing, so it is copied asymmetrically

    def __init__(self, vm: Vm, size: int) -> None:
        self.vm = vm
        self.size = size
        self.pages = {}
        self.ref_count = 1
        self.shadow = None
        self.shadow_offset = 0
        self.copy = None
        self.shadowed = False
        self.use_shared_copy = False
        self.given_size = size
        self.last_alloc = 0
        self.pager = None
        self.name = None
        self.number = 0

    def identify(self) -> int:
        """A number that no other object of the node has."""
        if not self.number:
            self.vm.object_serial += 1
            self.number = self.vm.object_serial
        return self.number

    @property
    def external(self) -> bool:
        """Whether a memory manager of the user's has its data."""
        return self.pager is not None and not self.pager.internal

    @property
    def permanent(self) -> bool:
        """Whether its memory manager wants to see what is written to it."""
        return self.pager is not None and not self.pager.temporary

    def lookup(self, offset: int, access: int = VM_PROT_READ) -> VmPage | None:
        """The page that is seen at `offset`, in this object or the first shadow that has it; None where it is zero.

        Raises MustWait where a memory manager has to be asked, KERN_MEMORY_ERROR where it has failed. `access` (VM_PROT_*) is
        what is wanted of this object's own page.
        """
        obj = self
        while True:
            page = obj.pages.get(offset)
            if page is not None:
                if access & page.lock:
                    obj.ask_unlock(page, access)
                return page
            if obj.pager is not None and obj.pager.ask(offset, access) and offset in obj.pages:
                continue
            if obj.shadow is None:
                return None
            offset += obj.shadow_offset
            obj = obj.shadow
            access = VM_PROT_READ

    def name_port(self) -> object | None:
        """vm_object_name: the port that names the memory in which this object's chain ends; None where its manager is gone."""
        obj = self
        while obj.shadow is not None:
            obj = obj.shadow
        if obj.name is None and (obj.pager is None or obj.pager.memory_object is not None):
            obj.name = obj.vm.managers.name_port(obj)
        return obj.name

    def ask_unlock(self, page: VmPage, access: int) -> None:
        """Asks the manager, once, to allow an access to a page, and raises MustWait; KERN_MEMORY_ERROR where there is none."""
        pager = self.pager
        if pager is not None and access & ~page.unlock_request:
            pager.check_ready()
            if pager.memory_object is None:
                self.vm.managers.print("vm_fault: memory_object_data_unlock failed")
                raise KernError(KERN_MEMORY_ERROR)
            page.unlock_request |= access
            self.vm.managers.data_unlock(pager, page.offset + pager.paging_offset, self.vm.page_size, page.unlock_request)
        raise page.wait()

    def forget_absent(self, offset: int) -> None:
        """A fault at `offset` is settled: what managers said of pages that they do not have is not needed any more."""
        obj: VmObject | None = self
        while obj is not None:
            if obj.pager is not None:
                request = obj.pager.requests.get(offset)
                if request is not None and request.answer is Answer.UNAVAILABLE:
                    del obj.pager.requests[offset]
            offset += obj.shadow_offset
            obj = obj.shadow

    def pages_in(self, start: int, end: int) -> list[VmPage]:
        """This object's own pages in [start, end)."""
        pages = self.pages
        step = self.vm.page_size
        if (end - start) // step < len(pages):
            return [pages[offset] for offset in range(start, end, step) if offset in pages]
        return [page for offset, page in pages.items() if start <= offset < end]

    def page_remove(self, start: int, end: int) -> None:
        """Frees this object's own pages in [start, end). (vm_object_page_remove)"""
        for page in self.pages_in(start, end):
            self.vm.free_page(page)

    def pmap_remove(self, start: int, end: int) -> None:
        """Takes this object's own pages in [start, end) from every map. (vm_object_pmap_remove)"""
        for page in self.pages_in(start, end):
            self.vm.mmu.page_protect(page.frame, VM_PROT_NONE)

    def collapse(self) -> None:
        """Shortens the shadow chain below this object: a shadow that nothing else refers to is merged into the object above it,
        and one whose every page is hidden is left out. What is seen through any object stays the same.

        Mach tries the top object alone; going some way down the chain keeps it short also where each write was made while the
        other copy was still alive.
        """
        obj = self
        passed = 0
        while (backing := obj.shadow) is not None and passed < COLLAPSE_REACH:
            movable = (
                obj.pager is None
                and not backing.external
                and not (backing.pager is not None and backing.pager.waiting)
                # The backing may be the copy object, which must stay right above what it copies.
                and (backing.shadow is None or backing.shadow.copy is None)
            )
            if movable and backing.ref_count == 1:
                obj._absorb(backing)
            elif movable and backing.pager is None and obj._hides(backing):
                obj._bypass(backing)
            else:
                obj = backing
                passed += 1

    def _absorb(self, backing: VmObject) -> None:
        """Takes over the pages, the pager, the name and the shadow of `backing`, whose only reference is ours."""
        vm = self.vm
        base = self.shadow_offset
        if backing.pager is not None:
            self.pager, backing.pager = backing.pager, None
            self.pager.requests.clear()
            self.pager.object = self
            self.pager.paging_offset += base
        if self.name is not None:
            vm.managers.dealloc(self.name)
        self.name, backing.name = backing.name, None
        if self.name is not None:
            vm.managers.name_object(self.name, self)
        self._own_pages()
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

    def _own_pages(self) -> None:
        """What our pages were copied from will not be seen through this object again: they cannot be thrown away."""
        for page in self.pages.values():
            page.dirty = True

    def _hides(self, backing: VmObject) -> bool:
        """Whether no page of `backing` is seen through this object."""
        base = self.shadow_offset
        if base == 0 and self.size >= backing.size and len(backing.pages) > len(self.pages):
            return False
        pages, size = self.pages, self.size
        return all(not 0 <= offset - base < size or offset - base in pages for offset in backing.pages)

    def _bypass(self, backing: VmObject) -> None:
        """Shadows what `backing` shadows instead; others keep `backing` alive."""
        self._own_pages()
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
        if self.ref_count < 0:
            raise InvariantError(f"an object in use has {self.ref_count} references")
        for offset, page in self.pages.items():
            # Managers, the default one too, supply pages wherever they like, also within what others take for pages.
            inside = (0 <= offset < self.size and not offset & mask) or self.pager is not None
            if page.object is not self or page.offset != offset or not inside:
                raise InvariantError(f"a page at {offset:#x} of an object of {self.size:#x} bytes belongs elsewhere")
        if self.shadow is not None and self.shadow_offset + self.size > self.shadow.size and not self.shadow.external:
            raise InvariantError("an object shadows more than there is")
        if self.copy is not None and (self.copy.shadow is not self or self.copy.shadow_offset):
            raise InvariantError("a copy object does not shadow what it copies")


def deallocate(obj: VmObject | None) -> None:
    """Consumes a reference; with the last one the object, its pages and its reference to its shadow go.

    An object whose manager lets it be cached stays as long as it has pages.
    """
    while obj is not None:
        obj.ref_count -= 1
        if obj.ref_count:
            return
        if obj.pager is not None and obj.pager.may_cache and obj.pages:
            obj.vm.cached[obj.pager.number] = obj
            return
        obj = terminate(obj)


def terminate(obj: VmObject) -> VmObject | None:
    """vm_object_terminate: an object without references goes, what its manager wants to see returned to it.

    Gives its shadow, with the reference that it had.
    """
    vm = obj.vm
    shadow, obj.shadow = obj.shadow, None
    if shadow is not None and shadow.copy is obj:
        shadow.copy = None
    pager = obj.pager
    for page in list(obj.pages.values()):
        if obj.permanent and pager is not None and pager.memory_object is not None and vm.must_clean(page):
            vm.clean_page(page)
        else:
            vm.free_page(page)
    if obj.name is not None and (pager is None or pager.memory_object is None):
        vm.managers.dealloc(obj.name)
        obj.name = None
    if pager is not None:
        pager.abort()
        if pager.memory_object is not None:
            vm.managers.terminate(pager)
        del vm.pagers[pager.number]
    return shadow


def deallocate_window(obj: VmObject | None, start: int, end: int) -> None:
    """Consumes the reference of an entry that showed [start, end). Where the object was never copied or shared its references
    are pieces of one entry, which show nothing twice: the pages go now, not with the last piece."""
    copied = obj is not None and (obj.shadowed or obj.use_shared_copy or obj.copy is not None or obj.external)
    if obj is not None and obj.ref_count > 1 and not copied:
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
    if old is not None and not old.pages and old.pager is None:
        old.ref_count += 1
        return old
    new = VmObject(source.vm, source.size)
    new.given_size = source.given_size
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


def prepare_copy(source: VmObject | None, offset: int, size: int) -> None:
    """Raises MustWait, or KERN_MEMORY_ERROR, where `copy_strategically` of a permanent object would."""
    if source is None or source.pager is None or not source.permanent:
        return
    source.pager.check_ready()
    if source.pager.strategy == COPY_NONE:
        for at in range(0, size, source.vm.page_size):
            source.lookup(offset + at)


def copy_strategically(source: VmObject, offset: int, size: int) -> tuple[VmObject | None, int, bool]:
    """A copy of [offset, offset + size) of a permanent object, as its manager has it done: the object to use, with a reference
    for the caller, the offset there, and whether it needs to be copied before a write. (vm_object_copy_strategically)

    Raises MustWait, KERN_MEMORY_ERROR; nothing is copied then.
    """
    pager = source.pager
    if pager is None:
        raise InvariantError("an object without a manager has no copy strategy")
    pager.check_ready()
    if pager.strategy == COPY_CALL:
        return _copy_call(source, pager, offset, size), 0, False
    if pager.strategy == COPY_DELAY:
        return copy_delayed(source), offset, True
    return copy_slowly(source, offset, size), 0, False


def _copy_call(source: VmObject, pager: Pager, offset: int, size: int) -> VmObject:
    """The manager makes the copy: a new memory object of its own, over the source for what it does not have. The source's pages
    are locked against writing until the manager unlocks them. (vm_object_copy_call)"""
    vm = source.vm
    memory_object = vm.managers.memory_object_port()
    vm.managers.copy(pager, offset, size, memory_object)
    for page in source.pages.values():
        if offset <= page.offset < offset + size and not page.lock & VM_PROT_WRITE:
            page.lock |= VM_PROT_WRITE
            vm.mmu.page_protect(page.frame, VM_PROT_ALL & ~page.lock)
    result = vm.enter_object(memory_object, size)
    vm.managers.release_send(memory_object)
    source.ref_count += 1
    result.shadow = source
    result.shadow_offset = offset
    return result


def copy_slowly(source: VmObject | None, offset: int, size: int) -> VmObject | None:
    """A new object with copies of the pages seen at [offset, offset + size) of `source`; nothing stays shared.

    Raises MustWait, KERN_MEMORY_ERROR. (vm_object_copy_slowly)
    """
    if source is None:
        return None
    vm = source.vm
    pages = [source.lookup(offset + at) for at in range(0, size, vm.page_size)]
    result = VmObject(vm, size)
    try:
        for index, page in enumerate(pages):
            if page is not None:
                vm.copy_page(page, vm.allocate_page(result, index * vm.page_size))
    except PageShortage:
        deallocate(result)
        raise
    return result
