"""What is in a machine, as plain rows: tasks, threads, rights, ports, regions of memory. Reading them changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from machemu.abi import vm
from machemu.abi.port import TYPE_DEAD_NAME, TYPE_PORT_SET, TYPE_RECEIVE, TYPE_SEND, TYPE_SEND_ONCE
from machemu.core.kernel import Kernel
from machemu.ipc.entry import Entry
from machemu.ipc.port import Port
from machemu.kern.task import Task
from machemu.lab.report import describe_thread, name_text, port_text
from machemu.lab.tables import Address
from machemu.sim.state import PortName
from machemu.trace.names import file_name

TYPES: Final = {
    TYPE_SEND: "send",
    TYPE_RECEIVE: "receive",
    TYPE_SEND_ONCE: "send-once",
    TYPE_PORT_SET: "port-set",
    TYPE_DEAD_NAME: "dead-name",
}
INHERITANCE: Final = {vm.VM_INHERIT_SHARE: "share", vm.VM_INHERIT_COPY: "copy", vm.VM_INHERIT_NONE: "none"}
PROTECTIONS: Final = ((vm.VM_PROT_READ, "r"), (vm.VM_PROT_WRITE, "w"), (vm.VM_PROT_EXECUTE, "x"))


class TaskRow(NamedTuple):
    """number: the machine's own count. name: its program's file, without folders. size, resident: bytes in its map, and of them
    in memory. rights: names in its space."""

    number: int
    name: str
    threads: tuple[int, ...]
    rights: int
    size: int
    resident: int
    state: str


class ThreadRow(NamedTuple):
    """task: its task's number. doing: what it does or waits for. user, system: nanoseconds of virtual time."""

    number: int
    task: int
    task_name: str
    doing: str
    pc: Address
    priority: int
    user: int
    system: int


class RightRow(NamedTuple):
    """A name in a task's space. types: of its rights. urefs: user references of its send rights. port: the port's number in the
    machine, 0 for a set and a dead name. what: what that stands for."""

    task: int
    name: int
    types: tuple[str, ...]
    urefs: int
    port: int
    what: str


class PortRow(NamedTuple):
    """number: in the machine. receiver: the task that has the receive right, 0 for the kernel or none; name: its name there.
    messages, limit: in its queue and at most. senders: threads that wait for room. send, send_once: rights in existence."""

    number: int
    what: str
    receiver: int
    name: int
    messages: int
    limit: int
    senders: int
    send: int
    send_once: int


class MessageRow(NamedTuple):
    """A message in a port's queue. id: msgh_id. size: in bytes. reply: the number of the port for the answer, 0 for none."""

    port: int
    id: int
    size: int
    reply: int
    carried: int


class RegionRow(NamedTuple):
    """Addresses [start, end) of a task's map. protection, most: as rwx. resident: bytes in memory of its object and what that
    shadows. state: needs-copy, shared, wired, untouched."""

    task: int
    start: Address
    end: Address
    protection: str
    most: str
    inheritance: str
    resident: int
    state: tuple[str, ...]


def tasks(kernel: Kernel) -> Iterator[TaskRow]:
    """Oldest first, the kernel's own among them."""
    for task in kernel.kern.tasks.values():
        size = 0 if task.map is None else task.map.size
        resident = 0 if task.map is None else task.map.pmap.resident_count() * kernel.cpu.page_size
        state = "ends" if not task.active else "suspended" if task.suspend_count else "runs"
        yield TaskRow(task.number, file_name(task.name), tuple(task.threads), len(task.space.table), size, resident, state)


def threads(kernel: Kernel) -> Iterator[ThreadRow]:
    for task in kernel.kern.tasks.values():
        for thread in task.threads.values():
            yield ThreadRow(
                thread.number,
                task.number,
                file_name(task.name),
                describe_thread(kernel, thread),
                Address(thread.pcb.pc),
                thread.sched_pri,
                thread.user_time,
                thread.system_time,
            )


def rights(kernel: Kernel) -> Iterator[RightRow]:
    for task in kernel.kern.tasks.values():
        for name, entry in task.space.entries():
            yield right_row(task, name, entry)


def right_row(task: Task, name: PortName, entry: Entry) -> RightRow:
    types = tuple(text for bit, text in TYPES.items() if entry.type & bit)
    port = entry.object.number if isinstance(entry.object, Port) else 0
    return RightRow(task.number, name, types, entry.urefs, port, name_text(task.space, name))


def ports(kernel: Kernel) -> Iterator[PortRow]:
    """Every port of the machine, the kernel's own among them."""
    owners = {id(task.space): task.number for task in kernel.kern.tasks.values()}
    for port in kernel.ipc.ports.values():
        yield PortRow(
            port.number,
            port_text(port),
            owners.get(id(port.receiver), 0),
            port.receiver_name if id(port.receiver) in owners else 0,
            port.msgcount,
            port.qlimit,
            len(port.senders.threads),
            port.srights,
            port.sorights,
        )


def messages(kernel: Kernel) -> Iterator[MessageRow]:
    """What is in the queues of ports, the oldest of each first."""
    for port in kernel.ipc.ports.values():
        queued = port.messages if port.pset is None else [kmsg for kmsg in port.pset.messages if kmsg.remote is port]
        for kmsg in queued:
            reply = kmsg.local.number if isinstance(kmsg.local, Port) else 0
            yield MessageRow(port.number, kmsg.id, kmsg.size, reply, len(kmsg.carried))


def regions(kernel: Kernel) -> Iterator[RegionRow]:
    for task in kernel.kern.tasks.values():
        for entry in () if task.map is None else task.map.entries:
            resident, offset, obj = set(), entry.offset, entry.object
            while obj is not None:
                shown = range(offset, offset + entry.end - entry.start)
                resident |= {at - offset for at in obj.pages if at in shown}
                offset, obj = offset + obj.shadow_offset, obj.shadow
            marks = (entry.needs_copy, entry.is_shared, entry.wired, entry.object is None)
            state = tuple(
                text for text, is_so in zip(("needs-copy", "shared", "wired", "untouched"), marks, strict=True) if is_so
            )
            yield RegionRow(
                task.number,
                Address(entry.start),
                Address(entry.end),
                protection_text(entry.protection),
                protection_text(entry.max_protection),
                INHERITANCE.get(entry.inheritance, str(entry.inheritance)),
                len(resident) * kernel.cpu.page_size,
                state,
            )


def protection_text(bits: int) -> str:
    """rwx, with - for what is not allowed."""
    return "".join(letter if bits & bit else "-" for bit, letter in PROTECTIONS)
