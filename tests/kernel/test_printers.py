"""Where a task prints by the trap mach_print: on its kernel's console, or on that of another kernel."""

from __future__ import annotations

from machemu.abi.message import PORT_SEND
from machemu.abi.types import VirtAddr
from machemu.core.printers import PRINT_MAX
from machemu.core.traps import mach_print
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mqueue
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_migrate import PRINTER_PRINT, TASK_GET_PRINTER, TASK_SET_PRINTER
from machemu.mig.runtime import OutOfLine
from machemu.vm.map_copy import VmMapCopy
from tests.support.guests import Arch
from tests.support.machine import CODE, Machine, add_task, empty
from tests.support.routines import call, send_right

TEXT = CODE + 0x800


def say(machine: Machine, task: Task, text: bytes) -> None:
    """The trap, by the first thread of a task."""
    task.memory.write(VirtAddr(TEXT), text + b"\0")
    mach_print(machine.kernel, next(iter(task.threads.values())), TEXT)


def set_printer(machine: Machine, task: Task, printer: object) -> None:
    kernel = machine.kernel
    call(kernel, TASK_SET_PRINTER, kernel.kern.host.host_priv_self, send_right(kernel, task.itk_self), printer)


def elsewhere(machine: Machine) -> Port:
    """A port that stands for another kernel's."""
    port = machine.kernel.ipc.make_kernel_port(None)
    port.receiver = None
    return port


def came(machine: Machine, port: Port) -> list[bytes]:
    texts, ipc = [], machine.kernel.ipc
    while port.messages:
        kmsg = port.messages.popleft()
        mqueue.taken(ipc, kmsg)
        (text,) = PRINTER_PRINT.request.unpack(ipc.order, bytes(kmsg.body), kmsg.carried, kmsg.complex)
        texts.append(text.copy.to_bytes())
        kmsgs.destroy(ipc, kmsg)
    return texts


def test_a_task_prints_where_it_was_told_to_and_so_do_those_that_it_makes(arch: Arch) -> None:
    with empty(arch) as machine:
        task, _ = add_task(machine, arch.stay)
        machine.run(1_000_000)
        port = elsewhere(machine)
        set_printer(machine, task, ports.make_send(machine.kernel.ipc, port))
        say(machine, task, b"far\n")
        machine.kernel.vm.managers.print("the kernel's words")
        assert (came(machine, port), machine.console) == ([b"far\n", b"the kernel's words\n"], b"")
        child = task_control.create(machine.kernel.kern, task, False)
        assert child.printer is port
        say(machine, task, b"")
        assert came(machine, port) == []
        ports.destroy(machine.kernel.ipc, port)


def test_what_finds_no_room_or_a_dead_port_is_printed_here(arch: Arch) -> None:
    with empty(arch) as machine:
        task, _ = add_task(machine, arch.stay)
        machine.run(1_000_000)
        port = elsewhere(machine)
        set_printer(machine, task, ports.make_send(machine.kernel.ipc, port))
        for _ in range(port.qlimit + 1):
            say(machine, task, b"flood\n")
        assert len(port.messages) == port.qlimit
        ports.destroy(machine.kernel.ipc, port)
        say(machine, task, b"dead\n")
        assert machine.console == b"flood\ndead\n"
        machine.check()


def test_a_kernel_prints_what_comes_to_its_own_port_and_a_task_that_has_that_prints_here(arch: Arch) -> None:
    with empty(arch) as machine:
        kernel = machine.kernel
        task, _ = add_task(machine, arch.stay)
        machine.run(1_000_000)
        (printer,) = call(kernel, TASK_GET_PRINTER, task.itk_self)
        for text in (b"came\n", bytes(PRINT_MAX + 1)):
            message = PRINTER_PRINT.request
            body, carried = message.pack(kernel.ipc.order, (OutOfLine(VmMapCopy.from_bytes(kernel.vm, text), len(text)),))
            right = ports.copy_send(kernel.ipc, printer)
            kmsgs.kernel_send(kernel.ipc, kmsgs.make(kernel.ipc, right, PORT_SEND, None, 0, message.id, body, carried))
        set_printer(machine, task, printer)
        assert task.printer is None
        say(machine, task, b"here\n")
        assert machine.console == b"came\nhere\n"
        machine.check()
