"""The free space of an address map, found as Mach finds it (vm_map.c's gap tree): addresses given out are visible to guests."""

from __future__ import annotations

from bisect import bisect_left, insort

from machemu.abi.errors import InvariantError
from machemu.sim.state import state


@state
class VmGaps:
    """The gaps behind a map's entries, by where they start and by size. Space before the first entry is in no gap.

    at: size by start. of_size: starts of one size, last come last. sizes: the keys of of_size, sorted.
    """

    __slots__ = ("at", "of_size", "sizes")
    at: dict[int, int]
    of_size: dict[int, dict[int, None]]
    sizes: list[int]

    def __init__(self) -> None:
        self.at = {}
        self.of_size = {}
        self.sizes = []

    def insert(self, start: int, size: int) -> None:
        """Adds a gap; one of no size is none."""
        if not size:
            return
        self.at[start] = size
        same = self.of_size.get(size)
        if same is None:
            self.of_size[size] = {start: None}
            insort(self.sizes, size)
        else:
            same[start] = None

    def remove(self, start: int) -> None:
        """Takes out the gap at `start`, if there is one."""
        size = self.at.pop(start, 0)
        if not size:
            return
        same = self.of_size[size]
        del same[start]
        if not same:
            del self.of_size[size]
            del self.sizes[bisect_left(self.sizes, size)]

    def renew(self, start: int) -> None:
        """Makes the gap at `start`, if there is one, the last come of its size."""
        size = self.at.get(start, 0)
        if size:
            same = self.of_size[size]
            del same[start]
            same[start] = None

    def best(self, size: int) -> int | None:
        """The start of the smallest gap of at least `size` bytes, the last come of those."""
        index = bisect_left(self.sizes, size)
        if index == len(self.sizes):
            return None
        return next(reversed(self.of_size[self.sizes[index]]))

    def check_invariants(self) -> None:
        listed = {start: size for size in self.sizes for start in self.of_size[size]}
        if listed != self.at or self.sizes != sorted(self.of_size) or not all(self.of_size.values()):
            raise InvariantError("the gaps by size are not the gaps by address")
