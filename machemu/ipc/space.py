"""A task's port name space (Mach's ipc_space.c): which names are in use, and which comes next.

A new name is the one freed last, of the at most 64 that are remembered, and otherwise the lowest integer that is neither in use
nor remembered, as in GNU Mach 1.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Annotated, Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KERN_INVALID_TASK, KERN_RESOURCE_SHORTAGE
from machemu.abi.port import (
    PORT_NAME_DEAD,
    TYPE_DEAD_NAME,
    TYPE_NONE,
    TYPE_PORT_SET,
    TYPE_RECEIVE,
    TYPE_SEND,
    TYPE_SEND_ONCE,
    UREFS_MAX,
)
from machemu.ipc import right_refs
from machemu.ipc.entry import TYPE_PORT_RIGHTS, TYPE_SEND_RECEIVE, Entry
from machemu.ipc.port import Port
from machemu.ipc.pset import PortSet
from machemu.sim.state import Natural, PortName, Range, state

if TYPE_CHECKING:
    from machemu.ipc.marequest import Marequest
    from machemu.ipc.subsystem import Ipc

FREE_LIST_MAX: Final = 64
NAMES_MAX: Final = 1 << 18
"""Names in one space: the kernel's memory is not endless (the real kernel's ends somewhere near)."""


@state
class Space:
    """Port rights under names."""

    __slots__ = ("active", "forwards", "free", "holes", "marequests", "reverse", "table", "top")
    active: bool
    forwards: bool  # what is sent to its ports goes to other nodes

    # The names in use:
    table: dict[PortName, Entry]
    reverse: dict[Natural, Entry]  # those of send rights alone, by the port's number: not where it holds the receive right, too
    marequests: dict[PortName, Marequest]  # pending msg-accepted notifications by name

    # The unused ones:
    free: list[PortName]  # names freed last, the last one first to be used again
    top: Annotated[int, Range(1, NAMES_MAX + 1)]
    holes: list[PortName]  # a heap with every unused name below `top` that is not in `free`; it may hold used names too

    def __init__(self) -> None:
        self.active = True
        self.forwards = False
        self.table = {}
        self.free = []
        self.top = 1
        self.holes = []
        self.reverse = {}
        self.marequests = {}

    def lookup(self, name: PortName) -> Entry | None:
        """The entry of a name in use."""
        return self.table.get(name)

    def entries(self) -> Iterator[tuple[PortName, Entry]]:
        """Every name in use, in ascending order."""
        for name in sorted(self.table):
            yield name, self.table[name]

    def alloc(self) -> Entry:
        """A new name, with no right yet. KERN_INVALID_TASK in a space that was destroyed."""
        self._check_room()
        free = self.free
        name = free.pop() if free else self._lowest()
        entry = self.table[name] = Entry(name)
        return entry

    def alloc_name(self, name: PortName) -> Entry:
        """The entry of `name`, in use (its type says so) or new."""
        self._check_room()
        entry = self.table.get(name)
        if entry is None:
            if name in self.free:
                self.free.remove(name)
            entry = self.table[name] = Entry(name)
        return entry

    def dealloc(self, entry: Entry) -> None:
        """Frees a name whose rights are gone."""
        name = entry.name
        del self.table[name]
        entry.type = TYPE_NONE
        entry.object = None
        if len(self.free) < FREE_LIST_MAX:
            self.free.append(name)
        elif name < self.top:
            heappush(self.holes, name)

    def _check_room(self) -> None:
        if not self.active:
            raise KernError(KERN_INVALID_TASK)
        if len(self.table) >= NAMES_MAX:
            raise KernError(KERN_RESOURCE_SHORTAGE)

    def _lowest(self) -> PortName:
        """The lowest name neither in use nor in the free list, which is empty."""
        while self.holes:
            name = heappop(self.holes)
            if name not in self.table:
                return name
        while self.top in self.table:
            self.top += 1
        self.top += 1
        return self.top - 1

    def check_invariants(self) -> None:
        if not self.active:
            if self.table or self.reverse:
                raise InvariantError("a destroyed space has names")
            return
        if len(self.free) > FREE_LIST_MAX or len(set(self.free)) != len(self.free) or any(n in self.table for n in self.free):
            raise InvariantError("the free list of names is wrong")
        if not all(0 < name < PORT_NAME_DEAD for name in (*self.free, *self.holes)):
            raise InvariantError("a name that is none is to be given")
        for name, entry in self.table.items():
            self._check_entry(name, entry)
        if sum(entry.type == TYPE_SEND for entry in self.table.values()) != len(self.reverse):
            raise InvariantError("the reverse table has entries too many")
        marked = {name for name, entry in self.table.items() if entry.marequest}
        if marked != set(self.marequests):
            raise InvariantError("pending msg-accepted notifications and marked names differ")

    def _check_entry(self, name: PortName, entry: Entry) -> None:
        kind, target = entry.type, entry.object
        counted = {TYPE_SEND: 1, TYPE_SEND_RECEIVE: 1, TYPE_DEAD_NAME: 1, TYPE_SEND_ONCE: 1, TYPE_RECEIVE: 0, TYPE_PORT_SET: 0}
        if name != entry.name or not 0 < name < 0xFFFFFFFF or kind not in counted:
            raise InvariantError(f"name {name}: type {kind:#x}")
        if (not 0 < entry.urefs <= UREFS_MAX) if counted[kind] else entry.urefs:
            raise InvariantError(f"name {name}: type {kind:#x} with {entry.urefs} user references")
        if kind == TYPE_DEAD_NAME:
            good = target is None
        elif kind == TYPE_PORT_SET:
            good = isinstance(target, PortSet) and target.local_name == name and target.active
        else:
            good = isinstance(target, Port)
        if not good or (entry.request and not kind & TYPE_PORT_RIGHTS):
            raise InvariantError(f"name {name}: type {kind:#x} for {target}")
        if isinstance(target, Port):
            if kind & TYPE_RECEIVE and (target.receiver is not self or target.receiver_name != name):
                raise InvariantError(f"name {name}: the port's receive right is elsewhere")
            if kind == TYPE_SEND and self.reverse.get(target.number) is not entry:
                raise InvariantError(f"name {name} cannot be found by its port")
            if entry.request and target.active and target.dnrequests[entry.request] is None:
                raise InvariantError(f"name {name}: its dead-name request is empty")


def create(ipc: Ipc) -> Space:
    """ipc_space_create: an empty space."""
    return Space()


def destroy(ipc: Ipc, space: Space) -> None:
    """ipc_space_destroy: every right goes, in the order of names. No name can be made in the space again."""
    if not space.active:
        return
    space.active = False
    for _, entry in list(space.entries()):
        right_refs.clean(ipc, space, entry)
    space.table.clear()
    space.reverse.clear()
    space.free.clear()
    space.holes.clear()
    space.marequests.clear()
