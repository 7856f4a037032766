"""What routines on memory leave behind, besides what they answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_MEMORY_ERROR, KERN_SUCCESS
from machemu.abi.message import COPY_SEND, MOVE_RECEIVE
from machemu.abi.types import VirtAddr
from machemu.core.kernel import Stop
from machemu.ipc import mach_port, right
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.kern.task import Task
from machemu.kern.thread import TH_WAIT, Thread
from machemu.lab.report import describe_threads
from machemu.mig.interfaces import gnumach, mach, mach4, mach_debug, mach_host
from machemu.mig.runtime import OutOfLine, PolyPort, Routine
from machemu.user.message import Header, Message, encode
from machemu.vm import routines as vm
from machemu.vm.map_copy import VmMapCopy
from tests.support.devices import User
from tests.support.guests import Arch
from tests.support.machine import CODE, SECOND_NS, Machine, add_task, empty, load
from tests.support.managers import Manager, send_message

WIRE_FUTURE = 2
RAM = 4 << 20
MESSAGE = CODE + 0x1000
RESULT = CODE + 0x800
SEND = 1
WINDOW = 0x20000000


def test_contiguous_memory_is_itself_where_all_that_comes_is_wired(arch: Arch) -> None:
    with empty(arch) as machine:
        user, host = User(machine), machine.kernel.kern.host.host_priv_self
        task, memory = user.task.itk_self, machine.kernel.memory
        assert task is not None and user.task.map is not None
        for wired in (False, True):
            if wired:
                assert user.call(host, gnumach.VM_WIRE_ALL, ports.make_send(user.ipc, task), WIRE_FUTURE) == (KERN_SUCCESS,)
            free = len(memory.free)
            right = ports.make_send(user.ipc, task)
            code, address, place = user.call(host, gnumach.VM_ALLOCATE_CONTIGUOUS, right, 2 * arch.page, 0, 0x800000, 0)
            assert code == KERN_SUCCESS
            user.task.memory.write(VirtAddr(address + arch.page), b"here")
            assert bytes(memory.view[place + arch.page :][:4]) == b"here"
            machine.check()
            assert user.call(task, mach.VM_DEALLOCATE, address, 2 * arch.page) == (KERN_SUCCESS,)
            assert free - len(memory.free) <= 2  # page tables may stay


def test_the_name_of_memory_stands_for_it_when_its_shadow_chain_gets_shorter(arch: Arch) -> None:
    with empty(arch) as machine:
        user, kern = User(machine), machine.kernel.kern
        task = user.task
        assert task.itk_self is not None and task.map is not None
        code, address = user.call(task.itk_self, mach.VM_ALLOCATE, 0, 2 * arch.page, 1)
        assert code == KERN_SUCCESS
        task.memory.write(VirtAddr(address), bytes(2 * arch.page))
        *_, name, _ = user.call(task.itk_self, mach.VM_REGION, address)
        assert isinstance(name, Port)
        child = task_control.create(kern, task, True)
        task.memory.write(VirtAddr(address), b"ours")
        task_control.terminate(kern, child)
        machine.run(1)
        entry = task.map.lookup(address)
        assert entry is not None and entry.object is not None
        entry.object.collapse()
        assert entry.object.shadow is None
        code, info, *_ = user.call(name, mach_debug.MACH_VM_OBJECT_INFO)
        assert (code, info[4]) == (KERN_SUCCESS, 2), "two pages are resident"
        machine.check()


def test_what_goes_back_to_a_manager_that_has_died_is_lost(arch: Arch) -> None:
    with empty(arch) as machine:
        user, manager = User(machine), Manager(machine)
        task = user.task
        assert task.itk_self is not None
        address = manager.map(task, 2 * arch.page)
        manager.ready()
        machine.run(1)
        manager.supply(0, bytes(arch.page))
        task.memory.write(VirtAddr(address), b"changed")
        machine.end(manager.task)
        for flush, returned in ((0, 1), (0, 0), (1, 1)):
            code, _, name = user.call(task.itk_self, mach_debug.MACH_VM_REGION_INFO, address)
            assert code == KERN_SUCCESS and isinstance(name, Port)
            assert task.memory.read(VirtAddr(address), 7) == b"changed"
            assert user.call(name, gnumach.VM_OBJECT_SYNC, 0, arch.page, flush, returned, 0) == (KERN_SUCCESS,)
            machine.check()
        with pytest.raises(KernError):
            task.memory.read(VirtAddr(address), 7)


def requests(machine: Machine, target: Port, routine: Routine, *values: int) -> tuple[Task, Thread]:
    """A task that sends a request without rights or memory, and what it runs; RESULT gets what mach_msg answers."""
    arch, ipc = machine.arch, machine.kernel.ipc
    task, thread = add_task(machine, b"")
    name = mach_port.copyout_send(ipc, task.space, ports.make_send(ipc, target))
    body, carried = routine.request.pack(arch.order, values)
    data, _ = encode(arch.order, Message(Header(name, COPY_SEND, 0, 0, routine.request.id), body, carried, False), ())
    task.memory.write(VirtAddr(MESSAGE), data)
    task.memory.write(VirtAddr(RESULT), b"\xff" * 4)
    task.memory.write(VirtAddr(CODE), arch.trap(25, MESSAGE, SEND, len(data), 0, 0, 0, 0) + arch.store(RESULT) + arch.stay)
    return task, thread


def test_a_proxy_of_a_memory_object_that_has_died_cannot_be_mapped(arch: Arch) -> None:
    with empty(arch) as machine:
        user, manager = User(machine), Manager(machine)
        task = user.task.itk_self
        assert task is not None
        port = manager.port
        for _ in range(2):
            values = (7, (ports.make_send(user.ipc, port),), (0,), (0,), (2 * arch.page,))
            code, port = user.call(task, mach4.MEMORY_OBJECT_CREATE_PROXY, *values)
            assert code == KERN_SUCCESS
        machine.end(manager.task)
        for copy in (0, 1):
            given = ports.copy_send(user.ipc, port)
            assert user.call(task, mach.VM_MAP, 0, arch.page, 0, 1, given, 0, copy, 3, 3, 1) == (KERN_MEMORY_ERROR,)
            machine.check()


def test_a_default_manager_that_has_died_is_none(arch: Arch) -> None:
    """A proxy of anonymous memory needs one, and waits until there is one that lives."""
    with empty(arch) as machine:
        first, second, user = Manager(machine), Manager(machine), User(machine)
        host = machine.kernel.kern.host.host_priv_self
        routine = mach.VM_SET_DEFAULT_MEMORY_MANAGER
        code, _ = user.call(host, routine, ports.make_send(user.ipc, first.port))
        assert code == KERN_SUCCESS
        machine.end(first.task)
        owner = task_control.create(machine.kernel.kern, None, False)
        assert owner.map is not None and owner.itk_self is not None
        address = vm.vm_allocate(owner.map, 0, arch.page, True)
        task, thread = requests(machine, owner.itk_self, mach4.VM_REGION_CREATE_PROXY, address, 3, arch.page)
        machine.run(SECOND_NS // 10)
        assert thread.state & TH_WAIT
        machine.check()
        code, _ = user.call(host, routine, ports.make_send(user.ipc, second.port))
        assert code == KERN_SUCCESS
        machine.run(SECOND_NS // 10)
        assert machine.word(task, RESULT) == KERN_SUCCESS
        assert second.names() == ["create"]
        machine.check()
        machine.kernel.vm.default_manager, right = None, machine.kernel.vm.default_manager
        ports.release_send(user.ipc, right)


def test_memory_that_is_full_while_the_default_manager_is_dead_keeps_its_pages(arch: Arch) -> None:
    with empty(arch, RAM) as machine:
        manager, ipc = Manager(machine), machine.kernel.ipc
        machine.kernel.vm.default_manager = ports.make_send(ipc, manager.port)
        machine.end(manager.task)
        filler, thread = add_task(machine, arch.touch(WINDOW, 2 * RAM // arch.page))
        assert filler.map is not None
        vm.vm_allocate(filler.map, WINDOW, 2 * RAM, False)
        assert machine.run(SECOND_NS) is Stop.WEDGED
        assert thread.state & TH_WAIT
        machine.check()
        machine.kernel.vm.default_manager = None


def test_a_default_manager_supplies_pages_wherever_it_likes(arch: Arch, tmp_path: Path) -> None:
    """Those that lie outside of the memory are nobody's, and go with it."""
    with empty(arch) as machine:
        manager, kern, kernel_vm = Manager(machine), machine.kernel.kern, machine.kernel.vm
        kernel_vm.default_manager = ports.make_send(machine.kernel.ipc, manager.port)
        task = task_control.create(kern, None, False)
        assert task.map is not None
        address = vm.vm_allocate(task.map, 0, 2 * arch.page, True)
        entry = task.map.lookup(address)
        assert entry is not None
        kernel_vm.make_internal_pager(entry.object or task.map.shadow_entry(entry))
        assert manager.names() == ["create"]
        for offset in (arch.page, 5 * arch.page, 100, (1 << 32) - arch.page):
            manager.supply(offset, b"here" * (arch.page // 4))
            machine.check()
        assert task.memory.read(VirtAddr(address + arch.page), 4) == b"here"
        machine.node.save(tmp_path / "saved")
        with load(tmp_path / "saved") as other:
            assert other.node.digest() == machine.node.digest()
            other.check()
        child = task_control.create(kern, task, True)
        task.memory.write(VirtAddr(address), b"ours")
        machine.end(child)
        machine.check()


@pytest.mark.parametrize("name", ["lock_request", "change_attributes", "data_supply"])
def test_nobody_is_told_by_a_receive_right(arch: Arch, name: str) -> None:
    with empty(arch) as machine:
        manager, task = Manager(machine), task_control.create(machine.kernel.kern, None, False)
        manager.map(task, arch.page)
        manager.ready()
        ipc, space = machine.kernel.ipc, manager.task.space
        place = mach_port.mach_port_allocate(ipc, space, 1)
        send_message(machine, space.table[place].object, 1)
        port, disposition = right.copyin(ipc, space, place, MOVE_RECEIVE)
        assert isinstance(port, Port)
        values: dict[str, tuple[object, ...]] = {
            "lock_request": (0, arch.page, 0, 0, 0),
            "change_attributes": (0, 0),
            "data_supply": (0, OutOfLine(VmMapCopy.from_bytes(machine.kernel.vm, bytes(arch.page)), arch.page), 0, 0),
        }
        manager.tell(name, *values[name], PolyPort(port, disposition))
        assert not port.active
        machine.check()


def wires(machine: Machine, size: int) -> tuple[Task, Thread]:
    """A task that wires so many bytes of its own, by its own port and the host's, and what it runs."""
    arch, ipc = machine.arch, machine.kernel.ipc
    task, thread = add_task(machine, b"")
    assert task.map is not None
    start = vm.vm_allocate(task.map, 0, size, True)
    host = mach_port.copyout_send(ipc, task.space, ports.make_send(ipc, machine.kernel.kern.host.host_self))
    self = mach_port.copyout_send(ipc, task.space, ports.copy_send(ipc, task.itk_sself))
    routine = mach_host.VM_WIRE.request
    body, carried = routine.pack(arch.order, (self, start, size, 3))
    data, _ = encode(arch.order, Message(Header(host, COPY_SEND, 0, 0, routine.id), body, carried, True), ())
    task.memory.write(VirtAddr(MESSAGE), data)
    task.memory.write(VirtAddr(CODE), arch.trap(25, MESSAGE, SEND, len(data), 0, 0, 0, 0) + arch.stay)
    return task, thread


@pytest.mark.slow
def test_who_wants_more_frames_than_there_can_be_waits_and_time_goes_on(arch: Arch) -> None:
    with empty(arch, RAM) as machine:
        _, thread = wires(machine, 7 << 20)
        other, _ = add_task(machine, arch.count(RESULT))
        assert machine.run(SECOND_NS) is Stop.TIME
        doing = [report.doing for report in describe_threads(machine.kernel) if report.thread == thread.number]
        assert doing == ["waits for a free page"]
        assert machine.word(other, RESULT) > 100_000


def test_who_wants_many_frames_goes_on_when_so_many_are_free(arch: Arch) -> None:
    half = RAM // 2
    with empty(arch, RAM) as machine:
        filler, _ = add_task(machine, arch.stay)
        assert filler.map is not None
        filled = vm.vm_allocate(filler.map, 0, half, True)
        filler.memory.write(VirtAddr(filled), b"full" * (half // 4))
        _, thread = wires(machine, half)
        machine.run(SECOND_NS // 10)
        assert thread.state & TH_WAIT
        vm.vm_deallocate(filler.map, filled, arch.page)
        machine.run(SECOND_NS // 10)
        assert thread.state & TH_WAIT
        vm.vm_deallocate(filler.map, filled, half)
        machine.run(SECOND_NS // 10)
        assert not thread.state & TH_WAIT
        assert machine.kernel.vm.wire_count == half // arch.page
