"""Disks as a task sees them: what is read and written, when it is answered, what is refused, what is saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.device import D_IO_ERROR, D_NO_MEMORY, D_NO_SUCH_DEVICE, D_READ, D_WRITE, DEV_GET_RECORDS, DEV_GET_SIZE
from machemu.abi.errors import UserError
from machemu.boot.node import Node
from machemu.device import block
from machemu.device.block import DiskDriver
from machemu.machine.disk import SECTOR, ImageDisk
from machemu.mig.interfaces import device
from tests.support import testdisk
from tests.support.devices import User
from tests.support.guests import I386, Arch
from tests.support.machine import RAM, SECOND_NS, Machine, load, new_node

IMAGE = testdisk.image()


def machine_with(arch: Arch, disk: ImageDisk, ram: int = RAM) -> Machine:
    return Machine(new_node(arch, ram, {"hd0": disk}))


def given(path: Path, writable: bool = False) -> ImageDisk:
    """An image for a machine that is loaded."""
    disk = ImageDisk.of_file(path, writable)
    disk.close()
    return disk


def driver_of(machine: Machine) -> DiskDriver:
    driver = machine.kernel.devices.drivers[0]
    assert isinstance(driver, DiskDriver)
    return driver


@pytest.fixture
def machine(arch: Arch) -> Machine:
    return machine_with(arch, ImageDisk.of_bytes(IMAGE))


def test_the_first_opening_is_answered_when_the_partition_table_was_read(machine: Machine) -> None:
    with machine:
        user = User(machine)
        began = machine.kernel.kern.clock.now()
        for _ in range(3):
            user.ask(user.devices.master_port, device.DEVICE_OPEN, 3, b"hd0s1")
        assert user.answer(device.DEVICE_OPEN) is None
        machine.run(SECOND_NS)
        opened = [user.answer(device.DEVICE_OPEN) for _ in range(3)]
        assert opened[0] is not None and opened[0] == opened[1] == opened[2] and opened[0][0] == 0
        assert driver_of(machine).seek_ns > 0 and began < machine.kernel.kern.clock.now()
        user.ask(user.devices.master_port, device.DEVICE_OPEN, 3, b"hd0s2")
        assert user.answer(device.DEVICE_OPEN) is not None


def test_opening_is_given_up_when_those_who_asked_are_gone(machine: Machine) -> None:
    with machine:
        user = User(machine)
        for _ in range(2):
            user.ask(user.devices.master_port, device.DEVICE_OPEN, 3, b"hd0")
        machine.end(user.task)
        machine.settle()
        assert not machine.kernel.devices.opened


def test_reads_and_writes_take_their_turn_and_their_time(machine: Machine) -> None:
    with machine:
        user = User(machine)
        disk = user.open("hd0")
        driver = driver_of(machine)
        start = machine.kernel.kern.clock.now()
        user.ask(disk, device.DEVICE_READ, 0, 50, 512)
        user.ask(disk, device.DEVICE_WRITE, 0, 51, user.memory(b"new" * 500))
        user.ask(disk, device.DEVICE_READ, 0, 50, 2048)
        machine.check()
        assert user.answer(device.DEVICE_READ) is None
        cost = driver.seek_ns + 512 * driver.byte_ns
        machine.run(cost - 1)
        assert user.answer(device.DEVICE_READ) is None
        machine.run(2)
        assert user.answer(device.DEVICE_READ) == (0, testdisk.sector(50))
        machine.run(1500 * driver.byte_ns)
        assert user.answer(device.DEVICE_WRITE) == (0, 1500), "the arm stood there already"
        machine.settle()
        expected = testdisk.sector(50) + b"new" * 500 + testdisk.sector(53)[-36:]
        assert user.answer(device.DEVICE_READ) == (0, expected)
        assert machine.kernel.kern.clock.now() - start >= 2 * cost


def test_what_is_written_stays_in_the_machine_and_the_image_as_it_is(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(IMAGE)
    digests = []
    for _ in range(2):
        with machine_with(arch, ImageDisk.of_file(path)) as machine:
            user = User(machine)
            disk = user.open("hd0")
            assert user.write(disk, 7, b"x" * 9000) == (0, 9000)
            assert user.read(disk, 6, 1024) == (0, testdisk.sector(6) + b"x" * 512)
            digests.append(machine.node.digest())
    assert path.read_bytes() == IMAGE
    assert digests[0] == digests[1]


def test_a_writable_disk_s_file_is_written(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(IMAGE)
    with machine_with(arch, ImageDisk.of_file(path, writable=True)) as machine:
        user = User(machine)
        disk = user.open("hd0s2")
        assert user.write(disk, 1, b"y" * 100) == (0, 100)
        assert user.read(disk, 1, 512) == (0, b"y" * 100 + testdisk.sector(4097)[100:])
    at = 4097 * SECTOR
    assert path.read_bytes() == IMAGE[:at] + b"y" * 100 + IMAGE[at + 100 :]


def test_requests_under_way_are_saved_and_answered_after_a_load(arch: Arch, tmp_path: Path) -> None:
    image, saved = tmp_path / "image", tmp_path / "saved"
    image.write_bytes(IMAGE)
    results = []
    with machine_with(arch, ImageDisk.of_file(image)) as machine:
        user = User(machine)
        disk = user.open("hd0")
        user.write(disk, 3, b"before")
        user.ask(disk, device.DEVICE_WRITE, 0, 4, user.memory(b"under way"))
        user.ask(disk, device.DEVICE_READ, 0, 3, 1024)
        user.ask(user.devices.master_port, device.DEVICE_OPEN, 3, b"hd0s1")
        machine.run(1000)
        machine.node.save(saved)
        machine.settle()
        results.append([user.answer(routine) for routine in (device.DEVICE_OPEN, device.DEVICE_WRITE, device.DEVICE_READ)])
        digest = machine.node.digest()
    with load(saved, {"hd0": given(image)}) as again:
        user = User(again, again.tasks[0])
        again.check()
        again.settle()
        assert [user.answer(r) for r in (device.DEVICE_OPEN, device.DEVICE_WRITE, device.DEVICE_READ)][1:] == results[0][1:]
        assert again.node.digest() == digest
    assert results[0][1] == (0, 9)
    expected = b"before" + testdisk.sector(3)[6:] + b"under way" + testdisk.sector(4)[9:]
    assert results[0][2] == (0, expected)


def test_a_saved_machine_whose_image_has_changed_is_refused(arch: Arch, tmp_path: Path) -> None:
    image, saved = tmp_path / "image", tmp_path / "saved"
    image.write_bytes(IMAGE)
    with machine_with(arch, ImageDisk.of_file(image)) as machine:
        machine.node.save(saved)
    load(saved, {"hd0": given(image)}).__exit__(None)
    for broken in (IMAGE[:-1] + b"?", IMAGE[:SECTOR]):
        image.write_bytes(broken)
        with pytest.raises(UserError, match="is not the image"):
            load(saved, {"hd0": given(image)})


def test_an_image_that_shrinks_under_the_machine_is_an_error_of_the_medium(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(IMAGE)
    with machine_with(arch, ImageDisk.of_file(path)) as machine:
        user = User(machine)
        disk = user.open("hd0")
        path.write_bytes(IMAGE[: 100 * SECTOR])
        assert user.read(disk, 99, 512) == (0, testdisk.sector(99))
        assert user.read(disk, 99, 1024) == (D_IO_ERROR,)
        assert user.write(disk, 300, b"z") == (D_IO_ERROR, 0)
        path.write_bytes(IMAGE + IMAGE)
        assert user.call(disk, device.DEVICE_GET_STATUS, DEV_GET_RECORDS, 2) == (0, (testdisk.SECTORS, SECTOR))


def test_closing_a_disk_leaves_its_requests_under_way(machine: Machine) -> None:
    with machine:
        user = User(machine)
        disk = user.open("hd0")
        user.ask(disk, device.DEVICE_READ, 0, 9, 512)
        assert user.call(disk, device.DEVICE_CLOSE) == (0,)
        machine.settle()
        assert user.answer(device.DEVICE_READ) == (0, testdisk.sector(9))
        assert not disk.active and not machine.kernel.devices.opened


def test_a_disk_that_nobody_has_a_right_to_is_closed(machine: Machine) -> None:
    with machine:
        user = User(machine)
        disk = user.open("hd0", D_READ)
        assert user.open("hd0", D_READ) is disk
        other = user.open("hd0", D_WRITE)
        assert other is not disk
        user.ask(disk, device.DEVICE_READ, 0, 9, 512)
        user.forget(disk)
        assert not disk.active
        machine.settle()
        assert user.answer(device.DEVICE_READ) == (0, testdisk.sector(9))
        machine.end(user.task)
        assert not machine.kernel.devices.opened


def test_a_task_s_end_takes_its_requests_answers_with_it(machine: Machine) -> None:
    with machine:
        user = User(machine)
        disk = user.open("hd0")
        for at in range(5):
            user.ask(disk, device.DEVICE_READ, 0, at, 100_000)
        user.ask(disk, device.DEVICE_WRITE, 0, 0, user.memory(b"last words"))
        machine.end(user.task)
        machine.settle()
        assert driver_of(machine).disk.read(0, 1).startswith(b"last words")


def test_a_flood_of_requests_is_refused_and_nothing_is_lost(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "QUEUE_MAX", 100_000)
    with machine:
        user = User(machine)
        disk = user.open("hd0")
        for at in range(100):
            user.ask(disk, device.DEVICE_READ, 0, at, 512)
        answers = []
        machine.settle()
        while (answer := user.answer(device.DEVICE_READ)) is not None:
            answers.append(answer)
        taken = [answer for answer in answers if answer[0] == 0]
        assert len(answers) == 100 and len(taken) == -(-100_000 // (512 + block.REQUEST_BYTES))
        assert all(answer == (D_NO_MEMORY,) for answer in answers if answer[0])


def test_a_read_that_finds_no_memory_is_answered(arch: Arch, machine: Machine) -> None:
    with machine_with(arch, ImageDisk.of_bytes(IMAGE), ram=4 << 20) as small:
        user = User(small)
        disk = user.open("hd0")
        assert user.read(disk, 0, 7 << 20) == (D_NO_MEMORY,)
        assert user.read(disk, 5, 512) == (0, testdisk.sector(5))
    machine.node.close()


def test_sizes_of_more_than_2_gib_wrap_as_on_the_real_kernel(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(5 << 30)
    disk = ImageDisk(10 << 20, None, str(path), False)
    disk._open()
    with machine_with(arch, disk) as machine:
        user = User(machine)
        port = user.open("hd0")
        assert user.call(port, device.DEVICE_GET_STATUS, DEV_GET_SIZE, 2) == (0, (1 << 30, 512))
        assert user.call(port, device.DEVICE_GET_STATUS, DEV_GET_RECORDS, 2) == (0, (10 << 20, 512))
        assert user.read(port, (10 << 20) - 1, 1024) == (0, bytes(512))


def test_what_the_overlay_has_no_room_for_is_an_error_of_the_medium(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("machemu.machine.disk.OVERLAY_MAX", 2)
    with machine_with(arch, ImageDisk.of_bytes(IMAGE)) as machine:
        user = User(machine)
        port = user.open("hd0")
        assert user.write(port, 0, b"a" * 8192) == (0, 8192)
        assert user.write(port, 100, b"b") == (D_IO_ERROR, 0)
        assert user.write(port, 8, b"c" * 512) == (0, 512)
        assert user.read(port, 8, 513) == (0, b"c" * 512 + b"a")


@pytest.mark.parametrize("name", ("hd8", "hd", "fd9", "../x", "hd0s1", "", "eth0"))
def test_a_disk_cannot_have_any_name(name: str) -> None:
    with pytest.raises(UserError, match="no device"):
        new_node(I386, RAM, {name: ImageDisk.of_bytes(bytes(512))})


def test_a_saved_machine_gets_the_files_that_the_user_names_and_no_others(arch: Arch, tmp_path: Path) -> None:
    image, moved, saved = tmp_path / "image", tmp_path / "moved", tmp_path / "saved"
    image.write_bytes(IMAGE)
    with machine_with(arch, ImageDisk.of_file(image, writable=True)) as machine:
        machine.node.save(saved)
    assert str(tmp_path).encode() not in saved.read_bytes()
    image.rename(moved)
    for disks in ({}, {"hd0": given(moved)}, {"hd0": ImageDisk.of_bytes(IMAGE)}, {"hd1": given(moved, True)}):
        with pytest.raises(UserError, match="name it with --disk hd0=FILE,writable"):
            Node.load(saved, disks)
    with pytest.raises(UserError, match="no disk hd1"):
        Node.load(saved, {"hd0": given(moved, True), "hd1": given(moved)})
    with load(saved, {"hd0": given(moved, True)}) as again:
        user = User(again)
        assert user.write(user.open("hd0"), 0, b"written") == (0, 7)
    assert moved.read_bytes().startswith(b"written")


def test_what_was_written_over_an_image_is_saved_and_where_it_lies_does_not_matter(arch: Arch, tmp_path: Path) -> None:
    image, moved, saved = tmp_path / "image", tmp_path / "moved", tmp_path / "saved"
    image.write_bytes(IMAGE)
    with machine_with(arch, ImageDisk.of_file(image)) as machine:
        user = User(machine)
        user.write(user.open("hd0"), 0, b"overlay")
        machine.node.save(saved)
        digest = machine.node.digest()
    image.rename(moved)
    with load(saved, {"hd0": given(moved)}) as again:
        assert again.node.digest() == digest
        assert driver_of(again).disk.read(0, 2) == b"overlay" + IMAGE[7:1024]


def test_partitions_with_impossible_numbers_are_none_and_those_beyond_the_disk_are_errors_of_the_medium(arch: Arch) -> None:
    rows = ((testdisk.LINUX, 1 << 31, 5), (testdisk.LINUX, 5, 0xFFFFFFFF), (testdisk.LINUX, 16380, 0x7FFFFFFF))
    with machine_with(arch, ImageDisk.of_bytes(testdisk.table(*rows) + IMAGE[SECTOR:])) as machine:
        user = User(machine)
        for name in (b"hd0s1", b"hd0s2"):
            assert user.call(user.devices.master_port, device.DEVICE_OPEN, 3, name) == (D_NO_SUCH_DEVICE,)
        port = user.open("hd0s3")
        assert user.call(port, device.DEVICE_GET_STATUS, DEV_GET_RECORDS, 2) == (0, (0x7FFFFFFF, 512))
        assert user.call(port, device.DEVICE_GET_STATUS, DEV_GET_SIZE, 2) == (0, (-512, 512))
        assert user.read(port, 3, 512) == (0, testdisk.sector(16383))
        assert user.read(port, 3, 1024) == user.read(port, 0x7FFFFFFE, 512) == (D_IO_ERROR,)
        assert user.write(port, 4, b"x") == (D_IO_ERROR, 0)


def test_input_is_not_waited_for_while_a_disk_works(machine: Machine) -> None:
    with machine:
        user = User(machine)
        disk, console = user.open("hd0"), user.open("console")
        user.ask(console, device.DEVICE_READ, 0, 0, 9)
        user.ask(disk, device.DEVICE_READ, 0, 1, 512)
        seen: list[bool] = []

        def source() -> bytes:
            seen.append(machine.kernel.devices.busy)
            return b"" if len(seen) > 1 else b"typed"

        machine.kernel.input_sources.append(source)
        machine.run()
        assert seen == [False]
        assert user.answer(device.DEVICE_READ) == (0, testdisk.sector(1))
        assert user.answer(device.DEVICE_READ) == (0, b"typed")
