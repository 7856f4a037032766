"""Memory that a device and tasks share: frames of its own, which stay (what Mach's drivers allocate in the kernel's map)."""

from __future__ import annotations

from machemu.abi.types import PhysAddr
from machemu.device.dev_pager import DevicePager
from machemu.device.driver import Minor
from machemu.device.io import DeviceIo
from machemu.sim.state import Natural, state
from machemu.vm.object import VmObject
from machemu.vm.page import VmPage
from machemu.vm.subsystem import Vm


@state
class DeviceMemory:
    """Whole pages of RAM, wired for good. Whoever maps them has these frames and no copy."""

    __slots__ = ("vm", "first", "object", "pager")
    vm: Vm
    first: Natural  # where it begins in its memory object, whose other pages it has not
    object: VmObject  # holds the pages; its reference is the device's
    pager: DevicePager  # the memory object of all of it, of which device_map's ports are windows

    def __init__(self, io: DeviceIo, minor: Minor, data: bytes, first: int = 0) -> None:
        """Begins with the bytes, and zeros up to the end of their last page. Raises PageShortage, and has taken nothing."""
        vm = self.vm = io.vm
        self.first = first
        size = len(data) + vm.page_mask & ~vm.page_mask
        vm.check_frames(size // vm.page_size)
        self.object = VmObject(vm, first + size)
        for start in range(0, size, vm.page_size):
            page = vm.allocate_page(self.object, first + start)
            vm.memory.write(self.place(start), data[start : start + vm.page_size].ljust(vm.page_size, b"\0"))
            vm.wire_page(page)
        port = io.ipc.make_kernel_port(None)
        port.kobject = self.pager = DevicePager(minor, 0, 0, first + size, self, port)
        vm.make_pager(self.object, port)

    @property
    def size(self) -> int:
        return len(self.object.pages) * self.vm.page_size

    def own_pages(self) -> list[VmPage]:
        """Those that are wired for good."""
        return list(self.object.pages.values())

    def place(self, start: int) -> PhysAddr:
        """Where a byte of it is."""
        offset = start & ~self.vm.page_mask
        return PhysAddr(self.object.pages[self.first + offset].frame * self.vm.page_size + start - offset)

    def read(self, start: int, size: int) -> bytes:
        """Bytes of it, all inside."""
        parts = []
        while size > 0:
            step = min(size, self.vm.page_size - (start & self.vm.page_mask))
            parts.append(self.vm.memory.read(self.place(start), step))
            start += step
            size -= step
        return b"".join(parts)

    def write(self, start: int, data: bytes) -> None:
        """Changes bytes of it, all inside."""
        done = 0
        while done < len(data):
            step = min(len(data) - done, self.vm.page_size - (start + done & self.vm.page_mask))
            self.vm.memory.write(self.place(start + done), data[done : done + step])
            done += step

    def page(self, offset: int, protection: int) -> bytes | None:
        """PageProvider: its own pages are always there, and it has no others."""
        return None
