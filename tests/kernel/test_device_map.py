"""What device_map gives can be mapped: the `time` device shows the clock on a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.types import VirtAddr
from machemu.ipc import port as ports
from machemu.ipc.port import Right
from machemu.kern import freeze
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_migrate import MEMORY_OBJECT_ADOPT, MEMORY_OBJECT_SURRENDER, TASK_THAW
from machemu.vm import routines as vm
from tests.support.guests import Arch
from tests.support.machine import CODE, Machine, add_task, empty, load
from tests.support.managers import Manager
from tests.support.routines import call, send_right

WINDOW = 0x20000000
RESULT = CODE + 0x800
SECOND = 1_000_000_000


def memory_object(machine: Machine) -> Right:
    """A right to that of the `time` page."""
    devices = machine.kernel.devices
    driver = next(driver for driver in devices.drivers if driver.identify("time", 0))
    minor = driver.identify("time", 0)
    assert minor is not None
    device = devices.opened.get(minor) or devices._find("time", 0)
    return devices.map(device, 1, 0, machine.arch.page)


def mapped(machine: Machine, code: bytes) -> Task:
    """A task that runs `code` with the `time` page at WINDOW; nobody else has a right to its memory object."""
    right = memory_object(machine)
    task, _ = add_task(machine, code)
    assert task.map is not None
    vm.vm_map(task.map, WINDOW, machine.arch.page, 0, False, right, 0, False, 3, 7, 1)
    ports.release_send(machine.kernel.ipc, right)
    return task


def shown(machine: Machine, task: Task) -> tuple[int, int, int]:
    seconds, microseconds, again = machine.arch.unpack("3i", task.memory.read(VirtAddr(WINDOW), 12))
    return seconds, microseconds, again


@pytest.mark.slow
def test_the_page_shows_the_time_of_the_last_clock_tick_to_a_guest(arch: Arch, tmp_path: Path) -> None:
    copy = arch.repeat(arch.fetch(WINDOW + 4) + arch.store(RESULT))
    with empty(arch) as machine:
        task = mapped(machine, copy)
        machine.run(3 * SECOND // 2)
        seconds, microseconds, again = shown(machine, task)
        now = machine.kernel.kern.clock.time_of_day()
        assert seconds == again
        assert 0 <= (now[0] - seconds) * 1_000_000 + now[1] - microseconds <= 20_000
        read = machine.word(task, RESULT)
        assert 0 <= (microseconds - read) % 1_000_000 <= 20_000
        machine.check()
        machine.node.save(tmp_path / "saved")
        with load(tmp_path / "saved") as other:
            [loaded] = [each for each in other.kernel.kern.tasks.values() if each.number == task.number]
            other.run(SECOND)
            assert shown(other, loaded)[0] == seconds + 1


def test_the_page_cannot_be_written(arch: Arch) -> None:
    with empty(arch) as machine:
        task = mapped(machine, arch.store(WINDOW) + arch.stay)
        machine.run(SECOND // 10)
        assert not task.active


def test_the_memory_object_outlives_its_last_right_while_it_is_mapped(arch: Arch) -> None:
    with empty(arch) as machine:
        task = mapped(machine, arch.stay)
        machine.run(SECOND // 10)
        assert shown(machine, task)[0] >= 0
        assert len(machine.kernel.devices.pagers) == 1
        machine.end(task)
        assert not machine.kernel.devices.pagers


def test_a_task_that_mapped_it_from_elsewhere_shows_it_once_it_is_where_the_device_is(arch: Arch) -> None:
    """A manager that has not answered stands for the device as another node knows it."""
    with empty(arch) as machine:
        kernel, elsewhere = machine.kernel, Manager(machine)
        task, _ = add_task(machine, arch.fetch(WINDOW) + arch.store(RESULT) + arch.stay)
        elsewhere.map(task, arch.page, WINDOW)
        machine.run(SECOND // 10)
        freeze.freeze(kernel.kern, task)
        for thread in task.threads.values():
            freeze.detach(kernel.kern, thread)
        words, data, *rights = call(kernel, MEMORY_OBJECT_SURRENDER, task.itk_self, WINDOW)
        ports.release_send(kernel.ipc, rights[0])
        to_device = (kernel.kern.host.host_priv_self, send_right(kernel, task.itk_self), WINDOW)
        call(kernel, MEMORY_OBJECT_ADOPT, *to_device, words, data, memory_object(machine), *rights[1:])
        machine.check()
        assert len(kernel.devices.pagers) == 1
        call(kernel, TASK_THAW, task.itk_self)
        machine.run(SECOND // 10)
        assert machine.word(task, RESULT) == kernel.kern.clock.time_of_day()[0]
        assert elsewhere.names() == ["init"]
        machine.check()
