"""The routines of mach_migrate about where a task prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.core import printers
from machemu.core.printers import PRINT_MAX
from machemu.core.routines.targets import privileged_host, task_target
from machemu.ipc import port as ports
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.kern import ipc_tt
from machemu.kern.host import PrinterPort
from machemu.mig.runtime import OutOfLine
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel


def task_get_printer(kernel: Kernel, request: Kmsg) -> tuple[Right]:
    return (printers.printer_of(kernel, task_target(request)),)


def task_set_printer(kernel: Kernel, request: Kmsg, task_port: Right, printer: Right) -> tuple[()]:
    """Consumes the rights on success."""
    privileged_host(kernel, request)
    task = ipc_tt.task_of(task_port)
    if task is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    printers.set_printer(kernel, task, printer)
    ports.release_send(kernel.ipc, task_port)
    return ()


def printer_print(kernel: Kernel, request: Kmsg, text: OutOfLine) -> tuple[()]:
    """Consumes the text on success. Raises MustWait, KERN_MEMORY_ERROR; KERN_INVALID_ARGUMENT for more than PRINT_MAX bytes."""
    target = request.remote
    if not isinstance(target, Port) or not isinstance(target.kobject, PrinterPort) or text.size > PRINT_MAX:
        raise KernError(KERN_INVALID_ARGUMENT)
    if isinstance(text.copy, VmMapCopy):
        kernel.print(text.copy.to_bytes())
        text.copy.discard()
    return ()
