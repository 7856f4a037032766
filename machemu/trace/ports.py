"""Ports as a task sees them, and their words: apart from the events, since the report at a run's end names ports, too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from machemu.abi.port import PORT_NAME_DEAD, PORT_NULL
from machemu.trace.names import short_name


class PortKind(Enum):
    """What a port name or a right stands for. Of the kinds below, those with a number say whose in `PortRef.number`."""

    NULL = auto()
    DEAD = auto()
    """MACH_PORT_DEAD."""
    NO_SUCH_NAME = auto()
    DEAD_NAME = auto()
    PORT_SET = auto()
    PORT = auto()
    """A port that the kernel does not stand behind; its number in the whole machine."""
    DEAD_PORT = auto()
    TASK_SELF = auto()
    """The port of the task concerned."""
    TASK = auto()
    """Another task's, by its number."""
    THREAD = auto()
    """By its number."""
    HOST = auto()
    HOST_PRIV = auto()
    PROCESSOR = auto()
    """By its slot number."""
    PROCESSOR_SET = auto()
    PROCESSOR_SET_NAME = auto()
    DEVICE_MASTER = auto()
    DEVICE = auto()
    MEMORY_CONTROL = auto()
    """By which a memory manager commands the kernel; its number as a port's, which those below have, too."""
    MEMORY_NAME = auto()
    """A memory object's name port."""
    MEMORY_PROXY = auto()
    IO_PERM = auto()
    """The right to use I/O ports."""
    PRINTER = auto()
    """Where text comes that tasks print on other nodes."""


@dataclass(frozen=True, slots=True)
class PortRef:
    """A port, as a task sees it."""

    name: int
    """The task's name for it, MACH_PORT_NULL where it has none."""
    kind: PortKind
    number: int = 0
    label: str = ""
    """A device's name; a task's, for people."""
    is_receive: bool = False
    """Whether the task has its receive right."""


KINDS = {
    PortKind.NULL: "",
    PortKind.NO_SUCH_NAME: "no such name",
    PortKind.HOST_PRIV: "host-priv",
    PortKind.PROCESSOR_SET: "processor-set",
    PortKind.PROCESSOR_SET_NAME: "processor-set name",
    PortKind.TASK_SELF: "task-self",
    PortKind.DEVICE_MASTER: "device-master",
    PortKind.MEMORY_CONTROL: "memory-control",
    PortKind.MEMORY_NAME: "memory-name",
    PortKind.MEMORY_PROXY: "memory-proxy",
    PortKind.IO_PERM: "io-perm",
    PortKind.PRINTER: "printer",
}
"""How a kind is said, where it is not its own name."""
PORTS = (PortKind.PORT, PortKind.MEMORY_CONTROL, PortKind.MEMORY_NAME, PortKind.MEMORY_PROXY, PortKind.IO_PERM)
"""Kinds that are told apart by the port's number in the machine."""
NUMBERED = (*PORTS, PortKind.TASK, PortKind.THREAD, PortKind.PROCESSOR)


def kind_text(port: PortRef) -> str:
    """What a port stands for, such as `port 12 receive`; "" for the null name."""
    text = KINDS.get(port.kind, port.kind.name.lower().replace("_", " "))
    if port.kind in NUMBERED:
        text += f" {port.number}"
        if port.kind is PortKind.TASK and port.label:
            text += f" {short_name(port.label)}"
    elif port.kind is PortKind.DEVICE:
        text += f" {port.label}"
    return f"{text} receive" if port.is_receive else text


def port_text(port: PortRef) -> str:
    what = kind_text(port)
    if not port.name and what:
        return what
    return f"{port.name} ({what})" if what else str(port.name)


def right_text(port: PortRef) -> str:
    """A right among a message's arguments."""
    if port.kind is PortKind.NULL:
        return "null"
    return kind_text(port) if port.name in (PORT_NULL, PORT_NAME_DEAD) else port_text(port)
