"""Guests that do what they should not: each ends or goes on as on the real kernel, and takes nothing with it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.message import HEADER_SIZE
from machemu.abi.types import VirtAddr
from machemu.core.inspect import describe_threads
from machemu.core.kernel import Stop
from machemu.ipc import mach_port
from machemu.kern.task import Task
from machemu.kern.thread import TH_WAIT
from machemu.vm.routines import vm_allocate
from tests.machine import CODE, STACK_END, STAY, Machine, add_task, add_thread, empty, trap

SECOND = 1_000_000_000
MESSAGE = CODE + 0x1000
RESULT = CODE + 0x800
STORE_RESULT = b"\xa3" + struct.pack("<I", RESULT)
"""mov [RESULT], eax."""
SEND, RECEIVE, SEND_TIMEOUT = 1, 2, 0x10
COPY_SEND, MAKE_SEND, MOVE_SEND = 19, 20, 17


def result(task: Task) -> int:
    """The word that the guest stored."""
    return int(struct.unpack("<I", task.memory.read(VirtAddr(RESULT), 4))[0])


def other_task(machine: Machine) -> None:
    """A task that just counts: it must live on whatever its neighbour does."""
    add_task(machine, b"\xff\x05" + struct.pack("<I", RESULT) + b"\xeb\xf8")


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(b"\xe9" + struct.pack("<i", 0x70000000), id="jumps into nothing"),
        pytest.param(b"\xe9" + struct.pack("<i", -0x40000000), id="jumps into the kernel"),
        pytest.param(b"\xa1" + struct.pack("<I", 0xC0000000), id="reads the kernel"),
        pytest.param(b"\xa3" + struct.pack("<I", 0xC0000300), id="writes the kernel's entry"),
        pytest.param(b"\xbc" + struct.pack("<I", 0xC0001FF0) + b"\x50", id="pushes onto the kernel's stack"),
        pytest.param(b"\xf4", id="halts"),
        pytest.param(b"\xfa", id="forbids interrupts"),
        pytest.param(b"\xcd\x30", id="makes the kernel's own interrupt"),
        pytest.param(b"\xcd\x80", id="makes a Linux system call"),
        pytest.param(b"\x0f\x34", id="sysenter"),
        pytest.param(b"\x0f\x05", id="syscall"),
        pytest.param(b"\x0f\x0b", id="ud2"),
        pytest.param(b"\x31\xd2\xf7\xf2", id="divides by zero"),
        pytest.param(b"\x0f\x22\xd8", id="writes CR3"),
        pytest.param(b"\x0f\x01\x15\x00\x00\x01\x00", id="loads a descriptor table"),
        pytest.param(b"\x0f\x00\xd8", id="loads the task register"),
        pytest.param(b"\xea\x00\x00\x00\x00\x08\x00", id="jumps to the kernel's code segment"),
        pytest.param(b"\x9a\x00\x00\x00\x00\x08\x00", id="calls the kernel's code segment"),
        pytest.param(b"\xcf", id="iret"),
        pytest.param(b"\xb8\x05\x00\x00\x00\x9a\x00\x00\x00\x00\x07\x00", id="a positive trap number"),
        pytest.param(trap(131), id="a trap number out of range"),
        pytest.param(b"\x31\xe4" + trap(25), id="a stack in page zero"),
    ],
)
def test_a_task_without_an_exception_handler_ends_and_its_neighbour_goes_on(code: bytes) -> None:
    with empty() as machine:
        other_task(machine)
        before = machine.usage()
        task, _ = add_task(machine, code + STAY)
        machine.run(SECOND // 10)
        machine.check()
        assert not task.active
        assert machine.usage()[:6] == before[:6]
        assert machine.kernel.kern.clock.now() >= SECOND // 10


def test_code_at_random_never_hurts_the_host() -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.binary(min_size=1, max_size=60))
    def run(code: bytes) -> None:
        add_task(machine, code)
        machine.run(300_000)
        machine.check()
        machine.end_all()
        machine.check()

    with empty() as machine:
        run()


def test_a_thread_that_loops_for_ever_is_stopped_by_time_alone() -> None:
    with empty() as machine:
        add_task(machine, STAY)
        assert machine.run(SECOND // 2) is Stop.TIME
        [report] = describe_threads(machine.kernel)
        assert report.doing == "runs"
        assert report.pc == CODE


def header(bits: int, size: int, remote: int, local: int = 0) -> bytes:
    return struct.pack("<6I", bits, size, remote, local, 0, 1)


def own_port(machine: Machine, task: Task) -> int:
    """A port of the task's with a send right to it; its name."""
    space = task.space
    name = mach_port.mach_port_allocate(machine.kernel.ipc, space, 1)
    mach_port.insert_right_by_name(machine.kernel.ipc, space, space, name, name, MAKE_SEND)
    return name


