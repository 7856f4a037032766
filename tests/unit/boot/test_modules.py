"""Modules are read as a boot loader reads them, and become programs or disks in memory."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules, find_architecture
from machemu.boot.node import Node
from machemu.core.kernel import FOREVER
from tests.support import modules
from tests.support.elves import Part, elf_for
from tests.support.guests import Arch
from tests.support.machine import boot, image, module, new_node


def packed(arch: Arch, folder: Path) -> Path:
    path = folder / "hello.gz"
    path.write_bytes(gzip.compress(image(arch, "hello").read_bytes()))
    return path


def test_a_packed_program_is_booted(arch: Arch, tmp_path: Path) -> None:
    path = packed(arch, tmp_path)
    assert find_architecture([f"{path} {DEFAULT_LINE}"]) == arch.name
    with boot(path) as machine:
        machine.run()
        assert machine.console == b"Hello from a Mach task.\n"


@pytest.mark.parametrize("cut", [3, 100, -1])
def test_a_packed_program_that_is_cut_short_is_refused(arch: Arch, cut: int, tmp_path: Path) -> None:
    path = packed(arch, tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    with new_node(arch) as node, pytest.raises(UserError, match=r"hello\.gz: is packed by gzip and cut short"):
        boot_modules(node.kernel, [f"{path} {DEFAULT_LINE}"], {})


def test_a_kernel_is_no_module_packed_or_not(arch: Arch, tmp_path: Path) -> None:
    kernel = bytes(64) + b"\x02\xb0\xad\x1b" + bytes(4) + b"\xfe\x4f\x52\xe4"
    (tmp_path / "mach").write_bytes(kernel)
    (tmp_path / "mach.gz").write_bytes(gzip.compress(kernel))
    for name in ("mach", "mach.gz"):
        line = f"{tmp_path / name} {DEFAULT_LINE}"
        with new_node(arch) as node, pytest.raises(UserError, match=rf"{name}: is a kernel .*the modules"):
            boot_modules(node.kernel, [line], {})
        with pytest.raises(UserError, match=rf"{name}: is a kernel"):
            find_architecture([line])


# Disks in memory


@pytest.mark.parametrize(
    ("contents", "count", "reason"),
    [
        (b"", 1, "cannot become a disk in memory: the file is empty"),
        (b"x", 5, "cannot become a disk in memory: there are 4 already"),
        (bytes(8 << 20), 1, "does not fit into the machine's memory"),
    ],
)
def test_what_cannot_be_a_disk_in_memory_is_a_mistake_of_the_users(
    arch: Arch, contents: bytes, count: int, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "rd.img").write_bytes(contents)
    with new_node(arch, 8 << 20) as node, pytest.raises(UserError, match=f"rd.img: {reason}"):
        boot_modules(node.kernel, [f"{tmp_path / 'rd.img'} $(ramdisk-create)"] * count, {})


def test_the_console_tells_of_each_disk_in_memory_in_whole_pages(arch: Arch, tmp_path: Path) -> None:
    (tmp_path / "rd.img").write_bytes(bytes(3 * arch.page - 1))
    path = module(arch, "ports")
    with boot(path, lines=[f"{tmp_path / 'rd.img'} $(ramdisk-create)"] * 2) as machine:
        machine.run(1)
        assert re.fullmatch(
            rb"rd0: %d bytes @c[0-9a-f]{7}\nrd1: %d bytes @c[0-9a-f]{7}\n" % (3 * arch.page, 3 * arch.page), machine.console
        )


def test_a_script_with_disks_alone_starts_no_task(arch: Arch, tmp_path: Path) -> None:
    (tmp_path / "rd.img").write_bytes(b"x")
    with new_node(arch) as node, pytest.raises(UserError, match="starts no task"):
        boot_modules(node.kernel, [f"{tmp_path / 'rd.img'} $(ramdisk-create)"], {})


def test_a_misspelt_function_is_named_even_where_it_would_have_made_the_only_task(arch: Arch, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(elf_for(arch, Part(0x1000, b"\xf4")))
    with new_node(arch) as node, pytest.raises(UserError, match="no function or symbol 'task-craete'"):
        boot_modules(node.kernel, [f"{tmp_path / 'p'} $(task-craete) "], {})


@pytest.mark.parametrize("traps", [150, 420])
def test_a_machine_with_disks_in_memory_goes_on_after_a_load_and_back(arch: Arch, traps: int, tmp_path: Path) -> None:
    """At 420 traps its memory is mapped, and written by the task and by requests."""
    path = module(arch, "ramdisk")
    with boot(path, lines=modules.more_lines(path, tmp_path)) as machine:
        node = machine.node
        node.kernel.run(FOREVER, traps)
        node.save(tmp_path / "machine")
        snapshot = node.snapshot()
        here = node.digest()
        node.kernel.run(FOREVER, None)
        end = node.digest()
        node.restore(snapshot)
        assert node.digest() == here
        node.kernel.run(FOREVER, None)
        assert node.digest() == end
        machine.kernel = node.kernel
    with Node.load(tmp_path / "machine") as again:
        assert again.digest() == here
        again.kernel.run(FOREVER, None)
        assert again.digest() == end
