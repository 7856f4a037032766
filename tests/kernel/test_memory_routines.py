"""What routines on memory leave behind, besides what they answer."""

from __future__ import annotations

from machemu.abi.kern_return import KernReturn
from machemu.abi.types import VirtAddr
from machemu.ipc import port as ports
from machemu.mig.interfaces import gnumach, mach
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
