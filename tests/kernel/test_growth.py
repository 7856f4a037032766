"""A process that goes on for long does not grow: machines leave nothing behind, and neither do traps."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.guests import Arch
from tests.support.machine import add_task, boot, empty, image

MACHINES = 200
TRAPS = 1_000_000
SNAPSHOTS = 600
MARGIN_KB = 8 << 10


def resident_kb() -> int:
    """What the process has in memory now, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("/proc tells no resident size")


def machines(arch: Arch) -> None:
    """Boots MACHINES machines one after another; run in a process of its own."""
    before = 0
    for index in range(MACHINES):
        with boot(image(arch, "hello")) as machine:
            machine.run()
            assert machine.console == b"Hello from a Mach task.\n"
        if index == MACHINES // 10:
            gc.collect()
            before = resident_kb()
    gc.collect()
    grown = resident_kb() - before
    assert grown < MARGIN_KB, f"{grown} KiB more after {MACHINES} machines"


def traps(arch: Arch) -> None:
    """Makes TRAPS traps in one machine; run in a process of its own."""
    with empty(arch) as machine:
        add_task(machine, arch.repeat(arch.trap(27)))
        machine.run(traps=TRAPS // 10)
        usage, before = machine.usage(), resident_kb()
        machine.run(traps=TRAPS)
        assert machine.kernel.trap_count == TRAPS + TRAPS // 10
        grown = resident_kb() - before
        assert machine.usage() == usage
        assert grown < MARGIN_KB, f"{grown} KiB more after {TRAPS} traps"


def snapshots(arch: Arch) -> None:
    """Goes back to SNAPSHOTS snapshots of one machine, each after a trap; run in a process of its own."""
    with boot(image(arch, "pingpong")) as machine:
        machine.run(traps=40)
        node, digest, before = machine.node, machine.node.digest(), 0
        for index in range(SNAPSHOTS):
            if index == SNAPSHOTS // 3:
                gc.collect()
                before = resident_kb()
            earlier = node.snapshot()
            node.kernel.run(traps=1)
            node.restore(earlier)
        machine.kernel = node.kernel
        gc.collect()
        grown = resident_kb() - before
        assert node.digest() == digest
        assert grown < MARGIN_KB, f"{grown} KiB more after {SNAPSHOTS} snapshots"


def run_alone(arch: Arch, name: str) -> None:
    code = (
        f"from tests.support import guests; from tests.kernel import test_growth; test_growth.{name}(guests.ARCHS[{arch.name!r}])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_hundred_machines_one_after_another_leave_nothing_behind(arch: Arch) -> None:
    run_alone(arch, "machines")


@pytest.mark.slow
def test_a_million_traps_leave_nothing_behind(arch: Arch) -> None:
    run_alone(arch, "traps")


@pytest.mark.slow
def test_six_hundred_snapshots_and_restores_leave_nothing_behind(arch: Arch) -> None:
    run_alone(arch, "snapshots")
