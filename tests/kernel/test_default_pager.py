"""The default memory manager of images/src: what the kernel pages out lies on its disk, and comes back as it was."""

from __future__ import annotations

import struct
from pathlib import Path

from machemu.abi.types import VirtAddr
from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules
from machemu.boot.node import Node
from machemu.core.kernel import Stop
from machemu.kern.task import Task
from machemu.machine.disk import ImageDisk
from machemu.machine.profile import load_profile
from machemu.vm import routines as vm
from tests.machine import CODE, PROFILE, Machine, add_task, load

PAGER = Path(__file__).parent.parent.parent / "images" / "i386" / "default_pager.elf"
PAGER_SAYS = PAGER.parent.parent / "src" / "default_pager.expected"
SECOND = 1_000_000_000
RAM = 4 << 20
PAGES = 1400
PAGE = 4096
WINDOW = 0x20000000
ROUNDS, WRONG = CODE + 0x800, CODE + 0x804


def filling(pages: int) -> bytes:
    """Writes each page's address into it, and then checks them all and counts in each page, again and again; counts rounds in
    ROUNDS, and pages that are wrong in WRONG."""
    start = b"\xbb" + struct.pack("<I", WINDOW) + b"\xb9" + struct.pack("<I", pages)
    following = b"\x81\xc3" + struct.pack("<I", PAGE) + b"\x49"
    fill = b"\x89\x5b\x04" + following
    check = b"\xff\x03\x39\x5b\x04\x74\x06\xff\x05" + struct.pack("<I", WRONG) + following
    again = start + check + b"\x75" + bytes([256 - len(check) - 2]) + b"\xff\x05" + struct.pack("<I", ROUNDS)
    return start + fill + b"\x75" + bytes([256 - len(fill) - 2]) + again + b"\xeb" + bytes([256 - len(again) - 2])


def paged_machine() -> Machine:
    """A machine whose default pager has started, and says what it says on the real kernel with such a disk."""
    machine = Machine(Node(load_profile(PROFILE), RAM, {"hd0": ImageDisk.of_bytes(bytes(4096 * PAGE))}))
    boot_modules(machine.kernel, [f"{PAGER} {DEFAULT_LINE} hd0"], {})
    machine.run_until("default pager:", SECOND)
    assert machine.console == PAGER_SAYS.read_bytes()
    machine.kernel.stopping = None
    machine.until = None
    return machine


def counters(task: Task) -> tuple[int, int]:
    rounds, wrong = struct.unpack("<2I", task.memory.read(VirtAddr(ROUNDS), 8))
    return rounds, wrong


def test_a_task_larger_than_memory_is_paged_to_disk_and_back_also_across_a_load(tmp_path: Path) -> None:
    with paged_machine() as machine:
        task, _ = add_task(machine, filling(PAGES))
        assert task.map is not None
        vm.vm_allocate(task.map, WINDOW, PAGES * PAGE, False)
        vm.vm_wire(task.map, CODE, PAGE, 3, True)
        machine.run(20 * SECOND)
        rounds, wrong = counters(task)
        assert (rounds > 0, wrong) == (True, 0)
        assert machine.kernel.vm.pageouts > PAGES
        machine.check()
        machine.node.save(tmp_path / "saved")
        with load(tmp_path / "saved") as other:
            other.run(60 * SECOND)
            [loaded] = [each for each in other.tasks if each.number == task.number]
            after, wrong = counters(loaded)
            assert (after > rounds, wrong) == (True, 0)
        machine.end(task)
        machine.run(SECOND)


def test_a_disk_that_is_not_there_is_said_to_be_missing() -> None:
    with Machine(Node(load_profile(PROFILE), RAM)) as machine:
        boot_modules(machine.kernel, [f"{PAGER} {DEFAULT_LINE} hd7"], {})
        assert machine.run(SECOND) is not Stop.ASKED
        assert machine.console.startswith(b"default pager: there is no disk hd7\n")
