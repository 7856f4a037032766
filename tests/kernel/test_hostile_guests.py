"""Guests that do what they should not: each ends or goes on as on the real kernel, and takes nothing with it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.message import COPY_SEND, HEADER_SIZE, MAKE_SEND
from machemu.abi.types import VirtAddr
from machemu.core.kernel import Stop
from machemu.ipc import mach_port
from machemu.kern.task import Task
from machemu.kern.thread import TH_WAIT
from machemu.lab.report import describe_threads
from machemu.vm.routines import vm_allocate
from tests.support.guests import I386, M68K, Arch
from tests.support.machine import CODE, STACK_END, Machine, add_task, add_thread, empty

SECOND = 1_000_000_000
MESSAGE = CODE + 0x1000
RESULT = CODE + 0x800
SEND, RECEIVE, SEND_TIMEOUT = 1, 2, 0x10


def other_task(machine: Machine) -> None:
    """A task that just counts: it must live on whatever its neighbour does."""
    add_task(machine, machine.arch.count(RESULT))


HOSTILE = {
    "jumps into nothing": (I386.jump(0x70000000), M68K.jump(0x70000000)),
    "jumps beyond its addresses": (I386.jump(0xC0000000), M68K.jump(0xFFFFE000)),
    "reads beyond its addresses": (I386.fetch(0xC0000000), M68K.fetch(0xFFFFE000)),
    "writes beyond its addresses": (I386.store(0xC0000300), M68K.store(0xFFFFFFFC)),
    "an instruction that there is not": (I386.undefined, M68K.undefined),
    "divides by zero": (b"\x31\xd2\xf7\xf2", b"\x72\x00\x80\xc1"),
    "a positive trap number": (b"\xb8\x05\x00\x00\x00\x9a\x00\x00\x00\x00\x07\x00", b"\x2f\x3c\x00\x00\x00\x05\x4e\x40"),
    "a trap number out of range": (I386.trap(131), M68K.trap(131)),
    "the smallest trap number": (I386.bare_trap(0x80000000), M68K.bare_trap(0x80000000)),
    "a stack in page zero": (I386.set_stack(0) + I386.trap(25), M68K.set_stack(0) + M68K.trap(25)),
    "arguments nowhere": (I386.set_stack(STACK_END - 4) + I386.bare_trap(25), M68K.set_stack(STACK_END - 4) + M68K.bare_trap(25)),
}
"""By what they do: code for the i386 and for the m68k."""
HOSTILE_I386 = {
    "pushes onto the kernel's stack": b"\xbc\xf0\x1f\x00\xc0\x50",
    "halts": b"\xf4",
    "forbids interrupts": b"\xfa",
    "makes the kernel's own interrupt": b"\xcd\x30",
    "makes a Linux system call": b"\xcd\x80",
    "sysenter": b"\x0f\x34",
    "syscall": b"\x0f\x05",
    "writes CR3": b"\x0f\x22\xd8",
    "loads a descriptor table": b"\x0f\x01\x15\x00\x00\x01\x00",
    "loads the task register": b"\x0f\x00\xd8",
    "jumps to the kernel's code segment": b"\xea\x00\x00\x00\x00\x08\x00",
    "calls the kernel's code segment": b"\x9a\x00\x00\x00\x00\x08\x00",
    "iret": b"\xcf",
}
HOSTILE_M68K = {
    "jumps to an odd address": M68K.jump(CODE + 1),
    "stop": b"\x4e\x72\x27\x00",
    "reset": b"\x4e\x70",
    "rte": b"\x4e\x73",
    "reads SR": b"\x40\xc0",
    "becomes the supervisor": b"\x46\xfc\x27\x00",
    "becomes the supervisor by ori": b"\x00\x7c\x20\x00",
    "reads the user's stack pointer": b"\x4e\x68",
    "writes the vectors' place": b"\x4e\x7b\x08\x01",
    "writes the page tables' place": b"\x4e\x7b\x08\x06",
    "turns paging off": b"\x4e\x7b\x00\x03",
    "writes another space": b"\x0e\x90\x08\x00",
    "forgets translations": b"\xf5\x18",
    "forgets the caches": b"\xf4\xd8",
    "saves the FPU's state": b"\xf3\x27",
    "restores the FPU's state": b"\xf3\x5f",
    "a trap that is another system's": b"\x4e\x41",
    "a breakpoint": b"\x4e\x4f",
    "line A": b"\xa0\x00",
    "line F": b"\xfe\x00",
    "chk": b"\x70\xff\x72\x00\x41\x81",
    "trapv": b"\x00\x3c\x00\x02\x4e\x76",
    "bkpt": b"\x48\x48",
}


@pytest.mark.parametrize(
    ("arch", "code"),
    [
        *(pytest.param(I386, codes[0], id=f"i386-{name}") for name, codes in HOSTILE.items()),
        *(pytest.param(I386, code, id=f"i386-{name}") for name, code in HOSTILE_I386.items()),
        *(pytest.param(M68K, codes[1], id=f"m68k-{name}") for name, codes in HOSTILE.items()),
        *(pytest.param(M68K, code, id=f"m68k-{name}") for name, code in HOSTILE_M68K.items()),
    ],
)
def test_a_task_without_an_exception_handler_ends_and_its_neighbour_goes_on(arch: Arch, code: bytes) -> None:
    with empty(arch) as machine:
        other_task(machine)
        before = machine.usage()
        task, _ = add_task(machine, code + arch.stay)
        machine.run(SECOND // 10)
        machine.check()
        assert not task.active
        assert machine.usage()[:6] == before[:6]
        assert machine.kernel.kern.clock.now() >= SECOND // 10


@pytest.mark.slow
def test_code_at_random_never_hurts_the_host(arch: Arch) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.binary(min_size=1, max_size=60))
    def run(code: bytes) -> None:
        add_task(machine, code)
        machine.run(300_000)
        machine.check()
        machine.end_all()
        machine.check()

    with empty(arch) as machine:
        run()


def test_a_thread_that_loops_for_ever_is_stopped_by_time_alone(arch: Arch) -> None:
    with empty(arch) as machine:
        add_task(machine, arch.stay)
        assert machine.run(SECOND // 2) is Stop.TIME
        [report] = describe_threads(machine.kernel)
        assert report.doing == "runs"
        assert report.pc == CODE


def header(arch: Arch, bits: int, size: int, remote: int, local: int = 0) -> bytes:
    return arch.pack("6I", bits, size, remote, local, 0, 1)


def own_port(machine: Machine, task: Task) -> int:
    """A port of the task's with a send right to it; its name."""
    space = task.space
    name = mach_port.mach_port_allocate(machine.kernel.ipc, space, 1)
    mach_port.insert_right_by_name(machine.kernel.ipc, space, space, name, name, MAKE_SEND)
    return name


