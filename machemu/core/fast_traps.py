"""The traps that the extension in C does for a kernel: which classes of the kernel it works on (machine/accel/traps.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.ipc.entry import Entry
from machemu.ipc.port import Port
from machemu.ipc.space import Space
from machemu.kern.clock import Clock
from machemu.kern.host import Host
from machemu.kern.sched import Sched
from machemu.kern.subsystem import Kern
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.machine.accel import native

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel
    from machemu.machine.accel.interface import NativeTraps

CLASSES = (Kern, Host, Clock, Sched, Thread, Task, Space, Entry, Port)


def of(kernel: Kernel) -> NativeTraps | None:
    """Of a kernel; None where the extension is not there."""
    if native is None:
        return None
    native.bind_slots({"Kernel": type(kernel)} | {each.__name__: each for each in CLASSES})
    traps: NativeTraps = native.Traps(kernel)
    return traps
