"""Exceptions as messages: who is told, what becomes of answers that come late, and which comes first of two."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from machemu.abi.exception import EXC_BAD_INSTRUCTION
from machemu.abi.kern_return import KERN_FAILURE
from machemu.abi.message import PORT_SEND, PORT_SEND_ONCE
from machemu.abi.port import RIGHT_RECEIVE
from machemu.abi.types import VirtAddr
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.kern import freeze, task_control, thread_control
from machemu.kern.clock import TICK_NS
from machemu.kern.subsystem import Kern
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from tests.support.guests import I386, Arch
from tests.support.machine import CODE, STACK_END, Machine, add_task, add_thread, empty

MESSAGE = CODE + 0x1000
RECEIVE = 2


def handler(machine: Machine, task: Task) -> tuple[int, Port]:
    """A new port of a task, its name and itself, with a send right for the caller."""
    name = mach_port.mach_port_allocate(machine.kernel.ipc, task.space, RIGHT_RECEIVE)
    return name, ports.make_send(machine.kernel.ipc, task.space.table[name].port())


def victim(machine: Machine, code: bytes) -> tuple[Task, Thread, int, Port]:
    """A thread whose exceptions its task's port gets, run until it waits."""
    task, thread = add_task(machine, code)
    name, port = handler(machine, task)
    task.itk_exception = port
    machine.run(TICK_NS)
    return task, thread, name, port


def reply_port(message: Kmsg) -> Port:
    assert isinstance(message.local, Port)
    return message.local


def answer(machine: Machine, to: Port, code: int) -> None:
    """An answer as a handler's send-once right gives it."""
    ipc = machine.kernel.ipc
    body = machine.arch.pack("2I", machine.arch.integer, code)
    kmsgs.kernel_send(ipc, kmsgs.make(ipc, ports.make_sonce(ipc, to), PORT_SEND_ONCE, None, 0, 2500, body))


def test_an_exception_goes_straight_to_a_handler_that_waits_and_its_port_does_not_count_it(arch: Arch) -> None:
    with empty(arch) as machine:
        task, _ = add_task(machine, b"")
        name, port = handler(machine, task)
        port.seqno = 7
        task.itk_exception = port
        task.memory.write(VirtAddr(CODE), arch.trap(25, MESSAGE, RECEIVE, 0, 256, name, 0, 0) + arch.stay)
        machine.run(TICK_NS)
        task.memory.write(VirtAddr(CODE + 0x100), arch.undefined)
        add_thread(machine, task, CODE + 0x100, STACK_END - 0x1000)
        machine.run(TICK_NS)
        *_, seqno, msgh_id = arch.unpack("6I", task.memory.read(VirtAddr(MESSAGE), 24))
        assert (msgh_id, seqno, port.seqno, port.msgcount) == (2400, 0, 7, 0)


def test_a_handler_with_too_little_room_does_not_even_get_the_header_and_the_next_one_is_asked(arch: Arch) -> None:
    with empty(arch) as machine:
        task, _ = add_task(machine, b"")
        name, port = handler(machine, task)
        _, task.itk_exception = handler(machine, task)
        task.memory.write(VirtAddr(CODE), arch.trap(25, MESSAGE, RECEIVE, 0, 40, name, 0, 0) + arch.stay)
        machine.run(TICK_NS)
        task.memory.write(VirtAddr(CODE + 0x100), arch.undefined)
        add_thread(machine, task, CODE + 0x100, STACK_END - 0x1000).ith_exception = port
        machine.run(TICK_NS)
        assert task.memory.read(VirtAddr(MESSAGE), 24) == bytes(24)
        assert [message.id for message in task.itk_exception.messages] == [2400]


@pytest.mark.parametrize("last", ["nobody", "the thread's handler", "the task's handler"])
def test_an_exception_that_ends_a_task_is_told_with_what_it_was_and_where(arch: Arch, last: str) -> None:
    """Also one that the last handler to ask has refused, long after it was taken; what the registers are then is told."""
    with empty(arch) as machine:
        told: list[tuple[Thread, tuple[int, int, int], int]] = []
        machine.kernel.crashed = lambda thread, what: told.append((thread, what, thread.pcb.pc))
        task, thread = add_task(machine, arch.load(1) + arch.undefined)
        if last != "nobody":
            _, port = handler(machine, task_control.create(machine.kernel.kern, None, False, "handler"))
            if last == "the thread's handler":
                thread.ith_exception = port
            else:
                task.itk_exception = port
            machine.run(TICK_NS)
            assert told == [] and task.active
            [message] = port.messages
            answer(machine, reply_port(message), KERN_FAILURE)
        machine.run(TICK_NS)
        assert not task.active
        [(whose, what, pc)] = told
        assert (whose, what[0], pc) == (thread, EXC_BAD_INSTRUCTION, CODE + len(arch.load(1)))


def test_a_reply_port_outlives_its_thread_while_somebody_may_answer(arch: Arch) -> None:
    with empty(arch) as machine:
        task, thread, name, port = victim(machine, arch.undefined)
        reply = reply_port(port.messages[0])
        thread_control.force_terminate(machine.kernel.kern, thread)
        assert reply.active
        answer(machine, reply, 0)
        machine.check()
        assert reply.active
        mach_port.mach_port_destroy(machine.kernel.ipc, task.space, name)
        assert not reply.active


def test_a_reply_port_that_nobody_can_answer_ends_with_its_thread(arch: Arch) -> None:
    with empty(arch) as machine:
        task, thread, name, port = victim(machine, arch.undefined)
        reply = reply_port(port.messages[0])
        thread_control.suspend(machine.kernel.kern, thread)
        mach_port.mach_port_destroy(machine.kernel.ipc, task.space, name)
        thread_control.force_terminate(machine.kernel.kern, thread)
        assert not reply.active


