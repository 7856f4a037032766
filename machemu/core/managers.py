"""Memory managers as virtual memory sees them, joined to ports and messages (Mach's memory_object_* user stubs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from machemu.abi.errors import InvariantError, KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_MEMORY_ERROR, KERN_PROTECTION_FAILURE
from machemu.abi.message import PORT_SEND
from machemu.abi.vm import VM_PROT_ALL, VM_PROT_READ
from machemu.core import printers, proxies
from machemu.device.dev_pager import DevicePager
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Port, Right, kernel_address
from machemu.kern.task import NAME_MAX
from machemu.kern.thread import Thread
from machemu.mig.interfaces import memory_object, memory_object_default
from machemu.mig.runtime import OutOfLine, Routine
from machemu.sim.state import state
from machemu.vm import memory_object as memory_objects
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject, deallocate
from machemu.vm.pager import Answer, Pager

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

WORD: Final = 0xFFFFFFFF


@state
class PagingRequest:
    """What a memory object's control port stands for (IKOT_PAGING_REQUEST)."""

    __slots__ = ("pager",)
    pager: Pager

    def __init__(self, pager: Pager) -> None:
        self.pager = pager


@state
class PagingName:
    """What an object's name port stands for (IKOT_PAGING_NAME)."""

    __slots__ = ("object",)
    object: VmObject

    def __init__(self, obj: VmObject) -> None:
        self.object = obj


