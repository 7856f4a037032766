"""What routines on memory leave behind, besides what they answer."""

from __future__ import annotations

from machemu.abi.kern_return import KernReturn
from machemu.abi.types import VirtAddr
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.mig.interfaces import gnumach, mach, mach_debug
from tests.devices import User
from tests.guests import Arch
from tests.machine import empty

SUCCESS = KernReturn.KERN_SUCCESS
WIRE_FUTURE = 2


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
