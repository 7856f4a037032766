"""Measures machemu against bare Unicorn in one run and prints the table: `python -m tools.bench`."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Final

from machemu.abi.types import VirtAddr
from machemu.boot.node import Node
from machemu.core.kernel import Kernel
from machemu.kern import task_control, thread_control
from machemu.machine.profile import DEFAULT_PROFILES, load_profile
from machemu.vm import routines as vm
from tools.bench import (
    against,
    bare,
    bare_i386,
    bare_m68k,
    clusters,
    curves,
    peer,
    program,
    qiling,
    snapshots,
    traced,
    transfer,
    transport,
    travel,
)
from tools.bench.loops import loop_us, start_s

MACHINES: Final = {"i386": bare_i386, "m68k": bare_m68k}
RUNS: Final = 5
PEER_RUNS: Final = 3
TRANSFER_RUNS: Final = 3
INSTRUCTIONS: Final = 20_000_000
TRAPS: Final = 100_000
SMOKE_DIVISOR: Final = 100
WARM_UP_NS: Final = 1_000_000
MIPS_MIN: Final = 0.8
PROGRAM_MIN: Final = 0.9
TRAP_MAX: Final = 3.0
START_MAX_S: Final = 0.5
TRACED: Final = 10_000
TRACED_MAX: Final = 10.0
SNAPSHOTS: Final = 100
SNAPSHOT_MAX: Final = 0.1
MESSAGES: Final = (
    ("send and receive to oneself", "self", 20_000),
    ("RPC to the kernel (mach_port_type)", "kernel", 20_000),
    ("RPC between two threads", "threads", 10_000),
    ("16 fresh pages: allocate, touch, deallocate", "pages", 1_000),
)


def median(measure: Callable[[], float], runs: int = RUNS) -> float:
    """The median of so many measurements."""
    return statistics.median(measure() for _ in range(runs))


def machine_mips(architecture: str, instructions: int) -> float:
    """Millions of instructions a second of bare.LOOP in the one thread of a machine."""
    with Node(load_profile(DEFAULT_PROFILES[architecture])) as node:
        kernel = node.kernel
        start_loop(kernel, MACHINES[architecture])
        kernel.run(deadline=kernel.kern.clock.now() + WARM_UP_NS)
        executed, began = node.cpu.executed, time.process_time()
        kernel.run(deadline=kernel.kern.clock.now() + instructions * kernel.kern.clock.instruction_ns)
        return (node.cpu.executed - executed) / (time.process_time() - began) / 1e6


def start_loop(kernel: Kernel, machine: ModuleType) -> None:
    """A task whose one thread runs the machine's LOOP for ever."""
    kern = kernel.kern
    task = task_control.create(kern, None, False, "loop")
    assert task.map is not None
    vm.vm_allocate(task.map, bare.CODE, bare.DATA - bare.CODE, False)
    vm.vm_allocate(task.map, bare.DATA, machine.PAGE_SIZE, False)
    task.memory.write(VirtAddr(bare.CODE), machine.LOOP)
    thread = thread_control.create(kern, task)
    for flavor, words in machine.states():
        thread_control.set_state(kern, thread, flavor, words)
    thread_control.resume(kern, thread)