def test_a_thread_that_fills_a_queue_waits_and_says_so(arch: Arch) -> None:
    with empty(arch) as machine:
        task, _ = add_task(machine, b"")
        name = own_port(machine, task)
        code = arch.trap(25, MESSAGE, SEND, 24, 0, 0, 0, 0)
        task.memory.write(VirtAddr(CODE), arch.repeat(code))
        task.memory.write(VirtAddr(MESSAGE), header(arch, COPY_SEND, 24, name))
        assert machine.run(SECOND) is Stop.WEDGED
        [report] = describe_threads(machine.kernel)
        assert report.doing == f"sends to port {name} (port {machine.kernel.ipc.serial} receive), whose queue is full"
        machine.check()


def test_ten_thousand_rights_in_one_message_arrive(arch: Arch) -> None:
    count = 10_000
    with empty(arch, 16 << 20) as machine:
        task, _ = add_task(machine, arch.stay)
        name = own_port(machine, task)
        size = HEADER_SIZE + 12 + 4 * count
        buffer = task.memory.allocate(size)
        data = (
            header(arch, 0x80000000 | COPY_SEND, size, name)
            + arch.long_item(MAKE_SEND, 32, count)
            + arch.pack(f"{count}I", *([name] * count))
        )
        task.memory.write(buffer, data)
        code = (
            arch.trap(25, buffer, SEND, size, 0, 0, 0, 0)
            + arch.trap(25, buffer, RECEIVE, 0, size, name, 0, 0)
            + arch.store(RESULT)
            + arch.stay
        )
        task.memory.write(VirtAddr(CODE), code)
        machine.run(SECOND)
        assert machine.word(task, RESULT) == 0
        assert mach_port.mach_port_get_refs(task.space, name, 0) == 1 + count
        machine.check()


