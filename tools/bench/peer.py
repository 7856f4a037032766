"""machemu beside GNU Mach in QEMU, in one run: what both take for the same loops of images/src/bench.c, and to boot."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from tools.bench import loops
from tools.oracle import NoRealKernel, start_gnu_mach, unpacked_kernel

__all__ = ["NoRealKernel", "table"]

HELLO: Final = loops.IMAGES / "i386" / "hello.elf"
BOOT_TIMES_FASTER: Final = 5.0
TIMES_SLOWER: Final = 15.0
NULL_TRAP: Final = 0.4
"""How many times the real kernel's null trap ours may take."""
CLOCK_OF_A_PROCESS: Final = 2
"""CPUCLOCK_SCHED: the kind of the clocks that clock_getcpuclockid gives."""
LOOPS: Final = (
    ("null trap (mach_thread_self)", "null", 1, 1_000_000, 500_000),
    ("send and receive to oneself", "self", 1, 300_000, 20_000),
    ("RPC to the kernel (mach_port_type)", "kernel", 1, 200_000, 20_000),
    ("RPC between two threads", "threads", 1, 200_000, 10_000),
    ("fault on a fresh page, with its share of allocating 16", "pages", 16, 5_000, 1_000),
    ("copy-on-write fault, with its share of vm_copy of 16", "copies", 16, 5_000, 1_000),
    ("task_create and task_terminate", "x-tasks", 1, 2_000, 500),
)
"""What, the loop's name, how many of it one round holds, and the rounds in GNU Mach and here."""


def processor_time(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time that a process has used: the clock that Linux has for it."""
    return time.clock_gettime(~process.pid << 3 | CLOCK_OF_A_PROCESS)


def between(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time between the lines GO and DONE of a guest's console."""
    assert process.stdout is not None
    began = 0.0
    for line in process.stdout:
        if b"GO" in line:
            began = processor_time(process)
        elif b"DONE" in line:
            return processor_time(process) - began
    raise RuntimeError("the loop did not end on the real kernel")


def real_us(kernel: Path, name: str, rounds: int) -> float:
    """Microseconds of one round in GNU Mach in QEMU."""
    with start_gnu_mach(kernel, f"{loops.IMAGES / 'i386' / 'bench.elf'} {loops.line(name, rounds)}") as process:
        elapsed = between(process)
        process.kill()
    return elapsed / rounds * 1e6


def real_boot_s(kernel: Path) -> float:
    """Seconds from the start of QEMU to hello's first output."""
    began = time.perf_counter()
    with start_gnu_mach(kernel, f"{HELLO} {loops.line('', 0)}") as process:
        assert process.stdout is not None
        next(line for line in process.stdout if b"hello" in line or b"BEGIN" in line)
        elapsed = time.perf_counter() - began
        process.kill()
    return elapsed


def beside(measure_real: Callable[[], float], measure_ours: Callable[[], float], runs: int) -> tuple[float, float, float]:
    """The medians of both sides, and that of what ours is of theirs: the two of a pair are measured in turn, as the host's speed
    changes."""
    pairs = [(measure_real(), measure_ours()) for _ in range(runs)]
    middle = statistics.median
    return middle(real for real, _ in pairs), middle(ours for _, ours in pairs), middle(ours / real for real, ours in pairs)


def table(runs: int, divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, figures and limit, and whether the limits were kept. `divisor` makes the loops shorter."""
    rows = []
    with unpacked_kernel() as kernel:
        real, ours, ratio = beside(lambda: real_boot_s(kernel), lambda: loops.start_s("i386"), runs)
        good = 1 / ratio >= BOOT_TIMES_FASTER
        rows.append(("boot to the first output", f"{real:.2f} s, {ours:.2f} s", f"{1 / ratio:.1f} times faster", good))
        for what, name, share, real_rounds, our_rounds in LOOPS:
            real, ours, ratio = beside(
                partial(real_us, kernel, name, max(real_rounds // divisor, 1)),
                partial(loops.loop_us, "i386", name, max(our_rounds // divisor, 1)),
                runs,
            )
            good = ratio <= (NULL_TRAP if name == "null" else TIMES_SLOWER)
            rows.append((what, f"{real / share:.2f} us, {ours / share:.2f} us", f"{ratio:.2f} of it", good))
    kept = all(good for *_, good in rows)
    return [(what, figures, f"{of_it}: {'kept' if good else 'NOT KEPT'}") for what, figures, of_it, good in rows], kept
