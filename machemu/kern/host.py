"""The host: the ports that stand for the node as a whole, and what it tells of itself (Mach's kern/host.c)."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT
from machemu.abi.types import signed
from machemu.kern.clock import HZ
from machemu.kern.sched import MIN_QUANTUM
from machemu.sim.state import state

if TYPE_CHECKING:
    from machemu.ipc.port import Port
    from machemu.kern.subsystem import Kern


HOST_BASIC_INFO, HOST_PROCESSOR_SLOTS, HOST_SCHED_INFO, HOST_LOAD_INFO = range(1, 5)
COUNTS: Final = {HOST_BASIC_INFO: 5, HOST_SCHED_INFO: 2, HOST_LOAD_INFO: 6}
TICK_MS: Final = 1000 // HZ


@state
class Halt(Enum):
    """How a machine ends."""

    HALT = auto()
    """host_reboot halted it."""
    REBOOT = auto()
    """host_reboot asked for a restart."""
    PANIC = auto()
    """A task with the privileged host port asked for what the real kernel dies of."""


@state
class HostPort:
    """What the name port of the host stands for (Mach's IKOT_HOST)."""

    __slots__ = ()


@state
class HostPrivPort:
    """What the privileged port of the host stands for (IKOT_HOST_PRIV)."""

    __slots__ = ()


@state
class PrinterPort:
    """What the port stands for by which text comes to the console and the log of this kernel."""

    __slots__ = ()


@state
class Host:
    """The node's two host ports, and the port where text comes; the kernel holds their receive rights."""

    __slots__ = ("host_self", "host_priv_self", "printer")
    host_self: Port
    host_priv_self: Port
    printer: Port | None  # None where nobody has a right to it

    def __init__(self, host_self: Port, host_priv_self: Port) -> None:
        self.host_self = host_self
        self.host_priv_self = host_priv_self
        self.printer = None


def info(kern: Kern, flavor: int, room: int) -> tuple[int, ...]:
    """host_info: the flavor's words."""
    if flavor == HOST_PROCESSOR_SLOTS:
        if room < len(kern.processors):
            raise KernError(KERN_INVALID_ARGUMENT)
        return tuple([processor.slot_num for processor in kern.processors])
    if flavor not in COUNTS:
        raise KernError(KERN_INVALID_ARGUMENT)
    if room < COUNTS[flavor]:
        raise KernError(KERN_FAILURE)
    if flavor == HOST_SCHED_INFO:
        return TICK_MS, MIN_QUANTUM * TICK_MS
    if flavor == HOST_LOAD_INFO:
        return (*kern.psets[0].avenrun, *kern.psets[0].mach_factors)
    count, master = len(kern.processors), kern.processors[0]
    memory = kern.vm.memory
    return count, count, signed(memory.frame_count * memory.frame_size), master.cpu_type, master.cpu_subtype
