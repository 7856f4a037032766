"""A process that goes on for long does not grow: machines leave nothing behind, and neither do traps."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

from tests.machine import add_task, boot, empty, trap

HELLO = Path(__file__).parent.parent.parent / "images" / "i386" / "hello.elf"
MACHINES = 200
TRAPS = 1_000_000
MARGIN_KB = 8 << 10


def resident_kb() -> int:
    """What the process has in memory now, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("/proc tells no resident size")


def machines() -> None:
    """Boots MACHINES machines one after another; run in a process of its own."""
    before = 0
    for index in range(MACHINES):
        with boot(HELLO) as machine:
            machine.run()
            assert machine.console == b"Hello from a Mach task.\n"
        if index == MACHINES // 10:
            gc.collect()
            before = resident_kb()
    gc.collect()
    grown = resident_kb() - before
    assert grown < MARGIN_KB, f"{grown} KiB more after {MACHINES} machines"


def traps() -> None:
    """Makes TRAPS traps in one machine; run in a process of its own."""
    loop = trap(27)
    with empty() as machine:
        add_task(machine, loop + b"\xe9" + (-len(loop) - 5).to_bytes(4, "little", signed=True))
        machine.run(traps=TRAPS // 10)
        usage, before = machine.usage(), resident_kb()
        machine.run(traps=TRAPS)
        assert machine.kernel.trap_count == TRAPS + TRAPS // 10
        grown = resident_kb() - before
        assert machine.usage() == usage
        assert grown < MARGIN_KB, f"{grown} KiB more after {TRAPS} traps"


def run_alone(name: str) -> None:
    command = [sys.executable, "-c", f"from tests.kernel import test_growth; test_growth.{name}()"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent, check=False)
    assert done.returncode == 0, done.stderr


def test_two_hundred_machines_one_after_another_leave_nothing_behind() -> None:
    run_alone("machines")


def test_a_million_traps_leave_nothing_behind() -> None:
    run_alone("traps")
