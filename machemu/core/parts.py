"""What a node's kernel consists of."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from machemu.abi.exception import Raised
from machemu.core.board import Board
from machemu.core.interrupt import Interrupt
from machemu.core.routines.table import Row
from machemu.device.console import Console
from machemu.device.ds_routines import Devices
from machemu.device.io_perm import IoPerms
from machemu.device.kmsg import KmsgDriver
from machemu.ipc.subsystem import Ipc
from machemu.kern.host import Halt
from machemu.kern.subsystem import Kern
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.machine.memory import PhysicalMemory
from machemu.machine.seams import Cpu, Mmu, Supervisor
from machemu.sim.state import Cost, Natural, Signed
from machemu.vm.subsystem import Vm

if TYPE_CHECKING:
    from machemu.core.kernel import Stop
    from machemu.machine.accel.interface import NativeTraps


class KernelObserver(Protocol):
    """Who watches a kernel."""

    def resumed(self, thread: Thread, result: int) -> None:
        """A thread that had blocked in a trap goes back to user mode with its result."""

    def raised(self, thread: Thread, what: Raised) -> None:
        """The current thread takes an exception."""

    def noted(self, thread: Thread, what: str) -> None:
        """A host-side thread says what it does."""

    def ended(self, thread: Thread) -> None:
        """A thread that had ended in a trap of its own is gone."""


class KernelParts:
    """The fields of a kernel; core.supervisor and core.kernel have what it does."""

    __slots__ = (
        "memory", "mmu", "ipc", "vm", "kern", "console", "kmsg", "devices", "io_perms",
        "trap_ns", "fault_ns", "switch_ns", "handler_ns", "message_ns", "byte_ns",
        "trap_count", "turns", "halted", "halt_reason", "reboot_options",
        "cpu", "entry", "observer", "limit", "trap_limit", "turn_limit", "stopping", "left", "routines", "word", "input_sources",
        "charged", "crash", "crashed", "interrupt", "board", "in_handler", "loader", "fast_traps",
    )  # fmt: skip
    TRANSIENT = (
        "cpu",
        "entry",
        "observer",
        "limit",
        "trap_limit",
        "turn_limit",
        "stopping",
        "left",
        "routines",
        "word",
        "input_sources",
        "charged",
        "crash",
        "crashed",
        "interrupt",
        "board",
        "in_handler",
        "loader",
        "fast_traps",
    )
    # The machine's:
    memory: PhysicalMemory  # the RAM, whose bytes are saved beside the state
    mmu: Mmu  # the page tables' bookkeeping

    # The layers:
    ipc: Ipc
    vm: Vm
    kern: Kern
    devices: Devices
    console: Console  # one of `devices`, as is the next
    kmsg: KmsgDriver
    io_perms: IoPerms

    # What its work costs in virtual time, of the machine's profile:
    trap_ns: Cost
    fault_ns: Cost
    switch_ns: Cost
    handler_ns: Cost  # of a host-side server's handler, and of each message and byte that it takes or sends
    message_ns: Cost
    byte_ns: Cost

    # How far it has come:
    trap_count: Natural  # traps since power-on
    turns: Natural  # how often a thread got or left the CPU, or went on from a wait
    halted: Halt | None  # how the machine ended
    halt_reason: str  # why, for people
    reboot_options: Signed  # the options of the host_reboot that ended it

    # Transient, made anew by `attach`:
    cpu: Cpu  # the machine's
    word: struct.Struct  # its 32-bit word
    entry: Supervisor  # who takes traps, the kernel or who watches it
    fast_traps: NativeTraps | None  # what the extension does of its traps; None without it
    observer: KernelObserver | None  # None where nobody watches
    routines: Mapping[int, Row]  # what it does for messages, by id
    board: Board  # where its thread last went to user mode
    # Give console input when a read waits and nothing can run, one after the other, b"" for no more:
    input_sources: list[Callable[[], bytes]]

    # Transient, where `run` comes back:
    limit: int  # virtual time
    trap_limit: int
    turn_limit: int
    stopping: Stop | None  # set by `stop`
    interrupt: Interrupt  # the user's wish to end, looked at between traps

    # Transient, of the active thread:
    left: bool  # it does not return to user mode now
    charged: tuple[int, int] | None  # the time and the instructions up to which it has been charged, None where none is
    in_handler: bool  # a host-side thread's Python runs, and makes its traps without a stop in between
    loader: Callable[[Task], None] | None  # told of each task that ends, while it still has its name space
    # A thread with an exception that nobody handled, until `crashed` is told, once it is off the CPU:
    crash: tuple[Thread, Raised] | None
    crashed: Callable[[Thread, Raised], None] | None
