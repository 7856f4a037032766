"""Every routine that the kernel performs, by message id. What is not here answers MIG_BAD_ID, as the real kernel does for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Final

from machemu.abi.device import NET_RCV_MSG_ID
from machemu.core.routines import device as device_routines
from machemu.core.routines import gnumach as gnumach_routines
from machemu.core.routines import mach as mach_routines
from machemu.core.routines import mach4 as mach4_routines
from machemu.core.routines import mach_debug as mach_debug_routines
from machemu.core.routines import mach_host as mach_host_routines
from machemu.core.routines import mach_i386 as mach_i386_routines
from machemu.core.routines import mach_port as mach_port_routines
from machemu.core.routines import memory_object as memory_object_routines
from machemu.core.routines import notify as notify_routines
from machemu.core.routines import vm as vm_routines
from machemu.machine.protocols import IoPorts, MachineTask
from machemu.mig.interfaces import (
    device,
    device_reply,
    exc,
    gnumach,
    mach,
    mach4,
    mach_debug,
    mach_host,
    mach_i386,
    mach_port,
    memory_object,
    memory_object_default,
    notify,
)
from machemu.mig.runtime import COUNTED, Message, Routine, Type


@dataclass(frozen=True, slots=True)
class Row:
    """A routine of an interface, and what performs it."""

    routine: Routine
    handler: Callable[..., tuple[Any, ...] | None]


def _rows(interface: dict[int, Routine], handlers: ModuleType) -> dict[int, Row]:
    """A subsystem's routines that a module has a handler of the same name for."""
    named = vars(handlers)
    return {msgh_id: Row(routine, named[routine.name]) for msgh_id, routine in interface.items() if routine.name in named}


ROUTINES: Final[dict[int, Row]] = {
    **_rows(mach.ROUTINES, mach_routines),
    **_rows(mach.ROUTINES, memory_object_routines),
    **_rows(mach_port.ROUTINES, mach_port_routines),
    **_rows(mach_host.ROUTINES, mach_host_routines),
    **_rows(device.ROUTINES, device_routines),
    **_rows(mach_i386.ROUTINES, mach_i386_routines),
    **_rows(mach4.ROUTINES, mach4_routines),
    **_rows(mach_debug.ROUTINES, mach_debug_routines),
    **_rows(gnumach.ROUTINES, gnumach_routines),
    **_rows(gnumach.ROUTINES, vm_routines),
    **_rows(mach4.ROUTINES, vm_routines),
    **_rows(mach_debug.ROUTINES, vm_routines),
    **_rows(notify.ROUTINES, notify_routines),
}


WITHOUT_PORTS: Final = {msgh_id: row for msgh_id, row in ROUTINES.items() if msgh_id not in mach_i386.ROUTINES}


def routines_on(machine: MachineTask) -> dict[int, Row]:
    """The routines of a machine that gives each task `machine`: without I/O ports there is no subsystem mach_i386."""
    return _routines_of(type(machine))


@cache
def _routines_of(cls: type) -> dict[int, Row]:
    """Kept, since each restored snapshot asks, and a protocol is slow to be asked."""
    return ROUTINES if issubclass(cls, IoPorts) else WITHOUT_PORTS


MESSAGES: Final[dict[int, tuple[str, Message]]] = {}
"""Every message whose form is known, requests and replies, by id: what a trace calls it, and its layout."""
for _interface in (
    mach, mach_port, memory_object, memory_object_default, device, device_reply, exc, notify,
    gnumach, mach4, mach_debug, mach_host, mach_i386,
):  # fmt: skip
    for _id, _routine in _interface.ROUTINES.items():
        MESSAGES.setdefault(_id, (_routine.name, _routine.request))
        if _routine.reply is not None:
            MESSAGES.setdefault(_routine.reply.id, (f"{_routine.name} reply", _routine.reply))

NET_RCV_MSG: Final = Message(NET_RCV_MSG_ID, (("header", Type(9, 9, 8, 64, "64s")), ("packet", Type(9, 9, 8, 1, "s", COUNTED))))
"""What an Ethernet interface sends to whoever's filter takes a frame (<device/net_status.h>): no interface defines it."""
MESSAGES[NET_RCV_MSG_ID] = ("net_rcv_msg", NET_RCV_MSG)
