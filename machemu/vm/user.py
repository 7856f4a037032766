"""One task's memory as the kernel reads and writes it on the task's behalf (Mach's copyin and copyout)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from machemu.abi.errors import InvariantError, KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ADDRESS, KERN_RESOURCE_SHORTAGE
from machemu.abi.types import PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.sim.state import state
from machemu.vm import map_copy, routines
from machemu.vm.fault import vm_fault
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject, deallocate
from machemu.vm.page import PageShortage


@state
class UserMemory:
    """IPC's TaskMemory over a map."""

    __slots__ = ("map",)
    map: VmMap

    def __init__(self, map_: VmMap) -> None:
        self.map = map_

    def read(self, address: VirtAddr, size: int) -> bytes:
        """Copies in `size` bytes. Raises KERN_INVALID_ADDRESS where any cannot be read, MustWait."""
        map_ = self.map
        vm = map_.vm
        if (address & vm.page_mask) + size <= vm.page_size:
            at = map_.pmap.translate(address, VM_PROT_READ)
            if at is not None:
                return bytes(vm.memory.view[at : at + size])
        parts = []
        for start, length in self._pieces(address, size):
            at = self._physical(start, VM_PROT_READ)
            parts.append(vm.memory.view[at : at + length])
        return b"".join(parts)

    def write(self, address: VirtAddr, data: bytes | bytearray | memoryview) -> None:
        """Copies out. Raises KERN_INVALID_ADDRESS where any byte cannot be written, MustWait; bytes before it may have been."""
        map_ = self.map
        vm = map_.vm
        size = len(data)
        if (address & vm.page_mask) + size <= vm.page_size:
            at = map_.pmap.translate(address, VM_PROT_WRITE)
            if at is not None:
                vm.memory.write(at, data)
                return
        view = memoryview(data)
        done = 0
        for start, length in self._pieces(address, size):
            vm.memory.write(self._physical(start, VM_PROT_WRITE), view[done : done + length])
            done += length

    def ready(self, address: VirtAddr, size: int, writes: bool) -> bool:
        """Whether all the bytes can be read, or written, without waiting. What is missing has been asked for, as an access by
        another thread without privileges would. Raises KERN_INVALID_ADDRESS where any never can be."""
        vm = self.map.vm
        before, vm.privileged = vm.privileged, False
        is_ready = True
        try:
            for start, _ in self._pieces(address, size):
                try:
                    self._physical(start, VM_PROT_WRITE if writes else VM_PROT_READ)
                except MustWait as wait:
                    is_ready = False
                    if isinstance(wait.held, VmObject):
                        deallocate(wait.held)
        finally:
            vm.privileged = before
        return is_ready

    def _pieces(self, address: int, size: int) -> Iterator[tuple[int, int]]:
        """[address, address + size) page by page. Raises KERN_INVALID_ADDRESS where it leaves the address space."""
        map_ = self.map
        end = address + size
        if address < map_.min_offset or end > map_.max_offset:
            raise KernError(KERN_INVALID_ADDRESS)
        while address < end:
            following = min((address | map_.vm.page_mask) + 1, end)
            yield address, following - address
            address = following

    def _physical(self, address: int, access: int) -> PhysAddr:
        """Where the byte at `address` lies, its page faulted in as the user's own access would."""
        pmap = self.map.pmap
        at = pmap.translate(VirtAddr(address), access)
        if at is None:
            try:
                vm_fault(self.map, address, access)
            except KernError:
                raise KernError(KERN_INVALID_ADDRESS) from None
            at = pmap.translate(VirtAddr(address), access)
            if at is None:
                raise InvariantError(f"a page at {address:#x} is not there after its fault")
        return at

    def copyin(self, address: VirtAddr, size: int, deallocate: bool) -> VmMapCopy:
        """Takes `size` > 0 bytes as out-of-line data, copy-on-write; with `deallocate` the pages leave the map."""
        copy = map_copy.copyin(self.map, address, size, deallocate)
        if copy is None:
            raise InvariantError("out-of-line data of no bytes is copied in")
        return copy

    def copyout(self, copy: object) -> VirtAddr:
        """Maps the copy anywhere and consumes it, also on failure; the address keeps the offset in the page."""
        if not isinstance(copy, VmMapCopy):
            raise InvariantError("a map copy of another kind is copied out")
        try:
            with self._privileged():
                return VirtAddr(map_copy.copyout(self.map, copy))
        finally:
            copy.discard()

    def allocate(self, size: int) -> VirtAddr:
        """Resident zero-filled memory anywhere: the next write to it does not wait. Raises KERN_RESOURCE_SHORTAGE."""
        address = routines.vm_allocate(self.map, 0, size, True)
        try:
            with self._privileged():
                for start, _ in self._pieces(address, size):
                    self._physical(start, VM_PROT_WRITE)
        except KernError:
            routines.vm_deallocate(self.map, address, size)
            raise
        return VirtAddr(address)

    @contextmanager
    def _privileged(self) -> Iterator[None]:
        """What a message needs may be taken out of the frames that are kept; where those are gone it is
        KERN_RESOURCE_SHORTAGE, since a message that was taken cannot wait."""
        vm = self.map.vm
        before, vm.privileged = vm.privileged, True
        try:
            yield
        except PageShortage:
            raise KernError(KERN_RESOURCE_SHORTAGE) from None
        finally:
            vm.privileged = before

    def deallocate(self, address: VirtAddr, size: int) -> None:
        """Unmaps the pages that hold [address, address + size)."""
        routines.vm_deallocate(self.map, address, size)
