"""Snapshots: a machine's state kept in the host's memory, to go back to many times.

They are pickles, made and read in this process alone: ten times as fast as what `saved` writes, and no format for files.
"""

from __future__ import annotations

import copyreg
import gc
import io
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from machemu.sim.graph import Reader, Writer
from machemu.sim.pages import ZEROS, pages_of

DEPTH: Final = 5000
"""Calls inside calls that pickling may take: some 1.5 MiB of the stack. State that is nested deeper goes the slower way."""

EMPTY_DEQUE: Final = (deque, ())
REDUCERS: Final = {**copyreg.dispatch_table, deque: lambda value: (deque, (list(value),)) if value else EMPTY_DEQUE}
"""What is pickled in another way than its own: every port has three deques, most of them empty."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """graph: the state's objects. is_pickle: how they are written. size: of the RAM, in bytes. pages: what is not zero of it, by
    page number.

    Snapshots of one machine share the pages that are equal.
    """

    graph: bytes
    is_pickle: bool
    size: int
    pages: Mapping[int, bytes]

    def state(self) -> Any:
        """The state, in new objects."""
        collects = gc.isenabled()
        gc.disable()  # nothing of it is garbage yet
        try:
            import pickle  # not before it is needed: it takes time to load

            return pickle.loads(self.graph) if self.is_pickle else Reader(self.graph, room=sys.maxsize).decode()
        finally:
            if collects:
                gc.enable()


def take(root: object, ram: memoryview, known: Mapping[int, bytes]) -> Snapshot:
    """A snapshot of a state and its RAM, which is whole pages. known: pages of an earlier one."""
    pages = dict(pages_of(ram, known))
    import pickle  # not before it is needed: it takes time to load

    out = io.BytesIO()
    pickler = pickle.Pickler(out, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = REDUCERS
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, DEPTH))
    try:
        pickler.dump(root)
        return Snapshot(out.getvalue(), True, len(ram), pages)
    except RecursionError:
        return Snapshot(Writer().encode(root), False, len(ram), pages)
    finally:
        sys.setrecursionlimit(limit)


def changes(snapshot: Snapshot, ram: memoryview) -> Iterator[tuple[int, bytes]]:
    """What has to be written to make `ram` what it was: page numbers and their bytes. Beyond the snapshot's size it was zeros.

    A page may be written as soon as it is given.
    """
    left = dict(snapshot.pages)
    for number, page in pages_of(ram, snapshot.pages):
        then = left.pop(number, ZEROS)
        if page is not then:
            yield number, then
    yield from left.items()
