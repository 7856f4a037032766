"""Looks for what machemu's kernel does otherwise than the real one: `fuzz --oracle` makes random operations on both.

A program is OPERATIONS operations on four tasks, their memory, ports and threads. Some programs run in one boot, one after the
other; what a program prints is compared line by line. A program that differs is booted alone, and the first line that differs is
shown. Programs that end the real kernel are counted, and compared as far as they came.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools import oracle
from tools.fuzz.oracle_calls import image, program

BATCH: Final = 20
"""Programs of one boot."""
COUNT: Final = 100
HEADING: Final = b"\nprogram "
STOPPED_S: Final = 60.0
"""Seconds of the host, for each program, after which the real kernel hangs."""


def run(seed: int, numbers: Sequence[int], seconds: float) -> int:
    """Compares the programs of these numbers, beginning none later than after so many seconds; 1 where any differs, 2 where there
    is no real kernel."""
    hunt = Hunt(seed)
    began = time.monotonic()
    try:
        with oracle.unpacked_kernel() as kernel:
            for start in range(0, len(numbers), BATCH):
                if time.monotonic() - began > seconds:
                    break
                hunt.compare(kernel, numbers[start : start + BATCH])
    except oracle.NoRealKernel as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 2
    print(
        f"{hunt.compared} programs, {hunt.differing} differ from the real kernel, {hunt.stopped} stop it, "
        f"{hunt.behind} differ only behind others",
        flush=True,
    )
    return int(hunt.differing > 0)


class Hunt:
    """A hunt's figures, and how it compares."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.compared = self.differing = self.stopped = self.behind = 0

    def compare(self, kernel: Path, numbers: Sequence[int]) -> None:
        """Compares programs in one boot, and those alone that differ there; those behind one that ends it in another boot."""
        self.compared += len(numbers)
        while numbers:
            suspects, numbers = self._together(kernel, numbers)
            for number in suspects:
                self.behind += not self._alone(kernel, number)

    def _together(self, kernel: Path, numbers: Sequence[int]) -> tuple[list[int], Sequence[int]]:
        """Those that print something else, or stop a kernel; and those behind that, which did not come to run."""
        printed = outputs(kernel, self.seed, numbers)
        real, ours = (output.split(HEADING)[1:] for output in printed)
        begun = max(1, min(len(real), len(ours)))
        suspects = [number for at, number in enumerate(numbers[:begun]) if real[at : at + 1] != ours[at : at + 1]]
        last = numbers[begun - 1]
        if last not in suspects and not all(map(_ended, printed)):
            suspects.append(last)
        return suspects, numbers[begun:]

    def _alone(self, kernel: Path, number: int) -> bool:
        """Shows how a program differs, and counts it; False where it does not."""
        real, ours = outputs(kernel, self.seed, [number])
        found = oracle.difference(real, ours)
        if found is None:
            return False
        agreed = b"".join(real.splitlines(keepends=True)[:-1])
        stops = not _ended(real) and ours.startswith(agreed)
        self.stopped += stops
        self.differing += not stops
        what = "stops the real kernel" if stops else f"FOUND difference: {found}"
        print(f"seed {self.seed}, program {number}: {what}", flush=True)
        print(f"    again: python3 tools/dev.py fuzz --oracle --seed {self.seed} --only {number}", flush=True)
        return True


def _ended(printed: bytes) -> bool:
    return printed.endswith(oracle.LAST + b"\n")


def outputs(kernel: Path, seed: int, numbers: Sequence[int]) -> tuple[bytes, bytes]:
    """What programs print in one boot on the real kernel, and here."""
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "oracle.elf"
        module.write_bytes(image(program(seed, number) for number in numbers))
        return oracle.on_gnu_mach(kernel, module, STOPPED_S * len(numbers)), oracle.on_machemu(module)
