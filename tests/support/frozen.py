"""A frozen task whose name space has something of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from machemu.abi.port import RIGHT_DEAD_NAME, RIGHT_PORT_SET, RIGHT_RECEIVE
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.kern import freeze
from machemu.kern.task import Task
from tests.support.guests import Arch
from tests.support.machine import Machine, add_task, empty


@contextmanager
def frozen_task(arch: Arch) -> Iterator[tuple[Machine, Task]]:
    """A frozen task with a receive and a send right, a set, a dead name and a freed name; the machine is as before afterwards."""
    with empty(arch) as machine:
        task, _ = add_task(machine, arch.stay)
        machine.run(1_000_000)
        ipc, space = machine.kernel.ipc, task.space
        own = mach_port.mach_port_allocate(ipc, space, RIGHT_RECEIVE)
        whole = mach_port.mach_port_allocate(ipc, space, RIGHT_PORT_SET)
        mach_port.mach_port_move_member(ipc, space, own, whole)
        mach_port.mach_port_allocate(ipc, space, RIGHT_DEAD_NAME)
        mach_port.mach_port_deallocate(ipc, space, mach_port.mach_port_allocate(ipc, space, RIGHT_DEAD_NAME))
        mach_port.copyout_send(ipc, space, ports.copy_send(ipc, task.itk_sself))
        freeze.freeze(machine.kernel.kern, task)
        yield machine, task
