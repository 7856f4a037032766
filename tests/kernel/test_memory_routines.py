"""What routines on memory leave behind, besides what they answer."""

from __future__ import annotations

from machemu.abi.kern_return import KernReturn
from machemu.abi.types import VirtAddr
from machemu.core.inspect import describe_threads
from machemu.core.kernel import Stop
from machemu.ipc import mach_port
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.kern.task import Task
from machemu.kern.thread import TH_WAIT, Thread
from machemu.mig.interfaces import gnumach, mach, mach_debug, mach_host
from machemu.user.mach import COPY_SEND
from machemu.user.message import Header, Message, encode
from machemu.vm import routines as vm
from tests.devices import User
from tests.guests import Arch
from tests.machine import CODE, SECOND_NS, Machine, add_task, empty

SUCCESS = KernReturn.KERN_SUCCESS
WIRE_FUTURE = 2
RAM = 4 << 20
MESSAGE = CODE + 0x1000
RESULT = CODE + 0x800
SEND = 1


def test_contiguous_memory_is_itself_where_all_that_comes_is_wired(arch: Arch) -> None:
    with empty(arch) as machine:
        user, host = User(machine), machine.kernel.kern.host.host_priv_self
        task, memory = user.task.itk_self, machine.kernel.memory
        assert task is not None and user.task.map is not None
        for wired in (False, True):
            if wired:
                assert user.call(host, gnumach.VM_WIRE_ALL, ports.make_send(user.ipc, task), WIRE_FUTURE) == (SUCCESS,)
            free = len(memory.free)
            right = ports.make_send(user.ipc, task)
            code, address, place = user.call(host, gnumach.VM_ALLOCATE_CONTIGUOUS, right, 2 * arch.page, 0, 0x800000, 0)
            assert code == SUCCESS
            user.task.memory.write(VirtAddr(address + arch.page), b"here")
            assert bytes(memory.view[place + arch.page :][:4]) == b"here"
            machine.check()
            assert user.call(task, mach.VM_DEALLOCATE, address, 2 * arch.page) == (SUCCESS,)
            assert free - len(memory.free) <= 2  # page tables may stay


def test_the_name_of_memory_stands_for_it_when_its_shadow_chain_gets_shorter(arch: Arch) -> None:
    with empty(arch) as machine:
        user, kern = User(machine), machine.kernel.kern
        task = user.task
        assert task.itk_self is not None and task.map is not None
        code, address = user.call(task.itk_self, mach.VM_ALLOCATE, 0, 2 * arch.page, 1)
        assert code == SUCCESS
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
        assert (code, info[4]) == (SUCCESS, 2), "two pages are resident"
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
