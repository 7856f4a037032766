"""Opening and closing devices, and their ports (Mach's ds_routines.c)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum, auto

from machemu.abi.device import D_NO_MEMORY, D_NO_SUCH_DEVICE
from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.types import PhysAddr
from machemu.abi.vm import VM_PROT_ALL, VM_PROT_READ
from machemu.device.dev_pager import DevicePager
from machemu.device.driver import Driver, Minor
from machemu.device.io import DeviceIo, IoRequest
from machemu.device.memory import DeviceMemory
from machemu.ipc import port as ports
from machemu.ipc.port import Port, Right
from machemu.machine.seams import Disk
from machemu.sim.state import Signed, state

OPENED_MAX = 4096
"""Devices that can be open: any number of units of `cn` could be, and nobody closes them when their tasks end."""


@state
class DeviceEvent(Enum):
    """A device's opening is done."""

    OPENED = auto()


@state
class MasterDevice:
    """What the master device port stands for: the right to open devices."""

    __slots__ = ()


@state
class Device:
    """An open device: its port's kernel object. name: what first opened it. `opens` counts device_open calls not yet closed.

    waiting: while it is being opened, those who asked for that; None from then on.
    """

    __slots__ = ("name", "minor", "driver", "port", "opens", "waiting")
    name: str
    minor: Minor
    driver: Driver
    port: Port
    opens: Signed
    waiting: deque[IoRequest] | None

    def __init__(self, name: str, minor: Minor, driver: Driver, device_port: Port) -> None:
        self.name = name
        self.minor = minor
        self.driver = driver
        self.port = device_port
        self.opens = 0
        self.waiting = deque()


