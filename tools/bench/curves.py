"""How time and memory grow with what a machine holds: each measurement at sizes that double, against n log n."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from machemu.abi.port import RIGHT_RECEIVE
from machemu.abi.types import VirtAddr
from machemu.boot.node import Node
from machemu.core.kernel import Kernel
from machemu.ipc import mach_port
from machemu.kern import task_control, thread_control
from machemu.kern.task import Task
from machemu.machine.profile import DEFAULT_PROFILE, load_profile
from machemu.vm import routines as vm
from machemu.vm.map import VmMap

RAM: Final = 64 << 20
PAGE: Final = 4096
STEPS: Final = 4
TOLERANCE: Final = 2.5
"""How much worse than n log n the last of STEPS doublings may be than the first: caches of the host count too."""
Stage = tuple[str, Callable[[Kernel, Task, int], None]]


@contextmanager
def task_of_its_own() -> Iterator[tuple[Kernel, Task, VmMap]]:
    with Node(load_profile(DEFAULT_PROFILE), RAM) as node:
        task = task_control.create(node.kernel.kern, None, False, "load")
        assert task.map is not None
        yield node.kernel, task, task.map


def map_entries(count: int) -> None:
    """So many regions with holes between them: mapped, found, and unmapped from the middle outwards."""
    with task_of_its_own() as (_, _, map_):
        places = [2 * PAGE * n for n in range(1, count + 1)]
        for place in places:
            vm.vm_allocate(map_, place, PAGE, False)
        for place in places:
            vm.vm_region(map_, place)
        for place in (*places[count // 2 :], *reversed(places[: count // 2])):
            vm.vm_deallocate(map_, place, PAGE)


def sparse_pages(count: int) -> None:
    """2 GiB of address space, so many pages of it touched, far from one another."""
    with task_of_its_own() as (_, task, map_):
        start = vm.vm_allocate(map_, 0, 2 << 30, True)
        step = (2 << 30) // count & -PAGE
        for n in range(count):
            task.memory.write(VirtAddr(start + n * step), b"x")


def ports(count: int) -> None:
    with task_of_its_own() as (kernel, task, _):
        names = [mach_port.mach_port_allocate(kernel.ipc, task.space, RIGHT_RECEIVE) for _ in range(count)]
        for name in names:
            mach_port.mach_port_destroy(kernel.ipc, task.space, name)


def threads(count: int) -> None:
    """So many runnable threads, and the end of their task."""
    with task_of_its_own() as (kernel, task, map_):
        code = vm.vm_allocate(map_, 0x10000, PAGE, False)
        task.memory.write(VirtAddr(code), b"\xeb\xfe")
        for _ in range(count):
            thread = thread_control.create(kernel.kern, task)
            thread.pcb.set_entry(VirtAddr(code), VirtAddr(code + PAGE))
            thread_control.resume(kernel.kern, thread)
        task_control.terminate(kernel.kern, task)


def forks(count: int) -> None:
    """A chain of tasks, each the child of the one before, which has written a page; then all but the last end, first to last."""
    with task_of_its_own() as (kernel, task, map_):
        start = vm.vm_allocate(map_, 0, 16 * PAGE, True)
        chain = [task]
        for n in range(count):
            chain[-1].memory.write(VirtAddr(start + n % 16 * PAGE), b"x")
            chain.append(task_control.create(kernel.kern, chain[-1], True))
        for old in chain[:-1]:
            task_control.terminate(kernel.kern, old)
        for n in range(16):
            chain[-1].memory.read(VirtAddr(start + n * PAGE), 1)


LOADS: Final[tuple[tuple[str, Callable[[int], None], int], ...]] = (
    ("map entries", map_entries, 100_000),
    ("pages touched in 2 GiB", sparse_pages, 8_192),
    ("ports", ports, 10_000),
    ("threads", threads, 1_000),
    ("forks", forks, 1_000),
)
"""What, the load, and its largest size."""


def seconds(load: Callable[[int], None], count: int) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        load(count)
        times.append(time.perf_counter() - began)
    return min(times)


def peak_bytes(load: Callable[[int], None], count: int) -> int:
    """The most host memory that the load's Python objects held."""
    tracemalloc.start()
    try:
        load(count)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def table(divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, times and memory at doubling sizes, and whether they grow as n log n does."""
    rows, kept = [], True
    for what, load, largest in LOADS:
        sizes = [max(largest // divisor >> step, 8) for step in reversed(range(STEPS))]
        empty = seconds(load, 1)
        times = [max(seconds(load, size) - empty, 1e-6) for size in sizes]
        growth = times[-1] / times[0] / (sizes[-1] * math.log(sizes[-1]) / (sizes[0] * math.log(sizes[0])))
        memory = peak_bytes(load, sizes[-1])
        good = growth <= TOLERANCE
        kept = kept and good
        curve = ", ".join(f"{each * 1e3:.0f}" for each in times)
        rows.append(
            (
                f"{sizes[-1]:,} {what}",
                f"{curve} ms; {memory / 2**20:.1f} MiB",
                f"{growth:.1f} times n log n over {sizes[-1] // sizes[0]} times the size: {'kept' if good else 'NOT KEPT'}",
            )
        )
    return rows, kept
