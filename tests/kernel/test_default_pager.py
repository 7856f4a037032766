"""The default memory manager of images/src: what the kernel pages out lies on its disk, and comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules
from machemu.core.kernel import Stop
from machemu.kern.task import Task
from machemu.machine.disk import ImageDisk
from machemu.vm import routines as vm
from tests.support.guests import Arch
from tests.support.machine import CODE, IMAGES, Machine, add_task, image, load, new_node

PAGER_SAYS = IMAGES / "src" / "default_pager.expected"
SECOND = 1_000_000_000
RAM = 4 << 20
SIZE = 1400 * 4096
"""Bytes that the guest fills."""
WINDOW = 0x20000000
ROUNDS, WRONG = CODE + 0x800, CODE + 0x804


def filling(arch: Arch) -> bytes:
    """Writes each page's address into it, and then checks them all and counts in each page, again and again; counts rounds in
    ROUNDS, and pages that are wrong in WRONG."""
    pages = SIZE // arch.page
    return arch.touch(WINDOW, pages) + arch.repeat(arch.check(WINDOW, pages, WRONG) + arch.increment(ROUNDS))


def paged_machine(arch: Arch) -> Machine:
    """A machine whose default pager has started, and says what it says on the real kernel with such a disk."""
    machine = Machine(new_node(arch, RAM, {"hd0": ImageDisk.of_bytes(bytes(4096 * arch.page))}))
    boot_modules(machine.kernel, [f"{image(arch, 'default_pager')} {DEFAULT_LINE} hd0"], {})
    machine.run_until("default pager:", SECOND)
    assert machine.console == PAGER_SAYS.read_bytes()
    machine.kernel.stopping = None
    machine.until = None
    return machine


def counters(machine: Machine, task: Task) -> tuple[int, int]:
    return machine.word(task, ROUNDS), machine.word(task, WRONG)


@pytest.mark.slow
def test_a_task_larger_than_memory_is_paged_to_disk_and_back_also_across_a_load(arch: Arch, tmp_path: Path) -> None:
    with paged_machine(arch) as machine:
        task, _ = add_task(machine, filling(arch))
        assert task.map is not None
        vm.vm_allocate(task.map, WINDOW, SIZE, False)
        vm.vm_wire(task.map, CODE, arch.page, 3, True)
        machine.run(20 * SECOND)
        rounds, wrong = counters(machine, task)
        assert (rounds > 0, wrong) == (True, 0)
        assert machine.kernel.vm.pageouts > SIZE // arch.page
        machine.check()
        machine.node.save(tmp_path / "saved")
        with load(tmp_path / "saved") as other:
            other.run(60 * SECOND)
            [loaded] = [each for each in other.tasks if each.number == task.number]
            after, wrong = counters(other, loaded)
            assert (after > rounds, wrong) == (True, 0)
        machine.end(task)
        machine.run(SECOND)


def test_a_disk_that_is_not_there_is_said_to_be_missing(arch: Arch) -> None:
    with Machine(new_node(arch, RAM)) as machine:
        boot_modules(machine.kernel, [f"{image(arch, 'default_pager')} {DEFAULT_LINE} hd7"], {})
        assert machine.run(SECOND) is not Stop.ASKED
        assert machine.console.startswith(b"default pager: there is no disk hd7\n")
