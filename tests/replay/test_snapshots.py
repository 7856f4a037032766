"""A machine goes back to what a snapshot holds, and goes on from there as it did the first time."""

from __future__ import annotations

import gc
import random
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.core.kernel import Stop
from machemu.device.ethernet import EthernetDriver
from machemu.machine.disk import ImageDisk
from machemu.machine.nic import EthernetNic
from machemu.machine.seams import Disk
from machemu.sim import snapshot
from tests.support import testdisk
from tests.support.guests import ARCHS, I386, Arch
from tests.support.machine import CODE, Machine, add_task, boot, empty, image, module, new_node
from tests.support.modules import DISKS

POINTS = 4
MODULES = ("messages", "threads", "emulation", "gsync", "devices", "disk", "pagercopy")
MODULES_I386 = ("segments", "debugging", "v86")


def restore(machine: Machine, earlier: snapshot.Snapshot, printed: bytes) -> None:
    machine.node.restore(earlier)
    machine.kernel = machine.node.kernel
    machine.console = printed


@pytest.mark.parametrize(
    ("arch", "name"),
    [(arch, name) for arch in ARCHS.values() for name in (*MODULES, *(MODULES_I386 if arch is I386 else ()))],
    ids=lambda value: value.name if isinstance(value, Arch) else value,
)
def test_a_run_goes_on_from_each_of_its_snapshots_in_any_order_as_it_did(arch: Arch, name: str, tmp_path: Path) -> None:
    def disks() -> dict[str, Disk]:
        return {"hd0": ImageDisk.of_file(disk_image)} if name in DISKS else {}

    disk_image = tmp_path / "image"
    disk_image.write_bytes(testdisk.image())
    with boot(module(arch, name), disks=disks()) as machine:
        machine.run_until("END")
        count = machine.kernel.trap_count
    chooser = random.Random(name)
    with boot(module(arch, name), disks=disks()) as machine:
        taken = []
        for traps in sorted(chooser.sample(range(1, count), POINTS)):
            machine.run(traps=traps - machine.kernel.trap_count)
            taken.append((machine.node.snapshot(), machine.console, machine.node.digest()))
        machine.run_until("END")
        end = machine.console, machine.node.digest()
        for earlier, printed, digest in chooser.sample(taken, POINTS):
            restore(machine, earlier, printed)
            machine.check()
            assert machine.node.digest() == digest
            machine.run_until("END")
            assert (machine.console, machine.node.digest()) == end


def test_a_snapshot_is_restored_in_another_machine_of_the_same_kind(arch: Arch) -> None:
    with boot(image(arch, "pingpong")) as machine, empty(arch) as other:
        machine.run(traps=40)
        earlier = machine.node.snapshot()
        machine.run()
        restore(other, earlier, b"")
        other.run()
        assert other.node.digest() == machine.node.digest()


def test_snapshots_of_one_machine_share_the_pages_that_did_not_change(arch: Arch) -> None:
    with boot(image(arch, "pingpong")) as machine:
        machine.run(traps=40)
        first = machine.node.snapshot()
        machine.run(traps=1)
        second = machine.node.snapshot()
        same = [number for number, page in second.pages.items() if first.pages.get(number) is page]
        assert len(same) >= len(second.pages) - 3
        assert {number: bytes(page) for number, page in first.pages.items()} == dict(first.pages)


def test_memory_that_was_first_used_after_the_snapshot_is_zeros_again(arch: Arch) -> None:
    with empty(arch) as machine:
        earlier = machine.node.snapshot()
        digest = machine.node.digest()
        add_task(machine, arch.touch(CODE + arch.page, 3) + arch.stay)
        machine.run(100_000)
        restore(machine, earlier, b"")
        assert machine.node.digest() == digest


@pytest.mark.slow
def test_a_state_that_is_nested_too_deep_for_pickle_is_kept_all_the_same() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    earlier = snapshot.take(deep, memoryview(bytearray()), {})
    assert not earlier.is_pickle
    depth, inner = 0, earlier.state()
    while inner:
        depth, [inner] = depth + 1, inner
    assert depth == 100_000


def test_the_machine_stays_joined_to_its_console_its_input_and_its_segment(arch: Arch) -> None:
    sent: list[bytes] = []
    nic = EthernetNic(bytes(6))
    with new_node(arch, nics={"eth0": nic}) as node:
        machine = Machine(node)
        nic.sink = lambda frame, delay: sent.append(frame)
        node.kernel.input_sources.append(lambda: b"typed")
        for _ in range(2):
            restore(machine, node.snapshot(), b"")
        node.kernel.print(b"printed")
        machine.run(10_000_000)
        assert machine.console == b"printed"
        assert node.kernel.input_sources[0]() == b"typed"
        [joined] = [driver.nic for driver in node.kernel.devices.drivers if isinstance(driver, EthernetDriver)]
        joined.transmit(b"frame")
        assert [frame.rstrip(b"\0") for frame in sent] == [b"frame"]


def test_a_machine_that_writes_a_disk_image_cannot_go_back(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(512))
    message = "hd0: its image is written, and cannot go back: give the disk without 'writable'"
    disk = ImageDisk.of_file(path, writable=True)
    with new_node(arch, disks={"hd0": disk}) as node, pytest.raises(UserError, match=message):
        node.snapshot()


@pytest.mark.slow
def test_a_thousand_snapshots_and_restores_leave_nothing_behind(arch: Arch) -> None:
    with boot(image(arch, "pingpong")) as machine:
        machine.run(traps=40)
        earlier = machine.node.snapshot()
        counts = []
        for _ in range(2):
            for _ in range(500):
                assert machine.node.kernel.run(traps=1) is Stop.TRAPS
                machine.node.snapshot()
                machine.node.restore(earlier)
            gc.collect()
            counts.append(len(gc.get_objects()))
        machine.kernel = machine.node.kernel
        assert counts[1] <= counts[0] + 10
