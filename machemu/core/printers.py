"""Where what a task prints by the trap mach_print goes: to this kernel's console and log, or to another kernel's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.message import PORT_SEND
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mqueue
from machemu.ipc import port as ports
from machemu.ipc.port import Port, Right
from machemu.kern.host import PrinterPort
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_migrate import PRINTER_PRINT
from machemu.mig.runtime import OutOfLine
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

PRINT_MAX: Final = 1 << 16
"""Bytes that are printed at once."""


def printer_of(kernel: Kernel, task: Task) -> Right:
    """A new send right to the port by which text comes to where a task prints."""
    if task.printer is not None:
        return ports.copy_send(kernel.ipc, task.printer)
    host = kernel.kern.host
    if host.printer is None:
        host.printer = kernel.ipc.make_kernel_port(PrinterPort())
        host.printer.nsrequest = ports.make_sonce(kernel.ipc, host.printer)
    return ports.make_send(kernel.ipc, host.printer)


def unused(kernel: Kernel, port: Port) -> None:
    """Nobody has a right to the port where text comes any more."""
    kernel.kern.host.printer = None
    ports.dealloc_kernel(kernel.ipc, port)


def set_printer(kernel: Kernel, task: Task, printer: Right) -> None:
    """Lets a task, and those that it makes from now on, print elsewhere, or here. Consumes the send right."""
    old, task.printer = task.printer, None
    ports.release_send(kernel.ipc, old)
    if isinstance(printer, Port) and printer is not kernel.kern.host.printer:
        task.printer = printer
    else:
        ports.release_send(kernel.ipc, printer)


def print_for_current(kernel: Kernel, text: bytes) -> None:
    """Prints what the kernel says of what the current thread does: behind what its task has printed before."""
    current = kernel.kern.sched.current
    if current is not None:
        print_text(kernel, current.task, text)
    else:
        kernel.print(text)


def print_text(kernel: Kernel, task: Task, text: bytes) -> None:
    """Prints what a task says. Where it cannot go on its way at once it is printed here."""
    printer = task.printer
    if not text or not isinstance(printer, Port) or not printer.active or printer.msgcount >= printer.qlimit:
        kernel.print(text)
        return
    ipc, message = kernel.ipc, PRINTER_PRINT.request
    body, carried = message.pack(ipc.order, (OutOfLine(VmMapCopy.from_bytes(kernel.vm, text), len(text)),))
    right = ports.copy_send(ipc, printer)
    mqueue.send(ipc, None, kmsgs.make(ipc, right, PORT_SEND, None, 0, message.id, body, carried), False)
