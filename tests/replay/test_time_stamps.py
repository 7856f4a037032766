"""The i386's time-stamp counter shows virtual time: the same however a run is cut, and after a save."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.support.guests import I386
from tests.support.machine import CODE, Machine, add_task, empty, load

READ = CODE + 0x40
"""Where the guest keeps what it read last: eight bytes."""
LOOP = b"\x0f\x31\xa3" + struct.pack("<I", READ) + b"\x89\x15" + struct.pack("<I", READ + 4) + b"\xeb\xf1"
"""rdtsc; mov %eax,READ; mov %edx,READ+4; again."""
UNTIL = 300_000


def shown(machine: Machine) -> int:
    task = machine.tasks[-1]
    return machine.word(task, READ) | machine.word(task, READ + 4) << 32


def started() -> Machine:
    machine = empty(I386)
    add_task(machine, LOOP)
    return machine


def test_the_time_stamp_is_virtual_time_however_a_run_is_cut_and_saved(tmp_path: Path) -> None:
    with started() as whole:
        whole.run(UNTIL)
        wanted, digest = shown(whole), whole.node.digest()
        clock = whole.kernel.kern.clock
        assert 0 <= clock.now() // clock.instruction_ns - wanted <= 8
        whole.end_all()
    with started() as cut:
        for _ in range(5):
            cut.run(UNTIL // 10)
        cut.node.save(tmp_path / "saved")
        cut.end_all()
    with load(tmp_path / "saved") as loaded:
        loaded.run(UNTIL - UNTIL // 10 * 5)
        assert (shown(loaded), loaded.node.digest()) == (wanted, digest)
        loaded.end_all()
