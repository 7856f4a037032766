"""Reading a kernel without changing it: what ports and names stand for. For traces, reports and debuggers."""

from __future__ import annotations

from machemu.abi.port import PORT_NAME_DEAD, PORT_NULL
from machemu.core.managers import PagingName, PagingRequest
from machemu.core.proxies import Proxy
from machemu.core.traps import TRAP_COUNT, TRAPS
from machemu.device.ds_routines import Device, MasterDevice
from machemu.device.io_perm import IoPerm
from machemu.ipc.port import Port, Right
from machemu.ipc.pset import PortSet
from machemu.ipc.right import reverse
from machemu.ipc.space import Space
from machemu.kern.host import HostPort, HostPrivPort, PrinterPort
from machemu.kern.processor import Processor
from machemu.kern.processor_set import ProcessorSet, ProcessorSetName
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.sim.state import PortName
from machemu.trace.ports import PortKind, PortRef


def refer(port: Port, space: Space | None, name: PortName = PORT_NULL, is_receive: bool = False) -> PortRef:
    """What a port stands for, as the task with `space` sees it."""
    kind, number, label = PortKind.PORT if port.active else PortKind.DEAD_PORT, port.number, ""
    match port.kobject:
        case Task() as task:
            kind, number, label = (PortKind.TASK_SELF if task.space is space else PortKind.TASK), task.number, task.name
        case Thread() as thread:
            kind, number = PortKind.THREAD, thread.number
        case HostPort():
            kind = PortKind.HOST
        case HostPrivPort():
            kind = PortKind.HOST_PRIV
        case Processor() as processor:
            kind, number = PortKind.PROCESSOR, processor.slot_num
        case ProcessorSet():
            kind = PortKind.PROCESSOR_SET
        case ProcessorSetName():
            kind = PortKind.PROCESSOR_SET_NAME
        case MasterDevice():
            kind = PortKind.DEVICE_MASTER
        case Device() as opened:
            kind, label = PortKind.DEVICE, opened.name
        case PagingRequest():
            kind = PortKind.MEMORY_CONTROL
        case PagingName():
            kind = PortKind.MEMORY_NAME
        case Proxy():
            kind = PortKind.MEMORY_PROXY
        case IoPerm():
            kind = PortKind.IO_PERM
        case PrinterPort():
            kind = PortKind.PRINTER
    return PortRef(name, kind, number, label, is_receive)


def refer_name(space: Space, name: PortName) -> PortRef:
    """A name with what it stands for in `space`."""
    if name == PORT_NULL:
        return PortRef(name, PortKind.NULL)
    if name == PORT_NAME_DEAD:
        return PortRef(name, PortKind.DEAD)
    entry = space.lookup(name)
    if entry is None:
        return PortRef(name, PortKind.NO_SUCH_NAME)
    target = entry.object
    if isinstance(target, PortSet):
        return PortRef(name, PortKind.PORT_SET)
    if not isinstance(target, Port):
        return PortRef(name, PortKind.DEAD_NAME)
    return refer(target, space, name, target.receiver is space)


def refer_right(right: Right, space: Space | None) -> PortRef:
    """A right under way, by the name that a task has for its port where it has one."""
    if right is None:
        return PortRef(PORT_NULL, PortKind.NULL)
    if not isinstance(right, Port):
        return PortRef(PORT_NAME_DEAD, PortKind.DEAD)
    return refer(right, space, name_of(space, right) if space is not None else PORT_NULL)


def name_of(space: Space, port: Port) -> int:
    """The name under which a space holds send or receive rights to a port, or MACH_PORT_NULL."""
    entry = reverse(space, port)
    return PORT_NULL if entry is None else entry.name


def trap_name(number: int) -> str:
    return TRAPS[number].name if 0 <= number < TRAP_COUNT else f"trap {number}"