@state
class Devices:
    """A node's devices. drivers: there from power-on, asked in order for a name. opened: the open ones, by what tells them apart.

    pagers: the memory objects of mapped devices, by device and offset. master_port: the kernel holds its right.
    """

    __slots__ = ("io", "drivers", "opened", "pagers", "master_port")
    io: DeviceIo
    drivers: list[Driver]
    opened: dict[Minor, Device]
    pagers: dict[tuple[Minor, int], DevicePager]
    master_port: Port

    def __init__(self, io: DeviceIo) -> None:
        self.io = io
        self.drivers = []
        self.opened = {}
        self.pagers = {}
        self.master_port = io.ipc.make_kernel_port(MasterDevice())

    def attach(self, disks: Mapping[str, Disk]) -> None:
        """After a load. disks: the images of its disks, by name. Raises UserError where an image is not there."""
        attached: list[Driver] = []
        try:
            for driver in self.drivers:
                driver.attach(disks)
                attached.append(driver)
        except BaseException:
            for driver in attached:
                driver.detach()
            raise

    def take_over(self, old: Devices) -> None:
        """After a restore: the host's side of `old`, the devices of the same machine before, is theirs."""
        for driver, before in zip(self.drivers, old.drivers, strict=True):
            driver.take_over(before)

    def detach(self) -> None:
        """Gives the host's resources back."""
        for driver in self.drivers:
            driver.detach()

    def open(self, name: str, request: IoRequest) -> Port | None:
        """device_open: a send right to the device's port, or None: the request is answered later, and is the device's.

        A device that is open is shared. Raises KernError, and the request stays the caller's.
        """
        device = self._find(name, request.mode)
        if device.waiting is not None:
            device.waiting.append(request)
            return None
        device.opens += 1
        return ports.make_send(self.io.ipc, device.port)

    def _find(self, name: str, mode: int) -> Device:
        """The open device of the name; where there is none, it is opened, and where that takes time, its opening begun."""
        for driver in self.drivers:
            minor = driver.identify(name, mode)
            if minor is not None:
                break
        else:
            raise KernError(D_NO_SUCH_DEVICE)
        device = self.opened.get(minor)
        if device is not None:
            return device
        if len(self.opened) >= OPENED_MAX:
            raise KernError(D_NO_MEMORY)
        delay = driver.open(minor)
        ipc = self.io.ipc
        device_port = ipc.make_kernel_port(None)
        device = self.opened[minor] = Device(name, minor, driver, device_port)
        device_port.kobject = device
        ports.nsrequest(ipc, device_port, 1, ports.make_sonce(ipc, device_port))
        if delay:
            self.io.after(delay, DeviceEvent.OPENED, self, device)
        else:
            device.waiting = None
        return device

    def event_due(self, kind: Enum, *args: Device) -> None:
        """An opening is done: everybody who asked for it gets a send right."""
        (device,) = args
        waiting, device.waiting = device.waiting or (), None
        for request in waiting:
            if not device.port.active:
                # All rights given so far died on their way, and the device was closed with the last of them.
                self.io.refuse(request, D_NO_SUCH_DEVICE)
                continue
            device.opens += 1
            self.io.opened(request, ports.make_send(self.io.ipc, device.port))

    def close(self, device: Device) -> None:
        """device_close: the last one destroys the device's port."""
        device.opens -= 1
        if device.opens <= 0 and device.driver.closable:
            self._destroy(device)

    def _destroy(self, device: Device) -> None:
        del self.opened[device.minor]
        ports.dealloc_kernel(self.io.ipc, device.port)
        device.driver.close(device.minor)

    def no_senders(self, port: Port) -> None:
        """The last send right to a device's or a memory object's port is gone."""
        kobject = port.kobject
        if isinstance(kobject, Device) and kobject.driver.closed_without_senders:
            self._destroy(kobject)
        elif isinstance(kobject, DevicePager):
            del self.pagers[kobject.minor, kobject.offset]
            ports.dealloc_kernel(self.io.ipc, port)

    def map(self, device: Device, protection: int, offset: int, size: int) -> Port:
        """device_map: a send right to the memory object of that offset, which all who map it share."""
        if protection & ~VM_PROT_ALL and device.driver.checks_protection:
            raise KernError(KERN_INVALID_ARGUMENT)
        provider = device.driver.map(device.minor)
        pager = self.pagers.get((device.minor, offset))
        if pager is None:
            ipc = self.io.ipc
            port = ipc.make_kernel_port(None)
            mask = self.io.vm.page_mask
            whole = provider.pager if isinstance(provider, DeviceMemory) else None
            pager = DevicePager(device.minor, offset, protection, (size + mask) & ~mask & 0xFFFFFFFF, provider, port, whole)
            port.kobject = self.pagers[device.minor, offset] = pager
            ports.nsrequest(ipc, port, 1, ports.make_sonce(ipc, port))
        return ports.make_send(self.io.ipc, pager.port)

    def show(self) -> None:
        """What is mapped of devices becomes what they show now; called at each clock tick."""
        vm = self.io.vm
        for device in self.pagers.values():
            if device.pager is None:
                continue
            for offset, page in device.pager.object.pages.items():
                data = device.page(offset, VM_PROT_READ)
                if data is not None:
                    vm.memory.write(PhysAddr(page.frame * vm.page_size), data)

    @property
    def busy(self) -> bool:
        """Whether a device will do something by itself."""
        return any(True for _ in self.awaited())

    def awaited(self) -> Iterator[tuple[Enum, tuple[object, ...]]]:
        """The events that devices wait for: kind and arguments."""
        for driver in self.drivers:
            yield from ((kind, (driver,)) for kind in driver.awaits())
        for device in self.opened.values():
            if device.waiting is not None:
                yield DeviceEvent.OPENED, (self, device)

    def held(self) -> Iterator[tuple[Right, int]]:
        """The rights that devices hold, with their dispositions."""
        for driver in self.drivers:
            yield from driver.held()
        for device in self.opened.values():
            yield from ((request.reply_port, request.reply_type) for request in device.waiting or ())

    def memories(self) -> Iterator[DeviceMemory]:
        """The memory that devices share with tasks."""
        for driver in self.drivers:
            yield from driver.memories()

    def check_invariants(self) -> None:
        for driver in self.drivers:
            driver.check_invariants()
        for minor, device in self.opened.items():
            if device.minor != minor or device.port.kobject is not device:
                raise InvariantError(f"device {device.name} is not what its port stands for")
        for key, pager in self.pagers.items():
            if key != (pager.minor, pager.offset) or pager.port.kobject is not pager:
                raise InvariantError("a device's memory object is not what its port stands for")