def test_a_guest_that_touches_more_memory_than_there_is_waits_for_a_page(arch: Arch) -> None:
    ram = 4 << 20
    with empty(arch, ram) as machine:
        task, _ = add_task(machine, b"")
        start = vm_allocate(task.memory.map, 0, 2 * ram, True)
        task.memory.write(VirtAddr(CODE), arch.touch(start, 2 * ram // arch.page))
        assert machine.run(10 * SECOND) is Stop.WEDGED
        [report] = describe_threads(machine.kernel)
        assert report.doing == "waits for a free page"
        machine.check()


def test_a_thread_that_waited_for_a_page_goes_on_when_another_task_ends(arch: Arch) -> None:
    ram = 4 << 20
    with empty(arch, ram) as machine:
        first, _ = add_task(machine, b"")
        start = vm_allocate(first.memory.map, 0, ram // 2, True)
        pages = ram // 2 // arch.page
        first.memory.write(VirtAddr(CODE), arch.touch(start, pages) + arch.stay)
        machine.run(SECOND)
        second, thread = add_task(machine, b"")
        start = vm_allocate(second.memory.map, 0, ram // 2, True)
        last = start + (pages - 1) * arch.page
        second.memory.write(VirtAddr(CODE), arch.touch(start, pages) + arch.fetch(last + 4) + arch.store(RESULT) + arch.stay)
        machine.run(SECOND)
        assert thread.state & TH_WAIT
        machine.end(first)
        machine.run(SECOND)
        assert machine.word(second, RESULT) == last
        machine.check()


def test_a_message_buffer_in_nowhere_is_an_error_code(arch: Arch) -> None:
    with empty(arch) as machine:
        task, _ = add_task(machine, arch.trap(25, 0x70000000, SEND, 24, 0, 0, 0, 0) + arch.store(RESULT) + arch.stay)
        machine.run(SECOND // 100)
        assert machine.word(task, RESULT) == 0x10000002


@pytest.mark.slow
def test_random_message_buffers_leak_nothing(arch: Arch) -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.binary(min_size=24, max_size=120), st.integers(0, 0xFFF), st.integers(0, 200))
    def send(data: bytes, option: int, size: int) -> None:
        task, _ = add_task(machine, b"")
        own_port(machine, task)
        code = arch.trap(25, MESSAGE, option | SEND, size, 200, 1, 5, 0) + arch.store(RESULT) + arch.stay
        task.memory.write(VirtAddr(CODE), code)
        task.memory.write(VirtAddr(MESSAGE), data)
        machine.run(SECOND // 10)
        machine.check()
        machine.end(task)
        machine.check()
        assert machine.usage() == empty_usage

    with empty(arch) as machine:
        empty_usage = machine.usage()
        send()


def test_many_threads_of_one_task_end_with_it(arch: Arch) -> None:
    with empty(arch, 32 << 20) as machine:
        before = machine.usage()
        task, _ = add_task(machine, arch.trap(26) + arch.trap(25, MESSAGE, RECEIVE, 0, 64, 1, 0, 0) + arch.stay)
        for index in range(200):
            add_thread(machine, task, CODE, STACK_END - 64 - 128 * index)
        machine.run(SECOND // 10)
        machine.check()
        machine.end(task)
        machine.check()
        assert machine.usage() == before
