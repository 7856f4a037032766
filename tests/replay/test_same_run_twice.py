"""The same run twice, and a run that was saved anywhere and went on in another process: one console, one digest."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from machemu.abi.errors import UserError
from machemu.boot.node import Node
from machemu.core import invariants
from machemu.core.observe import watch
from machemu.machine.disk import ImageDisk
from machemu.machine.seams import Disk
from machemu.ui.strace import Strace
from tests.support import modules, testdisk
from tests.support.guests import ARCHS, I386, Arch
from tests.support.machine import Machine, boot, image, load, module
from tests.support.modules import DISKS

MODULE = "messages"
POINTS = 12
CHANGES = 150


def finish(machine: Machine) -> tuple[bytes, str]:
    machine.run_until("END")
    return machine.console, machine.node.digest()


@pytest.fixture(scope="module")
def whole_run(arch: Arch) -> tuple[bytes, str, int]:
    with boot(module(arch, MODULE)) as machine:
        console, digest = finish(machine)
        return console, digest, machine.kernel.trap_count


@pytest.mark.parametrize("name", ["messages", "threads", "emulation", "devices", "disk", "pagerlife"])
def test_two_runs_give_the_same_console_trace_and_digest(arch: Arch, name: str) -> None:
    results = []
    for _ in range(2):
        with boot(module(arch, name), disks=modules.disks(name, arch.name)) as machine:
            text = io.StringIO()
            watch(machine.kernel, Strace(text))
            results.append((*finish(machine), text.getvalue()))
    assert results[0] == results[1]
    assert "mach_msg(" in results[0][2]


def test_watching_changes_nothing(arch: Arch, whole_run: tuple[bytes, str, int]) -> None:
    with boot(module(arch, MODULE)) as machine:
        watch(machine.kernel, Strace(io.StringIO()))
        assert finish(machine) == whole_run[:2]


def test_coming_back_after_every_trap_changes_nothing(arch: Arch, whole_run: tuple[bytes, str, int]) -> None:
    with boot(module(arch, MODULE)) as machine:
        for _ in range(whole_run[2] - 1):
            machine.run(traps=1)
        assert finish(machine) == whole_run[:2]


SAVED = (
    "messages", "threads", "emulation", "gsync", "extras", "devices", "disk", "pagercopy", "pagersend", "pagerwrite", "pagerlife",
)  # fmt: skip
SAVED_I386 = ("segments", "debugging", "v86")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "name"),
    [(arch, name) for arch in ARCHS.values() for name in (*SAVED, *(SAVED_I386 if arch is I386 else ()))],
    ids=lambda value: value.name if isinstance(value, Arch) else value,
)
def test_a_run_saved_at_a_random_trap_ends_the_same(arch: Arch, name: str, tmp_path: Path) -> None:
    def disks() -> dict[str, Disk]:
        return {"hd0": ImageDisk.of_file(disk_image)} if name in DISKS else {}

    disk_image = tmp_path / "image"
    disk_image.write_bytes(testdisk.image())
    with boot(module(arch, name), disks=disks()) as machine:
        expected = finish(machine)
        count = machine.kernel.trap_count
    chooser = random.Random(name)
    for traps in sorted(chooser.sample(range(1, count), POINTS)):
        with boot(module(arch, name), disks=disks()) as machine:
            machine.run(traps=traps)
            machine.node.save(tmp_path / "machine")
            printed = machine.console
        with load(tmp_path / "machine", disks()) as machine:
            machine.console = printed
            machine.check()
            assert finish(machine) == expected, f"saved after trap {traps} of {count}"


@pytest.mark.parametrize("nanoseconds", [1, 123_456, 1_000_003])
def test_a_run_stopped_at_any_time_ends_the_same(
    arch: Arch, nanoseconds: int, whole_run: tuple[bytes, str, int], tmp_path: Path
) -> None:
    with boot(module(arch, MODULE)) as machine:
        machine.run(nanoseconds)
        assert b"END" not in machine.console
        machine.node.save(tmp_path / "machine")
        printed = machine.console
    with load(tmp_path / "machine") as machine:
        machine.console = printed
        assert finish(machine) == whole_run[:2]


@pytest.mark.slow
def test_another_process_goes_on_with_a_saved_machine(arch: Arch, whole_run: tuple[bytes, str, int], tmp_path: Path) -> None:
    """By the command line, as people do it."""
    machine = [sys.executable, "-m", "machemu", "boot"]
    saved, program = tmp_path / "machine", module(arch, MODULE)
    first = subprocess.run(
        [*machine, program.name, "--profile", arch.profile, "--memory", "8M", "--traps", "100", "--save", saved],
        cwd=program.parent,  # a task's name is the path as it was given
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    second = subprocess.run(
        [*machine, "--load", saved, "--until", "END", "--digest"], capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    assert first.stdout + second.stdout == whole_run[0]
    assert second.stderr.decode().split() == ["digest", whole_run[1]]


@pytest.mark.slow
def test_a_saved_machine_whose_content_was_changed_is_refused_or_sound(arch: Arch, tmp_path: Path) -> None:
    """The container is intact, the objects in it are not: nothing but a UserError or a machine that passes every check."""
    path = tmp_path / "machine"
    with boot(image(arch, "pingpong"), ram=1 << 20) as machine:
        machine.run(traps=60)
        machine.node.save(path)
    head, packed = path.read_bytes().split(b"\n", 1)
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    chooser = random.Random(1)
    graph = len(plain) - plain.count(b"\0" * 64) // 64
    refused = 0
    for _ in range(CHANGES):
        changed = bytearray(plain)
        for _ in range(chooser.randint(1, 3)):
            changed[chooser.randrange(min(graph, 1 << 15))] = chooser.randrange(256)
        path.write_bytes(head + b"\n" + zstandard.ZstdCompressor().compress(bytes(changed)))
        try:
            node = Node.load(path)
        except UserError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            invariants.check(node.kernel)
            node.close()
    assert refused > CHANGES // 4
