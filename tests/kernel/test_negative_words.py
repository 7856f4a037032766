"""Numbers below zero that guests may give the kernel, which keeps them: a saved machine has them, and is loaded."""

from __future__ import annotations

from pathlib import Path

from machemu.abi.device import D_IO_ERROR
from machemu.abi.kern_return import KERN_SUCCESS
from machemu.core.kernel import Stop
from machemu.ipc import port as ports
from machemu.kern import thread_control
from machemu.machine.disk import ImageDisk
from machemu.mig.interfaces import mach4, mach_host
from tests.support.devices import User
from tests.support.guests import Arch
from tests.support.machine import Machine, load, new_node


def test_a_machine_that_keeps_negative_numbers_is_saved_and_loaded(arch: Arch, tmp_path: Path) -> None:
    disk = ImageDisk.of_bytes(bytes(8 << 12))
    with Machine(new_node(arch, disks={"hd0": disk})) as machine:
        user, kern = User(machine), machine.kernel.kern
        host, task = kern.host.host_priv_self, user.task.itk_self
        thread = thread_control.create(kern, user.task)
        assert task is not None and thread.ith_self is not None
        assert user.call(host, mach_host.HOST_SET_TIME, (-5, 0)) == (KERN_SUCCESS,)
        assert user.call(host, mach_host.HOST_ADJUST_TIME, (-1, 0))[0] == KERN_SUCCESS
        memory = ports.make_send(user.ipc, user.make_port())
        assert user.call(task, mach4.MEMORY_OBJECT_CREATE_PROXY, -1, (memory,), (0,), (0,), (arch.page,))[0] == KERN_SUCCESS
        control = kern.psets[0].pset_self
        assert user.call(control, mach_host.PROCESSOR_SET_POLICY_ENABLE, 2) == (KERN_SUCCESS,)
        user.call(thread.ith_self, mach_host.THREAD_POLICY, 2, -50)
        assert user.write(user.open("hd0"), -2, b"x")[0] == D_IO_ERROR
        user.ask(host, mach_host.HOST_REBOOT, -1)
        assert machine.run(1) is Stop.HALTED
        machine.node.save(tmp_path / "saved")
        with load(tmp_path / "saved") as other:
            assert other.node.digest() == machine.node.digest()
            other.check()
