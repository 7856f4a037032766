"""What task_info counts of a task's traps and messages."""

from __future__ import annotations

from enum import Enum, auto

import pytest

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_INVALID_HOST
from machemu.abi.message import COPY_SEND, HEADER_SIZE, MACH_SEND_MSG
from machemu.abi.migrate import TASK_IPC_INFO
from machemu.abi.port import RIGHT_RECEIVE
from machemu.abi.types import Nanoseconds, VirtAddr
from machemu.core.kernel import Kernel
from machemu.ipc import mach_port
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.kern.task import TASK_EVENTS_INFO_COUNT, TASK_IPC_INFO_COUNT, Task
from machemu.kern.task_control import TASK_EVENTS_INFO
from machemu.mig.interfaces.mach import TASK_INFO
from machemu.mig.interfaces.mach_migrate import TASK_SET_FORWARDS
from tests.support.guests import Arch
from tests.support.machine import CODE, Machine, add_task, empty
from tests.support.managers import Manager, send_message
from tests.support.moves import relocate
from tests.support.routines import call, send_right

MESSAGE = CODE + 0x1000
SECOND = 1_000_000_000
SENT = 5
"""The place of the messages that were sent."""


def counted(kernel: Kernel, task: Task) -> tuple[int, ...]:
    [words] = call(kernel, TASK_INFO, task.itk_self, TASK_IPC_INFO, TASK_IPC_INFO_COUNT)
    return tuple(words)


@pytest.mark.parametrize("forwards", (False, True))
def test_traps_and_messages_are_counted_for_the_task_that_makes_them_and_go_with_it(arch: Arch, forwards: bool) -> None:
    with empty(arch) as machine:
        kernel = machine.kernel
        receiver, _ = add_task(machine, arch.stay)
        sender, _ = add_task(machine, b"")
        if forwards:
            right = send_right(kernel, receiver.itk_self)
            call(kernel, TASK_SET_FORWARDS, kernel.kern.host.host_priv_self, right, 1)
        name = mach_port.mach_port_allocate(kernel.ipc, receiver.space, RIGHT_RECEIVE)
        port = receiver.space.table[name].port()
        code = b""
        for index, target in enumerate((sender.itk_self, port, port)):
            held = mach_port.copyout_send(kernel.ipc, sender.space, send_right(kernel, target))
            at, size = MESSAGE + 64 * index, HEADER_SIZE + 4 * index
            sender.memory.write(VirtAddr(at), arch.pack("6I", COPY_SEND, size, held, 0, 0, 4))
            code += arch.trap(25, at, MACH_SEND_MSG, size, 0, 0, 0, 0)
        sender.memory.write(VirtAddr(CODE), code + arch.stay)
        machine.run(SECOND)
        others = (0, 0, 2, 60) if forwards else (2, 60, 0, 0)
        assert counted(kernel, sender) == (3, 1, 24, *others)
        assert counted(kernel, receiver) == (0,) * TASK_IPC_INFO_COUNT
        assert counted(kernel, relocate(machine, sender)) == (3, 1, 24, *others)


class Interrupt(Enum):
    """What becomes due: a message to a port."""

    MESSAGE = auto()

    @staticmethod
    def event_due(kind: Enum, machine: Machine, port: Port) -> None:
        send_message(machine, port, 100)


def test_what_an_interrupt_sends_is_not_counted_for_the_task_that_runs(arch: Arch) -> None:
    with empty(arch) as machine:
        kern, manager = machine.kernel.kern, Manager(machine)
        task, _ = add_task(machine, arch.stay)
        machine.run(SECOND)
        due = (Interrupt.MESSAGE, machine, manager.port)
        kern.events.schedule(Nanoseconds(kern.clock.now() + SECOND), 0, Interrupt.MESSAGE, due)
        counts = [task_control.info(kern, each, TASK_EVENTS_INFO, TASK_EVENTS_INFO_COUNT) for each in (task, kern.kernel_task)]
        machine.run(2 * SECOND)
        now = [task_control.info(kern, each, TASK_EVENTS_INFO, TASK_EVENTS_INFO_COUNT) for each in (task, kern.kernel_task)]
        assert (now[0], now[1][SENT]) == (counts[0], counts[1][SENT] + 1)


def test_who_forwards_messages_is_said_by_the_privileged_host_port(arch: Arch) -> None:
    with empty(arch) as machine:
        kernel = machine.kernel
        task, _ = add_task(machine, arch.stay)
        for host, right, code in (
            (kernel.kern.host.host_self, task.itk_self, KERN_INVALID_HOST),
            (kernel.kern.host.host_priv_self, kernel.kern.host.host_self, KERN_INVALID_ARGUMENT),
        ):
            with pytest.raises(KernError) as refused:
                call(kernel, TASK_SET_FORWARDS, host, send_right(kernel, right), 1)
            assert refused.value.code == code
        with pytest.raises(KernError) as refused:
            call(kernel, TASK_INFO, task.itk_self, TASK_IPC_INFO, TASK_IPC_INFO_COUNT - 1)
        assert refused.value.code == KERN_INVALID_ARGUMENT
