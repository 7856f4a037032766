"""Measures machemu against bare Unicorn in one run and prints the table: `python -m tools.bench`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from machemu.abi.types import VirtAddr
from machemu.boot.bootstrap import boot_modules
from machemu.boot.node import Node
from machemu.core.kernel import Kernel
from machemu.kern import task_control, thread_control
from machemu.machine.i386.pmap import PAGE_SIZE
from machemu.machine.profile import DEFAULT_PROFILE, load_profile
from machemu.vm import routines as vm
from tools.bench import bare

IMAGES: Final = Path(__file__).resolve().parent.parent.parent / "images" / "i386"
RUNS: Final = 5
INSTRUCTIONS: Final = 20_000_000
TRAPS: Final = 100_000
SMOKE_DIVISOR: Final = 100
WARM_UP_NS: Final = 1_000_000
MIPS_MIN: Final = 0.9
TRAP_MAX: Final = 3.0
START_MAX_S: Final = 0.5
MESSAGES: Final = (
    ("send and receive to oneself", "self", 20_000),
    ("RPC to the kernel (mach_port_type)", "kernel", 20_000),
    ("RPC between two threads", "threads", 10_000),
    ("16 fresh pages: allocate, touch, deallocate", "pages", 1_000),
)


def median(measure: Callable[[], float], runs: int = RUNS) -> float:
    """The median of so many measurements."""
    return statistics.median(measure() for _ in range(runs))


def loop_us(name: str, rounds: int) -> float:
    """Microseconds of one round of a loop of images/src/bench.c, between its two lines on the console."""
    times: list[float] = []

    def sink(data: bytes) -> None:
        if b"GO" in data or b"DONE" in data:
            times.append(time.perf_counter())
            if len(times) > 1:
                node.kernel.stop()

    with Node(load_profile(DEFAULT_PROFILE)) as node:
        node.kernel.console.sink = sink
        line = f"{IMAGES / 'bench.elf'} ${{host-port}} ${{device-port}} {name} {rounds} $(task-create) $(task-resume)"
        boot_modules(node.kernel, [line], {})
        node.kernel.run()
    return (times[1] - times[0]) / rounds * 1e6


def machine_mips(instructions: int) -> float:
    """Millions of instructions a second of bare.LOOP in the one thread of a machine."""
    with Node(load_profile(DEFAULT_PROFILE)) as node:
        kernel = node.kernel
        start_loop(kernel)
        kernel.run(deadline=kernel.kern.clock.now() + WARM_UP_NS)
        executed, began = node.cpu.executed, time.perf_counter()
        kernel.run(deadline=kernel.kern.clock.now() + instructions * kernel.kern.clock.instruction_ns)
        return (node.cpu.executed - executed) / (time.perf_counter() - began) / 1e6


def start_loop(kernel: Kernel) -> None:
    """A task whose one thread runs bare.LOOP for ever."""
    kern = kernel.kern
    task = task_control.create(kern, None, False, "loop")
    assert task.map is not None
    vm.vm_allocate(task.map, bare.CODE, bare.DATA - bare.CODE, False)
    vm.vm_allocate(task.map, bare.DATA, PAGE_SIZE, False)
    task.memory.write(VirtAddr(bare.CODE), bare.LOOP)
    thread = thread_control.create(kern, task)
    words = [0] * 17
    words[5], words[10], words[12] = bare.DATA, 0xFFFFFFFF, bare.CODE
    words[15] = bare.DATA + PAGE_SIZE
    thread_control.set_state(kern, thread, 1, words)
    thread_control.resume(kern, thread)


def start_s() -> float:
    """Seconds from the start of `machemu boot hello.elf` to its first output."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "machemu", "boot", str(IMAGES / "hello.elf")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        elapsed = time.perf_counter() - began
        process.communicate()
    return elapsed


def table(runs: int, divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, figure and limit, and whether the limits were kept. `divisor` makes the loops shorter."""
    instructions, traps = INSTRUCTIONS // divisor, TRAPS // divisor
    speed = median(lambda: machine_mips(instructions), runs) / median(lambda: bare.mips(instructions), runs)
    bare_us = median(lambda: bare.trap_us(traps), runs)
    null_us = median(lambda: loop_us("null", traps), runs)
    trap = null_us / bare_us
    start = median(start_s, runs)
    limited = (
        ("speed of one thread", f"{speed:.2f} of bare Unicorn with count=", speed >= MIPS_MIN, f"at least {MIPS_MIN}"),
        (
            "null trap (mach_thread_self)",
            f"{trap:.2f} bare lcall traps",
            trap <= TRAP_MAX,
            f"at most {TRAP_MAX:.0f}",
        ),
        ("start to first output (hello)", f"{start:.2f} s", start <= START_MAX_S, f"at most {START_MAX_S} s"),
    )
    rows = [(what, figure, f"{limit}: {'kept' if kept else 'NOT KEPT'}") for what, figure, kept, limit in limited]
    for what, name, rounds in MESSAGES:
        us = median(partial(loop_us, name, rounds // divisor), runs)
        rows.append((what, f"{us / null_us:.1f} null traps", ""))
    return rows, all(row[2] for row in limited)


def main(arguments: Sequence[str]) -> int:
    """Prints the table; 1 where a limit that the project sets itself is not kept. With --smoke only shows that all loops run."""
    smoke = list(arguments) == ["--smoke"]
    rows, kept = table(1 if smoke else RUNS, SMOKE_DIVISOR if smoke else 1)
    for what, figure, limit in [("what", f"median of {1 if smoke else RUNS}", "limit"), *rows]:
        print(f"{what:<46}{figure:<40}{limit}".rstrip())
    return 0 if kept or smoke else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