def test_a_thread_that_fills_a_queue_waits_and_says_so() -> None:
    with empty() as machine:
        task, _ = add_task(machine, b"")
        name = own_port(machine, task)
        code = trap(25, MESSAGE, SEND, 24, 0, 0, 0, 0)
        task.memory.write(VirtAddr(CODE), code + b"\xe9" + struct.pack("<i", -len(code) - 5))
        task.memory.write(VirtAddr(MESSAGE), header(COPY_SEND, 24, name))
        assert machine.run(SECOND) is Stop.WEDGED
        [report] = describe_threads(machine.kernel)
        assert report.doing == f"sends to port {name} (port {machine.kernel.ipc.serial} receive), whose queue is full"
        machine.check()


def test_ten_thousand_rights_in_one_message_arrive() -> None:
    count = 10_000
    with empty(16 << 20) as machine:
        task, _ = add_task(machine, STAY)
        name = own_port(machine, task)
        size = HEADER_SIZE + 12 + 4 * count
        descriptor = struct.pack("<IHHI", 0x30000000, MAKE_SEND, 32, count)
        buffer = task.memory.allocate(size)
        data = header(0x80000000 | COPY_SEND, size, name) + descriptor + struct.pack(f"<{count}I", *([name] * count))
        task.memory.write(buffer, data)
        code = trap(25, buffer, SEND, size, 0, 0, 0, 0) + trap(25, buffer, RECEIVE, 0, size, name, 0, 0) + STORE_RESULT + STAY
        task.memory.write(VirtAddr(CODE), code)
        machine.run(SECOND)
        assert result(task) == 0
        assert mach_port.mach_port_get_refs(task.space, name, 0) == 1 + count
        machine.check()


def test_a_guest_that_touches_more_memory_than_there_is_waits_for_a_page() -> None:
    ram = 4 << 20
    with empty(ram) as machine:
        loop = b"\xc6\x00\x01" + b"\x05" + struct.pack("<I", 4096) + b"\xeb\xf6"
        task, _ = add_task(machine, b"")
        start = vm_allocate(task.memory.map, 0, 2 * ram, True)
        task.memory.write(VirtAddr(CODE), b"\xb8" + struct.pack("<I", start) + loop)
        assert machine.run(10 * SECOND) is Stop.WEDGED
        [report] = describe_threads(machine.kernel)
        assert report.doing == "waits for a free page"
        machine.check()


def test_a_thread_that_waited_for_a_page_goes_on_when_another_task_ends() -> None:
    ram = 4 << 20
    with empty(ram) as machine:
        loop = b"\xc6\x00\x01" + b"\x05" + struct.pack("<I", 4096) + b"\x49\x75\xf5"
        first, _ = add_task(machine, b"")
        start = vm_allocate(first.memory.map, 0, ram // 2, True)
        touch = b"\xb9" + struct.pack("<I", ram // 2 // 4096) + b"\xb8" + struct.pack("<I", start) + loop
        first.memory.write(VirtAddr(CODE), touch + STAY)
        machine.run(SECOND)
        second, thread = add_task(machine, b"")
        start = vm_allocate(second.memory.map, 0, ram // 2, True)
        touch = b"\xb9" + struct.pack("<I", ram // 2 // 4096) + b"\xb8" + struct.pack("<I", start) + loop
        second.memory.write(VirtAddr(CODE), touch + STORE_RESULT + STAY)
        machine.run(SECOND)
        assert thread.state & TH_WAIT
        machine.end(first)
        machine.run(SECOND)
        assert result(second) == start + ram // 2
        machine.check()


def test_a_message_buffer_in_nowhere_is_an_error_code() -> None:
    with empty() as machine:
        task, _ = add_task(machine, trap(25, 0x70000000, SEND, 24, 0, 0, 0, 0) + STORE_RESULT + STAY)
        machine.run(SECOND // 100)
        assert result(task) == 0x10000002


def test_random_message_buffers_leak_nothing() -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.binary(min_size=24, max_size=120), st.integers(0, 0xFFF), st.integers(0, 200))
    def send(data: bytes, option: int, size: int) -> None:
        task, _ = add_task(machine, b"")
        own_port(machine, task)
        code = trap(25, MESSAGE, option | SEND, size, 200, 1, 5, 0) + STORE_RESULT + STAY
        task.memory.write(VirtAddr(CODE), code)
        task.memory.write(VirtAddr(MESSAGE), data)
        machine.run(SECOND // 10)
        machine.check()
        machine.end(task)
        machine.check()
        assert machine.usage() == empty_usage

    with empty() as machine:
        empty_usage = machine.usage()
        send()


def test_many_threads_of_one_task_end_with_it() -> None:
    with empty(32 << 20) as machine:
        before = machine.usage()
        task, _ = add_task(machine, trap(26) + trap(25, MESSAGE, RECEIVE, 0, 64, 1, 0, 0) + STAY)
        for index in range(200):
            add_thread(machine, task, CODE, STACK_END - 64 - 128 * index)
        machine.run(SECOND // 10)
        machine.check()
        machine.end(task)
        machine.check()
        assert machine.usage() == before
