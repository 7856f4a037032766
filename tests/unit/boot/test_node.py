"""A machine boots, and goes on after a load as if it had never been saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules, command_line_symbols
from machemu.boot.node import Node
from machemu.core.kernel import FOREVER
from machemu.device.block import DiskDriver
from machemu.machine.disk import BLOCK, ImageDisk
from machemu.sim import saved
from tests.support.elves import Part, elf_for
from tests.support.guests import I386, M68K, Arch
from tests.support.machine import IMAGES, image, module, new_node

RAM = 8 << 20
PAGE = 4096


@contextmanager
def booted(
    arch: Arch, *lines: str, ram: int = RAM, variables: dict[str, str] | None = None
) -> Iterator[tuple[Node, list[bytes]]]:
    """A machine that has booted these lines and run nothing yet, and what its console prints."""
    with new_node(arch, ram) as node:
        output: list[bytes] = []
        node.kernel.console.sinks.append(output.append)
        boot_modules(node.kernel, lines, variables or {})
        yield node, output


def lone(path: Path) -> str:
    return f"{path} {DEFAULT_LINE}"


def expected(path: Path) -> str:
    return (IMAGES / "src" / f"{path.stem}.expected").read_text()


@pytest.mark.parametrize("name", ["hello", "pingpong", "portpass", "inherit", "mapper", "handler"])
def test_a_program_prints_what_it_printed_on_the_real_kernel(arch: Arch, name: str) -> None:
    path = image(arch, name)
    with booted(arch, lone(path)) as (node, output):
        node.kernel.run(FOREVER, None)
    printed = b"".join(output).decode().replace("\r\n", "\n")
    assert expected(path) in printed


def test_two_runs_are_the_same_run(arch: Arch) -> None:
    digests = []
    for _ in range(2):
        with booted(arch, lone(image(arch, "pingpong"))) as (node, _output):
            node.kernel.run(FOREVER, None)
            digests.append(node.digest())
    assert digests[0] == digests[1]


@pytest.mark.parametrize("traps", [1, 20, 57, 100])
@pytest.mark.parametrize("program", ["portpass", "messages"])
def test_a_loaded_machine_is_the_saved_one_and_goes_on_like_it(arch: Arch, program: str, traps: int, tmp_path: Path) -> None:
    with booted(arch, lone((image if program == "portpass" else module)(arch, program))) as (node, output):
        node.kernel.run(FOREVER, traps)
        node.save(tmp_path / "machine")
        here = node.digest()
        before = len(output)
        node.kernel.run(FOREVER, None)
        rest, end = b"".join(output[before:]), node.digest()
    with Node.load(tmp_path / "machine") as again:
        assert again.digest() == here
        printed: list[bytes] = []
        again.kernel.console.sinks.append(printed.append)
        again.kernel.run(FOREVER, None)
        assert b"".join(printed) == rest
        assert again.digest() == end


@pytest.mark.slow
def test_a_large_machine_with_much_written_over_its_disks_is_saved_and_loads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """512 MiB of RAM that are all in use, and disks over whose images 270 MiB were written."""
    ram, blocks, names = 512 << 20, 90 << 8, ("hd0", "hd1", "hd2")
    monkeypatch.setattr(ImageDisk, "_hash", lambda disk: b"")
    with (tmp_path / "image").open("wb") as file:
        file.truncate(blocks * BLOCK)
    disks = {name: ImageDisk.of_file(tmp_path / "image") for name in names}
    filled = bytes(range(1, 129)) * (ram // 2 // 128)
    with new_node(I386, ram, disks) as node:
        memory = node.kernel.memory
        assert memory.free[0] == ram // PAGE - 1
        memory.view[8 << 20 : ram // 2] = filled[8 << 20 :]
        memory.view[ram // 2 :] = filled
        for disk in disks.values():
            disk.overlay.update((number, number.to_bytes(4, "big") * (BLOCK // 4)) for number in range(blocks))
        node.save(tmp_path / "machine")
    with Node.load(tmp_path / "machine", {name: ImageDisk.of_file(tmp_path / "image") for name in names}) as again:
        view = again.kernel.memory.view
        assert bytes(view[8 << 20 : ram // 2]) == filled[8 << 20 :]
        assert bytes(view[ram // 2 :]) == filled
        drivers = [driver for driver in again.kernel.devices.drivers if isinstance(driver, DiskDriver)]
        assert [(driver.name, getattr(driver.disk, "overlay", {})) for driver in drivers] == [
            (n, disks[n].overlay) for n in names
        ]


def test_where_a_run_paused_does_not_show(arch: Arch) -> None:
    digests = []
    for step in (None, 1, 20, 33):
        with booted(arch, lone(image(arch, "portpass"))) as (node, _output):
            if step is not None:
                for _ in range(6):
                    node.kernel.run(FOREVER, step)
            node.kernel.run(FOREVER, None)
            digests.append(node.digest())
    assert len(set(digests)) == 1


def test_a_file_that_holds_something_else_is_no_machine(tmp_path: Path) -> None:
    saved.save(tmp_path / "list", saved.FileKind.MACHINE, [saved.part([1, 2], memoryview(bytearray(RAM)))])
    with pytest.raises(UserError, match="holds no machine"):
        Node.load(tmp_path / "list")


def test_memory_of_another_size_is_refused(arch: Arch, tmp_path: Path) -> None:
    with booted(arch, lone(image(arch, "hello"))) as (node, _output):
        saved.save(tmp_path / "machine", saved.FileKind.MACHINE, [saved.part(node.kernel, node.kernel.memory.view[: RAM // 2])])
    with pytest.raises(UserError, match=r"is damaged: .*its memory"):
        Node.load(tmp_path / "machine")


@pytest.mark.parametrize(
    ("layer", "part", "value"),
    [
        ("ipc", "prefix", "="),
        ("ipc", "page_size", 1 << 40),
        ("vm", "page_size", 16384),
        ("vm", "max_offset", 1 << 40),
        ("task", "machine", None),
    ],
)
def test_a_machine_with_parts_of_another_is_refused(arch: Arch, layer: str, part: str, value: object, tmp_path: Path) -> None:
    with booted(arch, lone(image(arch, "hello"))) as (node, _output):
        owner = node.kernel.kern.tasks[1] if layer == "task" else getattr(node.kernel, layer)
        setattr(owner, part, value)
        node.save(tmp_path / "machine")
    with pytest.raises(UserError, match=r"is damaged: .*(another machine's|cannot be)"):
        Node.load(tmp_path / "machine")


@pytest.mark.parametrize("size", [0, 4096, (1 << 20) - 1, (2 << 30) + 1])
def test_a_machine_cannot_have_any_amount_of_memory(arch: Arch, size: int) -> None:
    with pytest.raises(UserError, match="between 1M and 2G"):
        new_node(arch, size)


# Boot scripts on the kernel


def test_rights_get_the_lowest_names_in_the_order_of_the_arguments(arch: Arch) -> None:
    program = image(arch, "hello")
    with booted(arch, f"{program} ${{device-port}} ${{host-port}} ${{kernel-task}} $(task-create)") as (node, _output):
        (task,) = [task for task in node.kernel.kern.tasks.values() if task.name == str(program)]
        names = [name for name, _ in task.space.entries()]
        assert names == [1, 2, 3]
        first = task.space.lookup(1)
        assert first is not None
        assert first.object is node.kernel.devices.master_port


def test_a_task_that_is_not_resumed_does_not_run(arch: Arch) -> None:
    with booted(arch, f"{image(arch, 'hello')} ${{host-port}} ${{device-port}} $(task-create)") as (node, output):
        node.kernel.run(FOREVER, None)
        assert output == []


def test_the_command_line_gives_symbols_and_cannot_take_the_kernels_own() -> None:
    symbols = command_line_symbols({"root": "/dev/hd0s1", "x": "y", "boot-args": "mine"})
    assert symbols["root-device"] == "hd0s1"
    assert (symbols["x"], symbols["boot-args"]) == ("y", "-x")
    assert symbols["kernel-command-line"] == "root=/dev/hd0s1 x=y boot-args=mine"
    assert command_line_symbols({})["root-device"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("missing.elf $(task-create)", "missing.elf: cannot be read"),
        ("{dir} $(task-create)", "directory"),
        ("{dir}/other.elf $(task-create)", "other.elf: is a program for {other}, and the machine is an {arch}"),
        ("{dir}/stack.elf $(task-create)", "stack.elf: does not fit"),
        ("{dir}/good.elf", "starts no task"),
        ("# nothing", "starts no task"),
        ("{dir}/good.elf ${{host-port}} ${{host-port}} $(task-create)", "good.elf.*port twice"),
        ("{dir}/good.elf " + "x" * 200_000 + " $(task-create)", "good.elf: its arguments.*do not fit"),
    ],
)
def test_what_cannot_be_booted_is_a_mistake_of_the_users(arch: Arch, line: str, reason: str, tmp_path: Path) -> None:
    other = M68K if arch is I386 else I386
    (tmp_path / "good.elf").write_bytes(elf_for(arch, Part(0x1000, b"\xf4")))
    (tmp_path / "other.elf").write_bytes(elf_for(other, Part(0x1000, b"\x4e\x71")))
    (tmp_path / "stack.elf").write_bytes(elf_for(arch, Part(0x1000, b"\xf4"), Part(arch.user_end - arch.page, b"in the way")))
    reason = reason.format(other=other.name, arch=arch.name)
    with pytest.raises(UserError, match=reason), booted(arch, line.format(dir=tmp_path)):
        pass


def test_a_program_larger_than_the_machine_is_refused(arch: Arch, tmp_path: Path) -> None:
    (tmp_path / "big.elf").write_bytes(elf_for(arch, Part(0x1000, bytes(2 << 20))))
    with pytest.raises(UserError, match=r"big\.elf: does not fit"), booted(arch, lone(tmp_path / "big.elf"), ram=1 << 20):
        pass
