"""What the kernel knows: every routine of every interface and every trap, each with its state.

Most of it follows from the tables: a new handler in core/routines makes its routine implemented here. What it answers instead of
doing, and what the real kernel does not know, is declared below.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from machemu.core.routines.table import ROUTINES
from machemu.core.traps import ROWS, kern_invalid
from machemu.mig.interfaces import (
    bootstrap,
    device,
    device_reply,
    exc,
    gnumach,
    mach,
    mach4,
    mach_debug,
    mach_host,
    mach_i386,
    mach_migrate,
    mach_port,
    mach_port_array,
    memory_object,
    memory_object_default,
    notify,
    service,
    task_notify,
)


class State(Enum):
    """How the kernel stands to a routine or trap; the value is how people read it."""

    IMPLEMENTED = "implemented"
    ANSWERS = "answers what the real kernel answers"
    UNKNOWN = "unknown to the real kernel, too"
    SENT = "sent by the kernel"
    USERS = "between users; the kernel has no part in it"
    MISSING = "not there yet"


class Known(NamedTuple):
    """A routine or, in the interface `traps`, a trap: by request id or trap number. code: what it answers, for ANSWERS."""

    interface: str
    number: int
    name: str
    state: State
    code: str = ""


SERVED: Final = (mach, mach_host, mach_port, mach_debug, mach_i386, mach4, gnumach, device, mach_migrate, mach_port_array)
"""The interfaces of the kernel's own routines."""
SENT: Final = (notify, exc, memory_object, memory_object_default, device_reply, task_notify)
"""Those in which the kernel is the one who asks or tells."""
USERS: Final = (bootstrap, service)

ANSWERS: Final = {
    "task_ras_control": "KERN_FAILURE",
    "vm_machine_attribute": "KERN_INVALID_ADDRESS",
    "device_map": "D_INVALID_OPERATION",
    "processor_start": "KERN_FAILURE",
    "processor_exit": "KERN_FAILURE",
    "processor_control": "KERN_FAILURE",
    "processor_assign": "KERN_FAILURE",
    "processor_set_create": "KERN_FAILURE",
    "processor_set_destroy": "KERN_FAILURE",
    "task_assign": "KERN_FAILURE",
    "task_assign_default": "KERN_FAILURE",
    "thread_assign": "KERN_FAILURE",
    "thread_assign_default": "KERN_FAILURE",
    "evc_wait": "KERN_INVALID_ARGUMENT",
    "evc_wait_clear": "KERN_INVALID_ARGUMENT",
}
"""What the real kernel refuses to everybody; the code where the arguments are sound."""
UNKNOWN: Final = frozenset(("host_load_symbol_table",))
"""What the real kernel answers with MIG_BAD_ID, though its interface files have it."""


def _state(name: str, handled: bool) -> State:
    if name in UNKNOWN:
        return State.UNKNOWN
    if name in ANSWERS:
        return State.ANSWERS
    return State.IMPLEMENTED if handled else State.MISSING


def routines() -> list[Known]:
    """Every routine, by interface and id."""
    found = []
    for interface in SERVED:
        for number, routine in sorted(interface.ROUTINES.items()):
            state = _state(routine.name, number in ROUTINES)
            found.append(Known(interface.SUBSYSTEM, number, routine.name, state, ANSWERS.get(routine.name, "")))
    for interfaces, state in ((SENT, State.SENT), (USERS, State.USERS)):
        for each in interfaces:
            found += [Known(each.SUBSYSTEM, number, routine.name, state) for number, routine in sorted(each.ROUTINES.items())]
    return found


def traps() -> list[Known]:
    """Every trap that has a name, by number."""
    return [
        Known("traps", row.number, row.name, _state(row.name, row.handler is not kern_invalid), ANSWERS.get(row.name, ""))
        for row in ROWS
    ]
