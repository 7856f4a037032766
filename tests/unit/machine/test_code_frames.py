"""Code in many frames: each is fetched from once it is known as code, and what that costs does not grow with their number."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from machemu.abi.types import VirtAddr
from machemu.machine.i386 import pmap as i386
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.m68k import pmap as m68k
from machemu.machine.m68k.cpu import M68kCpu
from machemu.machine.memory import CODE_REGIONS, PhysicalMemory
from tests.support.cpu_bench import CpuBench

FIRST = 0x100000
FRAMES = 200
LOOP = {"i386": b"\xeb\xfe", "m68k": b"\x60\xfe"}
MACHINES = {"i386": (I386Cpu, i386.PAGE_SIZE), "m68k": (M68kCpu, m68k.PAGE_SIZE)}


def jump(architecture: str, here: int, there: int) -> bytes:
    return b"\xe9" + struct.pack("<i", there - here - 5) if architecture == "i386" else b"\x4e\xf9" + struct.pack(">I", there)


def mirrored(number: int, bits: int) -> int:
    return int(f"{number:0{bits}b}"[::-1], 2)


@pytest.mark.parametrize("frames", [256, 3072, 8192])
def test_frames_become_code_in_few_regions_in_whatever_order(frames: int) -> None:
    orders: list[Callable[[int], int]] = [lambda n: n, lambda n: 16383 - n, lambda n: mirrored(n, 14), lambda n: n * 5 % 16384]
    for order in orders:
        memory = PhysicalMemory(frames * 4096, 4096)
        regions = 0
        for frame in filter(lambda frame: frame < frames, map(order, range(16384))):
            if frame in memory.code_frames:
                continue
            addresses = memory.add_code(frame)
            assert frame * 4096 in addresses
            assert 0 <= addresses.start < addresses.stop <= frames * 4096
            assert all(address // 4096 in memory.code_frames for address in addresses[::4096])
            regions += 1
        assert regions <= CODE_REGIONS * frames.bit_length()
        assert len(memory.code_frames) == frames
        memory.close()


@pytest.mark.parametrize("architecture", MACHINES)
def test_code_in_many_frames_runs_and_is_never_stale(architecture: str) -> None:
    """A chain of jumps through frames that lie apart, one of which is replaced."""
    cpu, size = MACHINES[architecture]
    bench: CpuBench[Any] = CpuBench(cpu, size, ())
    try:
        regions = []
        own = bench.cpu.engine.protect

        def protect(address: int, size: int, permissions: int) -> None:
            regions.append(address)
            own(address, size, permissions)

        bench.cpu.engine.protect = protect
        pages = [FIRST + n * size for n in range(FRAMES)]
        order = sorted(pages, key=lambda page: mirrored((page - FIRST) // size, 8))
        for page in pages:
            bench.pmap.enter(VirtAddr(page), bench.memory.allocate(), 3)
        for here, there in pairwise(order):
            bench.write(here, jump(architecture, here, there))
        bench.write(order[-1], LOOP[architecture])
        pcb = bench.cpu.new_pcb(bench.cpu.new_task())
        for entry in (order[0], order[100], order[150]):
            pcb.set_entry(VirtAddr(entry), VirtAddr(0))
            bench.go(pcb, FRAMES)
            assert (pcb.pc, bench.log) == (order[-1], [])
        bench.write(order[170], LOOP[architecture])
        pcb.set_entry(VirtAddr(order[0]), VirtAddr(0))
        bench.go(pcb, FRAMES)
        assert (pcb.pc, bench.log) == (order[170], [])
        assert CODE_REGIONS < len(regions) < FRAMES
    finally:
        bench.close()