def table(architecture: str, runs: int, divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """Rows of what, figure and limit, and whether the limits were kept. `divisor` makes the loops shorter."""
    machine = MACHINES[architecture]
    instructions, traps = INSTRUCTIONS // divisor, TRAPS // divisor
    speed = median(lambda: machine_mips(architecture, instructions) / bare.mips(machine, instructions), runs)
    packing = median(lambda: program.ratio(machine, architecture, divisor), runs)
    bare_us = median(lambda: bare.trap_us(machine, traps), runs)
    null_us = median(lambda: loop_us(architecture, "null", traps), runs)
    trap = null_us / bare_us
    traced_us = median(lambda: traced.us(machine, TRACED // divisor), runs)
    starts = traced_us / median(lambda: bare.start_us(machine, TRACED // divisor), runs)
    snapshot = median(lambda: snapshots.ratio(architecture, max(SNAPSHOTS // divisor, 1)), runs)
    start = median(lambda: start_s(architecture), runs)
    limited = (
        ("speed of one thread", f"{speed:.2f} of bare Unicorn", speed >= MIPS_MIN, f"at least {MIPS_MIN}"),
        ("a compressor over 4 MiB (pack)", f"{packing:.2f} of bare Unicorn", packing >= PROGRAM_MIN, f"at least {PROGRAM_MIN}"),
        (
            "null trap (mach_thread_self)",
            f"{trap:.2f} bare traps",
            trap <= TRAP_MAX,
            f"at most {TRAP_MAX:.0f}",
        ),
        (
            "instruction of a traced thread",
            f"{starts:.1f} engine starts ({traced_us:.1f} us)",
            starts <= TRACED_MAX,
            f"at most {TRACED_MAX:.0f}",
        ),
        (
            "snapshot and restore (pingpong)",
            f"{snapshot:.3f} of save and load",
            snapshot <= SNAPSHOT_MAX,
            f"at most {SNAPSHOT_MAX}",
        ),
        ("start to first output (hello)", f"{start:.2f} s", start <= START_MAX_S, f"at most {START_MAX_S} s"),
    )
    rows = [
        (f"{architecture}: {what}", figure, f"{limit}: {'kept' if kept else 'NOT KEPT'}") for what, figure, kept, limit in limited
    ]
    for what, name, rounds in MESSAGES:
        us = median(partial(loop_us, architecture, name, rounds // divisor), runs)
        rows.append((f"{architecture}: {what}", f"{us / null_us:.1f} null traps", ""))
    return rows, all(row[2] for row in limited)


def tables(runs: int, divisor: int) -> tuple[list[tuple[str, str, str]], bool]:
    """`table` of each machine, one under the other."""
    found = [table(architecture, runs, divisor) for architecture in MACHINES]
    return [row for rows, _ in found for row in rows], all(kept for _, kept in found)


def main(arguments: Sequence[str]) -> int:
    """Prints the table; 1 where a limit that the project sets itself is not kept, 2 where the peer is not installed."""
    options = argparse.ArgumentParser(prog="bench", description=__doc__)
    options.add_argument("--smoke", action="store_true", help="only shows that all loops run")
    options.add_argument("--peer", action="store_true", help="measures beside GNU Mach in QEMU, not beside bare Unicorn")
    options.add_argument("--qiling", action="store_true", help="measures system calls beside Qiling, which it installs")
    options.add_argument("--curves", action="store_true", help="measures how time and memory grow with what a machine holds")
    options.add_argument("--cluster", action="store_true", help="measures what the nodes, frames and messages of a cluster cost")
    options.add_argument("--network", action="store_true", help="measures the network servers' transport beside its cryptography")
    options.add_argument("--transfer", action="store_true", help="measures memory that goes to another node beside a copy of it")
    options.add_argument("--travel", action="store_true", help="measures what a step back costs at the end of a long run")
    options.add_argument("--against", metavar="COMMIT", help="measures beside another commit, both in turn")
    options.add_argument("--only", metavar="TEXT", default="", help="with --against: only rows whose names have TEXT in them")
    given = options.parse_args(arguments)
    runs, divisor = (1, SMOKE_DIVISOR) if given.smoke else (RUNS, 1)
    try:
        if given.against:
            runs = min(runs, 1) if given.smoke else against.RUNS
            rows, kept = against.table(given.against, runs, divisor, given.only)
        elif given.qiling:
            rows, kept = qiling.table(min(runs, PEER_RUNS), divisor)
        elif given.cluster:
            rows, kept = clusters.table(divisor)
        elif given.network:
            rows, kept = transport.table(runs, divisor)
        elif given.transfer:
            rows, kept = transfer.table(min(runs, TRANSFER_RUNS), divisor)
        elif given.travel:
            rows, kept = travel.table(divisor)
        elif given.curves:
            rows, kept = curves.table(divisor)
        else:
            rows, kept = peer.table(min(runs, PEER_RUNS), divisor) if given.peer else tables(runs, divisor)
    except (peer.NoRealKernel, against.NoCommit, qiling.NoQiling) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    heads = (f"median of {runs}", "limit")
    if given.qiling:
        heads = ("Qiling, machemu", "ratio and limit")
    elif given.peer:
        heads = ("GNU Mach in QEMU, machemu", "ratio and limit")
    elif given.cluster:
        heads = ("boot, memory a node; a frame; an idle hour; a message", "limit")
    elif given.network:
        heads = (f"median of {runs}", "ratio")
    elif given.transfer:
        heads = (f"median of {min(runs, TRANSFER_RUNS)}", "beside copies")
    elif given.travel:
        heads = ("a step back: from the end; from ten points at most; of the run; memory", "limit")
    elif given.curves:
        heads = ("time at an eighth, a quarter, half and all; memory", "growth")
    lines = [("what", *heads), *rows]
    width = max(len(figure) for _, figure, _ in lines) + 2
    for what, figure, limit in lines:
        print(f"{what:<56}{figure:<{width}}{limit}".rstrip())
    return 0 if kept or given.smoke else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
