"""Routines on memory beyond subsystem mach: parts of gnumach (4200), mach4 (4000) and mach_debug (3000)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_NO_SPACE
from machemu.abi.message import PORT_SEND, CarriedPort, CarriedPorts
from machemu.core import proxies
from machemu.core.managers import PagingName
from machemu.core.routines.targets import map_target, space_target
from machemu.ipc import port as ports
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.mig.runtime import OutOfLine
from machemu.vm import memory_object
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject
from machemu.vm.page import INACTIVE, NO_QUEUE, VmPage
from machemu.vm.pager import Answer, Request

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

KERNEL_ADDRESS: Final = 0xC2000000
"""Above it lie, for whoever looks, the objects: by the numbers of their name ports."""
SYNC_ASYNCHRONOUS, SYNC_SYNCHRONOUS = 1, 2
STATE_PAGER, STATE_CAN_PERSIST, STATE_INTERNAL, STATE_TEMPORARY, STATE_ALIVE = 0x3, 0x8, 0x10, 0x20, 0x40
STATE_PAGER_READY: Final = 0x4
PAGES_INLINE: Final = 85
PAGE_BUSY, PAGE_WANTED, PAGE_FICTITIOUS, PAGE_ABSENT, PAGE_ERROR = 0x1, 0x2, 0x8, 0x20, 0x40
ABSENT_STATES: Final = {
    Answer.WAITED_FOR: PAGE_BUSY | PAGE_ABSENT,
    Answer.UNAVAILABLE: PAGE_ABSENT,
    Answer.ERROR: PAGE_ERROR,
}
PAGE_TABLED, PAGE_DIRTY, PAGE_PRECIOUS, PAGE_INACTIVE, PAGE_ACTIVE, PAGE_LAUNDRY = 0x4, 0x80, 0x100, 0x400, 0x800, 0x1000
WORD: Final = 0xFFFFFFFF


def _object(request: Kmsg) -> VmObject:
    """The object whose name port the request was sent to (vm_object_lookup_name)."""
    target = request.remote
    if isinstance(target, Port) and target.active and isinstance(target.kobject, PagingName):
        return target.kobject.object
    raise KernError(KERN_INVALID_ARGUMENT)


# gnumach


def vm_cache_statistics(kernel: Kernel, request: Kmsg) -> tuple[tuple[int, ...]]:
    """Objects of external managers and their pages; the real kernel does not count the other nine."""
    map_target(request)
    external = [pager.object for pager in kernel.vm.pagers.values() if not pager.internal]
    return ((len(external), sum(len(obj.pages) for obj in external), *[0] * 9),)


def vm_object_sync(
    kernel: Kernel, request: Kmsg, offset: int, size: int, should_flush: int, should_return: int, should_iosync: int
) -> tuple[()]:
    """memory_object_lock_request for everybody; it is synchronous in any case."""
    obj = _object(request)
    mask = kernel.vm.page_mask
    start = offset & ~mask
    length = ((offset + size + mask) & ~mask) - start & WORD
    how = memory_object.RETURN_ALL if should_return else memory_object.RETURN_NONE
    if obj.pager is not None:
        memory_object.lock_request(obj.pager, start, length, how, bool(should_flush), memory_object.PROT_NO_CHANGE)
    return ()


def vm_msync(kernel: Kernel, request: Kmsg, address: int, size: int, sync_flags: int) -> tuple[()]:
    """Not there in the real kernel for more than no bytes."""
    map_target(request)
    mask = kernel.vm.page_mask
    both = SYNC_ASYNCHRONOUS | SYNC_SYNCHRONOUS
    if sync_flags & both == both or ((address + size + mask) & ~mask) - (address & ~mask) & WORD:
        raise KernError(KERN_INVALID_ARGUMENT)
    return ()


# mach4


def memory_object_create_proxy(
    kernel: Kernel,
    request: Kmsg,
    max_protection: int,
    objects: tuple[object, ...],
    offsets: tuple[int, ...],
    starts: tuple[int, ...],
    lengths: tuple[int, ...],
) -> tuple[object]:
    """Of one memory object, from offset 0 on, as far as the real kernel goes."""
    space_target(request)
    if not len(objects) == len(offsets) == len(starts) == len(lengths) == 1 or offsets[0]:
        raise KernError(KERN_INVALID_ARGUMENT)
    if any(isinstance(item, CarriedPort | CarriedPorts) and item.disposition != PORT_SEND for item in request.carried):
        raise KernError(KERN_INVALID_ARGUMENT)
    return (proxies.create(kernel.ipc, objects[0], max_protection, starts[0], lengths[0]),)


def vm_region_create_proxy(kernel: Kernel, request: Kmsg, address: int, max_protection: int, length: int) -> tuple[object]:
    """Of the memory behind a region. Anonymous memory goes to the default memory manager; the call waits until there is one."""
    map_ = map_target(request)
    index = map_.index_from(address)
    if index == len(map_.entries):
        raise KernError(KERN_NO_SPACE)
    entry = map_.entries[index]
    if length > entry.end - entry.start:
        raise KernError(KERN_INVALID_ARGUMENT)
    obj = entry.object if entry.object is not None else map_.shadow_entry(entry)
    if obj.pager is None:
        if not kernel.vm.has_default_manager:
            raise MustWait(kernel.vm.manager_wanted)
        kernel.vm.make_internal_pager(obj)
    right = ports.copy_send(kernel.ipc, obj.pager.memory_object if obj.pager is not None else None)
    try:
        proxy = proxies.create(
            kernel.ipc, right, max_protection & entry.max_protection, address - entry.start + entry.offset & WORD, length
        )
    except KernError:
        ports.release_send(kernel.ipc, right)
        raise
    return (proxy,)


# mach_debug


def _address(obj: VmObject | None) -> int:
    """What stands for an object's address in the kernel."""
    return 0 if obj is None else KERNEL_ADDRESS + _name(obj).number


