"""Requests that no handler takes."""

from __future__ import annotations

import pytest

from machemu.abi.kern_return import MIG_BAD_ID
from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE
from machemu.abi.types import VirtAddr
from machemu.core.coverage import Known, State, routines
from machemu.core.routines.table import HANDLERS, ROUTINES
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.mig.interfaces import mach_i386, memory_object
from tests.support.guests import M68K, Arch
from tests.support.machine import CODE, add_task, empty

MESSAGE = CODE + 0x1000
SEND, RECEIVE = 1, 2
SECOND = 1_000_000_000


def answer_to(arch: Arch, msgh_id: int) -> tuple[int, int]:
    """The id and code of the answer to an empty request of a task to itself."""
    with empty(arch) as machine:
        task, _ = add_task(machine, b"")
        ipc, space = machine.kernel.ipc, task.space
        name = mach_port.copyout_send(ipc, space, ports.copy_send(ipc, task.itk_sself))
        reply = mach_port.mach_port_allocate(ipc, space, 1)
        header = arch.pack("6I", COPY_SEND | MAKE_SEND_ONCE << 8, 24, name, reply, 0, msgh_id)
        task.memory.write(VirtAddr(MESSAGE), header)
        task.memory.write(VirtAddr(CODE), arch.trap(25, MESSAGE, SEND | RECEIVE, 24, 64, reply, 0, 0) + arch.stay)
        machine.run(SECOND // 100)
        answer = task.memory.read(VirtAddr(MESSAGE), 32)
        return arch.unpack("I", answer, 20)[0], arch.unpack("i", answer, 28)[0]


@pytest.mark.parametrize(
    "known", [known for known in routines() if known.state in (State.UNKNOWN, State.MISSING)], ids=lambda known: known.name
)
def test_a_routine_that_the_kernel_does_not_have_answers_mig_bad_id(arch: Arch, known: Known) -> None:
    assert answer_to(arch, known.number) == (known.number + 100, MIG_BAD_ID)


@pytest.mark.parametrize(("msgh_id", "reply_id"), [(0xFFFFFFFF, 99), (0xFFFFFF9C, 0), (0x7FFFFFFF, 0x80000063)])
def test_a_reply_s_id_is_a_hundred_more_within_32_bits(arch: Arch, msgh_id: int, reply_id: int) -> None:
    assert answer_to(arch, msgh_id) == (reply_id, MIG_BAD_ID)


@pytest.mark.parametrize("msgh_id", mach_i386.ROUTINES)
def test_an_m68k_does_not_know_the_i386_s_routines(msgh_id: int) -> None:
    assert answer_to(M68K, msgh_id) == (msgh_id + 100, MIG_BAD_ID)


def test_every_routine_has_one_row_and_its_own_handler_but_those_that_are_always_refused() -> None:
    others = {routine.name: handler.__name__ for routine, handler in HANDLERS if routine.name != handler.__name__}
    refused = ("processor_set_create", "processor_set_destroy", "processor_assign")
    assigned = ("thread_assign", "thread_assign_default", "task_assign", "task_assign_default")
    managers = {routine.name: "not_a_manager" for routine in memory_object.ROUTINES.values()}
    assert others == dict.fromkeys((*refused, *assigned), "no_sets") | managers
    assert len(ROUTINES) == len(HANDLERS)