@pytest.mark.parametrize("end", [thread_control.force_terminate, thread_control.abort])
def test_a_refusal_that_a_halted_thread_was_given_still_reaches_its_task_s_port(
    arch: Arch, end: Callable[[Kern, Thread], None]
) -> None:
    with empty(arch) as machine:
        task, thread = add_task(machine, arch.undefined)
        _, first = handler(machine, task)
        _, second = handler(machine, task)
        thread.ith_exception, task.itk_exception = first, second
        machine.run(TICK_NS)
        thread_control.suspend(machine.kernel.kern, thread)
        answer(machine, reply_port(first.messages[0]), KERN_FAILURE)
        assert not second.messages
        end(machine.kernel.kern, thread)
        assert [message.id for message in second.messages] == [2400]


def test_a_task_ends_whose_exceptions_go_to_ports_of_the_kernel_s_own(arch: Arch) -> None:
    """The kernel answers both messages at once, that it does not know them."""
    with empty(arch) as machine:
        task, thread = add_task(machine, arch.undefined)
        host = machine.kernel.kern.host.host_self
        thread.ith_exception = ports.make_send(machine.kernel.ipc, host)
        task.itk_exception = ports.make_send(machine.kernel.ipc, host)
        machine.run(TICK_NS)
        assert not task.active
        machine.check()


@pytest.mark.parametrize("instruction", [b"\x6c", b"\x6e", b"\x66\xf3\x6d", b"\xf3\x6f"])
def test_an_i386_s_string_instruction_s_port_is_looked_at_before_its_memory(instruction: bytes) -> None:
    """ins and outs with a port that is refused and memory that is not there."""
    with empty(I386) as machine:
        nowhere = I386.pack("I", 0x60000000)
        code = b"\xbf" + nowhere + b"\xbe" + nowhere + b"\xb9\1\0\0\0\x66\xba\x60\0" + instruction + I386.stay
        _, _, _, port = victim(machine, code)
        words = I386.unpack("10I", port.messages[0].body)
        assert (words[5], words[7]) == (2, 13)


def moved(machine: Machine, thread: Thread) -> tuple[Port, int]:
    """The port where a thread's exception is answered, and the name of a send right to it that a server made as its task moved;
    the task itself has it here."""
    kern, ipc = machine.kernel.kern, machine.kernel.ipc
    freeze.freeze(kern, thread.task)
    own, threads, replies = freeze.surrender(kern, thread.task)
    [reply] = replies
    assert reply is not None
    right = mach_port.copyout_send(ipc, thread.task.space, ports.make_send(ipc, reply))
    for port in (own, *threads, reply):
        ports.leave_receiver(port)
    freeze.adopt(kern, thread.task, own, threads, replies)
    freeze.thaw(kern, thread.task)
    return reply, right


def answer_by_send(machine: Machine, to: Port, code: int) -> None:
    """An answer that a server has sent on by a send right, which it keeps."""
    ipc = machine.kernel.ipc
    body = machine.arch.pack("2I", machine.arch.integer, code)
    kmsgs.kernel_send(ipc, kmsgs.make(ipc, ports.copy_send(ipc, to), PORT_SEND, None, 0, 2500, body))


@pytest.mark.parametrize("code", [0, KERN_FAILURE])
def test_the_answer_to_an_exception_comes_by_a_send_right_where_its_port_has_moved(arch: Arch, code: int) -> None:
    with empty(arch) as machine:
        task, thread, _, _ = victim(machine, arch.undefined)
        reply, _ = moved(machine, thread)
        answer_by_send(machine, reply, code)
        machine.run(TICK_NS)
        assert task.active is (code == 0)
        assert reply.srights == (code == 0)
        machine.check()


def test_an_answer_that_its_thread_has_not_taken_moves_with_it_and_gives_nothing_up_before(arch: Arch) -> None:
    """It brings a right that nobody wants, and is none then."""
    with empty(arch) as machine:
        task, thread, _, port = victim(machine, arch.undefined)
        ipc = machine.kernel.ipc
        to = reply_port(port.messages[0])
        body = arch.pack("2I", arch.integer, 0)
        right = ports.make_sonce(ipc, to), PORT_SEND_ONCE, ports.make_sonce(ipc, port), PORT_SEND_ONCE
        kmsgs.kernel_send(ipc, kmsgs.make(ipc, *right, 2500, body))
        moved(machine, thread)
        assert [message.id for message in port.messages] == [2400]
        machine.run(TICK_NS)
        assert not task.active
        machine.check()


def test_more_answers_than_one_are_for_no_later_exception(arch: Arch) -> None:
    with empty(arch) as machine:
        _, thread, _, port = victim(machine, arch.undefined)
        reply, _ = moved(machine, thread)
        for _ in range(3):
            answer_by_send(machine, reply, 0)
        machine.run(TICK_NS)
        assert [message.id for message in port.messages] == [2400, 2400]
        assert not reply.active
        assert reply_port(port.messages[1]).active


def test_a_moved_reply_port_outlives_its_thread_while_somebody_may_send_to_it(arch: Arch) -> None:
    with empty(arch) as machine:
        task, thread, name, _ = victim(machine, arch.undefined)
        ipc = machine.kernel.ipc
        reply, right = moved(machine, thread)
        thread_control.force_terminate(machine.kernel.kern, thread)
        answer_by_send(machine, reply, 0)
        mach_port.mach_port_destroy(ipc, task.space, name)
        assert (reply.active, reply.srights, reply.sorights) == (True, 1, 0)
        machine.check()
        mach_port.mach_port_destroy(ipc, task.space, right)
        assert not reply.active