class Managers:
    """vm.seams.MemoryManagers. Stateless: a pager's port stands for the pager, its control port for a PagingRequest."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.ipc = kernel.ipc

    def wake(self, thread: object) -> None:
        assert isinstance(thread, Thread)
        self.kernel.kern.wake(thread)

    def print(self, line: str) -> None:
        printers.print_for_current(self.kernel, line.encode() + b"\n")

    def no_room(self, map_: VmMap) -> None:
        task = next((task for task in self.kernel.kern.tasks.values() if task.map is map_), None)
        if task is not None:
            self.print(f"no more room in {kernel_address(task.number)} ({task.name[:NAME_MAX]})")

    def pageout(self) -> None:
        self.kernel.kern.sched.ast = True

    # Ports

    def name_port(self, obj: VmObject) -> Port:
        return self.ipc.make_kernel_port(PagingName(obj))

    def dealloc(self, port: object) -> None:
        ports.dealloc_kernel(self.ipc, _port(port))

    def memory_object_port(self) -> Port:
        return ports.make_send(self.ipc, self.ipc.make_kernel_port(None))

    def release_send(self, right: object) -> None:
        ports.release_send(self.ipc, _right(right))

    def is_alive(self, right: object) -> bool:
        return isinstance(right, Port) and right.active

    def part_of(self, memory_object: object, offset: int, size: int, copy: bool) -> tuple[object, int, int]:
        if not _port(memory_object).active:
            # It was alive when the caller named it, and died while the caller waited for its manager.
            raise KernError(KERN_MEMORY_ERROR)
        window = _port(memory_object).kobject
        if isinstance(window, DevicePager) and window.whole is not None:
            return window.whole.port, offset + window.offset & ~self.kernel.vm.page_mask & WORD, VM_PROT_ALL
        proxied = proxies.resolve(memory_object)
        if proxied is None:
            return memory_object, offset, VM_PROT_ALL
        target, access, start, length = proxied
        if not _port(target).active:
            raise KernError(KERN_MEMORY_ERROR)
        if copy and not access & VM_PROT_READ:
            raise KernError(KERN_PROTECTION_FAILURE)
        if start + offset + size & WORD > start + length & WORD:
            raise KernError(KERN_INVALID_ARGUMENT)
        return target, offset + start & WORD, VM_PROT_ALL if copy else access

    def pager_of(self, memory_object: object) -> Pager | None:
        kobject = _port(memory_object).kobject
        if isinstance(kobject, DevicePager):
            return kobject.pager
        if kobject is None or isinstance(kobject, Pager):
            return kobject
        raise KernError(KERN_INVALID_ARGUMENT)

    def begin(self, pager: Pager, memory_object: object) -> None:
        port = _port(memory_object)
        pager.memory_object = ports.copy_send(self.ipc, port)
        if isinstance(port.kobject, DevicePager):
            port.kobject.pager = pager
        else:
            port.kobject = pager
        pager.control = self.ipc.make_kernel_port(PagingRequest(pager))

    def surrender(self, pager: Pager) -> tuple[object, object, object]:
        if _device(pager) is not None:
            raise KernError(KERN_INVALID_ARGUMENT)
        obj = pager.object
        name = obj.name if obj.name is not None else self.name_port(obj)
        rights = _port(pager.memory_object), _port(pager.control), _port(name)
        for port in rights:
            port.kobject = None
        pager.memory_object = pager.control = obj.name = None
        return rights

    def adopt(self, pager: Pager, memory_object: object, control: object, name: object) -> None:
        pager.memory_object, pager.control = ports.copy_send(self.ipc, _port(memory_object)), control
        _port(memory_object).kobject = pager
        obj = pager.object
        if obj.name is not None:
            self.dealloc(obj.name)
        obj.name = name
        for port, stands_for in ((_port(control), PagingRequest(pager)), (_port(name), PagingName(obj))):
            port.receiver, port.destination, port.kobject = self.ipc.kernel_space, None, stands_for

    def name_object(self, name: object, obj: VmObject) -> None:
        _port(name).kobject = PagingName(obj)

    # Messages

    def init(self, pager: Pager) -> None:
        if _device(pager) is not None:
            pager.become_ready()
            return
        page_size = pager.object.vm.page_size
        self._send(pager, memory_object.MEMORY_OBJECT_INIT, self._control(pager), self._name(pager), page_size)

    def create(self, pager: Pager) -> None:
        obj = pager.object
        values = (pager.memory_object, obj.size, self._control(pager), self._name(pager), obj.vm.page_size)
        manager = ports.copy_send(self.ipc, _right(obj.vm.default_manager))
        self._send_to(manager, memory_object_default.MEMORY_OBJECT_CREATE, values)

    def terminate(self, pager: Pager) -> None:
        """The send right to the memory object is used up by the message."""
        obj = pager.object
        control, name = _port(pager.control), _port(obj.name if obj.name is not None else self.name_port(obj))
        manager = _port(pager.memory_object)
        device = _device(pager)
        if device is not None:
            obj.name = pager.control = pager.memory_object = device.pager = None
            self.dealloc(control)
            self.dealloc(name)
            self.release_send(manager)
            return
        control.kobject = name.kobject = manager.kobject = None
        obj.name = pager.control = pager.memory_object = None
        self._send_to(manager, memory_object.MEMORY_OBJECT_TERMINATE, (control, name))

    def copy(self, pager: Pager, offset: int, length: int, new_memory_object: object) -> None:
        self._send(pager, memory_object.MEMORY_OBJECT_COPY, self._control(pager), offset, length, new_memory_object)

    def data_request(self, pager: Pager, offset: int, length: int, access: int) -> None:
        device = _device(pager)
        if device is not None:
            self._show(pager, device, offset, access)
            return
        self._send(pager, memory_object.MEMORY_OBJECT_DATA_REQUEST, self._control(pager), offset, length, access)

    def _show(self, pager: Pager, device: DevicePager, offset: int, access: int) -> None:
        """A device's memory is given at once. Raises PageShortage, and it was not asked for."""
        data = device.page(offset, access)
        if data is None:
            pager.answer(offset, Answer.ERROR)
            return
        try:
            memory_objects.data_supply(pager, offset, VmMapCopy.from_bytes(self.kernel.vm, data), 0, False)
        except MustWait:
            del pager.requests[offset]
            raise

    def data_unlock(self, pager: Pager, offset: int, length: int, access: int) -> None:
        self._send(pager, memory_object.MEMORY_OBJECT_DATA_UNLOCK, self._control(pager), offset, length, access)

    def data_return(self, pager: Pager, offset: int, copy: VmMapCopy, dirty: bool, kernel_copy: bool) -> None:
        if _device(pager) is not None or pager.memory_object is None:
            copy.discard()
            return
        data = OutOfLine(copy, copy.size)
        self._send(
            pager, memory_object.MEMORY_OBJECT_DATA_RETURN, self._control(pager), offset, data, int(dirty), int(kernel_copy)
        )

    def _control(self, pager: Pager) -> Port:
        """A new send right to the control port."""
        return ports.make_send(self.ipc, _port(pager.control))

    def _name(self, pager: Pager) -> Port:
        """A new send right to the name port."""
        obj = pager.object
        if obj.name is None:
            obj.name = self.name_port(obj)
        return ports.make_send(self.ipc, _port(obj.name))

    def _send(self, pager: Pager, routine: Routine, *values: object) -> None:
        """To the pager's manager, where its port is alive."""
        self._send_to(ports.copy_send(self.ipc, _right(pager.memory_object)), routine, values)

    def _send_to(self, right: Right, routine: Routine, values: tuple[object, ...]) -> None:
        """Consumes the send right and what the message carries."""
        body, carried = routine.request.pack(self.ipc.order, values)
        kmsgs.kernel_send(self.ipc, kmsgs.make(self.ipc, right, PORT_SEND, None, 0, routine.request.id, body, carried))


def _device(pager: Pager) -> DevicePager | None:
    """The device whose memory the kernel itself shows, without messages."""
    port = pager.memory_object
    return port.kobject if isinstance(port, Port) and isinstance(port.kobject, DevicePager) else None


def _right(right: object | None) -> Right:
    """What memory holds of a memory object, or of a manager: a right, of which it knows nothing."""
    return cast("Right", right)


def _port(port: object) -> Port:
    if not isinstance(port, Port):
        raise InvariantError(f"{port!r} is no port")
    return port


def control_pager(right: object) -> Pager | None:
    """The pager whose control port this is, or None (vm_object_lookup)."""
    if isinstance(right, Port) and right.active and isinstance(right.kobject, PagingRequest):
        return right.kobject.pager
    return None


def port_died(kernel: Kernel, port: Port) -> None:
    """vm_object_destroy: a memory object's port is dead. What it has in memory stays; who waits for it gets an error."""
    pager = port.kobject
    if not isinstance(pager, Pager):
        return
    obj, managers = pager.object, kernel.vm.managers
    kernel.vm.reference(obj)
    pager.may_cache = False
    pager.memory_object = None
    control, pager.control = pager.control, None
    managers.dealloc(control)
    if obj.name is not None:
        managers.dealloc(obj.name)
        obj.name = None
    pager.abort()
    deallocate(obj)
