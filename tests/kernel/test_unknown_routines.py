"""Requests that no handler takes."""

from __future__ import annotations

import struct

import pytest

from machemu.abi.kern_return import MigReturn
from machemu.abi.types import VirtAddr
from machemu.core.coverage import Known, State, routines
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from tests.machine import CODE, STAY, add_task, empty, trap

MESSAGE = CODE + 0x1000
SEND, RECEIVE = 1, 2
COPY_SEND, MAKE_SEND_ONCE = 19, 21
SECOND = 1_000_000_000


@pytest.mark.parametrize(
    "known", [known for known in routines() if known.state in (State.UNKNOWN, State.MISSING)], ids=lambda known: known.name
)
def test_a_routine_that_the_kernel_does_not_have_answers_mig_bad_id(known: Known) -> None:
    with empty() as machine:
        task, _ = add_task(machine, b"")
        ipc, space = machine.kernel.ipc, task.space
        name = mach_port.copyout_send(ipc, space, ports.copy_send(ipc, task.itk_sself))
        reply = mach_port.mach_port_allocate(ipc, space, 1)
        header = struct.pack("<6I", COPY_SEND | MAKE_SEND_ONCE << 8, 24, name, reply, 0, known.number)
        task.memory.write(VirtAddr(MESSAGE), header)
        task.memory.write(VirtAddr(CODE), trap(25, MESSAGE, SEND | RECEIVE, 24, 64, reply, 0, 0) + STAY)
        machine.run(SECOND // 100)
        answer = task.memory.read(VirtAddr(MESSAGE), 32)
        assert struct.unpack_from("<I", answer, 20) == (known.number + 100,)
        assert struct.unpack_from("<i", answer, 28) == (MigReturn.MIG_BAD_ID,)
