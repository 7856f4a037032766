"""Memory managers and those who wait for them: whatever a manager does, faults end as Mach says, and nobody else is harmed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.errors import MustWait
from machemu.abi.exception import EXC_BAD_ACCESS
from machemu.abi.message import COPY_SEND
from machemu.abi.types import VirtAddr
from machemu.core.kernel import Stop
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern import task_control, thread_control
from machemu.kern.task import Task
from machemu.kern.thread import TH_WAIT, Thread
from machemu.lab.report import describe_threads
from machemu.mig.interfaces import mach
from machemu.user.message import Header, Message, encode
from machemu.vm import routines as vm
from tests.support.guests import Arch
from tests.support.machine import CODE, Machine, add_task, empty, load
from tests.support.managers import NOBODY, Manager, send_message

SECOND = 1_000_000_000
STEP = SECOND // 100
RESULT = CODE + 0x800
WINDOW = 0x20000000
"""Where tests map a manager's memory."""
SEND, RECEIVE = 1, 2


def waits(machine: Machine, thread: Thread) -> bool:
    return any(report.thread == thread.number and "memory manager" in report.doing for report in describe_threads(machine.kernel))


def faulting(machine: Machine, code: bytes = b"") -> tuple[Manager, Task, Thread]:
    """A manager that is ready, and a task whose thread runs `code` with four pages of its memory at WINDOW.

    Without code it reads the first word there.
    """
    arch = machine.arch
    manager = Manager(machine)
    task, thread = add_task(machine, code or arch.fetch(WINDOW) + arch.store(RESULT) + arch.stay)
    manager.map(task, 4 * arch.page, WINDOW)
    manager.ready()
    machine.run(STEP)
    return manager, task, thread