def _name(obj: VmObject) -> Port:
    """The object's own name port, also where it shadows others."""
    if obj.name is None:
        obj.name = obj.vm.managers.name_port(obj)
    assert isinstance(obj.name, Port)
    return obj.name


def _right(kernel: Kernel, obj: VmObject | None) -> Port | None:
    """A new send right to an object's own name port."""
    return None if obj is None else ports.make_send(kernel.ipc, _name(obj))


def mach_vm_region_info(kernel: Kernel, request: Kmsg, address: int) -> tuple[tuple[int, ...], object]:
    space_target(request)
    map_ = map_target(request)
    index = map_.index_from(address)
    if index == len(map_.entries):
        raise KernError(KERN_NO_SPACE)
    entry = map_.entries[index]
    words = (
        entry.start, entry.end, entry.protection, entry.max_protection, entry.inheritance, entry.wired_count, entry.wired_count,
        _address(entry.object), entry.offset, int(entry.needs_copy), int(entry.is_shared),
    )  # fmt: skip
    return words, _right(kernel, entry.object)


def mach_vm_object_info(kernel: Kernel, request: Kmsg) -> tuple[tuple[int, ...], object, object]:
    obj = _object(request)
    pager = obj.pager
    state = STATE_ALIVE | (0 if obj.external else STATE_INTERNAL) | (0 if obj.permanent else STATE_TEMPORARY)
    absent = paging = 0
    if pager is not None:
        absent = len(pager.requests)
        paging = sum(len(request.event.threads) for request in pager.requests.values())
        state |= STATE_PAGER | (STATE_PAGER_READY if pager.ready else 0) | (STATE_CAN_PERSIST if pager.may_cache else 0)
    words = (
        _address(obj), kernel.vm.page_size, obj.given_size, obj.ref_count + 1, len(obj.pages) + absent, absent,
        _address(obj.copy), _address(obj.shadow), obj.shadow_offset, 0 if pager is None else pager.paging_offset,
        0 if pager is None else pager.copy_strategy, obj.last_alloc, paging, state,
    )  # fmt: skip
    return words, _right(kernel, obj.shadow), _right(kernel, obj.copy)


def mach_vm_object_pages(kernel: Kernel, request: Kmsg, room: int) -> tuple[tuple[tuple[int, ...], ...] | OutOfLine]:
    """The pages that are there, in the order in which they came, and those that the manager was asked for; out of line where they
    are many."""
    obj = _object(request)
    pages = [_page(page) for page in obj.pages.values()]
    if obj.pager is not None:
        pages += [_absent(offset, absent) for offset, absent in obj.pager.requests.items()]
    if len(pages) <= PAGES_INLINE:
        return (tuple(pages),)
    data = b"".join(struct.pack(f"{kernel.ipc.prefix}6I", *page) for page in pages)
    return (OutOfLine(VmMapCopy.from_bytes(kernel.vm, data), len(data)),)


def _page(page: VmPage) -> tuple[int, ...]:
    vm = page.object.vm
    state = PAGE_TABLED | (PAGE_DIRTY if page.dirty or vm.mmu.is_modified(page.frame) else 0)
    state |= (PAGE_PRECIOUS if page.precious else 0) | (PAGE_LAUNDRY if page.laundry else 0)
    if page.event is not None and page.event.threads:
        state |= PAGE_WANTED
    if page.queue != NO_QUEUE:
        state |= PAGE_INACTIVE if page.queue & INACTIVE else PAGE_ACTIVE
    return (page.offset, page.frame * vm.page_size, page.wire_count, page.lock, page.unlock_request, state)


def _absent(offset: int, request: Request) -> tuple[int, ...]:
    """A page without a frame, which has an address all the same."""
    state = PAGE_TABLED | PAGE_FICTITIOUS | ABSENT_STATES[request.answer] | (PAGE_WANTED if request.event.threads else 0)
    return (offset, WORD, 0, 0, 0, state)
