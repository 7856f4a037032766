"""A node's RAM: one anonymous mmap that the CPU and the kernel share, and the pool of its free frames."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Final

from machemu.abi.errors import InvariantError
from machemu.abi.types import Frame, PhysAddr
from machemu.sim.state import state

CODE_REGIONS: Final = 64
"""After how many regions of code the next ones are twice as large."""


class OutOfFrames(Exception):
    """No free frame is left; nothing was changed."""


@state
class PhysicalMemory:
    """RAM, physical addresses from 0."""

    __slots__ = ("frame_size", "frame_count", "free", "ram", "view", "code_frames", "code_regions", "stale", "used")
    TRANSIENT = ("ram", "view", "code_frames", "code_regions", "stale", "used")
    frame_size: int  # bytes
    frame_count: int
    free: list[Frame]  # the free frames; the last one is allocated next. Any other has one owner: a vm page or a page table

    # Transient, the bytes. Writers other than the CPU go through `write`, `zero` and `copy`, so that no CPU runs stale
    # translations of code; page tables, which no CPU executes, may be written through `view` directly.
    ram: mmap.mmap
    view: memoryview
    used: int  # so many of the lowest frames may have been used; all others are zeros

    # Transient, the CPU's translations:
    code_frames: dict[int, None]  # frames that it may fetch instructions from
    code_regions: int  # how many pieces of RAM became such ones
    stale: bool  # set where such a frame was written; the CPU drops its translations before it runs on and clears it

    def __init__(self, size: int, frame_size: int) -> None:
        self.frame_size = frame_size
        self.frame_count = size // frame_size
        self.free = [Frame(n) for n in range(self.frame_count - 1, -1, -1)]
        self.attach()
        self.used = 0

    def attach(self, ram: mmap.mmap | None = None) -> None:
        """Makes the host-side part: no known code, and zeroed bytes, or those of `ram`, which it owns from then on.

        Of what is loaded any frame may be used.
        """
        # Private, so that looking at memory that nobody has written takes none of the host's.
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.ram = mmap.mmap(-1, self.frame_count * self.frame_size, flags=flags) if ram is None else ram
        self.view = memoryview(self.ram)
        self.code_frames = {}
        self.code_regions = 0
        self.stale = False
        self.used = self.frame_count

    def take_over(self, other: PhysicalMemory) -> None:
        """Makes the host-side part of another memory of this size this one's; the other one is not used again."""
        self.ram, self.view = other.ram, other.view
        self.code_frames, self.code_regions, self.stale = other.code_frames, other.code_regions, other.stale
        self.used = other.used

    def close(self) -> None:
        """Gives the host memory back; no CPU may run on it any more. What an error's frames still look at goes with them."""
        with suppress(BufferError):
            self.view.release()
            self.ram.close()

    def allocate(self) -> Frame:
        """A free frame, contents unspecified; the caller owns it. Raises OutOfFrames."""
        if not self.free:
            raise OutOfFrames
        frame = self.free.pop()
        if frame >= self.used:
            self.used = frame + 1
        return frame

    def allocate_contiguous(self, count: int, limit: int) -> Frame:
        """The first of `count` neighbouring frames below frame `limit`, the lowest that are free. Raises OutOfFrames."""
        free = sorted(frame for frame in self.free if frame < limit)
        for index in range(len(free) - count + 1):
            if free[index + count - 1] - free[index] == count - 1:
                first = free[index]
                self.used = max(self.used, first + count)
                self.free = [frame for frame in self.free if not first <= frame < first + count]
                return first
        raise OutOfFrames

    def release(self, frame: Frame) -> None:
        """Takes a frame back from its owner."""
        self.free.append(frame)

    def add_code(self, frame: int) -> range:
        """A CPU is to fetch from a frame for the first time: the addresses that it may fetch from because of that.

        They are more than the frame once there are many such regions: what each one costs Unicorn grows with their number.
        """
        count = 1 << self.code_regions // CODE_REGIONS
        first = frame & -count
        frames = range(first, min(first + count, self.frame_count))
        self.code_frames.update(dict.fromkeys(frames))
        self.code_regions += 1
        return range(first * self.frame_size, frames.stop * self.frame_size)

    def read(self, address: PhysAddr, size: int) -> bytes:
        return bytes(self.view[address : address + size])

    def write(self, address: PhysAddr, data: bytes | bytearray | memoryview) -> None:
        """Writes within one frame."""
        self.view[address : address + len(data)] = data
        if address // self.frame_size in self.code_frames:
            self.stale = True

    def zero(self, frame: Frame) -> None:
        self.write(PhysAddr(frame * self.frame_size), bytes(self.frame_size))

    def copy(self, source: Frame, target: Frame) -> None:
        start = source * self.frame_size
        self.write(PhysAddr(target * self.frame_size), self.view[start : start + self.frame_size])

    def check_invariants(self) -> None:
        if len(dict.fromkeys(self.free)) != len(self.free) or any(not 0 <= frame < self.frame_count for frame in self.free):
            raise InvariantError("the free list holds a frame twice or one that is not there")