def words(arch: Arch, value: int) -> bytes:
    """A page of the same word."""
    return arch.pack("I", value) * (arch.page // 4)


def test_a_fault_asks_once_and_goes_on_with_what_is_supplied(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, thread = faulting(machine)
        assert manager.take() == ("data_request", (manager.control, 0, arch.page, 1))
        machine.run(STEP)
        assert manager.take() is None
        assert waits(machine, thread)
        machine.check()
        manager.supply(0, words(arch, 0x1234))
        machine.run(STEP)
        assert machine.word(task, RESULT) == 0x1234


def test_a_page_that_was_asked_for_is_waited_for_also_where_nothing_is_said_to_exist(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, _ = faulting(machine)
        assert manager.names() == ["data_request"]
        manager.tell("data_unavailable", 0, 16 * arch.page)
        other, _ = add_task(machine, arch.fetch(WINDOW) + arch.store(RESULT) + arch.stay)
        manager.map(other, 4 * arch.page, WINDOW)
        machine.run(SECOND)
        assert manager.take() is None
        manager.supply(0, words(arch, 0x1234))
        machine.run(SECOND)
        assert [machine.word(each, RESULT) for each in (task, other)] == [0x1234, 0x1234]


def test_a_manager_that_never_answers_stops_nobody_else(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, thread = faulting(machine)
        other, _ = add_task(machine, arch.count(RESULT))
        machine.run(STEP)
        assert machine.word(other, RESULT) > 1000
        assert waits(machine, thread)
        machine.check()
        machine.end(task)
        assert manager.names() == ["data_request", "terminate"]


def test_a_waiting_thread_can_be_aborted_and_faults_again(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, thread = faulting(machine)
        thread_control.abort(machine.kernel.kern, thread)
        machine.run(STEP)
        assert waits(machine, thread)
        assert manager.names() == ["data_request"]
        manager.supply(0, words(arch, 7))
        machine.run(STEP)
        assert machine.word(task, RESULT) == 7


def handled(machine: Machine, task: Task) -> tuple[int, ...] | None:
    """The exception that came to the task's handler, which never answers."""
    port = task.itk_exception
    queue = port.messages  # type: ignore[union-attr]
    if not queue:
        return None
    return machine.arch.unpack("I4xI4xI", queue[0].body, 20)


def with_handler(machine: Machine, task: Task) -> None:
    handler = Manager(machine)
    task.itk_exception = ports.make_send(machine.kernel.ipc, handler.port)


@pytest.mark.parametrize(
    "fail",
    [
        pytest.param(lambda manager: manager.tell("data_error", 0, manager.machine.arch.page, 5), id="data_error"),
        pytest.param(lambda manager: manager.machine.end(manager.task), id="death"),
    ],
)
def test_a_manager_that_fails_is_a_memory_error_for_those_who_need_it(arch: Arch, fail: Callable[[Manager], None]) -> None:
    with empty(arch) as machine:
        manager, task, _ = faulting(machine)
        with_handler(machine, task)
        manager.take()
        fail(manager)
        machine.run(STEP)
        assert handled(machine, task) == (EXC_BAD_ACCESS, 10, WINDOW)


def test_a_destroyed_object_has_what_is_in_memory_and_nothing_more(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, _ = faulting(machine, arch.fetch(WINDOW) + arch.store(RESULT) + arch.fetch(WINDOW + arch.page) + arch.stay)
        with_handler(machine, task)
        manager.take()
        manager.supply(0, words(arch, 3))
        manager.tell("destroy", 5)
        assert manager.names() == ["terminate"]
        machine.run(STEP)
        assert machine.word(task, RESULT) == 3
        assert handled(machine, task) == (EXC_BAD_ACCESS, 10, WINDOW + arch.page)


def test_pages_that_are_there_outlive_their_manager(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, _ = faulting(
            machine, arch.fetch(WINDOW) + arch.store(RESULT) + arch.fetch(WINDOW) + arch.store(WINDOW + 4) + arch.stay
        )
        manager.supply(0, words(arch, 9))
        machine.run(STEP)
        machine.end(manager.task)
        assert task.memory.read(VirtAddr(WINDOW + 4), 4) == arch.pack("I", 9)


def test_a_routine_that_is_aborted_as_it_would_go_on_ends_as_interrupted(arch: Arch) -> None:
    """The thread has been woken by one page and would wait for the next one."""
    with empty(arch) as machine:
        manager = Manager(machine)
        task, thread = add_task(machine, b"")
        ipc, space = machine.kernel.ipc, task.space
        target = mach_port.copyout_send(ipc, space, ports.copy_send(ipc, task.itk_sself))
        name = mach_port.copyout_send(ipc, space, ports.make_send(ipc, manager.port))
        values = (0, 4 * arch.page, 0, 1, name, 0, 1, 7, 7, 1)
        body, carried = mach.VM_MAP.request.pack(arch.order, values)
        data, _ = encode(arch.order, Message(Header(target, COPY_SEND, 0, 0, mach.VM_MAP.request.id), body, carried, True), ())
        task.memory.write(VirtAddr(CODE + 0x1000), data)
        task.memory.write(VirtAddr(RESULT), b"\xff" * 4)
        code = arch.trap(25, CODE + 0x1000, SEND, len(data), 0, 0, 0, 0) + arch.store(RESULT) + arch.stay
        task.memory.write(VirtAddr(CODE), code)
        machine.run(STEP)
        manager.ready()
        machine.run(STEP)
        assert waits(machine, thread)
        manager.supply(0, words(arch, 1))
        assert not thread.state & TH_WAIT
        thread_control.abort(machine.kernel.kern, thread)
        machine.check()
        machine.run(STEP)
        assert machine.word(task, RESULT) == 0x10000007


def test_what_a_manager_says_twice_or_unasked_changes_nothing(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, _ = faulting(machine)
        manager.supply(0, words(arch, 1))
        for offset in (0, arch.page, 0x80000000 - arch.page, arch.page + 1, (1 << 32) - arch.page):
            manager.supply(offset, words(arch, 2))
            manager.tell("data_unavailable", offset, arch.page)
            manager.tell("data_error", offset, arch.page, 1)
        manager.supply(3 * arch.page, words(arch, 3)[:-4])
        manager.supply(3 * arch.page, b"")
        manager.tell("ready", 1, 77)
        machine.run(STEP)
        assert machine.word(task, RESULT) == 1
        assert task.memory.read(VirtAddr(WINDOW + arch.page), 4) == arch.pack("I", 2)


def test_a_page_is_locked_until_its_manager_unlocks_it(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, thread = faulting(machine, arch.fetch(WINDOW) + arch.store(WINDOW + 8) + arch.store(RESULT) + arch.stay)
        manager.take()
        manager.supply(0, words(arch, 5), lock=2)
        machine.run(STEP)
        assert manager.take() == ("data_unlock", (manager.control, 0, arch.page, 3))
        assert manager.take() is None
        assert waits(machine, thread)
        manager.tell("lock_request", 0, arch.page, 0, 0, 0, NOBODY)
        machine.run(STEP)
        assert machine.word(task, RESULT) == 5


def test_dirty_pages_come_back_when_the_last_mapping_goes_and_clean_ones_do_not(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, _ = faulting(machine, arch.fetch(WINDOW) + arch.store(WINDOW + arch.page) + arch.store(RESULT) + arch.stay)
        manager.supply(0, words(arch, 6))
        machine.run(STEP)
        manager.supply(arch.page, words(arch, 0))
        machine.run(STEP)
        assert task.map is not None
        manager.names()
        vm.vm_deallocate(task.map, WINDOW, 4 * arch.page)
        message = manager.take()
        assert message is not None
        assert message[0] == "data_return" and message[1][1] == arch.page and message[1][2][:8] == arch.pack("2I", 6, 0)
        assert message[1][3:] == (1, 0)
        assert manager.names() == ["terminate"]


def test_a_cached_object_keeps_its_pages_for_the_next_mapping(arch: Arch) -> None:
    with empty(arch) as machine:
        manager, task, _ = faulting(machine)
        manager.tell("change_attributes", 1, 0, NOBODY)
        manager.supply(0, words(arch, 4))
        machine.run(STEP)
        manager.names()
        machine.end(task)
        machine.check()
        assert manager.take() is None
        other, _ = add_task(machine, arch.fetch(WINDOW) + arch.store(RESULT) + arch.stay)
        manager.map(other, arch.page, WINDOW)
        machine.run(STEP)
        assert machine.word(other, RESULT) == 4
        assert manager.take() is None
        manager.tell("change_attributes", 0, 0, NOBODY)
        machine.end(other)
        assert manager.names() == ["terminate"]


@pytest.mark.parametrize(("strategy", "asked"), [(0, ["data_request"]), (2, []), (1, ["copy"])])
def test_a_copy_is_made_as_the_manager_wants_it(arch: Arch, strategy: int, asked: list[str]) -> None:
    """None: the kernel fetches all at once; delay: nothing is needed; call: the manager makes it."""
    with empty(arch) as machine:
        manager = Manager(machine)
        task, thread = add_task(machine, b"")
        manager.map(task, arch.page, WINDOW)
        manager.ready(strategy=strategy)
        name = mach_port.mach_port_allocate(machine.kernel.ipc, task.space, 1)
        ipc = machine.kernel.ipc
        mach_port.mach_port_insert_right(task.space, name, *mach_port.mach_port_extract_right(ipc, task.space, name, 20))
        message = CODE + 0x1000
        head = arch.pack("6I", 0x80000000 | COPY_SEND, 32, name, 0, 0, 1) + arch.long_item(9, 8, arch.page, inline=False)
        task.memory.write(VirtAddr(message), head + arch.pack("I", WINDOW))
        code = (
            arch.trap(25, message, SEND, 40, 0, 0, 0, 0)
            + arch.store(RESULT)
            + arch.trap(25, message, RECEIVE, 0, 64, name, 0, 0)
            + arch.fetch(message + 36)
        )
        task.memory.write(VirtAddr(CODE), code + arch.store(RESULT + 4) + arch.dereference + arch.store(RESULT + 8) + arch.stay)
        task.memory.write(VirtAddr(RESULT), b"\xff" * 4)
        machine.run(STEP)
        assert manager.names()[: len(asked)] == asked
        machine.check()
        assert waits(machine, thread)
        manager.supply(0, words(arch, 0x77))
        machine.run(STEP)
        assert machine.word(task, RESULT) == 0
        if strategy != 1:
            assert task.memory.read(VirtAddr(RESULT + 8), 4) == arch.pack("I", 0x77)


@pytest.mark.parametrize("place", ["buffer", "arguments", "kernel"])
def test_a_trap_that_needs_a_manager_s_page_starts_again_when_it_comes(arch: Arch, place: str, tmp_path: Path) -> None:
    """The message buffer lies there, or the trap's arguments, or what a request to the kernel writes to; and the machine is
    saved and loaded in between."""
    with empty(arch) as machine:
        manager = Manager(machine)
        task, thread = add_task(machine, b"")
        assert task.map is not None
        vm.vm_allocate(task.map, WINDOW - arch.page, arch.page, False)
        manager.map(task, 4 * arch.page, WINDOW)
        manager.ready()
        if place == "buffer":
            code = arch.trap(25, WINDOW, SEND, 24, 0, 0, 0, 0)
            expected = 0x10000010
        elif place == "arguments":
            code = arch.set_stack(WINDOW) + arch.bare_trap(25)
            expected = 0
        else:
            ipc = machine.kernel.ipc
            own = mach_port.copyout_send(ipc, task.space, ports.copy_send(ipc, task.itk_sself))
            code = arch.trap(65, own, WINDOW + 16, arch.page, 1)
            expected = 0
        task.memory.write(VirtAddr(CODE), code + arch.store(RESULT) + arch.stay)
        task.memory.write(VirtAddr(RESULT), b"\xff" * 4)
        machine.run(STEP)
        assert waits(machine, thread)
        machine.check()
        machine.node.save(tmp_path / "saved")
        number = manager.port.number
        with load(tmp_path / "saved") as again:
            assert again.node.digest() == machine.node.digest()
            again.run(STEP)
            assert again.kernel.ipc.ports[number].messages
        request = manager.take()
        assert request is not None and request[0] == "data_request"
        manager.supply(request[1][1], bytes(arch.page))
        machine.run(STEP)
        assert machine.word(task, RESULT) == expected


def test_received_bytes_wait_for_the_page_they_go_to(arch: Arch) -> None:
    with empty(arch) as machine:
        manager = Manager(machine)
        task, thread = add_task(
            machine, arch.trap(26) + arch.trap(25, WINDOW, RECEIVE, 0, 64, 1, 0, 0) + arch.store(RESULT) + arch.stay
        )
        manager.map(task, arch.page, WINDOW)
        manager.ready()
        task.memory.write(VirtAddr(RESULT), b"\xff" * 4)
        machine.run(STEP)
        send_message(machine, task.space.table[1].object, 4711)
        machine.run(STEP)
        assert waits(machine, thread)
        machine.check()
        assert manager.take() == ("data_request", (manager.control, 0, arch.page, 3))
        manager.supply(0, bytes(arch.page))
        machine.run(STEP)
        assert machine.word(task, RESULT) == 0
        assert task.memory.read(VirtAddr(WINDOW + 20), 4) == arch.pack("I", 4711)


flags = st.integers(-1, 3)


def answers_of(page: int) -> st.SearchStrategy[tuple[object, ...]]:
    """What a manager may say; offsets and sizes are mostly of pages."""
    sizes = st.sampled_from([page, 2 * page, 4 * page, 0, 5, 0xFFFFFFFF])
    offsets = st.sampled_from([0, page, 2 * page, 3 * page, 4 * page, 1, (1 << 32) - page])
    return st.one_of(
        st.tuples(st.just("supply"), offsets, st.integers(0, 3), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("data_unavailable"), offsets, sizes),
        st.tuples(st.just("data_error"), offsets, sizes, flags),
        st.tuples(st.just("lock_request"), offsets, sizes, flags, flags, st.integers(0, 8), st.just(NOBODY)),
        st.tuples(st.just("change_attributes"), flags, flags, st.just(NOBODY)),
        st.tuples(st.just("ready"), flags, flags),
        st.tuples(st.just("destroy"), flags),
    )


@pytest.mark.slow
def test_no_conversation_of_a_manager_harms_the_kernel(arch: Arch) -> None:
    """Random answers, asked for or not, to a task that reads and writes all pages, and is copied meanwhile."""
    code = (
        b"".join(
            arch.fetch(WINDOW + page) + arch.store(WINDOW + page + 4) for page in (0, arch.page, 2 * arch.page, 3 * arch.page)
        )
        + arch.store(RESULT)
        + arch.stay
    )

    @settings(max_examples=150, deadline=None)
    @given(st.lists(answers_of(arch.page), max_size=14), st.integers(0, 13), st.booleans())
    def converse(answers: list[tuple[object, ...]], when: int, fork: bool) -> None:
        manager, task, _ = faulting(machine, code)
        for number, (name, *values) in enumerate(answers):
            manager.names()
            if name == "supply":
                offset, pages, lock, precious = values
                assert isinstance(offset, int) and isinstance(pages, int) and isinstance(lock, int)
                manager.supply(offset, bytes(pages * arch.page), lock, bool(precious))
            else:
                manager.tell(str(name), *values)
            if number == when and task.active:
                with suppress(MustWait):
                    task_control.create(machine.kernel.kern, task, fork)
            machine.run(STEP // 10)
            machine.check()
        machine.end_all()
        machine.check()
        assert machine.usage() == machine.before

    with empty(arch) as machine:
        converse()


def touching(arch: Arch, pages: int) -> bytes:
    """Code that writes into each of so many pages at WINDOW, over and over, and counts the rounds in RESULT."""
    return arch.repeat(arch.touch(WINDOW, pages) + arch.increment(RESULT))


class DefaultManager(Manager):
    """Keeps what is paged out, and gives it back."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.objects: list[Port] = []
        self.kernel.vm.default_manager = ports.make_send(self.kernel.ipc, self.port)
        self.kernel.vm.pageout_wanted = True
        self.most = 0
        self.page = machine.arch.page

    def serve(self) -> bool:
        """Answers every message; whether there was one."""
        busy = False
        for port in (self.port, *self.objects):
            while (message := self.take(port)) is not None:
                busy = True
                self.answer(port, *message)
        self.most = max(self.most, len(self.data))
        return busy

    def answer(self, port: Port, name: str, values: tuple[Any, ...]) -> None:
        number = port.number
        if name == "create":
            self.objects.append(values[0])
        elif name == "data_return":
            _, offset, data, *_ = values
            for at in range(0, len(data), self.page):
                self.data[number, offset + at] = data[at : at + self.page]
        elif name == "data_request":
            control, offset, *_ = values
            self.supply(offset, self.data[number, offset], control=control)
        elif name == "terminate":
            self.objects.remove(port)
            for key in [key for key in self.data if key[0] == number]:
                del self.data[key]


def test_a_task_that_uses_more_memory_than_there_is_is_paged(arch: Arch) -> None:
    ram = 4 << 20
    pages = 3 * ram // (2 * arch.page)
    with empty(arch, ram) as machine:
        manager = DefaultManager(machine)
        task, _ = add_task(machine, touching(arch, pages))
        assert task.map is not None
        vm.vm_allocate(task.map, WINDOW, pages * arch.page, False)
        rounds = 0
        for turn in range(100_000):
            machine.run(STEP // 10)
            manager.serve()
            if turn % 500 == 0:
                machine.check()
            if len(manager.data) > pages // 3 and (rounds := machine.word(task, RESULT)) >= 3:
                break
        assert rounds >= 3
        assert manager.most > pages - ram // arch.page
        machine.check()
        machine.end(task)
        while manager.serve():
            machine.run(STEP)
        assert not manager.data


def test_without_a_default_manager_whoever_wants_more_waits_and_others_go_on(arch: Arch) -> None:
    ram = 4 << 20
    with empty(arch, ram) as machine:
        task, thread = add_task(machine, touching(arch, 2 * ram // arch.page))
        assert task.map is not None
        vm.vm_allocate(task.map, WINDOW, 2 * ram, False)
        assert machine.run(SECOND) is Stop.WEDGED
        assert thread.state & TH_WAIT
        machine.check()
        machine.end(task)
        other, _ = add_task(machine, arch.load(7) + arch.store(RESULT) + arch.stay)
        machine.run(STEP)
        assert machine.word(other, RESULT) == 7
