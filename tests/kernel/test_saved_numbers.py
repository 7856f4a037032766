"""Numbers and tables that no machine can hold: a saved machine that has them is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from machemu.abi.errors import InvariantError, UserError
from machemu.abi.message import MSG_TYPE_INTEGER_32, PORT_SEND, Carried, CarriedPort, CarriedPorts, TypeDescriptor
from machemu.abi.vm import VM_PROT_NOTIFY, VM_PROT_READ
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.ipc.thread import NO_ARGS
from machemu.kern import thread_control
from machemu.kern.thread import Thread
from machemu.sim import slots
from machemu.user.message import Header
from machemu.vm import routines as vm
from tests.support.devices import User
from tests.support.guests import ARCHS, Arch
from tests.support.machine import CODE, Machine, add_task, load, new_node

BEYOND = 1 << 32

Change = Callable[[User, Thread], tuple[Any, str, Any]]
"""What is changed: an object, its slot, and the value that cannot be."""

CHANGES: dict[str, Change] = {
    "a sequence number beyond a word": lambda user, thread: (user.task.itk_self, "seqno", BEYOND),
    "a make-send count below zero": lambda user, thread: (user.task.itk_self, "mscount", -1),
    "a port number to be given twice": lambda user, thread: (user.ipc, "serial", 1),
    "a right to a port that the node does not have": lambda user, thread: (
        user.ipc,
        "ports",
        {number: port for number, port in user.ipc.ports.items() if port is not user.reply_port},
    ),
    "a port with another's number": lambda user, thread: (user.ipc, "ports", {n + 1: port for n, port in user.ipc.ports.items()}),
    "pages of another size": lambda user, thread: (user.ipc, "page_size", 1),
    "words of another order": lambda user, thread: (user.ipc, "prefix", "!"),
    "a trap's argument beyond a word": lambda user, thread: (thread, "ith_args", NO_ARGS._replace(rcv_size=BEYOND)),
    "a priority that has no queue": lambda user, thread: (thread, "sched_pri", 64),
    "a priority below the best": lambda user, thread: (thread, "priority", -1),
    "a policy that is none": lambda user, thread: (thread, "policy", 0),
    "usage below zero": lambda user, thread: (thread, "sched_usage", -1),
    "more time counted than used": lambda user, thread: (thread, "time_saved", thread.user_time + thread.system_time + 1),
    "an ageing that is still to come": lambda user, thread: (thread, "sched_stamp", 1),
    "seconds that are still to come": lambda user, thread: (thread.processor_set.processors[0].sched, "sched_tick", 1),
    "a thread's number to be given twice": lambda user, thread: (user.machine.kernel.kern, "thread_serial", 0),
    "a task's number to be given twice": lambda user, thread: (user.machine.kernel.kern, "task_serial", 0),
    "a clock that stands": lambda user, thread: (user.machine.kernel.kern.clock, "instruction_ns", 0),
    "traps that give time back": lambda user, thread: (user.machine.kernel, "trap_ns", -60000),
    "pages that give time back": lambda user, thread: (user.machine.kernel, "fault_ns", -60000),
    "an address of no pages": lambda user, thread: (user.task.map, "min_offset", -1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_machine_with_a_number_that_cannot_be_is_refused(what: str, arch: Arch, tmp_path: Path) -> None:
    with Machine(new_node(arch)) as machine:
        user = User(machine)
        target, slot, value = CHANGES[what](user, thread_control.create(user.machine.kernel.kern, user.task))
        was = getattr(target, slot)
        machine.node.save(tmp_path / "right")
        setattr(target, slot, value)
        machine.node.save(tmp_path / "wrong")
        setattr(target, slot, was)
        with load(tmp_path / "right"):
            pass
        with pytest.raises(UserError, match="is damaged"):
            load(tmp_path / "wrong")


@pytest.mark.parametrize(
    ("slot", "value"),
    [("gdt", b""), ("gdt", bytes(17)), ("ldt", bytes(7)), ("ldt", bytes(8 << 13 | 8)), ("v86", (0, 1 << 16, 0))],
)
def test_descriptor_tables_have_the_sizes_that_there_are(slot: str, value: Any) -> None:
    with Machine(new_node(ARCHS["i386"])) as machine:
        user = User(machine)
        pcb = thread_control.create(user.machine.kernel.kern, user.task).pcb
        slots.check([pcb])
        was = getattr(pcb, slot)
        setattr(pcb, slot, value)
        with pytest.raises(slots.SlotError, match="I386Pcb"):
            slots.check([pcb])
        setattr(pcb, slot, was)


@pytest.mark.parametrize(
    "carried",
    [
        lambda right: (CarriedPort(0, PORT_SEND, right),),
        lambda right: (CarriedPort(4, PORT_SEND, right), CarriedPort(8, PORT_SEND, None)),
        lambda right: (CarriedPorts(4, PORT_SEND, (right,)),),
    ],
)
def test_a_message_carries_what_its_body_describes(carried: Callable[[Port], tuple[Carried, ...]], arch: Arch) -> None:
    with Machine(new_node(arch)) as machine:
        user = User(machine)
        target, ipc = user.make_port(), user.ipc
        body = ipc.word.pack(TypeDescriptor(PORT_SEND, 32, 1).word(ipc.order)) + bytes(4)
        body += ipc.word.pack(TypeDescriptor(MSG_TYPE_INTEGER_32, 32, 1).word(ipc.order)) + ipc.word.pack(5)
        right = ports.make_send(ipc, target)
        kmsg = kmsgs.make(ipc, ports.make_send(ipc, target), PORT_SEND, None, 0, 7, body, (CarriedPort(4, PORT_SEND, right),))
        kmsgs.kernel_send(ipc, kmsg)
        machine.check()
        was, kmsg.carried = kmsg.carried, carried(right)
        with pytest.raises(InvariantError, match=r"does not describe what it carries|carries something"):
            machine.check()
        kmsg.carried = was


def test_a_server_may_keep_a_message_whose_number_is_negative() -> None:
    slots.check([Header(0, 0, 0, 0, -7, 0, 0)])


def test_a_machine_is_loaded_whose_memory_asks_to_be_told_of_writes(arch: Arch, tmp_path: Path) -> None:
    with Machine(new_node(arch)) as machine:
        task, _ = add_task(machine, arch.stay)
        assert task.map is not None
        vm.vm_protect(task.map, CODE + arch.page, arch.page, False, VM_PROT_READ | VM_PROT_NOTIFY)
        machine.node.save(tmp_path / "saved")
        before = [entry.protection for entry in task.map.entries]
    with load(tmp_path / "saved") as again:
        assert [entry.protection for each in again.tasks if each.map is not None for entry in each.map.entries] == before
